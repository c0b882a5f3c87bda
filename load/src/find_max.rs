//! The highest rate that a service bears.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use crate::graph::Graph;
use crate::op::Target;
use crate::pace::Pace;
use crate::plan::{Plan, RATE};
use crate::report::Report;
use crate::run::{Progress, RunError, run_at};

/// The search ends when the lowest rate that failed is so near to the highest that held.
const CLOSE: f64 = 1.05;
/// Full runs that may fail before the search gives up; each is 5% lower than the one before.
const CONFIRMATIONS: u32 = 6;
/// Below this a service does not hold any rate.
const LEAST: f64 = 1.0;
/// Of the rate, what has to be achieved at least.
const ACHIEVED: f64 = 0.99;

/// What a rate has to keep to hold: this p99, no error, and 99% of it achieved.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// The highest p99 that is good.
    pub p99: Duration,
    /// How long a rate is tried during the search; the confirmation takes the plan's duration.
    pub step: Duration,
}

impl Bound {
    /// Whether a run kept it.
    pub fn holds(&self, report: &Report) -> bool {
        report.errors == 0
            && report.unsent == 0
            && report.achieved() >= ACHIEVED * report.plan.rate
            && report.quantile(0.99) <= self.p99
    }
}

/// One rate that was tried.
#[derive(Clone, Copy, Debug)]
pub struct Tried {
    /// Requests a second asked for.
    pub rate: f64,
    /// Requests a second answered.
    pub achieved: f64,
    /// How slow they were.
    pub p99: Duration,
    /// How many failed.
    pub errors: u64,
    /// Whether the bound was kept.
    pub held: bool,
}

/// How far a search is.
#[derive(Clone, Copy, Debug)]
pub struct Searching<'a> {
    /// What was tried so far.
    pub tried: &'a [Tried],
    /// The rate that is being tried.
    pub rate: f64,
    /// Whether it is the last run, over the whole duration.
    pub confirming: bool,
    /// How far this run is.
    pub progress: Progress,
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The run over the whole duration at the rate that was found. When none held: the last run.
    pub report: Report,
    /// Whether `report` keeps the bound.
    pub held: bool,
    /// All that was tried, in order.
    pub tried: Vec<Tried>,
}

/// Looks for the highest rate that keeps the bound: doubles or halves from the plan's rate, then goes
/// between, then runs the whole duration at what it found, and 5% lower each time that fails. A rate
/// fails when it failed twice: a machine with other things to do makes one bad step.
/// `progress` ends the search by [`ControlFlow::Break`].
///
/// # Errors
/// As [`crate::run`].
pub async fn find_max<T: Target>(
    target: Arc<T>,
    graph: &Graph,
    plan: &Plan,
    bound: &Bound,
    progress: impl FnMut(&Searching<'_>) -> ControlFlow<()>,
) -> Result<Found, RunError> {
    find_max_at(Pace::best, target, graph, plan, bound, progress).await
}

pub(crate) async fn find_max_at<T: Target>(
    pace: impl Fn() -> std::io::Result<Pace>,
    target: Arc<T>,
    graph: &Graph,
    plan: &Plan,
    bound: &Bound,
    progress: impl FnMut(&Searching<'_>) -> ControlFlow<()>,
) -> Result<Found, RunError> {
    let mut search = Search {
        pace,
        target,
        graph,
        plan,
        bound,
        progress,
        tried: Vec::new(),
        stopped: false,
    };
    let (mut good, mut bad) = (None::<f64>, None::<f64>);
    let mut rate = plan.rate;
    let last = loop {
        let mut report = search.run(rate, false).await?;
        if !bound.holds(&report) && !search.stopped {
            report = search.run(rate, false).await?;
        }
        if search.stopped {
            return Ok(search.found(report));
        }
        if bound.holds(&report) {
            good = Some(rate);
        } else {
            bad = Some(rate);
        }
        rate = match (good, bad) {
            (None, _) if rate / 2.0 < LEAST => break report,
            (None, _) => rate / 2.0,
            (Some(_), None) if rate * 2.0 > RATE => break report,
            (Some(_), None) => rate * 2.0,
            (Some(good), Some(bad)) if bad / good <= CLOSE => break report,
            (Some(good), Some(bad)) => (good * bad).sqrt(),
        };
        // In whole requests: easier to read and to ask for again.
        rate = rate.round();
    };
    let Some(mut rate) = good else {
        return Ok(search.found(last));
    };
    let mut report = search.run(rate, true).await?;
    for _ in 1..CONFIRMATIONS {
        if bound.holds(&report) || search.stopped {
            break;
        }
        rate = (rate / CLOSE).round().max(LEAST);
        report = search.run(rate, true).await?;
    }
    Ok(search.found(report))
}

struct Search<'a, T, P, F> {
    pace: F,
    target: Arc<T>,
    graph: &'a Graph,
    plan: &'a Plan,
    bound: &'a Bound,
    progress: P,
    tried: Vec<Tried>,
    stopped: bool,
}

impl<T, P, F> Search<'_, T, P, F>
where
    T: Target,
    P: FnMut(&Searching<'_>) -> ControlFlow<()>,
    F: Fn() -> std::io::Result<Pace>,
{
    async fn run(&mut self, rate: f64, confirming: bool) -> Result<Report, RunError> {
        let mut plan = Plan {
            rate,
            // Other requests each time: no cache shall know them from the step before.
            seed: self.plan.seed.wrapping_add(self.tried.len() as u64),
            ..self.plan.clone()
        };
        if !confirming {
            plan.duration = self.bound.step.min(plan.duration);
            plan.warmup = (self.bound.step / 4).min(plan.warmup);
        }
        let (tried, stopped, progress) = (&self.tried, &mut self.stopped, &mut self.progress);
        let tell = |run: &Progress| {
            let told = progress(&Searching {
                tried,
                rate,
                confirming,
                progress: *run,
            });
            *stopped |= told.is_break();
            told
        };
        let target = Arc::clone(&self.target);
        let run = run_at((self.pace)()?, target, self.graph, &plan, tell);
        let report = Box::pin(run).await?;
        self.tried.push(Tried {
            rate,
            achieved: report.achieved(),
            p99: report.quantile(0.99),
            errors: report.errors,
            held: self.bound.holds(&report),
        });
        Ok(report)
    }

    fn found(self, report: Report) -> Found {
        Found {
            held: self.bound.holds(&report) && !self.stopped,
            report,
            tried: self.tried,
        }
    }
}

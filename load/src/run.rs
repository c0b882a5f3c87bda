//! The engine: requests become due by the schedule alone, and whichever connection is free sends the
//! next one.
//!
//! Latency counts from the moment a request was *due*. A service that stalls, or too few connections,
//! is so charged with everything that had to wait: no coordinated omission.
//! Source: Tene, "How NOT to measure latency"; his wrk2.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::graph::Graph;
use crate::op::{CallError, Target};
use crate::pace::Pace;
use crate::plan::Plan;
use crate::report::{Report, nanos};
use crate::schedule::{Cursor, Schedule};
use crate::tally::{Samples, Tally};

/// After the last request was due, how long what is late is still sent.
const GRACE: Duration = Duration::from_secs(1);
/// After that, how long answers are waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often progress is told.
const TICK: Duration = Duration::from_millis(100);

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Since the start, warm-up included.
    pub elapsed: Duration,
    /// Warm-up and duration.
    pub whole: Duration,
    /// Answers so far, warm-up included.
    pub answered: u64,
    /// Failures so far, warm-up included.
    pub errors: u64,
}

/// Why a run did not begin.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The plan makes no sense; what to change.
    #[error("{0}")]
    Plan(String),
    /// A connection could not be opened.
    #[error("cannot connect: {0}")]
    Connect(CallError),
    /// The machine's fault.
    #[error("cannot keep time: {0}")]
    Io(#[from] std::io::Error),
}

/// Carries out a plan: opens its connections, sends its requests as they become due, and waits for
/// the answers. `progress` is told how it goes ten times a second and ends the run by
/// [`ControlFlow::Break`]: what was due until then is reported.
///
/// # Errors
/// The plan makes no sense, or a connection cannot be opened at the start. What fails later is in
/// the report.
/// # Cancel safety
/// Dropping the future ends the load; calls under way are dropped.
pub async fn run<T: Target>(
    target: Arc<T>,
    graph: &Graph,
    plan: &Plan,
    progress: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Report, RunError> {
    run_at(Pace::best()?, target, graph, plan, progress).await
}

pub(crate) async fn run_at<T: Target>(
    pace: Pace,
    target: Arc<T>,
    graph: &Graph,
    plan: &Plan,
    mut progress: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Report, RunError> {
    plan.check(graph)?;
    let connections = connect(&target, plan.connections).await?;
    let schedule = Arc::new(Schedule::new(plan));
    let (stop, stopped) = watch::channel(());
    let start = Instant::now();
    let shared = Arc::new(Shared {
        schedule: Arc::clone(&schedule),
        start,
        plan: plan.clone(),
        users: graph.users,
        due: Semaphore::new(0),
        next: AtomicU64::new(0),
        enough: AtomicBool::new(false),
        tally: Tally::default(),
    });
    let mut workers = JoinSet::new();
    for connection in connections {
        let worker = Worker {
            target: Arc::clone(&target),
            connection: Some(connection),
            cursor: Cursor::new(Arc::clone(&schedule)),
            shared: Arc::clone(&shared),
        };
        workers.spawn(worker.run(stopped.clone()));
    }
    let mut releases = JoinSet::new();
    releases.spawn(release(pace, Arc::clone(&shared)));

    let whole = plan.warmup + plan.duration;
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut end = start + whole;
    loop {
        tokio::select! {
            done = workers.join_next() => {
                if done.is_none() {
                    break;
                }
            }
            Some(done) = releases.join_next() => {
                if let Ok(kept) = done {
                    kept?;
                }
            }
            _ = ticks.tick() => {}
        }
        let now = Instant::now();
        let told = Progress {
            elapsed: now.duration_since(start),
            whole,
            answered: shared.tally.answered(),
            errors: shared.tally.errors(),
        };
        if progress(&told).is_break() && now < end {
            end = now;
            releases.abort_all();
            shared.enough();
        }
        if now >= end + GRACE {
            shared.enough();
        }
        if now >= end + GRACE + PATIENCE {
            stop.send_replace(());
        }
    }
    Ok(shared.report(graph, end))
}

async fn connect<T: Target>(
    target: &Arc<T>,
    connections: usize,
) -> Result<Vec<T::Connection>, RunError> {
    /// Opened at the same time.
    const AT_ONCE: usize = 64;
    let mut opened = Vec::with_capacity(connections);
    let mut opening = JoinSet::new();
    for number in 0..connections {
        let target = Arc::clone(target);
        opening.spawn(async move { target.connect().await });
        if opening.len() >= AT_ONCE || number + 1 == connections {
            while let Some(one) = opening.join_next().await {
                let gone = |_| CallError("the task that connects is gone".to_owned());
                let one = one.map_err(gone).flatten();
                opened.push(one.map_err(RunError::Connect)?);
            }
        }
    }
    Ok(opened)
}

/// What all tasks of a run share.
struct Shared {
    schedule: Arc<Schedule>,
    start: Instant,
    plan: Plan,
    users: u32,
    /// One permit for each request that is due and not yet taken.
    due: Semaphore,
    /// The number of the next request to take.
    next: AtomicU64,
    /// Nothing is sent any more.
    enough: AtomicBool,
    tally: Tally,
}

impl Shared {
    fn enough(&self) {
        self.enough.store(true, Ordering::Relaxed);
        self.due.close();
    }

    /// Everything is over: what was measured, of what was due until `end`.
    fn report(&self, graph: &Graph, end: Instant) -> Report {
        let now = Instant::now();
        let warmup = self.schedule.warmup();
        let mut tally = self.tally.take();
        let mut cursor = Cursor::new(Arc::clone(&self.schedule));
        let taken = self.next.load(Ordering::Relaxed);
        let mut unsent = 0;
        for index in taken.max(warmup)..self.schedule.total() {
            let due = self.start + cursor.due(index);
            if due > end {
                break;
            }
            unsent += 1;
            let op = self.plan.mix.op(self.plan.seed, index, self.users);
            tally.given_up(op.kind(), nanos(now.duration_since(due)));
        }
        let begin = self.start + self.plan.warmup;
        let last = tally.last_answer.unwrap_or(end).max(end);
        Report {
            plan: self.plan.clone(),
            graph: graph.name.clone(),
            users: graph.users,
            measured: end.saturating_duration_since(begin),
            elapsed: last.saturating_duration_since(begin),
            requests: tally.answered + tally.errors + tally.unanswered + unsent,
            answered: tally.answered,
            errors: tally.errors + tally.unanswered,
            errors_by_reason: tally.reasons(),
            unsent,
            unanswered: tally.unanswered,
            pages: tally.pages,
            posts: tally.posts,
            latency: tally.latency,
            wait: tally.wait,
        }
    }
}

/// Lets requests go as they become due.
async fn release(mut pace: Pace, shared: Arc<Shared>) -> std::io::Result<()> {
    let mut cursor = Cursor::new(Arc::clone(&shared.schedule));
    let mut index = 0;
    let total = shared.schedule.total();
    while index < total {
        pace.until(shared.start + cursor.due(index)).await?;
        let passed = shared.start.elapsed();
        let from = index;
        while index < total && cursor.due(index) <= passed {
            index += 1;
        }
        let due = usize::try_from(index - from).unwrap_or(usize::MAX);
        shared.due.add_permits(due);
    }
    // One more for each worker: no request is left behind it, so that it ends.
    shared.due.add_permits(shared.plan.connections);
    Ok(())
}

struct Worker<T: Target> {
    target: Arc<T>,
    connection: Option<T::Connection>,
    cursor: Cursor,
    shared: Arc<Shared>,
}

impl<T: Target> Worker<T> {
    /// Sends what is due until nothing is left, or until `stop`.
    async fn run(mut self, mut stop: watch::Receiver<()>) {
        let shared = Arc::clone(&self.shared);
        let mut samples = Samples::new(&shared.tally);
        tokio::select! {
            biased;
            () = self.work(&mut samples) => {}
            _ = stop.changed() => samples.give_up(Instant::now()),
        }
    }

    async fn work(&mut self, samples: &mut Samples<'_>) {
        use crate::op::Connection as _;
        let shared = Arc::clone(&self.shared);
        while let Ok(permit) = shared.due.acquire().await {
            permit.forget();
            if shared.enough.load(Ordering::Relaxed) {
                break;
            }
            let index = shared.next.fetch_add(1, Ordering::Relaxed);
            if index >= shared.schedule.total() {
                break;
            }
            let due = shared.start + self.cursor.due(index);
            let op = shared.plan.mix.op(shared.plan.seed, index, shared.users);
            let measured = index >= shared.schedule.warmup();
            samples.sent(op.kind(), due, Instant::now(), measured);
            let reply = match self.connected().await {
                Ok(connection) => connection.call(&op).await,
                Err(error) => Err(error),
            };
            let broken = |connection: &T::Connection| connection.broken();
            if reply.is_err() && self.connection.as_ref().is_some_and(broken) {
                self.connection = None;
            }
            samples.came(Instant::now(), reply);
        }
    }

    async fn connected(&mut self) -> Result<&mut T::Connection, CallError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.target.connect().await?,
        };
        Ok(self.connection.insert(connection))
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;

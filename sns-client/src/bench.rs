//! `sns bench`: how fast is a running service?
//!
//! It speaks the protocol as any client does and nothing more, but unlike the client library it
//! hides nothing: a call that fails is an error, also when another server would have answered it.
//! Each connection is a TCP connection of its own to one of the servers that the router names, in
//! turn; one that breaks is opened anew when it is next needed.

mod bar;
pub(crate) mod flags;
mod grpc;
mod report;
mod service;
mod target;
mod watch;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sns_client::Options;
use sns_load::{Bound, Graph, Mix, Plan, RunError};
use tokio::signal::unix::{SignalKind, signal};

use crate::output::{Failure, Output, say};
use bar::Bar;
use flags::{Bench, Load, Pace};
use report::Measured;
use service::Service;

/// How long --find-max tries one rate.
const STEP: Duration = Duration::from_secs(4);
/// Where --find-max begins.
const FIRST_RATE: f64 = 1_000.0;
/// The graph without a file.
const USERS: u32 = 1_000;
/// Whom each of its users follows.
const FOLLOWEES: u32 = 20;

/// Measures, prints the figures, and fails when they are not as was asked for.
pub(crate) async fn run(what: &Bench, options: Options, json: bool) -> Result<(), Failure> {
    let graph = match &what.graph {
        Some(path) => Graph::load(path, what.undirected)
            .map_err(|unreadable| Failure::Usage(format!("--graph: {unreadable}")))?,
        // Always the same: it stays in the service, for the next run.
        None => Graph::synthetic(USERS, FOLLOWEES, 1),
    };
    let service = Service::connect(options).await?;
    service
        .make_ready(what, graph)
        .await?
        .measure(what, json)
        .await
}

impl service::Ready {
    async fn measure(self, what: &Bench, json: bool) -> Result<(), Failure> {
        let stop = Stop::on_signal()?;
        let measured = match (what.load, what.pace) {
            (Load::Watch, pace) => {
                let Pace::Rate(rate) = pace else {
                    // Refused when the flags were checked.
                    return Err(Failure::Usage("--mix watch needs --rate".to_owned()));
                };
                Box::pin(watch::run(&self, &plan(what, Mix::Post, rate), &stop)).await?
            }
            (Load::Calls(mix), Pace::Rate(rate)) => {
                let bar = Bar::spinner();
                let plan = plan(what, mix, rate);
                let run = sns_load::run(self.target(), &self.graph, &plan, |at| {
                    bar.running(rate, at);
                    stop.asked()
                });
                Measured::run(&Box::pin(run).await.map_err(failure)?, self.servers())
            }
            (Load::Calls(mix), Pace::FindMax(p99)) => {
                let bar = Bar::spinner();
                let bound = Bound { p99, step: STEP };
                let plan = plan(what, mix, FIRST_RATE);
                let mut told = 0;
                let tell = |at: &sns_load::Searching<'_>| {
                    for tried in &at.tried[told..] {
                        bar.say(&report::tried(tried));
                    }
                    told = at.tried.len();
                    bar.running(at.rate, &at.progress);
                    stop.asked()
                };
                let found = sns_load::find_max(self.target(), &self.graph, &plan, &bound, tell);
                let found = Box::pin(found).await.map_err(failure)?;
                Measured::found(&found, p99, self.servers())
            }
        };
        if measured.is_nothing() {
            let why = "stopped before anything was measured";
            return Err(Failure::Io(why.to_owned()));
        }
        let mut out = Output::new(false);
        for line in measured.lines(json) {
            out.line(&line)?;
        }
        out.finish()?;
        if stop.asked().is_break() {
            say("stopped early: these are the figures until then");
        }
        measured.judge(&what.fail_if)
    }
}

fn plan(what: &Bench, mix: Mix, rate: f64) -> Plan {
    Plan {
        connections: what.connections,
        duration: what.duration,
        warmup: what.warmup,
        seed: what.seed,
        ..Plan::new(mix, rate)
    }
}

fn failure(error: RunError) -> Failure {
    match error {
        RunError::Plan(why) => Failure::Usage(why),
        RunError::Connect(why) => Failure::Unavailable(format!("cannot connect: {why}")),
        RunError::Io(error) => Failure::Io(error.to_string()),
    }
}

/// Whether somebody asked for the end: Ctrl-C or SIGTERM.
#[derive(Clone, Debug)]
struct Stop(Arc<AtomicBool>);

impl Stop {
    fn on_signal() -> Result<Self, Failure> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let asked = Arc::new(AtomicBool::new(false));
        let set = Arc::clone(&asked);
        // Ends with the program.
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            set.store(true, Ordering::Relaxed);
        });
        Ok(Self(asked))
    }

    fn asked(&self) -> ControlFlow<()> {
        if self.0.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

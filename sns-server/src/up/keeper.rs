//! [`Keeper`]: runs a [`Machine`] for something that `up` keeps alive: the router, or a pair as a
//! whole. It polls, ten times a second: `up` is the last resort, never the first to act.

use std::time::Instant;

use crate::pair::machine::{Action, Condition, Event, Machine, Report, Rules};
use crate::telemetry::escaped;

/// Something that can be looked at, started and killed. Numbers of processes are the keeper's own
/// here: a pair counts its generations.
pub(super) trait Kept {
    /// For the log.
    fn title(&self) -> String;

    /// What happened since the last call; `running` is the process that the machine knows of.
    fn poll(&mut self, running: Option<u32>) -> Vec<Event>;

    /// `Found`, `Held` or `Free`.
    fn look(&mut self) -> Event;

    /// `Started`, `NotStarted`, `Found` or `Held`.
    fn start(&mut self, restarts: u64) -> Event;

    /// SIGKILL.
    fn kill(&mut self);
}

pub(super) struct Keeper<K> {
    kept: K,
    machine: Machine,
    started: Instant,
}

impl<K: Kept> Keeper<K> {
    pub(super) fn new(kept: K, rules: Rules, started: Instant) -> Self {
        Self {
            kept,
            machine: Machine::new(rules, true, 0),
            started,
        }
    }

    /// Counts on: it was started again `restarts` times by the program that ran here before. Before
    /// the first tick.
    pub(super) fn count_on(&mut self, rules: Rules, restarts: u64) {
        self.machine = Machine::new(rules, true, restarts);
    }

    pub(super) fn kept_mut(&mut self) -> &mut K {
        &mut self.kept
    }

    pub(super) fn kept(&self) -> &K {
        &self.kept
    }

    pub(super) fn restarts(&self) -> u64 {
        self.machine.restarts()
    }

    /// Why it has been given up, if it has.
    pub(super) fn failure(&self) -> Option<String> {
        let failed = self.machine.condition() == Condition::Failed;
        failed.then(|| self.machine.reason().to_owned())
    }

    pub(super) fn tick(&mut self) {
        for event in self.kept.poll(self.machine.pid()) {
            self.step(event);
        }
        self.step(Event::Tick(Report::default()));
    }

    pub(super) fn stop(&mut self) {
        self.step(Event::Stop);
    }

    fn step(&mut self, event: Event) {
        let before = self.machine.condition();
        let now = self.started.elapsed();
        let actions = self.machine.step(now, rand::random(), event);
        let after = self.machine.condition();
        if before != after && matches!(after, Condition::Restarting | Condition::Failed) {
            let why = escaped(self.machine.reason());
            tracing::warn!(what = %self.kept.title(), why, "died; it is started again");
        }
        for action in actions {
            match action {
                Action::Look => {
                    let seen = self.kept.look();
                    self.step(seen);
                }
                Action::Start { restarts } => {
                    let started = self.kept.start(restarts);
                    self.step(started);
                }
                // Nothing here waits for the disk but the start of a process.
                Action::Probe => self.step(Event::Probed),
                Action::Kill { why, .. } => {
                    tracing::warn!(what = %self.kept.title(), why, "hangs: killing it");
                    self.kept.kill();
                }
                Action::Say(what) => {
                    tracing::error!(what = %self.kept.title(), "{what}");
                }
            }
        }
    }
}

//! Is it hung? What speaks against a living process, counted in the watcher's own ticks, and
//! whether the watcher can trust itself.

use std::time::Duration;

use super::event::{Append, Report};
#[cfg(test)]
use super::rules::Without;
use super::rules::{Rules, TICK};

/// A living process and what makes it suspect.
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent facts, not states"
)]
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Running {
    pub(super) pid: u32,
    /// It ran before this watcher saw it.
    pub(super) old: bool,
    /// It has said who it is, so it can answer heartbeats.
    pub(super) registered: bool,
    pub(super) draining: bool,
    pub(super) serving: bool,
    pub(super) serving_since: Option<Duration>,
    /// The last answer, and whether one came since the last tick.
    pub(super) last: Option<Report>,
    pub(super) fresh: bool,
    pub(super) silent: u32,
    pub(super) lock_held: u32,
    pub(super) idle: u32,
    pub(super) drains: u32,
    /// The way to the disk was asked for, and found free, since the suspicion began.
    pub(super) probing: bool,
    pub(super) probed: bool,
}

impl Running {
    /// One's own child.
    pub(super) fn started(pid: u32) -> Self {
        Self {
            pid,
            ..Self::default()
        }
    }

    /// Somebody else's, which has said who it is.
    pub(super) fn found(pid: u32, old: bool, draining: bool) -> Self {
        Self {
            old,
            draining,
            registered: true,
            ..Self::started(pid)
        }
    }

    /// Takes an answer: progress of any kind clears at once; standing still is counted by the ticks.
    pub(super) fn hear(&mut self, now: Duration, rules: &Rules, report: Report) {
        self.registered = true;
        self.fresh = true;
        self.silent = 0;
        // Who starts or serves has gone on, or is another one that was taken for the same.
        let again = self.draining && (report.starting || report.serving) && !report.draining;
        if again {
            self.draining = false;
            self.old = false;
            self.serving_since = None;
        }
        self.draining |= report.draining;
        self.serving = report.serving;
        if report.serving && self.serving_since.is_none() {
            // One that was found old has served before.
            self.serving_since = Some(if self.old {
                now.saturating_sub(rules.served)
            } else {
                now
            });
        }
        let last = self.last.replace(report).unwrap_or_default();
        if !report.serving || report.append != Append::HoldsLock || report.appends != last.appends {
            self.lock_held = 0;
        }
        if !report.serving
            || (report.queued == 0 && report.lag == 0)
            || report.applies != last.applies
            || report.append == Append::WaitsForLock
        {
            self.idle = 0;
        }
    }

    /// It has served for `least`.
    pub(super) fn served(&self, now: Duration, least: Duration) -> bool {
        let since = self.serving_since;
        since.is_some_and(|since| now.saturating_sub(since) >= least)
    }

    fn holds_lock(&self) -> bool {
        self.last
            .is_some_and(|report| report.serving && report.append == Append::HoldsLock)
    }

    /// What one more tick without progress says.
    fn count(&mut self) {
        let works = self.last.is_some_and(|report| {
            report.serving
                && report.append != Append::WaitsForLock
                && (report.queued > 0 || report.lag > 0)
        });
        if self.fresh {
            self.lock_held += u32::from(self.holds_lock());
            self.idle += u32::from(works);
        } else {
            self.silent += 1;
        }
        self.fresh = false;
    }

    /// One more tick of its life, seen by a watcher that is as `own` says.
    pub(super) fn judge(&mut self, rules: &Rules, own: &Own) -> Verdict {
        if self.draining {
            // It ends by itself, unless it hangs: nobody else may be there to see to that.
            self.silent = 0;
            self.lock_held = 0;
            self.idle = 0;
            self.drains += 1;
            self.fresh = false;
        } else {
            self.drains = 0;
            self.count();
        }
        let holds = self.holds_lock();
        #[cfg(test)]
        let blind = rules.without == Without::OwnPath;
        #[cfg(not(test))]
        let blind = false;
        if !blind && own.is_stuck(rules, holds) {
            self.clear();
            return Verdict::Fine;
        }
        let silent_max = if self.registered {
            rules.silent_ticks
        } else {
            rules.first_answer_ticks
        };
        let why = if self.silent >= silent_max {
            format!("no heartbeat for {:?}", TICK * self.silent)
        } else if self.lock_held >= rules.lock_ticks {
            format!("held the lock for {:?}", TICK * self.lock_held)
        } else if self.idle >= rules.idle_ticks {
            format!("has work and applied nothing for {:?}", TICK * self.idle)
        } else if self.drains >= rules.drain_ticks {
            format!("asked to stop {:?} ago", TICK * self.drains)
        } else if self.silent > 2 || self.lock_held > 2 || self.idle > 2 {
            let probe = !self.probing;
            self.probing = true;
            return Verdict::Suspect { probe };
        } else {
            self.clear_probe();
            return Verdict::Fine;
        };
        if self.probed || blind {
            return Verdict::Hung(why);
        }
        // The disk is slow for everybody, as far as the watcher can tell.
        let probe = !self.probing;
        self.probing = true;
        Verdict::Suspect { probe }
    }

    /// The way to the disk is free.
    pub(super) fn probed(&mut self) {
        self.probed = self.probing;
    }

    /// Nothing speaks against it, or the watcher cannot trust itself.
    pub(super) fn clear(&mut self) {
        self.silent = 0;
        self.lock_held = 0;
        self.idle = 0;
        self.drains = 0;
        self.clear_probe();
    }

    fn clear_probe(&mut self) {
        self.probing = false;
        self.probed = false;
    }
}

/// How the watcher's own stages come through: the last report and for how many ticks each stage
/// has stood still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Own {
    pub(super) last: Option<Report>,
    pub(super) appender: u32,
    pub(super) applier: u32,
}

impl Own {
    pub(super) fn tick(&mut self, report: Report) {
        let last = self.last.replace(report).unwrap_or(report);
        let append_stuck = report.append != Append::Idle
            && report.append == last.append
            && report.appends == last.appends;
        self.appender = if append_stuck { self.appender + 1 } else { 0 };
        let apply_stuck = (report.applies_now || report.lag > 0) && report.applies == last.applies;
        self.applier = if apply_stuck { self.applier + 1 } else { 0 };
    }

    /// One of its stages stands still, so that it cannot judge others. While the other one says that
    /// it `holds` the lock, waiting for that lock says nothing against the watcher itself.
    fn is_stuck(&self, rules: &Rules, holds: bool) -> bool {
        let waits = |report: Report| report.append == Append::WaitsForLock;
        let waits_for_it = holds && self.last.is_some_and(waits);
        (self.appender >= rules.own_ticks && !waits_for_it) || self.applier >= rules.own_ticks
    }
}

/// What follows from a tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Fine,
    /// Something speaks against it: see whether it drains, and, with `probe`, try the disk.
    Suspect { probe: bool },
    /// It is to be killed, and why.
    Hung(String),
}

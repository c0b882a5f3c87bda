//! [`Machine`]: when to start, restart, back off and kill the process one watches. Pure: events
//! and the time go in, actions come out; it knows no clock, socket or process.
//!
//! ```text
//!              Start             Started            Exited, asked to
//!   Absent ------------> Starting ------> Running ------------------> Stopped
//!                          ^                 |  \ hung                  |
//!                          |   Exited        |   v                      | Found: someone
//!                          +--- BackOff <----+  Killing                 v started it
//!                          |   or Failed <------ Exited               Running
//! ```
//!
//! Two detectors. *Death*: the process exits. *Hang*: it does not answer, holds the lock, or has
//! work and applies nothing, while the watcher's own way through lock, disk and applier is free.
//! The second one is counted in the watcher's own ticks: a watcher that was stopped itself sees
//! one tick, however long it slept, and suspects no one for it. Nor does it judge anybody in that
//! tick: what the other said meanwhile may not have reached it yet. Further late ticks in a row
//! count, so a watcher whose every tick is late (an overloaded machine) judges, too, only slower.
//!
//! Source: the split in decisions and acts is openraft's engine; the suspicion of oneself first is
//! Lifeguard (`HashiCorp`, 2017).

use std::time::Duration;

mod event;
#[cfg(test)]
mod explore;
mod hang;
mod rules;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;

pub use event::{Action, Append, Condition, Event, Exit, Last, Report};
use hang::{Own, Running, Verdict};
#[cfg(test)]
use rules::Without;
pub use rules::{Rules, TICK};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum State {
    Absent,
    Starting {
        restarts: u64,
    },
    Running(Running),
    Killing {
        pid: u32,
        since: Duration,
        why: String,
        said: bool,
        served: bool,
    },
    /// Waits until `until`, then starts it.
    Waiting {
        until: Duration,
    },
    /// Someone unknown holds its lock. `keep`: once it is gone, start.
    Occupied {
        keep: bool,
    },
    /// `pid` ended because it was asked to.
    Stopped {
        pid: u32,
    },
    /// The watcher stops.
    Over,
}

/// Whether a tick comes late: then what was said before it may not have been heard yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Late {
    /// Its verdict counts.
    No,
    /// It does not count at all.
    Once,
    /// So did the one before. It counts against the other one, and kills nobody.
    Again,
}

/// Watches one process. See the module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    rules: Rules,
    /// It starts what was never there.
    keeper: bool,
    /// The stop that it undoes by starting what was asked to stop before the keeper came.
    undoes: Option<u32>,
    state: State,
    own: Own,
    last_tick: Option<Duration>,
    /// So many ticks in a row came late, as far as it matters.
    late: u32,
    deaths: u32,
    restarts: u64,
    /// The process that it saw last, dead or alive.
    last_pid: u32,
    reason: String,
}

impl Machine {
    /// A machine that has seen nothing yet, of a process that was started again `restarts` times.
    /// A `keeper` starts what is not there (a slave its master); else it waits until someone does,
    /// and restarts only what died.
    pub fn new(rules: Rules, keeper: bool, restarts: u64) -> Self {
        Self {
            rules,
            keeper,
            undoes: None,
            state: State::Absent,
            own: Own::default(),
            last_tick: None,
            late: 0,
            deaths: 0,
            restarts,
            last_pid: 0,
            reason: String::new(),
        }
    }

    /// With a stop that does not count any more: a keeper that is started anew, and not only again,
    /// starts also what was asked to stop before that. A later stop counts.
    #[must_use]
    pub fn undoing(self, stop: Last) -> Self {
        let undoes = match stop {
            Last::Asked(pid) => Some(pid),
            Last::Nobody | Last::Died(_) => None,
        };
        Self { undoes, ..self }
    }

    /// What it is, as others are told.
    pub fn condition(&self) -> Condition {
        if self.deaths >= self.rules.deaths {
            return match self.state {
                State::Stopped { .. } => Condition::Stopped,
                _ => Condition::Failed,
            };
        }
        match &self.state {
            State::Absent => Condition::Absent,
            State::Running(running) if running.draining => Condition::Draining,
            State::Running(running) if running.serving => Condition::Serving,
            State::Starting { .. } | State::Occupied { .. } | State::Running(_) => {
                Condition::Starting
            }
            State::Killing { .. } => Condition::Hung,
            State::Waiting { .. } => Condition::Restarting,
            State::Stopped { .. } | State::Over => Condition::Stopped,
        }
    }

    /// Why it does not serve, for a human; empty when there is nothing to say.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// How often it was started again.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// The living process, also one that is being killed.
    pub fn pid(&self) -> Option<u32> {
        match &self.state {
            State::Running(running) => Some(running.pid),
            State::Killing { pid, .. } => Some(*pid),
            _ => None,
        }
    }

    /// What follows from `event` at `now`, time since any fixed moment that never goes back.
    /// `random` is drawn anew for each call; it spreads the restarts of many pairs.
    pub fn step(&mut self, now: Duration, random: u32, event: Event) -> Vec<Action> {
        #[cfg(test)]
        let event = self.rules.without.spoil(event);
        if self.state == State::Over {
            return Vec::new();
        }
        match event {
            Event::Stop => {
                self.state = State::Over;
                Vec::new()
            }
            Event::Tick(own) => {
                self.own.tick(own);
                let late = self.lateness(now);
                self.tick(now, late)
            }
            Event::Started { pid } => {
                if let State::Starting { restarts } = self.state {
                    self.restarts = restarts;
                }
                self.last_pid = pid;
                self.state = State::Running(Running::started(pid));
                Vec::new()
            }
            Event::NotStarted { why } => match self.state {
                State::Starting { .. } => self.died(now, random, false, why),
                _ => Vec::new(),
            },
            Event::Found { pid, old, draining } => self.found(pid, old, draining),
            Event::Opens { pid } => {
                if !matches!(self.state, State::Running(_) | State::Killing { .. }) {
                    self.last_pid = pid;
                    self.state = State::Running(Running::started(pid));
                }
                Vec::new()
            }
            Event::Held { by } => {
                if !matches!(self.state, State::Running(_) | State::Killing { .. }) {
                    self.occupied(&by);
                }
                Vec::new()
            }
            Event::Vanished => {
                if let State::Starting { .. } = self.state {
                    self.wait_a_moment(now);
                }
                Vec::new()
            }
            Event::Free(last) => self.free(now, random, last),
            Event::Answer { pid, report } => {
                self.answer(now, pid, report);
                Vec::new()
            }
            Event::Probed => {
                if let State::Running(running) = &mut self.state {
                    running.probed();
                }
                Vec::new()
            }
            Event::Exited { pid, exit } => self.exited(now, random, pid, exit),
        }
    }

    fn found(&mut self, pid: u32, old: bool, draining: bool) -> Vec<Action> {
        match &mut self.state {
            State::Running(running) if running.pid == pid => {
                running.draining |= draining;
                if !running.registered {
                    // Until now it opened its data, which may take its time.
                    running.registered = true;
                    running.clear();
                }
                Vec::new()
            }
            // The exit of the one before is still on its way; it will be found again after that.
            State::Running(_) | State::Killing { .. } => Vec::new(),
            _ => {
                self.last_pid = pid;
                self.state = State::Running(Running::found(pid, old, draining));
                if self.deaths < self.rules.deaths {
                    self.reason.clear();
                }
                Vec::new()
            }
        }
    }

    fn free(&mut self, now: Duration, random: u32, last: Last) -> Vec<Action> {
        match (&self.state, last) {
            (State::Absent, Last::Died(_)) => self.start(self.restarts + 1),
            (State::Absent, Last::Asked(pid)) if !self.keeper || self.undoes != Some(pid) => {
                self.stopped(pid);
                Vec::new()
            }
            (State::Absent, _) if self.keeper => self.start(self.restarts),
            // Someone started it again, and it died before this watcher saw it.
            (State::Stopped { pid }, Last::Died(died)) if died != *pid => self.died(
                now,
                random,
                false,
                "died soon after it was started".to_owned(),
            ),
            // Someone started it and asked it to stop, all of it unseen.
            (State::Waiting { .. } | State::Occupied { .. }, Last::Asked(pid))
                if pid != self.last_pid =>
            {
                self.stopped(pid);
                Vec::new()
            }
            (State::Waiting { until }, _) if now >= *until => self.start(self.restarts + 1),
            (State::Occupied { keep: true }, _) => {
                // Not a death: whoever held the lock never said who it was.
                self.wait_a_moment(now);
                Vec::new()
            }
            (State::Occupied { keep: false }, _) => {
                self.state = State::Absent;
                self.reason.clear();
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn wait_a_moment(&mut self, now: Duration) {
        self.state = State::Waiting {
            until: now + self.rules.backoff_min * 2,
        };
    }

    fn stopped(&mut self, pid: u32) {
        self.state = State::Stopped { pid };
        self.keeper = false;
        self.deaths = 0;
        self.reason.clear();
    }

    fn occupied(&mut self, by: &str) {
        let keep = match self.state {
            State::Occupied { keep } => keep,
            State::Stopped { .. } => false,
            State::Absent => self.keeper,
            _ => true,
        };
        self.state = State::Occupied { keep };
        self.reason = format!("its lock is held by {by}");
    }

    fn start(&mut self, restarts: u64) -> Vec<Action> {
        self.state = State::Starting { restarts };
        vec![Action::Start { restarts }]
    }

    fn answer(&mut self, now: Duration, pid: u32, report: Report) {
        let State::Running(running) = &mut self.state else {
            return;
        };
        if running.pid != pid {
            return;
        }
        running.hear(now, &self.rules, report);
        self.forgive(now);
    }

    /// Two seconds of service: what came before is forgotten.
    fn forgive(&mut self, now: Duration) {
        if let State::Running(running) = &self.state
            && running.served(now, self.rules.served)
        {
            self.deaths = 0;
            self.reason.clear();
        }
    }

    /// Whether the watcher itself did not run for a while before this tick: what was said meanwhile
    /// is still on its way.
    fn lateness(&mut self, now: Duration) -> Late {
        let last = self.last_tick.replace(now).unwrap_or(now);
        let late = now.saturating_sub(last) > TICK * self.rules.own_ticks;
        #[cfg(test)]
        if self.rules.without == Without::OwnTicks
            && let State::Running(running) = &mut self.state
        {
            let ticks = now.saturating_sub(last).as_millis() / TICK.as_millis();
            running.silent += u32::try_from(ticks).unwrap_or(u32::MAX).saturating_sub(1);
            return Late::No;
        }
        #[cfg(test)]
        let late = late && self.rules.without != Without::Gap;
        let many = self.rules.silent_ticks;
        self.late = if late { self.late.min(many) + 1 } else { 0 };
        match self.late {
            1 => Late::Once,
            // More than a silence takes: it always is, and else would never judge anybody.
            few if few > 1 && few <= many => Late::Again,
            _ => Late::No,
        }
    }

    fn tick(&mut self, now: Duration, late: Late) -> Vec<Action> {
        match &mut self.state {
            // A start is due once a look finds the lock free.
            State::Absent
            | State::Stopped { .. }
            | State::Occupied { .. }
            | State::Waiting { .. } => vec![Action::Look],
            State::Starting { .. } | State::Over => Vec::new(),
            State::Killing {
                pid, since, said, ..
            } => {
                if !*said && now.saturating_sub(*since) >= self.rules.kill_patience {
                    *said = true;
                    self.reason = format!(
                        "process {pid} was killed and does not end: it sleeps uninterruptibly; \
                         no other is started beside it"
                    );
                    vec![Action::Say(self.reason.clone())]
                } else {
                    Vec::new()
                }
            }
            State::Running(_) if late == Late::Once => vec![Action::Look],
            State::Running(_) => {
                self.forgive(now);
                self.suspect(now, late)
            }
        }
    }

    /// One more tick of a living process: is it hung?
    fn suspect(&mut self, now: Duration, late: Late) -> Vec<Action> {
        let State::Running(running) = &mut self.state else {
            return Vec::new();
        };
        let why = match running.judge(&self.rules, &self.own) {
            Verdict::Fine => return Vec::new(),
            Verdict::Suspect { probe: true } => return vec![Action::Look, Action::Probe],
            Verdict::Suspect { probe: false } => return vec![Action::Look],
            // It may have said otherwise meanwhile; if not, the next tick says so again.
            Verdict::Hung(_) if late == Late::Again => return vec![Action::Look],
            Verdict::Hung(why) => why,
        };
        let pid = running.pid;
        let served = running.served(now, self.rules.served);
        self.reason = format!("process {pid} hung ({why})");
        self.state = State::Killing {
            pid,
            since: now,
            why: why.clone(),
            said: false,
            served,
        };
        vec![Action::Kill { pid, why }]
    }

    fn exited(&mut self, now: Duration, random: u32, pid: u32, exit: Exit) -> Vec<Action> {
        let (served, why) = match &self.state {
            State::Running(running) if running.pid == pid => {
                (running.served(now, self.rules.served), exit.why)
            }
            State::Killing {
                pid: killed,
                why,
                served,
                ..
            } if *killed == pid => (*served, format!("hung ({why}) and was killed")),
            _ => return Vec::new(),
        };
        if exit.lock_held {
            self.occupied("another process");
            return Vec::new();
        }
        if exit.asked {
            self.stopped(pid);
            return Vec::new();
        }
        self.died(now, random, served, why)
    }

    fn died(&mut self, now: Duration, random: u32, served: bool, why: String) -> Vec<Action> {
        self.reason = why;
        #[cfg(test)]
        let served = served || self.rules.without == Without::BackOff;
        if served {
            // At once: as soon as a look finds the lock free.
            self.deaths = 0;
            self.state = State::Waiting { until: now };
            return vec![Action::Look];
        }
        self.deaths = self.deaths.saturating_add(1);
        let delay = if self.deaths >= self.rules.deaths {
            self.rules.backoff_max
        } else {
            self.rules
                .backoff_min
                .saturating_mul(1 << (self.deaths - 1).min(16))
                .min(self.rules.backoff_max)
        };
        // Between the half and the whole of it.
        let jitter = f64::from(random) / f64::from(u32::MAX) / 2.0;
        self.state = State::Waiting {
            until: now + delay.mul_f64(1.0 - jitter),
        };
        if self.deaths == self.rules.deaths {
            return vec![Action::Say(format!(
                "died {} times in a row before it served for {:?}: {}; slow retries go on",
                self.deaths, self.rules.served, self.reason
            ))];
        }
        Vec::new()
    }
}

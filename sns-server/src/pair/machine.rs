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
//! one tick, however long it slept, and suspects no one for it.
//!
//! Source: the split in decisions and acts is openraft's engine; the suspicion of oneself first is
//! Lifeguard (`HashiCorp`, 2017).

use std::time::Duration;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;

/// The numbers behind the decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Ticks without an answer, once it answered before.
    pub silent_ticks: u32,
    /// Ticks without a first answer after the start.
    pub first_answer_ticks: u32,
    /// Ticks in which every answer said that the same append holds the lock.
    pub lock_ticks: u32,
    /// Ticks in which every answer had work queued and none had applied anything.
    pub idle_ticks: u32,
    /// Ticks of the own path without progress that make the watcher doubt itself.
    pub own_ticks: u32,
    /// Service after which a start counts as a success.
    pub served: Duration,
    /// The first delay after a death that came too early, doubled by each further one.
    pub backoff_min: Duration,
    /// The longest delay; also that between tries once it counts as failed.
    pub backoff_max: Duration,
    /// So many early deaths in a row are a failure.
    pub deaths: u32,
    /// Patience with a process that was killed and does not exit.
    pub kill_patience: Duration,
}

/// The time from one tick to the next.
pub const TICK: Duration = Duration::from_millis(100);

impl Rules {
    /// Those of a pair: 1 s, 1 s and 5 s in ticks of 100 ms.
    pub const PAIR: Self = Self {
        silent_ticks: 10,
        first_answer_ticks: 600,
        lock_ticks: 10,
        idle_ticks: 50,
        own_ticks: 5,
        served: Duration::from_secs(2),
        backoff_min: Duration::from_millis(100),
        backoff_max: Duration::from_secs(5),
        deaths: 5,
        kill_patience: Duration::from_secs(2),
    };

    /// Those of the launcher for its router.
    pub const ROUTER: Self = Self {
        silent_ticks: 20,
        first_answer_ticks: 100,
        ..Self::PAIR
    };

    /// Those of the launcher for a pair as a whole: later than the two themselves, so that the
    /// launcher acts only when neither of them can.
    pub const LAUNCHER: Self = Self {
        silent_ticks: 30,
        ..Self::PAIR
    };
}

/// What a process says of its stages; the watcher also asks itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// It serves; else it starts, drains or has halted.
    pub serving: bool,
    /// It was asked to stop.
    pub draining: bool,
    /// What its appender does.
    pub append: Append,
    /// Appends finished.
    pub appends: u64,
    /// Its applier is at work.
    pub applies_now: bool,
    /// Entries applied since its start.
    pub applies: u64,
    /// Commands that wait in its queue.
    pub queued: u64,
    /// Entries it knows of and has not applied.
    pub lag: u64,
}

/// What an appender does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Append {
    /// Nothing.
    #[default]
    Idle,
    /// Another process holds the lock.
    WaitsForLock,
    /// It holds the lock.
    HoldsLock,
    /// It waits for the disk.
    Syncs,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// It had been asked to stop, by someone else.
    pub asked: bool,
    /// It ended because another process holds the node lock: not a death.
    pub lock_held: bool,
    /// For a human: the signal, the exit code, its last line.
    pub why: String,
}

/// Who ran last, as it wrote down itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// Nobody, since the machine booted or the pair was set up.
    Nobody,
    /// It ended without having been asked to.
    Died(u32),
    /// It was asked to stop.
    Asked(u32),
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A tick is over; the watcher's own report.
    Tick(Report),
    /// A process now runs because of [`Action::Start`].
    Started {
        /// Its pid.
        pid: u32,
    },
    /// It could not be started.
    NotStarted {
        /// For a human.
        why: String,
    },
    /// Someone else's living process was found and verified.
    Found {
        /// Its pid.
        pid: u32,
        /// It has run for longer than [`Rules::served`].
        old: bool,
        /// It is about to stop because it was asked to.
        draining: bool,
    },
    /// The node lock is held by a process that has not said who it is: nobody to signal.
    Held {
        /// For a human.
        by: String,
    },
    /// No process holds the node lock.
    Free(Last),
    /// A heartbeat was answered.
    Answer {
        /// By whom.
        pid: u32,
        /// What it said.
        report: Report,
    },
    /// The way to the disk was tried and is free (see [`Action::Probe`]).
    Probed,
    /// The process ended.
    Exited {
        /// Which.
        pid: u32,
        /// How.
        exit: Exit,
    },
    /// The watcher itself was asked to stop: no more starts, no more kills.
    Stop,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// See who holds the node lock; answer with `Found`, `Held` or `Free`.
    Look,
    /// Start the process, unless the lock is held; answer with `Started`, `NotStarted`, `Found` or
    /// `Held`.
    Start {
        /// How often it will have been started again, this time included.
        restarts: u64,
    },
    /// Write and sync a few bytes beside the log; answer with `Probed` once that came back.
    Probe,
    /// Send SIGKILL.
    Kill {
        /// To whom.
        pid: u32,
        /// For a human.
        why: String,
    },
    /// Tell the operator, once.
    Say(String),
}

/// What the watched process is, as others are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It was never there.
    Absent,
    /// It runs and has not served yet.
    Starting,
    /// It serves.
    Serving,
    /// It was asked to stop and has not ended yet.
    Draining,
    /// It is being killed.
    Hung,
    /// It died and comes back.
    Restarting,
    /// It died too often.
    Failed,
    /// It was asked to stop, and did.
    Stopped,
}

#[derive(Clone, Debug, PartialEq, Eq)]
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

/// A living process and what makes it suspect.
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent facts, not states"
)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Running {
    pid: u32,
    /// It ran before this watcher saw it.
    old: bool,
    /// It has said who it is, so it can answer heartbeats.
    registered: bool,
    draining: bool,
    serving: bool,
    serving_since: Option<Duration>,
    /// The last answer, and whether one came since the last tick.
    last: Option<Report>,
    fresh: bool,
    silent: u32,
    lock_held: u32,
    idle: u32,
    /// The way to the disk was asked for, and found free, since the suspicion began.
    probing: bool,
    probed: bool,
}

impl Running {
    fn suspicious(&self) -> bool {
        self.silent > 2 || self.lock_held > 2 || self.idle > 2
    }

    /// Nothing speaks against it, or the watcher cannot trust itself.
    fn clear(&mut self) {
        self.silent = 0;
        self.lock_held = 0;
        self.idle = 0;
        self.clear_probe();
    }

    fn clear_probe(&mut self) {
        self.probing = false;
        self.probed = false;
    }
}

/// How the watcher's own stages come through: the last report and for how many ticks each stage
/// has stood still.
#[derive(Clone, Copy, Debug, Default)]
struct Own {
    last: Option<Report>,
    appender: u32,
    applier: u32,
}

impl Own {
    fn tick(&mut self, report: Report) {
        let last = self.last.replace(report).unwrap_or(report);
        let append_stuck = report.append != Append::Idle
            && report.append == last.append
            && report.appends == last.appends;
        self.appender = if append_stuck { self.appender + 1 } else { 0 };
        let apply_stuck = (report.applies_now || report.lag > 0) && report.applies == last.applies;
        self.applier = if apply_stuck { self.applier + 1 } else { 0 };
    }
}

/// Watches one process. See the module.
#[derive(Clone, Debug)]
pub struct Machine {
    rules: Rules,
    /// It starts what was never there.
    keeper: bool,
    state: State,
    own: Own,
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
            state: State::Absent,
            own: Own::default(),
            deaths: 0,
            restarts,
            last_pid: 0,
            reason: String::new(),
        }
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
                self.tick(now)
            }
            Event::Started { pid } => {
                if let State::Starting { restarts } = self.state {
                    self.restarts = restarts;
                }
                self.last_pid = pid;
                self.state = State::Running(Running {
                    pid,
                    ..Running::default()
                });
                Vec::new()
            }
            Event::NotStarted { why } => match self.state {
                State::Starting { .. } => self.died(now, random, false, why),
                _ => Vec::new(),
            },
            Event::Found { pid, old, draining } => self.found(pid, old, draining),
            Event::Held { by } => {
                if !matches!(self.state, State::Running(_) | State::Killing { .. }) {
                    self.occupied(&by);
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
                    running.probed = running.probing;
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
                self.state = State::Running(Running {
                    pid,
                    old,
                    draining,
                    registered: true,
                    ..Running::default()
                });
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
            (State::Absent, _) if self.keeper => self.start(self.restarts),
            (State::Absent, Last::Asked(pid)) => {
                self.stopped(pid);
                Vec::new()
            }
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
                // Not a death: whoever held the lock never said who it was. A moment later.
                self.state = State::Waiting {
                    until: now + self.rules.backoff_min * 2,
                };
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
        running.registered = true;
        running.fresh = true;
        running.silent = 0;
        running.draining |= report.draining;
        running.serving = report.serving;
        if report.serving && running.serving_since.is_none() {
            // One that was found old has served before.
            running.serving_since = Some(if running.old {
                now.saturating_sub(self.rules.served)
            } else {
                now
            });
        }
        let last = running.last.replace(report).unwrap_or_default();
        // Progress of any kind clears at once; standing still is counted by the ticks.
        if !report.serving || report.append != Append::HoldsLock || report.appends != last.appends {
            running.lock_held = 0;
        }
        if !report.serving
            || (report.queued == 0 && report.lag == 0)
            || report.applies != last.applies
            || report.append == Append::WaitsForLock
        {
            running.idle = 0;
        }
        self.forgive(now);
    }

    /// Two seconds of service: what came before is forgotten.
    fn forgive(&mut self, now: Duration) {
        if let State::Running(running) = &self.state
            && served(running, now, self.rules.served)
        {
            self.deaths = 0;
            self.reason.clear();
        }
    }

    fn tick(&mut self, now: Duration) -> Vec<Action> {
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
            State::Running(_) => {
                self.forgive(now);
                self.suspect(now)
            }
        }
    }

    /// One more tick of a living process: is it hung?
    fn suspect(&mut self, now: Duration) -> Vec<Action> {
        let rules = self.rules;
        let own = self.own;
        let State::Running(running) = &mut self.state else {
            return Vec::new();
        };
        if running.draining {
            // It ends by itself, or whoever asked it to stop will see to that.
            running.clear();
            return Vec::new();
        }
        let holds = running
            .last
            .is_some_and(|report| report.serving && report.append == Append::HoldsLock);
        let works = running.last.is_some_and(|report| {
            report.serving
                && report.append != Append::WaitsForLock
                && (report.queued > 0 || report.lag > 0)
        });
        if running.fresh {
            running.lock_held += u32::from(holds);
            running.idle += u32::from(works);
        } else {
            running.silent += 1;
        }
        running.fresh = false;
        // The watcher's own way. While the other one says that it holds the lock, waiting for that
        // lock says nothing against the watcher itself.
        let waits_for_it = holds
            && own
                .last
                .is_some_and(|report| report.append == Append::WaitsForLock);
        let doubts_itself =
            (own.appender >= rules.own_ticks && !waits_for_it) || own.applier >= rules.own_ticks;
        if doubts_itself {
            running.clear();
            return Vec::new();
        }
        let silent_max = if running.registered {
            rules.silent_ticks
        } else {
            rules.first_answer_ticks
        };
        let why = if running.silent >= silent_max {
            format!("no heartbeat for {:?}", TICK * running.silent)
        } else if running.lock_held >= rules.lock_ticks {
            format!("held the lock for {:?}", TICK * running.lock_held)
        } else if running.idle >= rules.idle_ticks {
            format!("has work and applied nothing for {:?}", TICK * running.idle)
        } else {
            if !running.suspicious() {
                running.clear_probe();
                return Vec::new();
            }
            // Whether it drains stands in its file; whether the disk is free has to be tried.
            let mut actions = vec![Action::Look];
            if !running.probing {
                running.probing = true;
                actions.push(Action::Probe);
            }
            return actions;
        };
        if !running.probed {
            // The disk is slow for everybody, as far as the watcher can tell.
            if running.probing {
                return Vec::new();
            }
            running.probing = true;
            return vec![Action::Probe];
        }
        let pid = running.pid;
        let served = served(running, now, rules.served);
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
                (served(running, now, self.rules.served), exit.why)
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

fn served(running: &Running, now: Duration, least: Duration) -> bool {
    running
        .serving_since
        .is_some_and(|since| now.saturating_sub(since) >= least)
}

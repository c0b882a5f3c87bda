//! The world of the exploration: two processes with their own machines, the launcher, and what may
//! befall them. One call of [`Pair::tick`] is a tick of everybody who runs.

use std::time::Duration;

use super::super::{Append, Event, Exit, Last, Machine, Report, Rules, TICK, Without};
use super::launcher::Up;
use super::promises::{STORM, WINDOW};
use super::words::{Blow, Broken, Budget, Fault, File, Mail, Mode, Stage, Wrong};

/// The rules in fewer ticks, in the same order of size: a small world shows the same mistakes.
pub(super) const SMALL: Rules = Rules {
    silent_ticks: 4,
    first_answer_ticks: 8,
    lock_ticks: 4,
    idle_ticks: 6,
    drain_ticks: 5,
    own_ticks: 2,
    served: TICK.saturating_mul(3),
    backoff_min: TICK,
    backoff_max: TICK.saturating_mul(3),
    deaths: 3,
    kill_patience: TICK.saturating_mul(2),
    without: Without::Nothing,
};

/// Ticks for which a process that went on may still be taken for hung.
pub(super) const GRACE: u8 = 4;
/// Ticks that a waiter for the lock of the log gives a stopped node which holds it (R9).
const R9: u8 = 4;
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) stage: Stage,
    pub(super) fault: Fault,
    pub(super) killed: bool,
    pub(super) age: u8,
    /// Ticks since it was last at fault.
    pub(super) well: u8,
    pub(super) appends: u64,
    pub(super) applies: u64,
    /// It did nothing in the last tick.
    pub(super) slept: bool,
    /// It watches the other node.
    pub(super) machine: Machine,
    pub(super) watched: Option<u32>,
    pub(super) answer: Option<(u32, Report)>,
    pub(super) mail: Vec<Mail>,
    pub(super) probing: bool,
    /// Its look before a start found the lock free; what it starts comes a tick later, and whether
    /// that is a restart.
    pub(super) starting: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Node {
    /// Who holds the node lock: one, as the kernel has it.
    pub(super) holder: Option<Process>,
    /// Who was started and has not come to the lock yet.
    pub(super) spawned: Vec<Process>,
    pub(super) file: File,
    pub(super) broken: Broken,
    /// It ended because it was asked to, and nobody but a machine wants it back.
    pub(super) stopped: bool,
    /// Monitors: ticks in a row of being dead, of being hung, and the starts as bits, newest first.
    pub(super) neglected: u8,
    pub(super) hung: u8,
    pub(super) starts: u32,
    /// Monitor: ticks in a row in which two of its processes ran.
    pub(super) crowded: u8,
}

impl Node {
    pub(super) fn is_empty(&self) -> bool {
        self.holder.is_none() && self.spawned.is_empty()
    }

    pub(super) fn process(&self, pid: u32) -> Option<&Process> {
        let all = self.holder.iter().chain(&self.spawned);
        all.into_iter().find(|process| process.pid == pid)
    }

    pub(super) fn process_mut(&mut self, pid: u32) -> Option<&mut Process> {
        let all = self.holder.iter_mut().chain(&mut self.spawned);
        all.into_iter().find(|process| process.pid == pid)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pair {
    pub(super) now: u32,
    pub(super) mode: Mode,
    /// The master, the slave.
    pub(super) nodes: [Node; 2],
    pub(super) up: Option<Up>,
    pub(super) third_party: bool,
    pub(super) slow_disk: bool,
    pub(super) left: Budget,
    /// Ticks for which somebody has waited for a stopped node's lock of the log.
    pub(super) waits: u8,
    /// Monitor: ticks in which neither node could see to the other.
    pub(super) orphaned: u8,
    pub(super) next_pid: u32,
}

impl Pair {
    /// A pair that serves and has settled.
    pub(super) fn new(mode: Mode, left: Budget) -> Result<Self, Wrong> {
        let node = || Node {
            holder: None,
            spawned: Vec::new(),
            file: File::default(),
            broken: Broken::No,
            stopped: false,
            neglected: 0,
            hung: 0,
            starts: 0,
            crowded: 0,
        };
        let mut pair = Self {
            now: 100,
            mode,
            nodes: [node(), node()],
            up: Some(Up::new(mode.without)),
            third_party: false,
            slow_disk: false,
            left,
            waits: 0,
            orphaned: 0,
            next_pid: 1,
        };
        for _ in 0..WINDOW + 12 {
            pair.tick(Blow::Nothing, false)?;
        }
        for node in &pair.nodes {
            let serves = node.holder.as_ref().map(|it| it.stage) == Some(Stage::Serving);
            assert!(serves, "a calm pair serves: {pair:#?}");
        }
        pair.normalise();
        Ok(pair)
    }

    pub(super) fn rules(without: Without) -> Rules {
        Rules { without, ..SMALL }
    }

    pub(super) fn time(&self) -> Duration {
        TICK * self.now
    }

    pub(super) fn log_is_held_by_any(&self) -> bool {
        self.log_is_held_beside(0) || self.log_is_held_beside(1)
    }

    /// The other node holds the lock of the log and does not let go.
    fn log_is_held_beside(&self, n: usize) -> bool {
        let other = &self.nodes[1 - n].holder;
        other.as_ref().is_some_and(|it| it.fault.has_lock())
    }

    /// What holds up an append of node `n`.
    pub(super) fn hindrance(&self, n: usize) -> Append {
        if self.third_party || self.log_is_held_beside(n) {
            Append::WaitsForLock
        } else if self.slow_disk {
            Append::Syncs
        } else {
            Append::Idle
        }
    }

    pub(super) fn report(&self, n: usize, process: &Process) -> Report {
        let serving = process.stage == Stage::Serving;
        let writes = serving && self.mode.busy;
        let hindrance = self.hindrance(n);
        let append = match process.fault {
            Fault::HoldsLock => Append::HoldsLock,
            _ if writes => hindrance,
            _ => Append::Idle,
        };
        Report {
            serving,
            starting: matches!(
                process.stage,
                Stage::Spawned | Stage::Locked | Stage::Opening
            ),
            draining: matches!(process.stage, Stage::Draining(_)),
            append,
            appends: process.appends,
            applies_now: process.fault == Fault::Wedged,
            applies: process.applies,
            queued: u64::from(append != Append::Idle),
            lag: u64::from(process.fault == Fault::Wedged),
        }
    }

    /// Starts a process of node `n`, whoever wants it.
    pub(super) fn spawn(&mut self, n: usize, again: bool) -> u32 {
        let pid = self.next_pid;
        self.next_pid += 1;
        let other = self.nodes[1 - n].file;
        // As the driver decides when a node starts.
        let before = if again { Last::Nobody } else { other.last() };
        let rules = Self::rules(self.mode.without);
        self.nodes[n].spawned.push(Process {
            pid,
            stage: Stage::Spawned,
            fault: Fault::None,
            killed: false,
            age: 0,
            well: GRACE,
            appends: 0,
            applies: 0,
            slept: false,
            machine: Machine::new(rules, n == 1, other.again.into()).undoing(before),
            watched: None,
            answer: None,
            mail: Vec::new(),
            probing: false,
            starting: None,
        });
        pid
    }

    /// As `Partner::look`.
    pub(super) fn look(&self, n: usize) -> Event {
        let node = &self.nodes[n];
        let Some(holder) = &node.holder else {
            return Event::Free(node.file.last());
        };
        if node.file.pid == holder.pid {
            Event::Found {
                pid: holder.pid,
                old: TICK * u32::from(holder.age) >= SMALL.served,
                draining: node.file.stopping,
            }
        } else {
            Event::Opens { pid: holder.pid }
        }
    }

    /// As `Partner::start`, both of its steps at once.
    pub(super) fn start(&mut self, n: usize, again: bool) -> Result<Mail, Wrong> {
        match self.instead(n) {
            Some(mail) => Ok(mail),
            None => self.launch(n, again),
        }
    }

    /// The first step of a start, a look: what it finds instead of a free lock.
    pub(super) fn instead(&self, n: usize) -> Option<Mail> {
        let seen = self.look(n);
        (!matches!(seen, Event::Free(_))).then_some(Mail::Instead(seen))
    }

    /// The second step of a start, its file and its process, whoever came in between. `Err` when a
    /// rule is broken.
    pub(super) fn launch(&mut self, n: usize, again: bool) -> Result<Mail, Wrong> {
        let node = &mut self.nodes[n];
        if node.stopped {
            return Err(format!(
                "{} had been asked to stop and was started",
                name(n)
            ));
        }
        node.starts |= 1;
        if node.starts.count_ones() > STORM {
            return Err(format!("a storm of starts of {}", name(n)));
        }
        node.file = File {
            pid: node.file.pid,
            stopping: false,
            again,
            starting: true,
        };
        Ok(Mail::Started(self.spawn(n, again)))
    }

    /// SIGKILL by one of ours.
    pub(super) fn kill(&mut self, n: usize, pid: u32, why: &str) -> Result<(), Wrong> {
        if let Some(process) = self.nodes[n].process_mut(pid) {
            if process.fault == Fault::None && process.well >= GRACE && !process.killed {
                return Err(format!("{} was healthy and killed: {why}", name(n)));
            }
            process.killed = true;
        }
        Ok(())
    }

    /// As `Partner::exit`.
    pub(super) fn exit(&self, n: usize, pid: u32) -> Exit {
        let node = &self.nodes[n];
        let asked = node.file.pid == pid && node.file.stopping;
        Exit {
            asked,
            lock_held: !asked && node.holder.as_ref().is_some_and(|it| it.pid != pid),
            why: String::new(),
        }
    }

    /// `blow`, then a tick of everybody. `reverse`: the slave first, and whoever wakes up judges
    /// before it hears what was said meanwhile.
    pub(super) fn tick(&mut self, blow: Blow, reverse: bool) -> Result<(), Wrong> {
        self.now += 1;
        for node in &mut self.nodes {
            node.starts = node.starts << 1 & ((1 << WINDOW) - 1);
        }
        self.befall(blow);
        for n in [0, 1] {
            self.live(n);
        }
        self.free_the_log();
        let order = if reverse { [1, 0] } else { [0, 1] };
        for n in order {
            self.answer(n);
        }
        for n in order {
            self.watch(n, reverse)?;
        }
        self.launcher()?;
        self.monitor()
    }

    /// What the processes of node `n` do by themselves.
    fn live(&mut self, n: usize) {
        let free = self.hindrance(n) == Append::Idle;
        let locks = self.mode.without != Without::NodeLock;
        let node = &mut self.nodes[n];
        let mut ended = Vec::new();
        if let Some(process) = &mut node.holder {
            process.age = (process.age + 1).min(3);
            process.well = if process.fault == Fault::None {
                (process.well + 1).min(GRACE)
            } else {
                0
            };
            let runs = process.fault.runs() && !process.killed;
            let ends = match process.stage {
                _ if process.killed => process.fault != Fault::Asleep,
                _ if !runs => false,
                Stage::Draining(0) => true,
                Stage::Draining(left) => {
                    process.stage = Stage::Draining(left - 1);
                    false
                }
                Stage::Opening if node.broken == Broken::BeforeService => true,
                Stage::Opening if free => {
                    process.stage = Stage::Serving;
                    false
                }
                Stage::Serving if free => {
                    let (appends, applies) = match process.fault {
                        Fault::None => (1, 1),
                        Fault::Wedged => (1, 0),
                        _ => (0, 0),
                    };
                    process.appends += appends;
                    process.applies += applies;
                    false
                }
                Stage::Locked => {
                    node.file = File {
                        pid: process.pid,
                        stopping: false,
                        starting: false,
                        ..node.file
                    };
                    process.stage = Stage::Opening;
                    false
                }
                _ => false,
            };
            if !ends && runs && matches!(process.stage, Stage::Opening | Stage::Serving) {
                // Again and again: a start that looked before it came writes over it.
                node.file = File {
                    pid: process.pid,
                    starting: false,
                    ..node.file
                };
            }
            if ends {
                node.stopped |= node.file.pid == process.pid && node.file.stopping;
                ended.push(process.pid);
                node.holder = None;
            }
        }
        for mut process in std::mem::take(&mut node.spawned) {
            process.well = if process.fault == Fault::None {
                (process.well + 1).min(GRACE)
            } else {
                0
            };
            if process.killed && process.fault != Fault::Asleep {
                ended.push(process.pid);
            } else if process.killed || !process.fault.runs() {
                node.spawned.push(process);
            } else if node.broken == Broken::BeforeLock || (locks && node.holder.is_some()) {
                // The second one finds the lock held, and says so.
                ended.push(process.pid);
            } else if node.holder.is_some() {
                node.spawned.push(process);
            } else {
                process.stage = Stage::Locked;
                node.holder = Some(process);
            }
        }
        let watcher = self.nodes[1 - n].holder.as_mut();
        if let Some(watcher) = watcher
            && let Some(pid) = watcher.watched
            && ended.contains(&pid)
        {
            watcher.mail.push(Mail::Ended(pid));
        }
    }

    /// R9: who waits long for the lock of the log has a stopped node that holds it killed.
    fn free_the_log(&mut self) {
        let holder = (0..2).find(|n| self.log_is_held_beside(1 - *n));
        let waits = holder.is_some_and(|n| {
            let other = &self.nodes[1 - n].holder;
            other.as_ref().is_some_and(|it| {
                it.fault == Fault::None && !it.killed && it.stage == Stage::Serving
            })
        });
        self.waits = if waits && self.mode.busy {
            self.waits + 1
        } else {
            0
        };
        if self.waits >= R9
            && let Some(process) = holder.and_then(|n| self.nodes[n].holder.as_mut())
        {
            process.killed = true;
            self.waits = 0;
        }
    }

    /// How it stands, in a line.
    pub(super) fn line(&self) -> String {
        let node = |n: usize| {
            let node = &self.nodes[n];
            let all = node.holder.iter().chain(&node.spawned);
            let all: Vec<String> = all
                .map(|it| {
                    let killed = if it.killed { " killed" } else { "" };
                    let (stage, fault, sees) = (it.stage, it.fault, it.machine.condition());
                    format!("{} {stage:?} {fault:?}{killed} sees {sees:?}", it.pid)
                })
                .collect();
            format!("{}: [{}] {:?}", name(n), all.join(", "), node.file)
        };
        let up = self.up.as_ref().map(|up| up.machine.condition());
        format!("{}; {}; up: {up:?}", node(0), node(1))
    }
}

pub(super) fn name(n: usize) -> &'static str {
    ["the master", "the slave"][n]
}

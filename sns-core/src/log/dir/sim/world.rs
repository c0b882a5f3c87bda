//! What the simulated processes share: the files of their machine, and who runs.
//!
//! Each process is a thread, and exactly one of them runs: it hands the baton on at every call of
//! the disk, to the one that the seed draws. So the production code itself runs, in an order that
//! a seed repeats.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::super::{Shared, commit};
use super::inode::Inode;
use super::machine::Machine;
use super::model::Model;
use super::random::Random;

/// How often what happens: of 10,000 calls of the disk.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rates {
    pub(super) kill: u64,
    pub(super) kill_after_rename: u64,
    pub(super) power_cut: u64,
    pub(super) failed_sync: u64,
    pub(super) failed_sync_dir: u64,
    pub(super) failed_write_back: u64,
    pub(super) evict: u64,
    pub(super) write_error: u64,
    pub(super) short_write: u64,
    pub(super) interrupt: u64,
    pub(super) freeze: u64,
    /// In percent: the process that runs goes on.
    pub(super) go_on: u64,
}

/// No run needs so many calls: something goes round in circles.
pub(super) const CALLS_MAX: u64 = 200_000;

/// What is known at some moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// The newest entry that anybody knows.
    pub(super) newest: u64,
    falls: u64,
    fallen: bool,
}

#[derive(Debug, Default)]
pub(super) struct Process {
    /// Counts its lives.
    pub(super) life: u64,
    pub(super) done: bool,
    /// The inode whose lock it waits for.
    pub(super) waits: Option<usize>,
    pub(super) frozen_until: u64,
}

/// What one call of the disk, or several in a row, come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The operating system's number of an error. A sync that fails has lost what it was to write,
    /// but for EINTR.
    Errno(i32),
    /// A read or a write does half of its bytes and says so; other calls are spared.
    Short,
    /// A write does half of its bytes, and the call after it fails with this number.
    Torn(i32),
}

/// Which calls fail.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    from: u64,
    times: u64,
    fault: Fault,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) random: Random,
    pub(super) rates: Rates,
    /// One thread does everything: nobody hands on a baton.
    pub(super) alone: bool,
    pub(super) orders: Vec<Order>,
    /// The next sync fails with this number.
    pub(super) fail_sync: Option<i32>,
    /// So many moments until the lazy sync of `commit` comes, and fails.
    pub(super) fail_lazy_sync: Option<u64>,
    /// The next write of a frame fails with this number.
    pub(super) fail_write: Option<i32>,
    /// Which kinds of calls an order has hit.
    pub(super) struck: Vec<u8>,
    pub(super) current: usize,
    pub(super) processes: Vec<Process>,
    pub(super) inodes: Vec<Inode>,
    pub(super) names: BTreeMap<String, usize>,
    pub(super) durable_names: BTreeMap<String, usize>,
    pub(super) descriptors: u64,
    pub(super) calls: u64,
    pub(super) trace: u64,
    pub(super) model: Model,
    /// Faults of the machine are over: the last check runs.
    pub(super) calm: bool,
    pub(super) kills: u64,
    pub(super) power_cuts: u64,
    pub(super) failed_syncs: u64,
    pub(super) failed_dir_syncs: u64,
    pub(super) rolls: u64,
    pub(super) trims: u64,
    /// How often `commit` has gone back, because what a failed sync had lost of it was evicted.
    pub(super) falls: u64,
    /// What it said before it went back, until it says so again.
    pub(super) fell: Option<u64>,
    pub(super) stuck: bool,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) state: Mutex<State>,
    pub(super) turns: Vec<Condvar>,
    /// The log whose lazy sync comes between two calls: here no thread does it.
    pub(super) lazy: Mutex<Weak<Shared>>,
}

impl State {
    pub(super) fn note(&mut self, who: usize, what: u8, a: u64, b: u64) {
        for word in [who as u64, u64::from(what), a, b] {
            self.trace = (self.trace ^ word)
                .wrapping_mul(0x0100_0000_01b3)
                .rotate_left(17);
        }
    }

    /// Lets `times` calls fail from now on, after `calls` that do not.
    pub(super) fn order(&mut self, calls: u64, times: u64, fault: Fault) {
        let from = self.calls + calls + 1;
        self.orders.push(Order { from, times, fault });
    }

    /// What was ordered is over.
    pub(super) fn obey_no_more(&mut self) {
        self.orders.clear();
    }

    /// What was ordered for this call.
    pub(super) fn ordered(&self) -> Option<Fault> {
        let due = |order: &&Order| (order.from..order.from + order.times).contains(&self.calls);
        self.orders.iter().find(due).map(|order| order.fault)
    }

    /// A read or a write of `length` bytes: how many of them it does.
    pub(super) fn part(&mut self, what: u8, length: usize) -> usize {
        let torn = match self.ordered() {
            Some(Fault::Short) => None,
            Some(Fault::Torn(code)) if what == b'w' => Some(code),
            _ => return length,
        };
        self.struck.push(what);
        if let Some(code) = torn {
            self.order(0, 1, Fault::Errno(code));
        }
        (length / 2).max(1)
    }

    /// Nobody hands on a baton from now on: one thread does everything, and nothing goes wrong but
    /// what is ordered.
    pub(super) fn alone(&mut self) {
        self.alone = true;
        self.calm = true;
    }

    fn runnable(&self, who: usize) -> bool {
        let process = &self.processes[who];
        let blocked = process
            .waits
            .is_some_and(|inode| self.inodes[inode].lock.is_some());
        !process.done && !blocked
    }

    /// Draws who runs next.
    pub(super) fn schedule(&mut self, from: usize) {
        if self.runnable(from) && self.random.chance(self.rates.go_on) {
            self.current = from;
            return;
        }
        let all = || 0..self.processes.len();
        let ready: Vec<usize> = all().filter(|who| self.runnable(*who)).collect();
        let awake = |who: &usize| self.processes[*who].frozen_until <= self.calls;
        let awake: Vec<usize> = ready.iter().copied().filter(awake).collect();
        let from = if awake.is_empty() { ready } else { awake };
        if from.is_empty() {
            // All are done, or all wait for a lock that nobody gives back.
            self.stuck = self.processes.iter().any(|process| !process.done);
            return;
        }
        let drawn = self.random.below(from.len() as u64) as usize;
        self.current = from[drawn];
    }

    /// The process is dead: its locks are free.
    pub(super) fn kill(&mut self, who: usize) {
        self.kills += 1;
        self.processes[who].life += 1;
        self.processes[who].waits = None;
        for inode in &mut self.inodes {
            if inode
                .lock
                .is_some_and(|descriptor| descriptor % 16 == who as u64)
            {
                inode.lock = None;
            }
        }
    }

    /// All processes are dead, and what was not synced is there or not.
    pub(super) fn power_cut(&mut self) {
        self.power_cuts += 1;
        // Nobody goes on: the next one opens the log.
        self.fell = None;
        for who in 0..self.processes.len() {
            self.kill(who);
        }
        let names: Vec<String> = self
            .names
            .keys()
            .chain(self.durable_names.keys())
            .cloned()
            .collect();
        let mut after = BTreeMap::new();
        for name in names {
            let new = self.random.chance(50);
            let from = if new {
                &self.names
            } else {
                &self.durable_names
            };
            match from.get(&name) {
                Some(inode) => after.insert(name, *inode),
                None => after.remove(&name),
            };
        }
        self.durable_names.clone_from(&after);
        self.names = after;
        for inode in &mut self.inodes {
            inode.power_cut(&mut self.random);
        }
    }

    /// From now on only this process lives.
    pub(super) fn only(&mut self, who: usize) {
        for process in &mut self.processes {
            process.done = true;
        }
        self.processes[who].done = false;
        self.current = who;
    }

    /// Memory is short: what is clean and not on the disk shows as it is there.
    pub(super) fn evict(&mut self) {
        let before = self.declared();
        for inode in &mut self.inodes {
            inode.evict();
        }
        if let Some(before) = before
            && self.declared().is_none_or(|now| now < before)
        {
            self.falls += 1;
            self.fell = self.fell.max(Some(before));
        }
    }

    /// What `commit` says to all.
    fn declared(&self) -> Option<u64> {
        let commit = *self.names.get(commit::NAME)?;
        commit::declared(&self.inodes[commit].cache)
    }

    /// Looks whether `commit` says again what it said before it went back.
    pub(super) fn rises(&mut self) {
        if self.fell.is_some() && self.declared() >= self.fell {
            self.fell = None;
        }
    }

    /// What is known when something begins.
    pub(super) fn now(&self) -> Now {
        Now {
            newest: self.model.newest(),
            falls: self.falls,
            fallen: self.fell.is_some(),
        }
    }

    /// Whether `commit` may have said less than before to what began then.
    pub(super) fn may_be_behind(&self, then: Now) -> bool {
        then.fallen || then.falls != self.falls
    }

    /// What the machine does by itself.
    pub(super) fn weather(&mut self, who: usize) {
        if self.calm {
            return;
        }
        if self.random.rarely(self.rates.freeze) {
            let calls = self.random.below(200);
            self.processes[who].frozen_until = self.calls + calls;
        }
        if self.random.rarely(self.rates.failed_write_back) {
            let at = self.random.below(self.inodes.len() as u64) as usize;
            if let Some(inode) = self.inodes.get_mut(at) {
                inode.fail(&mut self.random);
            }
        }
        if self.random.rarely(self.rates.evict) {
            self.evict();
        }
        if self.random.rarely(self.rates.power_cut) {
            self.power_cut();
        }
    }
}

impl World {
    pub(super) fn new(seed: u64, processes: usize, rates: Rates, model: Model) -> Self {
        Self {
            lazy: Mutex::default(),
            turns: (0..processes).map(|_| Condvar::new()).collect(),
            state: Mutex::new(State {
                random: Random::new(seed),
                rates,
                alone: false,
                orders: Vec::new(),
                fail_sync: None,
                fail_lazy_sync: None,
                fail_write: None,
                struck: Vec::new(),
                current: 0,
                processes: (0..processes).map(|_| Process::default()).collect(),
                inodes: Vec::new(),
                names: BTreeMap::new(),
                durable_names: BTreeMap::new(),
                descriptors: 0,
                calls: 0,
                trace: 0,
                model,
                calm: false,
                kills: 0,
                power_cuts: 0,
                failed_syncs: 0,
                failed_dir_syncs: 0,
                rolls: 0,
                trims: 0,
                falls: 0,
                fell: None,
                stuck: false,
            }),
        }
    }

    /// One moment between two calls, or in one of them after its effect. The lazy sync comes when
    /// it is due and nothing holds it up.
    pub(super) fn moment(&self) {
        const EIO: i32 = 5;
        let Some(moments) = self.state.lock().fail_lazy_sync else {
            return;
        };
        let Some(log) = self.lazy.lock().upgrade() else {
            return;
        };
        if moments > 0 || log.commit.is_syncing() {
            self.state.lock().fail_lazy_sync = Some(moments.saturating_sub(1));
            return;
        }
        let ordered = {
            let state = &mut *self.state.lock();
            state.fail_lazy_sync = None;
            state.fail_sync.replace(EIO)
        };
        // The log hears of a failure by its own means.
        let _ = log.sync_commit();
        self.state.lock().fail_sync = ordered;
    }

    /// The state, for whoever has the baton.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Waits for the first turn of a process.
    pub(super) fn begin(&self, who: usize) {
        let mut state = self.state.lock();
        while state.current != who && !state.stuck {
            self.turns[who].wait(&mut state);
        }
    }

    /// The process is over.
    pub(super) fn end(&self, who: usize) {
        let mut state = self.state.lock();
        state.processes[who].done = true;
        state.schedule(who);
        let next = state.current;
        self.turns[next].notify_one();
        if state.stuck {
            self.turns.iter().for_each(|turn| {
                turn.notify_one();
            });
        }
    }

    /// Files with these contents, all durable, and their names too.
    pub(super) fn put(&self, contents: &BTreeMap<String, Vec<u8>>) {
        let mut state = self.state.lock();
        for (name, bytes) in contents {
            let inode = state.inodes.len();
            state.inodes.push(Inode::durable(bytes));
            state.names.insert(name.clone(), inode);
        }
        state.durable_names = state.names.clone();
    }

    /// A new life of a process.
    pub(super) fn machine(self: &Arc<Self>, who: usize) -> Machine {
        let life = self.state.lock().processes[who].life;
        Machine::new(self.clone(), who, life)
    }
}

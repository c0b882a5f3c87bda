//! The machine that the simulated processes share: its files, and who runs.
//!
//! Each process is a thread, and exactly one of them runs: it hands the baton on at every call of
//! the disk, to the one that the seed draws. So the production code itself runs, in an order that
//! a seed repeats.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::super::disk::{Access, Disk, DiskFile, Identity};
use super::inode::Inode;
use super::model::Model;
use super::random::Random;

/// What a killed process unwinds with.
#[derive(Debug)]
pub(super) struct Killed;

/// How often what happens: of 10,000 calls of the disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Rates {
    pub(super) kill: u64,
    pub(super) kill_after_rename: u64,
    pub(super) power_cut: u64,
    pub(super) failed_sync: u64,
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
const CALLS_MAX: u64 = 200_000;

#[derive(Debug, Default)]
struct Process {
    /// Counts its lives.
    life: u64,
    done: bool,
    /// The inode whose lock it waits for.
    waits: Option<usize>,
    frozen_until: u64,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) random: Random,
    rates: Rates,
    current: usize,
    processes: Vec<Process>,
    pub(super) inodes: Vec<Inode>,
    pub(super) names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    descriptors: u64,
    pub(super) calls: u64,
    pub(super) trace: u64,
    pub(super) model: Model,
    /// Faults of the machine are over: the last check runs.
    pub(super) calm: bool,
    pub(super) kills: u64,
    pub(super) power_cuts: u64,
    pub(super) failed_syncs: u64,
    stuck: bool,
}

#[derive(Debug)]
pub(super) struct World {
    state: Mutex<State>,
    turns: Vec<Condvar>,
}

impl State {
    fn note(&mut self, who: usize, what: u8, a: u64, b: u64) {
        for word in [who as u64, u64::from(what), a, b] {
            self.trace = (self.trace ^ word)
                .wrapping_mul(0x0100_0000_01b3)
                .rotate_left(17);
        }
    }

    fn runnable(&self, who: usize) -> bool {
        let process = &self.processes[who];
        let blocked = process
            .waits
            .is_some_and(|inode| self.inodes[inode].lock.is_some());
        !process.done && !blocked
    }

    /// Draws who runs next.
    fn schedule(&mut self, from: usize) {
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
    fn kill(&mut self, who: usize) {
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

    /// What the machine does by itself.
    fn weather(&mut self, who: usize) {
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
            // Everybody reads `commit` all the time: it stays in memory.
            let commit = self.names.get(super::super::commit::NAME).copied();
            for (at, inode) in self.inodes.iter_mut().enumerate() {
                if Some(at) != commit && inode.has_lost() {
                    inode.evict();
                }
            }
        }
        if self.random.rarely(self.rates.power_cut) {
            self.power_cut();
        }
    }
}

/// How a process sees the machine, for one life.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) world: Arc<World>,
    pub(super) who: usize,
    life: u64,
}

impl World {
    pub(super) fn new(seed: u64, processes: usize, rates: Rates, model: Model) -> Self {
        Self {
            turns: (0..processes).map(|_| Condvar::new()).collect(),
            state: Mutex::new(State {
                random: Random::new(seed),
                rates,
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
                stuck: false,
            }),
        }
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

    /// A new life of a process.
    pub(super) fn machine(self: &Arc<Self>, who: usize) -> Machine {
        let life = self.state.lock().processes[who].life;
        Machine {
            world: self.clone(),
            who,
            life,
        }
    }
}

fn dead() -> io::Error {
    io::Error::other("the process is dead")
}

impl Machine {
    /// One call of the disk: hands the baton on, and waits for its return.
    fn turn(&self, what: u8, a: u64, b: u64) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.world.state.lock();
        let alive = |state: &State| state.processes[self.who].life == self.life;
        if alive(&state) && !state.stuck {
            debug_assert_eq!(state.current, self.who);
            state.schedule(self.who);
            let next = state.current;
            if next != self.who {
                self.world.turns[next].notify_one();
                while state.current != self.who && !state.stuck {
                    self.world.turns[self.who].wait(&mut state);
                }
            }
        }
        if alive(&state) && !state.stuck {
            state.calls += 1;
            state.stuck |= state.calls > CALLS_MAX;
            state.note(self.who, what, a, b);
            state.weather(self.who);
            let doomed = state.rates.kill;
            // A write dies in its own way: part of it may be there.
            if what != b'w' && !state.calm && alive(&state) && state.random.rarely(doomed) {
                state.kill(self.who);
            }
        }
        if alive(&state) && !state.stuck {
            return Ok(state);
        }
        if state.stuck {
            // Nobody would wake the others.
            self.world.turns.iter().for_each(|turn| {
                turn.notify_one();
            });
            state
                .model
                .fail("the processes do not come to an end".into());
        }
        drop(state);
        die()
    }

    fn file(&self, state: &mut State, inode: usize) -> Arc<dyn DiskFile> {
        // The number tells the process.
        state.descriptors += 16;
        Arc::new(SimFile {
            machine: self.clone(),
            inode,
            descriptor: state.descriptors + self.who as u64,
            told: Mutex::new(state.inodes[inode].sample()),
        })
    }
}

/// Ends the life of this process at once.
fn die<T>() -> io::Result<T> {
    if std::thread::panicking() {
        // It unwinds already; what it closes on the way was closed by the kernel.
        return Err(dead());
    }
    std::panic::resume_unwind(Box::new(Killed));
}

impl Disk for Machine {
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.turn(b'o', name.len() as u64, 0)?;
        let inode = match state.names.get(name) {
            Some(inode) => *inode,
            None if access == Access::Create => {
                state.inodes.push(Inode::default());
                let inode = state.inodes.len() - 1;
                state.names.insert(name.into(), inode);
                inode
            }
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(self.file(&mut state, inode))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.turn(b'l', 0, 0)?.names.keys().cloned().collect())
    }

    fn identity(&self, name: &str) -> io::Result<Option<Identity>> {
        let state = self.turn(b'i', name.len() as u64, 0)?;
        Ok(state.names.get(name).map(|inode| (0, *inode as u64)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.turn(b'r', 0, 0)?;
        let inode = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.into(), inode);
        let rate = state.rates.kill_after_rename;
        if !state.calm && state.random.rarely(rate) {
            state.kill(self.who);
            drop(state);
            return die();
        }
        Ok(())
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        let mut state = self.turn(b'u', 0, 0)?;
        let removed = state.names.remove(name);
        removed.map(|_| ()).ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.turn(b'd', 0, 0)?;
        state.durable_names = state.names.clone();
        Ok(())
    }

    fn read_direct(&self, name: &str, offset: u64) -> io::Result<Option<Vec<u8>>> {
        let state = self.turn(b'D', offset, 0)?;
        let inode = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        let bytes = state.inodes[inode].direct();
        Ok(Some(
            bytes.get(offset as usize..).unwrap_or_default().to_vec(),
        ))
    }

    fn pause(&self, _: u32) {
        // Unwinds if it dies here.
        let turn = self.turn(b'p', 0, 0);
        drop(turn);
    }

    fn place(&self, name: &str) -> String {
        name.into()
    }
}

#[derive(Debug)]
struct SimFile {
    machine: Machine,
    inode: usize,
    descriptor: u64,
    /// Errors of the file that this descriptor was told of.
    told: Mutex<u64>,
}

impl DiskFile for SimFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.machine.turn(b'R', self.inode as u64, offset)?;
        let rate = state.rates.interrupt;
        if !state.calm && state.random.rarely(rate) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let cache = &state.inodes[self.inode].cache;
        let from = cache.get(offset as usize..).unwrap_or_default();
        let read = from.len().min(bytes.len());
        bytes[..read].copy_from_slice(&from[..read]);
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut state = self.machine.turn(b'w', self.inode as u64, offset)?;
        let calm = state.calm;
        let some = |state: &mut State| state.random.below(bytes.len() as u64 + 1) as usize;
        let rates = state.rates.clone();
        if !calm && state.random.rarely(rates.kill * 3) {
            // A write of one sector is not torn by a kill; a longer one may be.
            let part = some(&mut state);
            let part = if bytes.len() < 40 {
                part / 36 * 36
            } else {
                part
            };
            state.inodes[self.inode].write(&bytes[..part], offset as usize);
            state.kill(self.machine.who);
            drop(state);
            return die();
        }
        if !calm && state.random.rarely(rates.interrupt) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if !calm && state.random.rarely(rates.write_error) {
            // Some of it may have been written before the disk was full.
            let part = some(&mut state);
            if bytes.len() >= 40 && state.random.chance(50) {
                state.inodes[self.inode].write(&bytes[..part], offset as usize);
                return Ok(part.max(1).min(part));
            }
            return Err(io::ErrorKind::StorageFull.into());
        }
        let short = !calm && bytes.len() >= 40 && state.random.rarely(rates.short_write);
        let part = if short {
            some(&mut state).max(1)
        } else {
            bytes.len()
        };
        state.inodes[self.inode].write(&bytes[..part], offset as usize);
        Ok(part)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.machine.turn(b't', self.inode as u64, len)?;
        let rate = state.rates.write_error;
        if !state.calm && state.random.rarely(rate) {
            return Err(io::Error::other("no cut today"));
        }
        state.inodes[self.inode].set_len(len as usize);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let state = self.machine.turn(b'n', self.inode as u64, 0)?;
        Ok(state.inodes[self.inode].cache.len() as u64)
    }

    fn identity(&self) -> io::Result<Identity> {
        Ok((0, self.inode as u64))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.machine.turn(b's', self.inode as u64, 0)?;
        let rate = state.rates.failed_sync;
        let state = &mut *state;
        if !state.calm && state.random.rarely(rate) {
            state.inodes[self.inode].fail(&mut state.random);
        }
        let mut told = self.told.lock();
        state.inodes[self.inode].sync(&mut told).map_err(|()| {
            state.failed_syncs += 1;
            io::Error::other("the disk lost something")
        })
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn try_lock(&self) -> io::Result<bool> {
        let mut state = self.machine.turn(b'L', self.inode as u64, 0)?;
        let inode = &mut state.inodes[self.inode];
        if inode.lock.is_none() {
            inode.lock = Some(self.descriptor);
            state.processes[self.machine.who].waits = None;
            return Ok(true);
        }
        let own = inode.lock == Some(self.descriptor);
        if !own {
            state.processes[self.machine.who].waits = Some(self.inode);
        }
        Ok(own)
    }

    fn unlock(&self) -> io::Result<()> {
        let mut state = self.machine.turn(b'U', self.inode as u64, 0)?;
        let inode = &mut state.inodes[self.inode];
        if inode.lock == Some(self.descriptor) {
            inode.lock = None;
        }
        Ok(())
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        // Closing gives the lock back. It is no turn: a destructor must not unwind.
        let mut state = self.machine.world.state.lock();
        if state.processes[self.machine.who].life == self.machine.life
            && state.inodes[self.inode].lock == Some(self.descriptor)
        {
            state.inodes[self.inode].lock = None;
        }
    }
}

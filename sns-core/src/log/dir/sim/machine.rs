//! How one process sees the machine: the disk, call by call. At each the baton goes on, the weather
//! changes, and the process may die.

use std::io;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::super::disk::{Access, Disk, DiskFile, Identity};
use super::super::{segment, trim};
use super::inode::Inode;
use super::world::{CALLS_MAX, Fault, State, World};

/// What a killed process unwinds with.
#[derive(Debug)]
pub(super) struct Killed;

/// How a process sees the machine, for one life.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) world: Arc<World>,
    pub(super) who: usize,
    life: u64,
}

fn dead() -> io::Error {
    io::Error::other("the process is dead")
}

impl Machine {
    pub(super) fn new(world: Arc<World>, who: usize, life: u64) -> Self {
        Self { world, who, life }
    }

    /// One call of the disk: hands the baton on, and waits for its return.
    fn turn(&self, what: u8, a: u64, b: u64) -> io::Result<MutexGuard<'_, State>> {
        self.world.moment();
        let mut state = self.world.state.lock();
        let alive = |state: &State| state.processes[self.who].life == self.life;
        if alive(&state) && !state.stuck && !state.alone {
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
            // A sync that fails does so in its own way.
            if let Some(Fault::Errno(code)) = state.ordered()
                && !matches!(what, b's' | b'p')
            {
                state.struck.push(what);
                return Err(io::Error::from_raw_os_error(code));
            }
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
        if to == trim::NAME {
            state.trims += 1;
        } else {
            state.rolls += 1;
        }
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
        let rate = state.rates.failed_sync_dir;
        if !state.calm && state.random.rarely(rate) {
            // Some names may be on the disk and some not; the next sync brings them there.
            state.failed_dir_syncs += 1;
            return Err(io::Error::other("the directory could not be written"));
        }
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
        let most = state.part(b'R', bytes.len());
        let cache = &state.inodes[self.inode].cache;
        let from = cache.get(offset as usize..).unwrap_or_default();
        let read = from.len().min(most);
        bytes[..read].copy_from_slice(&from[..read]);
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut state = self.machine.turn(b'w', self.inode as u64, offset)?;
        let is_segment = offset >= segment::HEADER;
        if let Some(code) = state.fail_write.take_if(|_| is_segment) {
            return Err(io::Error::from_raw_os_error(code));
        }
        let calm = state.calm;
        let some = |state: &mut State| state.random.below(bytes.len() as u64 + 1) as usize;
        let rates = state.rates;
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
            state.part(b'w', bytes.len())
        };
        state.inodes[self.inode].write(&bytes[..part], offset as usize);
        state.rises();
        drop(state);
        self.machine.world.moment();
        Ok(part)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.machine.turn(b't', self.inode as u64, len)?;
        let rate = state.rates.write_error;
        if !state.calm && state.random.rarely(rate) {
            return Err(io::Error::other("no cut today"));
        }
        state.inodes[self.inode].set_len(len as usize);
        drop(state);
        self.machine.world.moment();
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let state = self.machine.turn(b'n', self.inode as u64, 0)?;
        Ok(state.inodes[self.inode].cache.len() as u64)
    }

    fn identity(&self) -> io::Result<Identity> {
        drop(self.machine.turn(b'I', self.inode as u64, 0)?);
        Ok((0, self.inode as u64))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.machine.turn(b's', self.inode as u64, 0)?;
        let rate = state.rates.failed_sync;
        let state = &mut *state;
        let calm = state.calm;
        let mut code = state.fail_sync.take();
        if let Some(Fault::Errno(ordered)) = state.ordered() {
            state.struck.push(b's');
            code = Some(ordered);
        }
        let ordered = code.map(io::Error::from_raw_os_error);
        let interrupted = |error: &io::Error| error.kind() == io::ErrorKind::Interrupted;
        if let Some(error) = ordered.as_ref().filter(|error| interrupted(error)) {
            return Err(error.kind().into());
        }
        if ordered.is_some() || (!calm && state.random.rarely(rate)) {
            state.inodes[self.inode].fail(&mut state.random);
        }
        let mut told = self.told.lock();
        let synced = state.inodes[self.inode].sync(&mut told).map_err(|()| {
            state.failed_syncs += 1;
            io::Error::other("the disk lost something")
        });
        ordered.map_or(synced, Err)
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

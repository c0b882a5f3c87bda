//! The right to write (rules R1, R9): an exclusive lock on the file `lock`, which the kernel takes
//! back when its holder dies.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::disk::{
    Access, DiskFile, Identity, process_start, read_full, uninterrupted, write_full,
};
use super::{AppendPhase, Error, Shared, refused, segment};

mod holder;

pub use holder::Holder;

/// The file's name; it is never deleted or replaced.
pub(super) const NAME: &str = "lock";

/// Bytes of the note that the holder leaves: pid, start time, node name.
const NOTE: usize = 160;

/// After so long without a move the holder is looked for.
const STILL: Duration = Duration::from_secs(1);

/// How often a waiting process looks whether anything moves.
const LOOK: Duration = Duration::from_millis(100);

/// The open file, and which one it is.
type Open = Option<(Arc<dyn DiskFile>, Identity)>;

/// One handle's descriptor. It is never duplicated: a duplicate would share the lock.
#[derive(Debug)]
pub(super) struct Lock {
    file: Arc<Mutex<Open>>,
    note: [u8; NOTE],
}

/// The right to write, until dropped.
#[derive(Debug)]
pub(super) struct Held {
    file: Arc<dyn DiskFile>,
    /// Where the handle keeps it, to be closed if it cannot be unlocked.
    kept: Arc<Mutex<Open>>,
    /// The file was opened just now: the log goes through Open before anything else.
    pub(super) opened: bool,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Err(error) = uninterrupted(|| self.file.unlock()) {
            // Cannot happen with a good descriptor. Closing it gives the lock back too, and nobody
            // else has it: without this, all others would wait for a process that does nothing.
            tracing::error!(%error, "the right to write could not be given back");
            *self.kept.lock() = None;
        }
    }
}

impl Lock {
    pub(super) fn new(node: &str) -> Self {
        let pid = std::process::id();
        let start = process_start(pid).unwrap_or_default();
        let words = format!("{pid} {start} {node}");
        let mut signature = [b' '; NOTE];
        let length = words.len().min(NOTE - 1);
        signature[..length].copy_from_slice(&words.as_bytes()[..length]);
        signature[NOTE - 1] = b'\n';
        Self {
            file: Arc::default(),
            note: signature,
        }
    }

    /// Closes the descriptor (rule R6).
    pub(super) fn close(&mut self) {
        *self.file.lock() = None;
    }

    /// Waits for the right to write, at most for the patience that was set.
    pub(super) fn take(&mut self, shared: &Shared) -> Result<Held, Error> {
        let disk = &*shared.disk;
        let mut opened = false;
        // The file is never replaced by us; if somebody does it, the new one counts.
        for _ in 0..10 {
            let known = self.file.lock().clone();
            let (file, identity) = if let Some(open) = known {
                open
            } else {
                let open = || {
                    let file = disk.open(NAME, Access::Create)?;
                    let identity = file.identity()?;
                    Ok((file, identity))
                };
                let open = open().map_err(|e| refused(disk, "opening", NAME, e))?;
                opened = true;
                self.file.lock().insert(open).clone()
            };
            wait(shared, &*file, identity)?;
            let kept = Arc::clone(&self.file);
            let held = Held { file, kept, opened };
            shared.enter(AppendPhase::HoldsLock);
            let named = disk
                .identity(NAME)
                .map_err(|e| refused(disk, "looking at", NAME, e))?;
            if named == Some(identity) {
                self.sign(&held, shared);
                return Ok(held);
            }
            tracing::warn!(
                lock = disk.place(NAME),
                "the lock file was replaced; it is never to be touched"
            );
            drop(held);
            self.close();
        }
        Err(Error::Unavailable(format!(
            "{} keeps being replaced",
            disk.place(NAME)
        )))
    }

    /// Leaves the holder's name, unless it still stands there.
    fn sign(&self, held: &Held, shared: &Shared) {
        let mut note = [0; NOTE];
        let same = read_full(&*held.file, &mut note, 0).is_ok_and(|_| note == self.note);
        if !same && let Err(error) = write_full(&*held.file, &self.note, 0) {
            // Without it nobody can be told who holds the lock; writing goes on.
            shared.weak(|weak| weak.unsigned = Some(error.to_string()));
        }
    }
}

/// Takes the lock, with patience, and looks after a holder that does not move.
fn wait(shared: &Shared, file: &dyn DiskFile, identity: Identity) -> Result<(), Error> {
    let disk = &*shared.disk;
    let began = Instant::now();
    let mut watch = None;
    let mut tries = 0_u32;
    loop {
        let taken =
            uninterrupted(|| file.try_lock()).map_err(|e| refused(disk, "locking", NAME, e))?;
        if taken {
            shared.weak(|weak| weak.holder = None);
            return Ok(());
        }
        if tries == 0 {
            shared.enter(AppendPhase::WaitsForLock);
        }
        if began.elapsed() > shared.options.lock_patience {
            shared.enter(AppendPhase::Idle);
            return Err(Error::Unavailable(format!(
                "another process has held the right to write for {:?}",
                began.elapsed()
            )));
        }
        if tries >= 64 && shared.options.background {
            watch
                .get_or_insert_with(|| Watch::new(shared, file))
                .look(shared, file, identity);
        }
        disk.pause(tries);
        tries = tries.saturating_add(1);
    }
}

/// What moves while the right to write changes hands.
#[derive(Debug, PartialEq, Eq)]
struct Signs {
    commit: Vec<u8>,
    note: Vec<u8>,
    /// The last segment and its length.
    end: Option<(u64, u64)>,
}

impl Signs {
    fn read(shared: &Shared, lock: &dyn DiskFile) -> Self {
        let disk = &*shared.disk;
        let end = segment::list(disk).ok().and_then(|firsts| {
            let first = *firsts.last()?;
            let file = disk.open(&segment::name(first), Access::Read).ok()?;
            Some((first, file.len().ok()?))
        });
        let mut note = vec![0; NOTE];
        let read = read_full(lock, &mut note, 0).unwrap_or_default();
        note.truncate(read);
        Self {
            commit: shared.commit.raw(),
            note,
            end,
        }
    }
}

/// Looks whether anything moves while this process waits (rule R9).
struct Watch {
    signs: Signs,
    still_since: Instant,
    looked: Instant,
}

impl Watch {
    fn new(shared: &Shared, lock: &dyn DiskFile) -> Self {
        let now = Instant::now();
        Self {
            signs: Signs::read(shared, lock),
            still_since: now,
            looked: now,
        }
    }

    fn look(&mut self, shared: &Shared, lock: &dyn DiskFile, identity: Identity) {
        let now = Instant::now();
        let gap = now - self.looked;
        if gap < LOOK {
            return;
        }
        self.looked = now;
        let signs = Signs::read(shared, lock);
        // A long gap: this process was stopped itself, and has not seen a second of standstill.
        if signs != self.signs || gap > 5 * LOOK {
            self.signs = signs;
            self.still_since = now;
            return;
        }
        if now - self.still_since < STILL {
            return;
        }
        self.still_since = now;
        let unmoved = || Signs::read(shared, lock) == signs;
        let word = holder::deal_with(identity, &signs.note, shared, unmoved);
        let news = shared.weak(|weak| {
            let news = weak.holder.as_ref() != Some(&word);
            weak.holder = Some(word.clone());
            news
        });
        if news {
            tracing::warn!("{word}");
        }
    }
}

//! [`DirLog`]: the log in a directory that several processes share.
//!
//! ```text
//! DATA/log/  00000000000000000001.seg   entries 1..
//!            00000000000000081234.seg   entries 81234..   the last one is written to
//!            commit                     up to which entry all is durable; readers stop there
//!            lock                       the right to write, held for microseconds
//!            head                       once something was trimmed
//! ```
//!
//! A writer takes the lock, goes to the true end, writes, gives the lock back, syncs, takes the
//! lock again and raises `commit`. Whoever dies in between leaves at most something behind that the
//! next one adopts or cuts. A sync that failed is never tried again: the process drops what it has
//! open and starts over from the disk.
//!
//! *Invariants.* Nobody reads past `commit`. `commit` never declares what is not on the disk. A
//! segment's existence declares everything before it durable, so only the last one can be torn.
//! What any witness declares durable is never cut: if it is bad or missing, that is damage.
//!
//! Source: Pillai et al., "All File Systems Are Not Created Equal" (OSDI 2014); Rebello et al.,
//! "Can Applications Recover from fsync Failures?" (ATC 2020).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::{AppendPhase, AppendProgress, Error, Log, LogId, Record};
use crate::limits::ENTRY_BYTES;

mod append;
mod commit;
mod disk;
mod follow;
mod frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod lock;
mod options;
mod read;
mod recovery;
mod segment;
#[cfg(any(test, feature = "test-util"))]
pub mod sim;
#[cfg(test)]
mod tests;
mod trim;
mod verify;
mod walk;

pub use super::verify::{Damage, VerifyReport};
pub use disk::network_file_system;
pub use lock::Holder;
#[doc(hidden)]
pub use options::Step;
pub use options::{DirLogOptions, HolderPolicy, Witness};

use append::Writer;
use disk::{Disk, RealDisk};
use follow::Follow;
use read::Reader;

/// How often `commit` is synced while it moves; once more when the log falls idle.
const COMMIT_SYNC_EVERY: Duration = Duration::from_secs(1);

/// A handle of a log in a directory. Several processes, and several handles in one process, may
/// have the same directory open.
#[derive(Debug)]
pub struct DirLog {
    shared: Arc<Shared>,
    writer: Mutex<Writer>,
    reader: Mutex<Reader>,
    helper: Option<JoinHandle<()>>,
}

/// What the parts of a handle share.
#[derive(Debug)]
struct Shared {
    disk: Arc<dyn Disk>,
    nodes: PathBuf,
    options: DirLogOptions,
    id: OnceLock<LogId>,
    head: AtomicU64,
    commit: commit::Commit,
    /// Something about the open descriptors went wrong outside of an append.
    broken: AtomicBool,
    /// Counts how often the reader's descriptors have to be dropped.
    dropped: AtomicU64,
    follow: OnceLock<Follow>,
    progress: Mutex<AppendProgress>,
    weak: Mutex<Weak>,
    chores: Mutex<Chores>,
    chore: Condvar,
}

/// What weakens the promises here, or stops writers.
#[derive(Debug, Default)]
struct Weak {
    holder: Option<String>,
    no_direct_read: bool,
    unsigned: Option<String>,
    reopens: bool,
}

/// What the thread that syncs `commit` has to do.
#[derive(Debug, Default)]
struct Chores {
    sync_now: bool,
    stop: bool,
}

impl Shared {
    /// The id; the log is open, so it is known.
    fn id(&self) -> LogId {
        *self.id.get_or_init(|| LogId(0))
    }

    /// Learns the id, or checks that it is still the same log.
    fn set_id(&self, id: LogId, chain: &recovery::Chain) -> Result<(), Error> {
        let known = *self.id.get_or_init(|| id);
        if known == id {
            return Ok(());
        }
        let what = format!("the log {id} stands where {known} was");
        let first = chain.last().first;
        Err(recovery::damaged(
            &*self.disk,
            first,
            (0, first),
            what,
            "this process",
        ))
    }

    fn head_is(&self, head: u64) {
        self.head.fetch_max(head, Ordering::AcqRel);
    }

    fn nodes_dir(&self) -> PathBuf {
        self.nodes.clone()
    }

    fn enter(&self, phase: AppendPhase) {
        let mut progress = self.progress.lock();
        progress.phase = phase;
        progress.since = Instant::now();
    }

    /// The sync that was entered last has ended well.
    fn synced(&self) {
        let mut progress = self.progress.lock();
        progress.last_sync = Some(progress.since.elapsed());
    }

    fn weak<T>(&self, change: impl FnOnce(&mut Weak) -> T) -> T {
        change(&mut self.weak.lock())
    }

    fn set_broken(&self) {
        self.broken.store(true, Ordering::Release);
    }

    fn take_broken(&self) -> bool {
        self.broken.swap(false, Ordering::AcqRel)
    }

    /// Rule R6: what is open is not trusted any more. Reads go on, by new descriptors.
    fn drop_descriptors(&self) {
        self.dropped.fetch_add(1, Ordering::AcqRel);
        if let Ok(file) = self.disk.open(commit::NAME, disk::Access::Read) {
            self.commit.set_file(Some(file));
        }
    }

    fn sync_commit_soon(&self) {
        self.chores.lock().sync_now = true;
        self.chore.notify_all();
    }

    /// Syncs `commit`; a failure sends the log through Open, which writes it anew.
    fn sync_commit(&self) -> io::Result<()> {
        self.commit.sync().inspect_err(|_| self.set_broken())
    }

    /// The lazy sync of `commit` (rule R7), on a thread of its own.
    fn keep_commit_synced(&self) {
        let mut chores = self.chores.lock();
        while !chores.stop {
            self.chore.wait_for(&mut chores, COMMIT_SYNC_EVERY);
            if !chores.stop && !self.commit.is_unsynced() {
                continue;
            }
            chores.sync_now = false;
            parking_lot::MutexGuard::unlocked(&mut chores, || {
                if let Err(error) = self.sync_commit() {
                    tracing::warn!(%error, "`commit` could not be synced");
                }
            });
        }
    }
}

impl DirLog {
    /// Opens the log in the directory `dir`, which is made if it is missing and may be made.
    ///
    /// On return all that was acknowledged before can be read, and what was written but never
    /// acknowledged is either durable now or gone.
    ///
    /// # Errors
    /// [`Error::Damaged`]: something that was declared durable is bad or missing.
    /// [`Error::Io`]: there is no log here and none may be made, or the operating system refused.
    /// [`Error::Full`], [`Error::Unavailable`]: it cannot be opened now.
    pub fn open(dir: &Path, options: DirLogOptions) -> Result<Self, Error> {
        if options.create && !options.read_only {
            make_dir(dir).map_err(|source| Error::Io {
                doing: format!("making {}", dir.display()),
                source,
            })?;
        }
        if !options.create {
            // Not even the lock is made where nothing is.
            let disk = RealDisk::new(dir);
            let names = disk.list().map_err(|e| failed(&disk, "opening", "", e))?;
            if names.is_empty() {
                return Err(recovery::no_log(&disk));
            }
        }
        let nodes = dir.parent().unwrap_or(dir).join("nodes");
        let events = options.file_events.then(|| dir.join(commit::NAME));
        Self::open_on(
            Arc::new(RealDisk::new(dir)),
            nodes,
            events.as_deref(),
            options,
        )
    }

    /// As [`DirLog::open`], on any disk.
    fn open_on(
        disk: Arc<dyn Disk>,
        nodes: PathBuf,
        events: Option<&Path>,
        options: DirLogOptions,
    ) -> Result<Self, Error> {
        let mut log = Self {
            writer: Mutex::new(Writer::new(&options.node)),
            reader: Mutex::default(),
            helper: None,
            shared: Arc::new(Shared {
                disk,
                nodes,
                options,
                id: OnceLock::new(),
                head: AtomicU64::new(1),
                commit: commit::Commit::default(),
                broken: AtomicBool::new(false),
                dropped: AtomicU64::new(0),
                follow: OnceLock::new(),
                progress: Mutex::new(AppendProgress {
                    phase: AppendPhase::Idle,
                    since: Instant::now(),
                    finished: 0,
                    last_sync: None,
                }),
                weak: Mutex::default(),
                chores: Mutex::default(),
                chore: Condvar::new(),
            }),
        };
        if log.shared.options.read_only {
            look_patiently(&log.shared)?;
        } else {
            let held = log.writer.get_mut().hold(&log.shared);
            log.shared.enter(AppendPhase::Idle);
            drop(held?);
            if log.shared.options.background {
                let shared = log.shared.clone();
                let helper = std::thread::Builder::new()
                    .name("sns-log-commit".into())
                    .spawn(move || shared.keep_commit_synced())
                    .map_err(|source| Error::Io {
                        doing: "starting the thread that syncs `commit`".into(),
                        source,
                    })?;
                log.helper = Some(helper);
            }
        }
        // `commit` is there now.
        log.shared.follow.get_or_init(|| Follow::new(events));
        Ok(log)
    }

    /// Reads the whole log in `dir` and says whether it is sound. Writes nothing, and holds up no
    /// writer; entries that are not durable yet are not looked at.
    ///
    /// # Errors
    /// [`Error::Io`]: there is no log here, or the operating system refused. Damage is part of
    /// the report.
    pub fn verify(dir: &Path) -> Result<VerifyReport, Error> {
        verify::verify(dir)
    }

    /// Where entries are written, for those who look at the sizes of things.
    fn segments(&self) -> Result<u64, Error> {
        let disk = &*self.shared.disk;
        let firsts = segment::list(disk).map_err(|e| failed(disk, "listing", "", e))?;
        Ok(firsts.len() as u64)
    }

    fn follow(&self) -> &Follow {
        self.shared.follow.get_or_init(|| Follow::new(None))
    }

    /// A `commit` that stays bad is written anew by going through Open.
    fn repair_commit(&self) -> Result<u64, Error> {
        if !self.shared.options.read_only {
            self.open_again()?;
        }
        Ok(self.shared.commit.known())
    }

    /// Goes through Open.
    fn open_again(&self) -> Result<(), Error> {
        let shared = &*self.shared;
        let mut writer = self.writer.lock();
        shared.set_broken();
        let held = writer.hold(shared);
        shared.enter(AppendPhase::Idle);
        held.map(drop)
    }

    /// What a reader sees that keeps no rule, for tests.
    fn tail_past_commit(&self) -> Result<u64, Error> {
        let mut tail = self.shared.commit.known() + 1;
        loop {
            let mut reader = self.reader.lock();
            match reader.read(&self.shared, tail, u64::MAX, ENTRY_BYTES, true)? {
                records if records.is_empty() => return Ok(tail),
                records => tail += records.len() as u64,
            }
        }
    }
}

impl Log for DirLog {
    fn id(&self) -> LogId {
        self.shared.id()
    }

    fn append(&self, payload: &[u8]) -> Result<u64, Error> {
        if payload.is_empty() || payload.len() > ENTRY_BYTES {
            return Err(Error::Invalid(format!(
                "an entry has 1 to {ENTRY_BYTES} bytes, this one {}",
                payload.len()
            )));
        }
        if self.shared.options.read_only {
            return Err(Error::Unavailable("it was opened to be read only".into()));
        }
        let appended = self.writer.lock().append(&self.shared, payload);
        {
            let mut progress = self.shared.progress.lock();
            progress.finished += 1;
            progress.phase = AppendPhase::Idle;
            progress.since = Instant::now();
        }
        self.follow().tell();
        appended
    }

    fn read(&self, from: u64, max_bytes: usize) -> Result<Vec<Record>, Error> {
        let shared = &*self.shared;
        let head = shared.head.load(Ordering::Acquire);
        if from < head {
            return Err(Error::Trimmed { head });
        }
        let mut tail = shared.commit.known() + 1;
        if from >= tail {
            tail = self.tail()?;
        }
        if from >= tail {
            return Ok(Vec::new());
        }
        let mut reader = self.reader.lock();
        reader.refresh(shared);
        reader.read(shared, from, tail, max_bytes, false)
    }

    fn tail(&self) -> Result<u64, Error> {
        if self.shared.options.lacks(Step::ReadersStopAtCommit) {
            return self.tail_past_commit();
        }
        let disk = &*self.shared.disk;
        if self.shared.options.read_only && !self.shared.commit.is_open() {
            // There was none, and here none is made; a writer may have made it since.
            match disk.open(commit::NAME, disk::Access::Read) {
                Ok(file) => self.shared.commit.set_file(Some(file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Ok(self.shared.commit.known() + 1);
                }
                Err(error) => return Err(failed(disk, "opening", commit::NAME, error)),
            }
        }
        let fresh = match self.shared.commit.read(disk, self.shared.id()) {
            Ok(Some(index)) => index,
            Ok(None) => self.repair_commit()?,
            Err(error) => return Err(failed(disk, "reading", commit::NAME, error)),
        };
        Ok(fresh + 1)
    }

    fn head(&self) -> Result<u64, Error> {
        let head = trim::read_head(&*self.shared.disk)?.map_or(1, |(_, head)| head);
        self.shared.head_is(head);
        Ok(head)
    }

    fn wait(&self, index: u64, timeout: Duration) -> Result<u64, Error> {
        let deadline = Instant::now() + timeout;
        let follow = self.follow();
        let wakes = follow.wakes();
        let _waiting = follow.waiting();
        loop {
            let turns = follow.turns();
            let tail = self.tail()?;
            if tail > index || follow.wakes() != wakes || Instant::now() >= deadline {
                return Ok(tail);
            }
            follow.sleep(turns, deadline);
        }
    }

    fn wake(&self) {
        self.follow().wake();
    }

    fn trim_to(&self, index: u64) -> Result<(), Error> {
        if self.shared.options.read_only {
            return Err(Error::Unavailable("it was opened to be read only".into()));
        }
        let trimmed = self.writer.lock().trim(&self.shared, index);
        self.shared.enter(AppendPhase::Idle);
        trimmed
    }

    fn size_bytes(&self) -> Result<u64, Error> {
        let disk = &*self.shared.disk;
        let mut bytes = 0;
        for first in segment::list(disk).map_err(|e| failed(disk, "listing", "", e))? {
            let name = segment::name(first);
            match disk
                .open(&name, disk::Access::Read)
                .and_then(|file| file.len())
            {
                Ok(length) => bytes += length,
                // Trimmed just now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(disk, "looking at", &name, error)),
            }
        }
        Ok(bytes)
    }

    fn progress(&self) -> AppendProgress {
        *self.shared.progress.lock()
    }

    fn weakness(&self) -> Option<String> {
        self.shared.weak(|weak| {
            let mut words: Vec<String> = weak.holder.iter().cloned().collect();
            if weak.reopens {
                words.push(
                    "a write or a sync failed: the log is opened anew with the next write".into(),
                );
            }
            if weak.no_direct_read {
                words.push(
                    "the file system cannot read past the page cache: after a failed sync, what \
                     is lost may not be noticed"
                        .into(),
                );
            }
            if let Some(error) = &weak.unsigned {
                words.push(format!("the lock file cannot be written: {error}"));
            }
            (!words.is_empty()).then(|| words.join("; "))
        })
    }

    fn close(&self) -> Result<(), Error> {
        if self.shared.options.read_only {
            return Ok(());
        }
        if self.shared.commit.is_lost() {
            // A second sync of the same bytes would say that all is well.
            self.open_again()?;
        }
        let disk = &*self.shared.disk;
        self.shared
            .sync_commit()
            .map_err(|e| failed(disk, "syncing", commit::NAME, e))
    }
}

impl Drop for DirLog {
    fn drop(&mut self) {
        self.shared.chores.lock().stop = true;
        self.shared.chore.notify_all();
        if let Some(helper) = self.helper.take() {
            // It ends after at most one sync; a panic there was reported already.
            let _ = helper.join();
        }
    }
}

/// Makes the directory, and its name durable.
fn make_dir(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    match std::fs::DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(error),
    }
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => std::fs::File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}

/// Looks at a log that others write and trim meanwhile.
fn look_patiently(shared: &Shared) -> Result<(), Error> {
    let mut tries = 0;
    loop {
        match recovery::look(shared) {
            Ok(_) => return Ok(()),
            Err(Error::Io { .. } | Error::Damaged { .. }) if tries < 5 => {
                shared.disk.pause(tries + 16);
                tries += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// The operating system refused something that writes nothing.
fn failed(disk: &dyn Disk, doing: &str, name: &str, source: io::Error) -> Error {
    Error::Io {
        doing: format!("{doing} {}", disk.place(name)),
        source,
    }
}

/// The operating system refused a step of a write: nothing of it stays.
#[allow(clippy::needless_pass_by_value, reason = "it ends `map_err`")]
fn refused(disk: &dyn Disk, doing: &str, name: &str, error: io::Error) -> Error {
    let text = format!("{doing} {}: {error}", disk.place(name));
    if disk::is_full(&error) {
        Error::Full(text)
    } else {
        Error::Unavailable(text)
    }
}

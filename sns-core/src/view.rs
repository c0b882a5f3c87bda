//! [`View`]: what the log says, folded: memory in front of a sled database. Disposable: in doubt it
//! is deleted and comes back from a snapshot and the log.

pub(crate) mod apply;
mod codec;
mod digest;
pub(crate) mod keys;
pub(crate) mod lists;
pub(crate) mod memory;
pub(crate) mod pages;
mod posts;
mod redo;
mod scrub;
pub(crate) mod seams;
mod slots;
pub(crate) mod snapshot;
pub(crate) mod store;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use self::apply::{Applied, Apply, Change, Rules};
use self::keys::KEY_BYTES;
pub(crate) use self::keys::UserNo;
use self::keys::meta::{FORMAT, Meta};
use self::memory::{Memory, Miss};
use self::seams::Seams;
use self::store::Store;
use self::writer::Writer;
use crate::command::{Command, Entry, Intent};
use crate::error::{Error as CoreError, Reason};
use crate::limits;
use crate::log::LogId;
use crate::seq::Seq;

/// Commands that are applied before readers get their turn.
const APPLY_CHUNK: usize = 64;
/// Attempts of a read to fetch what it misses without holding on to the memory: a list of 200 users takes
/// one for each part of it and one for the names in it.
const LOAD_TRIES: usize = 16;

/// How long a read that must not wait waits for the memory: chunks of commands are applied in less.
const NOW: Duration = Duration::from_millis(1);

/// See [`Options::check_bytes`].
const CHECK_BYTES: u64 = 32 * 1024 * 1024;

/// Why a view failed. It can always be rebuilt.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Error {
    /// What it stored is not what it reads.
    #[error("the view is damaged: {0}")]
    Damaged(String),
    /// The operating system refused.
    #[error("{0}")]
    Io(String),
    /// The disk is full.
    #[error("{0}")]
    Full(String),
    /// Another view takes its place just now.
    #[error("the view is closed: it is brought back from a snapshot and the log")]
    Closed,
    /// It differs from the digest that a checkpoint carries.
    #[error(
        "the view differs from the checkpoint of entry {index}: {ours:032x}, not {theirs:032x}"
    )]
    Diverged {
        index: u64,
        ours: u128,
        theirs: u128,
    },
    /// It is of another log, or of another version.
    #[error("the view does not fit: {0}")]
    Mismatch(String),
    /// Something of the kind is under way.
    #[error("a snapshot is being made already")]
    Busy,
}

impl Error {
    fn lost(key: keys::Key) -> Self {
        Self::Damaged(format!("{key:?} is missing"))
    }
}

impl From<Error> for CoreError {
    fn from(error: Error) -> Self {
        let reason = match &error {
            Error::Busy => Reason::Overloaded,
            Error::Full(_) => Reason::DiskFull,
            Error::Io(_) => Reason::LogUnavailable,
            Error::Closed => Reason::Starting,
            Error::Damaged(_) | Error::Diverged { .. } | Error::Mismatch(_) => Reason::Damaged,
        };
        Self::new(reason, error.to_string())
    }
}

/// Where a view stands, as others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The last command that was applied.
    pub(crate) applied: Seq,
    /// The last entry that was applied as a whole, and the log's checksum of it.
    pub(crate) index: u64,
    pub(crate) crc: u32,
    pub(crate) digest: u128,
    pub(crate) users: u64,
    pub(crate) posts: u64,
    pub(crate) follows: u64,
    pub(crate) cache_bytes: u64,
}

/// How to open a view.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) cache_bytes: usize,
    pub(crate) rules: Rules,
    /// Check every stored byte before it is used: after a power cut.
    pub(crate) check: bool,
    /// A database up to this size is always checked first: it takes less than a tenth of a second. In
    /// a larger one the scrub, which begins at once, finds what is wrong a little later.
    pub(crate) check_bytes: u64,
    /// Idle steps of the writer between two rounds of the scrub.
    pub(crate) scrub_rest: u32,
    pub(crate) seams: Seams,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes: limits::CACHE_BYTES,
            rules: Rules::default(),
            check: false,
            check_bytes: CHECK_BYTES,
            scrub_rest: scrub::REST_STEPS,
            seams: Seams::default(),
        }
    }
}

/// One replica's view.
#[derive(Debug)]
pub(crate) struct View {
    memory: Arc<RwLock<Memory>>,
    store: Store,
    writer: Writer,
    rules: Rules,
    /// The digests at the last entries, to compare with checkpoints.
    history: Mutex<VecDeque<(u64, u128)>>,
}

impl View {
    /// Opens the view in `dir`, or makes an empty one of the log `log_id`.
    ///
    /// # Errors
    /// `Full`: try again when there is room. All others: delete and rebuild it.
    pub(crate) fn open(dir: &Path, log_id: LogId, options: &Options) -> Result<Self, Error> {
        Self::over(Store::open(dir, options.seams.clone())?, log_id, options)
    }

    /// Makes a view from a snapshot of the log `log_id`; there is none in `dir` yet.
    ///
    /// # Errors
    /// The snapshot is of no use, or the view cannot be written.
    pub(crate) fn load(
        dir: &Path,
        snapshot: &Path,
        log_id: LogId,
        options: &Options,
    ) -> Result<Self, Error> {
        let store = Store::open(dir, options.seams.clone())?;
        snapshot::load(snapshot, log_id, &store)?;
        Self::over(store, log_id, options)
    }

    fn over(store: Store, log_id: LogId, options: &Options) -> Result<Self, Error> {
        let meta = match store.meta()? {
            None => Meta::new(log_id),
            Some(meta) if meta.format != FORMAT => {
                return Err(Error::Mismatch(format!(
                    "it has format {}, this program {FORMAT}",
                    meta.format
                )));
            }
            Some(meta) if meta.log_id() != log_id => {
                return Err(Error::Mismatch(format!(
                    "it is of the log {}, this is {log_id}",
                    meta.log_id()
                )));
            }
            Some(meta) => meta,
        };
        if options.check || store.bytes()? <= options.check_bytes {
            scrub::check_all(&store, &meta)?;
        }
        let mut memory = Memory::new(meta.clone(), options.cache_bytes);
        store.load_requests(&mut memory)?;
        let memory = Arc::new(RwLock::new(memory));
        // A checkpoint may be of the very entry at which this view was stored.
        let known = meta.entry_done.then(|| (meta.applied.index(), meta.digest));
        let scrub = scrub::Scrub::new(options.scrub_rest);
        let writer = Writer::start(Arc::clone(&memory), store.clone(), meta, scrub)?;
        Ok(Self {
            memory,
            store,
            writer,
            rules: options.rules,
            history: Mutex::new(known.into_iter().collect()),
        })
    }

    /// Where the view stands now.
    pub(crate) fn standing(&self) -> Standing {
        let memory = self.memory.read();
        let meta = &memory.meta;
        Standing {
            applied: meta.applied,
            index: meta.applied_index(),
            crc: meta.crc,
            digest: meta.digest,
            users: meta.users.into(),
            posts: meta.posts,
            follows: meta.follows,
            cache_bytes: memory.bytes() as u64,
        }
    }

    /// The entry from which the log must be read on, and the checksum that the entry must have if
    /// the view holds (some of) it already.
    pub(crate) fn resume(&self) -> (u64, Option<u32>) {
        let meta = &self.memory.read().meta;
        match meta.applied.index() {
            0 => (1, None),
            index => (index, Some(meta.crc)),
        }
    }

    /// Applies what it has not applied yet of the entry at `index`; returns one outcome per command
    /// (none when all of it was applied before) and what changed for open streams.
    ///
    /// # Errors
    /// The view is of no use any more; delete and rebuild it.
    pub(crate) fn apply(
        &self,
        index: u64,
        crc: u32,
        entry: &Entry,
    ) -> Result<(Vec<Applied>, Vec<Change>), Error> {
        self.writer.wait_for_room()?;
        let mut changes = Vec::new();
        let outcomes = self
            .apply_commands(index, crc, entry, &mut changes)
            .inspect_err(|error| self.writer.fail(error.clone()))?;
        self.note_digest(index);
        for command in &entry.commands {
            if let Intent::Checkpoint {
                index,
                digest,
                digest_version,
            } = command.intent
                && digest_version == digest::VERSION
            {
                self.compare(index, digest)?;
            }
        }
        Ok((outcomes, changes))
    }

    fn apply_commands(
        &self,
        index: u64,
        crc: u32,
        entry: &Entry,
        changes: &mut Vec<Change>,
    ) -> Result<Vec<Applied>, Error> {
        let mut outcomes = Vec::with_capacity(entry.commands.len());
        let mut slots = (0_u16..).zip(&entry.commands).peekable();
        while slots.peek().is_some() {
            let mut memory = self.memory.write();
            let done = memory.meta.applied;
            // A clock that is out of its mind does not count: log time never goes back.
            let clock = Some(entry.clock_ms).filter(|ms| *ms <= limits::CLOCK_MS_MAX);
            let log_time = memory.meta.log_time_ms.max(clock.unwrap_or_default());
            for (slot, command) in slots.by_ref().take(APPLY_CHUNK) {
                let seq = Seq::new(index, slot);
                if seq <= done {
                    continue;
                }
                memory.meta.log_time_ms = log_time;
                let applied = Apply {
                    memory: &mut memory,
                    store: &self.store,
                    rules: self.rules,
                    changes,
                }
                .command(seq, command);
                // Before the writer can look: a command that failed half way is in here.
                let applied = applied.inspect_err(|_| memory.abandon())?;
                outcomes.push(applied);
                let meta = &mut memory.meta;
                meta.applied = seq;
                meta.crc = crc;
                meta.entry_done = usize::from(slot) + 1 == entry.commands.len();
                if memory.batch_is_full() {
                    let batch = memory.seal();
                    self.writer.push(batch);
                }
            }
            if memory.meta.entry_done && self.writer.wants_entry_end() {
                let batch = memory.seal();
                self.writer.push(batch);
            }
            memory.touch();
            memory.evict();
        }
        Ok(outcomes)
    }

    /// Takes in one fact of other data as if it had happened at `seq` and at this log time; there is
    /// no log, and what comes of it is kept by a snapshot alone.
    ///
    /// # Errors
    /// The view is of no use any more.
    pub(crate) fn take_in(
        &self,
        seq: Seq,
        log_time_ms: u64,
        intent: Intent,
    ) -> Result<apply::Outcome, Error> {
        self.writer.wait_for_room()?;
        let mut memory = self.memory.write();
        memory.meta.log_time_ms = log_time_ms;
        let command = Command {
            request_id: None,
            seen: Seq::ZERO,
            intent,
        };
        let applied = Apply {
            memory: &mut memory,
            store: &self.store,
            rules: self.rules,
            changes: &mut Vec::new(),
        }
        .command(seq, &command);
        let applied = applied.inspect_err(|_| memory.abandon())?;
        memory.meta.applied = memory.meta.applied.max(seq);
        memory.meta.entry_done = true;
        if memory.batch_is_full() || self.writer.wants_entry_end() {
            let batch = memory.seal();
            self.writer.push(batch);
        }
        memory.touch();
        memory.evict();
        Ok(applied.outcome)
    }

    /// Where facts end that were taken in: at `seq`, behind them all, and at this log time.
    pub(crate) fn end_at(&self, seq: Seq, log_time_ms: u64) {
        let mut memory = self.memory.write();
        debug_assert!(memory.meta.applied < seq);
        memory.meta.applied = seq;
        memory.meta.log_time_ms = log_time_ms;
    }

    fn note_digest(&self, index: u64) {
        let digest = self.memory.read().meta.digest;
        let mut history = self.history.lock();
        debug_assert!(history.back().is_none_or(|(last, _)| *last < index));
        history.push_back((index, digest));
        if history.len() > limits::DIGESTS_KEPT {
            history.pop_front();
        }
    }

    /// Compares with a checkpoint, if the digest of that entry is still known.
    fn compare(&self, index: u64, theirs: u128) -> Result<(), Error> {
        let history = self.history.lock();
        let at = history.binary_search_by_key(&index, |(index, _)| *index);
        match at.map(|at| history[at].1) {
            Ok(ours) if ours != theirs => Err(Error::Diverged {
                index,
                ours,
                theirs,
            }),
            _ => Ok(()),
        }
    }

    /// Runs `read` over memory, fetching from sled what it misses.
    ///
    /// # Errors
    /// Outside: sled does not give back what it was given; the view is marked as failed. Inside: what
    /// `read` refused.
    pub(crate) fn read<T>(
        &self,
        read: impl Fn(&Memory) -> Result<T, ReadError>,
    ) -> Result<Result<T, CoreError>, Error> {
        self.try_read(read).inspect_err(|error| {
            if !matches!(error, Error::Closed) {
                self.writer.fail(error.clone());
            }
        })
    }

    /// Runs `read` over memory; `None` = it misses something that sled has, or the memory is not to be
    /// had at once.
    ///
    /// # Errors
    /// What `read` refused.
    pub(crate) fn read_now<T>(
        &self,
        read: impl FnOnce(&Memory) -> Result<T, ReadError>,
    ) -> Result<Option<T>, CoreError> {
        // The applier and the writer hold it for long now and then.
        let Some(memory) = self.memory.try_read_for(NOW) else {
            return Ok(None);
        };
        match read(&memory) {
            Ok(found) => Ok(Some(found)),
            Err(ReadError::Refused(error)) => Err(error),
            Err(ReadError::Miss(_)) => Ok(None),
        }
    }

    fn try_read<T>(
        &self,
        read: impl Fn(&Memory) -> Result<T, ReadError>,
    ) -> Result<Result<T, CoreError>, Error> {
        for _ in 0..LOAD_TRIES {
            let (keys, tickets) = {
                let memory = self.memory.read();
                match read(&memory) {
                    Ok(found) => return Ok(Ok(found)),
                    Err(ReadError::Refused(error)) => return Ok(Err(error)),
                    Err(ReadError::Miss(Miss::Lost(key))) => return Err(Error::lost(key)),
                    Err(ReadError::Miss(Miss::Fetch(keys))) => {
                        let tickets: Vec<u64> =
                            keys.iter().map(|key| memory.ticket(*key)).collect();
                        (keys, tickets)
                    }
                }
            };
            let mut values = Vec::with_capacity(keys.len());
            for key in &keys {
                values.push(self.store.get(*key)?);
            }
            let mut memory = self.memory.write();
            memory.touch();
            for ((key, value), ticket) in keys.into_iter().zip(values).zip(tickets) {
                memory.admit(key, value, ticket);
            }
            // A replica that is only read from keeps its budget too.
            memory.evict();
        }
        // What it needs is evicted as fast as it is fetched: hold on to the memory for once.
        let mut memory = self.memory.write();
        let found = loop {
            match read(&memory) {
                Ok(found) => break Ok(found),
                Err(ReadError::Refused(error)) => break Err(error),
                Err(ReadError::Miss(Miss::Lost(key))) => return Err(Error::lost(key)),
                Err(ReadError::Miss(Miss::Fetch(keys))) => memory.load(&self.store, &keys)?,
            }
        };
        memory.evict();
        Ok(found)
    }

    /// Whether entries wait to be applied.
    pub(crate) fn behind(&self, behind: bool) {
        self.writer.behind(behind);
    }

    /// Fails when the view was found to be of no use; delete and rebuild it.
    ///
    /// # Errors
    /// What was found.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.writer.check()
    }

    /// As if it had been found to be damaged.
    #[cfg(test)]
    pub(crate) fn fail(&self) {
        self.writer.fail(Error::Damaged("a test says so".into()));
    }

    /// Why nothing goes to sled at the moment.
    pub(crate) fn stuck(&self) -> Option<String> {
        self.writer.stuck()
    }

    /// Copies the view into `dir` while sled stands still at the end of an entry, with all that is applied
    /// now; memory goes on serving and applying meanwhile.
    ///
    /// # Errors
    /// `Busy`: one is being made, or too much waited to be written. `Io`.
    pub(crate) fn snapshot(&self, dir: &Path) -> Result<snapshot::SnapshotInfo, Error> {
        self.snapshot_in(dir, false)
    }

    /// As [`View::snapshot`], but it does not give up because too much waits to be written: applying
    /// waits for it instead.
    ///
    /// # Errors
    /// `Busy`: one is being made, or the view is closed. `Io`.
    pub(crate) fn snapshot_patiently(&self, dir: &Path) -> Result<snapshot::SnapshotInfo, Error> {
        self.snapshot_in(dir, true)
    }

    fn snapshot_in(&self, dir: &Path, patient: bool) -> Result<snapshot::SnapshotInfo, Error> {
        let (done, result) = oneshot::channel();
        let dir = dir.to_owned();
        let from = self.memory.read().meta.applied;
        let write = Box::new(
            move |store: &Store, meta: &Meta, give_up: &dyn Fn() -> bool| {
                let _ = done.send(snapshot::write(&dir, store, meta, give_up));
            },
        );
        self.writer.hold(from, patient, write)?;
        result.recv().unwrap_or(Err(Error::Busy))
    }

    /// Writes all there is to sled, as long as it is sound, and ends the writer.
    pub(crate) fn close(&self) {
        self.writer.stop();
    }

    /// After [`View::close`]: brings what sled has to the disk, past the page cache.
    ///
    /// # Errors
    /// Not all of it is there.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.check()?;
        self.store.sync()
    }

    /// After [`View::close`]: closes the database, for another view in its place; false when its files
    /// cannot be opened again. Reads of what is not in memory are told so.
    pub(crate) fn release(&self) -> bool {
        self.store.release()
    }
}

/// Why a read of memory gave no answer.
#[derive(Debug)]
pub(crate) enum ReadError {
    Miss(Miss),
    Refused(CoreError),
}

impl From<Miss> for ReadError {
    fn from(miss: Miss) -> Self {
        Self::Miss(miss)
    }
}

impl From<CoreError> for ReadError {
    fn from(error: CoreError) -> Self {
        Self::Refused(error)
    }
}

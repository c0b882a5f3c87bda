//! [`Log`]: the shared, totally ordered history; the only durable truth.
//!
//! ```text
//!   head                          commit tail
//!    |                               |    |
//!    v                               v    v
//!    3    4    5    6    7    8    9    10 | 11  written, not durable yet: nobody reads it
//!    '---- readable, immutable ------'
//! ```
//!
//! Indexes are contiguous from 1. `tail` is the first index that is not durable: readers never see
//! it. A trimmed prefix is gone for good; `head` is the oldest index that can be read.
//!
//! A program may read a log without being a replica of it; what the payloads are, and the bytes on the
//! disk, is told in `docs/log-format.md` of the repository.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use sns_core::log::Log as _;
//! use sns_core::log::dir::{DirLog, DirLogOptions};
//! # let dir = tempfile::tempdir()?;
//! # let sns = sns_core::Sns::open(dir.path())?;
//! # sns.user("alice")?;
//!
//! // Beside programs that write: it takes no lock and changes nothing.
//! let options = DirLogOptions::default().create(false).read_only(true);
//! let log = DirLog::open(&dir.path().join("log"), options)?;
//! let (mut next, tail) = (log.head()?, log.tail()?);
//! while next < tail {
//!     for record in log.read(next, 1024 * 1024)? {
//!         println!("entry {}: {} bytes", record.index, record.payload.len());
//!         next = record.index + 1;
//!     }
//! }
//! # assert_eq!(next, 2);
//! # Ok(())
//! # }
//! ```
//!
//! Source: Balakrishnan et al., CORFU (NSDI 2012); Delos (OSDI 2020).

use std::fmt;
use std::time::{Duration, Instant};

#[cfg(any(test, feature = "test-util"))]
pub mod conformance;
pub mod dir;
#[cfg(feature = "nats")]
pub mod jetstream;
pub mod memory;
mod verify;

pub use verify::{Damage, VerifyReport, verify};

/// Names one log: drawn when it is made, never changed. A view or snapshot of another log is not
/// loaded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub u128);

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One entry, as the log gives it back.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// Its index, from 1.
    pub index: u64,
    /// A checksum that tells this entry from any other at the same index of the same log: views and
    /// snapshots keep that of their last entry.
    pub crc: u32,
    /// As it was appended: 1 to [`limits::ENTRY_BYTES`](crate::limits::ENTRY_BYTES) bytes.
    pub payload: Vec<u8>,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Record({}, {:08x}, {} bytes)",
            self.index,
            self.crc,
            self.payload.len()
        )
    }
}

/// What an append is doing, for the heartbeat of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendPhase {
    /// Nothing to do.
    Idle,
    /// Another process holds the right to write, or other machines have to answer.
    WaitsForLock,
    /// It holds the right to write.
    HoldsLock,
    /// Waits for the disk.
    Syncs,
}

/// How far appending has come.
#[derive(Clone, Copy, Debug)]
pub struct AppendProgress {
    /// The present phase.
    pub phase: AppendPhase,
    /// When it began.
    pub since: Instant,
    /// Appends finished by this handle, failed ones too.
    pub finished: u64,
    /// How long the disk took to sync the last append that came so far; `None` where no disk of this
    /// process is waited for.
    pub last_sync: Option<Duration>,
}

/// How long a view that is ahead of a log on other machines waits before that log is said to have
/// lost entries.
pub(crate) const WITNESS_PATIENCE: Duration = Duration::from_secs(5);

/// Is told the tail of a log.
pub type AskedTail = Box<dyn FnOnce(Result<u64, Error>) + Send>;

/// A shared, totally ordered history of opaque entries.
///
/// Calls block; they belong on threads of their own (the core has an appender and an applier). A
/// handle is shared by reference; one thread appends at a time.
pub trait Log: fmt::Debug + Send + Sync + 'static {
    /// Which log this is.
    fn id(&self) -> LogId;

    /// Appends `payload` as one entry, atomic and ordered among all writers; returns its index.
    ///
    /// `payload`: 1 to [`limits::ENTRY_BYTES`](crate::limits::ENTRY_BYTES) bytes.
    ///
    /// # Errors
    /// [`Error::Invalid`]: the bound is broken. [`Error::Unavailable`], [`Error::Full`],
    /// [`Error::Damaged`]: nothing was written. [`Error::Unknown`]: it may be in the log, now or
    /// later.
    /// # Durability
    /// On return the entry survives a kill of every process and a power cut, and
    /// `tail() > index` for every handle of the log.
    fn append(&self, payload: &[u8]) -> Result<u64, Error>;

    /// Reads durable entries in order, from index `from`: as many as fit in `max_bytes` of
    /// payload, but at least one if `from < tail`; none if `from >= tail`.
    ///
    /// # Errors
    /// [`Error::Trimmed`]: `from` is below the head. [`Error::Damaged`]: what is stored is not what
    /// was written; entries before it come back without an error first. [`Error::Io`].
    fn read(&self, from: u64, max_bytes: usize) -> Result<Vec<Record>, Error>;

    /// The first index that is not durable, fresh: all that any process was told is durable lies
    /// below it. 1 when the log is empty.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Damaged`], [`Error::Unavailable`].
    fn tail(&self) -> Result<u64, Error>;

    /// Asks for [`Log::tail`] without waiting for it; `then` is called once, on any thread.
    fn ask_tail(&self, then: AskedTail) {
        then(self.tail());
    }

    /// The tail as this handle knew it last: past all that it read or appended. Never waits for
    /// another machine.
    ///
    /// # Errors
    /// As [`Log::tail`].
    fn known_tail(&self) -> Result<u64, Error> {
        self.tail()
    }

    /// Whether a view that holds an entry other than the log's at the same index proves that the
    /// log lost what was durable. Otherwise the view is taken to be wrong.
    fn views_are_witnesses(&self) -> bool {
        false
    }

    /// The oldest index that can be read; equals the tail when there is none.
    ///
    /// # Errors
    /// As [`Log::tail`].
    fn head(&self) -> Result<u64, Error>;

    /// Waits until `tail() > index`, at most for `timeout`; returns the tail it saw last, also
    /// when the time is over. Wakes within 50 ms of another process's append.
    ///
    /// # Errors
    /// As [`Log::tail`].
    fn wait(&self, index: u64, timeout: Duration) -> Result<u64, Error>;

    /// Wakes every [`Log::wait`] of this handle, so that a stopping process need not sit it out.
    fn wake(&self);

    /// Forgets entries up to and including `index`; fewer may go, never more. Never past the
    /// newest durable entry.
    ///
    /// # Errors
    /// [`Error::Invalid`]: `index` is not durable yet. [`Error::Io`], [`Error::Unavailable`].
    fn trim_to(&self, index: u64) -> Result<(), Error>;

    /// Bytes the log takes, about; never waits for another machine.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn size_bytes(&self) -> Result<u64, Error>;

    /// What appending does now.
    fn progress(&self) -> AppendProgress;

    /// What weakens the promises of this log here, or stops its writers; `None` when all is well.
    /// For a human.
    fn weakness(&self) -> Option<String>;

    /// Brings lazily synced state to disk before a clean stop.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn close(&self) -> Result<(), Error>;
}

/// Why a log refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A bound is broken; nothing was written.
    #[error("{0}")]
    Invalid(String),
    /// The log cannot be opened like this: what was asked for, or what was found, will not do.
    #[error("{0}")]
    Refused(String),
    /// No writes now; nothing was written.
    #[error("the log is not available now: {0}")]
    Unavailable(String),
    /// The disk is full; nothing was written.
    #[error("the disk is full: {0}")]
    Full(String),
    /// The entry may be in the log, now or later.
    #[error("it cannot be told whether the entry is in the log: {0}")]
    Unknown(String),
    /// The index was trimmed.
    #[error("the log begins at entry {head}; what stood before it was trimmed")]
    Trimmed {
        /// The oldest index that can be read.
        head: u64,
    },
    /// What is stored is not what was written. Never served, never cut off.
    #[error("the log is damaged: {place}, entry {index}: {what} (witness: {witness})")]
    Damaged {
        /// Where: a segment and an offset in bytes, or a stream.
        place: String,
        /// The index that is bad or missing.
        index: u64,
        /// What was found.
        what: String,
        /// What declares that it was durable.
        witness: String,
    },
    /// The operating system refused.
    #[error("{doing}: {source}")]
    Io {
        /// What was tried, with the path.
        doing: String,
        /// Its answer.
        source: std::io::Error,
    },
}

impl From<Error> for crate::error::Error {
    fn from(error: Error) -> Self {
        use crate::error::Reason;
        let reason = match &error {
            Error::Refused(why) => return Self::invalid(why.clone()),
            Error::Invalid(_) => Reason::Internal,
            Error::Unavailable(_) | Error::Io { .. } => Reason::LogUnavailable,
            Error::Full(_) => Reason::DiskFull,
            Error::Unknown(_) => Reason::OutcomeUnknown,
            Error::Trimmed { .. } | Error::Damaged { .. } => Reason::Damaged,
        };
        Self::new(reason, error.to_string()).with_source(error)
    }
}

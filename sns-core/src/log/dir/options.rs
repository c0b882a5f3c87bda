//! What a caller sets when it opens the log.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::LogId;
use super::lock::Holder;
use crate::limits::SEGMENT_BYTES;

/// Something outside the log that declares entries durable: a snapshot or a node's view. An entry
/// up to `index` that is bad or missing is then damage, never an unfinished write (rule R7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// For messages: `view of a-master`, `snapshot 1200`.
    pub name: String,
    /// The log it came from. A witness of another log says nothing about this one.
    pub log_id: LogId,
    /// The last entry it holds.
    pub index: u64,
    /// [`Record::crc`](super::Record::crc) of that entry.
    pub crc: u32,
}

/// Decides whether a process that holds the right to write and does not move may be killed.
#[derive(Clone, Default)]
pub enum HolderPolicy {
    /// Server nodes (`-master`, `-slave`) and imports (`import...`): something restarts them or
    /// tells their user. An embedding program is only named.
    #[default]
    Nodes,
    /// Nobody: the holder is only named.
    Never,
    /// The caller looks closer, for instance at the lock of the node.
    Ask(Arc<dyn Fn(&Holder) -> bool + Send + Sync>),
}

impl HolderPolicy {
    /// Whether `holder` may be killed.
    pub fn allows(&self, holder: &Holder) -> bool {
        match self {
            Self::Never => false,
            Self::Nodes => {
                let node = holder.node.as_str();
                node.ends_with("-master") || node.ends_with("-slave") || node.starts_with("import")
            }
            Self::Ask(ask) => ask(holder),
        }
    }
}

impl fmt::Debug for HolderPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nodes => "Nodes",
            Self::Never => "Never",
            Self::Ask(_) => "Ask",
        })
    }
}

/// How to open a [`DirLog`](super::DirLog).
#[derive(Clone, Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a setting of its own"
)]
pub struct DirLogOptions {
    pub(super) node: String,
    pub(super) segment_bytes: u64,
    pub(super) witnesses: Vec<Witness>,
    pub(super) file_events: bool,
    pub(super) create: bool,
    pub(super) read_only: bool,
    pub(super) holder_policy: HolderPolicy,
    pub(super) lock_patience: Duration,
    pub(super) log_id: Option<LogId>,
    pub(super) first: u64,
    pub(super) background: bool,
    pub(super) retry_after: Duration,
    #[cfg(any(test, feature = "test-util"))]
    pub(super) without: Option<Step>,
}

impl Default for DirLogOptions {
    fn default() -> Self {
        Self {
            node: "local".into(),
            segment_bytes: SEGMENT_BYTES,
            witnesses: Vec::new(),
            file_events: true,
            create: true,
            read_only: false,
            holder_policy: HolderPolicy::default(),
            lock_patience: Duration::from_secs(10),
            log_id: None,
            first: 1,
            background: true,
            retry_after: Duration::from_millis(10),
            #[cfg(any(test, feature = "test-util"))]
            without: None,
        }
    }
}

impl DirLogOptions {
    /// The name of this process among those of the data directory; others read it when it holds
    /// the right to write and does not move. Default: `local`.
    #[must_use]
    pub fn node(mut self, node: impl Into<String>) -> Self {
        self.node = node.into();
        self
    }

    /// Bytes after which a segment is full. Default: [`SEGMENT_BYTES`].
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// Who else declares entries durable. Default: nobody.
    #[must_use]
    pub fn witnesses(mut self, witnesses: Vec<Witness>) -> Self {
        self.witnesses = witnesses;
        self
    }

    /// Whether the operating system is asked to wake us when another process appends; without it
    /// (or where it does not work) a poll every 10 ms finds out. Default: yes.
    #[must_use]
    pub fn file_events(mut self, on: bool) -> Self {
        self.file_events = on;
        self
    }

    /// Whether a missing log is made; otherwise it is an error. Default: yes.
    #[must_use]
    pub fn create(mut self, on: bool) -> Self {
        self.create = on;
        self
    }

    /// Whether nothing at all is written: appends and trims are refused, nothing is recovered.
    /// Default: no.
    #[must_use]
    pub fn read_only(mut self, on: bool) -> Self {
        self.read_only = on;
        self
    }

    /// Which stopped holders may be killed. Default: [`HolderPolicy::Nodes`].
    #[must_use]
    pub fn holder_policy(mut self, policy: HolderPolicy) -> Self {
        self.holder_policy = policy;
        self
    }

    /// How long an append waits for the right to write before it is refused. Default: 10 s.
    #[must_use]
    pub fn lock_patience(mut self, patience: Duration) -> Self {
        self.lock_patience = patience;
        self
    }

    /// The id of a log that has to be made. Default: random.
    #[must_use]
    pub fn log_id(mut self, id: LogId) -> Self {
        self.log_id = Some(id);
        self
    }

    /// The index at which a log begins that has to be made: past 1, it is the copy of one that was
    /// trimmed. Default: 1.
    #[must_use]
    pub fn first(mut self, index: u64) -> Self {
        self.first = index.max(1);
        self
    }

    /// Leaves one step of the rules out, to prove that tests notice.
    #[cfg(any(test, feature = "test-util"))]
    #[must_use]
    pub fn without(mut self, step: Option<Step>) -> Self {
        self.without = step;
        self
    }

    /// Whether `step` was left out by a test; never outside of tests.
    #[cfg_attr(
        not(any(test, feature = "test-util")),
        allow(clippy::unused_self, reason = "the switch exists in tests only")
    )]
    pub(super) fn lacks(&self, step: Step) -> bool {
        #[cfg(any(test, feature = "test-util"))]
        return self.without == Some(step);
        #[cfg(not(any(test, feature = "test-util")))]
        {
            let _ = step;
            false
        }
    }
}

/// The steps of the rules without which an acknowledged entry is lost, a reader runs ahead of the
/// log, or sound data is reported as damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// R2: a torn rest is cut before the next frame is written.
    CutTornRest,
    /// R3: `commit` is set to the maximum of itself and the own entry.
    CommitMaximum,
    /// R3: only what was written before the sync was called is declared durable by it.
    CommitBeforeSync,
    /// R3: `commit` is raised before the entry is acknowledged.
    AcknowledgeAfterCommit,
    /// R3: nobody reads past `commit`.
    ReadersStopAtCommit,
    /// R4: the full segment is synced before the next one exists.
    RollSync,
    /// R4: a segment gets its name only after its header is written.
    RollTemporaryName,
    /// R4: the header is synced before the segment gets its name.
    RollSyncHeader,
    /// R4: the roll ends with a sync of the directory.
    RollSyncDirectory,
    /// R4: every process syncs the directory before it raises `commit` in a segment.
    FirstUseSyncDirectory,
    /// R5: the segment is synced when it is opened.
    OpenSync,
    /// R5: what stands beyond `commit` is read from the disk, not from the page cache.
    OpenFromDisk,
    /// R6: a failed sync is not tried again.
    NeverRetrySync,
    /// R7: a valid frame behind a bad one declares it durable.
    FrameWitness,
    /// R2: the true end is looked for from the last committed entry, never from where the writer
    /// stood last.
    TrueEndFromCommit,
    /// R5: what is adopted is the same on the disk and in the page cache.
    OpenAgrees,
    /// R3, R4: the directory is synced before `commit` is made.
    NamesBeforeCommit,
    /// R10: the directory is synced before segments below the head are removed.
    SyncBeforeLeftovers,
    /// R8: an index counts as durable only once `commit` says so, for its writer too.
    LearnFromCommit,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::CutTornRest,
        Self::CommitMaximum,
        Self::CommitBeforeSync,
        Self::AcknowledgeAfterCommit,
        Self::ReadersStopAtCommit,
        Self::RollSync,
        Self::RollTemporaryName,
        Self::RollSyncHeader,
        Self::RollSyncDirectory,
        Self::FirstUseSyncDirectory,
        Self::OpenSync,
        Self::OpenFromDisk,
        Self::NeverRetrySync,
        Self::FrameWitness,
        Self::TrueEndFromCommit,
        Self::OpenAgrees,
        Self::NamesBeforeCommit,
        Self::SyncBeforeLeftovers,
        Self::LearnFromCommit,
    ];
}

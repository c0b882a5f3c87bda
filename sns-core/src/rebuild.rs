//! [`ViewFiles`]: where a view lives, and how it comes back when it is of no use.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::data_dir::NodeLock;
use crate::error::{Error, Reason, Result};
use crate::log::{self, Log, LogId};
use crate::own_file;
use crate::snapshots::SnapshotStore;
use crate::view::snapshot::SnapshotInfo;
use crate::view::{self, Standing, View};

/// How often a node says in its directory how far its view is.
const NOTE_EVERY: Duration = Duration::from_secs(1);
/// How the directory of a view is named while it is deleted.
const GONE: &str = "view.gone-";
/// How the directory of a copy for a backup or an export begins; it goes with the call.
pub(crate) const CUT: &str = "cut-";

/// The directories of one node's view.
#[derive(Clone, Debug)]
pub(crate) struct ViewFiles(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    node_dir: PathBuf,
    /// `None`: a log in memory; there are no snapshots of it.
    snapshots: Option<SnapshotStore>,
    options: view::Options,
    noted: Mutex<Option<(Instant, u64)>>,
    /// Nobody else may touch them.
    _lock: Option<NodeLock>,
    /// Deletes the directory of a view that is not to be kept.
    _temporary: Option<tempfile::TempDir>,
}

/// Why a view does not stand on the log.
enum Unfit {
    /// It is of no use, but comes back from the log.
    Useless(String),
    /// The same, as far as can be told: the system would not let it be read, which may pass.
    Unreadable(String),
    /// The log lost what the view holds, or cannot be asked.
    Refused(Error),
}

impl From<view::Error> for Unfit {
    fn from(error: view::Error) -> Self {
        match error {
            view::Error::Full(_) => Self::Refused(error.into()),
            view::Error::Io(_) => Self::Unreadable(error.to_string()),
            error => Self::Useless(error.to_string()),
        }
    }
}

impl From<log::Error> for Unfit {
    fn from(error: log::Error) -> Self {
        Self::Refused(error.into())
    }
}

/// `nodes/<node>/applied`: what this node's view declares durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AppliedNote {
    pub(crate) log_id: String,
    pub(crate) index: u64,
    pub(crate) crc: u32,
}

impl AppliedNote {
    /// What the node in `node_dir` noted last; nothing when it cannot be read.
    pub(crate) fn read(node_dir: &Path) -> Option<(LogId, Self)> {
        let text = own_file::read(&node_dir.join("applied"), own_file::SMALL_BYTES).ok()?;
        let note: Self = serde_json::from_slice(&text).ok()?;
        let log_id = u128::from_str_radix(&note.log_id, 16).ok()?;
        Some((LogId(log_id), note))
    }
}

fn io_failed(doing: &str, path: &Path, error: io::Error) -> Error {
    let full = error.kind() == io::ErrorKind::StorageFull;
    let reason = if full {
        Reason::DiskFull
    } else {
        Reason::LogUnavailable
    };
    Error::new(reason, format!("{doing} {}: {error}", path.display())).with_source(error)
}

impl ViewFiles {
    pub(crate) fn new(
        node_dir: PathBuf,
        snapshots: Option<SnapshotStore>,
        options: view::Options,
        lock: Option<NodeLock>,
        temporary: Option<tempfile::TempDir>,
    ) -> Self {
        let noted = Mutex::default();
        Self(Arc::new(Inner {
            node_dir,
            snapshots,
            options,
            noted,
            _lock: lock,
            _temporary: temporary,
        }))
    }

    fn view_dir(&self) -> PathBuf {
        self.0.node_dir.join("view")
    }

    fn boot_file(&self) -> PathBuf {
        self.0.node_dir.join("boot")
    }

    /// Opens the view, or brings it back when it is missing, damaged, of another log, or behind the
    /// head of the log. After a power cut every stored byte is checked first.
    ///
    /// # Errors
    /// `Damaged`: it cannot come back, because the log was trimmed and no snapshot is good; or the
    /// log lost what the view holds.
    pub(crate) fn open(&self, log: &dyn Log) -> Result<View> {
        self.remove_leftovers();
        let boot = boot_id();
        let last = own_file::read(&self.boot_file(), own_file::SMALL_BYTES);
        let check = match &last {
            Ok(last) => boot.as_deref().map(str::as_bytes) != Some(last.trim_ascii()),
            // What is there and is not ours says nothing good.
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        };
        // What this node wrote last is checked before the marker says that it was: the check itself
        // may be interrupted.
        if !check {
            self.mark_running(boot.as_deref())?;
        }
        let view = self.open_checked(log, check)?;
        if check {
            self.mark_running(boot.as_deref())?;
        }
        Ok(view)
    }

    /// As [`ViewFiles::open`], in a process that had it open and lost it to the disk.
    ///
    /// # Errors
    /// As [`ViewFiles::open`].
    pub(crate) fn open_again(&self, log: &dyn Log) -> Result<View> {
        self.open_checked(log, true)
    }

    fn open_checked(&self, log: &dyn Log, check: bool) -> Result<View> {
        let mut options = self.0.options.clone();
        options.check |= check;
        if !self.view_dir().exists() {
            return self.rebuild(log);
        }
        let found = View::open(&self.view_dir(), log.id(), &options)
            .map_err(Unfit::from)
            .and_then(|view| Self::fits(view, log));
        match found {
            Ok(view) => Ok(view),
            Err(Unfit::Refused(error)) => Err(error),
            Err(Unfit::Useless(why) | Unfit::Unreadable(why)) => {
                tracing::warn!(why, "the view is rebuilt from a snapshot and the log");
                self.rebuild(log)
            }
        }
    }

    /// Notes that this node runs in this boot of the machine: on the disk before the view changes.
    fn mark_running(&self, boot: Option<&str>) -> Result<()> {
        let marker = self.boot_file();
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        own_file::open_with(&mut options, &marker)
            .and_then(|mut file| {
                file.write_all(boot.unwrap_or_default().as_bytes())?;
                file.sync_all()
            })
            .and_then(|()| File::open(&self.0.node_dir)?.sync_all())
            .map_err(|e| io_failed("writing", &marker, e))
    }

    /// Old views whose deletion was interrupted, and copies of a process that died.
    fn remove_leftovers(&self) {
        for entry in fs::read_dir(&self.0.node_dir)
            .into_iter()
            .flatten()
            .flatten()
        {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(GONE) || name.starts_with(CUT) {
                // If it stays, the next start tries again.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Whether the view stands on this log: its last entry is the log's, and what follows is there.
    fn fits(view: View, log: &dyn Log) -> Result<View, Unfit> {
        let useless = |why: String| Err(Unfit::Useless(why));
        let (index, crc) = view.resume();
        let head = log.head()?;
        let Some(crc) = crc else {
            return if head == 1 {
                Ok(view)
            } else {
                useless(format!("it is empty, and the log begins at entry {head}"))
            };
        };
        let mut tail = log.tail()?;
        if index >= tail && log.views_are_witnesses() {
            tail = log.wait(index, log::WITNESS_PATIENCE)?;
        }
        if index >= tail {
            return Err(Unfit::Refused(Error::new(
                Reason::Damaged,
                format!(
                    "the log ends before entry {tail}, and a view of it holds entry {index}: the \
                     log lost entries that were durable; restore it from a backup"
                ),
            )));
        }
        if index < head {
            return if view.standing().index + 1 == head {
                Ok(view)
            } else {
                useless(format!(
                    "it ends at entry {index}, and the log begins at {head}"
                ))
            };
        }
        match log.read(index, 1)?.first() {
            Some(record) if record.crc == crc => Ok(view),
            _ if log.views_are_witnesses() => Err(Unfit::Refused(Error::new(
                Reason::Damaged,
                format!(
                    "a view holds another entry {index} than the log: the log lost entries that \
                     were durable and goes on with others; restore it from a backup, or, if this \
                     log is the one to follow, delete that view"
                ),
            ))),
            _ => useless(format!("its entry {index} is not the log's")),
        }
    }

    /// Deletes the view, and loads the newest good snapshot; the log is read on from there.
    ///
    /// # Errors
    /// As [`ViewFiles::open`].
    pub(crate) fn rebuild(&self, log: &dyn Log) -> Result<View> {
        self.discard()?;
        let head = log.head()?;
        let tail = log.tail()?;
        // With no descriptor left, say, nothing is found either: that is no reason to give up for good.
        let mut unreadable = None;
        for listed in self.list_snapshots()? {
            let loaded = match listed {
                Ok(snapshot) if snapshot.index + 1 < head || snapshot.index >= tail => continue,
                Ok(snapshot) => self.load(&snapshot, log),
                Err(error) => Err(error.into()),
            };
            match loaded {
                Ok(view) => return Ok(view),
                Err(Unfit::Refused(error)) => return Err(error),
                Err(Unfit::Useless(why)) => {
                    tracing::warn!(why, "a snapshot is of no use");
                    self.discard()?;
                }
                Err(Unfit::Unreadable(why)) => {
                    tracing::warn!(why, "a snapshot cannot be read");
                    self.discard()?;
                    unreadable.get_or_insert(why);
                }
            }
        }
        if head > 1
            && let Some(why) = unreadable
        {
            return Err(Error::new(
                Reason::LogUnavailable,
                format!("the view cannot come back as long as no snapshot can be read: {why}"),
            ));
        }
        if head > 1 {
            return Err(Error::new(
                Reason::Damaged,
                format!(
                    "the log begins at entry {head}, and no good snapshot reaches that far: copy \
                     one from another replica into snapshots/, or restore a backup"
                ),
            ));
        }
        Ok(View::open(&self.view_dir(), log.id(), &self.0.options)?)
    }

    fn load(&self, snapshot: &SnapshotInfo, log: &dyn Log) -> Result<View, Unfit> {
        let Some(store) = &self.0.snapshots else {
            return Err(Unfit::Useless("there is no store".into()));
        };
        let local = store.fetch(snapshot);
        let local = local.map_err(|error| Unfit::Unreadable(error.to_string()))?;
        View::load(&self.view_dir(), &local.path, log.id(), &self.0.options)
            .map_err(Unfit::from)
            .and_then(|view| Self::fits(view, log))
    }

    /// Snapshots with a good header, newest first.
    pub(crate) fn snapshots(&self) -> Vec<SnapshotInfo> {
        let listed = self.list_snapshots().unwrap_or_default();
        listed.into_iter().filter_map(Result::ok).collect()
    }

    /// All snapshots, newest first, and what is wrong with some.
    fn list_snapshots(&self) -> Result<Vec<Result<SnapshotInfo, view::Error>>> {
        let Some(store) = &self.0.snapshots else {
            return Ok(Vec::new());
        };
        Ok(store.find()?.into_iter().map(|(_, info)| info).collect())
    }

    /// Moves the view out of the way and deletes it.
    fn discard(&self) -> Result<()> {
        let dir = self.view_dir();
        let gone = self
            .0
            .node_dir
            .join(format!("{GONE}{:08x}", rand::random::<u32>()));
        match fs::rename(&dir, &gone) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(io_failed("removing", &dir, e)),
            Ok(()) => {
                if let Err(error) = fs::remove_dir_all(&gone) {
                    tracing::warn!(%error, path = %gone.display(), "an old view stays behind");
                }
                Ok(())
            }
        }
    }

    /// Notes once a second how far the view is: a witness when the log is opened after a power cut.
    pub(crate) fn note_applied(&self, standing: &Standing, log_id: LogId) {
        if self.0.snapshots.is_none() || standing.index == 0 {
            return;
        }
        let mut noted = self.0.noted.lock();
        let due =
            noted.is_none_or(|(at, index)| index != standing.index && at.elapsed() >= NOTE_EVERY);
        if due {
            self.note_now(standing, log_id, &mut noted);
        }
    }

    /// Notes how far the view is at a clean stop.
    pub(crate) fn note_last(&self, standing: &Standing, log_id: LogId) {
        if self.0.snapshots.is_some() && standing.index > 0 {
            self.note_now(standing, log_id, &mut self.0.noted.lock());
        }
    }

    fn note_now(&self, standing: &Standing, log_id: LogId, noted: &mut Option<(Instant, u64)>) {
        *noted = Some((Instant::now(), standing.index));
        let note = AppliedNote {
            log_id: log_id.to_string(),
            index: standing.index,
            crc: standing.crc,
        };
        if let Err(error) = write_small(&self.0.node_dir.join("applied"), &note) {
            tracing::debug!(%error, "the applied index could not be noted");
        }
    }

    /// Notes that this node stopped in good order: what sled holds need not be checked.
    pub(crate) fn mark_clean(&self) {
        // If it stays, the next start checks once more than it would have to.
        let _ = fs::remove_file(self.boot_file());
    }
}

/// Replaces a small file as a whole; a reader sees the old one or the new one.
pub(crate) fn write_small(path: &Path, content: &impl Serialize) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let file = tempfile::Builder::new().prefix(".new-").tempfile_in(dir)?;
    serde_json::to_writer(file.as_file(), content)?;
    file.persist(path)?;
    Ok(())
}

/// What the kernel calls this boot; `None` where it does not tell.
fn boot_id() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_string())
}

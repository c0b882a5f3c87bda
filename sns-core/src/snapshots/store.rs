//! [`SnapshotStore`]: where the snapshots of a log lie: a directory, or the object store of a
//! cluster.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
#[cfg(feature = "nats")]
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};

use crate::data_dir::{DataDir, open_lock};
use crate::error::{Error, Reason, Result};
use crate::log::LogId;
#[cfg(feature = "nats")]
use crate::log::jetstream::{JetStreamLog, Lease};
use crate::view;
use crate::view::snapshot::{self, SnapshotInfo};

/// How a file begins that was fetched to be loaded; the process follows.
#[cfg(feature = "nats")]
const LOADING: &str = ".load-";

/// Where the snapshots of a log lie.
#[derive(Clone, Debug)]
pub struct SnapshotStore(Place);

#[derive(Clone, Debug)]
enum Place {
    Directory(PathBuf),
    /// The cluster; the directory holds those that are on their way.
    #[cfg(feature = "nats")]
    Objects(JetStreamLog, Spool),
}

/// A directory of this machine that snapshots pass through.
#[cfg(feature = "nats")]
#[derive(Clone, Debug)]
enum Spool {
    Kept(PathBuf),
    /// Goes with the store.
    Temporary(Arc<tempfile::TempDir>),
}

#[cfg(feature = "nats")]
impl Spool {
    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(dir) => dir.path(),
        }
    }
}

/// A snapshot's path, and what its header says.
pub type Listed = (PathBuf, Result<SnapshotInfo>);

/// As [`Listed`], for who asks why.
type Found = (PathBuf, Result<SnapshotInfo, view::Error>);

/// The right to make a snapshot.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: fs::File,
    #[cfg(feature = "nats")]
    _lease: Option<Lease>,
}

/// A snapshot as a file of this machine; one that was fetched goes with it.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) path: PathBuf,
    fetched: bool,
}

impl Drop for Local {
    fn drop(&mut self) {
        if self.fetched {
            // If it stays, the next maker of a snapshot sweeps it up.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl SnapshotStore {
    /// The snapshots of the log that is in a data directory.
    pub fn of_directory(data: &DataDir) -> Self {
        Self(Place::Directory(data.snapshots_dir()))
    }

    /// The snapshots of a log on NATS JetStream: in its object store, or in the directory that its
    /// options name. `data` is where they pass through.
    ///
    /// # Errors
    /// `Unavailable`: that directory cannot be made.
    #[cfg(feature = "nats")]
    pub fn of_jetstream(log: &JetStreamLog, spool: &Path) -> Result<Self> {
        let place = match log.snapshot_dir() {
            Some(dir) => Place::Directory(dir.to_owned()),
            None => Place::Objects(log.clone(), Spool::Kept(spool.to_owned())),
        };
        let store = Self(place);
        fs::create_dir_all(store.spool()).map_err(|e| failed("making", store.spool(), e))?;
        Ok(store)
    }

    /// As [`SnapshotStore::of_jetstream`], without a directory of views: they pass through a temporary
    /// one.
    ///
    /// # Errors
    /// `Unavailable`: none can be made.
    #[cfg(feature = "nats")]
    pub fn of_jetstream_alone(log: &JetStreamLog) -> Result<Self> {
        if let Some(dir) = log.snapshot_dir() {
            return Self::of_jetstream(log, dir);
        }
        let dir = tempfile::tempdir().map_err(|e| failed("making", &std::env::temp_dir(), e))?;
        let spool = Spool::Temporary(Arc::new(dir));
        Ok(Self(Place::Objects(log.clone(), spool)))
    }

    /// Where a new one is written first.
    pub(crate) fn spool(&self) -> &Path {
        match &self.0 {
            Place::Directory(dir) => dir,
            #[cfg(feature = "nats")]
            Place::Objects(_, spool) => spool.path(),
        }
    }

    /// All of them, newest first; one whose header is damaged says so in its place.
    ///
    /// # Errors
    /// `Damaged`, `Unavailable`: they cannot be listed.
    pub fn list(&self) -> Result<Vec<Listed>> {
        let found = self.find()?.into_iter();
        Ok(found
            .map(|(path, info)| (path, info.map_err(Error::from)))
            .collect())
    }

    pub(crate) fn find(&self) -> Result<Vec<Found>> {
        match &self.0 {
            Place::Directory(dir) if !dir.exists() => Ok(Vec::new()),
            Place::Directory(dir) => Ok(snapshot::list(dir)?),
            #[cfg(feature = "nats")]
            Place::Objects(log, ..) => {
                let stored = log.stored_snapshots()?.into_iter();
                let found = stored.map(|stored| {
                    let path = Path::new(&log.snapshot_bucket()).join(&stored.name);
                    let header = <[u8; snapshot::HEADER_BYTES]>::try_from(&stored.header[..]);
                    let info = match header {
                        Ok(header) => snapshot::parse(&header, stored.bytes, &path),
                        Err(_) => Err(view::Error::Damaged(format!(
                            "the snapshot {} has no header",
                            path.display()
                        ))),
                    };
                    (path, info)
                });
                Ok(found.collect())
            }
        }
    }

    /// Reads one to its end and checks every byte.
    ///
    /// # Errors
    /// `Damaged`: it is not what was written. `Unavailable`: it cannot be read now.
    pub fn verify(&self, info: &SnapshotInfo) -> Result<SnapshotInfo> {
        let local = self.fetch(info)?;
        let mut found = snapshot::verify(&local.path)?;
        found.path.clone_from(&info.path);
        Ok(found)
    }

    /// Copies one from another store, as one of the log `log_id`, which holds the same entries and
    /// begins right behind it.
    ///
    /// # Errors
    /// `Damaged`: it is not what was written. `Unavailable`, `Exhausted`: it cannot be read or
    /// written.
    pub fn adopt(&self, from: &Self, info: &SnapshotInfo, log_id: LogId) -> Result<SnapshotInfo> {
        let local = from.fetch(info)?;
        let made = snapshot::rebind(&local.path, self.spool(), |meta| meta.of_log(log_id))?;
        self.keep(made)
    }

    /// One as a file of this machine.
    #[cfg_attr(
        not(feature = "nats"),
        allow(clippy::unnecessary_wraps, reason = "a cluster can refuse")
    )]
    pub(crate) fn fetch(&self, info: &SnapshotInfo) -> Result<Local> {
        match &self.0 {
            Place::Directory(_) => Ok(Local {
                path: info.path.clone(),
                fetched: false,
            }),
            #[cfg(feature = "nats")]
            Place::Objects(log, spool) => {
                let name = info.path.file_name().unwrap_or_default().to_string_lossy();
                let (pid, number) = (std::process::id(), rand::random::<u64>());
                let local = Local {
                    path: spool.path().join(format!("{LOADING}{pid}-{number:016x}")),
                    fetched: true,
                };
                log.fetch_snapshot(&name, &local.path)?;
                Ok(local)
            }
        }
    }

    /// Takes in one that was just made in the spool.
    #[cfg_attr(
        not(feature = "nats"),
        allow(clippy::unnecessary_wraps, reason = "a cluster can refuse")
    )]
    pub(crate) fn keep(&self, made: SnapshotInfo) -> Result<SnapshotInfo> {
        match &self.0 {
            Place::Directory(_) => Ok(made),
            #[cfg(feature = "nats")]
            Place::Objects(log, ..) => {
                let local = Local {
                    path: made.path.clone(),
                    fetched: true,
                };
                let name = local.path.file_name().unwrap_or_default().to_string_lossy();
                let mut header = [0; snapshot::HEADER_BYTES];
                let mut file =
                    fs::File::open(&local.path).map_err(|e| failed("reading", &local.path, e))?;
                io::Read::read_exact(&mut file, &mut header)
                    .map_err(|e| failed("reading", &local.path, e))?;
                log.store_snapshot(&name, &header, &local.path)?;
                Ok(SnapshotInfo {
                    path: Path::new(&log.snapshot_bucket()).join(&*name),
                    ..made
                })
            }
        }
    }

    /// Deletes one.
    pub(crate) fn remove(&self, info: &SnapshotInfo) -> Result<()> {
        match &self.0 {
            Place::Directory(_) => {
                fs::remove_file(&info.path).map_err(|e| failed("deleting", &info.path, e))
            }
            #[cfg(feature = "nats")]
            Place::Objects(log, ..) => {
                let name = info.path.file_name().unwrap_or_default().to_string_lossy();
                Ok(log.remove_snapshot(&name)?)
            }
        }
    }

    /// Deletes what a process left behind that died while it made one.
    pub(crate) fn sweep(&self) {
        for entry in fs::read_dir(self.spool()).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let leftover = match &self.0 {
                Place::Directory(_) => name.starts_with(".snap-"),
                // All of them are on their way, and this process is the only one on this machine
                // that makes any now.
                #[cfg(feature = "nats")]
                Place::Objects(..) => {
                    let loader = name.strip_prefix(LOADING);
                    let loader = loader.and_then(|it| it.split('-').next());
                    Path::new(&name).extension().is_some_and(|it| it == "snap")
                        || name.starts_with(".snap-")
                        || loader.is_some_and(|pid| !Path::new("/proc").join(pid).exists())
                }
            };
            if leftover {
                // If it stays, the next one tries again.
                let _ = fs::remove_file(entry.path());
            }
        }
        #[cfg(feature = "nats")]
        if let Place::Objects(log, ..) = &self.0
            && let Err(error) = log.sweep_snapshots()
        {
            tracing::debug!(%error, "leftovers of snapshots stay");
        }
    }

    pub(crate) fn lock(&self) -> Result<Lock> {
        let file = lock(self.spool())?;
        #[cfg(feature = "nats")]
        let lease = match &self.0 {
            Place::Directory(_) => None,
            Place::Objects(log, ..) => match log.lease()? {
                Some(lease) => Some(lease),
                None => return Err(taken("another machine, or process, makes a snapshot now")),
            },
        };
        Ok(Lock {
            _file: file,
            #[cfg(feature = "nats")]
            _lease: lease,
        })
    }
}

fn failed(doing: &str, path: &Path, error: io::Error) -> Error {
    let reason = match error.kind() {
        io::ErrorKind::StorageFull => Reason::DiskFull,
        _ => Reason::LogUnavailable,
    };
    Error::new(reason, format!("{doing} {}: {error}", path.display())).with_source(error)
}

fn taken(what: &str) -> Error {
    Error::new(Reason::Overloaded, what)
}

fn lock(dir: &Path) -> Result<fs::File> {
    let path = dir.join("lock");
    let file = open_lock(&path).map_err(|e| failed("locking", &path, e))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(taken("another process makes a snapshot now")),
        Err(e) => Err(failed("locking", &path, e.into())),
    }
}

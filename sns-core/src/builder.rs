//! [`SnsBuilder`]: components and settings, then [`SnsBuilder::open`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clock::Clock;
use crate::data_dir::{DataDir, NodeLock};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::log::Log;
use crate::log::dir::{DirLog, DirLogOptions, Witness};
#[cfg(feature = "nats")]
use crate::log::jetstream::{JetStreamLog, JetStreamOptions};
use crate::log::memory::MemoryLog;
use crate::observer::Observer;
use crate::rebuild::{AppliedNote, ViewFiles};
use crate::replica::Replica;
use crate::seq::Seq;
use crate::settings::Settings;
use crate::snapshots::SnapshotStore;
use crate::sns::{Parts, Sns};
use crate::view;
use crate::view::apply::Rules;
use crate::view::seams::Seams;
use crate::view::snapshot::SnapshotInfo;

/// How long [`SnsBuilder::open`] waits for the log to be applied, piece by piece.
const CATCH_UP_PIECE: std::time::Duration = std::time::Duration::from_secs(60);

/// Opens an [`Sns`] with other than the usual parts.
#[derive(Debug)]
#[must_use = "nothing is opened until `.open()`"]
pub struct SnsBuilder {
    place: Place,
    node: Option<String>,
    settings: Settings,
    clock: Clock,
    observer: Option<Arc<dyn Observer>>,
    rules: Rules,
    caught_up: bool,
    tiny_cache: Option<usize>,
    scrub_rest: Option<u32>,
    check_bytes: Option<u64>,
    seams: Seams,
}

#[derive(Debug)]
enum Place {
    Directory(PathBuf),
    Memory(MemoryLog),
    /// The directory holds views only.
    #[cfg(feature = "nats")]
    JetStream(PathBuf, Box<JetStreamOptions>),
}

impl SnsBuilder {
    pub(crate) fn in_directory(path: &Path) -> Self {
        Self::new(Place::Directory(path.to_owned()))
    }

    pub(crate) fn over_memory(log: MemoryLog) -> Self {
        Self::new(Place::Memory(log))
    }

    fn new(place: Place) -> Self {
        Self {
            place,
            node: None,
            settings: Settings::default(),
            clock: Clock::system(),
            observer: None,
            rules: Rules::default(),
            caught_up: true,
            tiny_cache: None,
            scrub_rest: None,
            check_bytes: None,
            seams: Seams::default(),
        }
    }

    /// Follows the log on a NATS JetStream cluster; the directory holds the views of this machine
    /// alone.
    ///
    /// ```no_run
    /// # fn main() -> sns_core::Result<()> {
    /// use sns_core::{Sns, log::jetstream::JetStreamOptions};
    ///
    /// let cluster = JetStreamOptions::new(["nats://n1", "nats://n2", "nats://n3"]);
    /// let sns = Sns::builder("./views").jetstream(cluster).open()?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "nats")]
    pub fn jetstream(mut self, options: JetStreamOptions) -> Self {
        self.place = match self.place {
            Place::Directory(path) | Place::JetStream(path, _) => {
                Place::JetStream(path, Box::new(options))
            }
            memory @ Place::Memory(_) => memory,
        };
        self
    }

    /// The name under which this process keeps its view in the directory. Without it, the first
    /// free one of `local-0` to `local-63`.
    ///
    /// A name is also a lock: as long as one process is that node, [`SnsBuilder::open`] refuses
    /// others as `Unavailable`, and the kernel gives it back when the process dies.
    ///
    /// ```
    /// # fn main() -> sns_core::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// let sns = sns_core::Sns::builder(dir.path()).node("reports").open()?;
    /// let second = sns_core::Sns::builder(dir.path()).node("reports").open();
    /// assert_eq!(second.unwrap_err().kind(), sns_core::ErrorKind::Unavailable);
    /// # Ok(())
    /// # }
    /// ```
    pub fn node(mut self, node: &str) -> Self {
        self.node = Some(node.to_owned());
        self
    }

    /// Plain data that tunes it.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Where wall time comes from; the clock of the system without it.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Who is told how long each stage takes; nobody without it.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Whether [`SnsBuilder::open`] returns only once all that the log holds is applied (the
    /// default). Otherwise reads wait for it, 5 s at most.
    pub fn wait_until_caught_up(mut self, wait: bool) -> Self {
        self.caught_up = wait;
        self
    }

    /// Remembers fewer requests than the rules say: every replica of the log must do the same.
    #[cfg(any(test, feature = "test-util"))]
    pub fn remembered_requests(mut self, requests: u64) -> Self {
        self.rules.requests = requests;
        self
    }

    /// A cache below the least that the settings take, so that a test sees values come and go.
    #[cfg(any(test, feature = "test-util"))]
    pub fn tiny_cache(mut self, bytes: usize) -> Self {
        self.tiny_cache = Some(bytes);
        self
    }

    /// Up to which size of its database a view is checked before it serves, also without a power cut.
    #[cfg(any(test, feature = "test-util"))]
    pub fn check_bytes(mut self, bytes: u64) -> Self {
        self.check_bytes = Some(bytes);
        self
    }

    /// Begins a round of the scrub so many idle steps (of 20 ms) after the last one ended, rather
    /// than ten minutes.
    #[cfg(any(test, feature = "test-util"))]
    pub fn scrub_rest(mut self, steps: u32) -> Self {
        self.scrub_rest = Some(steps);
        self
    }

    /// Leaves one check of the view out, to prove that tests notice.
    #[cfg(any(test, feature = "test-util"))]
    pub fn without(mut self, check: Option<view::seams::Check>) -> Self {
        self.seams.without = check;
        self
    }

    /// Calls `look` with the directory of the view between any two steps in which a batch is
    /// written: what stands there is what a kill would leave.
    #[cfg(any(test, feature = "test-util"))]
    pub fn between_writes(mut self, look: impl Fn(&Path) + Send + Sync + 'static) -> Self {
        self.seams.between = Some(Arc::new(look));
        self
    }

    /// Opens it.
    ///
    /// # Errors
    /// `Invalid`: a setting, a node name, a directory with other things in it. `Unavailable`: the
    /// node runs already, or the file system refused. `Exhausted`: the disk is full. `Damaged`: the
    /// log is damaged, or the view cannot come back.
    pub fn open(self) -> Result<Sns> {
        self.settings.validate()?;
        let defaults = view::Options::default();
        let options = view::Options {
            cache_bytes: self.tiny_cache.unwrap_or(self.settings.cache_bytes),
            rules: self.rules,
            scrub_rest: self.scrub_rest.unwrap_or(defaults.scrub_rest),
            check_bytes: self.check_bytes.unwrap_or(defaults.check_bytes),
            seams: self.seams,
            ..defaults
        };
        let (log, files, node, parts): (Arc<dyn Log>, _, _, _) = match self.place {
            Place::Memory(log) => {
                let dir = tempfile::tempdir().map_err(|e| {
                    Error::new(
                        crate::error::Reason::LogUnavailable,
                        format!("making a temporary directory: {e}"),
                    )
                    .with_source(e)
                })?;
                let path = dir.path().to_owned();
                let files = ViewFiles::new(path, None, options, None, Some(dir));
                (
                    Arc::new(log),
                    files,
                    self.node.unwrap_or_else(|| "memory".into()),
                    None,
                )
            }
            Place::Directory(path) => {
                let data = DataDir::open(path, self.settings.force_network_fs)?;
                let (node, lock) = lock(&data, self.node)?;
                let snapshots = SnapshotStore::of_directory(&data);
                let files = files(&data, &node, &snapshots, options, lock);
                let log = open_log(&data, &node, &files, &self.settings)?;
                (log, files, node, Some(Parts { data, snapshots }))
            }
            #[cfg(feature = "nats")]
            Place::JetStream(path, cluster) => {
                // A log that is gone is not made anew beside views of it.
                let known = DataDir::open_existing(&path, self.settings.force_network_fs);
                let is_known = known.is_ok_and(|it| it.log_elsewhere().is_some());
                let cluster = if is_known {
                    cluster.create(false)
                } else {
                    *cluster
                };
                let log = JetStreamLog::open(&cluster)?;
                let data = DataDir::open_for(path, self.settings.force_network_fs, &log)?;
                let (node, lock) = lock(&data, self.node)?;
                let snapshots = SnapshotStore::of_jetstream(&log, &data.snapshots_dir())?;
                let files = files(&data, &node, &snapshots, options, lock);
                let listed = snapshots.list()?.into_iter();
                let listed = listed.filter_map(|(_, info)| info.ok()).collect();
                log.compare(&witnesses(&data, listed)?)?;
                let parts = Parts { data, snapshots };
                (Arc::new(log), files, node, Some(parts))
            }
        };
        let view = files.open(&*log)?;
        let replica = Replica::start(node, log, view, files, self.clock, self.observer)?;
        let sns = Sns::new(replica, parts);
        if self.caught_up {
            // A long log is applied for as long as it takes; only an error ends the wait.
            while let Err(error) = sns
                .replica()
                .reach_blocking(Seq::ZERO, false, CATCH_UP_PIECE)
            {
                if error.kind() != ErrorKind::Unavailable {
                    return Err(error);
                }
            }
        }
        Ok(sns)
    }
}

/// The node's lock: of the name given, or of the first free local one.
fn lock(data: &DataDir, node: Option<String>) -> Result<(String, NodeLock)> {
    if let Some(node) = node {
        let lock = data.lock_node(&node)?;
        return Ok((node, lock));
    }
    for number in 0..limits::LOCAL_NODES {
        let node = format!("local-{number}");
        match data.lock_node(&node) {
            Err(error)
                if error.kind() == ErrorKind::Unavailable && data.node_is_running(&node)? => {}
            other => return other.map(|lock| (node, lock)),
        }
    }
    Err(Error::new(
        crate::error::Reason::Overloaded,
        format!(
            "{} programs have {} open already, which is the most",
            limits::LOCAL_NODES,
            data.path().display()
        ),
    ))
}

fn files(
    data: &DataDir,
    node: &str,
    snapshots: &SnapshotStore,
    options: view::Options,
    lock: NodeLock,
) -> ViewFiles {
    let dir = data.node_dir(node);
    ViewFiles::new(dir, Some(snapshots.clone()), options, Some(lock), None)
}

fn open_log(
    data: &DataDir,
    node: &str,
    files: &ViewFiles,
    settings: &Settings,
) -> Result<Arc<dyn Log>> {
    let options = DirLogOptions::default()
        .node(node)
        .segment_bytes(settings.segment_bytes)
        .file_events(settings.file_events)
        .witnesses(witnesses(data, files.snapshots())?);
    Ok(Arc::new(DirLog::open(&data.log_dir(), options)?))
}

/// Snapshots and views declare entries durable: the log must still have them.
fn witnesses(data: &DataDir, snapshots: Vec<SnapshotInfo>) -> Result<Vec<Witness>> {
    let mut witnesses: Vec<Witness> = snapshots
        .into_iter()
        .map(|snapshot| Witness {
            name: format!("snapshot {}", snapshot.index),
            log_id: snapshot.log_id,
            index: snapshot.index,
            crc: snapshot.crc,
        })
        .collect();
    for node in data.nodes()? {
        witnesses.extend(
            AppliedNote::read(&data.node_dir(&node)).map(|(log_id, note)| Witness {
                name: format!("view of {node}"),
                log_id,
                index: note.index,
                crc: note.crc,
            }),
        );
    }
    Ok(witnesses)
}

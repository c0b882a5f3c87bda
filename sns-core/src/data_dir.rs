//! [`DataDir`]: the directory that holds everything, and who runs in it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::error::{Error, Reason, Result};
use crate::log::LogId;
use crate::log::dir::network_file_system;
use crate::own_file;

pub(crate) mod restoring;

/// The version of the layout below.
const VERSION: u32 = 1;
/// That of a directory whose log lies elsewhere: a program that knows only the first must not make
/// a log in it.
const VERSION_ELSEWHERE: u32 = 2;

/// The data directory: `format.json`, `secret`, `log/`, `snapshots/`, `nodes/<node>/`; open to its
/// owner alone (0700).
#[derive(Clone, Debug)]
pub struct DataDir {
    path: PathBuf,
    format: Format,
}

/// `format.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Format {
    version: u32,
    data_id: String,
    /// Milliseconds since 1970.
    made_at: u64,
    /// The log on other machines that this directory belongs to; `None`: the one in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log_id: Option<String>,
}

/// What a new directory is given.
struct Origin {
    data_id: String,
    secret: [u8; 32],
    log_id: Option<LogId>,
}

fn failed<'a>(doing: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |error| {
        let reason = match error.kind() {
            io::ErrorKind::StorageFull => Reason::DiskFull,
            _ => Reason::LogUnavailable,
        };
        let hint = match error.kind() {
            io::ErrorKind::PermissionDenied => "; it must be writable for this user",
            io::ErrorKind::StorageFull => "; make room first",
            _ => "",
        };
        Error::new(reason, format!("{doing} {}: {error}{hint}", path.display())).with_source(error)
    }
}

impl DataDir {
    /// Opens the data in `path`, or makes a new one there. `force`: also on a network file system,
    /// where locks and syncs cannot be relied upon.
    ///
    /// # Errors
    /// `Unavailable`, `Exhausted`: the file system refused. `Damaged`: `format.json` cannot be read,
    /// or a newer version wrote it. `Invalid`: a network file system, a directory with other things
    /// in it, or one that belongs to another user or may be written by others.
    pub fn open(path: impl AsRef<Path>, force: bool) -> Result<Self> {
        let path = path.as_ref();
        if !path.join("format.json").exists() {
            let origin = Origin {
                data_id: uuid::Uuid::new_v4().to_string(),
                secret: rand::random(),
                log_id: None,
            };
            Self::make(path, force, &origin)?;
        }
        let data = Self::open_existing(path, force)?;
        data.refuse_elsewhere()?;
        Ok(data)
    }

    /// Opens the data in `path`, or makes it as the copy of other data, whose tokens stay good.
    ///
    /// # Errors
    /// As [`DataDir::open`]; `Invalid` also when it is other data.
    pub fn open_as(
        path: impl AsRef<Path>,
        force: bool,
        data_id: &str,
        secret: [u8; 32],
    ) -> Result<Self> {
        let path = path.as_ref();
        if !path.join("format.json").exists() {
            let origin = Origin {
                data_id: data_id.to_owned(),
                secret,
                log_id: None,
            };
            Self::make(path, force, &origin)?;
        }
        let data = Self::open(path, force)?;
        if data.data_id() == data_id {
            return Ok(data);
        }
        Err(invalid(format!(
            "{} holds other data: give a new directory",
            data.path.display()
        )))
    }

    /// Opens the directory of the views of a log on other machines, or makes it.
    ///
    /// # Errors
    /// As [`DataDir::open`]; `Invalid` also when it belongs to another log, or holds one itself.
    #[cfg(feature = "nats")]
    pub fn open_for(
        path: impl AsRef<Path>,
        force: bool,
        log: &crate::log::jetstream::JetStreamLog,
    ) -> Result<Self> {
        use crate::log::Log as _;
        let path = path.as_ref();
        if !path.join("format.json").exists() {
            let origin = Origin {
                data_id: log.data_id().to_owned(),
                secret: log.secret()?,
                log_id: Some(log.id()),
            };
            Self::make(path, force, &origin)?;
        }
        let data = Self::open_existing(path, force)?;
        let path = data.path.display();
        match data.log_elsewhere() {
            Some(id) if id == log.id() => Ok(data),
            Some(id) => Err(invalid(format!(
                "{path} holds views of another log ({id}, and the stream holds {}): give the stream \
                 that it belongs to, or another directory",
                log.id()
            ))),
            None => Err(invalid(format!(
                "{path} holds a log itself: give another directory; `sns-server log copy --from` \
                 copies the log"
            ))),
        }
    }

    /// The log on other machines that it belongs to; `None`: it holds its log itself.
    pub fn log_elsewhere(&self) -> Option<LogId> {
        let id = self.format.log_id.as_ref()?;
        u128::from_str_radix(id, 16).ok().map(LogId)
    }

    /// Refuses where the log lies elsewhere.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn refuse_elsewhere(&self) -> Result<()> {
        match &self.format.log_id {
            None => Ok(()),
            Some(_) => Err(invalid(format!(
                "{} holds views of a log on NATS JetStream, and no log: give --log nats://host",
                self.path.display()
            ))),
        }
    }

    /// Opens the data in `path`.
    ///
    /// # Errors
    /// As [`DataDir::open`]; `Invalid` also when there is no data.
    pub fn open_existing(path: impl AsRef<Path>, force: bool) -> Result<Self> {
        let path = path.as_ref();
        let file = path.join("format.json");
        restoring::refuse_unfinished(path)?;
        refuse_open_to_others(path)?;
        let text = match own_file::read(&file, own_file::SMALL_BYTES) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(invalid(format!(
                    "there is no SNS data in {} (no format.json)",
                    path.display()
                )));
            }
            other => other.map_err(failed("reading", &file))?,
        };
        let format: Format = serde_json::from_slice(&text).map_err(|e| {
            Error::new(
                Reason::Damaged,
                format!("{} is damaged: {e}", file.display()),
            )
            .with_source(e)
        })?;
        let expected = match format.log_id {
            None => VERSION,
            Some(_) => VERSION_ELSEWHERE,
        };
        if format.version != expected {
            return Err(Error::new(
                Reason::Damaged,
                format!(
                    "{} was made by another version (format {}, this program has {expected}): \
                     upgrade this program",
                    path.display(),
                    format.version
                ),
            ));
        }
        refuse_network(path, force)?;
        let path = path.canonicalize().map_err(failed("opening", path))?;
        Ok(Self { path, format })
    }

    fn make(path: &Path, force: bool, origin: &Origin) -> Result<()> {
        let dir = |path: &Path| {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(failed("making the directory", path))
        };
        dir(path)?;
        restoring::refuse_unfinished(path)?;
        refuse_open_to_others(path)?;
        refuse_network(path, force)?;
        let known = [
            "log",
            "snapshots",
            "nodes",
            "secret",
            "format.json",
            "lost+found",
        ];
        for entry in fs::read_dir(path).map_err(failed("reading", path))? {
            let name = entry.map_err(failed("reading", path))?.file_name();
            let name = name.to_string_lossy();
            if !known.contains(&&*name) && !name.starts_with('.') {
                return Err(invalid(format!(
                    "{} holds other things ({name:?}): give an empty directory, or one with SNS data",
                    path.display()
                )));
            }
        }
        for part in ["log", "snapshots", "nodes"] {
            dir(&path.join(part))?;
        }
        // Again: a restore that made its marker after the first look may have found nothing yet. One
        // that makes it after this look finds the directories.
        restoring::refuse_unfinished(path)?;
        write_parts(path, origin)
    }

    /// Where it is; absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Drawn when the data was made: a UUID. Servers of different data never share a router.
    pub fn data_id(&self) -> &str {
        &self.format.data_id
    }

    /// The key with which tokens are signed; `DATA/secret` (0600).
    ///
    /// # Errors
    /// `Unavailable`: it cannot be read. `Damaged`: it has another length. `Invalid`: others may
    /// read it, or it belongs to another user.
    pub fn secret(&self) -> Result<[u8; 32]> {
        let path = self.path.join("secret");
        let found = fs::symlink_metadata(&path).map_err(failed("reading", &path))?;
        if found.is_file()
            && let Some(why) = own_file::open_to_others(&path, &found, true)
        {
            return Err(invalid(why));
        }
        let bytes =
            own_file::read(&path, own_file::SMALL_BYTES).map_err(failed("reading", &path))?;
        bytes.try_into().map_err(|_| {
            Error::new(
                Reason::Damaged,
                format!("{} has not 32 bytes", path.display()),
            )
        })
    }

    /// `DATA/log`.
    pub fn log_dir(&self) -> PathBuf {
        self.path.join("log")
    }

    /// `DATA/snapshots`.
    pub fn snapshots_dir(&self) -> PathBuf {
        self.path.join("snapshots")
    }

    /// `DATA/nodes/<node>`.
    pub fn node_dir(&self, node: &str) -> PathBuf {
        self.path.join("nodes").join(node)
    }

    /// The names of all nodes that ever ran here, ascending.
    ///
    /// # Errors
    /// `Unavailable`: the directory cannot be read.
    pub fn nodes(&self) -> Result<Vec<String>> {
        let dir = self.path.join("nodes");
        let mut nodes = Vec::new();
        for entry in fs::read_dir(&dir).map_err(failed("reading", &dir))? {
            let entry = entry.map_err(failed("reading", &dir))?;
            if let Ok(name) = entry.file_name().into_string()
                && check_node(&name).is_ok()
            {
                nodes.push(name);
            }
        }
        nodes.sort_unstable();
        Ok(nodes)
    }

    /// Makes this process the node `node`, as long as the lock lives: the kernel releases it when
    /// the process dies.
    ///
    /// # Errors
    /// `Conflict`-like `Unavailable`: another process is that node now. `Invalid`: the name.
    pub fn lock_node(&self, node: &str) -> Result<NodeLock> {
        check_node(node)?;
        let dir = self.node_dir(node);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(failed("making the directory", &dir))?;
        let path = dir.join("lock");
        let mut file = open_lock(&path).map_err(failed("opening", &path))?;
        match lock_soon(&file) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                let _ = (&mut file).take(64).read_to_string(&mut holder);
                return Err(Error::new(
                    Reason::LogUnavailable,
                    format!(
                        "the node {node} of {} runs already (process {}): stop it first, or give \
                         another name",
                        self.path.display(),
                        // A number, or nothing that was written by us.
                        holder
                            .trim()
                            .parse::<u32>()
                            .map_or("?".into(), |pid| pid.to_string())
                    ),
                ));
            }
            Err(e) => return Err(failed("locking", &path)(e.into())),
        }
        let pid = std::process::id();
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{pid}"))
            .map_err(failed("writing", &path))?;
        Ok(NodeLock { _file: file })
    }

    /// Whether some process is that node now.
    ///
    /// # Errors
    /// `Unavailable`: its lock cannot be asked.
    pub fn node_is_running(&self, node: &str) -> Result<bool> {
        let path = self.node_dir(node).join("lock");
        let file = match own_file::open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other.map_err(failed("opening", &path))?,
        };
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(false),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
            Err(e) => Err(failed("locking", &path)(e.into())),
        }
    }
}

/// Being a node; see [`DataDir::lock_node`].
#[derive(Debug)]
pub struct NodeLock {
    _file: File,
}

/// Takes the lock of a node. Whoever asks whether the node runs holds it for a moment, so it is
/// tried for a little while.
fn lock_soon(file: &File) -> rustix::io::Result<()> {
    for _ in 0..10 {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => {
                std::thread::park_timeout(std::time::Duration::from_millis(5));
            }
            done => return done,
        }
    }
    flock(file, FlockOperation::NonBlockingLockExclusive)
}

fn invalid(message: String) -> Error {
    Error::invalid(message)
}

/// Node names become directories.
fn check_node(node: &str) -> Result<()> {
    let good = (1..=64).contains(&node.len())
        && node
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b));
    if good {
        return Ok(());
    }
    Err(invalid(format!(
        "{node:?} is no node name: 1 to 64 of a-z, 0-9, - and _ make one"
    )))
}

pub(crate) fn open_lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    own_file::open_with(options.mode(0o600), path)
}

/// Writes `secret` and `format.json`.
fn write_parts(path: &Path, origin: &Origin) -> Result<()> {
    write_once(&path.join("secret"), &origin.secret)?;
    let format = Format {
        version: if origin.log_id.is_some() {
            VERSION_ELSEWHERE
        } else {
            VERSION
        },
        data_id: origin.data_id.clone(),
        made_at: Clock::system().now_ms(),
        log_id: origin.log_id.map(|id| id.to_string()),
    };
    let json = serde_json::to_vec(&format)
        .map_err(|e| Error::new(Reason::Internal, format!("format.json: {e}")))?;
    // Last: whoever finds it finds all the rest. If two make the data at once, one file stays.
    write_once(&path.join("format.json"), &json)
}

/// Writes a small file as a whole, synced; if it is there already, that one stays.
fn write_once(path: &Path, bytes: &[u8]) -> Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".new-")
        .tempfile_in(dir)
        .map_err(failed("making a file in", dir))?;
    file.write_all(bytes)
        .and_then(|()| file.as_file().sync_all())
        .map_err(failed("writing", path))?;
    match file.persist_noclobber(path) {
        Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => {}
        other => drop(other.map_err(|e| failed("making", path)(e.error))?),
    }
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(failed("syncing", dir))
}

/// Whoever may write into the directory may write the log, and take its locks: nobody else may. Its
/// parts are looked at too: they may be older than the rights of the whole.
fn refuse_open_to_others(path: &Path) -> Result<()> {
    for part in ["", "log", "snapshots", "nodes"] {
        let part = if part.is_empty() {
            path.to_owned()
        } else {
            path.join(part)
        };
        let found = match fs::metadata(&part) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(failed("looking at", &part))?,
        };
        if let Some(why) = own_file::open_to_others(&part, &found, false) {
            return Err(invalid(why));
        }
    }
    Ok(())
}

fn refuse_network(path: &Path, force: bool) -> Result<()> {
    if force {
        return Ok(());
    }
    match network_file_system(path).map_err(failed("looking at the file system of", path))? {
        None => Ok(()),
        Some(kind) => Err(invalid(format!(
            "{} lies on a network file system ({kind}), where locks and syncs cannot be relied \
             upon: use a local disk; several machines use a cluster log",
            path.display()
        ))),
    }
}

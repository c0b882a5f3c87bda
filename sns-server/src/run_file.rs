//! The small files that tell who runs on a data directory: `nodes/<node>/node.json` and
//! `run.json`. They only say where to look: a pid counts only while its node lock is held, or, for
//! a process without a lock, while the process that the file means is alive.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sns_core::own_file;

use crate::failure::{Failure, Result};
use crate::net::tls::TlsFiles;
use crate::pair::process::{self, ProcessId};

/// `nodes/<node>/node.json`: written by whoever is about to start a node, then by the node itself
/// as soon as it holds its lock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFile {
    /// The process; while `starting`, the one before, if there was one.
    #[serde(flatten)]
    pub process: Option<ProcessId>,
    /// Where clients connect; kept over restarts.
    pub address: String,
    /// Where the partner asks; kept over restarts.
    pub peer_address: String,
    /// Where browsers connect; kept over restarts, empty without a page.
    #[serde(default)]
    pub http_address: String,
    /// How often it was started again since the pair was first started.
    pub restarts: u64,
    /// It was asked to stop: its end is no death.
    pub stopping: bool,
    /// Somebody is starting it, and it has not written this file itself yet.
    #[serde(default)]
    pub starting: bool,
    /// What it speaks TLS with, so that whoever may read that can ask it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFiles>,
    /// With `stopping`: the same process goes on as the program that is on disk then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
    /// Whom it announces to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routers: Vec<String>,
    /// What it runs.
    #[serde(flatten)]
    pub program: Option<Program>,
}

/// What a process runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// The version of the program.
    pub version: String,
    /// The highest `min_version` of an entry that it can apply.
    pub log_version: u32,
    /// The file, as it would be started again.
    pub program: PathBuf,
}

impl Program {
    /// This program; `None` when nobody can tell which file it is.
    pub fn own() -> Option<Self> {
        Some(Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            log_version: sns_core::LOG_VERSION,
            program: process::program().ok()?,
        })
    }
}

impl NodeFile {
    /// It was asked to stop, and to come back only when it is asked to.
    pub fn stops(&self) -> bool {
        self.stopping && !self.again
    }

    /// Its path in the directory of the node.
    pub fn path(node_dir: &Path) -> PathBuf {
        node_dir.join("node.json")
    }

    /// Reads it; `None` when there is none, or none that this version understands.
    pub fn read(node_dir: &Path) -> Option<Self> {
        read(&Self::path(node_dir))
    }

    /// Replaces it as a whole; makes the directory.
    ///
    /// # Errors
    /// As the file system refuses.
    pub fn write(&self, node_dir: &Path) -> Result<()> {
        replace(&Self::path(node_dir), self)
    }
}

/// `run.json`: what `up` started besides the nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFile {
    /// `up` itself.
    pub up: ProcessId,
    /// Its router, while it runs.
    pub router: Option<ProcessId>,
    /// `http://H:P`, or `https://H:P`.
    pub router_url: String,
    /// How often `up` started the router again.
    pub router_restarts: u64,
    /// How many pairs it keeps; 0: an older version wrote this.
    #[serde(default)]
    pub pairs: u32,
    /// Its gateway for the client of the course, while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub course: Option<ProcessId>,
    /// Where that listens; empty when there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub course_address: String,
    /// How often `up` started it again.
    #[serde(default)]
    pub course_restarts: u64,
    /// What all of it speaks TLS with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFiles>,
    /// What `up` itself runs.
    #[serde(flatten)]
    pub program: Option<Program>,
}

impl RunFile {
    /// Its path in the data directory.
    pub fn path(data: &Path) -> PathBuf {
        data.join("run.json")
    }

    /// Reads it; `None` when there is none, or none that this version understands.
    pub fn read(data: &Path) -> Option<Self> {
        read(&Self::path(data))
    }

    /// Replaces it as a whole.
    ///
    /// # Errors
    /// As the file system refuses.
    pub fn write(&self, data: &Path) -> Result<()> {
        replace(&Self::path(data), self)
    }
}

/// A node and whoever holds its lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Living {
    /// Its name.
    pub node: String,
    /// The holder of its lock.
    pub pid: u32,
    /// Its file, if it is by that process.
    pub file: Option<NodeFile>,
}

/// The server nodes of `data` that run now; embedding programs (`local-…`) are not among them.
///
/// # Errors
/// `Unavailable`: the locks cannot be read.
pub fn living(data: &Path) -> Result<Vec<Living>> {
    let mut living = Vec::new();
    for node in nodes(data) {
        let dir = data.join("nodes").join(&node);
        let held = process::lock_holder(&dir.join("lock"));
        if let Some(pid) = held.map_err(|e| Failure::io("cannot read /proc/locks", &e))? {
            let by = |file: &NodeFile| file.process.as_ref().is_some_and(|it| it.pid == pid);
            let file = NodeFile::read(&dir).filter(by);
            living.push(Living { node, pid, file });
        }
    }
    Ok(living)
}

/// The names of the server nodes that ever were set up in `data`: by pair, the master first.
pub fn nodes(data: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(data.join("nodes")) else {
        return Vec::new();
    };
    let mut nodes: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with("-master") || name.ends_with("-slave"))
        // As a node may be called; another name was not made by us.
        .filter(|name| {
            let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
            name.len() <= 64 && name.bytes().all(fits)
        })
        .take(NODES_MAX)
        .collect();
    // By pair, not by name: "a-master" comes before "a1-master".
    nodes.sort_unstable_by(|a, b| a.rsplit_once('-').cmp(&b.rsplit_once('-')));
    nodes
}

/// Nodes that a directory may have had; as many as a router knows.
const NODES_MAX: usize = sns_core::limits::ROUTER_NODES;

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let text = match own_file::read(path, own_file::SMALL_BYTES) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return None,
        Err(e) => {
            tracing::warn!(?path, error = %e, "cannot read a run file");
            return None;
        }
    };
    let parsed = serde_json::from_slice(&text);
    parsed
        .map_err(|e| tracing::warn!(?path, error = %e, "a run file makes no sense; ignoring it"))
        .ok()
}

/// Temporary name, then rename. Not synced: after a power cut nobody runs.
pub(crate) fn replace(path: &Path, value: &impl Serialize) -> Result<()> {
    let refused = |e: io::Error| Failure::io(format!("cannot write {}", path.display()), &e);
    let dir = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir).map_err(refused)?;
    let mut bytes = serde_json::to_vec(value).map_err(|e| refused(e.into()))?;
    bytes.push(b'\n');
    let mut file = tempfile::Builder::new()
        .prefix(".new-")
        .tempfile_in(dir)
        .map_err(refused)?;
    file.write_all(&bytes).map_err(refused)?;
    file.persist(path).map_err(|e| refused(e.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_file_comes_back_as_it_was_written_also_without_a_process() {
        let dir = tempfile::tempdir().unwrap();
        let node = dir.path().join("nodes/a-master");
        assert_eq!(NodeFile::read(&node), None);
        let mut file = NodeFile {
            address: "127.0.0.1:7401".to_owned(),
            peer_address: "127.0.0.1:7405".to_owned(),
            http_address: "127.0.0.1:7409".to_owned(),
            restarts: 3,
            ..NodeFile::default()
        };
        file.write(&node).unwrap();
        assert_eq!(NodeFile::read(&node), Some(file.clone()));
        file.process = Some(ProcessId::own().unwrap());
        file.stopping = true;
        file.write(&node).unwrap();
        assert_eq!(NodeFile::read(&node), Some(file));
        let json: serde_json::Value =
            serde_json::from_slice(&std::fs::read(NodeFile::path(&node)).unwrap()).unwrap();
        assert_eq!(json["pid"], std::process::id());
    }

    #[test]
    fn a_file_that_makes_no_sense_counts_as_absent() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(NodeFile::path(dir.path()), b"{").unwrap();
        assert_eq!(NodeFile::read(dir.path()), None);
    }

    #[test]
    fn nodes_are_by_pair_and_the_master_first() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "b-master",
            "a1-master",
            "a-slave",
            "a-master",
            "local-0",
            "router",
        ] {
            std::fs::create_dir_all(dir.path().join("nodes").join(name)).unwrap();
        }
        let expected = ["a-master", "a-slave", "a1-master", "b-master"];
        assert_eq!(nodes(dir.path()), expected);
        assert_eq!(living(dir.path()).unwrap(), []);
    }
}

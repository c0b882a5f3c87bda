//! `node.json`: who plays a node and where, for the partner, `down` and `status --data`.
//!
//! It outlives its process; what it says counts only while the lock of the node is held.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result};

const NAME: &str = "node.json";

/// What `nodes/<node>/node.json` holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFile {
    /// The node's name.
    pub name: String,
    /// The process that wrote it.
    pub pid: u32,
    /// When that process started, in clock ticks since the boot: with the pid it names one process
    /// for good. 0 = unknown.
    pub started: u64,
    /// Where users connect.
    pub address: SocketAddr,
    /// Where the partner asks.
    pub peer_address: SocketAddr,
}

impl NodeFile {
    /// Of this process.
    pub fn of_this_process(name: &str, address: SocketAddr, peer_address: SocketAddr) -> Self {
        let pid = std::process::id();
        Self {
            name: name.to_owned(),
            pid,
            started: start_time(pid).unwrap_or(0),
            address,
            peer_address,
        }
    }

    /// Writes it into the node's directory, as a whole.
    ///
    /// # Errors
    /// As [`Failure::io`].
    pub fn write(&self, dir: &Path) -> Result<()> {
        let path = dir.join(NAME);
        let refused = |e| Failure::io(format!("cannot write {}", path.display()), &e);
        let text = serde_json::to_string_pretty(self).map_err(std::io::Error::from);
        std::fs::create_dir_all(dir).map_err(refused)?;
        let mut file = tempfile::Builder::new()
            .prefix(".node-")
            .tempfile_in(dir)
            .map_err(refused)?;
        text.and_then(|text| writeln!(file, "{text}"))
            .map_err(refused)?;
        // Not synced: after a power cut nobody runs any more.
        file.persist(&path).map_err(|e| refused(e.error))?;
        Ok(())
    }

    /// Reads it; `None` when there is none, or nothing that this version understands.
    pub fn read(dir: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(dir.join(NAME)).ok()?;
        serde_json::from_str(&text).ok()
    }
}

/// When a process started, in clock ticks since the boot; `None` when there is no such process.
pub fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program stands in parentheses and may hold anything, parentheses too.
    let (_, rest) = stat.rsplit_once(')')?;
    // Field 22 of proc(5); the rest begins with field 3.
    rest.split_whitespace().nth(22 - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_as_it_was_and_names_this_process() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(NodeFile::read(dir.path()), None);
        let [a, b] = ["127.0.0.1:1", "127.0.0.1:2"].map(|text| text.parse().unwrap());
        let file = NodeFile::of_this_process("a-master", a, b);
        file.write(dir.path()).unwrap();
        file.write(dir.path()).unwrap();
        assert_eq!(NodeFile::read(dir.path()), Some(file.clone()));
        assert!(file.started > 0);
        assert_eq!(start_time(file.pid), Some(file.started));
        std::fs::write(dir.path().join(NAME), "{").unwrap();
        assert_eq!(NodeFile::read(dir.path()), None);
    }
}

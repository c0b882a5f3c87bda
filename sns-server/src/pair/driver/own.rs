//! What the driver does about its own node: its file, and its way to the disk.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sns_core::own_file;

use crate::again;
use crate::failure::{Failure, Result};
use crate::net::tls::TlsFiles;
use crate::pair::heartbeat::Asker;
use crate::pair::process::{ProcessId, lock_holder};
use crate::run_file::{NodeFile, Program};

/// This node, as its file has it.
#[derive(Clone, Debug)]
pub(super) struct Myself {
    pub(super) address: String,
    pub(super) peer_address: String,
    pub(super) http_address: String,
    pub(super) restarts: u64,
    /// As whom it asks its partner.
    pub(super) asker: Asker,
    pub(super) dir: PathBuf,
    pub(super) tls: Option<TlsFiles>,
    pub(super) routers: Vec<String>,
    /// Whether it was asked to stop; held while the file is written, so that this never goes back.
    pub(super) stopping: Arc<Mutex<bool>>,
}

impl Myself {
    /// Writes the file, if this process holds the lock and the file says something else. Whether
    /// the file is as it should be.
    pub(super) fn register(&self, stopping: bool) -> Result<bool> {
        let mut asked = self.stopping.lock().unwrap_or_else(PoisonError::into_inner);
        *asked |= stopping;
        let failed = |e: std::io::Error| Failure::io("cannot see to node.json", &e);
        let holder = lock_holder(&self.dir.join("lock")).map_err(failed)?;
        if holder != Some(std::process::id()) {
            return Ok(false);
        }
        let file = NodeFile {
            process: Some(ProcessId::own().map_err(failed)?),
            address: self.address.clone(),
            peer_address: self.peer_address.clone(),
            http_address: self.http_address.clone(),
            restarts: self.restarts,
            stopping: *asked,
            starting: false,
            tls: self.tls.clone(),
            again: *asked && again::wanted(),
            routers: self.routers.clone(),
            program: Program::own(),
        };
        if NodeFile::read(&self.dir).as_ref() == Some(&file) {
            return Ok(true);
        }
        file.write(&self.dir)?;
        Ok(true)
    }
}

/// Writes and syncs a few bytes. An error is an answer, too: what counts is that one came.
pub(super) fn try_disk(path: &Path) {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    let tried = own_file::open_with(&mut options, path).and_then(|mut file| {
        file.write_all(b"alive\n")?;
        file.sync_data()
    });
    if let Err(error) = tried {
        tracing::debug!(?path, %error, "the disk refused a probe");
    }
}

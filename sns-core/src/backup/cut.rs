//! [`Cut`]: all that a replica holds at one seq, in a file of its own, while the replica goes on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::BackupInfo;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::new_file::failed;
use crate::rebuild::CUT;
use crate::sns::Sns;
use crate::view::keys::meta::Meta;
use crate::view::snapshot::{self, SnapshotInfo};

/// How often a cut is tried while too much waits to be written, or another one is being made. The last
/// time, this replica stops applying until it is done: a large feed under load would never be copied.
const TRIES: u32 = 20;
/// Between two of them: the view writer gets something done meanwhile.
const PAUSE: Duration = Duration::from_millis(500);

/// A snapshot that belongs to one caller, and goes with it.
#[derive(Debug)]
pub(crate) struct Cut {
    dir: tempfile::TempDir,
    pub(crate) snapshot: SnapshotInfo,
    pub(crate) meta: Meta,
}

impl Sns {
    /// Copies the view beside it, at the end of an entry.
    ///
    /// # Errors
    /// `Exhausted`: no room, or others are being made for 10 s. `Damaged`: the view is.
    pub(crate) fn cut(&self) -> Result<Cut> {
        let place = match self.parts() {
            Some(parts) => parts.data.node_dir(&self.replica().node),
            None => std::env::temp_dir(),
        };
        let dir = tempfile::Builder::new()
            .prefix(CUT)
            .tempdir_in(&place)
            .map_err(failed("making a directory in", &place))?;
        let mut tries = 0;
        let snapshot = loop {
            let view = self.replica().view();
            let made = if tries + 1 == TRIES {
                view.snapshot_patiently(dir.path())
            } else {
                view.snapshot(dir.path())
            };
            // A view that is brought back meanwhile takes its place: hold on to none.
            drop(view);
            let error = match made {
                Ok(made) => break made,
                Err(error) => Error::from(error),
            };
            tries += 1;
            if tries >= TRIES || error.kind() != ErrorKind::Exhausted || is_full(&error) {
                return Err(error);
            }
            std::thread::park_timeout(PAUSE);
        };
        let (meta, _) = snapshot::stands(&snapshot.path)?;
        Ok(Cut {
            dir,
            snapshot,
            meta,
        })
    }
}

fn is_full(error: &Error) -> bool {
    error.reason() == crate::error::Reason::DiskFull
}

impl Cut {
    pub(crate) fn snapshot(&self) -> &Path {
        &self.snapshot.path
    }

    /// A place for what is made of it.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.dir.path().join("scratch")
    }

    /// What a backup of it says; how many bytes it takes is not known yet.
    pub(crate) fn info(&self, sns: &Sns) -> BackupInfo {
        let data_id = sns.data_dir().map(|data| data.data_id().to_owned());
        BackupInfo {
            program: concat!("sns ", env!("CARGO_PKG_VERSION")).to_owned(),
            data_id: data_id.unwrap_or_default(),
            log_id: self.snapshot.log_id,
            index: self.snapshot.index,
            seq: self.meta.applied,
            digest: self.snapshot.digest,
            digest_version: self.snapshot.digest_version,
            view_format: self.snapshot.view_format,
            log_time_ms: self.meta.log_time_ms,
            users: self.meta.users.into(),
            posts: self.meta.posts,
            follows: self.meta.follows,
            made_at_ms: Clock::system().now_ms(),
            bytes: 0,
        }
    }
}

//! [`Restore`]: a feed comes back from a backup, in a new directory.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::{BackupInfo, Progress, file, first_index};
use crate::clock::Clock;
use crate::data_dir::restoring::Restoring;
use crate::error::{Error, Reason, Result};
use crate::limits;
use crate::log::dir::{DirLog, DirLogOptions};
use crate::log::{Log as _, LogId};
use crate::new_file::failed;
use crate::view::keys::meta::Meta;
use crate::view::{self, View, snapshot};

/// A backup cannot have been made later than so, by any sound clock.
const AHEAD_MS: u64 = 10 * 60 * 1_000;

/// What a restore made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// What the backup says of itself.
    pub backup: BackupInfo,
    /// Where the feed is now; absolute.
    pub path: PathBuf,
    /// Its data id.
    pub data_id: String,
    /// The index of the first entry that it will write.
    pub first: u64,
}

/// How to restore.
///
/// A restored feed is a new life of the data. What was written after the backup is lost, and clients
/// may still hold tokens and positions of it. So it has a data id and a key of its own: earlier tokens
/// are refused, and no router mixes its servers with those of the earlier life. And its log begins far
/// behind the backup, behind every position that the earlier life can have reached: what clients hold
/// of the lost future is never taken for something else. Ids of posts, and all positions up to the
/// backup, stay what they were.
#[derive(Clone, Debug, Default)]
pub struct Restore {
    keep_id: bool,
    force_network_fs: bool,
    clock: Clock,
}

/// Restores a backup into a directory that is missing or empty.
///
/// # Errors
/// As [`Restore::from_file`].
pub fn restore(file: impl AsRef<Path>, dir: impl AsRef<Path>) -> Result<Restored> {
    Restore::new().from_file(file.as_ref(), dir.as_ref())
}

impl Restore {
    /// Into a new life.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on with the life of the original, right behind the backup: same data id, next index. Only
    /// for when the original is gone for good and nothing was written to it after the backup: else two
    /// posts have one id. Tokens end all the same.
    #[must_use]
    pub fn keep_id(mut self, on: bool) -> Self {
        self.keep_id = on;
        self
    }

    /// Also onto a network file system, where locks and syncs cannot be relied upon.
    #[must_use]
    pub fn force_network_fs(mut self, on: bool) -> Self {
        self.force_network_fs = on;
        self
    }

    /// Where wall time comes from.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Restores the backup `file` into `dir`, which is missing or empty.
    ///
    /// # Errors
    /// `Damaged`: the backup is, where, or it was made by another version. `Invalid`: there is
    /// something in `dir`, or it is no directory for data. `Exhausted`: no room. `Unavailable`: the
    /// system refused, or another process restores into it. The directory is then as it was.
    /// # Durability
    /// On return all of it survives a power cut. A restore that was killed leaves a directory that
    /// nobody opens, and into which another restore goes.
    pub fn from_file(&self, file: &Path, dir: &Path) -> Result<Restored> {
        let mut from = File::open(file).map_err(failed("reading", file))?;
        self.from_reader(&mut from, &file.display().to_string(), dir, &mut |_, _| {})
    }

    /// As [`Restore::from_file`], from anywhere; `name` is for messages.
    ///
    /// # Errors
    /// As [`Restore::from_file`].
    pub fn from_reader(
        &self,
        from: &mut dyn Read,
        name: &str,
        dir: &Path,
        progress: Progress<'_>,
    ) -> Result<Restored> {
        let target = Restoring::begin(dir, self.force_network_fs)?;
        let (backup, snapshot) = file::extract(from, name, &target.scratch(), progress)?;
        let (meta, born_ms) = snapshot::stands(&snapshot)?;
        refuse_bad_standing(&meta, backup.index)?;
        let first = self.first(&backup, born_ms)?;
        let data_id = if self.keep_id && !backup.data_id.is_empty() {
            uuid::Uuid::try_parse(&backup.data_id)
                .map_err(|_| Error::new(Reason::Damaged, "the backup's data id is none"))?
                .to_string()
        } else {
            uuid::Uuid::new_v4().to_string()
        };
        install(&target, &snapshot, first, backup.digest)?;
        let data = target.finish(&data_id)?;
        Ok(Restored {
            path: data.path().to_owned(),
            data_id,
            first,
            backup,
        })
    }

    fn first(&self, backup: &BackupInfo, born_ms: Option<u64>) -> Result<u64> {
        if self.keep_id {
            return Ok(backup.index + 1);
        }
        let now = self.clock.now_ms();
        if backup.made_at_ms > now.saturating_add(AHEAD_MS) {
            return Err(Error::invalid(
                "the backup was made later than the clock of this machine says it is now: set the \
                 clock, then restore",
            ));
        }
        let born_ms = born_ms.unwrap_or(backup.made_at_ms);
        first_index(backup.index, born_ms, now).ok_or_else(|| {
            Error::invalid(
                "no indexes are left behind this backup; is the clock of this machine right?",
            )
        })
    }
}

/// Refuses a snapshot that stands at another index than its backup says, of which is known that a feed
/// can go on behind it, or at a time that no log has.
fn refuse_bad_standing(meta: &Meta, index: u64) -> Result<()> {
    if meta.applied.index() == index && meta.log_time_ms <= limits::CLOCK_MS_MAX {
        return Ok(());
    }
    Err(Error::new(
        Reason::Damaged,
        "what the backup holds stands at another index than it says, or past the year 9999: take \
         another backup",
    ))
}

/// Puts a snapshot and an empty log, whose first index is `first`, into the directory, and proves that
/// a replica of them holds what has the digest `digest`.
///
/// # Errors
/// `Damaged`: it does not. As the system refuses.
pub(crate) fn install(target: &Restoring, from: &Path, first: u64, digest: u128) -> Result<()> {
    let options = DirLogOptions::default().node("restore").first(first);
    let log = DirLog::open(&target.log_dir(), options)?;
    let id = log.id();
    log.close()?;
    drop(log);
    let made = snapshot::rebind(from, &target.snapshots_dir(), |meta| {
        meta.before_log(id, first - 1)
    })?;
    prove(&made.path, &target.scratch().join("view"), id, digest)
}

/// Loads a snapshot into a replica in `dir`, and compares the digest with all that is stored there.
///
/// # Errors
/// `Damaged`: it is another one, or the facts do not add up to it.
pub(super) fn prove(snapshot: &Path, dir: &Path, log_id: LogId, digest: u128) -> Result<()> {
    let options = view::Options {
        check: true,
        ..view::Options::default()
    };
    let view = View::load(dir, snapshot, log_id, &options)?;
    let found = view.standing().digest;
    view.close();
    view.release();
    if found == digest {
        return Ok(());
    }
    Err(Error::new(
        Reason::Damaged,
        format!("what was read has the digest {found:032x}, and should have {digest:032x}"),
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use crate::seq::Seq;

    #[test]
    fn a_backup_that_stands_where_it_cannot_is_refused() {
        let at = |index, log_time_ms| {
            let mut meta = Meta::new(LogId(1));
            meta.applied = Seq::new(index, 3);
            meta.log_time_ms = log_time_ms;
            meta
        };
        refuse_bad_standing(&at(7, limits::CLOCK_MS_MAX), 7).unwrap();
        for bad in [
            at(7, limits::CLOCK_MS_MAX + 1),
            at(8, 1),
            at(Seq::INDEX_MAX, 1),
        ] {
            let refused = refuse_bad_standing(&bad, 7).unwrap_err();
            assert_eq!(refused.reason(), Reason::Damaged);
        }
    }
}

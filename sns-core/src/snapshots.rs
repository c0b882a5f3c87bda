//! Making snapshots, and trimming the log behind them.

mod store;

use std::path::Path;

use crate::command::{Command, Intent};
use crate::error::{Error, Result};
use crate::limits;
use crate::seq::Seq;
use crate::sns::Sns;
use crate::view::snapshot::{self, SnapshotInfo};

pub use store::{Listed, SnapshotStore};

impl Sns {
    /// Copies the view into `DATA/snapshots` (or where the snapshots of a cluster lie), marks it in the log, and trims what two snapshots
    /// cover. Reads and writes go on meanwhile. Blocks until it is done.
    ///
    /// # Errors
    /// `Exhausted`: another one is being made, or too much waits to be written; or the disk is full.
    /// `Invalid`: this log is in memory, or empty. `Unavailable`, `Unknown`: the log.
    /// # Durability
    /// On return the file is synced, and the log holds a checkpoint with its digest.
    ///
    /// ```
    /// # fn main() -> sns_core::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// let sns = sns_core::Sns::open(dir.path())?;
    /// sns.user("alice")?;
    /// let snapshot = sns.create_snapshot()?;
    /// assert_eq!(sns_core::snapshots::verify(&snapshot.path)?, snapshot);
    /// # Ok(())
    /// # }
    /// ```
    pub fn create_snapshot(&self) -> Result<SnapshotInfo> {
        let replica = self.replica();
        let data = self
            .parts()
            .ok_or_else(|| Error::invalid("a log in memory has no snapshots"))?;
        if replica.view().standing().index == 0 {
            return Err(Error::invalid(
                "the log is empty: there is nothing to take a snapshot of",
            ));
        }
        let store = &data.snapshots;
        // One at a time, in all processes; held until the old ones are gone.
        let _lock = store.lock()?;
        store.sweep();
        let dir = store.spool();
        let made = replica.view().snapshot(dir)?;
        let info = store.keep(made)?;
        let intent = Intent::Checkpoint {
            index: info.index,
            digest: info.digest,
            digest_version: info.digest_version,
        };
        let command = Command {
            request_id: None,
            seen: Seq::ZERO,
            intent,
        };
        let reply = replica.submit(command, true)?;
        crate::pending::Pending::waiting(reply, |applied| Ok(applied.seq)).wait()?;
        self.keep_two(store)?;
        Ok(info)
    }

    /// Whether the log has grown enough since the newest snapshot for another one: by its size, and
    /// by 256 MiB at least.
    ///
    /// # Errors
    /// `Unavailable`: the size of the log cannot be read.
    pub fn wants_snapshot(&self) -> Result<bool> {
        let Some(data) = self.parts() else {
            return Ok(false);
        };
        let listed = data.snapshots.list()?.into_iter();
        let mut listed = listed.filter_map(|(_, info)| info.ok());
        let newest = listed.find(SnapshotInfo::is_usable);
        let replica = self.replica();
        let size = replica.log.size_bytes()?;
        let (covered, last_bytes) = newest.map_or((0, 0), |info| (info.index, info.bytes));
        let (head, tail) = (replica.log.head()?, replica.log.tail()?);
        // Entries differ in size; the mean is near enough to decide on.
        let entries = (tail - head).max(1);
        let since = tail.saturating_sub(covered.max(head));
        let grown = u128::from(size) * u128::from(since) / u128::from(entries);
        Ok(grown >= u128::from(last_bytes.max(limits::SNAPSHOT_GROWTH_BYTES)))
    }

    /// Deletes all but the two newest good snapshots, and trims the log up to the older of the two.
    fn keep_two(&self, store: &SnapshotStore) -> Result<()> {
        let log = &self.replica().log;
        let good: Vec<SnapshotInfo> = store
            .list()?
            .into_iter()
            .filter_map(|(_, info)| info.ok())
            .filter(|info| info.log_id == log.id() && info.is_usable())
            .collect();
        if let Some(older) = good.get(limits::SNAPSHOTS_KEPT - 1) {
            // Only what both can replace goes: an unreadable one must not cost the log.
            if let Err(error) = store.verify(older) {
                tracing::warn!(%error, "the log is not trimmed: the older snapshot is damaged");
                return Ok(());
            }
            log.trim_to(older.index)?;
            for old in good.iter().skip(limits::SNAPSHOTS_KEPT) {
                if let Err(error) = store.remove(old) {
                    tracing::warn!(%error, path = %old.path.display(), "an old snapshot stays");
                }
            }
        }
        Ok(())
    }
}

/// Reads a snapshot to its end and checks every byte.
///
/// # Errors
/// `Damaged`: it is not what was written, or cannot be read.
pub fn verify(path: &Path) -> Result<SnapshotInfo> {
    Ok(snapshot::verify(path)?)
}

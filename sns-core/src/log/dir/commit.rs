//! The durable tail (rule R3): one record that says up to which entry the log is durable. Written
//! under the lock only; read by everybody, at any time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::disk::{Disk, DiskFile, read_full, write_full};
use super::frame::{u32_at, u64_at};
use super::options::Step;
use super::{DirLogOptions, LogId};
use crate::seq::Seq;

/// The file's name.
pub(super) const NAME: &str = "commit";

const MAGIC: [u8; 8] = *b"\xffSNSCMT\n";
const LEN: usize = 36;

/// How often a record that does not add up is read again: a writer may just be at it.
const TRIES: u32 = 20;

/// `head` has the same form as `commit`, with another magic.
pub(super) fn encode(magic: [u8; 8], id: LogId, index: u64) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    bytes[..8].copy_from_slice(&magic);
    bytes[8..24].copy_from_slice(&id.0.to_le_bytes());
    bytes[24..32].copy_from_slice(&index.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..32]);
    bytes[32..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The log and the index of a record; `None` when it is not one.
pub(super) fn decode(magic: [u8; 8], bytes: &[u8]) -> Option<(LogId, u64)> {
    if bytes.len() < LEN || bytes[..8] != magic || u32_at(bytes, 32) != crc32c::crc32c(&bytes[..32])
    {
        return None;
    }
    let mut id = [0; 16];
    id.copy_from_slice(&bytes[8..24]);
    let index = u64_at(bytes, 24);
    (index <= Seq::INDEX_MAX).then(|| (LogId(u128::from_le_bytes(id)), index))
}

/// What the bytes of `commit` declare durable, for the simulated disk.
#[cfg(any(test, feature = "test-util"))]
pub(super) fn declared(bytes: &[u8]) -> Option<u64> {
    decode(MAGIC, bytes).map(|(_, index)| index)
}

/// The bytes of a `commit` that declares `index` durable.
#[cfg(any(test, fuzzing))]
pub(super) fn declare(id: LogId, index: u64) -> Vec<u8> {
    encode(MAGIC, id, index).to_vec()
}

/// Reads a record; `None` when it stays bad.
pub(super) fn read(disk: &dyn Disk, file: &dyn DiskFile) -> io::Result<Option<(LogId, u64)>> {
    let mut bytes = [0; LEN];
    for tries in 0..TRIES {
        let read = read_full(file, &mut bytes, 0)?;
        if let Some(record) = decode(MAGIC, &bytes[..read]) {
            return Ok(Some(record));
        }
        disk.pause(tries);
    }
    Ok(None)
}

/// What this process knows of the durable tail.
#[derive(Debug, Default)]
pub(super) struct Commit {
    file: Mutex<Option<Arc<dyn DiskFile>>>,
    /// Never goes down while the process lives.
    known: AtomicU64,
    /// Raised since the last sync.
    unsynced: AtomicBool,
    /// A sync failed: what the page cache shows may not be on the disk, and a later sync would say
    /// that all is well. Open writes it anew.
    lost: AtomicBool,
    /// Held while the record is synced or written anew: a sync that fails in between would be
    /// forgotten, and one that has not failed yet be taken for none.
    syncing: Mutex<()>,
}

impl Commit {
    /// The last entry known to be durable; 0 for none.
    pub(super) fn known(&self) -> u64 {
        self.known.load(Ordering::Acquire)
    }

    /// Learns that `index` is durable; returns the last entry known to be.
    pub(super) fn learn(&self, index: u64) -> u64 {
        self.known.fetch_max(index, Ordering::AcqRel).max(index)
    }

    /// Uses `file` from now on.
    pub(super) fn set_file(&self, file: Option<Arc<dyn DiskFile>>) {
        *self.file.lock() = file;
    }

    /// Whether there is a file to read.
    pub(super) fn is_open(&self) -> bool {
        self.file.lock().is_some()
    }

    fn file(&self) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.file.lock().clone();
        file.ok_or_else(|| io::Error::other("`commit` is not open"))
    }

    /// The last durable entry, fresh; `None` when the record is bad, or one of another log.
    pub(super) fn read(&self, disk: &dyn Disk, id: LogId) -> io::Result<Option<u64>> {
        let record = read(disk, &*self.file()?)?;
        Ok(record
            .filter(|(of, _)| *of == id)
            .map(|(_, index)| self.learn(index)))
    }

    /// The record as it stands, to see whether it moves.
    pub(super) fn raw(&self) -> Vec<u8> {
        let mut bytes = vec![0; LEN];
        let read = self
            .file()
            .and_then(|file| read_full(&*file, &mut bytes, 0));
        bytes.truncate(read.unwrap_or_default());
        bytes
    }

    /// Declares everything up to `index` durable. Under the lock only, and only of what was
    /// written before a sync that succeeded. False: the record is bad, nothing was done.
    pub(super) fn raise(
        &self,
        disk: &dyn Disk,
        options: &DirLogOptions,
        id: LogId,
        index: u64,
    ) -> io::Result<bool> {
        let file = self.file()?;
        let Some((_, current)) = read(disk, &*file)?.filter(|(of, _)| *of == id) else {
            return Ok(false);
        };
        let new = if options.lacks(Step::CommitMaximum) {
            index
        } else {
            index.max(self.learn(current))
        };
        if options.lacks(Step::LearnFromCommit) {
            self.learn(new);
        }
        if new != current {
            write_full(&*file, &encode(MAGIC, id, new), 0)?;
            self.unsynced.store(true, Ordering::Release);
        }
        self.learn(new);
        Ok(true)
    }

    /// Writes the record whatever stood there. Under the lock only, as the end of an Open.
    pub(super) fn set(&self, options: &DirLogOptions, id: LogId, index: u64) -> io::Result<()> {
        let new = index.max(self.known());
        if options.lacks(Step::LearnFromCommit) {
            self.learn(new);
        }
        let file = self.file()?;
        let _alone = self.syncing.lock();
        if self.is_lost() {
            // Writing in place does not mend what a failed sync has lost; cutting does. Who reads
            // meanwhile reads again, or counts it as absent.
            file.set_len(0)?;
        }
        write_full(&*file, &encode(MAGIC, id, new), 0)?;
        self.lost.store(false, Ordering::Release);
        self.sync_is_due();
        // Not before: what this process reads, all the others must be able to see.
        self.learn(new);
        Ok(())
    }

    /// Whether a sync failed since it was written.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Whoever wrote it may have died before it was synced.
    pub(super) fn sync_is_due(&self) {
        self.unsynced.store(true, Ordering::Release);
    }

    /// Whether there is something to sync.
    pub(super) fn is_unsynced(&self) -> bool {
        self.unsynced.load(Ordering::Acquire)
    }

    /// Syncs the record if it was raised since the last time. Fine only if none has failed since it
    /// was written, by whomever.
    pub(super) fn sync(&self) -> io::Result<()> {
        let _alone = self.syncing.lock();
        if self.unsynced.swap(false, Ordering::AcqRel) {
            let synced = self.file().and_then(|file| file.sync_data());
            synced.inspect_err(|_| self.lost.store(true, Ordering::Release))?;
        }
        if self.is_lost() {
            return Err(io::Error::other("a sync has failed since it was written"));
        }
        Ok(())
    }

    /// Whether a sync would have to wait now, for the simulated disk.
    #[cfg(any(test, feature = "test-util"))]
    pub(super) fn is_syncing(&self) -> bool {
        self.syncing.is_locked()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
    use std::time::Duration;

    use super::super::disk::Identity;
    use super::*;

    /// A file whose sync says that it started, waits, and fails.
    #[derive(Debug)]
    struct Slow(SyncSender<()>, Mutex<Receiver<()>>);

    impl DiskFile for Slow {
        fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
            Ok(0)
        }
        fn write_at(&self, bytes: &[u8], _: u64) -> io::Result<usize> {
            Ok(bytes.len())
        }
        fn set_len(&self, _: u64) -> io::Result<()> {
            Ok(())
        }
        fn len(&self) -> io::Result<u64> {
            Ok(0)
        }
        fn identity(&self) -> io::Result<Identity> {
            Ok((0, 0))
        }
        fn sync_data(&self) -> io::Result<()> {
            self.0.send(()).map_err(io::Error::other)?;
            self.1.lock().recv().map_err(io::Error::other)?;
            Err(io::Error::other("it fails"))
        }
        fn sync_all(&self) -> io::Result<()> {
            self.sync_data()
        }
        fn try_lock(&self) -> io::Result<bool> {
            Ok(true)
        }
        fn unlock(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_hears_that_all_is_synced_while_a_sync_still_fails() {
        let (begin, started) = sync_channel(1);
        let (release, released) = sync_channel(1);
        let commit = Commit::default();
        commit.set_file(Some(Arc::new(Slow(begin, Mutex::new(released)))));
        commit.sync_is_due();
        let (tell, told) = sync_channel(1);
        std::thread::scope(|scope| {
            let first = scope.spawn(|| commit.sync());
            started.recv().expect("it syncs");
            let second = scope.spawn(|| {
                let synced = commit.sync();
                tell.send(()).expect("the test listens");
                synced
            });
            let early = told.recv_timeout(Duration::from_millis(50));
            release.send(()).expect("it waits");
            assert!(first.join().expect("no panic").is_err());
            assert!(second.join().expect("no panic").is_err());
            assert!(early.is_err(), "it did not wait for the first");
        });
        let options = DirLogOptions::default();
        commit.set(&options, LogId(3), 1).expect("written anew");
        assert!(commit.is_unsynced() && !commit.is_lost());
    }

    #[test]
    fn a_record_comes_back_and_every_flipped_bit_is_noticed() {
        let bytes = encode(MAGIC, LogId(3), 99);
        assert_eq!(decode(MAGIC, &bytes), Some((LogId(3), 99)));
        assert_eq!(decode(MAGIC, &bytes[..LEN - 1]), None);
        assert_eq!(decode(MAGIC, &[0; LEN]), None);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(MAGIC, &bad), None, "bit {bit} was not noticed");
        }
    }
}

//! [`Store`]: the sled database behind a view. sled's types stop here, and so do its panics: on some
//! damage sled 0.34 does not return an error.

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::RwLock;

use super::keys::meta::{self, Meta};
use super::keys::{Key, Stored as _, Value, request};
use super::memory::{Batch, Memory};
use super::redo::{self, Redo};
use super::seams::{Seams, lacks};
use super::{Error, codec};
use crate::limits::{BATCH_BYTES, BATCH_KEYS};
use crate::seq::Seq;

/// sled's own cache: small, because memory stands in front of it.
const SLED_CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// How long an open waits for an earlier one in this process to let go of the files.
const LOCK_WAIT: Duration = Duration::from_secs(2);
const LOCK_LOOK: Duration = Duration::from_millis(5);
/// With less room on the disk nothing is given to sled, which does not survive a full one: more than
/// it buffers.
const ROOM_BYTES: u64 = 8 * 1024 * 1024;

/// A key and its value, as sled has them.
type RawPair = (Vec<u8>, Vec<u8>);

/// One tree of keys and values, complete up to the seq in its `Meta`.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    handle: Arc<Handle>,
    dir: Arc<PathBuf>,
    seams: Seams,
}

/// The open database.
#[derive(Debug)]
struct Handle {
    /// Empty once it was released: sled holds a lock on its files as long as it lives.
    db: RwLock<Option<sled::Db>>,
    /// It returned an error, or panicked.
    failed: AtomicBool,
}

impl Handle {
    /// Closes the database; false when it cannot be closed.
    ///
    /// After an error, sled 0.34 may wait for ever in its own drop, and hold a lock meanwhile that
    /// every database of the process needs. Such a one is left alone until the process ends.
    fn release(&self) -> bool {
        let Some(db) = self.db.write().take() else {
            return true;
        };
        if self.failed.load(Ordering::Relaxed) {
            std::mem::forget(db);
            return false;
        }
        guarded(|| {
            drop(db);
            Ok(())
        })
        .is_ok()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.release();
    }
}

impl From<sled::Error> for Error {
    fn from(error: sled::Error) -> Self {
        match error {
            sled::Error::Io(error) if error.kind() == ErrorKind::StorageFull => {
                Self::Full(format!("the view's database: {error}"))
            }
            sled::Error::Io(error) => Self::Io(format!("the view's database: {error}")),
            other => Self::Damaged(format!("the view's database: {other}")),
        }
    }
}

/// sled has no error of its own for this.
fn is_locked(error: &str) -> bool {
    error.contains("could not acquire lock")
}

/// Turns a panic of sled into damage.
fn guarded<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Error::Damaged("the view's database panicked".into())))
}

impl Store {
    /// Opens or makes the database in `dir`.
    pub(crate) fn open(dir: &Path, seams: Seams) -> Result<Self, Error> {
        let deadline = Instant::now() + LOCK_WAIT;
        let db = loop {
            let opened = guarded(|| {
                Ok(sled::Config::new()
                    .path(dir)
                    .cache_capacity(SLED_CACHE_BYTES)
                    .mode(sled::Mode::HighThroughput)
                    .flush_every_ms(Some(500))
                    .open()?)
            });
            match opened {
                // sled's own threads give up the lock of its file a little after it was dropped.
                Err(Error::Io(error)) if is_locked(&error) && Instant::now() < deadline => {
                    std::thread::park_timeout(LOCK_LOOK);
                }
                opened => break opened?,
            }
        };
        let handle = Handle {
            db: RwLock::new(Some(db)),
            failed: AtomicBool::new(false),
        };
        let store = Self {
            handle: Arc::new(handle),
            dir: Arc::new(dir.to_owned()),
            seams,
        };
        store.finish_redo()?;
        Ok(store)
    }

    /// Carries out what a process that died left half done.
    fn finish_redo(&self) -> Result<(), Error> {
        let redo = redo::read(&self.dir)?;
        let Some(redo) = redo.filter(|_| !lacks!(self, Redo)) else {
            return redo::remove(&self.dir);
        };
        // The very first write has no `Meta` before its end.
        let at = self.stored_meta()?.map_or(Seq::ZERO, |meta| meta.applied);
        if at != redo.base && at != redo.target {
            return Err(Error::Damaged(format!(
                "its redo file leads from {:?} to {:?}, and it stands at {at:?}",
                redo.base, redo.target
            )));
        }
        if at == redo.base {
            self.write_pairs(redo.pairs, &mut || {})?;
        }
        self.flush()?;
        redo::remove(&self.dir)
    }

    fn with<T>(&self, work: impl FnOnce(&sled::Db) -> Result<T, Error>) -> Result<T, Error> {
        let db = self.handle.db.read();
        let db = db.as_ref().ok_or(Error::Closed)?;
        guarded(|| work(db)).inspect_err(|_| self.handle.failed.store(true, Ordering::Relaxed))
    }

    /// Closes the database, so that its files can be opened again or deleted; false when they cannot
    /// be opened again. Whoever reads from it after this is told that it is closed.
    pub(crate) fn release(&self) -> bool {
        self.handle.release()
    }

    /// Bytes of its files.
    pub(crate) fn bytes(&self) -> Result<u64, Error> {
        self.with(|db| Ok(db.size_on_disk()?))
    }

    /// Whether the disk has room for so many bytes more: in the redo file, and in sled.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        let need = ROOM_BYTES + 3 * bytes as u64;
        // Where it cannot be told, the write itself will tell.
        rustix::fs::statvfs(&*self.dir).map_or(true, |disk| disk.f_bavail * disk.f_frsize >= need)
    }

    /// Where the view stands; `None` when nothing was ever written.
    ///
    /// # Errors
    /// `Damaged`, also when there is something in it that says not where it stands: the loading of a
    /// snapshot that never ended.
    pub(crate) fn meta(&self) -> Result<Option<Meta>, Error> {
        match self.stored_meta()? {
            Some(meta) => Ok(Some(meta)),
            None if self.with(|db| Ok(db.iter().next().is_some()))? => Err(Error::Damaged(
                "the view's database says not where it stands".into(),
            )),
            None => Ok(None),
        }
    }

    fn stored_meta(&self) -> Result<Option<Meta>, Error> {
        match self.with(|db| Ok(db.get(meta::KEY)?))? {
            Some(bytes) => codec::decode(meta::KEY, &bytes).map(Some),
            None => Ok(None),
        }
    }

    /// The value of a key, or [`Value::Absent`].
    pub(crate) fn get(&self, key: Key) -> Result<Value, Error> {
        match self.with(|db| Ok(db.get(key.to_bytes())?))? {
            None => Ok(Value::Absent),
            Some(bytes) => Value::decode(key, &bytes),
        }
    }

    /// Writes a batch and where the view then stands; a process that dies meanwhile has written all
    /// of it or nothing. `base` = where sled stands now; `piece` is called for every piece of it that
    /// sled has.
    pub(crate) fn write(
        &self,
        batch: &Batch,
        base: Seq,
        piece: &mut dyn FnMut(),
    ) -> Result<(), Error> {
        let mut pairs = Vec::with_capacity(batch.values.len() + 1);
        for (key, value) in &batch.values {
            pairs.push((key.to_bytes(), value.encode(*key)?));
        }
        // Neighbours together: sled then changes each of its pages once.
        pairs.sort_unstable_by_key(|(key, _)| *key);
        // Last: with it, sled has all of the batch.
        if !lacks!(self, SeqOfBatch) || self.meta()?.is_none() {
            pairs.push((meta::KEY, Some(codec::encode(meta::KEY, &batch.meta)?)));
        }
        if pairs.len() <= BATCH_KEYS && batch.bytes <= BATCH_BYTES {
            return self.write_pairs(pairs, piece);
        }
        // sled keeps some of its last writes in the process: the file must lead on from what a kill
        // leaves behind.
        self.flush()?;
        let redo = Redo {
            base,
            target: batch.meta.applied,
            pairs,
        };
        redo::write(&self.dir, &redo)?;
        self.look()?;
        self.write_pairs(redo.pairs, piece)?;
        self.flush()?;
        redo::remove(&self.dir)?;
        self.look()
    }

    /// Whether a test left `check` out.
    #[cfg(any(test, feature = "test-util"))]
    pub(super) fn lacks(&self, check: super::seams::Check) -> bool {
        self.seams.lacks(check)
    }

    /// Lets a test look at the files: as a kill leaves them now, and once more when the kernel has
    /// all of it.
    fn look(&self) -> Result<(), Error> {
        if self.seams.look(&self.dir) {
            self.flush()?;
            self.seams.look(&self.dir);
        }
        Ok(())
    }

    /// Writes pairs in order, in batches that are small enough for sled.
    fn write_pairs(&self, pairs: Vec<redo::Pair>, piece: &mut dyn FnMut()) -> Result<(), Error> {
        let (mut changes, mut keys, mut bytes) = (sled::Batch::default(), 0, 0);
        for (key, value) in pairs {
            let size = value.as_ref().map_or(0, Vec::len);
            if keys == BATCH_KEYS || (keys > 0 && bytes + size > BATCH_BYTES) {
                let full = std::mem::take(&mut changes);
                self.with(|db| Ok(db.apply_batch(full)?))?;
                piece();
                self.look()?;
                (keys, bytes) = (0, 0);
            }
            (keys, bytes) = (keys + 1, bytes + size);
            match value {
                Some(value) => changes.insert(&key, value),
                None => changes.remove(&key),
            }
        }
        self.with(|db| Ok(db.apply_batch(changes)?))?;
        self.look()
    }

    /// Writes raw pairs, as a snapshot holds them.
    pub(crate) fn write_raw(
        &self,
        pairs: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
    ) -> Result<(), Error> {
        if !self.has_room(BATCH_BYTES) {
            return Err(Error::Full("the disk is full".into()));
        }
        let mut changes = sled::Batch::default();
        for (key, value) in pairs {
            changes.insert(key, value);
        }
        self.with(|db| Ok(db.apply_batch(changes)?))
    }

    /// All keys from `from` on with their raw values, in order; the key of `Meta` comes first.
    pub(crate) fn scan_raw(
        &self,
        from: &[u8],
    ) -> Result<impl Iterator<Item = Result<RawPair, Error>> + use<>, Error> {
        let mut pairs = self.with(|db| Ok(db.range(from.to_vec()..)))?;
        Ok(std::iter::from_fn(move || {
            let pair = guarded(|| Ok(pairs.next().transpose()?));
            pair.map(|pair| pair.map(|(k, v)| (k.to_vec(), v.to_vec())))
                .transpose()
        }))
    }

    /// Takes a key away behind the back of the view.
    #[cfg(test)]
    pub(crate) fn remove_raw(&self, key: &[u8]) {
        self.with(|db| Ok(db.remove(key).map(|_| ())?)).unwrap();
    }

    /// Hands what sled keeps in this process to the kernel: a kill cannot take it any more.
    fn flush(&self) -> Result<(), Error> {
        self.with(|db| Ok(db.flush().map(|_| ())?))
    }

    /// Fills the table of remembered requests, which a view keeps in memory as a whole.
    pub(crate) fn load_requests(&self, memory: &mut Memory) -> Result<(), Error> {
        let (first, next) = memory.meta.requests;
        for chunk in first / request::CHUNK..next.div_ceil(request::CHUNK) {
            let value = self.get(request::key(chunk))?;
            let requests = request::Requests::of(&value).ok_or_else(|| {
                Error::Damaged(format!(
                    "chunk {chunk} of the remembered requests is missing"
                ))
            })?;
            memory.remember_chunk(chunk * request::CHUNK, requests);
        }
        Ok(())
    }

    /// Brings all that sled has to the disk: to its file, and from there with an fsync, which sled
    /// itself does not do on Linux.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.flush()?;
        let synced = || -> std::io::Result<()> {
            for entry in std::fs::read_dir(&*self.dir)? {
                let path = entry?.path();
                if path.is_file() {
                    std::fs::File::open(path)?.sync_all()?;
                }
            }
            std::fs::File::open(&*self.dir)?.sync_all()
        };
        synced().map_err(|e| Error::Io(format!("syncing {}: {e}", self.dir.display())))
    }
}

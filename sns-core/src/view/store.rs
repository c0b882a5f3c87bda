//! [`Store`]: the sled database behind a view. sled's types stop here.

use std::path::Path;

use super::keys::meta::{self, Meta};
use super::keys::{Key, Stored as _, Value, request};
use super::memory::{Batch, Memory};
use super::{Error, codec};

/// sled's own cache: small, because memory stands in front of it.
const SLED_CACHE_BYTES: u64 = 32 * 1024 * 1024;

/// One tree of keys and values, complete up to the seq in its `Meta`.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    db: sled::Db,
}

impl From<sled::Error> for Error {
    fn from(error: sled::Error) -> Self {
        match error {
            sled::Error::Io(error) => Self::Io(format!("the view's database: {error}")),
            other => Self::Damaged(format!("the view's database: {other}")),
        }
    }
}

impl Store {
    /// Opens or makes the database in `dir`.
    pub(crate) fn open(dir: &Path) -> Result<Self, Error> {
        let db = sled::Config::new()
            .path(dir)
            .cache_capacity(SLED_CACHE_BYTES)
            .mode(sled::Mode::HighThroughput)
            .flush_every_ms(Some(500))
            .open()?;
        Ok(Self { db })
    }

    /// Where the view stands; `None` when nothing was ever written.
    pub(crate) fn meta(&self) -> Result<Option<Meta>, Error> {
        match self.db.get(meta::KEY)? {
            None => Ok(None),
            Some(bytes) => codec::decode(meta::KEY, &bytes).map(Some),
        }
    }

    /// The value of a key, or [`Value::Absent`].
    pub(crate) fn get(&self, key: Key) -> Result<Value, Error> {
        match self.db.get(key.to_bytes())? {
            None => Ok(Value::Absent),
            Some(bytes) => Value::decode(key, &bytes),
        }
    }

    /// Writes a batch and where the view then stands, in one step.
    pub(crate) fn write(&self, batch: &Batch) -> Result<(), Error> {
        let mut changes = sled::Batch::default();
        for (key, value) in &batch.values {
            match value.encode(*key)? {
                Some(bytes) => changes.insert(&key.to_bytes(), bytes),
                None => changes.remove(&key.to_bytes()),
            }
        }
        changes.insert(&meta::KEY, codec::encode(meta::KEY, &batch.meta)?);
        Ok(self.db.apply_batch(changes)?)
    }

    /// Writes raw pairs, as a snapshot holds them.
    pub(crate) fn write_raw(
        &self,
        pairs: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
    ) -> Result<(), Error> {
        let mut changes = sled::Batch::default();
        for (key, value) in pairs {
            changes.insert(key, value);
        }
        Ok(self.db.apply_batch(changes)?)
    }

    /// All keys from `from` on with their raw values, in order; the key of `Meta` comes first.
    pub(crate) fn scan_raw(
        &self,
        from: &[u8],
    ) -> impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), Error>> + use<> {
        self.db.range(from.to_vec()..).map(|pair| {
            pair.map(|(k, v)| (k.to_vec(), v.to_vec()))
                .map_err(Error::from)
        })
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

    /// Writes what sled still holds in memory to its file.
    pub(crate) fn flush(&self) -> Result<(), Error> {
        self.db.flush()?;
        Ok(())
    }
}

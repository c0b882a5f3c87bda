//! The scrub: reads what sled holds, a few keys at a time, and proves that it adds up to the digest.
//!
//! Between two batches it sums the facts of some more keys. A batch that changes keys below its
//! cursor adjusts the sum, so that the sum is always that of what stands below the cursor now; at
//! the end it must be the digest.

use super::digest::Facts;
use super::keys::meta::Meta;
use super::keys::{Key, Value};
use super::memory::Batch;
use super::{Error, KEY_BYTES, Store};

/// Keys of one step.
const STEP_KEYS: usize = 64;
/// Idle steps between the end of one round and the next: ten minutes at 20 ms each.
pub(crate) const REST_STEPS: u32 = 30_000;

/// One scrub, round after round.
#[derive(Debug)]
pub(crate) struct Scrub {
    /// The first key that is not summed yet; `None` = at rest.
    cursor: Option<[u8; KEY_BYTES]>,
    sum: Facts,
    /// Steps until the next round.
    rest: u32,
    rest_steps: u32,
    rounds: u64,
}

/// The first key after that of `Meta`.
const FIRST: [u8; KEY_BYTES] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

impl Scrub {
    /// Begins a round at once, then rests for `rest_steps` steps before each.
    pub(crate) fn new(rest_steps: u32) -> Self {
        Self {
            cursor: Some(FIRST),
            sum: Facts::default(),
            rest: rest_steps,
            rest_steps,
            rounds: 0,
        }
    }

    /// Rounds that ended well.
    pub(crate) fn rounds(&self) -> u64 {
        self.rounds
    }

    /// Sums a few more keys; at the end of a round, checks.
    ///
    /// # Errors
    /// `Damaged`: a value cannot be read, or the sums differ.
    pub(crate) fn step(&mut self, store: &Store, at: &Meta) -> Result<(), Error> {
        let Some(cursor) = self.cursor else {
            self.rest = self.rest.saturating_sub(1);
            if self.rest == 0 {
                self.cursor = Some(FIRST);
                self.sum = Facts::default();
                self.rest = self.rest_steps;
            }
            return Ok(());
        };
        self.cursor = sum_from(store, cursor, STEP_KEYS, &mut self.sum)?;
        if self.cursor.is_none() {
            self.sum
                .check(at)
                .map_err(|why| Error::Damaged(why.into()))?;
            self.rounds += 1;
        }
        Ok(())
    }

    /// Adjusts the sum for a batch that is about to be written.
    pub(crate) fn before_write(&mut self, store: &Store, batch: &Batch) {
        let Some(cursor) = self.cursor else { return };
        for (key, value) in &batch.values {
            if key.to_bytes() < cursor {
                // What cannot be read fails the write that follows, or the next round.
                if let Ok(old) = store.get(*key) {
                    let mut facts = Facts::default();
                    old.facts(*key, &mut facts);
                    self.sum.subtract(facts);
                }
                let mut facts = Facts::default();
                value.facts(*key, &mut facts);
                self.sum.add(facts);
            }
        }
    }
}

/// Sums all that sled holds and checks it: before serving, after a power cut.
///
/// # Errors
/// `Damaged`: a value cannot be read, or the sums differ.
pub(crate) fn check_all(store: &Store, at: &Meta) -> Result<(), Error> {
    let mut sum = Facts::default();
    let mut cursor = Some(FIRST);
    while let Some(from) = cursor {
        cursor = sum_from(store, from, usize::MAX, &mut sum)?;
    }
    sum.check(at).map_err(|why| Error::Damaged(why.into()))
}

fn sum_from(
    store: &Store,
    from: [u8; KEY_BYTES],
    keys: usize,
    sum: &mut Facts,
) -> Result<Option<[u8; KEY_BYTES]>, Error> {
    for (count, pair) in store.scan_raw(&from)?.enumerate() {
        let (raw, bytes) = pair?;
        let key = Key::from_bytes(&raw)
            .ok_or_else(|| Error::Damaged(format!("the unknown key {raw:02x?}")))?;
        if count == keys {
            return Ok(Some(key.to_bytes()));
        }
        Value::decode(key, &bytes)?.facts(key, sum);
    }
    Ok(None)
}

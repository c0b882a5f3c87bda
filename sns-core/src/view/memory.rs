//! What reads see first: decoded values in front of sled, with a budget in bytes.
//!
//! A value that sled does not have yet in its present form is *unwritten* and stays; all others may
//! be evicted, least recently used first (by sampling), and come back from sled on demand. So what
//! is missing here stands in sled as it is now, and [`Miss`] says which keys to fetch.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustc_hash::{FxBuildHasher, FxHashMap, FxSeededState};

use super::keys::list::Named;
use super::keys::meta::Meta;
use super::keys::request::Requests;
use super::keys::{Family, Key, Stored, UserNo, Value};
use super::slots::Slots;
use super::{Error, Store};
use crate::command::RequestId;
use crate::limits;
use crate::seq::Seq;
use crate::user::Username;

/// Bytes that a slot takes beside its value.
const SLOT_BYTES: usize = 96;
/// Bytes of a name in the table of names, about.
const NAME_BYTES: usize = size_of::<(Username, UserNo)>() + 1;
/// Slots that an eviction looks at before it takes the oldest of them.
const SAMPLES: usize = 8;
/// Counters that tell a loader that what it read from sled may be out of date.
const EVICTION_BUCKETS: usize = 1_024;

/// In the place of a newest post that was not asked for yet.
const UNKNOWN: Seq = Seq::MAX;

/// Why a read of memory alone could not answer.
#[derive(Debug)]
pub(crate) enum Miss {
    /// These keys are not in memory: fetch them from sled and try again.
    Fetch(Vec<Key>),
    /// Another value promises this key, and sled does not have it: the database is damaged.
    Lost(Key),
}

/// The values in memory, and how far the view has come.
#[derive(Debug)]
pub(crate) struct Memory {
    slots: Slots<Slot>,
    pub(crate) meta: Meta,
    /// Every remembered request: (user, id) to the lower 32 bits of its ordinal.
    requests: FxHashMap<(UserNo, RequestId), u32>,
    /// Keys that changed since the last batch was sealed, in the order of their first change.
    changed: Vec<Key>,
    changed_bytes: usize,
    /// The number of the batch that is being filled.
    batch: u64,
    /// How far the last sealed batch came.
    sealed: Seq,
    /// A command failed half way: nothing of this may reach sled any more.
    abandoned: bool,
    /// Entries wait to be applied: see [`Memory::catch_up`].
    behind: bool,
    /// The last batch that sled has.
    written: u64,
    bytes: usize,
    budget: usize,
    /// The numbers of all users whose place in the list of users was in memory at some time: a user
    /// never goes, nor changes its number. Users choose their names, so it is seeded; at most a quarter
    /// of the budget, then the list is asked.
    names: HashMap<Username, UserNo, FxSeededState>,
    /// By number of the author: the newest post, for merges, which look at all followees and open a
    /// few. Never evicted, 8 bytes a user.
    newest: Vec<Seq>,
    /// Counts what is applied or fetched: the clock of "recently used".
    tick: AtomicU32,
    /// By hash of the key: how often a value that had been changed was evicted.
    evictions: Box<[u64]>,
    /// State of the sampler; which value goes has no influence on any fact.
    sampler: u64,
}

#[derive(Debug)]
struct Slot {
    value: Value,
    bytes: usize,
    /// The batch that carries its last change; 0 = not changed since it was loaded.
    batch: u64,
    used: AtomicU32,
}

/// What goes to sled in one step, with the state that sled is complete up to once it has it.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) number: u64,
    pub(crate) values: Vec<(Key, Value)>,
    pub(crate) meta: Meta,
    /// About how many bytes it holds in memory.
    pub(crate) bytes: usize,
}

impl Memory {
    pub(crate) fn new(meta: Meta, budget: usize) -> Self {
        Self {
            slots: Slots::default(),
            sealed: meta.applied,
            abandoned: false,
            behind: false,
            meta,
            requests: HashMap::default(),
            changed: Vec::new(),
            changed_bytes: 0,
            batch: 1,
            written: 0,
            bytes: 0,
            budget,
            names: HashMap::with_hasher(FxSeededState::with_seed(rand::random::<u32>() as usize)),
            newest: Vec::new(),
            tick: AtomicU32::new(0),
            evictions: vec![0; EVICTION_BUCKETS].into(),
            sampler: 0x9E37_79B9_7F4A_7C15,
        }
    }

    /// Bytes that the values and the columns take, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.column_bytes()
    }

    /// Bytes of what cannot be evicted.
    fn column_bytes(&self) -> usize {
        let columns = self.slots.row_bytes() + self.newest.capacity() * size_of::<Seq>();
        self.names.capacity() * NAME_BYTES + columns
    }

    /// The value of `key`; `None` = there is none.
    pub(crate) fn get<T: Stored>(&self, key: Key) -> Result<Option<&Arc<T>>, Miss> {
        let slot = self.slots.get(key).ok_or_else(|| Miss::Fetch(vec![key]))?;
        let now = self.tick.load(Ordering::Relaxed);
        // Most often it has that number: readers of the same value do not write to it then.
        if slot.used.load(Ordering::Relaxed) != now {
            slot.used.store(now, Ordering::Relaxed);
        }
        Ok(T::of(&slot.value))
    }

    /// The value of `key`, if it is in memory; no use of it.
    pub(crate) fn peek<T: Stored>(&self, key: Key) -> Option<&T> {
        T::of(&self.slots.get(key)?.value).map(|value| &**value)
    }

    /// The value of `key`, which another value promises.
    pub(crate) fn need<T: Stored>(&self, key: Key) -> Result<&Arc<T>, Miss> {
        self.get(key)?.ok_or(Miss::Lost(key))
    }

    /// Whether `key` is in memory, present or known to be absent.
    pub(crate) fn has(&self, key: Key) -> bool {
        self.slots.contains(key)
    }

    /// Moves the clock of "recently used".
    pub(crate) fn touch(&self) {
        self.tick.fetch_add(1, Ordering::Relaxed);
    }

    /// Fetches what is missing of `keys` from sled, holding on to the memory meanwhile.
    pub(crate) fn load(&mut self, store: &Store, keys: &[Key]) -> Result<(), Error> {
        for &key in keys {
            if !self.has(key) {
                self.insert(key, store.get(key)?, 0);
            }
        }
        Ok(())
    }

    /// Before `key` is read from sled without the lock of the memory.
    pub(crate) fn ticket(&self, key: Key) -> u64 {
        self.evictions[bucket(key)]
    }

    /// Takes what was read from sled since `ticket`, unless it may be out of date or is there.
    pub(crate) fn admit(&mut self, key: Key, value: Value, ticket: u64) {
        if !self.has(key) && self.evictions[bucket(key)] == ticket {
            self.insert(key, value, 0);
        }
    }

    fn insert(&mut self, key: Key, value: Value, batch: u64) {
        match (&value, key.family) {
            (Value::Names(root), _) if batch == 0 => self.note_names(&root.leaf),
            (Value::NameChunk(chunk), _) if batch == 0 => self.note_names(&chunk.items),
            (Value::Author(author), _) => self.note_newest(UserNo(key.a), author.newest),
            (Value::Absent, Family::Author) => self.note_newest(UserNo(key.a), Seq::ZERO),
            _ => {}
        }
        let bytes = SLOT_BYTES + value.weight();
        self.bytes += bytes;
        let used = AtomicU32::new(self.tick.load(Ordering::Relaxed));
        let old = self.slots.insert(
            key,
            Slot {
                value,
                bytes,
                batch,
                used,
            },
        );
        self.bytes -= old.map_or(0, |slot| slot.bytes);
    }

    /// Keeps the numbers of a part of the list of users.
    fn note_names(&mut self, users: &[Named]) {
        for user in users {
            self.name(user.name, user.no);
        }
    }

    /// The value of `key`, to change it; `None` = there is none.
    ///
    /// # Panics
    /// When it is not in memory: whoever changes a value has read it before.
    pub(crate) fn change<T: Stored>(&mut self, key: Key) -> Option<&mut T> {
        let batch = self.batch;
        let slot = self
            .slots
            .get_mut(key)
            .expect("a value is read before it is changed");
        if slot.batch != batch {
            slot.batch = batch;
            self.changed.push(key);
            self.changed_bytes += slot.bytes;
        }
        slot.used
            .store(self.tick.load(Ordering::Relaxed), Ordering::Relaxed);
        T::of_mut(&mut slot.value).map(Arc::make_mut)
    }

    /// Puts a value, or [`Value::Absent`] to remove it.
    pub(crate) fn put(&mut self, key: Key, value: impl Into<Value>) {
        let value = value.into();
        let bytes = SLOT_BYTES + value.weight();
        if self
            .slots
            .get(key)
            .is_none_or(|slot| slot.batch != self.batch)
        {
            self.changed.push(key);
            self.changed_bytes += bytes;
        }
        self.insert(key, value, self.batch);
    }

    /// Counts bytes that a change added to a value, for the bound of a batch.
    pub(crate) fn grew(&mut self, bytes: usize) {
        self.changed_bytes += bytes;
    }

    /// Bytes of the batch that is being filled, about.
    pub(crate) fn changed_bytes(&self) -> usize {
        self.changed_bytes
    }

    /// Whether the batch that is being filled should be sealed.
    pub(crate) fn batch_is_full(&self) -> bool {
        self.changed_bytes >= self.window()
    }

    /// The bytes of a full batch.
    fn window(&self) -> usize {
        let window = (self.budget / 2).clamp(limits::WINDOW_BYTES, limits::WINDOW_BYTES_MAX);
        if self.behind { 2 * window } else { window }
    }

    /// Past so many unwritten bytes the applier waits.
    pub(crate) fn unwritten_max(&self) -> usize {
        self.window() * 3 / 2
    }

    /// Whether entries wait to be applied. As long as they do, batches are twice as large: who rebuilds
    /// a view writes the same authors again in each.
    pub(crate) fn catch_up(&mut self, behind: bool) {
        self.behind = behind;
    }

    /// The number of a user whose name was seen before.
    pub(crate) fn named(&self, name: &Username) -> Option<UserNo> {
        self.names.get(name).copied()
    }

    /// The newest post of an author; zero = none. `None` = ask for the author's value.
    pub(crate) fn newest(&self, author: UserNo) -> Option<Seq> {
        let newest = *self.newest.get(author.0 as usize)?;
        (newest != UNKNOWN).then_some(newest)
    }

    /// Keeps what the newest post of an author is.
    pub(crate) fn note_newest(&mut self, author: UserNo, newest: Seq) {
        let at = author.0 as usize;
        if at >= self.newest.len() {
            self.newest.resize(at + 1, UNKNOWN);
        }
        self.newest[at] = newest;
    }

    /// Keeps the number of a user.
    pub(crate) fn name(&mut self, name: Username, no: UserNo) {
        if self.names.len() * NAME_BYTES < self.budget / 4 {
            self.names.insert(name, no);
        }
    }

    /// Whether anything was applied since the last batch was sealed; refusals count, or a log of
    /// them would be read again at every start.
    pub(crate) fn has_changes(&self) -> bool {
        !self.abandoned && (!self.changed.is_empty() || self.meta.applied != self.sealed)
    }

    /// Keeps what is here from reaching sled: a command failed half way.
    pub(crate) fn abandon(&mut self) {
        self.abandoned = true;
    }

    /// Closes the batch: its values stay as they are now, whatever is changed from here on.
    pub(crate) fn seal(&mut self) -> Batch {
        let mut batch_bytes = 0;
        let mut values = Vec::with_capacity(self.changed.len());
        for key in self.changed.drain(..) {
            let slot = self
                .slots
                .get_mut(key)
                .expect("what changed stays until it is written");
            let bytes = SLOT_BYTES + slot.value.weight();
            self.bytes = self.bytes - slot.bytes + bytes;
            slot.bytes = bytes;
            batch_bytes += bytes;
            values.push((key, slot.value.clone()));
        }
        self.changed_bytes = 0;
        self.sealed = self.meta.applied;
        let number = self.batch;
        self.batch += 1;
        Batch {
            number,
            values,
            meta: self.meta.clone(),
            bytes: batch_bytes,
        }
    }

    /// Sled has every batch up to `number`.
    pub(crate) fn written(&mut self, number: u64) {
        self.written = self.written.max(number);
    }

    /// Brings the memory back into its budget, as far as what is unwritten lets it.
    pub(crate) fn evict(&mut self) {
        let mut fruitless = 0;
        // However many users there are: with no room for values nothing could be served.
        let room = self.budget.saturating_sub(self.column_bytes());
        let room = room.max(self.budget / 4);
        while self.bytes > room && fruitless < 4 && self.slots.len() > 0 {
            let now = self.tick.load(Ordering::Relaxed);
            let mut oldest: Option<(u32, usize)> = None;
            for _ in 0..SAMPLES {
                let place = self.sample();
                let slot = self.slots.at(place);
                if slot.batch > self.written {
                    continue;
                }
                let age = now.wrapping_sub(slot.used.load(Ordering::Relaxed));
                if oldest.is_none_or(|(oldest, _)| age > oldest) {
                    oldest = Some((age, place));
                }
            }
            let Some((_, place)) = oldest else {
                fruitless += 1;
                continue;
            };
            fruitless = 0;
            let (key, slot) = self.slots.take(place);
            self.bytes -= slot.bytes;
            if slot.batch > 0 {
                self.evictions[bucket(key)] += 1;
            }
        }
    }

    #[allow(clippy::cast_possible_truncation, reason = "a place among the slots")]
    fn sample(&mut self) -> usize {
        // xorshift: fast, and good enough to pick victims.
        self.sampler ^= self.sampler << 13;
        self.sampler ^= self.sampler >> 7;
        self.sampler ^= self.sampler << 17;
        self.sampler as usize % self.slots.len()
    }

    /// The ordinal of a remembered request.
    pub(crate) fn request(&self, user: UserNo, id: RequestId) -> Option<u64> {
        let low = *self.requests.get(&(user, id))?;
        // All remembered ordinals lie within 2^32 of the oldest: the lower bits tell which it is.
        let oldest = self.meta.requests.0;
        #[allow(
            clippy::cast_possible_truncation,
            reason = "the lower 32 bits are compared"
        )]
        Some(oldest + u64::from(low.wrapping_sub(oldest as u32)))
    }

    /// Remembers that the request with this ordinal is (user, id).
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the lower 32 bits are kept"
    )]
    pub(crate) fn remember(&mut self, user: UserNo, id: RequestId, ordinal: u64) {
        self.requests.insert((user, id), ordinal as u32);
    }

    /// Forgets a request.
    pub(crate) fn forget(&mut self, user: UserNo, id: RequestId) {
        self.requests.remove(&(user, id));
    }

    /// Takes all requests of a stored chunk, at opening.
    pub(crate) fn remember_chunk(&mut self, first_ordinal: u64, chunk: &Requests) {
        for (ordinal, request) in (first_ordinal..).zip(&chunk.requests) {
            if (self.meta.requests.0..self.meta.requests.1).contains(&ordinal) {
                self.remember(request.user, request.id, ordinal);
            }
        }
    }
}

fn bucket(key: Key) -> usize {
    use std::hash::BuildHasher as _;
    #[allow(clippy::cast_possible_truncation, reason = "one of the buckets")]
    let hash = (FxBuildHasher.hash_one(key) >> 32) as usize;
    hash % EVICTION_BUCKETS
}

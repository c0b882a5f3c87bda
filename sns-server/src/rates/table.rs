//! A rate for each of many keys, in bounded memory.
//!
//! Of a key one number is kept: when its bucket will be full again (the theoretical arrival time of
//! the generic cell rate algorithm). A key whose time has passed is as good as one never seen.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Parts that are locked by themselves.
const PARTS: usize = 16;

/// Keys of a part; 65,536 in all are some 4 MiB. A further one takes the place of the one that is
/// nearest to a full bucket.
const KEYS: usize = 4_096;

/// So many in a time, and so many at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// From one to the next.
    each: Duration,
    /// How far ahead of its time one may come.
    ahead: Duration,
}

impl Rate {
    /// `count` in `time`, `burst` at once; both at least 1.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a rate is a matter of minutes"
    )]
    pub(super) const fn new(count: u32, time: Duration, burst: u32) -> Self {
        // Those of `Duration` that divide and multiply are for numbers of 32 bits, as these are.
        let Some(each) = time.checked_div(count) else {
            panic!("a count of 0");
        };
        Self {
            each,
            ahead: each.saturating_mul(burst - 1),
        }
    }
}

/// A rate of many.
#[derive(Debug)]
pub(super) struct Table<K> {
    rate: Rate,
    hasher: RandomState,
    parts: [Mutex<HashMap<K, Duration>>; PARTS],
}

impl<K: Hash + Eq + Copy> Table<K> {
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            rate,
            hasher: RandomState::new(),
            parts: std::array::from_fn(|_| Mutex::default()),
        }
    }

    /// Takes one for `key` at `now`; else how long to wait for it, in whole milliseconds.
    pub(super) fn take(&self, key: K, now: Duration) -> Result<(), Duration> {
        let at = usize::try_from(self.hasher.hash_one(key) % PARTS as u64).unwrap_or(0);
        let mut part = self.parts[at]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let full = part.get(&key).map_or(now, |full| now.max(*full));
        let wait = full.saturating_sub(now).saturating_sub(self.rate.ahead);
        if !wait.is_zero() {
            let ms = wait.as_nanos().div_ceil(1_000_000);
            return Err(Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX)));
        }
        if part.len() >= KEYS && !part.contains_key(&key) {
            make_room(&mut part, now);
        }
        part.insert(key, full + self.rate.each);
        Ok(())
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.parts
            .iter()
            .map(|part| part.lock().unwrap().len())
            .sum()
    }
}

/// Forgets the keys whose buckets are full; if there are none, the one that is nearest to it.
fn make_room<K: Hash + Eq + Copy>(part: &mut HashMap<K, Duration>, now: Duration) {
    part.retain(|_, full| *full > now);
    if part.len() >= KEYS {
        let nearest = part.iter().min_by_key(|(_, full)| **full);
        if let Some(key) = nearest.map(|(key, _)| *key) {
            part.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_then_the_rate_and_the_wait_is_true() {
        let table = Table::new(Rate::new(10, SECOND, 50));
        for _ in 0..50 {
            table.take(1, SECOND).unwrap();
        }
        let mut now = SECOND;
        for _ in 0..100 {
            let wait = table.take(1, now).unwrap_err();
            assert_eq!(wait, Duration::from_millis(100));
            let early = now + wait.saturating_sub(Duration::from_millis(1));
            assert_eq!(table.take(1, early), Err(Duration::from_millis(1)));
            now += wait;
            table.take(1, now).unwrap();
        }
        table.take(2, now).unwrap();
    }

    #[test]
    fn there_are_never_more_keys_than_places_and_who_is_limited_stays_so() {
        let table = Table::new(Rate::new(1, SECOND, 2));
        let now = SECOND;
        table.take(0_u64, now).unwrap();
        table.take(0, now).unwrap();
        for key in 1..200_000 {
            table.take(key, now).unwrap();
        }
        assert!(table.len() <= PARTS * KEYS);
        table.take(0, now).unwrap_err();
        // Time forgets.
        table.take(0, now + SECOND * 2).unwrap();
    }

    proptest! {
        #[test]
        fn no_more_than_the_rate_and_the_burst_ever_pass(
            gaps in proptest::collection::vec(0..300_u64, 1..500),
        ) {
            let table = Table::new(Rate::new(10, SECOND, 5));
            let (mut now, mut passed) = (Duration::ZERO, 0_u128);
            for gap in gaps {
                now += Duration::from_millis(gap);
                passed += u128::from(table.take((), now).is_ok());
                prop_assert!(passed <= 5 + now.as_millis() / 100);
            }
        }
    }
}

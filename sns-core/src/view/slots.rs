//! Where the values in memory stand: found by key, sampled by place.
//!
//! Most of what a command or a page looks at is one of the four values that each user has. These are
//! found by the number of the user in one step; all others by the hash of their key.

use rustc_hash::FxHashMap;

use super::keys::list::Side;
use super::keys::{Family, Key};

/// Values that each user has.
const COLUMNS: usize = 4;

/// Values by key.
#[derive(Debug)]
pub(super) struct Slots<T> {
    entries: Vec<(Key, T)>,
    /// By number of the user: the places of its values, counted from one; 0 = not here.
    rows: Vec<[u32; COLUMNS]>,
    /// Of all other keys: their places.
    others: FxHashMap<Key, u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            rows: Vec::new(),
            others: FxHashMap::default(),
        }
    }
}

/// The column of a value that each user has.
fn column(key: Key) -> Option<usize> {
    const FOLLOWING: u8 = Side::Following as u8;
    match (key.family, key.side) {
        (Family::User, _) => Some(0),
        (Family::Author, _) => Some(1),
        (Family::Edges, FOLLOWING) => Some(2),
        (Family::Edges, _) => Some(3),
        _ => None,
    }
}

impl<T> Slots<T> {
    fn place(&self, key: Key) -> Option<usize> {
        match column(key) {
            Some(column) => {
                let place = self.rows.get(key.a as usize)?[column];
                (place as usize).checked_sub(1)
            }
            None => self.others.get(&key).map(|place| *place as usize),
        }
    }

    /// Says where the value of `key` stands; `None` = nowhere.
    fn set_place(&mut self, key: Key, place: Option<usize>) {
        let number = |place: usize| u32::try_from(place).expect("fewer than 2^32 values in memory");
        let Some(column) = column(key) else {
            match place {
                Some(place) => self.others.insert(key, number(place)),
                None => self.others.remove(&key),
            };
            return;
        };
        let row = key.a as usize;
        if row >= self.rows.len() {
            self.rows.resize(row + 1, [0; COLUMNS]);
        }
        self.rows[row][column] = place.map_or(0, |place| number(place + 1));
    }

    pub(super) fn get(&self, key: Key) -> Option<&T> {
        self.place(key).map(|place| &self.entries[place].1)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let place = self.place(key)?;
        Some(&mut self.entries[place].1)
    }

    pub(super) fn contains(&self, key: Key) -> bool {
        self.place(key).is_some()
    }

    /// Puts a value; returns the one that was there.
    pub(super) fn insert(&mut self, key: Key, value: T) -> Option<T> {
        if let Some(old) = self.get_mut(key) {
            return Some(std::mem::replace(old, value));
        }
        self.set_place(key, Some(self.entries.len()));
        self.entries.push((key, value));
        None
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What stands at a place below [`Slots::len`].
    pub(super) fn at(&self, place: usize) -> &T {
        &self.entries[place].1
    }

    /// Takes out what stands at `place`; the last one takes it.
    pub(super) fn take(&mut self, place: usize) -> (Key, T) {
        let (key, value) = self.entries.swap_remove(place);
        self.set_place(key, None);
        if let Some((moved, _)) = self.entries.get(place) {
            self.set_place(*moved, Some(place));
        }
        (key, value)
    }

    /// Bytes of the rows.
    pub(super) fn row_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<[u32; COLUMNS]>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::view::keys::tests::keys;

    proptest! {
        #[test]
        fn what_was_put_is_found_until_it_is_taken(
            steps in prop::collection::vec((keys(), any::<bool>(), any::<usize>()), 1..200)
        ) {
            let mut slots = Slots::default();
            let mut model = HashMap::new();
            for (number, (mut key, puts, place)) in steps.into_iter().enumerate() {
                // Few users, so that keys come again.
                key.a %= 5;
                if column(key).is_some() {
                    key.side = 1 + key.side % 2;
                    key.b = 0;
                    if key.family != Family::Edges {
                        key.side = 0;
                    }
                }
                if puts || model.is_empty() {
                    prop_assert_eq!(slots.insert(key, number), model.insert(key, number));
                } else {
                    let (key, value) = slots.take(place % model.len());
                    prop_assert_eq!(model.remove(&key), Some(value));
                    prop_assert!(!slots.contains(key));
                }
                prop_assert_eq!(slots.len(), model.len());
                for (key, value) in &model {
                    prop_assert_eq!(slots.get(*key), Some(value));
                }
            }
        }
    }
}

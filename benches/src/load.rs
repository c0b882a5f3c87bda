//! Filling a feed, as fast as one thread can: users, follows, posts.

use std::collections::VecDeque;

use sns_core::{Pending, Sns, Username};

/// Writes that are in flight at once while a data set is made: two full entries, so that one fills
/// while the other is written.
const IN_FLIGHT: usize = 8_192;

/// Between two words to who watches.
const TICK: u64 = 1_024;

/// Waits for pending writes in order, keeping a bounded number in flight.
#[derive(Debug)]
pub struct InFlight<T> {
    pending: VecDeque<Pending<T>>,
    most: usize,
    left: usize,
}

impl<T> InFlight<T> {
    /// At most `most` at once; when there are as many, the oldest is waited for.
    pub fn new(most: usize) -> Self {
        Self {
            pending: VecDeque::with_capacity(most),
            most,
            left: most.saturating_sub(1),
        }
    }

    /// At most `most` at once; when there are as many, half of them are waited for: commands that
    /// come one by one would make small entries.
    pub fn bulk(most: usize) -> Self {
        Self {
            left: most / 2,
            ..Self::new(most)
        }
    }

    /// Adds one, after making room if there are too many.
    ///
    /// # Panics
    /// When a write fails: a benchmark of failures says nothing.
    pub fn push(&mut self, pending: Pending<T>) {
        if self.pending.len() == self.most {
            while self.pending.len() > self.left {
                self.wait_oldest();
            }
        }
        self.pending.push_back(pending);
    }

    /// Waits for all.
    ///
    /// # Panics
    /// As [`InFlight::push`].
    pub fn wait(&mut self) {
        while !self.pending.is_empty() {
            self.wait_oldest();
        }
    }

    fn wait_oldest(&mut self) {
        if let Some(oldest) = self.pending.pop_front() {
            oldest.wait().expect("a write of the benchmark");
        }
    }
}

/// Counts what was written for whoever watches.
struct Watched<'a> {
    tick: &'a mut dyn FnMut(u64),
    count: u64,
}

impl Watched<'_> {
    fn one(&mut self) {
        self.count += 1;
        if self.count == TICK {
            (self.tick)(self.count);
            self.count = 0;
        }
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        (self.tick)(self.count);
    }
}

/// Makes users; `tick` hears how many more there are now and then.
///
/// # Panics
/// When a write fails.
pub fn users(sns: &Sns, names: &[Username], tick: &mut dyn FnMut(u64)) {
    let mut watched = Watched { tick, count: 0 };
    let mut writes = InFlight::bulk(IN_FLIGHT);
    for name in names {
        writes.push(sns.write().forget().create_user(name));
        watched.one();
    }
    writes.wait();
}

/// Makes follows between users by number.
///
/// # Panics
/// When a write fails.
pub fn follows(
    sns: &Sns,
    names: &[Username],
    follows: impl IntoIterator<Item = impl std::borrow::Borrow<(u32, u32)>>,
    tick: &mut dyn FnMut(u64),
) {
    let mut watched = Watched { tick, count: 0 };
    let mut writes = InFlight::bulk(IN_FLIGHT);
    for edge in follows {
        let (user, followee) = *edge.borrow();
        let (user, followee) = (&names[user as usize], &names[followee as usize]);
        writes.push(sns.write().forget().follow(user, followee));
        watched.one();
    }
    writes.wait();
}

/// Makes `each` posts a user, in turns.
///
/// # Panics
/// When a write fails.
pub fn posts_in_turns(
    sns: &Sns,
    authors: &[Username],
    each: usize,
    text: &str,
    tick: &mut dyn FnMut(u64),
) {
    let turns = (0..each).flat_map(|_| authors);
    posts(sns, turns, text, tick);
}

/// Makes a post of each of `authors`.
///
/// # Panics
/// When a write fails.
pub fn posts<'a>(
    sns: &Sns,
    authors: impl IntoIterator<Item = &'a Username>,
    text: &str,
    tick: &mut dyn FnMut(u64),
) {
    let mut watched = Watched { tick, count: 0 };
    let mut writes = InFlight::bulk(IN_FLIGHT);
    for author in authors {
        writes.push(sns.write().forget().post(author, text));
        watched.one();
    }
    writes.wait();
}

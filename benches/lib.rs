//! Shared workloads of the benchmarks, and the floor that each figure stands on.
//!
//! Every bench says what it runs on: the data set is made here, with a fixed seed, so two runs
//! compare. Durable means the directory log on the file system of the temporary directory.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use sns_core::{Pending, Sns, Username};

/// A text of 100 bytes, the mean of short posts.
pub const TEXT: &str = "A post of one hundred bytes: long enough to say something, short enough to \
                        be read in one breath...";

/// Writes that are in flight at once while a data set is made.
const IN_FLIGHT: usize = 4_096;

/// Waits for pending writes in order, keeping a bounded number in flight.
#[derive(Debug)]
pub struct InFlight<T> {
    pending: std::collections::VecDeque<Pending<T>>,
    most: usize,
}

impl<T> InFlight<T> {
    /// At most `most` at once.
    pub fn new(most: usize) -> Self {
        Self {
            pending: std::collections::VecDeque::with_capacity(most),
            most,
        }
    }

    /// Adds one, after waiting for the oldest if there are too many.
    ///
    /// # Panics
    /// When a write fails: a benchmark of failures says nothing.
    pub fn push(&mut self, pending: Pending<T>) {
        if self.pending.len() == self.most {
            self.wait_oldest();
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

/// A name by its number.
///
/// # Panics
/// Never: the name is a good one.
pub fn name(number: usize) -> Username {
    Username::parse(&format!("user{number:07}")).expect("a good name")
}

/// A reader (user 0) who follows `followees` users with `posts` posts each, in turns.
///
/// # Panics
/// When a write fails.
pub fn reader_with_followees(sns: &Sns, followees: usize, posts: usize) -> Username {
    let reader = sns.user(name(0).as_str()).expect("a user");
    let mut users = InFlight::new(IN_FLIGHT);
    (1..=followees).for_each(|n| users.push(sns.create_user(&name(n))));
    users.wait();
    let mut follows = InFlight::new(IN_FLIGHT);
    (1..=followees).for_each(|n| follows.push(sns.write().forget().follow(&reader, &name(n))));
    follows.wait();
    let mut writes = InFlight::new(IN_FLIGHT);
    for _ in 0..posts {
        (1..=followees).for_each(|n| writes.push(sns.write().forget().post(&name(n), TEXT)));
    }
    writes.wait();
    reader
}

/// The median time of a bare write of `bytes` and `fdatasync` in `dir`: the floor of every durable
/// write.
///
/// # Panics
/// When the file system refuses.
pub fn fdatasync_p50(dir: &Path, bytes: usize) -> Duration {
    let mut file = File::create(dir.join("floor")).expect("a file");
    let payload = vec![7; bytes];
    let mut times: Vec<Duration> = (0..300)
        .map(|_| {
            let start = Instant::now();
            file.write_all(&payload).expect("a write");
            file.sync_data().expect("a sync");
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

/// Prints a figure that a bench stands on.
#[allow(clippy::print_stdout, reason = "figures go where criterion's go")]
pub fn note(text: &str) {
    println!("note: {text}");
}

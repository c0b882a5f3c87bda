//! Counting what came back, cheaply: each worker keeps a few samples to itself and hands them over
//! many at a time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use hdrhistogram::Histogram;
use tokio::time::Instant;

use crate::op::{CallError, Kind, Reply};
use crate::report::{histogram, nanos};

/// Samples that a worker keeps before it hands them over.
const BATCH: usize = 64;
/// Reasons that are told apart.
const REASONS: usize = 32;

/// What came of a run's requests, those of the warm-up left out.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) answered: u64,
    pub(crate) errors: u64,
    pub(crate) unanswered: u64,
    pub(crate) pages: u64,
    pub(crate) posts: u64,
    pub(crate) latency: [Histogram<u64>; 4],
    pub(crate) wait: Histogram<u64>,
    pub(crate) last_answer: Option<Instant>,
    reasons: BTreeMap<String, u64>,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            answered: 0,
            errors: 0,
            unanswered: 0,
            pages: 0,
            posts: 0,
            latency: std::array::from_fn(|_| histogram()),
            wait: histogram(),
            last_answer: None,
            reasons: BTreeMap::new(),
        }
    }
}

impl Counts {
    /// A request that waited so long for nothing.
    pub(crate) fn given_up(&mut self, kind: Kind, waited: u64) {
        record(&mut self.latency[kind as usize], waited);
    }

    pub(crate) fn reasons(&self) -> BTreeMap<String, u64> {
        self.reasons.clone()
    }

    fn reason(&mut self, reason: String) {
        let known = self.reasons.contains_key(&reason);
        let reason = if known || self.reasons.len() < REASONS {
            reason
        } else {
            "other reasons".to_owned()
        };
        *self.reasons.entry(reason).or_default() += 1;
    }
}

fn record(histogram: &mut Histogram<u64>, nanos: u64) {
    // It grows as needed; `saturating_record` would cut off instead.
    let _grown = histogram.record(nanos);
}

/// Where all workers hand over what they measured.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: Mutex<Counts>,
    /// With the warm-up, for those who watch.
    answered: AtomicU64,
    errors: AtomicU64,
}

impl Tally {
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    pub(crate) fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// Everything, once all workers are gone.
    pub(crate) fn take(&self) -> Counts {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The samples of one worker.
#[derive(Debug)]
pub(crate) struct Samples<'a> {
    tally: &'a Tally,
    sent: Option<Sent>,
    kept: Vec<Sample>,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    kind: Kind,
    due: Instant,
    wait: u64,
    measured: bool,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    kind: Kind,
    wait: u64,
    latency: u64,
    posts: usize,
    answered: Instant,
}

impl<'a> Samples<'a> {
    pub(crate) fn new(tally: &'a Tally) -> Self {
        Self {
            tally,
            sent: None,
            kept: Vec::with_capacity(BATCH),
        }
    }

    /// A request is on its way.
    pub(crate) fn sent(&mut self, kind: Kind, due: Instant, now: Instant, measured: bool) {
        self.sent = Some(Sent {
            kind,
            due,
            wait: nanos(now.saturating_duration_since(due)),
            measured,
        });
    }

    /// What came of it.
    pub(crate) fn came(&mut self, now: Instant, reply: Result<Reply, CallError>) {
        let count = match &reply {
            Ok(_) => &self.tally.answered,
            Err(_) => &self.tally.errors,
        };
        count.fetch_add(1, Ordering::Relaxed);
        let Some(sent) = self.sent.take().filter(|sent| sent.measured) else {
            return;
        };
        match reply {
            Ok(reply) => self.kept.push(Sample {
                kind: sent.kind,
                wait: sent.wait,
                latency: nanos(now.saturating_duration_since(sent.due)),
                posts: reply.posts,
                answered: now,
            }),
            Err(CallError(reason)) => {
                let mut counts = self.tally.lock();
                counts.errors += 1;
                counts.reason(reason);
            }
        }
        if self.kept.len() == BATCH {
            self.hand_over();
        }
    }

    /// The answer to what is under way is waited for no longer.
    pub(crate) fn give_up(&mut self, now: Instant) {
        if let Some(sent) = self.sent.take().filter(|sent| sent.measured) {
            let mut counts = self.tally.lock();
            counts.unanswered += 1;
            counts.reason("no answer when the run was over".to_owned());
            let waited = nanos(now.saturating_duration_since(sent.due));
            counts.given_up(sent.kind, waited);
        }
    }

    fn hand_over(&mut self) {
        let mut counts = self.tally.lock();
        for sample in self.kept.drain(..) {
            counts.answered += 1;
            record(&mut counts.latency[sample.kind as usize], sample.latency);
            record(&mut counts.wait, sample.wait);
            if matches!(sample.kind, Kind::Home | Kind::UserPage) {
                counts.pages += 1;
                counts.posts += sample.posts as u64;
            }
            counts.last_answer = counts.last_answer.max(Some(sample.answered));
        }
    }
}

impl Drop for Samples<'_> {
    fn drop(&mut self) {
        self.hand_over();
    }
}

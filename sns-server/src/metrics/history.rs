//! [`History`]: the last ten minutes by the second, for the operations page.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::calls::Calls;
use super::stages::Stages;
use super::{Standing, Window};

/// Samples that are kept: ten minutes of them.
pub const SAMPLES: usize = 600;

const SECOND: Duration = Duration::from_secs(1);

/// One second of a server. Times are `None` when nothing happened.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[allow(
    missing_docs,
    reason = "the document of the interface names each field"
)]
pub struct Sample {
    pub t: u64,
    pub posts: f64,
    pub writes: f64,
    pub reads: f64,
    pub errors: f64,
    pub streams: u64,
    pub lag: u64,
    pub queued: u64,
    pub write_p50_us: Option<u64>,
    pub write_p99_us: Option<u64>,
    pub read_p50_us: Option<u64>,
    pub read_p99_us: Option<u64>,
    pub sync_p50_us: Option<u64>,
    pub sync_p99_us: Option<u64>,
    pub visible_p50_us: Option<u64>,
    pub visible_p99_us: Option<u64>,
    pub rss_bytes: u64,
}

#[derive(Debug, Default)]
struct Held {
    samples: VecDeque<Sample>,
    /// When the last sample was taken, and how things stood then.
    last: Option<Instant>,
    posts: u64,
    failures: u64,
}

/// Samples, the oldest first.
#[derive(Debug, Default)]
pub struct History(Mutex<Held>);

impl History {
    pub(super) fn take(
        &self,
        (at, now_ms): (Instant, u64),
        standing: &Standing,
        calls: &Calls,
        stages: &Stages,
    ) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A tick that comes late stands for more than a second.
        let span = held
            .last
            .map_or(SECOND, |last| at.saturating_duration_since(last));
        let seconds = span.max(SECOND / 10).as_secs_f64();
        if held.samples.back().is_some_and(|last| last.t >= now_ms) {
            // The clock was put back: samples from the future would never be asked for again.
            held.samples.clear();
        }
        let rate = |count: u64| millis(count) / seconds;
        let (posts, failures) = (calls.posts(), calls.failures());
        let (writes, write_p50_us, write_p99_us) = split(&calls.writes);
        let (reads, read_p50_us, read_p99_us) = split(&calls.reads);
        let (_, sync_p50_us, sync_p99_us) = split(&stages.syncs);
        let (_, visible_p50_us, visible_p99_us) = split(&stages.visibles);
        let sample = Sample {
            t: now_ms,
            posts: rate(posts - held.posts),
            writes: rate(writes),
            reads: rate(reads),
            errors: rate(failures - held.failures),
            streams: standing.server.streams,
            lag: standing.lag(),
            queued: standing.queued,
            write_p50_us,
            write_p99_us,
            read_p50_us,
            read_p99_us,
            sync_p50_us,
            sync_p99_us,
            visible_p50_us,
            visible_p99_us,
            rss_bytes: standing.process.rss_bytes,
        };
        held.last = Some(at);
        held.posts = posts;
        held.failures = failures;
        if held.samples.len() == SAMPLES {
            held.samples.pop_front();
        }
        held.samples.push_back(sample);
    }

    /// Those taken after `t`, the oldest first.
    pub fn after(&self, t: u64) -> Vec<Sample> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let newer = held.samples.iter().filter(|sample| sample.t > t);
        newer.cloned().collect()
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts of a second")]
fn millis(count: u64) -> f64 {
    count as f64
}

fn split(window: &Window) -> (u64, Option<u64>, Option<u64>) {
    match window.take() {
        Some(times) => (times.count, Some(times.p50_us), Some(times.p99_us)),
        None => (0, None, None),
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;
    use tonic::Code;

    use super::super::Method;
    use super::*;

    #[test]
    fn a_sample_tells_what_happened_since_the_one_before() {
        let mut registry = Registry::default();
        let (calls, stages) = (Calls::new(&mut registry), Stages::new(&mut registry));
        let history = History::default();
        let standing = Standing::default();
        let took = Duration::from_micros(50);
        for _ in 0..10 {
            calls.record(Method::CreatePost, Code::Ok, took);
        }
        calls.record(Method::GetHomeTimeline, Code::Unavailable, took);
        let start = Instant::now();
        history.take((start, 10_000), &standing, &calls, &stages);
        // The next tick comes late.
        for _ in 0..10 {
            calls.record(Method::TimelinePost, Code::Ok, took);
        }
        history.take((start + SECOND * 2, 12_000), &standing, &calls, &stages);
        let samples = history.after(0);
        let rates = |sample: &Sample| {
            let rates = [sample.posts, sample.writes, sample.reads, sample.errors];
            rates.map(|rate| rate.to_string())
        };
        assert_eq!(rates(&samples[0]), ["10", "10", "1", "1"]);
        assert_eq!(rates(&samples[1]), ["5", "5", "0", "0"]);
        assert_eq!(
            (samples[0].read_p50_us, samples[1].read_p50_us),
            (Some(50), None)
        );
        assert_eq!(history.after(10_000), samples[1..]);
        // The clock is put back: what comes is told all the same, and at its true rate.
        for _ in 0..10 {
            calls.record(Method::CreatePost, Code::Ok, took);
        }
        history.take((start + SECOND * 3, 5_000), &standing, &calls, &stages);
        let samples = history.after(0);
        assert_eq!((samples.len(), rates(&samples[0])[0].as_str()), (1, "10"));
    }

    #[test]
    fn ten_minutes_are_kept() {
        let mut registry = Registry::default();
        let (calls, stages) = (Calls::new(&mut registry), Stages::new(&mut registry));
        let history = History::default();
        let start = Instant::now();
        for second in 1..=SAMPLES as u64 + 5 {
            let at = (start + Duration::from_secs(second), second * 1_000);
            history.take(at, &Standing::default(), &calls, &stages);
        }
        let samples = history.after(0);
        assert_eq!((samples.len(), samples[0].t), (SAMPLES, 6_000));
    }
}

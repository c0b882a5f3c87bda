//! What a run measured.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::op::Kind;
use crate::plan::Plan;

/// What a run measured; the warm-up left out.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was asked for.
    pub plan: Plan,
    /// The graph's name.
    pub graph: String,
    /// How many users it has.
    pub users: u32,
    /// How long was measured: the plan's duration, or less when the run was stopped.
    pub measured: Duration,
    /// How long it took until the last answer.
    pub elapsed: Duration,
    /// Requests that were due.
    pub requests: u64,
    /// Requests that were answered well.
    pub answered: u64,
    /// Requests that failed.
    pub errors: u64,
    /// Requests that failed, by reason.
    pub errors_by_reason: BTreeMap<String, u64>,
    /// Requests that were due and never sent, because all connections were busy until the end.
    pub unsent: u64,
    /// Requests that were sent and not answered when waiting was given up.
    pub unanswered: u64,
    /// Pages that were read.
    pub pages: u64,
    /// Posts on them.
    pub posts: u64,
    /// Nanoseconds from the moment a request was due to its whole answer, by kind. What was never
    /// sent or never answered is in it with the time it waited until the end; what failed is not.
    pub latency: [Histogram<u64>; 4],
    /// Nanoseconds from the moment a request was due until it was sent: what waiting for a free
    /// connection, and the generator itself, cost.
    pub wait: Histogram<u64>,
}

/// A histogram of nanoseconds, three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    // From one microsecond to whatever comes: it grows.
    #[expect(clippy::unwrap_used, reason = "constant arguments that are in range")]
    Histogram::new(3).unwrap()
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Report {
    /// Requests answered well, a second.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn achieved(&self) -> f64 {
        self.answered as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    /// All kinds of requests in one histogram.
    pub fn all(&self) -> Histogram<u64> {
        let mut all = histogram();
        for kind in &self.latency {
            // Cannot fail: it grows.
            let _grown = all.add(kind);
        }
        all
    }

    /// The latency that the share `quantile` of all requests (0.99: 99%) did not exceed; 0 when
    /// nothing was measured.
    pub fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_nanos(self.all().value_at_quantile(quantile))
    }

    /// The figures for a table or JSON.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn summary(&self) -> Summary {
        let all = Latency::of(&self.all());
        let kinds = Kind::ALL
            .into_iter()
            .zip(&self.latency)
            .filter(|(_, histogram)| !histogram.is_empty())
            .map(|(kind, histogram)| (kind.name().to_owned(), Latency::of(histogram)));
        Summary {
            mix: self.plan.mix.to_string(),
            graph: self.graph.clone(),
            users: self.users,
            connections: self.plan.connections,
            seed: self.plan.seed,
            rate: self.plan.rate,
            achieved: round(self.achieved()),
            duration_s: round(self.measured.as_secs_f64()),
            warmup_s: round(self.plan.warmup.as_secs_f64()),
            requests: self.requests,
            answered: self.answered,
            errors: self.errors,
            errors_by_reason: self.errors_by_reason.clone(),
            unsent: self.unsent,
            unanswered: self.unanswered,
            mean_ms: all.mean_ms,
            p50_ms: all.p50_ms,
            p90_ms: all.p90_ms,
            p99_ms: all.p99_ms,
            p999_ms: all.p999_ms,
            max_ms: all.max_ms,
            wait_p50_ms: ms(self.wait.value_at_quantile(0.5)),
            wait_p99_ms: ms(self.wait.value_at_quantile(0.99)),
            posts_per_page: round(self.posts as f64 / self.pages.max(1) as f64),
            kinds: kinds.collect(),
        }
    }
}

/// The figures of a [`Report`], as its JSON object has them. Times in milliseconds, to the
/// microsecond; see [`Report`] for what they mean.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the names and Report say it")]
pub struct Summary {
    pub mix: String,
    pub graph: String,
    pub users: u32,
    pub connections: usize,
    pub seed: u64,
    pub rate: f64,
    pub achieved: f64,
    pub duration_s: f64,
    pub warmup_s: f64,
    pub requests: u64,
    pub answered: u64,
    pub errors: u64,
    pub errors_by_reason: BTreeMap<String, u64>,
    pub unsent: u64,
    pub unanswered: u64,
    pub mean_ms: f64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
    pub wait_p50_ms: f64,
    pub wait_p99_ms: f64,
    pub posts_per_page: f64,
    pub kinds: BTreeMap<String, Latency>,
}

impl Summary {
    /// The latency of all kinds together.
    pub fn latency(&self) -> Latency {
        Latency {
            count: self.answered + self.unsent + self.unanswered,
            mean_ms: self.mean_ms,
            p50_ms: self.p50_ms,
            p90_ms: self.p90_ms,
            p99_ms: self.p99_ms,
            p999_ms: self.p999_ms,
            max_ms: self.max_ms,
        }
    }
}

/// A histogram in few figures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Latency {
    pub count: u64,
    pub mean_ms: f64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
}

impl Latency {
    /// Of a histogram of nanoseconds.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| ms(histogram.value_at_quantile(quantile));
        Self {
            count: histogram.len(),
            mean_ms: round(histogram.mean() / 1e6),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: ms(histogram.max()),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn ms(nanos: u64) -> f64 {
    round(nanos as f64 / 1e6)
}

/// To three decimals.
fn round(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

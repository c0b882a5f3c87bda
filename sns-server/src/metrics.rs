//! [`Metrics`]: what a server counts and measures: for Prometheus since its start, for the
//! operations page by the second. One registry a process; all names begin with `sns_`, but for the
//! usual ones of a process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

mod calls;
mod connections;
mod gauges;
pub mod history;
mod process;
mod slow;
mod stages;
mod window;

pub use calls::{Kind, Method};
pub use connections::Connections;
use gauges::Gauges;
pub use gauges::Standing;
pub use history::{History, Sample};
pub use process::ProcessUse;
pub use slow::SlowCalls;
use stages::Stages;
use window::Window;

/// The content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// From 20 µs, doubling, to about 10 s: a warm read is faster, a stop of the disk slower.
fn buckets() -> Histogram {
    Histogram::new(exponential_buckets(20e-6, 2.0, 20))
}

/// All that one server measures. Shared by an `Arc`; recording never waits for more than a few
/// instructions.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    calls: calls::Calls,
    stages: Arc<Stages>,
    gauges: Gauges,
    /// Who is connected.
    pub connections: Connections,
    /// Calls that took too long.
    pub slow: SlowCalls,
    partner_deaths: Family<DeathLabels, Counter>,
    partner_back: Histogram,
    /// The last minutes.
    pub history: History,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeathLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
    node: String,
    pair: String,
}

impl Metrics {
    /// Nothing measured yet by `node` of `pair`. Calls that take longer than `slow` are logged.
    pub fn new(node: &str, pair: &str, slow: Duration) -> Self {
        let mut registry = Registry::default();
        let build = Family::<BuildLabels, Gauge>::default();
        let labels = BuildLabels {
            version: env!("CARGO_PKG_VERSION"),
            node: node.to_owned(),
            pair: pair.to_owned(),
        };
        build.get_or_create(&labels).set(1);
        registry.register(
            "sns_build_info",
            "The node, and the version that runs",
            build,
        );
        let partner_deaths = Family::default();
        for kind in ["died", "hung"] {
            drop(partner_deaths.get_or_create(&DeathLabels { kind }));
        }
        registry.register(
            "sns_partner_deaths",
            "Deaths of the partner that this server noticed",
            partner_deaths.clone(),
        );
        // A restart takes 30 ms at best; one that loads a snapshot, seconds.
        let partner_back = Histogram::new(exponential_buckets(0.01, 2.0, 13));
        registry.register_with_unit(
            "sns_partner_back",
            "From the death of the partner to its serving again",
            Unit::Seconds,
            partner_back.clone(),
        );
        Self {
            calls: calls::Calls::new(&mut registry),
            connections: Connections::new(&mut registry),
            stages: Arc::new(Stages::new(&mut registry)),
            gauges: Gauges::new(&mut registry),
            slow: SlowCalls::new(slow, &mut registry),
            partner_deaths,
            partner_back,
            history: History::default(),
            registry,
        }
    }

    /// What the replica tells how long its stages take.
    pub fn observer(&self) -> Arc<dyn sns_core::Observer> {
        self.stages.clone()
    }

    /// A call ended with this gRPC code.
    pub fn call(&self, method: Method, code: tonic::Code, took: Duration) {
        self.calls.record(method, code, took);
    }

    /// A stream was opened.
    pub fn stream_opened(&self) {
        self.calls.stream_opened();
    }

    /// The partner died, or was killed because it hung.
    pub fn partner_died(&self, hung: bool) {
        let kind = if hung { "hung" } else { "died" };
        self.partner_deaths
            .get_or_create(&DeathLabels { kind })
            .inc();
    }

    /// The partner serves again, so long after its death.
    pub fn partner_back(&self, after: Duration) {
        self.partner_back.observe(after.as_secs_f64());
    }

    /// Takes the sample of the last second; call it once a second.
    pub fn sample(&self, now_ms: u64, standing: &Standing) {
        let now = (Instant::now(), now_ms);
        self.history.take(now, standing, &self.calls, &self.stages);
    }

    /// Everything in the text format of `OpenMetrics`.
    pub fn render(&self, standing: &Standing) -> String {
        self.gauges.set(standing);
        let mut out = String::with_capacity(16 * 1024);
        // Writing to a string does not fail.
        let _ = text::encode(&mut out, &self.registry);
        out
    }
}

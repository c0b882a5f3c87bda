//! What is so now, set whenever somebody asks.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use sns_proto::v1::{Server, ServerState};

use super::{ProcessUse, process};

/// Where a server stands: all that changes by itself.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// As routers are told it.
    pub server: Server,
    /// The watcher's word about the partner.
    pub partner: Option<Server>,
    /// The routers that are announced to, and whether each answers.
    pub routers: Vec<(String, bool)>,
    /// Commands that wait for the appender.
    pub queued: u64,
    /// What the view holds.
    pub users: u64,
    /// What the view holds.
    pub posts: u64,
    /// What the view holds.
    pub follows: u64,
    /// Of the cache.
    pub cache_bytes: u64,
    /// Of the log.
    pub log_bytes: u64,
    /// Of the file system that holds the data.
    pub disk_free_bytes: u64,
    /// Of the file system that holds the data.
    pub disk_bytes: u64,
    /// Of this process.
    pub process: ProcessUse,
    /// When it was started, since 1970.
    pub started_at: Duration,
}

impl Standing {
    /// Entries that are durable and not applied here.
    pub fn lag(&self) -> u64 {
        self.server
            .tail
            .saturating_sub(self.server.applied.saturating_add(1))
    }
}

type Bits = Gauge<u64, AtomicU64>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouterLabels {
    router: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    server: &'static str,
    state: &'static str,
}

/// States as the label has them.
const STATES: [(ServerState, &str); 7] = [
    (ServerState::Starting, "starting"),
    (ServerState::Serving, "serving"),
    (ServerState::Draining, "draining"),
    (ServerState::Hung, "hung"),
    (ServerState::Restarting, "restarting"),
    (ServerState::Failed, "failed"),
    (ServerState::Stopped, "stopped"),
];

/// Processor time only grows, and the kernel counts it: a counter that nobody here increments.
#[derive(Debug)]
struct Processor;

impl Collector for Processor {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let took = ConstCounter::new(process::cpu_seconds());
        let help = "Processor time that this process took.";
        let unit = Unit::Seconds;
        let counter = MetricType::Counter;
        let encoder = encoder.encode_descriptor("process_cpu", help, Some(&unit), counter)?;
        took.encode(encoder)
    }
}

#[derive(Debug)]
pub(super) struct Gauges {
    state: Family<StateLabels, Gauge>,
    routers: Family<RouterLabels, Gauge>,
    weakened: Bits,
    restarts: Bits,
    partner_restarts: Bits,
    applied: Bits,
    tail: Bits,
    lag: Bits,
    streams: Bits,
    queued: Bits,
    users: Bits,
    posts: Bits,
    follows: Bits,
    cache: Bits,
    log: Bits,
    disk_free: Bits,
    disk: Bits,
    rss: Bits,
    fds: Bits,
    max_fds: Bits,
    started: Gauge<f64, AtomicU64>,
}

impl Gauges {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let state = Family::default();
        let help = "1 for the state that this server and its partner are in";
        registry.register("sns_server_state", help, state.clone());
        let routers = Family::default();
        let help = "1 while this router answers the announcements of this server";
        registry.register("sns_router_connected", help, routers.clone());
        registry.register_collector(Box::new(Processor));
        let started = Gauge::default();
        let help = "When this process was started, since 1970";
        registry.register_with_unit("process_start_time", help, Unit::Seconds, started.clone());
        let mut gauge = |name: &str, help: &str, unit: Option<Unit>| {
            let gauge = Bits::default();
            match unit {
                Some(unit) => registry.register_with_unit(name, help, unit, gauge.clone()),
                None => registry.register(name, help, gauge.clone()),
            }
            gauge
        };
        let bytes = Some(Unit::Bytes);
        Self {
            state,
            routers,
            weakened: gauge(
                "sns_weakened",
                "1 while it serves and something weakens its promises, as `status` says",
                None,
            ),
            restarts: gauge(
                "sns_restarts",
                "How often this server was started again",
                None,
            ),
            partner_restarts: gauge(
                "sns_partner_restarts",
                "How often its partner was started again",
                None,
            ),
            applied: gauge(
                "sns_applied_index",
                "The last entry that is applied here",
                None,
            ),
            tail: gauge(
                "sns_tail_index",
                "The first entry that is not durable yet",
                None,
            ),
            lag: gauge(
                "sns_lag_entries",
                "Entries that are durable and not applied here",
                None,
            ),
            streams: gauge("sns_streams_open", "Open Timeline streams", None),
            queued: gauge(
                "sns_queue_commands",
                "Commands that wait to be appended",
                None,
            ),
            users: gauge("sns_users", "Users there are", None),
            posts: gauge("sns_posts", "Posts there are", None),
            follows: gauge("sns_follows", "Follows there are", None),
            cache: gauge(
                "sns_cache",
                "Memory of the cache of the view",
                bytes.clone(),
            ),
            log: gauge("sns_log", "Size of the log", bytes.clone()),
            disk_free: gauge(
                "sns_disk_free",
                "Free on the data's file system",
                bytes.clone(),
            ),
            disk: gauge(
                "sns_disk_size",
                "Size of the data's file system",
                bytes.clone(),
            ),
            rss: gauge("process_resident_memory", "Memory in RAM", bytes),
            fds: gauge("process_open_fds", "Open files and connections", None),
            max_fds: gauge("process_max_fds", "The most there may be of them", None),
            started,
        }
    }

    pub(super) fn set(&self, standing: &Standing) {
        let Standing {
            server, partner, ..
        } = standing;
        self.set_state("self", Some(server.state()));
        self.set_state("partner", partner.as_ref().map(Server::state));
        for (router, answers) in &standing.routers {
            let router = router.clone();
            let gauge = self.routers.get_or_create(&RouterLabels { router });
            gauge.set((*answers).into());
        }
        let weak = server.state() == ServerState::Serving && !server.reason.is_empty();
        self.weakened.set(weak.into());
        self.restarts.set(server.restarts);
        let restarts = partner.as_ref().map_or(0, |partner| partner.restarts);
        self.partner_restarts.set(restarts);
        self.applied.set(server.applied);
        self.tail.set(server.tail);
        self.lag.set(standing.lag());
        self.streams.set(server.streams);
        self.queued.set(standing.queued);
        self.users.set(standing.users);
        self.posts.set(standing.posts);
        self.follows.set(standing.follows);
        self.cache.set(standing.cache_bytes);
        self.log.set(standing.log_bytes);
        self.disk_free.set(standing.disk_free_bytes);
        self.disk.set(standing.disk_bytes);
        self.rss.set(standing.process.rss_bytes);
        self.fds.set(standing.process.open_fds);
        self.max_fds.set(standing.process.max_fds);
        self.started.set(standing.started_at.as_secs_f64());
    }

    fn set_state(&self, server: &'static str, now: Option<ServerState>) {
        for (known, state) in STATES {
            let labels = StateLabels { server, state };
            let is = i64::from(now == Some(known));
            self.state.get_or_create(&labels).set(is);
        }
    }
}

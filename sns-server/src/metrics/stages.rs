//! How long each stage of the replica takes, as the core tells it.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::{Window, buckets};

#[derive(Debug)]
pub(super) struct Stages {
    append: Histogram,
    sync: Histogram,
    apply: Histogram,
    visible: Histogram,
    appended: Counter,
    entries: Counter,
    commands: Counter,
    pub(super) syncs: Window,
    pub(super) visibles: Window,
}

impl Stages {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let mut seconds = |name: &str, help: &str, histogram: Histogram| {
            registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
            histogram
        };
        let append = seconds(
            "sns_append",
            "To append an entry, from the wait for the right to write to its being durable",
            buckets(),
        );
        let sync = seconds(
            "sns_sync",
            "To sync an entry to the disk; nothing where the log lies on a cluster",
            buckets(),
        );
        let apply = seconds(
            "sns_apply",
            "To apply an entry, whoever wrote it",
            buckets(),
        );
        // The clocks that it is told by count milliseconds.
        let visible = seconds(
            "sns_visible",
            "From an entry being written, anywhere, to readers of this server seeing it",
            Histogram::new(exponential_buckets(0.001, 2.0, 14)),
        );
        let mut count = |name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        Self {
            append,
            sync,
            apply,
            visible,
            appended: count(
                "sns_appended_commands",
                "Commands that this server appended",
            ),
            entries: count("sns_applied_entries", "Entries that this server applied"),
            commands: count("sns_applied_commands", "Commands that this server applied"),
            syncs: Window::default(),
            visibles: Window::default(),
        }
    }
}

impl sns_core::Observer for Stages {
    fn appended(&self, took: Duration, commands: usize) {
        self.append.observe(took.as_secs_f64());
        self.appended.inc_by(commands as u64);
    }

    fn synced(&self, took: Duration) {
        self.sync.observe(took.as_secs_f64());
        self.syncs.record(took);
    }

    fn applied(&self, took: Duration, commands: usize) {
        self.apply.observe(took.as_secs_f64());
        self.entries.inc();
        self.commands.inc_by(commands as u64);
    }

    fn visible(&self, after: Duration) {
        self.visible.observe(after.as_secs_f64());
        self.visibles.record(after);
    }
}

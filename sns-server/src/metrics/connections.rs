//! Connections: how many are open, and why others were refused or cut off.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::net::{Listener, Refusal};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListenerLabels {
    listener: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    listener: &'static str,
    reason: &'static str,
}

/// Counts connections; a cheap clone. The default counts for nobody.
#[derive(Clone, Debug, Default)]
pub struct Connections {
    open: Family<ListenerLabels, Gauge>,
    refused: Family<RefusalLabels, Counter>,
}

/// The listeners of a node.
const LISTENERS: [Listener; 3] = [Listener::Calls, Listener::Pages, Listener::Partner];

impl Connections {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let all = Self::default();
        // From the start on, or the first refusal would be no increase.
        for listener in LISTENERS {
            let name = listener.name();
            drop(all.open.get_or_create(&ListenerLabels { listener: name }));
            for why in Refusal::ALL {
                drop(all.refused.get_or_create(&labels(listener, why)));
            }
        }
        registry.register(
            "sns_connections_open",
            "Connections that are open",
            all.open.clone(),
        );
        registry.register(
            "sns_connections_refused",
            "Connections that were refused or cut off, and streams whose reader took nothing",
            all.refused.clone(),
        );
        all
    }

    /// A connection is open until the guard is dropped.
    pub(crate) fn opened(&self, listener: Listener) -> Opened {
        let listener = listener.name();
        let gauge = self.open.get_or_create_owned(&ListenerLabels { listener });
        gauge.inc();
        Opened(gauge)
    }

    pub(crate) fn refused(&self, listener: Listener, why: Refusal) {
        self.refused.get_or_create(&labels(listener, why)).inc();
    }
}

fn labels(listener: Listener, why: Refusal) -> RefusalLabels {
    RefusalLabels {
        listener: listener.name(),
        reason: why.name(),
    }
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Opened(Gauge);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.dec();
    }
}

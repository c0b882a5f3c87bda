//! What stands between a listener and the services: connections are bounded in number, in the time
//! they may take to say something, in what they may ask of the transport, and in age.
//!
//! Plain tonic keeps a silent connection for ever and answers pings by the million. Here every
//! connection has a place (`bounds`), has to speak soon (`speech`), is cut off when it sends
//! frames that cost more than they are worth (`frames`), and is asked to come back anew when it is
//! old (`grpc`). What waits for a reader that does not read is bounded too (`answer`).

mod accept;
mod answer;
mod bounds;
mod complaints;
mod connection;
mod frames;
mod gather;
mod grpc;
mod link;
mod pages;
mod speech;
mod stall;
pub mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::bounds::neighbourhood;
pub use self::connection::Connection;
pub(crate) use self::grpc::serve as serve_grpc;
pub(crate) use self::pages::serve as serve_pages;

use self::bounds::Bounds;
use self::complaints::Complaints;
use self::tls::Tls;
use crate::metrics::Connections;
use crate::rates::Rates;

/// Who is at the other end of the connection that a request came over: in its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where the connection comes from.
    pub address: SocketAddr,
    /// A client certificate by our own CA was verified.
    pub certified: bool,
}

/// A listener, as metrics and logs name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Listener {
    /// Users call.
    Calls,
    /// Browsers, and who collects metrics.
    Pages,
    /// The partner asks how it goes.
    Partner,
    /// Clients ask for servers, servers announce themselves.
    Router,
    /// Clients of the course call.
    Course,
}

impl Listener {
    /// As a label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Pages => "pages",
            Self::Partner => "partner",
            Self::Router => "router",
            Self::Course => "course",
        }
    }
}

/// How many connections a listener keeps, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// In all.
    pub connections: usize,
    /// From one address; of IPv6 from one /64.
    pub per_address: usize,
    /// Those of this machine count like others. They share one address, so by default they do not.
    pub loopback_counts: bool,
    /// After so long a connection is asked to come back anew; a tenth more or less, so that not all
    /// come back at once.
    pub age: Duration,
}

/// A connection takes a descriptor and, idle, some 30 KiB.
pub const CONNECTIONS: usize = 4_096;

/// A class behind one address has one connection a student and server.
pub const CONNECTIONS_PER_ADDRESS: usize = 256;

/// A browser opens six connections.
pub const PAGE_CONNECTIONS: usize = 1_024;

/// One partner asks, a launcher does, and `status` now and then.
pub const PARTNER_CONNECTIONS: usize = 64;

/// Old enough that nobody notices, young enough that a balance between servers comes back by itself.
pub const CONNECTION_AGE: Duration = Duration::from_secs(60 * 60);

/// Descriptors that are left for everything but connections: files of the log and of the view.
pub const OTHER_DESCRIPTORS: usize = 256;

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: CONNECTIONS,
            per_address: CONNECTIONS_PER_ADDRESS,
            loopback_counts: false,
            age: CONNECTION_AGE,
        }
    }
}

impl Limits {
    /// The same with at most so many connections.
    #[must_use]
    pub fn at_most(self, connections: usize) -> Self {
        Self {
            connections: self.connections.min(connections),
            ..self
        }
    }

    /// The same, as far as this process has descriptors for it.
    fn that_fit(self) -> Self {
        use rustix::process::{Resource, getrlimit};
        let most = getrlimit(Resource::Nofile).current;
        let most = most.and_then(|most| usize::try_from(most).ok());
        let room = most.map_or(usize::MAX, |most| {
            // One of a few descriptors in all keeps a quarter for connections.
            most.saturating_sub(OTHER_DESCRIPTORS).max(most / 4)
        });
        self.at_most(room.max(1))
    }
}

/// What stands before one listener. A cheap clone.
#[derive(Clone, Debug)]
pub struct Door(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    listener: Listener,
    limits: Limits,
    bounds: Bounds,
    tls: Option<Tls>,
    rates: Rates,
    counts: Connections,
    complaints: Complaints,
    held: answer::Held,
}

impl Door {
    /// Before `listener`; `rates` are those by address. Bounds that this process has no descriptors for are lowered.
    pub fn new(
        listener: Listener,
        limits: Limits,
        tls: Option<Tls>,
        rates: Rates,
        counts: Connections,
    ) -> Self {
        let limits = limits.that_fit();
        Self(Arc::new(Inner {
            listener,
            bounds: Bounds::new(limits),
            limits,
            tls,
            rates,
            counts,
            complaints: Complaints::new(listener),
            held: answer::Held::default(),
        }))
    }

    /// As [`Door::new`], with the bounds that are the default and without TLS; counts for nobody.
    pub fn plain(listener: Listener) -> Self {
        let counts = Connections::default();
        Self::new(listener, Limits::default(), None, Rates::off(), counts)
    }

    /// Servers and routers show each other certificates here.
    pub(crate) fn is_mutual(&self) -> bool {
        self.0.tls.as_ref().is_some_and(Tls::is_mutual)
    }

    /// A connection was refused or cut off.
    fn refuse(&self, why: Refusal) {
        self.0.counts.refused(self.0.listener, why);
        self.0.complaints.note(why);
    }
}

/// Why a connection was not taken, or not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// There are as many as there may be.
    Full,
    /// There are as many from its address as there may be.
    Address,
    /// It had said nothing worth keeping when its place was needed.
    Evicted,
    /// Its first bytes did not come in time.
    Silent,
    /// It did not say in time what it is.
    Greeting,
    /// The TLS handshake failed, or took too long.
    Handshake,
    /// It sent more frames that carry nothing than an honest client has any use for.
    Frames,
    /// It took nothing of what it had asked for.
    Stalled,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Full,
        Self::Address,
        Self::Evicted,
        Self::Silent,
        Self::Greeting,
        Self::Handshake,
        Self::Frames,
        Self::Stalled,
    ];

    /// As a label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Address => "address",
            Self::Evicted => "evicted",
            Self::Silent => "silent",
            Self::Greeting => "greeting",
            Self::Handshake => "handshake",
            Self::Frames => "frames",
            Self::Stalled => "stalled",
        }
    }
}

//! What stands between a listener and the services.

mod accept;
pub mod tls;

use std::net::SocketAddr;

pub use accept::{Link, incoming};

/// Who is at the other end of the connection that a request came over: in its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where the connection comes from.
    pub address: SocketAddr,
    /// A client certificate by our own CA was verified.
    pub certified: bool,
}

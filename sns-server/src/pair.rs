//! A pair: two processes that watch each other. The slave starts its master; whoever sees the
//! other die or hang starts it again.
//!
//! [`machine`] decides, [`driver`] acts: it looks ([`process`]), asks ([`heartbeat`]), starts and
//! kills. What both need to find each other stands in `node.json`
//! ([`run_file`](crate::run_file)).
//!
//! *Invariant:* nothing here says who may write. Two nodes that both run are no danger to the data,
//! only to each other's name; the node lock sees to that.

use sns_proto::pair::v1::HeartbeatResponse;

pub(crate) mod child;
pub mod deaths;
pub mod driver;
pub mod heartbeat;
pub mod machine;
pub mod process;
pub mod told;

/// What a node says of itself; asked often, so it never waits.
pub trait NodeProbe: std::fmt::Debug + Send + Sync + 'static {
    /// How far each stage has come, with `server` as routers are told it. `restarts` is filled in
    /// by the driver.
    fn heartbeat(&self) -> HeartbeatResponse;
}

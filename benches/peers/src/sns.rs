//! SNS itself: `sns-server up` with one pair on a fresh directory, over gRPC on loopback.
//!
//! It is asked for all that it promises: each write carries a request id and is durable, a second
//! process holds a replica, and pages are exact. Nothing of that is turned off.

pub mod client;
pub mod server;

pub use client::{SnsFeed, Spread};
pub use server::SnsServer;

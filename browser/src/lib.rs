//! The pages of SNS in a real Chromium, against real servers: what the tests, the pictures and the
//! hours of `page-soak` share.
//!
//! This is a harness: what does not work panics, and says what was waited for. Nothing that it starts
//! outlives the value that started it, also not after a panic.
#![allow(
    clippy::missing_panics_doc,
    reason = "a harness: every function panics when what it does fails"
)]

use std::time::Duration;

use tokio::time::{Instant, sleep};

mod cluster;
mod driver;
mod found;
mod page;
mod web;
mod wire;

pub use cluster::{Cluster, beside};
pub use driver::Driver;
pub use found::is_here;
pub use page::{Page, Size, keys};
pub use web::{Answer, Web};

/// How long anything may take that has to come, on a machine that others use too.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(25);

/// Looks until it is there.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        sleep(LOOK).await;
    }
}

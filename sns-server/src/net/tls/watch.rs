//! Seeing that the files changed: by looking at them now and then, and on SIGHUP at once.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::Tls;
use crate::failure::Result;

/// How often. Files that tell of their changes by themselves do not do so on every file system.
const EVERY: Duration = Duration::from_secs(2);

impl Tls {
    /// Follows the files until `ending`; SIGHUP looks at once. From the first call on SIGHUP does not
    /// end this process any more.
    ///
    /// # Errors
    /// None yet.
    pub async fn watch(self, ending: CancellationToken) -> Result<()> {
        self.follow(ending, signal(SignalKind::hangup()).ok()).await;
        Ok(())
    }

    /// The same for a program that a person started: SIGHUP, as when its terminal is closed, means
    /// to it what it means to any other.
    pub async fn watch_files(self, ending: CancellationToken) {
        self.follow(ending, None).await;
    }

    async fn follow(self, ending: CancellationToken, mut hangup: Option<Signal>) {
        let mut tick = interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let asked = async {
                match &mut hangup {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = ending.cancelled() => return,
                _ = tick.tick() => {}
                _ = asked => {}
            }
            let tls = self.clone();
            // It may wait for the disk.
            if tokio::task::spawn_blocking(move || tls.look())
                .await
                .is_err()
            {
                tracing::error!("looking at the TLS files panicked: report this");
            }
        }
    }
}

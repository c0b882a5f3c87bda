//! Makes a snapshot when the log has grown enough.

use std::time::Duration;

use sns_core::{Reason, Sns};
use sns_proto::v1::ServerRole;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::config::NodeConfig;
use crate::failure::{Failure, Result};
use crate::run_file::{self, Living};

/// How often the size of the log is looked at.
const TICK: Duration = Duration::from_secs(10);

/// Makes a snapshot whenever the log has grown enough: a slave does, and a master while no slave
/// runs.
pub(super) async fn keep(config: NodeConfig, sns: Sns, ending: CancellationToken) -> Result<()> {
    let mut tick = tokio::time::interval(TICK);
    // A snapshot may take longer than a tick: the next one comes a whole tick later.
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = ending.cancelled() => return Ok(()),
        }
        let (sns, data, role) = (sns.clone(), config.data.path.clone(), config.role);
        let looked = tokio::task::spawn_blocking(move || {
            let slaves = |node: &Living| node.node.ends_with("-slave");
            if role == ServerRole::Master && run_file::living(&data)?.iter().any(slaves) {
                return Ok(());
            }
            if sns.wants_snapshot()? {
                let made = sns.create_snapshot()?;
                tracing::info!(index = made.index, bytes = made.bytes, "made a snapshot");
            }
            Ok::<_, Failure>(())
        });
        // A stop does not wait for it: what it has written so far is swept up by the next one.
        let made = tokio::select! {
            made = looked => made.map_err(super::panicked)?,
            () = ending.cancelled() => return Ok(()),
        };
        match made {
            Ok(()) => {}
            // Another node makes one, or the disk is behind: later, then.
            Err(why) if why.reason == Some(Reason::Overloaded) => {
                tracing::debug!(%why, "no snapshot now");
            }
            Err(why) => tracing::warn!(%why, "no snapshot; the log stays as long as it is"),
        }
    }
}

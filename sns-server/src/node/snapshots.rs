//! Takes a snapshot when the log has grown enough: a slave does, or a master when no slave runs.

use std::time::Duration;

use sns_core::{ErrorKind, Sns};
use sns_proto::v1::ServerRole;
use tokio_util::sync::CancellationToken;

use crate::config::NodeConfig;
use crate::failure::Result;

/// How often the size of the log is looked at.
const LOOK: Duration = Duration::from_secs(10);

/// Runs until `ending`.
pub(super) async fn keep(config: NodeConfig, sns: Sns, ending: CancellationToken) -> Result<()> {
    let mut tick = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = ending.cancelled() => return Ok(()),
        }
        let (sns, role) = (sns.clone(), config.role);
        let looked = super::blocking(move || {
            if is_mine(&sns, role)? && sns.wants_snapshot()? {
                let made = sns.create_snapshot()?;
                tracing::info!(index = made.index, bytes = made.bytes, "took a snapshot");
            }
            Ok(())
        });
        match looked.await {
            Err(error) if error.kind == ErrorKind::Exhausted => {
                tracing::debug!(%error, "no snapshot now");
            }
            Err(error) => tracing::warn!(%error, "a snapshot could not be taken"),
            Ok(()) => {}
        }
    }
}

/// Whether this node is the one to do it. Two that think so meet at the lock of the snapshots.
fn is_mine(sns: &Sns, role: ServerRole) -> Result<bool> {
    if role == ServerRole::Slave {
        return Ok(true);
    }
    let Some(data) = sns.data_dir() else {
        return Ok(false);
    };
    for node in data.nodes()? {
        if node.ends_with("-slave") && data.node_is_running(&node)? {
            return Ok(false);
        }
    }
    Ok(true)
}

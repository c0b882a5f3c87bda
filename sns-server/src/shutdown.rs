//! One token for the whole process: it is cancelled when somebody asks for a stop.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::failure::{Failure, Result};

/// A token that SIGTERM and Ctrl-C cancel. A second signal ends the process at once: whoever is in
/// a hurry loses nothing that was acknowledged.
///
/// # Errors
/// `Unavailable`: the handlers cannot be installed.
pub fn on_signals() -> Result<CancellationToken> {
    let refused = |e: std::io::Error| Failure::unavailable(format!("cannot handle signals: {e}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(refused)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(refused)?;
    let token = CancellationToken::new();
    let asked = token.clone();
    tokio::spawn(async move {
        for round in 0.. {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if round > 0 {
                tracing::warn!("asked to stop a second time: ending at once");
                std::process::exit(1);
            }
            tracing::info!("asked to stop: draining");
            asked.cancel();
        }
    });
    Ok(token)
}

//! One token for the whole process: it is cancelled when somebody asks for a stop.

use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::failure::{Failure, Result};

/// Signals that come closer together are one wish: a terminal tells the whole group, and a parent
/// its children once more.
const ONE_WISH: Duration = Duration::from_secs(1);

/// A token that SIGTERM and Ctrl-C cancel.
///
/// `hurried`: the exit code with which a second wish ends the process at once; nothing that was
/// acknowledged is lost. `None`: it changes nothing. Servers stop in a few seconds anyway, and an
/// end with another code than 0 would look like a death to their partner.
///
/// # Errors
/// `Unavailable`: the handlers cannot be installed.
pub fn on_signals(hurried: Option<u8>) -> Result<CancellationToken> {
    let refused = |e: std::io::Error| Failure::unavailable(format!("cannot handle signals: {e}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(refused)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(refused)?;
    let token = CancellationToken::new();
    let asked = token.clone();
    tokio::spawn(async move {
        let mut first = None;
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            let first = *first.get_or_insert_with(Instant::now);
            match hurried {
                _ if !asked.is_cancelled() => {
                    tracing::info!("asked to stop");
                    asked.cancel();
                }
                Some(code) if first.elapsed() > ONE_WISH => {
                    tracing::warn!("asked to stop again: ending at once");
                    std::process::exit(code.into());
                }
                _ => {}
            }
        }
    });
    Ok(token)
}

//! One token for the whole process: it is cancelled when somebody asks for a stop.

use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio_util::sync::CancellationToken;

use crate::failure::{Failure, Result};
use crate::{again, notify};

/// Signals that come closer together are one wish: a terminal tells the whole group, and a parent
/// its children once more.
const ONE_WISH: Duration = Duration::from_secs(1);

/// Asks a server to go on as the program on disk.
pub(crate) const AGAIN: Signal = Signal::SIGUSR2;

fn wishes() -> SigSet {
    [Signal::SIGTERM, Signal::SIGINT, AGAIN]
        .into_iter()
        .collect()
}

/// Leaves the signals that ask for a stop pending until [`on_signals`] takes them. Call it before
/// there are other threads. Pending signals outlive the execution of another program: none is lost
/// while a server is replaced by a new version of itself.
///
/// # Errors
/// `Unavailable`: the kernel refuses.
pub fn hold() -> Result<()> {
    let refused = |e| Failure::unavailable(format!("cannot hold back signals: {e}"));
    wishes().thread_block().map_err(refused)
}

/// A token that SIGTERM and Ctrl-C cancel; SIGUSR2 too, and then the program is executed
/// [`again`]. [`hold`] them first.
///
/// `hurried`: the exit code with which a second wish ends the process at once; nothing that was
/// acknowledged is lost. `None`: it changes nothing. Servers stop in a few seconds anyway, and an
/// end with another code than 0 would look like a death to their partner.
///
/// # Errors
/// `Unavailable`: the kernel has no descriptor for signals.
pub fn on_signals(hurried: Option<u8>) -> Result<CancellationToken> {
    let refused = |e: std::io::Error| Failure::unavailable(format!("cannot handle signals: {e}"));
    let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
    let signals = SignalFd::with_flags(&wishes(), flags).map_err(|e| refused(e.into()))?;
    #[allow(
        deprecated,
        reason = "its successor is unsafe; a SignalFd keeps the promise that one asks for"
    )]
    let signals = AsyncFd::with_interest(signals, Interest::READABLE).map_err(refused)?;
    let token = CancellationToken::new();
    let asked = token.clone();
    tokio::spawn(async move {
        let mut first = None;
        while let Some(signal) = next(&signals).await {
            let first = *first.get_or_insert_with(Instant::now);
            if signal == AGAIN && hurried.is_some() {
                continue;
            }
            // Whoever asks for a stop while it drains to go on means the stop.
            let again = signal == AGAIN && (!asked.is_cancelled() || again::wanted());
            if !again::want(again) {
                // It is for the program that takes this one's place: pending for the process, since what
                // is pending for a thread ends with it.
                let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), signal);
                return;
            }
            match hurried {
                _ if !asked.is_cancelled() => {
                    tracing::info!(%signal, "asked to stop");
                    if hurried.is_none() {
                        notify::stopping();
                    }
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

/// The next one that came.
async fn next(signals: &AsyncFd<SignalFd>) -> Option<Signal> {
    loop {
        let mut ready = signals.readable().await.ok()?;
        if again::is_settled() {
            return None;
        }
        match ready.get_inner().read_signal() {
            Ok(Some(info)) => {
                let number = i32::try_from(info.ssi_signo).ok();
                return number.and_then(|number| Signal::try_from(number).ok());
            }
            Ok(None) => ready.clear_ready(),
            Err(error) => {
                tracing::error!(%error, "cannot take signals: SIGKILL alone ends this process");
                return None;
            }
        }
    }
}

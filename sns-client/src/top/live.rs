//! The servers on a screen of their own, until somebody quits.

use std::io::Read as _;
use std::time::{Duration, Instant};

use sns_client::{Routers, Server};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::sleep_until;

use super::table;
use super::watch::Watch;
use crate::output::Failure;
use crate::paint::Paint;
use crate::terminal::{self, Terminal};
use crate::{render, show};

/// Keys that wait to be looked at.
const KEYS_MAX: usize = 16;
/// Ctrl-C, where the terminal makes no signal of it.
const CTRL_C: u8 = 3;
const ESCAPE: u8 = 0x1b;

/// Shows `watch` and what further looks bring.
///
/// # Errors
/// The terminal is gone, or a signal asks to end.
pub(super) async fn run(
    routers: &Routers,
    mut watch: Watch,
    every: Duration,
) -> Result<(), Failure> {
    let kept = Terminal::keep()?;
    let mut resized = signal(SignalKind::window_change())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut quit = signal(SignalKind::quit())?;
    kept.take_screen()?;
    let mut keys = keys();
    let paint = Paint::of_environment();
    let mut gone: Option<String> = None;
    let mut next = Instant::now() + watch.pause(Instant::now());
    // One look at a time, which keys and signals do not wait for.
    let mut asking = None;
    loop {
        draw(&table::page(
            &watch,
            routers.answered(),
            gone.as_deref(),
            terminal::size(),
            paint,
        ))?;
        tokio::select! {
            () = sleep_until(next.into()), if asking.is_none() => {
                asking = Some(Box::pin(routers.servers()));
            }
            servers = async { match asking.as_mut() {
                Some(asking) => asking.await,
                None => std::future::pending().await,
            } } => {
                asking = None;
                let pause = take(servers, &mut watch, &mut gone);
                next = Instant::now() + pause.unwrap_or(every);
            }
            key = keys.recv() => match key {
                Some(key) if !quits(&key) => {}
                _ => return Ok(()),
            },
            _ = resized.recv() => {}
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Err(Failure::Signal(SignalKind::terminate())),
            _ = hangup.recv() => return Err(Failure::Signal(SignalKind::hangup())),
            _ = quit.recv() => return Err(Failure::Signal(SignalKind::quit())),
        }
    }
}

/// Takes an answer in; when to look again, if not as always.
fn take(
    servers: sns_client::Result<Vec<Server>>,
    watch: &mut Watch,
    gone: &mut Option<String>,
) -> Option<Duration> {
    let clock = show::now();
    match servers {
        Ok(servers) => {
            *gone = None;
            let now = Instant::now();
            watch.look(servers, now, &clock);
            Some(watch.pause(now))
        }
        Err(error) => {
            gone.get_or_insert_with(|| {
                let why = render::escape(error.message());
                let since = clock.strftime("%H:%M:%S");
                format!("no router answers since {since}; still trying ({why})")
            });
            None
        }
    }
}

/// In place and in one piece: nothing is cleared that is not written again at once.
fn draw(page: &[String]) -> Result<(), Failure> {
    let rows: Vec<String> = page.iter().map(|row| format!("{row}\x1b[K")).collect();
    let rows = rows.join("\r\n");
    Ok(terminal::write(&format!(
        "\x1b[?2026h\x1b[H{rows}\x1b[J\x1b[?2026l"
    ))?)
}

/// What is typed, as it comes.
fn keys() -> mpsc::Receiver<Vec<u8>> {
    let (tell, keys) = mpsc::channel(KEYS_MAX);
    // Ends with the program: nothing wakes a thread that reads a terminal.
    std::thread::spawn(move || {
        let mut bytes = [0; 64];
        let mut input = std::io::stdin().lock();
        while let Ok(read @ 1..) = input.read(&mut bytes) {
            if tell.blocking_send(bytes[..read].to_vec()).is_err() {
                return;
            }
        }
    });
    keys
}

/// A lone Esc, and none that begins the bytes of another key.
fn quits(key: &[u8]) -> bool {
    match key {
        [ESCAPE] => true,
        [ESCAPE, ..] => false,
        key => key.iter().any(|key| matches!(*key, b'q' | b'Q' | CTRL_C)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_quit_are_few() {
        for key in [&b"q"[..], b"Q", b"\x03", b"\x1b", b"xq"] {
            assert!(quits(key), "{key:?}");
        }
        for key in [&b"x"[..], b"\x1b[A", b"\x1bOq", b"\r"] {
            assert!(!quits(key), "{key:?}");
        }
    }
}

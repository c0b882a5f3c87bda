//! What a service manager such as systemd is told: that this process serves, what it does, and, for
//! its watchdog, that it makes progress. Without a manager (`NOTIFY_SOCKET`) nothing of this does
//! anything.
//!
//! The words go through a thread of their own and a short queue: a manager that does not listen
//! holds up nobody.

use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::again;

mod pulse;

pub(crate) use pulse::{Pulse, beat};

/// What speaks to the manager. No child has it: the manager would take its words for ours.
const VARIABLES: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// Words on their way.
const QUEUE: usize = 16;

/// How long a manager may take to listen at the end.
const PATIENCE: Duration = Duration::from_millis(300);

/// Of the time after which the manager gives up, a word comes so often.
const SHARE: u32 = 4;

#[derive(Clone, Debug)]
enum Word {
    Ready,
    Status(String),
    Again,
    Stopping,
    Alive,
    /// All before it was said.
    Heard(SyncSender<()>),
}

/// The way to the manager; `None` when there is none.
fn manager() -> Option<&'static SyncSender<Word>> {
    static MANAGER: OnceLock<Option<SyncSender<Word>>> = OnceLock::new();
    let begin = || {
        std::env::var_os(VARIABLES[0])?;
        let (send, words) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new().name("sns-notify".into());
        thread.spawn(move || speak(&words)).ok()?;
        Some(send)
    };
    MANAGER.get_or_init(begin).as_ref()
}

fn speak(words: &Receiver<Word>) {
    for word in words {
        let told = match &word {
            Word::Ready => sd_notify::notify(&[NotifyState::Ready]),
            Word::Status(status) => sd_notify::notify(&[NotifyState::Status(status)]),
            Word::Again => match NotifyState::monotonic_usec_now() {
                Ok(now) => sd_notify::notify(&[NotifyState::Reloading, now]),
                Err(e) => Err(e),
            },
            Word::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
            Word::Heard(by) => {
                // Whoever asked may have gone on.
                let _ = by.try_send(());
                Ok(())
            }
            Word::Alive => sd_notify::notify(&[NotifyState::Watchdog]),
        };
        if let Err(error) = told {
            tracing::debug!(%error, ?word, "the service manager does not listen");
        }
    }
}

fn tell(word: Word) {
    if let Some(manager) = manager() {
        // Full: it does not listen, and misses a word.
        let _ = manager.try_send(word);
    }
}

/// Waits until all was said: this process ends, or another program takes its place.
pub(crate) fn last_words() {
    let (say, heard) = sync_channel(1);
    if manager().is_some() {
        tell(Word::Heard(say));
        let _ = heard.recv_timeout(PATIENCE);
    }
}

/// This process serves.
pub(crate) fn ready() {
    tell(Word::Ready);
}

/// What it does, for a person.
pub(crate) fn status(what: &str) {
    // A line is a line of the protocol.
    let line = what.lines().next().unwrap_or_default();
    tell(Word::Status(line.to_owned()));
}

/// It was asked to stop, or to go on as another program.
pub(crate) fn stopping() {
    if again::wanted() {
        tell(Word::Status("going on as the program on disk".to_owned()));
        tell(Word::Again);
        // The drain takes a while: it counts from now.
        tell(Word::Alive);
    } else {
        tell(Word::Stopping);
    }
}

/// Under a manager SIGHUP means: read your files anew. What has TLS files sees to them; here the
/// manager is told that this is done. Without a manager SIGHUP stays what it is.
pub(crate) async fn on_reload(ending: CancellationToken) {
    let hangup = manager().and_then(|_| signal(SignalKind::hangup()).ok());
    let Some(mut hangup) = hangup else {
        return ending.cancelled().await;
    };
    loop {
        tokio::select! {
            () = ending.cancelled() => return,
            _ = hangup.recv() => {
                tracing::info!("asked to read the files of TLS anew");
                tell(Word::Again);
                tell(Word::Ready);
            }
        }
    }
}

/// Keeps the manager's watchdog quiet, as often as it wants: a few times in its patience.
#[derive(Debug)]
pub(crate) struct Watchdog {
    every: Option<Duration>,
    told: Option<Instant>,
}

impl Watchdog {
    pub(crate) fn new() -> Self {
        let every = manager().and_then(|_| sd_notify::watchdog_enabled());
        Self {
            every: every.map(|patience| patience / SHARE),
            told: None,
        }
    }

    /// Call it where, and only where, progress was made.
    pub(crate) fn alive(&mut self) {
        let Some(every) = self.every else {
            return;
        };
        if self.told.is_none_or(|told| told.elapsed() >= every) {
            self.told = Some(Instant::now());
            tell(Word::Alive);
        }
    }
}

/// A child that does not speak for this process.
pub(crate) trait NotifiesNobody {
    /// Leaves out what speaks to the manager.
    fn notifies_nobody(&mut self) -> &mut Self;
}

impl NotifiesNobody for Command {
    fn notifies_nobody(&mut self) -> &mut Self {
        for variable in VARIABLES {
            self.env_remove(variable);
        }
        self
    }
}

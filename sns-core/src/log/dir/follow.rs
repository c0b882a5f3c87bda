//! Waiting for the tail to move (rule R8). File events are a wake-up, a poll is the guarantee.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// How often `commit` is read while somebody waits and no file event has come.
const POLL: Duration = Duration::from_millis(10);

/// The same where file events work.
const POLL_WITH_EVENTS: Duration = Duration::from_millis(20);

/// What wakes those who wait.
#[derive(Debug, Default)]
pub(super) struct Follow {
    /// Counts wake-ups of any kind.
    turns: Mutex<u64>,
    turned: Condvar,
    /// How often `wake` was called.
    wakes: AtomicU64,
    waiting: AtomicUsize,
    /// Held by the one who waits for file events; the others wait for that one.
    #[cfg(target_os = "linux")]
    events: Option<Mutex<linux::Events>>,
    #[cfg(target_os = "linux")]
    bell: Option<linux::Bell>,
}

/// Somebody waits, until dropped.
#[derive(Debug)]
pub(super) struct Waiting<'a>(&'a Follow);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Follow {
    /// Asks for events of the file `commit`; without them, or when they are refused, polls.
    #[cfg(target_os = "linux")]
    pub(super) fn new(commit: Option<&std::path::Path>) -> Self {
        let mut follow = Self::default();
        if let Some(path) = commit {
            match linux::open(path) {
                Ok((events, bell)) => {
                    follow.events = Some(Mutex::new(events));
                    follow.bell = Some(bell);
                }
                Err(error) => tracing::info!(%error, "no file events; polling instead"),
            }
        }
        follow
    }

    /// Polls.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn new(_: Option<&std::path::Path>) -> Self {
        Self::default()
    }

    /// How often [`Follow::wake`] was called.
    pub(super) fn wakes(&self) -> u64 {
        self.wakes.load(Ordering::SeqCst)
    }

    /// Ends every wait.
    pub(super) fn wake(&self) {
        self.wakes.fetch_add(1, Ordering::SeqCst);
        self.tell();
    }

    /// Lets everybody look again.
    pub(super) fn tell(&self) {
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return;
        }
        self.turn();
        #[cfg(target_os = "linux")]
        if let Some(bell) = &self.bell {
            bell.ring();
        }
    }

    fn turn(&self) {
        *self.turns.lock() += 1;
        self.turned.notify_all();
    }

    /// Announces a wait; what is told from now on wakes it.
    pub(super) fn waiting(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        Waiting(self)
    }

    /// How many wake-ups there were: to be asked before looking, and given to `sleep`.
    pub(super) fn turns(&self) -> u64 {
        *self.turns.lock()
    }

    /// Sleeps until something may have changed since `turns`, at most to the deadline.
    pub(super) fn sleep(&self, turns: u64, deadline: Instant) {
        #[cfg(target_os = "linux")]
        if let (Some(events), Some(bell)) = (&self.events, &self.bell)
            && let Some(events) = events.try_lock()
        {
            let until = deadline.min(Instant::now() + POLL_WITH_EVENTS);
            if self.turns() == turns && events.wait(bell, until) {
                self.turn();
            }
            return;
        }
        let until = deadline.min(Instant::now() + POLL);
        let mut now = self.turns.lock();
        while *now == turns {
            if self.turned.wait_until(&mut now, until).timed_out() {
                break;
            }
        }
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::path::Path;
    use std::time::Instant;

    use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
    use rustix::fs::inotify;

    /// Tells of writes to `commit`, by any process.
    #[derive(Debug)]
    pub(super) struct Events(OwnedFd);

    /// Rung within this process.
    #[derive(Debug)]
    pub(super) struct Bell(OwnedFd);

    pub(super) fn open(commit: &Path) -> io::Result<(Events, Bell)> {
        let events = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
        inotify::add_watch(&events, commit, inotify::WatchFlags::MODIFY)?;
        let bell = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok((Events(events), Bell(bell)))
    }

    impl Bell {
        pub(super) fn ring(&self) {
            // Full is rung, too; nothing else can fail.
            let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
        }
    }

    impl Events {
        /// Waits for an event or the bell; whether one came.
        pub(super) fn wait(&self, bell: &Bell, until: Instant) -> bool {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(1),
                tv_nsec: i64::from(left.subsec_nanos()),
            };
            let mut fds = [
                PollFd::new(&self.0, PollFlags::IN),
                PollFd::new(&bell.0, PollFlags::IN),
            ];
            // An interruption looks like an event: the caller looks again.
            let came = poll(&mut fds, Some(&timeout)).unwrap_or(1) > 0;
            if came {
                let mut drain = [0; 4096];
                while rustix::io::read(&self.0, &mut drain).is_ok_and(|read| read == drain.len()) {}
                let _ = rustix::io::read(&bell.0, &mut drain[..8]);
            }
            came
        }
    }
}

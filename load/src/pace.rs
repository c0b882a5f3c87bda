//! Waiting for a moment, more finely than a runtime's timers do.
//!
//! The timers of tokio have ticks of a millisecond, which would be most of what is measured of a
//! service that answers in 100 microseconds. On Linux the pace is kept by a timer of the kernel behind
//! a file descriptor: it wakes the runtime within some ten microseconds and nobody spins.

use std::io;

use tokio::time::Instant;

/// How moments are waited for.
#[derive(Debug)]
pub(crate) enum Pace {
    #[cfg(target_os = "linux")]
    Fine(tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>),
    /// With the runtime's own timers: elsewhere, and where a test has stopped the clock.
    #[cfg_attr(target_os = "linux", allow(dead_code, reason = "for tests"))]
    Coarse,
}

impl Pace {
    /// The best there is here.
    #[cfg(target_os = "linux")]
    pub(crate) fn best() -> io::Result<Self> {
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        #[allow(
            deprecated,
            reason = "its successor is unsafe; an OwnedFd keeps the promise that one asks for"
        )]
        let timer = tokio::io::unix::AsyncFd::new(timer)?;
        Ok(Self::Fine(timer))
    }

    /// The best there is here.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn best() -> io::Result<Self> {
        Ok(Self::Coarse)
    }

    /// Waits for a moment.
    pub(crate) async fn until(&mut self, moment: Instant) -> io::Result<()> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Fine(timer) => {
                use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
                let left = moment.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Ok(());
                }
                let once = Itimerspec {
                    it_interval: Timespec::default(),
                    it_value: Timespec {
                        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                        tv_nsec: i64::from(left.subsec_nanos()),
                    },
                };
                timerfd_settime(&*timer, TimerfdTimerFlags::empty(), &once)?;
                loop {
                    let mut ready = timer.readable().await?;
                    let read = ready.try_io(|timer| {
                        let mut fired = [0; 8];
                        Ok(rustix::io::read(timer, &mut fired)?)
                    });
                    if let Ok(read) = read {
                        return read.map(drop);
                    }
                }
            }
            Self::Coarse => {
                tokio::time::sleep_until(moment).await;
                Ok(())
            }
        }
    }
}

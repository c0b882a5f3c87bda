//! Whether this process makes progress, as the watchdog of a service manager wants to know. Judged on
//! the thread of the pair, by the same reports that the partner goes by: a timer alone would tick on
//! in a server that does nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio_util::sync::CancellationToken;

use crate::pair::machine::{Append, Report, TICK};

/// Ticks in which the threads that serve calls may be busy with something else.
const BUSY_TICKS: u32 = 30;

/// Ticks in which work may lie there and nothing be done: as a partner has it.
const IDLE_TICKS: u32 = 50;

static BEATS: AtomicU64 = AtomicU64::new(0);

/// Counts on the threads that serve calls, until `ending`: they come through.
pub(crate) async fn beat(ending: CancellationToken) {
    let mut tick = tokio::time::interval(TICK);
    while !ending.is_cancelled() {
        tokio::select! {
            () = ending.cancelled() => {}
            _ = tick.tick() => {
                BEATS.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Judges one's own progress, tick by tick.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    beats: u64,
    silent: u32,
    last: Report,
    idle: u32,
}

impl Pulse {
    /// Whether there is progress, with the `report` of this tick.
    pub(crate) fn goes_on(&mut self, report: Report) -> bool {
        self.judge(BEATS.load(Ordering::Relaxed), report)
    }

    fn judge(&mut self, beats: u64, report: Report) -> bool {
        let silent = std::mem::replace(&mut self.beats, beats) == beats;
        self.silent = if silent {
            self.silent.saturating_add(1)
        } else {
            0
        };
        let last = std::mem::replace(&mut self.last, report);
        let moved = report.applies != last.applies || report.appends != last.appends;
        let work = report.queued > 0 || report.lag > 0 || report.append == Append::HoldsLock;
        // Another one has the lock, or the disk is slow: a restart would not help.
        let waits = matches!(report.append, Append::WaitsForLock | Append::Syncs);
        let idle = report.serving && work && !moved && !waits;
        self.idle = if idle { self.idle.saturating_add(1) } else { 0 };
        self.silent < BUSY_TICKS && self.idle < IDLE_TICKS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(ticks: u32, beats: impl Fn(u32) -> u64, report: impl Fn(u32) -> Report) -> bool {
        let mut pulse = Pulse::default();
        (1..=ticks).fold(true, |_, tick| pulse.judge(beats(tick), report(tick)))
    }

    fn busy(applies: u64, append: Append) -> Report {
        Report {
            serving: true,
            queued: 3,
            applies,
            append,
            ..Report::default()
        }
    }

    #[test]
    fn threads_that_do_not_come_through_are_no_life() {
        assert!(after(BUSY_TICKS * 3, u64::from, |_| Report::default()));
        assert!(after(BUSY_TICKS, |_| 1, |_| Report::default()));
        assert!(!after(BUSY_TICKS + 1, |_| 1, |_| Report::default()));
    }

    #[test]
    fn work_that_lies_there_is_no_life_and_a_slow_disk_is_no_death() {
        let stuck = IDLE_TICKS + 1;
        assert!(!after(stuck, u64::from, |_| busy(7, Append::Idle)));
        assert!(!after(stuck, u64::from, |_| busy(7, Append::HoldsLock)));
        assert!(after(stuck, u64::from, |tick| busy(
            tick.into(),
            Append::Idle
        )));
        assert!(after(stuck, u64::from, |_| busy(7, Append::Syncs)));
        assert!(after(stuck, u64::from, |_| busy(7, Append::WaitsForLock)));
        let nothing = Report {
            serving: true,
            ..Report::default()
        };
        assert!(after(stuck * 3, u64::from, |_| nothing));
    }
}

//! [`Rules`]: the numbers behind the decisions.

use std::time::Duration;

#[cfg(test)]
use super::event::{Event, Exit, Last};

/// The numbers behind the decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rules {
    /// Ticks without an answer, once it answered before.
    pub silent_ticks: u32,
    /// Ticks without a first answer after the start.
    pub first_answer_ticks: u32,
    /// Ticks in which every answer said that the same append holds the lock.
    pub lock_ticks: u32,
    /// Ticks in which every answer had work queued and none had applied anything.
    pub idle_ticks: u32,
    /// Ticks that one has to end which was asked to stop: twice what it takes at most by itself.
    pub drain_ticks: u32,
    /// Ticks of the own path without progress that make the watcher doubt itself.
    pub own_ticks: u32,
    /// Service after which a start counts as a success.
    pub served: Duration,
    /// The first delay after a death that came too early, doubled by each further one.
    pub backoff_min: Duration,
    /// The longest delay; also that between tries once it counts as failed.
    pub backoff_max: Duration,
    /// So many early deaths in a row are a failure.
    pub deaths: u32,
    /// Patience with a process that was killed and does not exit.
    pub kill_patience: Duration,
    /// A rule that is taken away, to see whether the tests notice.
    #[cfg(test)]
    pub(super) without: Without,
}

/// A rule that the exploration takes away.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Without {
    /// All rules are kept.
    Nothing,
    /// A hang is judged without a look at the watcher's own way through lock, disk and applier.
    OwnPath,
    /// Silence is counted by the clock and not in the watcher's own ticks.
    OwnTicks,
    /// What was counted before the watcher was stopped is judged before what was said meanwhile.
    Gap,
    /// A second process of a node does not find the node lock held.
    NodeLock,
    /// A restart never waits.
    BackOff,
    /// An end that was asked for counts as a death.
    CleanStop,
}

/// The time from one tick to the next.
pub const TICK: Duration = Duration::from_millis(100);

impl Rules {
    /// Those of a pair: 1 s, 1 s and 5 s in ticks of 100 ms.
    pub const PAIR: Self = Self {
        silent_ticks: 10,
        first_answer_ticks: 600,
        lock_ticks: 10,
        idle_ticks: 50,
        drain_ticks: 100,
        own_ticks: 5,
        served: Duration::from_secs(2),
        backoff_min: Duration::from_millis(100),
        backoff_max: Duration::from_secs(5),
        deaths: 5,
        kill_patience: Duration::from_secs(2),
        #[cfg(test)]
        without: Without::Nothing,
    };

    /// Those of the launcher for its router.
    pub const ROUTER: Self = Self {
        silent_ticks: 20,
        first_answer_ticks: 100,
        ..Self::PAIR
    };

    /// Those of the launcher for a pair as a whole: later than the two themselves, so that the
    /// launcher acts only when neither of them can.
    pub const LAUNCHER: Self = Self {
        silent_ticks: 30,
        drain_ticks: 150,
        ..Self::PAIR
    };
}

#[cfg(test)]
impl Without {
    /// What the machine hears of `event`.
    pub(super) fn spoil(self, event: Event) -> Event {
        match event {
            Event::Free(Last::Asked(pid)) if self == Self::CleanStop => {
                Event::Free(Last::Died(pid))
            }
            Event::Exited { pid, exit } if self == Self::CleanStop => Event::Exited {
                pid,
                exit: Exit {
                    asked: false,
                    ..exit
                },
            },
            other => other,
        }
    }
}

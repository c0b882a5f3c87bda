//! [`Rules`]: the numbers behind the decisions.

use std::time::Duration;

/// The numbers behind the decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Ticks without an answer, once it answered before.
    pub silent_ticks: u32,
    /// Ticks without a first answer after the start.
    pub first_answer_ticks: u32,
    /// Ticks in which every answer said that the same append holds the lock.
    pub lock_ticks: u32,
    /// Ticks in which every answer had work queued and none had applied anything.
    pub idle_ticks: u32,
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
        own_ticks: 5,
        served: Duration::from_secs(2),
        backoff_min: Duration::from_millis(100),
        backoff_max: Duration::from_secs(5),
        deaths: 5,
        kill_patience: Duration::from_secs(2),
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
        ..Self::PAIR
    };
}

//! The clock of a run.

use std::time::Instant;

use crate::history::Micros;

/// Counts from the start of the run; the same for every client and every fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> Micros {
        u64::try_from(self.0.elapsed().as_micros()).unwrap_or(Micros::MAX)
    }
}

//! [`SlowCalls`]: which calls are worth a line in the log, and how many lines.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

/// Lines a second: when everything is slow, one line a call would make it slower.
const LINES: u32 = 10;

/// Counts slow calls and bounds what is said of them.
#[derive(Debug)]
pub struct SlowCalls {
    bound: Duration,
    slow: Counter,
    second: Mutex<Second>,
}

#[derive(Debug)]
struct Second {
    began: Instant,
    lines: u32,
    unsaid: u64,
}

impl SlowCalls {
    pub(super) fn new(bound: Duration, registry: &mut Registry) -> Self {
        let slow = Counter::default();
        let help = "Calls that took longer than --slow-call-ms";
        registry.register("sns_slow_calls", help, slow.clone());
        let second = Second {
            began: Instant::now(),
            lines: 0,
            unsaid: 0,
        };
        Self {
            bound,
            slow,
            second: Mutex::new(second),
        }
    }

    /// Whether a call that took so long is to be logged; then how many before it were not.
    pub fn worth_a_line(&self, took: Duration, now: Instant) -> Option<u64> {
        if took < self.bound {
            return None;
        }
        self.slow.inc();
        let mut second = self.second.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(second.began) >= Duration::from_secs(1) {
            second.began = now;
            second.lines = 0;
        }
        if second.lines == LINES {
            second.unsaid += 1;
            return None;
        }
        second.lines += 1;
        Some(std::mem::take(&mut second.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_slow_calls_a_second_are_told_and_the_others_counted() {
        let bound = Duration::from_millis(100);
        let slow = SlowCalls::new(bound, &mut Registry::default());
        let now = Instant::now();
        assert_eq!(slow.worth_a_line(Duration::from_millis(99), now), None);
        let told = (0..25).filter_map(|_| slow.worth_a_line(bound, now));
        assert_eq!(told.collect::<Vec<_>>(), [0; 10]);
        let later = now + Duration::from_secs(1);
        assert_eq!(slow.worth_a_line(bound, later), Some(15));
        assert_eq!(slow.worth_a_line(bound, later), Some(0));
    }
}

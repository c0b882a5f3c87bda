//! [`Window`]: how long things took since one last looked.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

/// Longer ones count as this long.
const LONGEST_US: u64 = 60_000_000;

/// What a window held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) count: u64,
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
}

/// To two digits, in microseconds.
#[derive(Debug)]
pub(super) struct Window(Mutex<Option<Histogram<u32>>>);

impl Default for Window {
    fn default() -> Self {
        // The bounds are good, so this is never `None`.
        Self(Mutex::new(
            Histogram::new_with_bounds(1, LONGEST_US, 2).ok(),
        ))
    }
}

impl Window {
    pub(super) fn record(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(LONGEST_US);
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(histogram) = &mut *held {
            histogram.saturating_record(us.max(1));
        }
    }

    /// What it held, and begins anew; `None` when nothing happened.
    pub(super) fn take(&self) -> Option<Times> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let histogram = held.as_mut()?;
        if histogram.is_empty() {
            return None;
        }
        let times = Times {
            count: histogram.len(),
            p50_us: histogram.value_at_quantile(0.5),
            p99_us: histogram.value_at_quantile(0.99),
        };
        histogram.reset();
        Some(times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_tells_what_happened_since_the_last_look() {
        let window = Window::default();
        assert_eq!(window.take(), None);
        for us in 1..=100 {
            window.record(Duration::from_micros(us));
        }
        let times = window.take().unwrap();
        assert_eq!((times.count, times.p50_us, times.p99_us), (100, 50, 99));
        assert_eq!(window.take(), None);
        window.record(Duration::ZERO);
        window.record(Duration::from_secs(3_600));
        let times = window.take().unwrap();
        assert!(times.p50_us == 1 && times.p99_us >= LONGEST_US, "{times:?}");
    }
}

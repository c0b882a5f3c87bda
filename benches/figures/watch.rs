//! [`Times`]: how long things took, as a distribution.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The longest time that is told from longer ones.
const LONGEST: Duration = Duration::from_secs(120);

/// How long things took: nanoseconds to two minutes, to three digits.
#[derive(Clone, Debug)]
pub(crate) struct Times(Histogram<u64>);

impl Times {
    pub(crate) fn new() -> Self {
        let longest = LONGEST.as_nanos() as u64;
        let made = Histogram::new_with_bounds(1, longest, 3);
        #[allow(clippy::expect_used, reason = "the bounds are constants")]
        Self(made.expect("good bounds"))
    }

    pub(crate) fn add(&mut self, time: Duration) {
        self.0.saturating_record(time.as_nanos() as u64);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        // Both have the same bounds: it cannot fail.
        let _ = self.0.add(&other.0);
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.len()
    }

    /// The time that `share` of them (0 to 1) took at most.
    pub(crate) fn at(&self, share: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_quantile(share))
    }

    pub(crate) fn p50(&self) -> Duration {
        self.at(0.5)
    }

    pub(crate) fn p99(&self) -> Duration {
        self.at(0.99)
    }

    pub(crate) fn max(&self) -> Duration {
        Duration::from_nanos(self.0.max())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_times_are_told() {
        let mut times = Times::new();
        (1..=100).for_each(|n| times.add(Duration::from_millis(n)));
        let close = |time: Duration, ms: f64| (time.as_secs_f64() * 1e3 / ms - 1.0).abs() < 0.01;
        assert!(close(times.p50(), 50.0) && close(times.p99(), 99.0));
        assert!(close(times.max(), 100.0));
        assert_eq!(times.len(), 100);
    }
}

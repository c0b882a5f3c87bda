//! When each request is due: drawn ahead from the seed, whatever the service does.
//!
//! Arrivals are a Poisson process, as many independent users make it: evenly spaced requests never
//! meet, so they hide the queues that users see. To keep a long run in bounded memory it is drawn in
//! blocks, and each block holds exactly as many arrivals as the rate gives it (a Poisson process of a
//! known count: sorted uniform times), so that the rate asked for is the rate sent.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::plan::Plan;

/// Arrivals of one block.
const BLOCK: u64 = 1_024;

/// When each request is due.
#[derive(Debug)]
pub(crate) struct Schedule {
    seed: u64,
    /// The warm-up, then what is measured.
    parts: [Part; 2],
    /// The block that was drawn last: nearly everybody is in the same.
    latest: Mutex<Arc<Block>>,
}

#[derive(Clone, Copy, Debug)]
struct Part {
    requests: u64,
    start: f64,
    seconds: f64,
}

#[derive(Debug, Default)]
struct Block {
    /// Number of its first request.
    first: u64,
    /// Since the start of the run.
    due: Vec<Duration>,
}

impl Schedule {
    pub(crate) fn new(plan: &Plan) -> Self {
        let part = |start: Duration, length: Duration| Part {
            requests: requests(plan.rate, length),
            start: start.as_secs_f64(),
            seconds: length.as_secs_f64(),
        };
        Self {
            seed: plan.seed,
            parts: [
                part(Duration::ZERO, plan.warmup),
                part(plan.warmup, plan.duration),
            ],
            latest: Mutex::default(),
        }
    }

    /// How many requests belong to the warm-up: the first ones.
    pub(crate) fn warmup(&self) -> u64 {
        self.parts[0].requests
    }

    /// How many requests there are.
    pub(crate) fn total(&self) -> u64 {
        self.parts[0].requests + self.parts[1].requests
    }

    fn block(&self, index: u64) -> Arc<Block> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.holds(index) {
            return Arc::clone(&latest);
        }
        let drawn = Arc::new(self.draw(index));
        if drawn.first >= latest.first {
            *latest = Arc::clone(&drawn);
        }
        drawn
    }

    /// Draws the block of a request.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    fn draw(&self, index: u64) -> Block {
        let (part, before) = if index < self.warmup() {
            (self.parts[0], 0)
        } else {
            (self.parts[1], self.warmup())
        };
        let first = (index - before) / BLOCK * BLOCK;
        let count = BLOCK.min(part.requests - first);
        let each = part.seconds / part.requests as f64;
        let (start, seconds) = (part.start + first as f64 * each, count as f64 * each);
        let first = before + first;
        let mut rng = SmallRng::seed_from_u64(self.seed.rotate_left(32) ^ first);
        // Gaps of a Poisson process, scaled so that one more than `count` of them fill the block.
        let mut sum = 0.0;
        let mut sums = Vec::new();
        for _ in 0..count {
            sum += gap(&mut rng);
            sums.push(sum);
        }
        let whole = sum + gap(&mut rng);
        let due = sums
            .into_iter()
            .map(|sum| Duration::from_secs_f64(start + seconds * sum / whole));
        Block {
            first,
            due: due.collect(),
        }
    }
}

/// Of an exponential distribution.
fn gap(rng: &mut SmallRng) -> f64 {
    // In (0, 1], so that the logarithm is finite.
    -(1.0 - rng.random::<f64>()).ln()
}

/// How many requests a rate makes in a while.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a plan is checked: finite, not negative"
)]
pub(crate) fn requests(rate: f64, length: Duration) -> u64 {
    (rate * length.as_secs_f64()).round() as u64
}

impl Block {
    fn holds(&self, index: u64) -> bool {
        index >= self.first && index - self.first < self.due.len() as u64
    }
}

/// Reads a schedule, mostly forwards.
#[derive(Debug)]
pub(crate) struct Cursor {
    schedule: Arc<Schedule>,
    block: Arc<Block>,
}

impl Cursor {
    pub(crate) fn new(schedule: Arc<Schedule>) -> Self {
        Self {
            schedule,
            block: Arc::default(),
        }
    }

    /// When request number `index`, below the total, is due, since the start of the run.
    pub(crate) fn due(&mut self, index: u64) -> Duration {
        if !self.block.holds(index) {
            self.block = self.schedule.block(index);
        }
        let place = usize::try_from(index - self.block.first).unwrap_or(usize::MAX);
        self.block.due[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mix::Mix;

    fn dues(plan: &Plan) -> Vec<Duration> {
        let schedule = Arc::new(Schedule::new(plan));
        let mut cursor = Cursor::new(Arc::clone(&schedule));
        (0..schedule.total()).map(|i| cursor.due(i)).collect()
    }

    #[test]
    fn as_many_are_due_as_the_rate_says_and_in_order() {
        let plan = Plan {
            warmup: Duration::from_secs(2),
            duration: Duration::from_secs(10),
            ..Plan::new(Mix::Dsb, 777.0)
        };
        let dues = dues(&plan);
        assert_eq!(dues.len(), 7_770 + 1_554);
        assert!(dues.is_sorted());
        let warm = dues.iter().filter(|due| **due < plan.warmup).count();
        assert_eq!(warm, 1_554);
        assert!(dues[dues.len() - 1] < Duration::from_secs(12));
    }

    #[test]
    fn arrivals_are_bursty_as_independent_users_are() {
        let plan = Plan {
            warmup: Duration::ZERO,
            ..Plan::new(Mix::Dsb, 1_000.0)
        };
        // Counts of a Poisson process in a window vary by their mean.
        let mut counts = vec![0_f64; 3_000];
        for due in dues(&plan) {
            counts[(due.as_micros() / 10_000) as usize] += 1.0;
        }
        let variance = counts.iter().map(|n| (n - 10.0).powi(2)).sum::<f64>() / 3_000.0;
        assert!((7.0..13.0).contains(&variance), "{variance}");
    }

    #[test]
    fn the_same_seed_gives_the_same_times_in_any_order_of_asking() {
        let plan = Plan::new(Mix::Dsb, 500.0);
        let forwards = dues(&plan);
        let mut cursor = Cursor::new(Arc::new(Schedule::new(&plan)));
        for (i, due) in forwards.iter().enumerate().rev() {
            assert_eq!(cursor.due(i as u64), *due);
        }
        assert_ne!(dues(&Plan { seed: 2, ..plan }), forwards);
    }
}

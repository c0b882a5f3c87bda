//! A line a second at most about connections that were refused, however many there are.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Listener, Refusal};

/// Between two lines.
const EVERY: Duration = Duration::from_secs(1);

/// What has not been said yet.
#[derive(Debug)]
pub(super) struct Complaints {
    listener: Listener,
    unsaid: Mutex<Unsaid>,
}

#[derive(Debug, Default)]
struct Unsaid {
    last: Option<Instant>,
    counts: [u64; Refusal::ALL.len()],
}

impl Unsaid {
    /// Counts one; what is to be said now, if it is time.
    fn note(&mut self, why: Refusal, now: Instant) -> Option<String> {
        self.counts[why as usize] += 1;
        let early = |last: Instant| now.saturating_duration_since(last) < EVERY;
        if self.last.is_some_and(early) {
            return None;
        }
        self.last = Some(now);
        let counts = std::mem::take(&mut self.counts);
        let said = Refusal::ALL.iter().zip(counts);
        let said = said.filter(|(_, count)| *count > 0);
        let words: Vec<String> = said
            .map(|(why, count)| format!("{} {count}", why.name()))
            .collect();
        Some(words.join(", "))
    }
}

impl Complaints {
    pub(super) fn new(listener: Listener) -> Self {
        Self {
            listener,
            unsaid: Mutex::default(),
        }
    }

    pub(super) fn note(&self, why: Refusal) {
        let mut unsaid = self.unsaid.lock().unwrap_or_else(PoisonError::into_inner);
        let said = unsaid.note(why, Instant::now());
        drop(unsaid);
        if let Some(refused) = said {
            tracing::warn!(
                listener = self.listener.name(),
                refused,
                "connections were refused or cut off"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_refusals_are_a_line_a_second() {
        let mut unsaid = Unsaid::default();
        let began = Instant::now();
        assert_eq!(unsaid.note(Refusal::Full, began).unwrap(), "full 1");
        for _ in 0..999 {
            assert!(unsaid.note(Refusal::Full, began).is_none());
        }
        let later = began + EVERY;
        let said = unsaid.note(Refusal::Silent, later).unwrap();
        assert_eq!(said, "full 999, silent 1");
    }

    #[test]
    fn refusals_stand_at_their_place() {
        for (at, why) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, at);
        }
    }
}

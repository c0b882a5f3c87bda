//! Where the log of a restored feed begins.
//!
//! What was written after the backup is lost, but its positions are not: clients keep them as cursors,
//! as `at_least`, as ids of posts. A restored feed must never give one of them to something else. So
//! its log begins behind every index that any earlier life of the data can have reached by now: behind
//! as many entries as a log could have taken since the first user was made. A position of the lost
//! future then lies in a gap, after all that was restored and before all that is new, and means there
//! what it should: a stream that resumes from it misses nothing, a page that ends at it shows what is
//! left, a post of that id is not found.
//!
//! The first user is a fact of the feed, so it is the same in all backups, exports and copies of it, and
//! in all that is made of these. Every life begins on one line, which rises with the time faster than
//! any of them can write; so a life that begins later lies above all that began before, whatever
//! backup it comes from.

use crate::seq::Seq;

/// Entries that no log takes in a millisecond, for long: the directory log was measured at 12, with
/// four processes and next to no disk to wait for.
const ENTRIES_PER_MS: u64 = 16;
/// For clocks that differ: half an hour at that rate.
pub(super) const SLACK: u64 = 1 << 25;
/// Indexes that are left to the new life at least: enough for two thousand years at one a millisecond.
const ROOM: u64 = 1 << 46;

/// The first index of the log behind a feed that stands at `index`, was born at `born_ms`, and comes
/// back at `now_ms`; `None` when too few indexes are left.
pub(crate) fn first_index(index: u64, born_ms: u64, now_ms: u64) -> Option<u64> {
    let age = now_ms.saturating_sub(born_ms);
    let line = age.checked_mul(ENTRIES_PER_MS)?.checked_add(SLACK)?;
    // Above the line stands only what is not of this feed, or of a clock that was wrong.
    let first = line.max(index.checked_add(1)?);
    (first <= Seq::INDEX_MAX - ROOM).then_some(first)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use proptest::prelude::*;

    const DAY: u64 = 86_400_000;

    /// A life: where its log began, and when.
    #[derive(Clone, Copy, Debug)]
    struct Life {
        first: u64,
        since: u64,
    }

    impl Life {
        /// Where it stands at `now` if it writes so many entries in 10 ms.
        fn at(self, now: u64, pace: u64) -> u64 {
            self.first + (now - self.since) * pace / 10
        }
    }

    proptest! {
        /// Any life may be backed up at any time, and any backup restored at any later time; all lives
        /// go on writing, each at its own pace.
        #[test]
        fn a_new_life_lies_above_all_that_was_ever_reached(
            born in 0..DAY * 10_000,
            paces in prop::collection::vec(0..ENTRIES_PER_MS * 10, 21),
            steps in prop::collection::vec(
                (any::<prop::sample::Index>(), 1..DAY, 1..DAY * 100),
                1..20,
            ),
        ) {
            let mut lives = vec![Life { first: 1, since: born }];
            let mut backups = vec![(0, born)];
            let mut now = born;
            for (which, before, after) in steps {
                // All lives are backed up, then time goes by, then one of all backups is restored.
                now += before;
                for (life, pace) in lives.iter().zip(&paces) {
                    backups.push((life.at(now, *pace), now));
                }
                now += after;
                let (index, _) = backups[which.index(backups.len())];
                let first = first_index(index, born, now).unwrap();
                for (life, pace) in lives.iter().zip(&paces) {
                    prop_assert!(first > life.at(now, *pace), "{life:?} at {now}");
                }
                lives.push(Life { first, since: now });
            }
        }
    }

    #[test]
    fn a_feed_of_a_century_still_has_room() {
        assert_eq!(first_index(7, 1_000, 1_000), Some(SLACK));
        assert_eq!(first_index(7, 2_000, 1_000), Some(SLACK));
        assert_eq!(first_index(SLACK * 2, 0, 0), Some(SLACK * 2 + 1));
        assert_eq!(first_index(0, 0, DAY), Some(DAY * 16 + SLACK));
        assert!(first_index(0, 0, 36_525 * DAY).is_some());
        assert_eq!(first_index(Seq::INDEX_MAX, 0, 0), None);
        assert_eq!(first_index(0, 0, u64::MAX), None);
    }
}

//! Each check that a view makes is left out once: the tests that hold with it must fail without, and
//! say that the promise is broken which it is for.
//!
//! The steps of the log are left out in `log_simulation.rs`, in the same way.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is test code"
)]

#[path = "support/checks.rs"]
mod checks;
#[path = "support/feed.rs"]
mod feed;

use std::panic::catch_unwind;

use feed::draw::Draw;
use sns_core::Check;

type Property = fn(Option<Check>);

fn retries(without: Option<Check>) {
    checks::retries_have_one_effect(&mut Draw(SEED), without);
}

const SEED: u64 = 11;
const RETRIES: &str = "a_retry_past_the_memory_is_refused_as_expired_and_never_takes_effect_twice";
const KILLS: &str = "a_kill_between_any_two_steps_of_a_write_leaves_a_view_that_comes_back";
const SOUND: &str = "a_stopped_view_is_sound_by_its_own_sums_and_kept";

/// The test that must fail without a check, what it runs, and the promise that it says is broken.
fn catcher(check: Check) -> (&'static str, Property, &'static str) {
    match check {
        Check::RequestId | Check::Seen => (RETRIES, retries, checks::ONE_EFFECT),
        Check::SeqOfBatch | Check::Redo => {
            (KILLS, checks::killed_views_come_back, checks::COMES_BACK)
        }
        Check::RequestsInDigest => (SOUND, checks::a_sound_view_is_kept, checks::FACTS),
    }
}

#[test]
fn every_check_of_the_view_is_missed_when_it_is_left_out() {
    for check in Check::ALL {
        let (name, property, promise) = catcher(check);
        let panic = catch_unwind(|| property(Some(check))).err();
        let panic = panic.unwrap_or_else(|| panic!("{check:?} is not missed by {name}"));
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or(panic.downcast_ref::<&str>().copied());
        let words = words.unwrap_or_default();
        println!("{check:?}: {name} (seed {SEED}): {words}");
        // Anything else that fails, a directory that cannot be made say, proves nothing.
        assert!(
            words.contains(promise),
            "without {check:?}, {name} fails, but not because {promise:?}: {words}"
        );
    }
}

//! Each check that a view makes is left out once: the tests that hold with it must fail without.
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

/// The test that must fail without a check, and what it runs.
fn catcher(check: Check) -> (&'static str, Property) {
    match check {
        Check::RequestId | Check::Seen => (RETRIES, retries),
        Check::SeqOfBatch | Check::Redo => (KILLS, checks::killed_views_come_back),
        Check::RequestsInDigest => (SOUND, checks::a_sound_view_is_kept),
    }
}

#[test]
fn every_check_of_the_view_is_missed_when_it_is_left_out() {
    for check in Check::ALL {
        let (name, property) = catcher(check);
        let panic = catch_unwind(|| property(Some(check))).err();
        let panic = panic.unwrap_or_else(|| panic!("{check:?} is not missed by {name}"));
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or(panic.downcast_ref::<&str>().copied());
        println!(
            "{check:?}: {name} (seed {SEED}): {}",
            words.unwrap_or("it failed")
        );
    }
}

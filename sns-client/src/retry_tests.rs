use super::*;
use proptest::prelude::*;
use sns_proto::reason;

fn refused(why: Reason) -> Ended {
    Ended::Refused(Refusal {
        code: reason::code_of(why),
        error: Error::new(why, "said so"),
        retry_after: reason::retry_after_ms(why).map(|ms| Duration::from_millis(ms.into())),
    })
}

fn lost() -> Ended {
    Ended::Lost("connection reset".to_owned())
}

fn not_sent() -> Ended {
    Ended::NotSent("connection refused".to_owned())
}

/// Whether the outcome is another try, and whether the server is left and waited for.
fn again(next: &Next) -> Option<(bool, bool)> {
    match next {
        Next::Again { wait, leave } => Some((*leave, !wait.is_zero())),
        _ => None,
    }
}

fn failed(next: Next) -> Error {
    match next {
        Next::Fail(error) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_lost_try_goes_on_at_once_on_another_server() {
    for mut tries in [Tries::of_read(), Tries::of_write(false)] {
        assert_eq!(again(&tries.next(lost(), true, 0.5)), Some((true, false)));
        assert_eq!(
            again(&tries.next(not_sent(), true, 0.5)),
            Some((true, false))
        );
    }
}

#[test]
fn without_another_server_tries_back_off_and_stay_under_the_bound() {
    let mut tries = Tries::of_write(false);
    let mut before = Duration::ZERO;
    for _ in 0..40 {
        let Next::Again { wait, leave: true } = tries.next(lost(), false, 1.0) else {
            panic!("given up");
        };
        assert!(wait >= before && wait <= BACKOFF_MAX, "{wait:?}");
        before = wait;
    }
    assert_eq!(before, BACKOFF_MAX);
}

#[test]
fn what_was_lost_ends_as_unknown_and_what_was_never_sent_as_unavailable() {
    let second = Duration::from_secs(1);
    let mut tries = Tries::of_write(false);
    tries.next(not_sent(), true, 0.0);
    assert_eq!(tries.out_of_time(second).kind(), ErrorKind::Unavailable);
    tries.next(lost(), true, 0.0);
    tries.next(not_sent(), true, 0.0);
    assert_eq!(tries.out_of_time(second).kind(), ErrorKind::Unknown);
    let mut read = Tries::of_read();
    read.next(lost(), true, 0.0);
    assert_eq!(read.out_of_time(second).kind(), ErrorKind::Unavailable);
    let nothing = Tries::of_read();
    assert_eq!(nothing.out_of_time(second).kind(), ErrorKind::Unavailable);
}

#[test]
fn refusals_that_pass_are_retried_after_what_the_server_asks_for() {
    let mut tries = Tries::of_write(false);
    for why in [Reason::Overloaded, Reason::DiskFull, Reason::RateLimited] {
        let asked = Duration::from_millis(reason::retry_after_ms(why).expect("retried").into());
        let Next::Again { wait, leave } = tries.next(refused(why), true, 0.0) else {
            panic!("given up");
        };
        assert!(wait >= asked && !leave, "{why:?}: {wait:?}");
    }
    assert_eq!(
        tries.out_of_time(Duration::from_secs(1)).kind(),
        ErrorKind::Exhausted
    );
    for why in [
        Reason::Starting,
        Reason::ShuttingDown,
        Reason::Lagging,
        Reason::LogUnavailable,
        Reason::NoServer,
    ] {
        assert_eq!(
            again(&tries.next(refused(why), true, 0.0)),
            Some((true, false)),
            "{why:?}"
        );
        assert_eq!(
            again(&tries.next(refused(why), false, 0.0)),
            Some((true, true)),
            "{why:?}"
        );
    }
}

#[test]
fn refusals_that_stay_are_told() {
    for why in [
        Reason::UsernameInvalid,
        Reason::SelfFollow,
        Reason::RequestIdReused,
        Reason::UserNotFound,
        Reason::NotFollowing,
        Reason::AlreadyFollowing,
        Reason::TooManyFollowees,
        Reason::DataMismatch,
    ] {
        let mut tries = Tries::of_write(false);
        assert_eq!(failed(tries.next(refused(why), true, 0.0)).reason(), why);
        // By the same ticket the first outcome comes again, so it is true after a lost try too.
        if why != Reason::DataMismatch {
            let mut tries = Tries::of_write(false);
            tries.next(lost(), true, 0.0);
            assert_eq!(failed(tries.next(refused(why), true, 0.0)).reason(), why);
        }
    }
}

#[test]
fn an_expired_first_try_is_sent_anew_and_an_expired_retry_is_unknown() {
    let mut first = Tries::of_write(false);
    assert!(matches!(
        first.next(refused(Reason::RequestExpired), true, 0.0),
        Next::Anew { .. }
    ));
    // Refused tries had no effect, so the one that expires is still the first.
    let mut refused_first = Tries::of_write(false);
    refused_first.next(refused(Reason::Overloaded), true, 0.0);
    refused_first.next(not_sent(), true, 0.0);
    assert!(matches!(
        refused_first.next(refused(Reason::RequestExpired), true, 0.0),
        Next::Anew { .. }
    ));
    for mut retry in [Tries::of_write(true), {
        let mut tries = Tries::of_write(false);
        tries.next(lost(), true, 0.0);
        tries
    }] {
        let error = failed(retry.next(refused(Reason::RequestExpired), true, 0.0));
        assert_eq!(error.kind(), ErrorKind::Unknown);
    }
}

#[test]
fn a_server_that_cannot_tell_is_asked_again_through_its_twin() {
    let mut tries = Tries::of_write(false);
    assert_eq!(
        again(&tries.next(refused(Reason::OutcomeUnknown), true, 0.0)),
        Some((true, false))
    );
    let error = failed(tries.next(refused(Reason::RequestExpired), true, 0.0));
    assert_eq!(error.kind(), ErrorKind::Unknown);
}

#[test]
fn a_bad_token_is_renewed_once() {
    let mut tries = Tries::of_read();
    assert!(matches!(
        tries.next(refused(Reason::TokenInvalid), true, 0.0),
        Next::Login
    ));
    let error = failed(tries.next(refused(Reason::TokenInvalid), true, 0.0));
    assert_eq!(error.kind(), ErrorKind::Denied);
}

#[test]
fn damage_is_believed_when_a_second_server_reports_it() {
    let mut tries = Tries::of_read();
    assert_eq!(
        again(&tries.next(refused(Reason::Damaged), true, 0.0)),
        Some((true, false))
    );
    let error = failed(tries.next(refused(Reason::Damaged), true, 0.0));
    assert_eq!(error.kind(), ErrorKind::Damaged);
}

#[test]
fn tries_that_are_lost_get_more_time_after_the_second() {
    let base = Duration::from_secs(1);
    let mut tries = Tries::of_read();
    let mut limits = Vec::new();
    for _ in 0..8 {
        limits.push(tries.limit(base).as_secs());
        tries.next(lost(), true, 0.0);
    }
    assert_eq!(limits, [1, 1, 2, 4, 8, 16, 16, 16]);
}

proptest! {
    #[test]
    fn once_lost_a_write_is_never_told_as_not_done_nor_sent_with_a_new_id(
        steps in proptest::collection::vec((0u8..6, any::<bool>()), 1..12)
    ) {
        // Reasons that are no outcome of a write itself.
        let mut tries = Tries::of_write(false);
        tries.next(lost(), true, 0.5);
        for (step, spare) in steps {
            let ended = match step {
                0 => lost(),
                1 => not_sent(),
                2 => refused(Reason::Starting),
                3 => refused(Reason::Damaged),
                4 => refused(Reason::TokenInvalid),
                _ => refused(Reason::RequestExpired),
            };
            match tries.next(ended, spare, 0.5) {
                Next::Fail(error) => {
                    prop_assert_eq!(error.kind(), ErrorKind::Unknown);
                    return Ok(());
                }
                Next::Anew { .. } => prop_assert!(false, "a second effect"),
                Next::Login | Next::Again { .. } => {}
            }
        }
        prop_assert_eq!(tries.out_of_time(Duration::from_secs(1)).kind(), ErrorKind::Unknown);
    }
}

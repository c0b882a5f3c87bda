//! A write takes effect at most once, whoever retries it, wherever and however late.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is test code"
)]

#[path = "support/checks.rs"]
mod checks;
#[path = "support/feed.rs"]
mod feed;

use feed::draw::Draw;
use feed::{PATIENCE, all_posts};
use sns_core::log::memory::MemoryLog;
use sns_core::{Reason, RequestId, Sns};

#[test]
fn a_retry_on_any_replica_has_the_first_outcome_refusals_too() {
    let log = MemoryLog::new();
    let a = Sns::over_memory(log.clone()).open().unwrap();
    let b = Sns::over_memory(log).open().unwrap();
    let (alice, bob) = (a.user("alice").unwrap(), a.user("bob").unwrap());
    let id = RequestId::random();
    let first = a
        .write()
        .request_id(id)
        .post(&alice, "once")
        .wait()
        .unwrap();
    let again = b
        .write()
        .request_id(id)
        .post(&alice, "once")
        .wait()
        .unwrap();
    assert_eq!(first, again);
    // The same id of another user is another request.
    let other = b.write().request_id(id).post(&bob, "once").wait().unwrap();
    assert_ne!(first.id, other.id);
    let refusal = RequestId::random();
    let write = |sns: &Sns| {
        sns.write()
            .request_id(refusal)
            .unfollow(&alice, &bob)
            .wait()
    };
    assert_eq!(write(&a).unwrap_err().reason(), Reason::NotFollowing);
    a.follow(&alice, &bob).wait().unwrap();
    // By now it would be possible; the request was refused all the same.
    assert_eq!(write(&b).unwrap_err().reason(), Reason::NotFollowing);
    let reused = b
        .write()
        .request_id(id)
        .post(&alice, "twice")
        .wait()
        .unwrap_err();
    assert_eq!(reused.reason(), Reason::RequestIdReused);
    assert_eq!(all_posts(&a, &alice).len(), 1);
}

#[test]
fn attempts_under_way_at_once_have_one_effect() {
    let log = MemoryLog::new();
    let replicas: Vec<Sns> = (0..3)
        .map(|_| Sns::over_memory(log.clone()).open().unwrap())
        .collect();
    let alice = replicas[0].user("alice").unwrap();
    for n in 0..100 {
        let id = RequestId::random();
        let text = format!("{n}");
        let tries: Vec<_> = replicas
            .iter()
            .chain(&replicas)
            .map(|sns| sns.write().request_id(id).post(&alice, &text))
            .collect();
        let mut ids = tries
            .into_iter()
            .map(|one| match one.wait_timeout(PATIENCE) {
                Ok(post) => post.id,
                // That replica has not seen the user yet: then its log had not, either.
                Err(error) => panic!("{error}"),
            });
        let first = ids.next().unwrap();
        assert!(ids.all(|id| id == first));
    }
    assert_eq!(all_posts(&replicas[1], &alice).len(), 100);
}

#[test]
fn a_retry_past_the_memory_is_refused_as_expired_and_never_takes_effect_twice() {
    checks::retries_have_one_effect(&mut Draw::new(), None);
}

//! A write takes effect at most once, whoever retries it, wherever and however late.

#[path = "support/feed.rs"]
mod feed;

use feed::{Draw, PATIENCE, all_posts};
use sns_core::log::memory::MemoryLog;
use sns_core::{Reason, RequestId, Seq, Sns};

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
    let mut draw = Draw::new();
    for remembered in [1, 2, 10, 300] {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            let builder = Sns::builder(dir.path()).node("a").tiny_cache(20_000);
            builder.remembered_requests(remembered).open().unwrap()
        };
        let mut sns = open();
        let user = sns.user("user").unwrap();
        let mut requests: Vec<(RequestId, Seq, String, Seq)> = Vec::new();
        for n in 0..700_u64 {
            let (id, seen, text) = (RequestId::random(), sns.applied(), format!("{n}"));
            let write = sns.write().request_id(id).seen(seen);
            let post = write.post(&user, &text).wait().unwrap();
            requests.push((id, seen, text, post.id));
            if draw.below(3) == 0 {
                let back = draw.below(requests.len() as u64).min(draw.below(500));
                let (id, seen, text, first) = &requests[requests.len() - 1 - back as usize];
                let write = sns.write().request_id(*id).seen(*seen);
                match write.post(&user, text).wait() {
                    Ok(post) => {
                        assert_eq!(post.id, *first);
                        assert!(back < remembered);
                    }
                    Err(error) => {
                        assert_eq!(error.reason(), Reason::RequestExpired);
                        assert!(back >= remembered, "{back} of {remembered}");
                    }
                }
            }
            if draw.below(200) == 0 {
                drop(sns);
                sns = open();
            }
        }
        assert_eq!(all_posts(&sns, &user).len(), 700);
        let digest = sns.status().digest;
        drop(sns);
        std::fs::remove_dir_all(dir.path().join("nodes/a/view")).unwrap();
        assert_eq!(open().status().digest, digest);
    }
}

//! Every queue, page, cache and list has a bound, and a defined refusal.

#[path = "support/feed.rs"]
mod feed;

use std::fs::File;

use feed::{PATIENCE, name, wait_until};
use sns_core::{Pending, Reason, Seq, Sns, Username, limits};

#[test]
fn a_full_queue_refuses_and_loses_nothing_that_it_took() {
    let dir = tempfile::tempdir().unwrap();
    let sns = Sns::builder(dir.path()).node("a").open().unwrap();
    let user = sns.user("user").unwrap();
    // Somebody else holds the right to write.
    let lock = File::open(dir.path().join("log/lock")).unwrap();
    lock.lock().unwrap();
    let mut taken: Vec<Pending<_>> = Vec::new();
    let refused = loop {
        assert!(taken.len() < 100_000, "the queue has no bound");
        let pending = sns.post(&user, &format!("{}", taken.len()));
        // A refusal is there at once.
        if sns.progress().queued >= limits::QUEUE_COMMANDS as u64 {
            let one_more = sns.post(&user, "one too many");
            taken.push(pending);
            break one_more.wait_timeout(PATIENCE).unwrap_err();
        }
        taken.push(pending);
    };
    assert_eq!(refused.reason(), Reason::Overloaded);
    lock.unlock().unwrap();
    let mut last = Seq::ZERO;
    let count = taken.len();
    for pending in taken {
        let id = pending.wait_timeout(PATIENCE).unwrap().id;
        assert!(id > last);
        last = id;
    }
    assert_eq!(sns.status().posts, count as u64);
}

#[test]
fn the_ten_thousand_and_first_followee_is_refused() {
    let sns = Sns::in_memory().unwrap();
    let reader = sns.user("reader").unwrap();
    let most = limits::FOLLOWEES as usize;
    let users: Vec<Username> = (0..=most).map(|n| name(&format!("user{n:05}"))).collect();
    for some in users.chunks(4_000) {
        let made: Vec<_> = some.iter().map(|user| sns.create_user(user)).collect();
        for pending in made {
            pending.wait_timeout(PATIENCE).unwrap();
        }
    }
    for some in users[..most].chunks(4_000) {
        let follows: Vec<_> = some.iter().map(|user| sns.follow(&reader, user)).collect();
        for pending in follows {
            pending.wait_timeout(PATIENCE).unwrap();
        }
    }
    let refused = sns.follow(&reader, &users[most]).wait().unwrap_err();
    assert_eq!(refused.reason(), Reason::TooManyFollowees);
    // A page merges them all, and unfollowing one makes room for another.
    let posts: Vec<_> = users
        .iter()
        .step_by(500)
        .map(|u| sns.post(u, "hello"))
        .collect();
    for pending in posts {
        pending.wait().unwrap();
    }
    assert_eq!(
        sns.home(&reader).limit(200).page().unwrap().items.len(),
        most / 500
    );
    sns.unfollow(&reader, &users[7]).wait().unwrap();
    sns.follow(&reader, &users[most]).wait().unwrap();
    assert_eq!(
        sns.home(&reader).limit(200).page().unwrap().items.len(),
        most / 500 + 1
    );
}

#[test]
fn sixty_four_programs_open_one_directory_and_the_next_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let first = Sns::open(dir.path()).unwrap();
    assert_eq!(first.status().node, "local-0");
    // The places are what counts: sixty-four whole replicas would take a minute.
    let data = first.data_dir().unwrap().clone();
    let mut locks: Vec<_> = (1..limits::LOCAL_NODES)
        .map(|n| data.lock_node(&format!("local-{n}")).unwrap())
        .collect();
    let refused = Sns::open(dir.path()).unwrap_err();
    assert_eq!(refused.reason(), Reason::Overloaded);
    let refused = Sns::builder(dir.path()).node("local-7").open().unwrap_err();
    assert_eq!(refused.reason(), Reason::LogUnavailable);
    // A name that is given has a place of its own.
    drop(Sns::builder(dir.path()).node("extra").open().unwrap());
    drop(locks.remove(40));
    let last = Sns::open(dir.path()).unwrap();
    assert_eq!(last.status().node, "local-41");
}

#[test]
fn a_replica_that_is_only_read_keeps_its_cache_within_its_budget() {
    let dir = tempfile::tempdir().unwrap();
    let sns = Sns::builder(dir.path()).node("a").open().unwrap();
    let users: Vec<Username> = (0..300).map(|n| name(&format!("user{n}"))).collect();
    let made: Vec<_> = users.iter().map(|user| sns.create_user(user)).collect();
    for pending in made {
        pending.wait().unwrap();
    }
    let text = "t".repeat(900);
    for _ in 0..4 {
        let posts: Vec<_> = users.iter().map(|user| sns.post(user, &text)).collect();
        for pending in posts {
            pending.wait().unwrap();
        }
    }
    drop(sns);
    let budget = 200_000;
    let builder = Sns::builder(dir.path()).node("a").tiny_cache(budget);
    let sns = builder.open().unwrap();
    for user in &users {
        assert_eq!(sns.posts_of(user).page().unwrap().items.len(), 4);
        let bytes = sns.status().cache_bytes;
        assert!(bytes <= budget as u64, "{bytes} bytes");
    }
}

#[test]
fn a_subscription_keeps_the_name_of_its_node_taken_until_it_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let sns = Sns::builder(dir.path()).node("a").open().unwrap();
    let user = sns.user("user").unwrap();
    let mut stream = sns.subscribe(&user, None).unwrap();
    drop(sns);
    // Its view is still open: another one must not take its files away.
    let refused = Sns::builder(dir.path()).node("a").open().unwrap_err();
    assert_eq!(refused.reason(), Reason::LogUnavailable);
    wait_until("the end", || stream.next_blocking().is_err());
    drop(stream);
    drop(Sns::builder(dir.path()).node("a").open().unwrap());
}

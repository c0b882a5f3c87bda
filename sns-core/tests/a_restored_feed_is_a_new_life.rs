//! What clients hold of the time after a backup is never taken for something else in the restored feed.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sns_core::backup::{self, Restore};
use sns_core::{Clock, EventKind, Reason, RequestId, Seq, Sns, Subscribe, Username};
use tempfile::TempDir;

struct Scene {
    dir: TempDir,
    sns: Sns,
    alice: Username,
    bob: Username,
}

impl Scene {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let sns = Sns::open(dir.path().join("feed")).unwrap();
        let (alice, bob) = (sns.user("alice").unwrap(), sns.user("bob").unwrap());
        sns.follow(&alice, &bob).wait().unwrap();
        Self {
            dir,
            sns,
            alice,
            bob,
        }
    }

    fn restore(&self, file: &str, to: &str, how: &Restore) -> Sns {
        let to = self.dir.path().join(to);
        how.from_file(&self.dir.path().join(file), &to).unwrap();
        Sns::open(to).unwrap()
    }
}

fn texts(page: &sns_core::Page<sns_core::Post>) -> Vec<String> {
    page.items.iter().map(|it| it.text.to_string()).collect()
}

#[test]
fn positions_of_the_lost_future_lie_in_a_gap_and_mean_what_they_should() {
    let scene = Scene::new();
    let Scene {
        sns, alice, bob, ..
    } = &scene;
    let kept = sns.post(bob, "kept").wait().unwrap();
    let retried = RequestId::random();
    let first = sns.write().request_id(retried).post(bob, "retried");
    let first = first.wait().unwrap();
    let gone = sns.post(bob, "deleted before").wait().unwrap();
    let deletion = sns.delete(bob, gone.id).wait().unwrap();
    let made = sns.backup(scene.dir.path().join("b")).unwrap();
    assert_eq!((made.users, made.posts, made.follows), (2, 2, 1));
    assert_eq!(made.seq, sns.applied());
    let page = sns.home(alice).limit(1).page().unwrap();
    let cursor = page.next.unwrap();

    let lost_request = RequestId::random();
    let lost = sns.write().request_id(lost_request).post(bob, "lost");
    let lost = lost.wait().unwrap();
    let lost_follow = sns.follow(bob, alice).wait().unwrap();

    let again = scene.restore("b", "again", &Restore::new());
    assert_eq!(
        u128::from_str_radix(&again.status().digest, 16).unwrap(),
        made.digest
    );
    assert_ne!(again.status().data_id, sns.status().data_id);
    assert_eq!(
        texts(&again.home(alice).page().unwrap()),
        ["retried", "kept"]
    );
    // What was a position before is one now.
    let rest = again.home(alice).limit(1).cursor(&cursor).page().unwrap();
    assert_eq!(rest.items, [kept]);
    // What was told before is told again, once.
    let repeated = again.write().request_id(retried).seen(deletion);
    assert_eq!(repeated.post(bob, "retried").wait().unwrap(), first);

    // The lost future: its posts are not found, and nothing new takes their ids.
    let fresh = again.post(bob, "fresh").wait().unwrap();
    assert!(fresh.id > lost_follow && fresh.created_at_ms >= first.created_at_ms);
    let missing = again.delete(bob, lost.id).wait().unwrap_err();
    assert_eq!(missing.reason(), Reason::PostNotFound);
    // A page before a lost post has what is left; a read of one's own lost write is answered.
    let before = again.home(alice).before(lost.id).page().unwrap();
    assert_eq!(texts(&before), ["retried", "kept"]);
    let at_least = again.home(alice).at_least(lost_follow).page().unwrap();
    assert_eq!(texts(&at_least), ["fresh", "retried", "kept"]);
    // A stream that resumes from it misses nothing, and hears of the deletion if it resumes before.
    let resume = |after| {
        let mut stream = again.subscribe(alice, Some(after)).unwrap();
        let mut kinds = Vec::new();
        loop {
            match stream.next_blocking().unwrap().kind {
                EventKind::CaughtUp => return kinds,
                EventKind::Post(post) => kinds.push(post.text.to_string()),
                EventKind::Deleted(post) => kinds.push(post.to_string()),
                _ => panic!("something else"),
            }
        }
    };
    assert_eq!(resume(lost_follow), ["fresh"]);
    assert_eq!(resume(first.id), [gone.id.to_string(), "fresh".to_owned()]);
    // A retry of a write that was lost takes effect, once.
    for _ in 0..2 {
        let retry = again.write().request_id(lost_request).seen(deletion);
        let retry = retry.post(bob, "lost").wait().unwrap();
        assert!(retry.id > fresh.id);
    }
    assert_eq!(
        texts(&again.posts_of(bob).page().unwrap())[..2],
        ["lost", "fresh"]
    );
    again.close();
}

#[test]
fn two_restores_of_one_backup_never_use_the_same_positions() {
    let scene = Scene::new();
    let file = scene.dir.path().join("b");
    let made = scene.sns.backup(&file).unwrap();
    let now = Arc::new(AtomicU64::new(made.made_at_ms + 1));
    let how = Restore::new().clock(Clock::manual(Arc::clone(&now)));
    let one = scene.restore("b", "one", &how);
    let last = one.post(&scene.bob, "of the first life").wait().unwrap();
    // A backup of the restored feed, and another restore of the first.
    one.backup(scene.dir.path().join("b1")).unwrap();
    now.fetch_add(60_000, Ordering::Relaxed);
    let two = scene.restore("b", "two", &how);
    let other = two.post(&scene.bob, "of the second life").wait().unwrap();
    assert!(other.id.index() > last.id.index() + 60_000);
    now.fetch_add(1_000, Ordering::Relaxed);
    let three = scene.restore("b1", "three", &how);
    assert_eq!(
        texts(&three.posts_of(&scene.bob).page().unwrap()),
        ["of the first life"]
    );
    let third = three.post(&scene.bob, "x").wait().unwrap();
    assert!(third.id > other.id);
    // First an old backup was taken by mistake, then a newer one: it does not matter.
    scene.sns.post(&scene.bob, "later").wait().unwrap();
    scene.sns.backup(scene.dir.path().join("newer")).unwrap();
    now.fetch_add(1_000, Ordering::Relaxed);
    let four = scene.restore("newer", "four", &how);
    assert!(four.post(&scene.bob, "x").wait().unwrap().id > third.id);
    // The clock of another machine may be wrong, but not that much.
    now.store(made.made_at_ms - 3_600_000, Ordering::Relaxed);
    let refused = how
        .from_file(&file, &scene.dir.path().join("five"))
        .unwrap_err();
    assert!(refused.message().contains("clock"), "{refused}");
    assert!(!scene.dir.path().join("five").exists());
}

#[test]
fn with_keep_id_the_life_of_the_original_goes_on_right_behind_the_backup() {
    let scene = Scene::new();
    let post = scene.sns.post(&scene.bob, "x").wait().unwrap();
    let made = scene.sns.backup(scene.dir.path().join("b")).unwrap();
    let (status, secret) = {
        let data = scene.sns.data_dir().unwrap();
        (scene.sns.status(), data.secret().unwrap())
    };
    scene.sns.close();
    let again = scene.restore("b", "again", &Restore::new().keep_id(true));
    let now = again.status();
    assert_eq!(now.data_id, status.data_id);
    assert_eq!((now.applied, now.tail), (made.index, made.index + 1));
    assert_eq!(now.digest, status.digest);
    assert_eq!(again.applied(), made.seq);
    assert_ne!(again.data_dir().unwrap().secret().unwrap(), secret);
    let next = again.post(&scene.bob, "y").wait().unwrap();
    assert_eq!(next.id, Seq::new(post.id.index() + 1, 0));
}

#[test]
fn a_restored_feed_lives_on_like_any_other() {
    let scene = Scene::new();
    for n in 0..200 {
        scene
            .sns
            .post(&scene.bob, &format!("post {n}"))
            .wait()
            .unwrap();
    }
    scene.sns.backup(scene.dir.path().join("b")).unwrap();
    let again = scene.restore("b", "again", &Restore::new());
    let path = scene.dir.path().join("again");
    // A second program, a restart, snapshots and trimming, a view that is gone, another backup.
    let other = Sns::open(&path).unwrap();
    let post = again.post(&scene.bob, "new").wait().unwrap();
    let page = other
        .home(&scene.alice)
        .at_least(post.id)
        .limit(1)
        .page()
        .unwrap();
    assert_eq!(page.items, [post]);
    for _ in 0..3 {
        again.post(&scene.bob, "more").wait().unwrap();
        again.create_snapshot().unwrap();
    }
    let digest = again.status().digest;
    let second = again.backup(scene.dir.path().join("b2")).unwrap();
    assert_eq!(backup::verify(scene.dir.path().join("b2")).unwrap(), second);
    again.close();
    other.close();
    drop((again, other));
    std::fs::remove_dir_all(path.join("nodes")).unwrap();
    let rebuilt = Sns::open(&path).unwrap();
    assert_eq!(rebuilt.status().digest, digest);
    let mut stream = rebuilt
        .subscribe_with(&scene.alice, Subscribe::default())
        .unwrap();
    assert!(matches!(
        stream.next_blocking().unwrap().kind,
        EventKind::CaughtUp
    ));
}

#[test]
fn a_backup_holds_all_that_was_applied_when_it_was_asked_for() {
    let scene = Scene::new();
    for n in 0..60 {
        let post = scene.sns.post(&scene.bob, &format!("{n}")).wait().unwrap();
        let made = scene.sns.backup_to(&mut std::io::sink()).unwrap();
        assert_eq!((made.seq, made.index), (post.id, post.id.index()));
    }
}

#[test]
fn an_empty_feed_has_a_backup_too() {
    for keep in [false, true] {
        let dir = TempDir::new().unwrap();
        let sns = Sns::open(dir.path().join("feed")).unwrap();
        let made = sns.backup(dir.path().join("b")).unwrap();
        assert_eq!((made.index, made.users), (0, 0));
        let how = Restore::new().keep_id(keep);
        how.from_file(&dir.path().join("b"), &dir.path().join("again"))
            .unwrap();
        let again = Sns::open(dir.path().join("again")).unwrap();
        let alice = again.user("alice").unwrap();
        again.post(&alice, "first").wait().unwrap();
        assert_eq!(again.status().users, 1);
    }
}

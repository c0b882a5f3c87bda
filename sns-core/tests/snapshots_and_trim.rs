//! Snapshots bring a view back once the log was trimmed; damaged ones are never used.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is test code"
)]

#[path = "support/feed.rs"]
mod feed;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use feed::{all_posts, name, wait_until};
use sns_core::{ErrorKind, Reason, Settings, Sns, SnsBuilder, State, snapshots};

/// Small segments, so that trimming has something to trim.
fn builder(dir: &Path, node: &str) -> SnsBuilder {
    let mut settings = Settings::default();
    settings.segment_bytes = 64 * 1024;
    Sns::builder(dir).node(node).settings(settings)
}

/// Several segments of posts.
fn write_some(sns: &Sns, from: usize) {
    let user = sns.user("writer").unwrap();
    let pending: Vec<_> = (from..from + 150)
        .map(|n| sns.post(&user, &format!("{n} {}", "x".repeat(900))))
        .collect();
    for pending in pending {
        pending.wait().unwrap();
    }
}

/// A directory whose log was trimmed behind two snapshots, and the digest and posts at its end.
fn trimmed(dir: &Path) -> (String, usize) {
    let sns = builder(dir, "a").open().unwrap();
    for round in 0..3 {
        write_some(&sns, round * 150);
        sns.create_snapshot().unwrap();
    }
    write_some(&sns, 450);
    let digest = sns.status().digest;
    sns.close();
    assert_eq!(snapshot_files(dir).len(), 2, "two are kept");
    (digest, 600)
}

/// Newest first.
fn snapshot_files(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir.join("snapshots")).unwrap();
    let mut files: Vec<PathBuf> = files
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "snap"))
        .collect();
    files.sort();
    files.reverse();
    files
}

fn lose_view(dir: &Path, node: &str) {
    fs::remove_dir_all(dir.join("nodes").join(node).join("view")).unwrap();
}

fn flip(path: &Path, byte: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[byte] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_view_that_is_lost_after_a_trim_comes_back_from_the_newest_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let (digest, posts) = trimmed(dir.path());
    assert!(
        !dir.path().join("log/00000000000000000001.seg").exists(),
        "it was trimmed"
    );
    lose_view(dir.path(), "a");
    for node in ["a", "new"] {
        let sns = builder(dir.path(), node).open().unwrap();
        assert_eq!(sns.status().digest, digest);
        let all = all_posts(&sns, &name("writer"));
        let numbers = all
            .iter()
            .map(|post| post.text.as_str().split_once(' ').unwrap().0);
        assert!(numbers.eq((0..posts).map(|n| n.to_string()).collect::<Vec<_>>()));
    }
}

#[test]
fn a_view_that_is_missing_comes_from_a_snapshot_though_the_whole_log_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let sns = builder(dir.path(), "a").open().unwrap();
    write_some(&sns, 0);
    // One entry each.
    for _ in 0..20 {
        let user = name("writer");
        sns.post(&user, "a line of its own").wait().unwrap();
    }
    sns.create_snapshot().unwrap();
    let (digest, applied) = (sns.status().digest, sns.applied().index());
    sns.close();
    assert!(dir.path().join("log/00000000000000000001.seg").exists());
    let sns = builder(dir.path(), "new").open().unwrap();
    assert_eq!(sns.status().digest, digest);
    let read = sns.progress().applied_entries;
    assert!(read < applied / 2, "{read} of {applied} entries were read");
}

#[test]
fn when_the_newest_snapshot_is_damaged_the_older_one_serves() {
    let dir = tempfile::tempdir().unwrap();
    let (digest, posts) = trimmed(dir.path());
    let newest = &snapshot_files(dir.path())[0];
    let middle = fs::metadata(newest).unwrap().len() / 2;
    for byte in [3, usize::try_from(middle).unwrap()] {
        flip(newest, byte);
        assert_eq!(
            snapshots::verify(newest).unwrap_err().kind(),
            ErrorKind::Damaged
        );
        lose_view(dir.path(), "a");
        let sns = builder(dir.path(), "a").open().unwrap();
        assert_eq!(sns.status().digest, digest);
        assert_eq!(all_posts(&sns, &name("writer")).len(), posts);
        drop(sns);
        flip(newest, byte);
    }
    snapshots::verify(newest).unwrap();
    // Cut short, at any place.
    let bytes = fs::read(newest).unwrap();
    for length in [0, 40, 64, 70, bytes.len() - 1] {
        fs::write(newest, &bytes[..length]).unwrap();
        assert_eq!(
            snapshots::verify(newest).unwrap_err().kind(),
            ErrorKind::Damaged
        );
    }
}

#[test]
fn when_both_snapshots_are_damaged_nothing_is_served() {
    let dir = tempfile::tempdir().unwrap();
    trimmed(dir.path());
    for path in snapshot_files(dir.path()) {
        let middle = fs::metadata(&path).unwrap().len() / 2;
        flip(&path, usize::try_from(middle).unwrap());
    }
    // A view that is there goes on.
    drop(builder(dir.path(), "a").open().unwrap());
    lose_view(dir.path(), "a");
    for _ in 0..2 {
        let refused = builder(dir.path(), "a").open().unwrap_err();
        assert_eq!(refused.reason(), Reason::Damaged, "{refused}");
        assert!(refused.message().contains("snapshot"), "{refused}");
    }
}

#[test]
fn a_snapshot_that_is_made_while_writes_go_on_equals_a_replay() {
    let dir = tempfile::tempdir().unwrap();
    let sns = builder(dir.path(), "a").open().unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut from = 0;
            while !done.load(Ordering::Relaxed) {
                write_some(&sns, from);
                from += 150;
            }
        });
        wait_until("some posts", || sns.status().posts > 200);
        let info = sns.create_snapshot().unwrap();
        assert!(info.index > 0);
        done.store(true, Ordering::Relaxed);
    });
    // No trim with one snapshot: a replay of the whole log is possible, and must agree.
    let digest = sns.status().digest;
    drop(sns);
    let loaded = builder(dir.path(), "from-snapshot").open().unwrap();
    assert_eq!(loaded.status().digest, digest);
    drop(loaded);
    for path in snapshot_files(dir.path()) {
        fs::remove_file(path).unwrap();
    }
    let replayed = builder(dir.path(), "from-log").open().unwrap();
    assert_eq!(replayed.status().digest, digest);
}

#[test]
fn what_a_process_left_behind_that_died_over_a_snapshot_is_no_hindrance() {
    let dir = tempfile::tempdir().unwrap();
    let sns = builder(dir.path(), "a").open().unwrap();
    write_some(&sns, 0);
    let snapshots = dir.path().join("snapshots");
    fs::write(snapshots.join("lock"), "4711\n").unwrap();
    fs::write(snapshots.join(".snap-abc"), "half").unwrap();
    let first = sns.create_snapshot().unwrap();
    assert!(!snapshots.join(".snap-abc").exists());
    // One is made at a time.
    let lock = fs::File::open(snapshots.join("lock")).unwrap();
    lock.lock().unwrap();
    assert_eq!(
        sns.create_snapshot().unwrap_err().reason(),
        Reason::Overloaded
    );
    lock.unlock().unwrap();
    // The checkpoint alone is something new: two snapshots in a row are two.
    let second = sns.create_snapshot().unwrap();
    assert!(second.index > first.index);
}

#[test]
fn a_damaged_older_snapshot_keeps_the_log_from_being_trimmed() {
    let dir = tempfile::tempdir().unwrap();
    let sns = builder(dir.path(), "a").open().unwrap();
    write_some(&sns, 0);
    let first = sns.create_snapshot().unwrap();
    flip(&first.path, usize::try_from(first.bytes).unwrap() / 2);
    write_some(&sns, 150);
    sns.create_snapshot().unwrap();
    assert!(dir.path().join("log/00000000000000000001.seg").exists());
    // The next pair is good.
    write_some(&sns, 300);
    sns.create_snapshot().unwrap();
    assert!(!dir.path().join("log/00000000000000000001.seg").exists());
    assert!(!first.path.exists());
}

#[test]
fn a_replica_that_fell_behind_the_head_while_it_slept_loads_a_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let early = builder(dir.path(), "sleeper").open().unwrap();
    write_some(&early, 0);
    early.close();
    drop(early);
    let (digest, _) = trimmed(dir.path());
    let late = builder(dir.path(), "sleeper").open().unwrap();
    assert_eq!(
        (late.status().digest, late.status().state),
        (digest, State::Serving)
    );
}

#[test]
fn every_replica_compares_its_digest_at_a_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let a = builder(dir.path(), "a").open().unwrap();
    let b = builder(dir.path(), "b").open().unwrap();
    write_some(&a, 0);
    let info = b.create_snapshot().unwrap();
    wait_until("the checkpoint", || a.status().applied > info.index);
    assert_eq!(a.status().digest, b.status().digest);
    assert_eq!(a.status().state, State::Serving);
}

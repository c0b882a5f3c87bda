//! Damage is reported, never served and never silently cut off.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is test code"
)]

#[path = "support/feed.rs"]
mod feed;

use std::fs;
use std::path::{Path, PathBuf};

use feed::draw::Draw;
use feed::{all_posts, name, wait_until};
use sns_core::{Post, Reason, Sns, Username};

const SEGMENT: &str = "log/00000000000000000001.seg";

fn fill(sns: &Sns) {
    let users: Vec<Username> = (0..40)
        .map(|n| sns.user(&format!("user{n}")).unwrap())
        .collect();
    let mut pending = Vec::new();
    for a in &users {
        for b in &users[..10] {
            pending.push(sns.follow(a, b));
        }
    }
    for pending in pending {
        drop(pending.wait());
    }
    let posts: Vec<_> = (0..600)
        .map(|n| sns.post(&users[n % 10], &format!("{n} {}", "y".repeat(300))))
        .collect();
    for pending in posts {
        pending.wait().unwrap();
    }
}

/// All that can be read, to compare.
#[derive(Debug, PartialEq)]
struct Everything {
    users: Vec<Username>,
    posts: Vec<Vec<Post>>,
    homes: Vec<Vec<Post>>,
    following: Vec<usize>,
    followers: Vec<usize>,
}

fn everything(sns: &Sns) -> Everything {
    let page = sns.users().limit(200).page().unwrap();
    let users: Vec<Username> = page.items.iter().map(|user| user.username).collect();
    Everything {
        posts: users.iter().map(|user| all_posts(sns, user)).collect(),
        homes: users
            .iter()
            .map(|user| sns.home(user).limit(200).page().unwrap().items)
            .collect(),
        following: users
            .iter()
            .map(|user| sns.following(user).limit(200).page().unwrap().items.len())
            .collect(),
        followers: users
            .iter()
            .map(|user| sns.followers(user).limit(200).page().unwrap().items.len())
            .collect(),
        users,
    }
}

fn flip(path: &Path, byte: u64, bit: u64) {
    let mut bytes = fs::read(path).unwrap();
    bytes[usize::try_from(byte).unwrap()] ^= 1 << bit;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_flipped_bit_in_an_acknowledged_entry_is_refused_with_its_place() {
    let mut draw = Draw::new();
    let dir = tempfile::tempdir().unwrap();
    let sns = Sns::builder(dir.path()).node("a").open().unwrap();
    fill(&sns);
    let before = everything(&sns);
    sns.close();
    drop(sns);
    let segment = dir.path().join(SEGMENT);
    let length = fs::metadata(&segment).unwrap().len();
    for _ in 0..12 {
        let (byte, bit) = (draw.below(length), draw.below(8));
        flip(&segment, byte, bit);
        let kept = fs::read(&segment).unwrap();
        // Without a view too: nothing hides behind it.
        let refused = Sns::builder(dir.path()).node("a").open().unwrap_err();
        assert_eq!(refused.reason(), Reason::Damaged, "byte {byte}: {refused}");
        let words = refused.message();
        assert!(words.contains("00000000000000000001.seg"), "{words}");
        assert!(
            words.contains("byte ") && words.contains("entry "),
            "{words}"
        );
        assert!(fs::read(&segment).unwrap() == kept, "nothing is cut off");
        flip(&segment, byte, bit);
    }
    let sns = Sns::builder(dir.path()).node("a").open().unwrap();
    assert!(everything(&sns) == before);
}

#[test]
fn a_log_that_is_cut_short_is_refused_by_every_witness() {
    let dir = tempfile::tempdir().unwrap();
    let sns = Sns::builder(dir.path()).node("a").open().unwrap();
    fill(&sns);
    sns.close();
    drop(sns);
    let segment = dir.path().join(SEGMENT);
    let whole = fs::read(&segment).unwrap();
    fs::write(&segment, &whole[..whole.len() / 2]).unwrap();
    let refused = |how: &str| {
        let refused = Sns::builder(dir.path()).node("a").open().unwrap_err();
        assert_eq!(refused.reason(), Reason::Damaged, "{how}: {refused}");
        refused.message().to_owned()
    };
    let words = refused("commit");
    assert!(
        words.contains("byte ") && words.contains("entry "),
        "{words}"
    );
    // `commit` gone as well: what the node noted tells, then the view itself.
    fs::remove_file(dir.path().join("log/commit")).unwrap();
    let words = refused("the note");
    assert!(words.contains("view of a"), "{words}");
    assert!(
        fs::read(&segment).unwrap().len() == whole.len() / 2,
        "not even the torn rest goes"
    );
    fs::remove_file(dir.path().join("nodes/a/applied")).unwrap();
    let words = refused("the view");
    assert!(words.contains("view"), "{words}");
}

fn view_files(dir: &Path) -> Vec<PathBuf> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if fs::metadata(&path).unwrap().len() > 0 {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&dir.join("nodes/a/view"), &mut found);
    found.sort();
    found
}

#[test]
fn flipped_bits_in_the_view_give_right_answers_and_never_wrong_ones() {
    let mut draw = Draw::new();
    let dir = tempfile::tempdir().unwrap();
    let sns = Sns::builder(dir.path()).node("a").open().unwrap();
    fill(&sns);
    let before = everything(&sns);
    sns.close();
    drop(sns);
    let files: Vec<(PathBuf, Vec<u8>)> = view_files(dir.path())
        .into_iter()
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    let replica = Sns::builder(dir.path()).node("sound").open().unwrap();
    let writer = name("user1");
    for round in 0..14 {
        let (path, sound) = &files[usize::try_from(draw.below(files.len() as u64)).unwrap()];
        // The file of pages is mostly zeros behind what was written.
        let used = sound.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1;
        let mut bytes = sound.clone();
        let flips = 1 + draw.below(40);
        for _ in 0..flips {
            bytes[usize::try_from(draw.below(used)).unwrap()] ^= 1 << draw.below(8);
        }
        fs::write(path, bytes).unwrap();
        // As after a power cut, and as nobody expects it.
        if round % 2 == 0 {
            fs::write(dir.path().join("nodes/a/boot"), "another boot").unwrap();
        }
        println!("round {round}: {flips} flips in {}", path.display());
        let builder = Sns::builder(dir.path()).node("a").tiny_cache(10_000);
        let sns = builder.open().unwrap();
        assert!(everything(&sns) == before, "wrong answers");
        let post = sns.post(&writer, "after").wait().unwrap();
        let deleted = sns.delete(&writer, post.id).wait().unwrap();
        drop(replica.posts_of(&writer).at_least(deleted).page().unwrap());
        assert_eq!(sns.status().digest, replica.status().digest);
        drop(sns);
        // Back to the sound files: the rest comes from the log.
        let view = dir.path().join("nodes/a/view");
        fs::remove_dir_all(&view).unwrap();
        fs::create_dir_all(view.join("blobs")).unwrap();
        for (path, sound) in &files {
            fs::write(path, sound).unwrap();
        }
    }
}

#[test]
fn a_view_too_large_to_be_checked_first_is_found_out_by_the_scrub() {
    let mut draw = Draw::new();
    let dir = tempfile::tempdir().unwrap();
    let sns = Sns::builder(dir.path()).node("a").open().unwrap();
    fill(&sns);
    let (before, digest) = (everything(&sns), sns.status().digest);
    sns.close();
    drop(sns);
    // The files of pages, where what sled has written ends with the last byte that is not zero.
    let files = view_files(dir.path());
    let pages = files.iter().filter(|path| !path.ends_with("conf"));
    let mut flipped = 0;
    for path in pages {
        let bytes = fs::read(path).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1;
        for _ in 0..5 {
            flip(path, draw.below(used), draw.below(8));
            flipped += 1;
        }
    }
    assert!(flipped > 0);
    let sns = Sns::builder(dir.path())
        .node("a")
        .check_bytes(0)
        .scrub_rest(1)
        .open()
        .unwrap();
    wait_until("the right answers", || everything(&sns) == before);
    assert_eq!(sns.status().digest, digest);
}

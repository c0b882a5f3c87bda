//! Entries from somebody who can write the log and means no good. What breaks a rule stops the
//! replica with the number of the entry; what keeps to the form has the effect of any other write.
//! The log itself stays whole, and nothing that was acknowledged is lost.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::{Path, PathBuf};

use prost::Message as _;
use sns_core::log::Log as _;
use sns_core::log::dir::{DirLog, DirLogOptions};
use sns_core::{ErrorKind, Sns};
use sns_proto::log::v1::command::Kind;
use sns_proto::log::v1::{Checkpoint, Command, CreatePost, CreateUser, DeletePost, Entry, Follow};

/// A feed in which alice has posted once.
fn made() -> (tempfile::TempDir, PathBuf, u64) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let sns = Sns::open(&data).unwrap();
    let alice = sns.user("alice").unwrap();
    let post = sns.post(&alice, "hello").wait().unwrap();
    (dir, data, post.id.as_u64())
}

fn command(kind: Kind) -> Command {
    Command {
        kind: Some(kind),
        ..Command::default()
    }
}

fn entry(commands: Vec<Command>) -> Entry {
    Entry {
        min_version: 1,
        writer: "evil\u{1b}[2J\n-master".into(),
        batch: vec![7; 16],
        clock_ms: 1,
        commands,
    }
}

fn post(user: &str, text: &str) -> Command {
    command(Kind::CreatePost(CreatePost {
        user: user.into(),
        text: text.into(),
    }))
}

fn append(data: &Path, bytes: &[u8]) -> u64 {
    let log = DirLog::open(&data.join("log"), DirLogOptions::default()).unwrap();
    log.append(bytes).unwrap()
}

fn texts(sns: &Sns, user: &str) -> Vec<String> {
    let user = sns.user(user).unwrap();
    let page = sns.posts_of(&user).page().unwrap();
    page.items
        .iter()
        .map(|post| post.text.to_string())
        .collect()
}

#[test]
fn an_entry_that_breaks_a_rule_stops_the_replica_and_is_named() {
    let user = |name: &str| command(Kind::CreateUser(CreateUser { user: name.into() }));
    let with_id = Command {
        request_id: vec![1; 15],
        ..user("bob")
    };
    let digest = command(Kind::Checkpoint(Checkpoint {
        index: 1,
        digest: vec![1; 3],
        digest_version: 1,
    }));
    let newer = Entry {
        min_version: u32::MAX,
        ..entry(vec![user("bob")])
    };
    let batch = Entry {
        batch: vec![1; 3],
        ..entry(vec![user("bob")])
    };
    for (name, bad) in [
        ("a Cyrillic a", entry(vec![user("\u{430}lice")])),
        ("an escape", entry(vec![user("\u{1b}]0;x\u{7}")])),
        ("no name", entry(vec![user("")])),
        ("a long name", entry(vec![user(&"a".repeat(33))])),
        ("a path", entry(vec![user("../../etc/passwd")])),
        ("a NUL", entry(vec![post("alice", "a\0b")])),
        ("no text", entry(vec![post("alice", "")])),
        (
            "a long text",
            entry(vec![post("alice", &"x".repeat(100_000))]),
        ),
        (
            "many letters",
            entry(vec![post("alice", &"x".repeat(1_001))]),
        ),
        ("5,000 commands", entry(vec![user("bob"); 5_000])),
        ("no command", entry(Vec::new())),
        ("an unknown command", entry(vec![Command::default()])),
        ("half a request id", entry(vec![with_id])),
        ("half a digest", entry(vec![digest])),
        ("half a batch id", batch),
        ("a version of the future", newer),
    ] {
        let (_dir, data, _) = made();
        let index = append(&data, &bad.encode_to_vec());
        let refused = Sns::open(&data).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Damaged, "{name}: {refused}");
        let words = refused.message();
        assert!(words.contains(&format!("entry {index}")), "{name}: {words}");
        assert!(!words.contains(char::is_control), "{name}: {words:?}");
        // The log is whole: all that was acknowledged is in it.
        let report = DirLog::verify(&data.join("log")).unwrap();
        assert_eq!(report.damage, None, "{name}");
        assert_eq!(report.tail, index + 1, "{name}");
    }
}

#[test]
fn bytes_that_are_no_entry_stop_the_replica_and_are_named() {
    for bad in [
        &b"\xff\xff\xff"[..],
        b"\x0a\xff\xff\xff\xff\x0f",
        b"\x12\x02\xc0\xaf",
    ] {
        let (_dir, data, _) = made();
        let index = append(&data, bad);
        let refused = Sns::open(&data).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Damaged);
        assert!(
            refused.message().contains(&format!("entry {index}")),
            "{refused}"
        );
    }
}

#[test]
fn an_entry_longer_than_any_is_not_taken_and_nothing_is_written() {
    let (_dir, data, _) = made();
    let log = DirLog::open(&data.join("log"), DirLogOptions::default()).unwrap();
    let tail = log.tail().unwrap();
    let huge = entry(vec![post("alice", &"x".repeat(10 << 20))]).encode_to_vec();
    log.append(&huge).unwrap_err();
    assert_eq!(log.tail().unwrap(), tail);
    drop(log);
    assert_eq!(texts(&Sns::open(&data).unwrap(), "alice"), ["hello"]);
}

#[test]
fn the_rules_hold_for_entries_of_anybody() {
    let (_dir, data, id) = made();
    let follow = |user: &str, followee: &str| {
        command(Kind::Follow(Follow {
            user: user.into(),
            followee: followee.into(),
        }))
    };
    let delete = command(Kind::DeletePost(DeletePost {
        user: "mallory".into(),
        id,
    }));
    let mallory = command(Kind::CreateUser(CreateUser {
        user: "mallory".into(),
    }));
    let commands = vec![
        mallory,
        follow("alice", "alice"),
        follow("alice", "nobody"),
        follow("nobody", "alice"),
        post("nobody", "from nobody"),
        // Not hers.
        delete,
    ];
    append(&data, &entry(commands).encode_to_vec());
    let sns = Sns::open(&data).unwrap();
    assert_eq!(texts(&sns, "alice"), ["hello"]);
    assert_eq!(sns.status().follows, 0);
    assert_eq!((sns.status().users, sns.status().posts), (2, 1));
}

#[test]
fn a_clock_that_is_out_of_its_mind_does_not_move_the_time_of_the_log() {
    let (_dir, data, _) = made();
    let end = Entry {
        clock_ms: u64::MAX,
        ..entry(vec![post("alice", "from the end of time")])
    };
    append(&data, &end.encode_to_vec());
    let sns = Sns::open(&data).unwrap();
    let alice = sns.user("alice").unwrap();
    sns.post(&alice, "after").wait().unwrap();
    // The year 2100.
    let soon = 4_102_444_800_000;
    for post in sns.posts_of(&alice).page().unwrap().items {
        assert!(post.created_at_ms < soon, "{post:?}");
    }
    drop(sns);
    // One that is wrong and could be right is believed, as far as the wire can say it: log time never
    // goes back.
    let far = Entry {
        clock_ms: sns_core::limits::CLOCK_MS_MAX,
        ..entry(vec![post("alice", "from the year 9999")])
    };
    append(&data, &far.encode_to_vec());
    let sns = Sns::open(&data).unwrap();
    sns.post(&alice, "still").wait().unwrap();
    let newest = &sns.posts_of(&alice).page().unwrap().items[0];
    assert_eq!(newest.text.as_str(), "still");
    assert!(newest.created_at_ms > soon);
}

#[test]
fn a_false_checkpoint_makes_a_replica_doubt_itself_and_loses_nothing() {
    let (_dir, data, _) = made();
    let tail = DirLog::verify(&data.join("log")).unwrap().tail;
    let lie = command(Kind::Checkpoint(Checkpoint {
        index: tail - 1,
        digest: vec![1; 16],
        digest_version: 1,
    }));
    append(&data, &entry(vec![lie]).encode_to_vec());
    match Sns::open(&data) {
        Ok(sns) => assert_eq!(texts(&sns, "alice"), ["hello"]),
        Err(refused) => assert_eq!(refused.kind(), ErrorKind::Damaged, "{refused}"),
    }
    assert_eq!(DirLog::verify(&data.join("log")).unwrap().damage, None);
}

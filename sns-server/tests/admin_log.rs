//! `log dump`, `log verify`, `snapshot create`, `verify` and `list`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/shell.rs"]
mod shell;

use std::path::{Path, PathBuf};

use shell::run;
use sns_core::{RequestId, Sns};
use tempfile::TempDir;

/// Data with two users, a follow and ten posts.
fn data() -> TempDir {
    let dir = TempDir::new().unwrap();
    let sns = Sns::open(dir.path()).unwrap();
    let (alice, bob) = (sns.user("alice").unwrap(), sns.user("bob").unwrap());
    let id = RequestId::from_bytes([7; 16]);
    sns.write()
        .request_id(id)
        .follow(&alice, &bob)
        .wait()
        .unwrap();
    for n in 0..10 {
        sns.post(&bob, &format!("post {n}\n")).wait().unwrap();
    }
    sns.close();
    dir
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect()
}

/// Changes the byte in the middle of a file.
fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 0x40;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_dump_has_every_entry_in_order_one_a_line() {
    let dir = data();
    let entries = run("log dump", dir.path(), &[]).ok().objects();
    let indexes: Vec<u64> = entries
        .iter()
        .map(|e| e["index"].as_u64().unwrap())
        .collect();
    assert_eq!(indexes, (1..=indexes.len() as u64).collect::<Vec<_>>());
    let commands: Vec<_> = entries
        .iter()
        .flat_map(|entry| entry["commands"].as_array().unwrap())
        .collect();
    let kinds: Vec<&str> = commands
        .iter()
        .map(|c| c["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds[..3], ["create_user", "create_user", "follow"]);
    assert_eq!(kinds[3..], ["create_post"; 10]);
    assert_eq!(commands[2]["followee"], "bob");
    assert_eq!(
        commands[2]["request_id"],
        "07070707-0707-0707-0707-070707070707"
    );
    assert_eq!(commands[3]["text"], "post 0\n");
    assert_eq!(entries[0]["writer"], "local-0");
}

#[test]
fn a_sound_log_is_said_to_be_and_a_damaged_one_has_exit_code_9() {
    let dir = data();
    let sound = run("log verify", dir.path(), &[]).ok().summary();
    assert_eq!(sound["entries"], 13, "{sound}");
    assert!(sound["damage"].is_null());

    let segment = files(&dir.path().join("log"), "seg").remove(0);
    // Into the frames, whatever room the segment has behind them.
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(6).position(|part| part == b"post 5").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let damaged = run("log verify", dir.path(), &[]);
    assert_eq!(damaged.code, 9, "{damaged:?}");
    assert_eq!(damaged.error()["reason"], "DAMAGED");
    assert_eq!(damaged.summary()["damage"]["index"], 9, "{damaged:?}");
    // All before the damage is printed.
    let dump = run("log dump", dir.path(), &[]);
    assert_eq!(dump.code, 9, "{dump:?}");
    assert_eq!(dump.objects().len(), 8);
}

#[test]
fn snapshots_are_made_listed_and_checked() {
    let dir = data();
    let none = run("snapshot list", dir.path(), &[]).ok().objects();
    assert_eq!((none.len(), &none[0]["snapshots"]), (1, &0.into()));
    let made = run("snapshot create", dir.path(), &[]).ok().summary();
    assert_eq!(made["index"], 13, "{made}");
    let digest = made["digest"].as_str().unwrap();
    assert_eq!(digest.len(), 32);
    for words in ["snapshot list", "snapshot verify"] {
        let lines = run(words, dir.path(), &[]).ok().objects();
        assert_eq!(lines[0], made, "{words}");
        let summary = &lines[1];
        assert_eq!(
            (&summary["good"], &summary["bad"]),
            (&1.into(), &0.into()),
            "{words}"
        );
    }
    flip(&files(&dir.path().join("snapshots"), "snap")[0]);
    let damaged = run("snapshot verify", dir.path(), &[]);
    assert_eq!(
        (damaged.code, &damaged.summary()["bad"]),
        (9, &1.into()),
        "{damaged:?}"
    );
    // What the log holds is not lost with it.
    let sns = Sns::open(dir.path()).unwrap();
    assert_eq!(sns.status().posts, 10);
}

#[test]
fn where_there_is_no_data_none_is_made() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("mistyped");
    for words in [
        "log dump",
        "log verify",
        "snapshot create",
        "snapshot verify",
        "snapshot list",
    ] {
        let ended = run(words, &data, &[]);
        assert_eq!(ended.code, 2, "{words}: {ended:?}");
        assert_eq!(ended.error()["kind"], "invalid", "{words}");
        assert!(!data.exists(), "{words}");
    }
}

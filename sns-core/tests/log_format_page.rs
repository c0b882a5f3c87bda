//! `docs/log-format.md` is enough to read a log: `python/read_log.py`, written from that page alone,
//! reads what this crate wrote, and finds the damage that this crate finds.
//!
//! Python missing: the test says so and passes on a developer's machine; with `CI=true` it fails.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "this is test code"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use prost::Message as _;
use serde_json::{Map, Value, json};
use sns_core::log::Log as _;
use sns_core::log::dir::{DirLog, DirLogOptions};
use sns_core::{PasswordHash, RequestId, Settings, Sns};
use sns_proto::log::v1 as wire;
use sns_proto::log::v1::command::Kind;

/// Runs the reader of the page; `None` where there is no Python.
fn read_by_the_page(data: &Path) -> Option<Output> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/read_log.py");
    let python = Command::new("python3").arg(script).arg(data).output();
    match python {
        Ok(output) => Some(output),
        Err(error) => {
            let ci = std::env::var("CI").is_ok_and(|value| value == "true");
            assert!(!ci, "no python3: {error}");
            eprintln!("SKIPPED: no python3, docs/log-format.md was NOT tested: {error}");
            None
        }
    }
}

fn lines(output: &Output) -> Vec<Value> {
    let said = str::from_utf8(&output.stdout).unwrap().lines();
    said.map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A log with everything in it: all kinds of commands, several segments, a trimmed head.
fn fill(data: &Path) {
    let mut settings = Settings::default();
    settings.segment_bytes = 64 * 1024;
    let sns = Sns::builder(data)
        .node("writer")
        .settings(settings)
        .open()
        .unwrap();
    let (alice, bob) = (sns.user("alice").unwrap(), sns.user("bob").unwrap());
    let carol = sns_core::Username::parse("carol").unwrap();
    let write_all = || {
        let mut under_way = Vec::new();
        for n in 0..400 {
            let text = format!("{n} \u{1F600} \"quoted\" \\ \u{7f} line\n{}", "x".repeat(n));
            under_way.push(sns.post(&bob, &text));
            // Entries of one command and of many.
            if n % 20 == 0 {
                let done = under_way.drain(..).map(|post| post.wait().unwrap().id);
                let done: Vec<_> = done.collect();
                sns.delete(&bob, done[done.len() - 1]).wait().unwrap();
            }
        }
        for post in under_way {
            post.wait().unwrap();
        }
    };
    for _ in 0..3 {
        write_all();
        sns.create_snapshot().unwrap();
    }
    // Behind the last snapshot, so that none of these is trimmed.
    sns.follow(&alice, &bob).wait().unwrap();
    sns.unfollow(&alice, &bob).wait().unwrap();
    let id = RequestId::parse("6F1C8A58-31A5-4A5E-9F0B-2F6F2F0A9D11").unwrap();
    sns.write()
        .request_id(id)
        .follow(&bob, &alice)
        .wait()
        .unwrap();
    sns.write()
        .forget()
        .post(&alice, "not remembered")
        .wait()
        .unwrap();
    let hash = PasswordHash::new("$argon2id$secret").unwrap();
    sns.write()
        .create_account(&carol, &hash, true)
        .wait()
        .unwrap();
    sns.write().set_password(&carol, &hash).wait().unwrap();
    sns.write().revoke_tokens(&carol).wait().unwrap();
    sns.create_snapshot().unwrap();
    write_all();
    sns.close();
}

fn open(data: &Path) -> DirLog {
    DirLog::open(&data.join("log"), DirLogOptions::default().create(false)).unwrap()
}

/// What this crate reads, as `sns-server log dump` shows it.
fn read_by_the_crate(data: &Path) -> Vec<Value> {
    let log = open(data);
    let (mut next, tail) = (log.head().unwrap(), log.tail().unwrap());
    let mut entries = Vec::new();
    while next < tail {
        for record in log.read(next, 1 << 20).unwrap() {
            next = record.index + 1;
            let entry = wire::Entry::decode(record.payload.as_slice()).unwrap();
            let commands = entry.commands.iter().enumerate();
            let commands: Vec<Value> = commands
                .map(|(slot, command)| shown((record.index << 16) + slot as u64, command))
                .collect();
            entries.push(json!({
                "index": record.index,
                "crc": format!("{:08x}", record.crc),
                "bytes": record.payload.len(),
                "writer": entry.writer,
                "clock_ms": entry.clock_ms,
                "batch": hex(&entry.batch),
                "min_version": entry.min_version,
                "commands": commands,
            }));
        }
    }
    entries
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn shown(seq: u64, command: &wire::Command) -> Value {
    let hidden = "(hidden)";
    let (kind, fields) = match command.kind.as_ref().unwrap() {
        Kind::CreateUser(c) => ("create_user", json!({"user": c.user})),
        Kind::Follow(c) => ("follow", json!({"user": c.user, "followee": c.followee})),
        Kind::Unfollow(c) => ("unfollow", json!({"user": c.user, "followee": c.followee})),
        Kind::CreatePost(c) => ("create_post", json!({"user": c.user, "text": c.text})),
        Kind::DeletePost(c) => ("delete_post", json!({"user": c.user, "id": c.id})),
        Kind::CreateAccount(c) => (
            "create_account",
            json!({"user": c.user, "password_hash": hidden, "claim": c.claim}),
        ),
        Kind::SetPassword(c) => (
            "set_password",
            json!({"user": c.user, "password_hash": hidden}),
        ),
        Kind::RevokeTokens(c) => ("revoke_tokens", json!({"user": c.user})),
        Kind::Checkpoint(c) => (
            "checkpoint",
            json!({"index": c.index, "digest": hex(&c.digest), "digest_version": c.digest_version}),
        ),
    };
    let id = <[u8; 16]>::try_from(command.request_id.as_slice());
    let mut object = Map::from_iter([("seq".to_owned(), json!(seq)), ("kind".into(), json!(kind))]);
    let Value::Object(fields) = fields else {
        unreachable!()
    };
    object.extend(fields);
    let id = id.ok().map(|id| RequestId::from_bytes(id).to_string());
    object.insert("request_id".into(), json!(id));
    object.insert("seen".into(), json!(command.seen));
    object.into()
}

/// The segment that holds the newest entry.
fn last_segment(data: &Path) -> PathBuf {
    let names = fs::read_dir(data.join("log")).unwrap();
    let names = names.map(|entry| entry.unwrap().path());
    names
        .filter(|path| path.extension().is_some_and(|e| e == "seg"))
        .max()
        .unwrap()
}

#[test]
fn a_reader_made_from_the_page_reads_what_this_crate_reads() {
    let data = tempfile::tempdir().unwrap();
    fill(data.path());
    let Some(output) = read_by_the_page(data.path()) else {
        return;
    };
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complained}");
    let (by_page, by_crate) = (lines(&output), read_by_the_crate(data.path()));
    assert!(
        by_crate.len() > 20 && by_crate[0]["index"].as_u64() > Some(1),
        "trimmed"
    );
    assert_eq!(by_page.len(), by_crate.len());
    for (page, own) in by_page.iter().zip(&by_crate) {
        assert_eq!(page, own);
    }
    let commands = by_page
        .iter()
        .flat_map(|entry| entry["commands"].as_array().unwrap());
    let kinds: std::collections::BTreeSet<&str> = commands
        .map(|command| command["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds.len(),
        8,
        "all but create_user, which is trimmed: {kinds:?}"
    );
    assert!(!String::from_utf8_lossy(&output.stdout).contains("argon2id"));
}

#[test]
fn a_restored_log_is_read_too_and_one_that_is_being_filled_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let (data, file) = (place.path().join("restored"), place.path().join("backup"));
    let original = Sns::open(place.path().join("original")).unwrap();
    let alice = original.user("alice").unwrap();
    original.post(&alice, "before").wait().unwrap();
    original.backup(&file).unwrap();
    sns_core::backup::restore(&file, &data).unwrap();
    let restored = Sns::open(&data).unwrap();
    let post = restored.post(&alice, "after").wait().unwrap();
    restored.close();
    drop(restored);
    let Some(output) = read_by_the_page(&data) else {
        return;
    };
    let by_page = lines(&output);
    assert_eq!(by_page, read_by_the_crate(&data));
    let last = by_page.last().unwrap();
    assert_eq!(last["index"], post.id.index());
    assert!(by_page[0]["index"].as_u64() > Some(1), "it begins later");
    assert_eq!(last["commands"][0]["text"], "after");
    fs::write(data.join("restoring"), "").unwrap();
    let refused = read_by_the_page(&data).unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(refused.stdout.is_empty());
}

#[test]
fn what_is_written_and_not_durable_is_not_read() {
    let data = tempfile::tempdir().unwrap();
    fill(data.path());
    let Some(before) = read_by_the_page(data.path()) else {
        return;
    };
    // A torn frame, as a power cut leaves it; then a rest of zeros.
    let path = last_segment(data.path());
    let good = fs::read(&path).unwrap();
    for rest in [&good[60..good.len() - 1], b"\xffSNf", &[0; 100]] {
        fs::write(&path, [&good, rest].concat()).unwrap();
        let output = read_by_the_page(data.path()).unwrap();
        assert!(output.status.success());
        assert_eq!(output.stdout, before.stdout);
    }
}

#[test]
fn what_was_durable_and_is_changed_or_gone_is_reported() {
    let data = tempfile::tempdir().unwrap();
    fill(data.path());
    let log = data.path().join("log");
    let damaged = |what: &str| -> bool {
        let Some(output) = read_by_the_page(data.path()) else {
            return false;
        };
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(9), "{what}: {said}");
        assert!(said.starts_with("damaged: "), "{what}: {said}");
        true
    };
    let path = last_segment(data.path());
    let good = fs::read(&path).unwrap();
    for at in [
        0,
        9,
        13,
        17,
        33,
        41,
        57,
        60,
        65,
        70,
        74,
        78,
        86,
        95,
        good.len() - 1,
    ] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, bad).unwrap();
        if !damaged(&format!("a bit at byte {at}")) {
            return;
        }
    }
    fs::write(&path, &good[..good.len() - 1]).unwrap();
    damaged("cut off");
    fs::remove_file(&path).unwrap();
    damaged("a missing segment");
    fs::write(&path, &good).unwrap();
    for record in ["commit", "head"] {
        let whole = fs::read(log.join(record)).unwrap();
        let mut bad = whole.clone();
        bad[25] ^= 1;
        fs::write(log.join(record), bad).unwrap();
        damaged(record);
        fs::write(log.join(record), whole).unwrap();
    }
    // All is as it was: the crate and the page read it again.
    let output = read_by_the_page(data.path()).unwrap();
    assert_eq!(lines(&output), read_by_the_crate(data.path()));
}

//! `sns export`: what is one's own, by the ordinary calls of a real service.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use sns_client::{Client, Options};
use support::cluster::{Cluster, PROGRAM, run};

#[path = "support"]
mod support {
    pub(crate) mod cluster;
}

fn sns(url: &str, words: &[&str]) -> Output {
    // Built with all other programs by `cargo test`; alone: `cargo build -p sns-client`.
    let sns = Path::new(PROGRAM).with_file_name("sns");
    Command::new(sns)
        .args(words)
        .env_clear()
        .env("XDG_CONFIG_HOME", "/nonexistent")
        .env("SNS_ROUTER", url)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn lines(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_of_ones_own_is_there_and_nothing_else() {
    let cluster = Cluster::start(1);
    let client = async |name: &str| {
        let options = Options::new(name).routers([cluster.url.clone()]);
        Client::connect(options).await.unwrap()
    };
    let (alice, bob, carol) = (
        client("alice").await,
        client("bob").await,
        client("carol").await,
    );
    bob.post("not hers").await.unwrap();
    alice.follow("bob").await.unwrap();
    carol.follow("alice").await.unwrap();
    let odd = "two\nlines, \u{202e}turned, \"quoted\" 😀 \u{1b}[31m";
    let first = alice.post(odd).await.unwrap();
    // More than two pages.
    for n in 0..420 {
        alice.post(format!("post {n}")).await.unwrap();
    }
    let gone = alice.post("gone").await.unwrap();
    alice.delete(gone.id).await.unwrap();

    let exported = sns(&cluster.url, &["-u", "alice", "export"]);
    assert!(exported.status.success(), "{exported:?}");
    let found = lines(&exported.stdout);
    assert_eq!(
        (&found[0]["sns_export"], &found[0]["account"]),
        (&1.into(), &"alice".into())
    );
    assert!(found[0]["seq"].as_u64().unwrap() > gone.id.get());
    assert_eq!(
        (&found[1]["kind"], &found[1]["username"]),
        (&"user".into(), &"alice".into())
    );
    assert!(found[1]["created_at"].as_str().unwrap().ends_with('Z'));
    let follow = |line: &Value, user: &str, other: &str| {
        assert_eq!(
            *line,
            serde_json::json!({"kind": "follow", "username": user, "follows": other})
        );
    };
    follow(&found[2], "alice", "bob");
    follow(&found[3], "carol", "alice");
    let posts: Vec<&Value> = found.iter().filter(|line| line["kind"] == "post").collect();
    assert_eq!(posts.len(), 421);
    assert!(posts.is_sorted_by(|a, b| a["id"].as_u64() > b["id"].as_u64()));
    assert!(posts.iter().all(|post| post["author"] == "alice"));
    let last = posts.last().unwrap();
    assert_eq!(
        (last["id"].as_u64(), last["text"].as_str()),
        (Some(first.id.get()), Some(odd))
    );
    let end = serde_json::json!({"kind": "end", "users": 1, "follows": 2, "posts": 421});
    assert_eq!(*found.last().unwrap(), end);
    // What troubles a terminal is escaped.
    assert!(!String::from_utf8_lossy(&exported.stdout).contains(['\u{1b}', '\u{202e}']));

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mine");
    let path = file.to_str().unwrap();
    let words = ["-u", "alice", "export", "--out", path, "--json"];
    let made = sns(&cluster.url, &words);
    assert!(made.status.success(), "{made:?}");
    assert_eq!(lines(&made.stdout)[0]["posts"], 421);
    assert_eq!(lines(&std::fs::read(&file).unwrap())[1..], found[1..]);
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(sns(&cluster.url, &words).status.code(), Some(2));
    assert!(
        sns(&cluster.url, &[&words[..], &["--force"]].concat())
            .status
            .success()
    );
    // It is no feed, and said not to be one.
    let data = dir.path().join("data");
    let refused = run(&["import", "--data", data.to_str().unwrap(), "--all", path]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("one account"));
}

//! Backups and a log on NATS JetStream: of a cluster, and onto one.
#![cfg(feature = "nats")]
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "support/shell.rs"]
mod shell;

use std::process::{Command, Stdio};

use serde_json::Value;
use shell::{Ended, run};
use sns_core::{Sns, Username};
use sns_natsd::{Servers, Settings};

const PROGRAM: &str = env!("CARGO_BIN_EXE_sns-server");

fn plain(words: &[&str]) -> Value {
    let mut command = Command::new(PROGRAM);
    let command = command.args(words).arg("--json").stdin(Stdio::null());
    Ended::of(command.env("SNS_TRACE", "error").output().unwrap())
        .ok()
        .summary()
}

#[test]
fn a_backup_of_a_directory_goes_on_in_a_cluster_and_one_of_a_cluster_in_a_directory() {
    if !sns_natsd::is_here() {
        return;
    }
    let nats = Servers::start(&Settings {
        servers: 1,
        ..Settings::default()
    })
    .unwrap();
    let log = nats.urls().join(",");
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let alice = Username::parse("alice").unwrap();
    let sns = Sns::open(path("one")).unwrap();
    sns.create_user(&alice).wait().unwrap();
    for n in 0..20 {
        sns.post(&alice, &format!("post {n}")).wait().unwrap();
    }
    let before = sns.home(&alice).limit(200).page().unwrap().items;
    sns.close();
    drop(sns);
    let weak = "--accept-weaker-durability";
    let made = plain(&[
        "backup",
        "create",
        "--data",
        &path("one"),
        "--out",
        &path("b"),
    ]);
    let restored = plain(&["backup", "restore", &path("b"), "--data", &path("two")]);
    // The log begins far behind the backup, and holds no entry yet.
    let copied = plain(&["log", "copy", "--from", &path("two"), "--to", &log, weak]);
    assert_eq!(copied["same"], true, "{copied}");
    assert_eq!(copied["first"], restored["first"]);
    assert_eq!(copied["digest"]["to"], made["digest"]);

    // The cluster goes on from there, and is backed up in its turn.
    std::fs::write(
        path("posts"),
        "{\"author\":\"alice\",\"text\":\"on the cluster\"}\n",
    )
    .unwrap();
    let flags = ["--log", &log, weak];
    let views = dir.path().join("views");
    let (posts, c, e) = (path("posts"), path("c"), path("e"));
    let words = [&flags[..], &["--posts", &posts]].concat();
    run("import", &views, &words).ok();
    let words = [&flags[..], &["--out", &c]].concat();
    let second = run("backup create", &views, &words).ok().summary();
    assert_eq!(second["index"], restored["first"]);
    assert_eq!(second["data_id"], restored["data_id"]);
    plain(&["backup", "restore", &path("c"), "--data", &path("three")]);
    let three = Sns::open(path("three")).unwrap();
    let after = three.home(&alice).limit(200).page().unwrap().items;
    assert_eq!(after[0].text.as_str(), "on the cluster");
    assert_eq!(after[1..], before);
    let export = run("export", &views, &[&flags[..], &["--out", &e]].concat());
    assert_eq!(export.ok().summary()["posts"], 21);
}

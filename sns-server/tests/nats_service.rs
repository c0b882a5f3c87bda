//! The service with its log on a NATS cluster, as an operator runs it.
#![cfg(feature = "nats")]
#![allow(clippy::unwrap_used, reason = "a test: helpers outside #[test] too")]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/posters.rs"]
mod posters;

use std::path::Path;
use std::time::Duration;

use cluster::{Cluster, leftovers, pause, rows, run, signal, stderr, until};
use posters::Posters;
use rustix::process::Signal;
use serde_json::Value;
use sns_natsd::{Servers, Settings};

fn servers(count: usize) -> Servers {
    let settings = Settings {
        servers: count,
        ..Settings::default()
    };
    Servers::start(&settings).unwrap()
}

fn start(log: &str, flags: &[&str]) -> Cluster {
    let flags = [&["--log", log], flags].concat();
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::spawn_with(dir, 2, "127.0.0.1:0", &flags);
    cluster.greeting();
    cluster
}

/// Runs a command that must succeed; the objects that it prints.
fn objects(args: &[&str]) -> Vec<Value> {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    rows(&output)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_machines_serve_one_log_while_servers_of_both_kinds_die() {
    if !sns_natsd::is_here() {
        return;
    }
    let mut nats = servers(3);
    let log = nats.urls().join(",");
    // Two data directories are as good as two machines: nothing is shared but the cluster.
    let (one, two) = (start(&log, &[]), start(&log, &[]));
    one.settled();
    two.settled();
    let (here, there) = (Posters::start(&one.url, 2), Posters::start(&two.url, 2));
    // As on a second machine: users are others, the log is one.
    for (round, node) in ["a-master", "b-slave"].into_iter().enumerate() {
        let old = one.pid(node);
        signal(old, Signal::KILL);
        nats.kill(round).unwrap();
        one.until_replaced(node, old);
        nats.start_again(round).unwrap();
        let before = (here.acknowledged(), there.acknowledged());
        until("posts go on at both", || {
            (here.acknowledged() > before.0 + 10 && there.acknowledged() > before.1 + 10)
                .then_some(())
        });
    }
    // The posts of both are the same users'; each poster names its own, so they are read apart.
    here.enough();
    there.enough();
    pause(Duration::from_millis(200));
    let digests = |cluster: &Cluster| -> Option<Vec<String>> {
        let nodes = cluster.status();
        let of = |row: &Value| Some(format!("{} {}", row["applied"], row["digest"]));
        let all: Vec<String> = nodes[..4].iter().filter_map(of).collect();
        all.windows(2).all(|two| two[0] == two[1]).then_some(all)
    };
    until("all eight replicas are the same", || {
        (digests(&one)? == digests(&two)?).then_some(())
    });
    assert!(here.acknowledged() > 0 && there.acknowledged() > 0);
    let verified = objects(&["log", "verify", "--json", "--log", &log]);
    assert!(verified[0]["damage"].is_null(), "{verified:?}");
    until("all is well, and said to be", || {
        let status = one.status();
        let reasons = status[..4].iter().map(|row| &row["reason"]);
        reasons.into_iter().all(Value::is_null).then_some(())
    });
}

#[test]
fn a_weak_cluster_is_refused_and_shown_when_it_is_accepted() {
    if !sns_natsd::is_here() {
        return;
    }
    let nats = servers(1);
    let log = nats.urls().join(",");
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let refused = run(&["up", "--data", data.to_str().unwrap(), "--log", &log]);
    assert_eq!(refused.status.code(), Some(2));
    let why = stderr(&refused);
    assert!(
        why.contains("one replica") && why.contains("--accept-weaker-durability"),
        "{why}"
    );
    assert!(leftovers(&data).is_empty());
    let weak = "--accept-weaker-durability";
    let cluster = start(&log, &[weak]);
    let status = cluster.status();
    let reason = status[0]["reason"].as_str().unwrap();
    assert!(reason.contains("one replica"), "{reason}");
    // Snapshots in the cluster, or in a directory that all machines see.
    let data = cluster.data_arg();
    let posts = dir.path().join("posts");
    std::fs::write(&posts, "{\"author\":\"alice\",\"text\":\"hello\"}\n").unwrap();
    let of_log = ["--log", &log, weak];
    let posts = ["--posts", posts.to_str().unwrap()];
    objects(&[&["import", "--json", "--data", &data], &posts[..], &of_log].concat());
    let shared = dir.path().join("shared");
    let shared = shared.to_str().unwrap();
    for place in [&[][..], &["--snapshots", shared]] {
        let create = ["snapshot", "create", "--json", "--data", &data];
        let made = objects(&[&create, &of_log[..], place].concat()).remove(0);
        let verify = ["snapshot", "verify", "--json"];
        let found = objects(&[&verify, &of_log[..], place].concat());
        assert_eq!(found[0], made);
        assert_eq!(found[1]["good"], 1, "{found:?}");
    }
    assert_eq!(
        std::fs::read_dir(shared).unwrap().count(),
        2,
        "one, and the lock"
    );
    // The directory belongs to that log: without it, nothing is made in its place.
    let data = cluster.data_arg();
    let users = dir.path().join("users");
    std::fs::write(&users, "alice\n").unwrap();
    for wrong in [
        run(&["log", "verify", "--data", &data]),
        run(&[
            "import",
            "--data",
            &data,
            "--users",
            users.to_str().unwrap(),
        ]),
    ] {
        assert_eq!(wrong.status.code(), Some(2), "{}", stderr(&wrong));
        assert!(
            stderr(&wrong).contains("--log nats://"),
            "{}",
            stderr(&wrong)
        );
    }
}

fn import(data: &str, more: &[&str], dir: &Path) {
    let posts = dir.join("posts.jsonl");
    let line = |number: u32| {
        let author = number % 40;
        format!("{{\"author\":\"u{author}\",\"text\":\"post {number}\"}}\n")
    };
    std::fs::write(&posts, (0..20_000).map(line).collect::<String>()).unwrap();
    let posts = posts.to_str().unwrap();
    let args = [
        &["import", "--json", "--data", data, "--posts", posts],
        more,
    ]
    .concat();
    let summary = objects(&args);
    assert_eq!(summary[0]["posts"], 20_000);
}

#[test]
fn a_log_moves_to_a_cluster_and_back_trimmed_or_not_and_is_the_same() {
    if !sns_natsd::is_here() {
        return;
    }
    let nats = servers(1);
    let log = nats.urls().join(",");
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let weak = "--accept-weaker-durability";
    let (from, back) = (path("from"), path("back"));
    let small = ["--segment-bytes", "65536"];
    import(&from, &small, dir.path());
    let copy = |from: &str, to: &str, stream: &str| {
        let args = [
            "log",
            "copy",
            "--json",
            "--from",
            from,
            "--to",
            to,
            "--nats-stream",
            stream,
            weak,
        ];
        let copied = objects(&args).remove(0);
        assert_eq!(copied["same"], true, "{copied}");
        (
            copied["entries"].as_u64().unwrap(),
            copied["digest"]["to"].clone(),
        )
    };
    let (entries, digest) = copy(&from, &log, "ONE");
    assert!(entries > 2);
    assert_eq!(copy(&from, &log, "ONE"), (0, digest.clone()), "again");
    assert_eq!(copy(&log, &back, "ONE"), (entries, digest));
    // A source that goes on: the copy takes up what is new.
    let user = path("users");
    std::fs::write(&user, "late\n").unwrap();
    objects(&["import", "--json", "--data", &from, "--users", &user]);
    assert_eq!(copy(&from, &log, "ONE").0, 1);
    // Trimmed: the snapshot goes along, and the copy begins behind it.
    for number in 0..2 {
        import(&from, &small, dir.path());
        let made = run(&["snapshot", "create", "--data", &from, small[0], small[1]]);
        assert!(made.status.success(), "{number}: {}", stderr(&made));
    }
    import(&from, &small, dir.path());
    let verified = objects(&["log", "verify", "--json", "--data", &from]).remove(0);
    assert!(verified["head"].as_u64().unwrap() > 1, "{verified}");
    let (some, digest) = copy(&from, &log, "TWO");
    assert!(some > 0 && some < verified["entries"].as_u64().unwrap());
    let again = path("again");
    assert_eq!(copy(&log, &again, "TWO"), (some, digest.clone()));
    // The copy serves, and what it holds goes on from there.
    let summary = objects(&["import", "--json", "--data", &again, "--users", &user]);
    assert_eq!(summary[0]["users"], 0, "{summary:?}");
    // Another log is not written over.
    let args = [
        "log",
        "copy",
        "--from",
        &again,
        "--to",
        &log,
        "--nats-stream",
        "ONE",
        weak,
    ];
    let refused = run(&args);
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
}

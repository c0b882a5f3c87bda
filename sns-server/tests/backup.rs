//! `backup create`, `verify` and `restore`, on real processes: under load, with damage, full disks and
//! kills.
//!
//! `SNS_BACKUP_RATE=5000 cargo test --release --test backup under_load -- --nocapture` is the proof at
//! full scale; the figures are on stdout.
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "support/backups.rs"]
mod backups;
#[path = "support/server.rs"]
mod server;
#[path = "support/shell.rs"]
mod shell;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use backups::{Load, digest_at, everything};
use server::Server;
use shell::{Ended, run};
use sns_core::{RequestId, Seq, Sns};
use tempfile::TempDir;

/// `sns-server` with these words and no data directory.
fn plain(words: &[&str]) -> Ended {
    Ended::of(command(words).output().unwrap())
}

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(server::PROGRAM);
    command.args(words).env("SNS_TRACE", "error");
    command.env_remove("SNS_DATA").stdin(Stdio::null());
    command
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A feed with everything in it, and a backup of it.
struct Scene {
    dir: TempDir,
}

impl Scene {
    fn new() -> Self {
        let scene = Self {
            dir: TempDir::new().unwrap(),
        };
        let sns = Sns::open(scene.data()).unwrap();
        backups::fill(&sns, 300);
        sns.close();
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn data(&self) -> PathBuf {
        self.path("data")
    }

    fn backup(&self, name: &str) -> Ended {
        run(
            "backup create",
            &self.data(),
            &["--out", text(&self.path(name))],
        )
    }

    fn restore(&self, name: &str, to: &str) -> Ended {
        let words = format!("backup restore {}", text(&self.path(name)));
        run(&words, &self.path(to), &[])
    }
}

#[test]
fn a_backup_is_one_file_and_comes_back_as_it_was() {
    let scene = Scene::new();
    let made = scene.backup("b").ok().summary();
    let file = scene.path("b");
    let found = file.metadata().unwrap();
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    assert_eq!(made["bytes"], found.len());
    assert_eq!(made["file"], text(&file));
    assert!(made["ms"].is_u64() && made["made_at"].as_str().unwrap().ends_with('Z'));
    // Nothing of it stays beside the view, and the log was not touched.
    let node = std::fs::read_dir(scene.data().join("nodes/local-0")).unwrap();
    let names: Vec<_> = node.map(|it| it.unwrap().file_name()).collect();
    assert!(
        !names
            .iter()
            .any(|it| it.to_string_lossy().starts_with("cut-")),
        "{names:?}"
    );
    let verified = plain(&["backup", "verify", text(&file), "--json"])
        .ok()
        .summary();
    let restored = scene.restore("b", "again").ok().summary();
    for field in [
        "seq", "index", "digest", "users", "posts", "follows", "bytes",
    ] {
        assert_eq!(made[field], verified[field], "{field}");
        assert_eq!(made[field], restored[field], "{field}");
    }
    assert_ne!(restored["data_id"], made["data_id"]);
    let (old, new) = (
        Sns::open(scene.data()).unwrap(),
        Sns::open(scene.path("again")).unwrap(),
    );
    assert_eq!(new.status().digest, made["digest"]);
    assert_eq!(old.status().digest, made["digest"]);
    assert_eq!(everything(&old), everything(&new));
    let log = run("log verify", &scene.path("again"), &[]).ok().summary();
    assert_eq!(log["head"], restored["first"]);
    // The keys are not in it.
    for key in ["secret", "announce.key"] {
        let old = std::fs::read(scene.data().join(key)).unwrap_or_default();
        let new = std::fs::read(scene.path("again").join(key)).unwrap_or_default();
        assert!(old != new || old.is_empty(), "{key}");
    }
    let again = plain(&[
        "backup",
        "create",
        "--data",
        text(&scene.data()),
        "--out",
        text(&file),
    ]);
    assert_eq!(again.code, 2, "{again:?}");
    let forced = run(
        "backup create --force",
        &scene.data(),
        &["--out", text(&file)],
    );
    forced.ok();
    assert_eq!(
        plain(&[
            "backup",
            "create",
            "--data",
            text(&scene.path("no")),
            "--out",
            "x"
        ])
        .code,
        2
    );
    assert!(!scene.path("no").exists());
    assert_eq!(plain(&["backup", "verify", "/nowhere/b"]).code, 3);
}

#[test]
fn a_backup_goes_through_a_pipe_and_comes_back_from_one() {
    let scene = Scene::new();
    let pipe = format!(
        "set -o pipefail; {0} backup create --json --data {1} --out - 2>{2} | {0} backup restore - --data {3} --json",
        server::PROGRAM,
        text(&scene.data()),
        text(&scene.path("summary")),
        text(&scene.path("again")),
    );
    let piped = Ended::of(Command::new("bash").args(["-c", &pipe]).output().unwrap());
    let restored = piped.ok().summary();
    let made = std::fs::read_to_string(scene.path("summary")).unwrap();
    let made: serde_json::Value = serde_json::from_str(made.trim()).unwrap();
    assert_eq!(made["digest"], restored["digest"]);
    assert_eq!(made["file"], "-");
    // Half of it is nothing.
    let half = format!(
        "{0} backup create --data {1} --out - 2>/dev/null | head -c 3000 | {0} backup restore - --data {2} --json",
        server::PROGRAM,
        text(&scene.data()),
        text(&scene.path("half")),
    );
    let cut = Ended::of(Command::new("bash").args(["-c", &half]).output().unwrap());
    assert_eq!(cut.code, 9, "{cut:?}");
    assert!(!scene.path("half").exists());
}

#[test]
fn every_damaged_backup_is_found_and_said_where() {
    let scene = Scene::new();
    scene.backup("b").ok();
    let whole = std::fs::read(scene.path("b")).unwrap();
    let bad = scene.path("bad");
    // Each byte is tried beside the code; here the programs see some.
    let places = [
        0,
        9,
        60,
        whole.len() / 3,
        whole.len() / 2,
        whole.len() - 30,
        whole.len() - 1,
    ];
    for at in places {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        std::fs::write(&bad, &bytes).unwrap();
        let refused = plain(&["backup", "verify", text(&bad), "--json"]);
        assert_eq!(refused.code, 9, "byte {at}: {refused:?}");
        assert!(
            refused.error()["message"]
                .as_str()
                .unwrap()
                .contains("at byte"),
            "{refused:?}"
        );
        let refused = scene.restore("bad", "again");
        assert_eq!(refused.code, 9, "byte {at}: {refused:?}");
        assert!(!scene.path("again").exists(), "byte {at}");
    }
    for cut in [
        0,
        7,
        100,
        whole.len() / 2,
        whole.len() - 28,
        whole.len() - 1,
    ] {
        std::fs::write(&bad, &whole[..cut]).unwrap();
        let refused = plain(&["backup", "verify", text(&bad)]);
        assert_eq!(refused.code, 9, "cut to {cut}: {refused:?}");
    }
}

#[test]
fn a_restore_touches_nothing_that_is_there() {
    let scene = Scene::new();
    scene.backup("b").ok();
    let before = std::fs::read(scene.data().join("format.json")).unwrap();
    assert_eq!(scene.restore("b", "data").code, 2);
    assert_eq!(
        std::fs::read(scene.data().join("format.json")).unwrap(),
        before
    );
    run("log verify", &scene.data(), &[]).ok();
    std::fs::create_dir(scene.path("mine")).unwrap();
    std::fs::write(scene.path("mine/file"), "x").unwrap();
    assert_eq!(scene.restore("b", "mine").code, 2);
    assert_eq!(std::fs::read_dir(scene.path("mine")).unwrap().count(), 1);
    // An empty one will do, with whatever rights of ours.
    std::fs::remove_file(scene.path("mine/file")).unwrap();
    std::fs::set_permissions(scene.path("mine"), std::fs::Permissions::from_mode(0o700)).unwrap();
    scene.restore("b", "mine").ok();
}

#[test]
fn a_full_disk_leaves_no_half_of_anything() {
    let scene = Scene::new();
    scene.backup("b").ok();
    let full = |line: String| {
        // Writes past the bound fail, as on a full disk.
        let line = format!(
            "trap '' XFSZ; ulimit -f 8; exec {} {line} --json",
            server::PROGRAM
        );
        Ended::of(Command::new("bash").args(["-c", &line]).output().unwrap())
    };
    let (data, b) = (scene.data(), scene.path("b"));
    let made = full(format!(
        "backup create --data {} --out {}",
        text(&data),
        text(&scene.path("c"))
    ));
    assert!([6, 7].contains(&made.code), "{made:?}");
    assert!(!scene.path("c").exists());
    let left = std::fs::read_dir(scene.dir.path()).unwrap();
    let left: Vec<_> = left.map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    let restored = full(format!(
        "backup restore {} --data {}",
        text(&b),
        text(&scene.path("again"))
    ));
    assert!([6, 7].contains(&restored.code), "{restored:?}");
    assert!(!scene.path("again").exists());
    let out = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut command = command(&[
        "backup",
        "create",
        "--data",
        text(&data),
        "--out",
        "-",
        "--json",
    ]);
    let refused = Ended::of(command.stdout(out).output().unwrap());
    assert_eq!(refused.code, 6, "{refused:?}");
    scene.restore("b", "again").ok();
}

#[test]
fn killed_at_any_moment_a_backup_is_not_there_and_a_restore_starts_over() {
    let scene = Scene::new();
    let sns = Sns::open(scene.data()).unwrap();
    backups::fill(&sns, 6_000);
    sns.close();
    let made = scene.backup("b").ok().summary();
    let began = Instant::now();
    scene.restore("b", "whole").ok();
    let whole = began.elapsed();
    let (mut unfinished, mut refused) = (0, 0);
    for n in 1..=12_u32 {
        let to = scene.path("again");
        let mut child = command(&[
            "backup",
            "restore",
            text(&scene.path("b")),
            "--data",
            text(&to),
        ])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
        pause(whole * n / 12);
        child.kill().unwrap();
        child.wait().unwrap();
        if to.join("restoring").exists() {
            unfinished += 1;
            for words in [
                "log verify",
                "snapshot list",
                "backup create --out /dev/null --force",
            ] {
                let ended = run(words, &to, &[]);
                assert_eq!(ended.code, 2, "{words}: {ended:?}");
                assert!(ended.stderr.contains("run it again"), "{ended:?}");
                refused += 1;
            }
            assert!(Sns::open(&to).is_err());
            let again = scene.restore("b", "again").ok().summary();
            assert_eq!(again["digest"], made["digest"]);
        } else if to.exists() && to.join("format.json").exists() {
            let sns = Sns::open(&to).unwrap();
            assert_eq!(sns.status().digest, made["digest"]);
        }
        let _ = std::fs::remove_dir_all(&to);
    }
    assert!(unfinished > 0 && refused > 0, "no kill came in the middle");
    let began = Instant::now();
    scene.backup("timed").ok();
    let whole = began.elapsed();
    for n in 1..=8_u32 {
        let mut child = command(&[
            "backup",
            "create",
            "--data",
            text(&scene.data()),
            "--out",
            text(&scene.path("k")),
        ])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
        pause(whole * n / 9);
        child.kill().unwrap();
        child.wait().unwrap();
        if scene.path("k").exists() {
            plain(&["backup", "verify", text(&scene.path("k"))]).ok();
            std::fs::remove_file(scene.path("k")).unwrap();
        }
    }
    // What the killed ones left in the node's directory goes with the next one.
    scene.backup("last").ok();
    for node in std::fs::read_dir(scene.data().join("nodes")).unwrap() {
        for entry in std::fs::read_dir(node.unwrap().path()).unwrap() {
            let name = entry.unwrap().file_name();
            assert!(!name.to_string_lossy().starts_with("cut-"), "{name:?}");
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "a kill comes when it comes")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Looks until it is so.
async fn soon(what: &str, mut look: impl FnMut() -> bool) {
    server::until(what, async || look().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_a_backup_is_the_state_at_exactly_one_entry() {
    let rate: Option<u32> = std::env::var("SNS_BACKUP_RATE")
        .ok()
        .map(|it| it.parse().unwrap());
    let scene = Scene::new();
    let server = Server::start(&scene.data()).await;
    let load = Load::start(&server, rate.unwrap_or(300)).await;
    let seconds = if rate.is_some() { 10 } else { 1 };
    soon("it posts for a while", || load.posts_after(seconds) > 0).await;
    let before = load.p99_since_ms(load.began);
    let began = Instant::now();
    let data = scene.data();
    let file = scene.path("b");
    let words = ["--out".to_owned(), text(&file).to_owned()];
    let create = move || {
        run("backup create", &data, &[&words[0], &words[1]])
            .ok()
            .summary()
    };
    let made = tokio::task::spawn_blocking(create).await.unwrap();
    let took = began.elapsed();
    let during = load.p99_since_ms(began);
    let index = made["index"].as_u64().unwrap();
    // It goes on behind it: the backup is a past state by now.
    soon("the log goes on", || load.last_index() > index + 20).await;
    let achieved = load.stop().await;
    let status = run("log verify", &scene.data(), &[]).ok().summary();
    assert!(status["tail"].as_u64().unwrap() > index + 1);
    server.kill();

    let restored = scene.restore("b", "again").ok().summary();
    assert_eq!(restored["digest"], made["digest"]);
    // By replaying the log of the original up to that entry, and not one further.
    let replica = digest_at(&scene.data().join("log"), index);
    assert_eq!(replica.status().digest, made["digest"]);
    let again = Sns::open(scene.path("again")).unwrap();
    assert_eq!(everything(&replica), everything(&again));
    println!(
        "{} posts/s asked, {achieved:.0} acknowledged; backup of {} posts, {} users at entry {index}: \
         {} bytes in {} ms; p99 of posts before {before:.1} ms, during {during:.1} ms",
        rate.unwrap_or(300),
        made["posts"],
        made["users"],
        made["bytes"],
        took.as_millis(),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_before_is_refused_by_the_restored_feed() {
    use sns_proto::v1::{CreatePostRequest, ErrorReason};
    let scene = Scene::new();
    let first = Server::start(&scene.data()).await;
    let mut caller = first.login("alice").await;
    let post = CreatePostRequest {
        text: "x".into(),
        ..CreatePostRequest::default()
    };
    let asked = caller.ask(post.clone());
    caller.api.create_post(asked).await.unwrap();
    first.kill();
    scene.backup("b").ok();
    scene.restore("b", "again").ok();
    let second = Server::start(&scene.path("again")).await;
    let mut old = caller.clone();
    old.api = second.login("alice").await.api;
    let asked = old.ask(post.clone());
    server::refused(old.api.create_post(asked).await, ErrorReason::TokenInvalid);
    // Who logs in again goes on, also with positions that the restored feed never had.
    let mut new = second.login("alice").await;
    let asked = new.ask(CreatePostRequest {
        seen: Seq::new(1 << 20, 0).as_u64(),
        request_id: RequestId::random().to_string(),
        ..post
    });
    new.api.create_post(asked).await.unwrap();
}

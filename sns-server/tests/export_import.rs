//! `export`, and `import --all`: everything comes back, byte for byte, or nothing does.
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "support/backups.rs"]
mod backups;
#[path = "support/server.rs"]
mod server;
#[path = "support/shell.rs"]
mod shell;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use backups::{Load, everything};
use proptest::prelude::*;
use server::Server;
use shell::{Ended, run};
use sns_core::{Clock, Sns, Text, Username};
use tempfile::TempDir;

struct Scene {
    dir: TempDir,
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

impl Scene {
    fn new() -> Self {
        Self {
            dir: TempDir::new().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn export(&self, data: &str, to: &str) -> Ended {
        run("export", &self.path(data), &["--out", text(&self.path(to))])
    }

    fn import(&self, from: &str, to: &str) -> Ended {
        run("import", &self.path(to), &["--all", text(&self.path(from))])
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }
}

#[test]
fn an_export_of_an_import_is_the_same_file() {
    let scene = Scene::new();
    let sns = Sns::open(scene.path("one")).unwrap();
    backups::fill(&sns, 1_000);
    let status = sns.status();
    let before = everything(&sns);
    sns.close();
    let made = scene.export("one", "a").ok().summary();
    assert_eq!(made["posts"], status.posts);
    assert_eq!(made["digest"], status.digest);
    assert_eq!(made["accounts"], 1);
    let imported = scene.import("a", "two").ok().summary();
    assert_eq!(imported["seq"], last_seq(&scene.read("a")));
    scene.export("two", "b").ok();
    assert!(scene.read("a") == scene.read("b"), "the exports differ");
    let two = Sns::open(scene.path("two")).unwrap();
    assert_eq!(everything(&two), before);
    // It is a feed like any other, and its posts come after those that were carried over.
    let alice = Username::parse("alice").unwrap();
    let newest = two.home(&alice).limit(1).page().unwrap().items.remove(0);
    let post = two.post(&alice, "new").wait().unwrap();
    assert!(post.id > newest.id && post.created_at_ms >= newest.created_at_ms);
    assert_ne!(two.status().data_id, status.data_id);
    two.close();
    drop(two);
    // Through a pipe, without accounts.
    let pipe = format!(
        "set -o pipefail; {0} export --without-accounts --data {1} 2>/dev/null | tee {2} | {0} import --all - --data {3} --json",
        server::PROGRAM,
        text(&scene.path("one")),
        text(&scene.path("c")),
        text(&scene.path("three")),
    );
    Ended::of(Command::new("bash").args(["-c", &pipe]).output().unwrap()).ok();
    assert!(!scene.read("c").contains("argon2"));
    scene.export("three", "d").ok();
    // The header of an export with accounts says so; all else but the checksum is the same.
    let body = |text: &str| {
        text.lines()
            .skip(1)
            .filter(|it| !it.contains("sha256"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert!(body(&scene.read("c")) == body(&scene.read("d")));
    let sum = "set -o pipefail; head -n -1 \"$1\" | sha256sum | cut -d' ' -f1";
    let sum = Command::new("bash")
        .args(["-c", sum, "sum", text(&scene.path("a"))])
        .output()
        .unwrap();
    let last = scene.read("a").lines().last().unwrap().to_owned();
    assert!(
        last.contains(String::from_utf8(sum.stdout).unwrap().trim()),
        "{last}"
    );
}

/// The highest `id` or `seq` of an export.
fn last_seq(export: &str) -> u64 {
    let seq = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["id"].as_u64().or(line["seq"].as_u64()).unwrap_or(0)
    };
    export.lines().map(seq).max().unwrap()
}

#[test]
fn nothing_is_written_when_a_line_is_bad_and_the_line_is_named() {
    let scene = Scene::new();
    let sns = Sns::open(scene.path("one")).unwrap();
    backups::fill(&sns, 30);
    sns.close();
    scene.export("one", "a").ok();
    let good = scene.read("a");
    let lines: Vec<&str> = good.lines().collect();
    let users = lines.iter().filter(|it| it.contains("\"user\"")).count();
    let with = |at: usize, line: &str| {
        let mut lines = lines.clone();
        lines[at] = line;
        std::fs::write(scene.path("bad"), format!("{}\n", lines.join("\n"))).unwrap();
        let refused = scene.import("bad", "two");
        assert!(!scene.path("two").exists(), "{line}");
        refused
    };
    for (at, line) in [
        (0, "{}"),
        (0, "{\"sns_export\":9}"),
        (2, "no JSON"),
        (2, lines[1]),
        (
            3,
            "{\"kind\":\"user\",\"username\":\"früh\",\"created_at\":\"2026-01-01T00:00:00Z\"}",
        ),
        (
            3,
            "{\"kind\":\"user\",\"username\":\"early\",\"created_at\":\"1980-01-01T00:00:00Z\"}",
        ),
        (
            users + 2,
            "{\"kind\":\"follow\",\"seq\":99999999999,\"username\":\"alice\",\"follows\":\"nobody\"}",
        ),
        (
            users + 2,
            "{\"kind\":\"follow\",\"seq\":65536,\"username\":\"alice\",\"follows\":\"alice\"}",
        ),
        (
            lines.len() - 2,
            "{\"kind\":\"post\",\"id\":70000,\"author\":\"alice\",\"text\":\"x\",\"created_at\":\"2100-01-01T00:00:00Z\"}",
        ),
        (
            lines.len() - 2,
            "{\"kind\":\"post\",\"author\":\"alice\",\"text\":\"x\",\"created_at\":\"2000-01-01T00:00:00Z\"}",
        ),
        (
            lines.len() - 2,
            "{\"kind\":\"post\",\"id\":18446744073709551615,\"author\":\"alice\",\"text\":\"x\",\"created_at\":\"2100-01-01T00:00:00Z\"}",
        ),
    ] {
        let refused = with(at, line);
        assert_eq!(refused.code, 2, "{line}: {refused:?}");
        let message = refused.error()["message"].as_str().unwrap().to_owned();
        assert!(
            message.contains(&format!("bad:{}: ", at + 1)),
            "{line}: {message}"
        );
        assert!(message.contains("nothing was written"), "{message}");
    }
    // What is whole line by line, but not as it was.
    let at = lines.iter().rposition(|it| it.contains("plain")).unwrap();
    let changed = lines[at].replacen("plain", "plane", 1);
    assert_eq!(with(at, &changed).code, 9);
    std::fs::write(
        scene.path("cut"),
        &good[..good.len() - lines[lines.len() - 1].len() - 1],
    )
    .unwrap();
    let cut = scene.import("cut", "two");
    assert_eq!(cut.code, 9, "{cut:?}");
    // Only into a new place, and only a whole feed.
    assert_eq!(scene.import("a", "one").code, 2);
    let both = run(
        "import",
        &scene.path("two"),
        &["--all", "a", "--users", "u"],
    );
    assert_eq!(both.code, 2);
    let nats = run(
        "import --log nats://127.0.0.1:9",
        &scene.path("two"),
        &["--all", "a"],
    );
    assert!(
        nats.code == 2 && nats.stderr.contains("log copy"),
        "{nats:?}"
    );
    assert!(!scene.path("two").exists());
    assert_eq!(scene.import("missing", "two").code, 3);
    assert!(!scene.path("two").exists());
}

#[test]
fn an_import_that_is_stopped_leaves_nothing_and_says_so() {
    let scene = Scene::new();
    let sns = Sns::open(scene.path("one")).unwrap();
    backups::fill(&sns, 1_000);
    sns.close();
    scene.export("one", "a").ok();
    let mut child = Command::new(server::PROGRAM)
        .args(["import", "--all", "-", "--data", text(&scene.path("two"))])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Half of it, and then nothing.
    let export = scene.read("a");
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, &export.as_bytes()[..export.len() / 2]).unwrap();
    let began = Instant::now();
    while !scene.path("two").join("restoring").exists() {
        assert!(began.elapsed() < server::PATIENCE, "it never began");
        pause(Duration::from_millis(10));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    pause(Duration::from_millis(200));
    drop(stdin);
    let ended = Ended::of(child.wait_with_output().unwrap());
    assert_eq!((ended.code, &*ended.stdout), (7, ""), "{ended:?}");
    assert!(!scene.path("two").exists(), "{ended:?}");
}

#[test]
fn an_import_that_was_killed_is_told_and_started_over() {
    let scene = Scene::new();
    let sns = Sns::open(scene.path("one")).unwrap();
    backups::fill(&sns, 8_000);
    sns.close();
    scene.export("one", "a").ok();
    let began = Instant::now();
    let whole = scene.import("a", "two").ok().summary();
    let took = began.elapsed();
    let mut unfinished = 0;
    for n in 1..=8_u32 {
        let to = scene.path("three");
        let mut child = Command::new(server::PROGRAM)
            .args([
                "import",
                "--data",
                text(&to),
                "--all",
                text(&scene.path("a")),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        pause(took * n / 9);
        child.kill().unwrap();
        child.wait().unwrap();
        if to.join("restoring").exists() {
            unfinished += 1;
            assert!(
                Sns::open(&to)
                    .unwrap_err()
                    .message()
                    .contains("run it again")
            );
            let again = scene.import("a", "three").ok().summary();
            assert_eq!(again["digest"], whole["digest"]);
        }
        let _ = std::fs::remove_dir_all(&to);
    }
    assert!(unfinished > 0, "no kill came in the middle");
}

#[allow(clippy::disallowed_methods, reason = "a kill comes when it comes")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_beside_a_running_server_is_the_state_at_one_seq() {
    let scene = Scene::new();
    let sns = Sns::open(scene.path("one")).unwrap();
    backups::fill(&sns, 100);
    sns.close();
    let server = Server::start(&scene.path("one")).await;
    let load = Load::start(&server, 200).await;
    server::until("it posts", async || (load.last_index() > 0).then_some(())).await;
    let (data, out) = (scene.path("one"), scene.path("a"));
    let export = move || run("export", &data, &["--out", text(&out)]).ok().summary();
    let made = tokio::task::spawn_blocking(export).await.unwrap();
    let seq = made["seq"].as_u64().unwrap();
    server::until("it goes on", async || {
        (load.last_index() > (seq >> 16) + 10).then_some(())
    })
    .await;
    load.stop().await;
    server.kill();
    scene.import("a", "two").ok();
    let then = backups::digest_at(&scene.path("one").join("log"), seq >> 16);
    assert_eq!(then.status().digest, made["digest"]);
    let two = Sns::open(scene.path("two")).unwrap();
    assert_eq!(everything(&then), everything(&two));
}

/// What may happen in a feed, by few users, so that it collides.
#[derive(Clone, Debug)]
enum Step {
    User(u8),
    Follow(u8, u8),
    Unfollow(u8, u8),
    Post(u8, String),
    Delete(u8, u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = || 0_u8..5;
    let odd = prop::collection::vec(any::<char>(), 1..60).prop_map(String::from_iter);
    let step = prop_oneof![
        1 => who().prop_map(Step::User),
        3 => (who(), who()).prop_map(|(a, b)| Step::Follow(a, b)),
        1 => (who(), who()).prop_map(|(a, b)| Step::Unfollow(a, b)),
        5 => (who(), odd).prop_map(|(a, text)| Step::Post(a, text)),
        1 => (who(), any::<u8>()).prop_map(|(a, n)| Step::Delete(a, n)),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_feed_comes_back_byte_for_byte(steps in steps(), clock in 0..4_000_000_000_000_u64) {
        let scene = Scene::new();
        let time = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(clock));
        let sns = Sns::builder(scene.path("one")).clock(Clock::manual(time.clone())).open().unwrap();
        let name = |n: u8| Username::parse(&format!("u{n}")).unwrap();
        let mut posts = Vec::new();
        for step in steps {
            time.fetch_add(7, std::sync::atomic::Ordering::Relaxed);
            match step {
                Step::User(a) => { sns.create_user(&name(a)).wait().unwrap(); }
                Step::Follow(a, b) => { let _ = sns.follow(&name(a), &name(b)).wait(); }
                Step::Unfollow(a, b) => { let _ = sns.unfollow(&name(a), &name(b)).wait(); }
                Step::Post(a, text) => {
                    if let Ok(text) = Text::parse(&text) {
                        posts.extend(sns.post(&name(a), text.as_str()).wait());
                    }
                }
                Step::Delete(a, n) => {
                    if let Some(post) = posts.get(usize::from(n)) {
                        let _ = sns.delete(&name(a), post.id).wait();
                    }
                }
            }
        }
        let before = everything(&sns);
        sns.close();
        drop(sns);
        scene.export("one", "a").ok();
        scene.import("a", "two").ok();
        scene.export("two", "b").ok();
        prop_assert_eq!(scene.read("a"), scene.read("b"));
        let two = Sns::open(scene.path("two")).unwrap();
        prop_assert_eq!(everything(&two), before);
    }
}

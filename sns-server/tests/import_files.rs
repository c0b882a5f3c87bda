//! `sns-server import`: what is loaded, what is refused, and that it runs beside a server.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/server.rs"]
mod server;
#[path = "support/shell.rs"]
mod shell;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use server::Server;
use shell::{Ended, run};
use sns_core::{Sns, Username};
use sns_proto::v1::{GetUserTimelineRequest, ListUsersRequest, UserFilter};
use tempfile::TempDir;

/// A data directory to come, and files beside it.
struct Scene {
    dir: TempDir,
}

impl Scene {
    fn new() -> Self {
        Self {
            dir: TempDir::new().unwrap(),
        }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn import(&self, more: &[&str]) -> Ended {
        run("import", &self.data(), more)
    }

    fn open(&self) -> Sns {
        Sns::open(self.data()).unwrap()
    }
}

fn name(text: &str) -> Username {
    Username::parse(text).unwrap()
}

fn names(page: &sns_core::Page<sns_core::User>) -> Vec<String> {
    page.items
        .iter()
        .map(|user| user.username.to_string())
        .collect()
}

/// Checks some fields of a summary.
#[track_caller]
fn holds(summary: &Value, expected: &[(&str, u64)]) {
    for (field, value) in expected {
        assert_eq!(summary[field], *value, "{field} of {summary}");
    }
}

#[test]
fn users_follows_and_posts_are_loaded_and_a_second_run_changes_no_follow() {
    let scene = Scene::new();
    let users = scene.file("users", "Zed\n# nobody\n\nyan\n");
    let follows = scene.file(
        "follows",
        "% MatrixMarket\n# comment\na b\r\nB,\tc\n\na  A\nc\ta\nc,a\n",
    );
    let posts = scene.file(
        "posts",
        "{\"author\": \"a\", \"text\": \"one\\ntwo\"}\n\n{\"text\": \"by new\", \"author\": \"New\"}",
    );
    let words = ["--users", &users, "--follows", &follows, "--posts", &posts];
    let first = scene.import(&words).ok().summary();
    holds(
        &first,
        &[
            ("users", 6),
            ("follows", 3),
            ("already_following", 1),
            ("posts", 2),
            ("lines", 15),
            ("comments", 3),
            ("empty", 3),
            ("self_loops", 1),
        ],
    );
    assert!(first["seq"].as_u64().unwrap() > 0);
    {
        let sns = scene.open();
        let all = names(&sns.users().page().unwrap());
        assert_eq!(all, ["a", "b", "c", "new", "yan", "zed"]);
        assert_eq!(names(&sns.following(&name("b")).page().unwrap()), ["c"]);
        let page = sns.posts_of(&name("a")).page().unwrap();
        assert_eq!(page.items[0].text.as_str(), "one\ntwo");
        sns.close();
    }
    let second = scene.import(&["--follows", &follows]).ok().summary();
    holds(
        &second,
        &[
            ("users", 0),
            ("follows", 0),
            ("already_following", 4),
            ("seq", 0),
        ],
    );
}

#[test]
fn undirected_lines_go_both_ways_also_from_gzip() {
    let scene = Scene::new();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(b"a b\nb c\n").unwrap();
    let follows = scene.file("follows.txt", gzip.finish().unwrap());
    let summary = scene
        .import(&["--follows", &follows, "--undirected"])
        .ok()
        .summary();
    holds(&summary, &[("users", 3), ("follows", 4), ("lines", 2)]);
    let sns = scene.open();
    assert_eq!(
        names(&sns.followers(&name("b")).page().unwrap()),
        ["a", "c"]
    );
}

#[test]
fn a_bad_line_is_named_and_nothing_is_written() {
    let scene = Scene::new();
    let good = scene.file("good", "a b\n");
    let posts = scene.file(
        "posts",
        format!(
            "{{\"author\": \"a\", \"text\": \"{}\"}}\n",
            "x".repeat(1_001)
        ),
    );
    for (flag, file, line) in [
        ("--follows", scene.file("f", "a b\na b c\n"), 2),
        ("--follows", scene.file("g", "# x\n\na-b c\n"), 3),
        ("--users", scene.file("u", "fine\nnot fine\n"), 2),
        ("--users", scene.file("v", b"fine\n\xff\xfe\n"), 2),
        ("--posts", posts, 1),
    ] {
        let mut words = vec![flag, &file];
        if flag != "--follows" {
            words.extend(["--follows", &good]);
        }
        let ended = scene.import(&words);
        assert_eq!(ended.code, 2, "{ended:?}");
        assert_eq!(ended.stdout, "");
        let error = ended.error();
        assert_eq!(error["kind"], "invalid");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(&format!("{file}:{line}: ")), "{message}");
        assert!(message.contains("nothing was written"), "{message}");
        assert!(
            !scene.data().exists(),
            "a refused import made {:?}",
            scene.data()
        );
    }
    let missing = scene.import(&["--users", "/nowhere/at/all"]);
    assert_eq!(missing.code, 3, "{missing:?}");
}

#[test]
fn a_follow_too_many_is_left_out_and_said() {
    let scene = Scene::new();
    let mut lines = String::new();
    for n in 0..=sns_core::limits::FOLLOWEES {
        writeln!(lines, "greedy u{n}").unwrap();
    }
    lines += "other greedy\n";
    let follows = scene.file("follows", lines);
    let ended = scene.import(&["--follows", &follows]);
    assert_eq!(
        (ended.code, &ended.error()["reason"]),
        (6, &Value::from("TOO_MANY_FOLLOWEES"))
    );
    holds(
        &ended.summary(),
        &[("follows", 10_001), ("too_many_followees", 1)],
    );
}

#[tokio::test]
async fn a_stopped_import_says_how_far_it_came_and_another_run_goes_on() {
    let scene = Scene::new();
    let mut lines = String::new();
    for n in 0..200_000 {
        writeln!(lines, "u{} v{}", n % 400, n / 400).unwrap();
    }
    let follows = scene.file("follows", &lines);
    let child = std::process::Command::new(server::PROGRAM)
        .args(["import", "--json", "--follows", &follows, "--data"])
        .arg(scene.data())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let segment = scene.data().join("log/00000000000000000001.seg");
    server::until("something is written", async || {
        let written = std::fs::metadata(&segment).ok()?.len() > 50_000;
        written.then_some(())
    })
    .await;
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = tokio::task::spawn_blocking(|| child.wait_with_output());
    let output = tokio::time::timeout(server::PATIENCE, output).await;
    let output = output.expect("it runs on").unwrap().unwrap();
    let ended = Ended::of(output);
    assert_eq!((ended.code, &*ended.stdout), (7, ""), "{ended:?}");
    let error = ended.error();
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("follows and 0 posts were written; run it again"),
        "{message}"
    );

    // The same beginning once more: some of it is there.
    let again = scene.file(
        "again",
        lines.lines().take(1_000).collect::<Vec<_>>().join("\n"),
    );
    let summary = scene.import(&["--follows", &again]).ok().summary();
    let sum = |fields: [&str; 2]| -> u64 {
        fields
            .iter()
            .map(|field| summary[field].as_u64().unwrap())
            .sum()
    };
    assert_eq!(sum(["follows", "already_following"]), 1_000, "{summary}");
    assert!(
        summary["already_following"].as_u64().unwrap() > 0,
        "{summary}"
    );
}

#[tokio::test]
async fn an_import_beside_a_running_server_shows_there_at_once() {
    let scene = Scene::new();
    let server = Server::start(&scene.data()).await;
    let mut alice = server.login("alice").await;
    let (mut follows, mut posts) = (String::new(), String::new());
    for n in 0..20_000 {
        writeln!(follows, "u{} u{}", n % 500, (n * 7 + n / 500 + 1) % 500).unwrap();
    }
    for n in 0..2_000 {
        writeln!(posts, "{{\"author\": \"u1\", \"text\": \"{n}\"}}").unwrap();
    }
    let (follows, posts) = (scene.file("f", follows), scene.file("p", posts));
    let data = scene.data();
    let words = ["--follows", &*follows, "--posts", &*posts].map(str::to_owned);
    let import = tokio::task::spawn_blocking(move || {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        run("import", Path::new(&data), &words).ok().summary()
    });
    let summary = import.await.unwrap();
    let counted = ["follows", "already_following", "self_loops"];
    let sum: u64 = counted
        .iter()
        .map(|field| summary[field].as_u64().unwrap())
        .sum();
    assert_eq!(sum, 20_000);
    holds(&summary, &[("users", 500), ("posts", 2_000)]);

    let at_least = summary["seq"].as_u64().unwrap();
    let request = alice.ask(GetUserTimelineRequest {
        username: "u1".into(),
        at_least,
        ..GetUserTimelineRequest::default()
    });
    let page = alice
        .api
        .get_user_timeline(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!((page.posts[0].id, &*page.posts[0].text), (at_least, "1999"));
    let request = alice.ask(ListUsersRequest {
        filter: UserFilter::Following.into(),
        username: "u7".into(),
        page_size: 200,
        ..ListUsersRequest::default()
    });
    let page = alice.api.list_users(request).await.unwrap().into_inner();
    assert!(page.users.len() > 10, "{}", page.users.len());
}

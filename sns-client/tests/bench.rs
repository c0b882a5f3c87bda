//! `sns bench` against real servers: what it prints, and how it ends.
#![allow(
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "outside of the test functions too"
)]

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

const SNS: &str = env!("CARGO_BIN_EXE_sns");

/// A pair of servers and their router, on a scratch directory; nothing of it outlives the test.
struct Service {
    up: Child,
    router: String,
    dir: TempDir,
}

impl Service {
    /// `None` where the server was not built: it is another package, which cargo builds beside this
    /// one when the whole workspace is tested.
    fn start() -> Option<Self> {
        let Some(server) = server() else {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "no sns-server");
            eprintln!("SKIPPED: no sns-server beside {SNS}: cargo build -p sns-server");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let mut up = Command::new(server)
            .args(["up", "--servers", "1", "--listen", "127.0.0.1:0", "--data"])
            .arg(dir.path().join("data"))
            .env("SNS_TRACE", "error")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(up.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let router = line.trim().strip_prefix("router ").unwrap_or_default();
        Some(Self {
            router: router.to_owned(),
            up,
            dir,
        })
    }

    fn bench(&self, words: &str) -> Output {
        self.command(words).output().unwrap()
    }

    fn command(&self, words: &str) -> Command {
        let mut command = sns(words);
        command.env("SNS_ROUTER", &self.router);
        command
    }

    /// A ring of 40 users who follow the next five each, as a file.
    fn ring(&self) -> PathBuf {
        let mut text = String::from("# a ring\n");
        for user in 0..40 {
            for next in 1..=5 {
                writeln!(text, "u{user} u{}", (user + next) % 40).unwrap();
            }
        }
        let path = self.dir.path().join("ring.edges");
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Index of the newest entry that a server has applied.
    fn applied(&self) -> u64 {
        let status = Command::new(server().unwrap())
            .args(["status", "--json", "--data"])
            .arg(self.dir.path().join("data"))
            .output()
            .unwrap();
        let lines = String::from_utf8(status.stdout).unwrap();
        let servers = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        servers
            .filter_map(|server| server["applied"].as_u64())
            .max()
            .unwrap_or(0)
    }

    fn import(&self, follows: &Path) {
        let imported = Command::new(server().unwrap())
            .arg("import")
            .arg("--data")
            .arg(self.dir.path().join("data"))
            .arg("--follows")
            .arg(follows)
            .output()
            .unwrap();
        assert!(imported.status.success(), "{imported:?}");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        signal(&self.up, Signal::TERM);
        self.up.wait().unwrap();
    }
}

fn server() -> Option<PathBuf> {
    let path = Path::new(SNS).with_file_name("sns-server");
    path.exists().then_some(path)
}

fn sns(words: &str) -> Command {
    let mut command = Command::new(SNS);
    command
        .arg("bench")
        .args(words.split(' '))
        .env_remove("SNS_USER")
        .env_remove("SNS_JSON")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

fn object(output: &Output) -> Value {
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(stdout.lines().count(), 1, "{output:?}");
    serde_json::from_str(&stdout).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_run_prints_its_figures_and_ends_as_was_asked_for() {
    let Some(service) = Service::start() else {
        return;
    };
    let ring = service.ring();
    let ring = ring.to_str().unwrap();
    let run = |words: &str| {
        let words = format!("--graph {ring} --duration 1s {words}");
        service.bench(&words)
    };

    // Not imported yet: it says how, and makes nobody.
    let refused = run("--rate 100");
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    let advice = format!("sns-server import --data DIR --follows {ring}");
    assert!(stderr(&refused).contains(&advice), "{refused:?}");
    service.import(Path::new(ring));

    let done = run("--mix nightcore --rate 100 --connections 8 --seed 7 --json");
    assert!(done.status.success(), "{done:?}");
    assert!(stderr(&done).contains("made 800 posts"), "{done:?}");
    let report = object(&done);
    for (key, expected) in [
        ("mix", Value::from("nightcore")),
        ("graph", "ring.edges".into()),
        ("users", 40.into()),
        ("connections", 8.into()),
        ("servers", 2.into()),
        ("seed", 7.into()),
        ("rate", 100.0.into()),
        ("requests", 100.into()),
        ("answered", 100.into()),
        ("errors", 0.into()),
        ("unsent", 0.into()),
        ("duration_s", 1.0.into()),
        ("posts_per_page", 20.0.into()),
    ] {
        assert_eq!(report[key], expected, "{key}: {report}");
    }
    for key in ["achieved", "p50_ms", "p99_ms", "p999_ms", "max_ms"] {
        assert!(report[key].as_f64().unwrap() > 0.0, "{key}: {report}");
    }
    let kinds = report["kinds"].as_object().unwrap();
    let counts = kinds.values().map(|kind| kind["count"].as_u64().unwrap());
    assert_eq!(counts.sum::<u64>(), 100);

    // The second run finds the posts; the table is for humans.
    let met = run("--rate 50 --fail-if p50>1us --fail-if errors>0 --fail-if achieved<1");
    assert_eq!(met.status.code(), Some(10), "{met:?}");
    let told = stderr(&met);
    assert!(told.starts_with("error: p50>1us: it is "), "{met:?}");
    assert!(
        !told.contains("errors") && !told.contains("made"),
        "{met:?}"
    );
    let table = String::from_utf8_lossy(&met.stdout);
    assert!(
        table.contains("dsb on ring.edges (40 users), 64 connections to 2 servers"),
        "{table}"
    );
    assert!(table.contains("user page"), "{table}");

    let watched = run("--mix watch --rate 40 --connections 100 --json");
    assert!(watched.status.success(), "{watched:?}");
    let report = object(&watched);
    assert_eq!(report["connections"], 100, "{report}");
    assert_eq!(report["posts"], 40, "{report}");
    assert!(report["expected"].as_u64().unwrap() > 0, "{report}");
    assert_eq!(report["came"], report["expected"], "{report}");
    assert_eq!(
        (&report["missing"], &report["errors"]),
        (&0.into(), &0.into()),
        "{report}"
    );
    assert!(report["p50_ms"].as_f64().unwrap() > 0.0, "{report}");

    // Whoever presses Ctrl-C gets the figures until then.
    let before = service.applied();
    let words = "--mix post --rate 50 --duration 1h --warmup 0s --json";
    let endless = service.command(&format!("--graph {ring} {words}"));
    let (code, report) = interrupted(endless, |_| {
        let deadline = Instant::now() + Duration::from_secs(60);
        while service.applied() < before + 2 {
            assert!(Instant::now() < deadline, "the run never began");
        }
    });
    assert_eq!(code, Some(0), "{report}");
    assert!(report["answered"].as_u64().unwrap() > 0, "{report}");

    // A search says which rates it tried; one that did not end found none.
    let words = "--mix read --find-max --p99 10s --duration 1s --json";
    let search = service.command(&format!("--graph {ring} {words}"));
    let (code, report) = interrupted(search, |stderr| {
        assert!(
            stderr
                .lines()
                .any(|line| line.unwrap().contains("1000/s: achieved"))
        );
    });
    assert_eq!(code, Some(10), "{report}");
    assert_eq!(report["find_max"]["held"], false, "{report}");
    assert_eq!(report["find_max"]["tried"][0]["rate"], 1_000.0, "{report}");
}

/// Ends a command as Ctrl-C does when it is time; its exit code and its object.
fn interrupted(
    mut command: Command,
    wait: impl FnOnce(&mut BufReader<std::process::ChildStderr>),
) -> (Option<i32>, Value) {
    let mut child = command.spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    wait(&mut stderr);
    signal(&child, Signal::INT);
    let mut stdout = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut stdout)
        .unwrap();
    let code = child.wait().unwrap().code();
    (code, serde_json::from_str(&stdout).unwrap())
}

#[test]
fn what_makes_no_sense_ends_before_anything_is_connected() {
    for words in [
        "--rate fast",
        "--mix dsb",
        "--rate 1 --fail-if p99>3",
        "--rate 1 --graph /no/such/file",
        "--mix watch --find-max",
    ] {
        let refused = sns(&format!("--router 127.0.0.1:1 --json {words}"))
            .output()
            .unwrap();
        assert_eq!(refused.status.code(), Some(2), "{words}: {refused:?}");
        let error: Value = serde_json::from_str(stderr(&refused).trim()).unwrap();
        assert_eq!(error["error"]["kind"], "invalid", "{words}");
        assert!(refused.stdout.is_empty(), "{words}");
    }
}

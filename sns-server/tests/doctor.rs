//! `doctor` on machines and data that are in a bad way for real.

#![allow(clippy::unwrap_used, reason = "a test: helpers outside #[test] too")]

#[path = "support/cluster.rs"]
mod cluster;

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use cluster::{Cluster, PROGRAM, stderr};
use serde_json::Value;
use sns_core::{Clock, DataDir, Sns};

/// What `doctor` said: its findings, and its exit code.
struct Told {
    findings: Vec<Value>,
    code: i32,
    stderr: String,
}

impl Told {
    fn of(output: &Output) -> Self {
        let text = String::from_utf8_lossy(&output.stdout);
        let rows = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let mut findings: Vec<Value> = rows.collect();
        let summary = findings
            .pop()
            .unwrap_or_else(|| panic!("{}", stderr(output)));
        let count = |verdict: &str| {
            let rows = findings.iter().filter(|it| it["verdict"] == verdict);
            rows.count() as u64
        };
        for verdict in ["ok", "warn", "fail"] {
            assert_eq!(summary[verdict], count(verdict), "{text}");
        }
        let code = output.status.code().unwrap();
        assert_eq!(code == 0, count("fail") == 0, "{text}");
        for finding in &findings {
            // Whoever is told of trouble is told what to do.
            assert_eq!(
                finding["advice"].is_null(),
                finding["verdict"] == "ok",
                "{finding}"
            );
        }
        Self {
            findings,
            code,
            stderr: stderr(output),
        }
    }

    /// What a check that did not end well found.
    #[track_caller]
    fn trouble(&self, check: &str, verdict: &str) -> String {
        let mut rows = self.findings.iter();
        let found = rows.find(|it| it["check"] == check && it["verdict"] == verdict);
        let found =
            found.unwrap_or_else(|| panic!("no {verdict} of {check}: {:#?}", self.findings));
        format!("{} {}", found["found"], found["advice"])
    }

    fn fails(&self) -> Vec<&str> {
        let rows = self.findings.iter().filter(|it| it["verdict"] == "fail");
        rows.map(|it| it["check"].as_str().unwrap()).collect()
    }
}

/// `doctor` of `data`, with ports that are drawn unless `more` says otherwise.
fn doctor(data: &Path, more: &[&str]) -> Told {
    let mut line = vec!["doctor", "--json", "--data", data.to_str().unwrap()];
    if !more.contains(&"--listen") {
        line.extend(["--listen", "127.0.0.1:0"]);
    }
    line.extend(more);
    Told::of(&Command::new(PROGRAM).args(line).output().unwrap())
}

/// Data with a few entries, written by a clock that is `ahead` of this machine's.
fn feed(data: &Path, ahead_ms: u64) {
    let now = Clock::system().now_ms() + ahead_ms;
    let sns = Sns::builder(data)
        .clock(Clock::manual(Arc::new(AtomicU64::new(now))))
        .open();
    let sns = sns.unwrap();
    let alice = sns.user("alice").unwrap();
    sns.post(&alice, "hello").wait().unwrap();
    sns.close();
}

#[test]
fn a_sound_directory_passes_also_before_it_is_made_and_nothing_is_left_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    assert_eq!(doctor(&data, &[]).fails(), [""; 0]);
    assert!(!data.exists());
    feed(&data, 0);
    let names = || {
        let mut all: Vec<_> = std::fs::read_dir(&data)
            .unwrap()
            .map(|it| it.unwrap().file_name())
            .collect();
        all.sort();
        all
    };
    let before = names();
    let told = doctor(&data, &[]);
    assert_eq!((told.fails(), told.code), (vec![], 0));
    assert_eq!(names(), before);
    let log = told
        .findings
        .iter()
        .find(|it| it["check"] == "log")
        .unwrap();
    assert!(log["found"].as_str().unwrap().contains("entries"), "{log}");
    // A router has no data.
    assert!(
        !doctor(&data, &["--role", "router"])
            .findings
            .iter()
            .any(|it| it["check"] == "log")
    );
}

#[test]
fn a_port_in_use_is_told_with_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap().to_string();
    let told = doctor(&dir.path().join("data"), &["--listen", &address]);
    assert_eq!((told.fails(), told.code), (vec!["ports"], 7));
    let found = told.trouble("ports", "fail");
    let own = format!("process {}", std::process::id());
    assert!(found.contains(&address) && found.contains(&own), "{found}");
    assert!(told.stderr.contains("ports"), "{}", told.stderr);
}

#[test]
fn rights_that_a_server_would_refuse_are_told_with_what_to_type() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    feed(&data, 0);
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(&data.join("secret"), 0o644);
    let told = doctor(&data, &[]);
    assert_eq!((told.fails(), told.code), (vec!["rights"], 2));
    assert!(told.trouble("rights", "fail").contains("chmod 600"));
    mode(&data.join("secret"), 0o600);
    let stray = data.join("log/stray");
    std::fs::write(&stray, "x").unwrap();
    mode(&stray, 0o666);
    let told = doctor(&data, &[]);
    assert!(told.trouble("rights", "warn").contains("stray"));
    std::fs::remove_file(&stray).unwrap();
    mode(&data, 0o777);
    let told = doctor(&data, &[]);
    assert_eq!(told.code, 2);
    assert!(told.trouble("rights", "fail").contains("chmod go-w"));
}

#[test]
fn a_shell_with_few_descriptors_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let told = |most: u32| {
        let line = format!("ulimit -n {most} && exec \"$@\"");
        let output = Command::new("sh")
            .args([
                "-c",
                &line,
                "sh",
                PROGRAM,
                "doctor",
                "--json",
                "--listen",
                "127.0.0.1:0",
            ])
            .arg("--data")
            .arg(&data)
            .output();
        Told::of(&output.unwrap())
    };
    let few = told(1_024);
    assert!(
        few.trouble("descriptors", "warn")
            .contains("--max-connections")
    );
    let none = told(64);
    assert_eq!((none.fails(), none.code), (vec!["descriptors"], 7));
    assert!(none.trouble("descriptors", "fail").contains("LimitNOFILE"));
}

#[test]
fn a_clock_behind_the_log_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    feed(&data, 3_600_000);
    let told = doctor(&data, &[]);
    assert_eq!((told.fails(), told.code), (vec!["clock"], 2));
    let found = told.trouble("clock", "fail");
    assert!(found.contains("future") && found.contains("NTP"), "{found}");
}

#[test]
fn a_disk_without_room_for_the_next_segment_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    feed(&data, 0);
    let told = doctor(&data, &["--segment-bytes", "9000000000000000000"]);
    assert_eq!((told.fails(), told.code), (vec!["space"], 6));
    assert!(told.trouble("space", "fail").contains("PiB"));
}

/// Namespaces give everybody a file system of their own; where they are not to be had, the test above
/// is all there is.
#[test]
fn a_full_disk_is_told_where_namespaces_let_one_be_made() {
    let dir = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=1m,nr_inodes=64 none \"$1\" && \
                  dd if=/dev/zero of=\"$1/fill\" bs=1k count=1000 2>/dev/null && \
                  exec \"$2\" doctor --json --listen 127.0.0.1:0 --data \"$1/data\"";
    let output = Command::new("unshare")
        .args(["-rm", "sh", "-c", script, "sh"])
        .arg(dir.path())
        .arg(PROGRAM)
        .output();
    let Some(output) = output.ok().filter(|it| !it.stdout.is_empty()) else {
        println!("not run: no namespaces here");
        return;
    };
    let told = Told::of(&output);
    assert!(told.fails().contains(&"space"), "{:#?}", told.findings);
    assert!(told.trouble("disk", "warn").contains("tmpfs"));
    assert_eq!(told.code, 6);
}

#[test]
fn data_of_another_version_and_damage_end_with_exit_code_9() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    feed(&data, 0);
    let format = data.join("format.json");
    let text = std::fs::read_to_string(&format).unwrap();
    std::fs::write(&format, text.replace("\"version\":1", "\"version\":9")).unwrap();
    let told = doctor(&data, &[]);
    assert_eq!((told.fails(), told.code), (vec!["data"], 9));
    assert!(told.trouble("data", "fail").contains("format 9"));
    std::fs::write(&format, "{").unwrap();
    assert_eq!(doctor(&data, &[]).code, 9);
}

#[test]
fn files_of_tls_are_read_as_a_server_reads_them() {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let made = |days: &str, more: &[&str]| {
        let out = place("certs");
        let line = [&["cert", "--out", &out, "--days", days], more].concat();
        assert!(
            Command::new(PROGRAM)
                .args(line)
                .output()
                .unwrap()
                .status
                .success()
        );
    };
    made("9", &[]);
    let (cert, key) = (place("certs/server.pem"), place("certs/server.key"));
    let ca = place("certs/ca.pem");
    let flags = ["--tls-cert", &cert, "--tls-key", &key, "--tls-ca", &ca];
    let told = doctor(&dir.path().join("data"), &flags);
    assert!(told.trouble("tls", "warn").contains("days"));
    made("300", &["--renew"]);
    let told = doctor(&dir.path().join("data"), &flags);
    assert!(
        told.findings
            .iter()
            .any(|it| it["check"] == "tls" && it["verdict"] == "ok")
    );
    std::fs::write(&key, "no key").unwrap();
    let told = doctor(&dir.path().join("data"), &flags);
    assert_eq!((told.fails(), told.code), (vec!["tls"], 2));
}

#[test]
fn a_service_that_runs_is_not_disturbed_and_its_ports_are_its_own() {
    let free = sns_server::ports::draw([127, 0, 0, 1].into(), 1).unwrap()[0];
    let listen = format!("127.0.0.1:{free}");
    let cluster = Cluster::start_in(tempfile::tempdir().unwrap(), 1, &listen);
    let before = (cluster.pid("a-master"), cluster.pid("a-slave"));
    let told = doctor(&cluster.data(), &["--listen", &listen]);
    assert_eq!(told.fails(), [""; 0], "{:#?}", told.findings);
    let ports = told
        .findings
        .iter()
        .find(|it| it["check"] == "ports")
        .unwrap();
    assert!(
        ports["found"]
            .as_str()
            .unwrap()
            .contains("router of this data"),
        "{ports}"
    );
    assert!(told.findings.iter().any(|it| it["check"] == "versions"));
    let after = (cluster.pid("a-master"), cluster.pid("a-slave"));
    assert_eq!(before, after);
    let data = DataDir::open_existing(cluster.data(), true).unwrap();
    assert!(data.node_is_running("a-master").unwrap());
}

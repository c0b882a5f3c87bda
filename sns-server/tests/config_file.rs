//! `--config FILE`, `config show` and `config check` as a user types them.

#![allow(clippy::unwrap_used, reason = "a test: helpers outside #[test] too")]

#[path = "support/cluster.rs"]
mod cluster;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cluster::{Cluster, PROGRAM, run, stderr};
use serde_json::Value;
use tempfile::TempDir;

/// A scratch directory with `sns.toml` in it.
fn scratch(text: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sns.toml");
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

/// Runs the program with no variable but these.
fn with(line: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(PROGRAM);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SNS_") {
            command.env_remove(name);
        }
    }
    let variables = variables.iter().copied();
    command.args(line).envs(variables).output().unwrap()
}

/// The objects of `config show`.
#[track_caller]
fn shown(file: &Path, line: &[&str], variables: &[(&str, &str)]) -> Vec<Value> {
    let file = file.to_str().unwrap();
    let words = [&["--config", file, "--json", "config", "show"], line].concat();
    let output = with(&words, variables);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[track_caller]
fn setting<'a>(all: &'a [Value], name: &str) -> &'a Value {
    all.iter().find(|it| it["setting"] == name).unwrap()
}

/// The line on stderr of what ends with exit code 2.
#[track_caller]
fn refused(line: &[&str], variables: &[(&str, &str)]) -> String {
    let output = with(line, variables);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let text = stderr(&output);
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

#[test]
fn flags_variables_the_file_and_defaults_count_in_this_order_and_show_says_which_did() {
    let (_dir, file) = scratch(
        "listen = \"127.0.0.1:7411\"\npolicy = \"p2c\"\nslow-call-ms = 9\nservers = 5\n\n[up]\n\
         servers = 6\n",
    );
    let line = ["up", "--slow-call-ms", "11"];
    let all = shown(&file, &line, &[("SNS_POLICY", "random"), ("SNS_HTTP", "")]);
    let policy = setting(&all, "policy");
    assert_eq!(policy["value"], "random");
    assert_eq!(policy["origin"], "variable");
    assert_eq!(policy["variable"], "SNS_POLICY");
    let slow = setting(&all, "slow-call-ms");
    assert_eq!(
        (&slow["value"], &slow["origin"]),
        (&"11".into(), &"flag".into())
    );
    let servers = setting(&all, "servers");
    assert_eq!(
        (&servers["value"], &servers["line"]),
        (&"6".into(), &7.into())
    );
    assert_eq!(servers["file"], file.to_str().unwrap());
    let data = setting(&all, "data");
    assert_eq!(
        (&data["value"], &data["origin"]),
        (&"./sns-data".into(), &"default".into())
    );
    let http = setting(&all, "http");
    assert_eq!(
        (&http["value"], &http["origin"]),
        (&Value::Null, &"default".into())
    );
    // The same for people, with the file named by a variable.
    let file = file.to_str().unwrap();
    let table = with(
        &["config", "show", "--origin", "up", "--slow-call-ms=11"],
        &[("SNS_CONFIG", file), ("SNS_POLICY", "random")],
    );
    let table = String::from_utf8(table.stdout).unwrap();
    let row = |name: &str| {
        let mut rows = table
            .lines()
            .filter(|row| row.split_whitespace().next() == Some(name));
        let row = rows.next().unwrap_or_else(|| panic!("{name} in {table}"));
        row.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("policy"), "random SNS_POLICY (environment)");
    assert_eq!(row("slow-call-ms"), "11 flag");
    assert_eq!(row("servers"), format!("6 {file}:7"));
    assert_eq!(row("max-connections"), "4096 default");
    assert_eq!(row("http"), "- default");
}

#[test]
fn show_without_a_command_shows_those_that_run_as_a_service() {
    let (_dir, file) = scratch("[slave]\nname = \"b\"\n");
    let all = shown(&file, &[], &[]);
    let of = |command: &str| {
        let rows = all.iter().filter(|it| it["command"] == command);
        rows.cloned().collect::<Vec<Value>>()
    };
    for command in ["up", "router", "master", "slave"] {
        assert!(!of(command).is_empty(), "{command}");
    }
    assert_eq!(setting(&of("slave"), "name")["value"], "b");
    assert_eq!(setting(&of("master"), "name")["value"], Value::Null);
}

#[test]
fn a_mistake_is_told_with_file_line_and_key() {
    let (_dir, path) = scratch("\nservres = 3\n");
    let file = path.to_str().unwrap();
    let place = format!("{file}:2: servres");
    let told = refused(&["--config", file, "up"], &[]);
    assert!(
        told.contains(&place) && told.contains("`servers`"),
        "{told}"
    );
    // Also of commands that would not read the key, after the command, and by a variable.
    assert!(refused(&["down", "--config", file], &[]).contains(&place));
    let told = refused(&["status", "--json"], &[("SNS_CONFIG", file)]);
    let object: Value = serde_json::from_str(&told).unwrap();
    assert!(
        object["error"]["message"]
            .as_str()
            .unwrap()
            .contains(&place)
    );
    // And what is wrong with an address is known only once it is checked.
    std::fs::write(&path, "\n\n[router]\nlisten = \"0.0.0.0:1\"\n").unwrap();
    let told = refused(&["--config", file, "router"], &[]);
    assert!(told.contains(&format!("{file}:4: `listen`")), "{told}");
    let missing = refused(&["--config", "/no/such/file", "up"], &[]);
    assert!(missing.contains("/no/such/file"), "{missing}");
}

#[test]
fn the_settings_that_come_with_the_units_count() {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd");
    let (_dir, file) = scratch(&std::fs::read_to_string(deploy.join("sns.toml")).unwrap());
    let file = file.to_str().unwrap();
    let mut units = 0;
    for entry in std::fs::read_dir(&deploy).unwrap() {
        let path = entry.unwrap().path();
        let unit = std::fs::read_to_string(&path).unwrap();
        let Some(command) = unit
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart="))
        else {
            continue;
        };
        units += 1;
        // A variable in a unit would go before the file, and its keys would count for nothing.
        let variables = unit
            .lines()
            .filter(|line| line.starts_with("Environment=SNS_"));
        let variables: Vec<&str> = variables.collect();
        assert_eq!(
            variables,
            ["Environment=SNS_CONFIG=/etc/sns/sns.toml"],
            "{path:?}"
        );
        let command = command.replace("%i", "a");
        let words: Vec<&str> = command.split(' ').skip(1).collect();
        let line = [&["--config", file, "config", "check"], &*words].concat();
        let output = with(&line, &[]);
        assert!(output.status.success(), "{path:?}: {}", stderr(&output));
        let all = shown(Path::new(file), &words, &[]);
        assert_eq!(setting(&all, "listen")["origin"], "file", "{path:?}");
    }
    assert_eq!(units, 4);
}

#[test]
fn check_says_whether_a_command_would_be_run_and_runs_nothing() {
    let (dir, path) = scratch("data = \"d\"\nlisten = \"127.0.0.1:0\"\n");
    let file = path.to_str().unwrap();
    let passed = with(
        &["--config", file, "config", "check", "up", "--servers", "3"],
        &[],
    );
    assert!(passed.status.success(), "{}", stderr(&passed));
    assert!(String::from_utf8_lossy(&passed.stdout).starts_with("up: fine; 3 settings"));
    assert!(!dir.path().join("d").exists());
    let alone = with(&["--config", file, "config", "check"], &[]);
    assert!(alone.status.success(), "{}", stderr(&alone));
    let told = refused(
        &[
            "--config",
            file,
            "config",
            "check",
            "router",
            "--listen",
            "0.0.0.0:1",
        ],
        &[],
    );
    assert!(told.contains("--tls-cert"), "{told}");
    let told = refused(&["--config", file, "config", "check", "slave"], &[]);
    assert!(told.contains("--name"), "{told}");
    refused(&["config", "check"], &[]);
    refused(&["config", "check", "fly"], &[]);
}

#[test]
fn what_stands_in_the_file_reaches_all_that_up_starts() {
    let (dir, path) = scratch(
        "data = \"data\"\nlisten = \"127.0.0.1:0\"\nauth = \"accounts\"\nslow-call-ms = 777\n\
         max-connections = 99\nmax-connections-per-address = 55\nrate-limits = \"off\"\n\
         segment-bytes = 100000\n[up]\nservers = 1\n[slave]\nslow-call-ms = 1\n[router]\n\
         max-connections = 1\n",
    );
    // Named by a variable, which children inherit; the tables of `slave` and `router` are not for
    // them, as `up` has told them what to do.
    let mut command = Command::new(PROGRAM);
    command.arg("up").env("SNS_CONFIG", &path);
    let cluster = Cluster::of(command, dir);
    let data = cluster.data();
    let status = run(&["status", "--json", "--data", data.to_str().unwrap()]);
    let rows = cluster::rows(&status);
    assert_eq!(rows.len(), 3, "{rows:?}");
    let mut asked = 0;
    for row in rows.iter().filter(|row| row["role"] != "router") {
        let pid = row["pid"].as_u64().unwrap();
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        let line = String::from_utf8(line).unwrap().replace('\0', " ");
        for flag in [
            "--slow-call-ms 777",
            "--auth accounts",
            "--max-connections 99",
            "--max-connections-per-address 55",
            "--rate-limits off",
            "--segment-bytes 100000",
        ] {
            assert!(line.contains(flag), "{flag} in {line}");
        }
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
        let environment = String::from_utf8_lossy(&environment);
        assert!(!environment.contains("SNS_CONFIG"), "{environment}");
        asked += 1;
    }
    assert_eq!(asked, 2);
}

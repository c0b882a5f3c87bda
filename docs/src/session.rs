//! The commands of one document, run as a reader would type them.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::page::{Block, How};
use crate::ports::Ports;
use crate::tree::root;

/// How long the commands of one document may take in all; `timeout` of coreutils ends them.
const LIMIT_S: u32 = 240;

/// Marks every process that comes from a document, so that none outlives it.
const MARK: &str = "SNS_DOCS_RUN";

/// What stands in front of all blocks.
const PROLOGUE: &str = r#"
set -eE -o pipefail
shopt -s expand_aliases
trap 'echo "line $AT of the document: \`$BASH_COMMAND\` ended with $?" >&2; for f in "$HOME"/background.*; do [ -s "$f" ] && { echo "--- $f"; tail -n 30 "$f"; } >&2; done; exit 1' ERR
interrupted() { timeout --foreground --preserve-status -s INT 2 "$@" || [ $? -eq 130 ] || [ $? -eq 124 ]; }
first_line_of() {
  for _ in $(seq 600); do
    if [ -s "$1.out" ]; then return; fi
    if ! kill -0 "$2" 2>/dev/null; then echo "it ended: $(cat "$1.err")" >&2; return 1; fi
    sleep 0.1
  done
  echo "it never printed a line: $(cat "$1.err")" >&2
  return 1
}
"#;

/// Stands in for `cargo`: what is built already is run, and nothing is built.
const CARGO: &str = r#"#!/bin/bash
# Everything has been built by `cargo test`; a reader would wait for it here.
set -e
task=$1; shift
[ "$task" = test ] && [ $# -eq 0 ] && exit 0
package= example= bin=
while [ $# -gt 0 ]; do
  case $1 in
    -p|--package) package=$2; shift 2;;
    --example) example=$2; shift 2;;
    --bin) bin=$2; shift 2;;
    --release|--quiet|-q|--locked) shift;;
    --) shift; break;;
    *) echo "the test of the documents knows no \`cargo $task $1\`: not-run?" >&2; exit 2;;
  esac
done
[ "$package" = sns-client ] && bin=${bin:-sns}
built=$SNS_DOCS_BIN/${bin:-$package}
[ -n "$example" ] && built=$SNS_DOCS_BIN/examples/$example
[ -x "$built" ] || { echo "$built is not built" >&2; exit 2; }
case $task in
  run) exec "$built" "$@";;
  build) ;;
  *) echo "the test of the documents knows no \`cargo $task\`: not-run?" >&2; exit 2;;
esac
"#;

/// Programs of others that documents use; a reader installs them, and a test may do without.
const TOOLS: &[&str] = &["curl", "gzip", "jq", "nats-server", "python3"];

/// Those of them that `blocks` need and this machine has not.
fn missing(blocks: &[Block]) -> Vec<&'static str> {
    let run = |block: &&Block| matches!(block.how, How::Run | How::Background);
    let all: String = blocks.iter().filter(run).map(|b| b.text.as_str()).collect();
    let words: Vec<&str> = all
        .split(|c: char| c.is_whitespace() || "|;&()`".contains(c))
        .collect();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let here = |tool: &str| match tool {
        "nats-server" => sns_natsd::program().is_ok(),
        _ => std::env::split_paths(&path).any(|dir| dir.join(tool).exists()),
    };
    let needed = TOOLS.iter().filter(|tool| words.contains(tool));
    needed.copied().filter(|tool| !here(tool)).collect()
}

/// Runs all blocks that can be; `bin` is where cargo puts programs. Says `SKIPPED` where a program of
/// others is missing; with `CI=true` that is an error.
///
/// # Errors
/// What did not work, for a human.
/// # Panics
/// The scratch directory cannot be made.
pub fn run(name: &str, blocks: &[Block], bin: &Path) -> Result<(), String> {
    let missing = missing(blocks);
    if !missing.is_empty() {
        let why = format!("{name} needs {}", missing.join(", "));
        if std::env::var_os("CI").is_some_and(|ci| ci == "true") {
            return Err(why);
        }
        let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
        return Ok(());
    }
    let home = tempfile::tempdir().expect("a scratch directory");
    let marker = home.path().to_string_lossy().into_owned();
    furnish(home.path(), bin).map_err(|e| format!("the scratch directory: {e}"))?;
    let ports = Ports::draw();
    let script = script(blocks, ports, home.path());
    let mut path = std::env::join_paths([home.path().join(".bin"), bin.to_path_buf()])
        .expect("no colon in paths");
    let usual = std::env::var_os("PATH").unwrap_or_default();
    path.push(":");
    path.push(usual);
    if script.contains("nats-server")
        && let Ok(nats) = sns_natsd::program()
        && let Some(dir) = nats.parent()
    {
        path.push(":");
        path.push(dir);
    }
    let file = home.path().join(".script");
    fs::write(&file, script).map_err(|e| e.to_string())?;
    let listen = format!("127.0.0.1:{}", ports.of(7400).unwrap_or_default());
    // Into files: what stays in the background would hold a pipe open.
    let told = |name: &str| home.path().join(format!(".{name}"));
    let file_of = |name: &str| fs::File::create(told(name)).map_err(|e| e.to_string());
    let status = Command::new("timeout")
        .args(["--kill-after=5", &LIMIT_S.to_string(), "bash"])
        .arg(&file)
        .current_dir(home.path())
        .env_clear()
        .env("PATH", path)
        .env("HOME", home.path())
        .env("TMPDIR", home.path().join("tmp"))
        .env("XDG_CONFIG_HOME", home.path().join(".config"))
        .env("LANG", "C.UTF-8")
        .env("SNS_DOCS_BIN", bin)
        .env("SNS_ROUTER", format!("http://{listen}"))
        .env("SNS_LISTEN", listen)
        .env(MARK, &marker)
        .stdin(Stdio::null())
        .stdout(file_of("stdout")?)
        .stderr(file_of("stderr")?)
        .process_group(0)
        .status();
    end_all(&marker);
    let status = status.map_err(|e| format!("bash does not start: {e}"))?;
    if status.success() {
        return Ok(());
    }
    let tail = |name: &str| {
        let text = fs::read(told(name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    };
    Err(format!(
        "{name}: {} (124: it took longer than {LIMIT_S} s)\n{}\n--- printed before:\n{}",
        status,
        tail("stderr"),
        tail("stdout")
    ))
}

/// What a reader has before them: the tree, with everything built.
fn furnish(home: &Path, bin: &Path) -> std::io::Result<()> {
    for dir in [".bin", ".config", "tmp", "target"] {
        fs::create_dir(home.join(dir))?;
    }
    for profile in ["debug", "release"] {
        symlink(bin, home.join("target").join(profile))?;
    }
    for entry in fs::read_dir(root())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_owned();
        let hidden = name.to_string_lossy().starts_with('.');
        if !hidden && name != "target" && !name.to_string_lossy().starts_with("sns-data") {
            symlink(&path, home.join(name))?;
        }
    }
    let cargo = home.join(".bin/cargo");
    fs::write(&cargo, CARGO)?;
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755))
}

fn script(blocks: &[Block], ports: Ports, home: &Path) -> String {
    let mut script = PROLOGUE.to_owned();
    let mut background = 0;
    for block in blocks {
        let text = ports.moved(&block.text);
        let text = text.replace("10.0.0.5", "127.0.0.1");
        let text = text.replace("/tmp/", &format!("{}/tmp/", home.display()));
        let _ = writeln!(script, "AT={}", block.line);
        match block.how {
            How::Run => script.push_str(&interruptible(&text)),
            How::Background => {
                background += 1;
                let at = format!("$HOME/background.{background}");
                let _ = writeln!(
                    script,
                    "(\n{text}\n) > {at}.out 2> {at}.err &\nfirst_line_of {at} $!"
                );
            }
            How::NotRun(_) | How::Text => {}
        }
    }
    // What runs in the background is ended from outside.
    script.push_str("\nexit 0\n");
    script
}

/// Lines whose comment says Ctrl-C get one.
fn interruptible(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let ends = line
            .split_once(" # ")
            .is_some_and(|(_, comment)| comment.contains("Ctrl-C"));
        if ends {
            out.push_str("interrupted ");
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// Kills every process that came from this document, by its mark.
fn end_all(marker: &str) {
    let mark = format!("{MARK}={marker}");
    // A server may start another one while we look.
    for _ in 0..20 {
        let mut seen = false;
        for pid in processes() {
            let environ = fs::read(PathBuf::from(format!("/proc/{pid}/environ")));
            let ours =
                environ.is_ok_and(|vars| vars.split(|b| *b == 0).any(|v| v == mark.as_bytes()));
            if ours && let Some(pid) = Pid::from_raw(pid) {
                seen = true;
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        if !seen {
            return;
        }
    }
}

fn processes() -> Vec<i32> {
    let Ok(all) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

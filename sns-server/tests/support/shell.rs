//! Runs `sns-server` to its end, as a shell would.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "every test takes what it needs"
)]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The objects of stdout, one a line.
    pub fn objects(&self) -> Vec<Value> {
        let lines = self.stdout.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The last object of stdout: the summary.
    pub fn summary(&self) -> Value {
        self.objects()
            .pop()
            .unwrap_or_else(|| panic!("no summary: {self:?}"))
    }

    /// `error` of the object on stderr.
    pub fn error(&self) -> Value {
        let object: Value = serde_json::from_str(self.stderr.trim()).unwrap();
        object["error"].clone()
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }
}

/// `sns-server` with these words, then `--data data --json`.
pub fn run(words: &str, data: &Path, more: &[&str]) -> Ended {
    let output = Command::new(env!("CARGO_BIN_EXE_sns-server"))
        .args(words.split(' '))
        .arg("--data")
        .arg(data)
        .arg("--json")
        .args(more)
        .env("SNS_TRACE", "error")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Ended::of(output)
}

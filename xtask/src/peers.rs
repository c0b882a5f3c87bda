//! `cargo xtask bench-peers`: builds SNS and the peers' clients as users get them, and compares.

use std::path::Path;
use std::process::{Command, ExitCode};

use super::say;

/// Everything after the task's name goes to `sns-peers run`; `schemes` in front, to that.
pub(crate) fn run(args: &[String]) -> ExitCode {
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--release", "-p", "sns-server", "-p", "sns-peers"]);
    if !build.status().is_ok_and(|status| status.success()) {
        say("failed: cargo build");
        return ExitCode::FAILURE;
    }
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
    let program = Path::new(&target).join("release").join("sns-peers");
    let mut peers = Command::new(&program);
    if args.first().is_none_or(|first| first != "schemes") {
        peers.arg("run");
    }
    match peers.args(args).status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => {
            say(&format!("sns-peers ended with {status}"));
            ExitCode::FAILURE
        }
        Err(e) => {
            say(&format!("{}: {e}", program.display()));
            ExitCode::FAILURE
        }
    }
}

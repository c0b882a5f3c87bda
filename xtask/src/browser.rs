//! `cargo xtask shots` and `cargo xtask page-soak`: the pages in a real browser, beside its tests.

use std::path::Path;
use std::process::{Command, ExitCode};

use super::{finish, say};

/// Takes the pictures of the documentation.
pub(crate) fn shots(words: &[String]) -> ExitCode {
    run("sns-shots", false, words)
}

/// Keeps the pages open for an hour, and sees whether they grow.
pub(crate) fn page_soak(words: &[String]) -> ExitCode {
    run("sns-page-soak", true, words)
}

fn run(program: &str, release: bool, words: &[String]) -> ExitCode {
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "-p", "sns-server", "-p", "sns-client"]);
    build.args(["-p", "sns-browser", "--bins"]);
    if release {
        build.arg("--release");
    }
    let profile = if release { "release" } else { "debug" };
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
    let program = Path::new(&target).join(profile).join(program);
    let done = finish(&mut build).and_then(|()| finish(Command::new(program).args(words)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say(&format!("failed: {why}"));
            ExitCode::FAILURE
        }
    }
}

pub(crate) fn usage() {
    say("       cargo xtask shots [DIR]");
    say("                            pictures of the pages and the terminal, of a real service");
    say("       cargo xtask page-soak [--minutes 60] [--rate 20]");
    say("                            the pages open for an hour while servers die: do they grow?");
}

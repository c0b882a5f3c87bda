//! `cargo xtask attack [--only NAME]`: the attacks of `sns-server/tests/attack.rs` at full scale, with
//! the build of `cargo test`. `SNS_ATTACK_SERVER` names another server program to compare with.

use std::process::{Command, ExitCode};

use super::{finish, say};

/// Runs one, or all.
pub(crate) fn run(words: &[String]) -> ExitCode {
    let mut test = Command::new(env!("CARGO"));
    test.args(["test", "-p", "sns-server", "--test", "attack", "--"]);
    test.args(["--nocapture"]).env("SNS_ATTACK", "full");
    match words {
        [] => {}
        [only, name] if only == "--only" => {
            test.env("SNS_ATTACK_ONLY", name);
        }
        _ => {
            usage();
            return ExitCode::from(2);
        }
    }
    match finish(&mut test) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say(&format!("failed: attack: {why}"));
            ExitCode::FAILURE
        }
    }
}

pub(crate) fn usage() {
    say("       cargo xtask attack [--only NAME]");
    say("                            floods at full scale beside an honest user: silent, pings,");
    say("                            settings, resets, slow, oversized, abusers, headers");
}

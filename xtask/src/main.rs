//! Tasks of this workspace: `cargo xtask NAME`. They need cargo and nothing else.

use std::process::{Command, ExitCode};

mod attack;
mod browser;
mod chaos;
mod deb;
mod figures;
mod fuzz;
mod peers;
mod supply;

/// A command line, and what is set in its environment.
type Step = (
    &'static [&'static str],
    &'static [(&'static str, &'static str)],
);

/// Writes nothing: what the gate checks.
const VERIFY: &[Step] = &[
    (&["fmt", "--all", "--check"], &[]),
    (
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ],
        &[],
    ),
    (
        &["doc", "--workspace", "--no-deps"],
        &[("RUSTDOCFLAGS", "-D warnings")],
    ),
    (&["test"], &[]),
];

/// The random tests for much longer than `cargo test` gives them; each prints its seed.
const SOAK: &[Step] = &[
    (
        &[
            "test",
            "--release",
            "-p",
            "sns-core",
            "--test",
            "log_simulation",
            "--",
            "--nocapture",
        ],
        &[("SNS_SIM_SEEDS", "200000")],
    ),
    (
        &["test", "--release", "-p", "sns-core", "--test", "model"],
        &[("PROPTEST_CASES", "1000")],
    ),
    (
        &[
            "test",
            "--release",
            "-p",
            "sns-core",
            "--test",
            "log_cut_and_flipped",
            "--test",
            "every_call_of_the_disk_may_fail",
            "--test",
            "a_damaged_log_under_a_feed",
            "--",
            "--nocapture",
        ],
        &[
            ("SNS_DAMAGE_SEEDS", "8"),
            ("SNS_DAMAGE_STEP", "499"),
            ("SNS_NTH_SEEDS", "20"),
            ("SNS_NTH_PAIRS", "300000"),
        ],
    ),
    (
        &["test", "--release", "-p", "sns-server", "--lib", "explore"],
        &[("SNS_PAIR_DEPTH", "1")],
    ),
];

fn main() -> ExitCode {
    let task = std::env::args().nth(1);
    match task.as_deref() {
        Some("verify") => run(VERIFY).map_or_else(|code| code, |()| supply::run()),
        Some("supply-chain") => supply::run(),
        Some("fuzz") => fuzz::run(&std::env::args().skip(2).collect::<Vec<_>>()),
        Some("soak") => run(SOAK).map_or_else(|code| code, |()| ExitCode::SUCCESS),
        Some("attack") => attack::run(&std::env::args().skip(2).collect::<Vec<_>>()),
        Some("chaos") => chaos::run(std::env::args().nth(2).as_deref()),
        Some("deb") => deb::run(&std::env::args().skip(2).collect::<Vec<_>>()),
        Some("bench-peers") => peers::run(&std::env::args().skip(2).collect::<Vec<_>>()),
        Some("figures") => figures::run(&std::env::args().skip(2).collect::<Vec<_>>()),
        Some("shots") => browser::shots(&std::env::args().skip(2).collect::<Vec<_>>()),
        Some("page-soak") => browser::page_soak(&std::env::args().skip(2).collect::<Vec<_>>()),
        _ => {
            say("usage: cargo xtask verify   formatting, lints, docs, tests, licences");
            say(
                "       cargo xtask supply-chain  the lock file, licences, bans, sources, advisories",
            );
            say("       cargo xtask soak     the random tests for much longer");
            fuzz::usage();
            say(
                "       cargo xtask chaos    hurt a running service for an hour, and check everything",
            );
            chaos::usage();
            say("       cargo xtask bench-peers [--quick] [schemes] [--help]");
            say("                            Redis, PostgreSQL and SNS under the same load");
            say("       cargo xtask figures  take the figures of docs/performance.md [--quick]");
            figures::usage();
            deb::usage();
            attack::usage();
            browser::usage();
            ExitCode::from(2)
        }
    }
}

fn run(steps: &[Step]) -> Result<(), ExitCode> {
    for (args, env) in steps {
        say(&format!("cargo {}", args.join(" ")));
        let status = Command::new(env!("CARGO"))
            .args(*args)
            .envs(env.iter().copied())
            .status();
        if !status.is_ok_and(|status| status.success()) {
            say(&format!("failed: cargo {}", args.join(" ")));
            return Err(ExitCode::FAILURE);
        }
    }
    Ok(())
}

/// Runs it to its end.
fn finish(command: &mut Command) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{command:?} ended with {status}")),
        Err(e) => Err(format!("{command:?}: {e}")),
    }
}

#[allow(clippy::print_stderr, reason = "this is a command line")]
fn say(text: &str) {
    eprintln!("{text}");
}

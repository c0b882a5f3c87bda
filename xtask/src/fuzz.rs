//! `cargo xtask fuzz`: every target for a while, one after the other, with one worker.

use std::path::Path;
use std::process::{Command, ExitCode};

use crate::{finish, say};

/// As `fuzz/Cargo.toml` has them.
const TARGETS: [&str; 8] = [
    "frame",
    "entry",
    "page_token",
    "snapshot",
    "backup",
    "import",
    "token",
    "escape",
];

pub(crate) fn usage() {
    say("       cargo xtask fuzz [--seconds N] [--minimise] [TARGET...]");
    say("                            hostile bytes for whatever reads bytes, 600 s a target");
}

pub(crate) fn run(args: &[String]) -> ExitCode {
    match plan(args).and_then(|plan| plan.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say(&why);
            usage();
            ExitCode::FAILURE
        }
    }
}

#[derive(Debug)]
struct Plan {
    seconds: u32,
    /// Keep of the corpus only what reaches something else.
    minimise: bool,
    targets: Vec<String>,
}

fn plan(args: &[String]) -> Result<Plan, String> {
    let mut plan = Plan {
        seconds: 600,
        minimise: false,
        targets: Vec::new(),
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seconds" => {
                let number = args.next().and_then(|number| number.parse().ok());
                plan.seconds = number.ok_or("--seconds takes a number")?;
            }
            "--minimise" => plan.minimise = true,
            target if TARGETS.contains(&target) => plan.targets.push(target.to_owned()),
            other => return Err(format!("{other:?} is no target: {}", TARGETS.join(", "))),
        }
    }
    if plan.targets.is_empty() {
        plan.targets = TARGETS.map(str::to_owned).to_vec();
    }
    Ok(plan)
}

impl Plan {
    fn run(&self) -> Result<(), String> {
        let there = Command::new(env!("CARGO"))
            .args(["fuzz", "--version"])
            .output();
        if !there.is_ok_and(|output| output.status.success()) {
            return Err("cargo-fuzz is missing: cargo install cargo-fuzz --locked".to_owned());
        }
        for target in &self.targets {
            if self.minimise {
                finish(&mut cargo_fuzz("cmin", target, &[]))?;
            }
            say(&format!("{target}: {} s", self.seconds));
            let time = format!("-max_total_time={}", self.seconds);
            // What is found on the way goes to a scratch corpus; the kept one stays small.
            let found = format!("target/found/{target}");
            let found = Path::new("fuzz").join(found);
            std::fs::create_dir_all(&found).map_err(|e| format!("{}: {e}", found.display()))?;
            let flags = ["--", &time, "-rss_limit_mb=2048", "-timeout=20"];
            let mut command = cargo_fuzz("run", target, &[]);
            command.arg(&found).arg(format!("fuzz/corpus/{target}"));
            finish(command.args(flags))?;
        }
        Ok(())
    }
}

/// On the toolchain that is there: the fuzzer's own flags are for nightly ones, and work on this one
/// when it is told so. Without a sanitizer: there is no unsafe code of ours to watch.
fn cargo_fuzz(what: &str, target: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.env("RUSTC_BOOTSTRAP", "1");
    command
        .args(["fuzz", what, "--sanitizer", "none", target])
        .args(more);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_those_of_the_manifest_and_have_a_corpus() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
        let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
        let listed = manifest.matches("[[bin]]").count();
        assert_eq!(listed, TARGETS.len());
        let mut bytes = 0;
        for target in TARGETS {
            assert!(
                manifest.contains(&format!("name = \"{target}\"")),
                "{target}"
            );
            for file in std::fs::read_dir(fuzz.join("corpus").join(target)).unwrap() {
                bytes += file.unwrap().metadata().unwrap().len();
            }
        }
        assert!(
            bytes < 1 << 20,
            "the corpus has {bytes} bytes: cargo xtask fuzz --minimise"
        );
    }

    #[test]
    fn what_is_typed_becomes_a_plan() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let plan_of = |text: &str| plan(&words(text));
        let some = plan_of("--seconds 5 frame token").unwrap();
        assert_eq!((some.seconds, some.targets), (5, words("frame token")));
        assert_eq!(plan(&[]).unwrap().targets.len(), TARGETS.len());
        plan_of("--seconds x").unwrap_err();
        plan_of("nothing").unwrap_err();
    }
}

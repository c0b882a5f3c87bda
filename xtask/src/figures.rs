//! `cargo xtask figures [NAME...] [--OPTION...]`: the figures behind `docs/performance.md`, each
//! taken by a subcommand of `sns-figures`, in a release build. Options go to each of them; `--quick`
//! takes small figures. The figures are appended to `target/figures.jsonl`.

use std::path::Path;
use std::process::{Command, ExitCode};

use super::{finish, say};

/// All of them take about 15 minutes.
const FIGURES: &[(&str, &str)] = &[
    (
        "pages",
        "home pages a second while posts arrive, in process",
    ),
    (
        "posts",
        "durable posts a second beside the bare disk, in process",
    ),
    (
        "jetstream",
        "durable posts on a NATS cluster beside a bare client, in process",
    ),
    ("import", "loading a graph, in process and beside two pairs"),
    ("restart", "from a start to serving, with a million posts"),
    (
        "followers",
        "a post by its author's followers, and on another server",
    ),
    ("streams", "10,000 open streams on one server"),
    ("followees", "a home page by its reader's followees"),
    ("memory", "memory and disk by users"),
    ("growth", "throughput by posts stored"),
];

/// Takes some, or all.
pub(crate) fn run(words: &[String]) -> ExitCode {
    let first_option = words.iter().position(|word| word.starts_with('-'));
    let (names, options) = words.split_at(first_option.unwrap_or(words.len()));
    let known = |name: &String| FIGURES.iter().any(|it| it.0 == name);
    if let Some(name) = names.iter().find(|name| !known(name)) {
        say(&format!("there are no figures {name:?}"));
        usage();
        return ExitCode::from(2);
    }
    let mut build = Command::new(env!("CARGO"));
    build.args([
        "build",
        "--release",
        "-p",
        "sns-server",
        "-p",
        "sns-benches",
        "--bins",
    ]);
    if let Err(why) = finish(&mut build) {
        say(&format!("failed: {why}"));
        return ExitCode::FAILURE;
    }
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
    let program = Path::new(&target).join("release/sns-figures");
    let mut failed = Vec::new();
    for (name, what) in FIGURES {
        if !names.is_empty() && !names.iter().any(|it| it == name) {
            continue;
        }
        say(&format!("figures {name}: {what}"));
        if let Err(why) = finish(Command::new(&program).arg(name).args(options)) {
            say(&format!("failed: figures {name}: {why}"));
            failed.push(*name);
        }
    }
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    say(&format!("failed: {}", failed.join(", ")));
    ExitCode::FAILURE
}

pub(crate) fn usage() {
    for (name, what) in FIGURES {
        say(&format!("       cargo xtask figures {name:10} {what}"));
    }
}

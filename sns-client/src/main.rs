//! `sns`: follow, post, read and watch from the command line.

mod args;
mod auth;
mod bench;
mod command;
mod complete;
mod credentials;
mod editor;
mod export;
mod failover;
mod history;
mod lines;
mod manual_cmd;
mod output;
mod paint;
mod render;
mod repl;
mod run;
mod screen;
mod show;
mod terminal;
mod top;
mod wrap;

use std::process::ExitCode;

use crate::output::Failure;

/// As in the server; a benchmark decodes as much as a server encodes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let raw = match args::parse(std::env::args_os()) {
        Ok(raw) => raw,
        Err(early) => return early.exit(),
    };
    let json = raw.json;
    match command::check(raw).and_then(run::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(json),
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self::Closed
        } else {
            Self::Io(error.to_string())
        }
    }
}

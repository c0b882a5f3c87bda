//! The program around [`run`](crate::run): arguments, tracing, the runtime, exit codes.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use clap::error::ErrorKind as Clap;
use tokio_util::sync::CancellationToken;

use crate::args::Args;
use crate::config::{Config, Task};
use crate::failure::{Failure, Result};
use crate::{shutdown, telemetry};

/// How long the end waits for threads that still read; nothing depends on them.
const GRACE: Duration = Duration::from_millis(100);

/// The exit code of an import that was told twice to stop: that of `Unavailable`.
const UNFINISHED: u8 = 7;

/// Does what the command line says; the exit code is that of STYLE's table.
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return usage(&error),
    };
    let json = args.json;
    match checked(args).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            telemetry::print_failure(&failure, json);
            failure.exit_code().into()
        }
    }
}

fn checked(args: Args) -> Result<Config> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    Config::check(args, variable)
}

fn run(config: Config) -> Result<()> {
    telemetry::start(config.task.is_server())?;
    if config.task.is_server() {
        allow_many_connections();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("sns-server")
        .build()
        .map_err(|e| Failure::io("cannot start threads", &e))?;
    let ended = runtime.block_on(async {
        let shutdown = match &config.task {
            task if task.is_server() => shutdown::on_signals(None)?,
            // It says how far it came.
            Task::Import(_) => shutdown::on_signals(Some(UNFINISHED))?,
            // The others have nothing to finish: a signal ends them as it ends any program.
            _ => CancellationToken::new(),
        };
        Box::pin(crate::run(config, shutdown)).await
    });
    runtime.shutdown_timeout(GRACE);
    ended
}

/// Each stream takes a descriptor, and the usual bound is 1,024: takes all that may be had.
fn allow_many_connections() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "cannot raise the bound on open files");
    }
}

/// Help and version go to stdout; what was typed wrong to stderr, as JSON if that was asked for.
fn usage(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().any(|typed| typed == "--json");
    let asked = matches!(error.kind(), Clap::DisplayHelp | Clap::DisplayVersion);
    if json && !asked {
        let text = error.render().to_string();
        // The first paragraph says what is wrong; the rest is usage.
        let first = text.split("\n\n").next().unwrap_or_default();
        let line: Vec<&str> = first.split_whitespace().collect();
        let message = line.join(" ");
        let message = message.strip_prefix("error: ").unwrap_or(&message);
        telemetry::print_failure(&Failure::invalid(message), true);
    } else {
        // A reader that is gone is not worth an error.
        let _ = error.print();
    }
    u8::try_from(error.exit_code()).unwrap_or(2).into()
}

//! The program around [`run`](crate::run): arguments, tracing, the runtime, exit codes.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind as Clap;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Task};
use crate::failure::{Failure, Result};
use crate::layers::{self, Early, Needs};
use crate::pair::process;
use crate::{again, config_file, notify, shutdown, telemetry};

/// How long the end waits for threads that still read; nothing depends on them.
const GRACE: Duration = Duration::from_millis(100);

/// The exit code of an import that was told twice to stop: that of `Unavailable`.
const UNFINISHED: u8 = 7;

/// Does what the command line says; the exit code is that of STYLE's table.
pub fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let read = layers::resolve(&words, &variable, Needs::All);
    let read = read.and_then(|resolved| Ok((resolved.args()?, resolved)));
    let (args, resolved) = match read {
        Ok(read) => read,
        Err(Early::Typed(error)) => return usage(&error),
        Err(Early::File(failure)) => return failed(&failure, asked_for_json()),
    };
    let json = args.json;
    let text = |name: &str| variable(name).and_then(|value| value.into_string().ok());
    let config = Config::check(args, text).map_err(|failure| resolved.blame(failure));
    match config.and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failed(&failure, json),
    }
}

fn failed(failure: &Failure, json: bool) -> ExitCode {
    telemetry::print_failure(failure, json);
    failure.exit_code().into()
}

/// An environment variable; one that is empty counts as not set.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Before it is known what the line means.
fn asked_for_json() -> bool {
    std::env::args_os().any(|typed| typed == "--json")
}

fn run(config: Config) -> Result<()> {
    telemetry::start(config.task.is_server())?;
    if config.task.is_server() || matches!(config.task, Task::Import(_)) {
        // Before there are threads, so that all of them leave these signals alone.
        shutdown::hold()?;
    }
    if config.task.is_server() {
        process::program().map_err(|e| Failure::io("cannot find this program", &e))?;
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
    notify::last_words();
    if ended.is_ok() && again::settle() {
        return Err(again::exec());
    }
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
    let json = asked_for_json();
    let asked = matches!(error.kind(), Clap::DisplayHelp | Clap::DisplayVersion);
    if json && !asked {
        let message = config_file::first_paragraph(error);
        telemetry::print_failure(&Failure::invalid(message), true);
    } else {
        // A reader that is gone is not worth an error.
        let _ = error.print();
    }
    u8::try_from(error.exit_code()).unwrap_or(2).into()
}

//! From the command line to the exit code.

use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Args, Check, Command, Needs, Run};
use crate::failure::{Doing as _, Failure, Result};
use crate::faults::Kind;
use crate::history::History;
use crate::report::Outcome;
use crate::{check, namespace, needs, run};

/// A promise was broken.
const BROKEN: u8 = 1;
/// The run could not be made.
const FAILED: u8 = 7;

/// Everything that the program does.
#[allow(clippy::print_stderr, reason = "this is a command line")]
pub fn main() -> ExitCode {
    let args = Args::parse();
    let ended = match args.command {
        Command::Run(run) => start(*run),
        Command::Check(check) => recheck(&check),
        Command::Needs(needs) => tell(&needs),
    };
    ended.unwrap_or_else(|e| {
        eprintln!("error: {e}");
        ExitCode::from(FAILED)
    })
}

fn start(mut args: Run) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.doing("start the runtime")?;
    args.faults = args.faults.with_log(args.log).map_err(Failure)?;
    let full = args.faults.contains(Kind::DiskFull);
    if full && args.data.is_some() {
        let what = "--data and disk-full exclude each other: the data lies on a small tmpfs";
        return Err(Failure(what.to_owned()));
    }
    if let Some(mount) = std::env::var_os(namespace::MOUNT) {
        args.data = Some(Path::new(&mount).join("run"));
    } else if full && runtime.block_on(namespace::is_possible()) {
        return runtime.block_on(namespace::run_inside(asked_to_stop()));
    } else if full {
        without_disk_full(&mut args)?;
    }
    let json = args.json;
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = Box::pin(run::run(args)) => outcome,
            // What was started ends with the run.
            why = asked_to_stop() => Err(why),
        }
    })?;
    Ok(show(&outcome, json))
}

/// Returns when somebody wants the run to end.
async fn asked_to_stop() -> Failure {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signals) => signals.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated => {}
    }
    Failure("interrupted; the service is stopped, nothing was checked".to_owned())
}

/// Goes on without a full disk, and says so; not where somebody relies on it.
#[allow(clippy::print_stderr, reason = "this is a command line")]
fn without_disk_full(args: &mut Run) -> Result<()> {
    let why = "no small tmpfs can be mounted here (`unshare --map-root-user --mount`)";
    if std::env::var("CI").is_ok_and(|ci| ci == "true") {
        return Err(Failure(format!("{why}, and CI has to run disk-full")));
    }
    let left = args.faults.without(Kind::DiskFull);
    args.faults = left.ok_or_else(|| Failure(format!("{why}: disk-full cannot be run")))?;
    eprintln!("SKIPPED: disk-full: {why}");
    Ok(())
}

#[allow(clippy::print_stdout, reason = "this is a command line")]
fn tell(args: &Needs) -> Result<ExitCode> {
    for course in needs::read(&args.samples)? {
        if args.json {
            println!("{}", serde_json::json!(course));
        } else {
            println!("{course}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn recheck(args: &Check) -> Result<ExitCode> {
    let path = &args.history;
    let history = History::read(path).doing(format_args!("read {}", path.display()))?;
    let report = check::check(&history);
    let outcome = Outcome {
        run: history.run,
        faults: history.faults,
        report,
        history: None,
    };
    Ok(show(&outcome, args.json))
}

#[allow(clippy::print_stdout, reason = "this is a command line")]
fn show(outcome: &Outcome, json: bool) -> ExitCode {
    if json {
        println!("{}", outcome.to_json());
    } else {
        println!("{outcome}");
    }
    if outcome.report.passed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(BROKEN)
    }
}

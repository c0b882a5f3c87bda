//! From the command line to the exit code.

use std::process::ExitCode;

use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Args, Command};
use crate::campaign::{self, say};
use crate::failure::{Doing as _, Failure, Result};
use crate::schemes;

/// The comparison could not be made.
const FAILED: u8 = 7;

/// Everything that the program does.
pub fn main() -> ExitCode {
    match start(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say(&format!("error: {why}"));
            ExitCode::from(FAILED)
        }
    }
}

fn start(args: Args) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.doing("start the runtime")?.block_on(async {
        let work = async {
            match args.command {
                Command::Run(run) => Box::pin(campaign::run(run)).await,
                Command::Schemes(common) => Box::pin(schemes::run(common)).await,
            }
        };
        tokio::select! {
            done = work => done,
            // Whatever was started is a value of the work, and ends with it.
            why = asked_to_stop() => Err(why),
        }
    })
}

/// Returns when somebody wants the comparison to end.
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
    Failure("interrupted; the systems are stopped".to_owned())
}

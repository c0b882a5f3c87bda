//! What was typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as Group, Parser, Subcommand};

use crate::faults::Kinds;
use crate::log::LogKind;

/// Kills, stops and cuts a running SNS under load, and proves that nothing broke.
///
/// Exit codes: 0 all held, 1 something did not (the report names what), 2 a wrong flag, 7 the run
/// could not be made. A run keeps its whole history in memory: about 1 GB for a million calls.
#[derive(Debug, Parser)]
#[command(name = "sns-chaos", version, max_term_width = 100)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a service, load it, hurt it, and check what its clients were told.
    Run(Box<Run>),
    /// Check a history that was saved.
    Check(Check),
    /// Tell what the processes of a run needed, from its `--samples`: memory, descriptors, disk.
    Needs(Needs),
}

/// How to run.
#[derive(Clone, Debug, Group)]
pub struct Run {
    /// Kinds of faults, each once before one comes again: kill, pair, all, stop, hang, startup,
    /// snapshot, view, disk-full, descriptors, net; with `--log nats` also nats-kill, nats-kill-two,
    /// nats-all, nats-stop, nats-stop-two, nats-cut, but not disk-full; or `everything`.
    #[arg(long, value_name = "KIND,...", default_value = "kill,stop")]
    pub faults: Kinds,
    /// Where the log is: in a directory, or on three NATS servers, which are started and hurt too
    /// (`nats-server` on the path, or what `SNS_NATS_SERVER` names).
    #[arg(long, value_enum, default_value = "dir")]
    pub log: LogKind,
    /// How long, at least: 90s, 10m, 1h.
    #[arg(long, value_parser = duration, default_value = "60s")]
    pub duration: Duration,
    /// So many faults at least, however long that takes.
    #[arg(long, default_value_t = 0)]
    pub count: u64,
    /// So many acknowledged writes at least, however long that takes.
    #[arg(long, default_value_t = 0)]
    pub writes: u64,
    /// Clients that post, follow, delete and read pages.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub clients: u32,
    /// Clients that read a timeline all the time.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    pub watchers: u32,
    /// Calls a second of all clients together; 0 = as fast as they can.
    #[arg(long, default_value_t = 500)]
    pub rate: u32,
    /// Pairs of servers.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=26))]
    pub pairs: u32,
    /// Posts that are there before the run begins.
    #[arg(long, default_value_t = 0)]
    pub preload: u64,
    /// Bytes of one segment of the log: with small ones every snapshot trims.
    #[arg(long, default_value_t = sns_core::limits::SEGMENT_BYTES)]
    #[arg(value_parser = clap::value_parser!(u64).range(65_536..))]
    pub segment_bytes: u64,
    /// The longest rest between two faults; each rest is drawn.
    #[arg(long, value_parser = duration, default_value = "500ms")]
    pub rest: Duration,
    /// Draws the faults and what each client does; random, and printed, when it is not given.
    #[arg(long)]
    pub seed: Option<u64>,
    /// A new directory for the data; kept. Default: a temporary one, kept when something is wrong.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Where to save the history (`.gz`: packed). Default: beside the data, when something is
    /// wrong.
    #[arg(long, value_name = "FILE")]
    pub history: Option<PathBuf>,
    /// Where to write what each process needed, every few seconds, as JSON lines.
    #[arg(long, value_name = "FILE")]
    pub samples: Option<PathBuf>,
    /// The server program. Default: the `sns-server` beside this program.
    #[arg(long, value_name = "FILE")]
    pub server: Option<PathBuf>,
    /// Print the report as one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// What to tell.
#[derive(Clone, Debug, Group)]
pub struct Needs {
    /// The file.
    pub samples: PathBuf,
    /// Print one JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// What to check.
#[derive(Clone, Debug, Group)]
pub struct Check {
    /// The history.
    pub history: PathBuf,
    /// Print the report as one JSON object.
    #[arg(long)]
    pub json: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    let number = text.trim_end_matches(char::is_alphabetic);
    let unit = match &text[number.len()..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err(format!("{text:?} is no time: write 500ms, 90s, 10m or 1h")),
    };
    let number: f64 = number
        .parse()
        .map_err(|_| format!("{text:?} is no time: write 500ms, 90s, 10m or 1h"))?;
    Duration::try_from_secs_f64(number * unit).map_err(|e| format!("{text:?} is no time: {e}"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn times_are_written_with_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        for text in ["", "5", "s", "-1s", "5d", "1e99h"] {
            duration(text).expect_err(text);
        }
    }
}

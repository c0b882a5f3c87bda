//! What was typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as Group, Parser, Subcommand};
use sns_load::Mix;

/// Redis, `PostgreSQL` and SNS under the same load.
#[derive(Debug, Parser)]
#[command(name = "sns-peers", version, about, max_term_width = 100)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Compare the systems: the highest rate with a good p99, and latency at fixed rates.
    Run(Run),
    /// Measure the ways of reading and writing that each peer could be asked in.
    Schemes(Common),
}

/// What both need.
#[derive(Debug, Group)]
pub struct Common {
    /// An edge list, plain or gzip; `.edges` and `.edges.gz` are undirected, all others say who
    /// follows whom. Repeatable. Without it: Reed98 and Slashdot from $`SNS_GRAPHS`, ./data,
    /// ./shared/data or ../shared/data, as far as they are there.
    #[arg(long = "graph", value_name = "FILE")]
    pub graphs: Vec<PathBuf>,
    /// Callers; each waits for an answer before it asks again.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=250))]
    pub connections: u16,
    /// Posts in the system before it is measured.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub preload: u64,
    /// Gives users, operations and their times.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Where the systems keep their data meanwhile; it has to be on a disk.
    #[arg(long, value_name = "DIR", default_value = "/var/tmp")]
    pub dir: PathBuf,
    /// The `sns-server` to measure; without it the one beside this program.
    #[arg(long, value_name = "FILE")]
    pub sns_server: Option<PathBuf>,
    /// Short runs on the smaller graph: to see that it works, not to conclude.
    #[arg(long)]
    pub quick: bool,
}

/// `run`
#[derive(Debug, Group)]
pub struct Run {
    /// Graphs, callers and places.
    #[command(flatten)]
    pub common: Common,
    /// What is asked for: dsb, nightcore, read or post. Repeatable.
    #[arg(long = "mix", value_name = "MIX", default_value = "dsb")]
    pub mixes: Vec<Mix>,
    /// Seconds that each figure is taken over.
    #[arg(long, value_name = "S", default_value = "6", value_parser = seconds)]
    pub duration: Duration,
    /// The rates of the curve, requests a second.
    #[arg(
        long,
        value_name = "R,R",
        value_delimiter = ',',
        default_value = "1000,2000,5000,10000,20000"
    )]
    pub rates: Vec<u32>,
    /// The p99 that the highest rate has to keep, milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub p99: u64,
    /// Only these systems: redis, postgres, sns.
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',', value_parser = ["redis", "postgres", "sns"])]
    pub only: Vec<String>,
    /// Pairs of SNS; each is two processes with a replica each.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=8))]
    pub pairs: u32,
    /// Adds a JSON object a run to this file.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

fn seconds(typed: &str) -> Result<Duration, String> {
    let wrong = || format!("{typed:?} is no time: write seconds, as 6 or 0.5");
    let seconds: f64 = typed.parse().map_err(|_| wrong())?;
    let time = Duration::try_from_secs_f64(seconds).map_err(|_| wrong())?;
    if time.is_zero() {
        return Err(wrong());
    }
    Ok(time)
}

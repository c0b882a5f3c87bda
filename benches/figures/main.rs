//! `sns-figures`: the figures of `docs/performance.md` that criterion is not made for; one
//! subcommand a question. Each prints a table and appends its figures to a file of JSON lines, which
//! `sns-figures plot` draws.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "figures are rounded for people"
)]

mod child;
mod followees;
mod followers;
mod growth;
mod import;
mod jetstream;
mod memory;
mod pages;
mod plot;
mod posts;
mod record;
mod restart;
mod rpc;
mod run;
mod server;
mod streams;
mod system;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args as Group, Parser, Subcommand};

use crate::run::{Result, Run};

/// Takes the figures of docs/performance.md.
#[derive(Debug, Parser)]
#[command(name = "sns-figures", version, about, max_term_width = 100)]
struct Args {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    what: What,
}

/// What all of them take.
#[derive(Debug, Group)]
struct Common {
    /// Take small figures in less than half a minute: to see that it works.
    #[arg(long, global = true)]
    quick: bool,
    /// Where data lies while a figure is taken; removed afterwards. A disk, not a file system in
    /// memory: what is durable is written here.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "target/figures"
    )]
    dir: PathBuf,
    /// The file that the figures are appended to, one JSON object a line.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "target/figures.jsonl"
    )]
    out: PathBuf,
}

/// What to measure.
#[derive(Debug, Subcommand)]
enum What {
    /// Goal 1: home pages a second on two threads while posts arrive, in process.
    Pages(pages::Options),
    /// Goal 2: durable posts a second by posts in flight, beside the bare disk, in process.
    Posts(posts::Options),
    /// Goal 4: a post by its author's followers; how soon another server shows it.
    Followers(followers::Options),
    /// Goal 5: 10,000 open streams on one server.
    Streams(streams::Options),
    /// Goal 6: from a start to serving, with a million posts.
    Restart(restart::Options),
    /// Goal 7: loading a graph, in process and beside two running pairs.
    Import,
    /// Durable posts on a NATS cluster, beside a bare client and the directory log.
    Jetstream(jetstream::Options),
    /// Goal 8: memory and disk by users.
    Memory(memory::Options),
    /// Goal 9: throughput by posts stored.
    Growth(growth::Options),
    /// What a home page costs by followees, in process.
    Followees(followees::Options),
    /// Draws the plots of docs/performance.md.
    Plot(plot::Options),
    /// A process of its own that another subcommand measures.
    #[command(hide = true, subcommand)]
    Child(child::What),
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            run::say(&format!("error: {why}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<()> {
    match args.what {
        What::Child(what) => return child::run(&what),
        What::Plot(options) => return plot::run(&options),
        _ => {}
    }
    let run = Run::new(args.common.quick, &args.common.dir, &args.common.out)?;
    match args.what {
        What::Pages(options) => pages::run(&run, &options),
        What::Posts(options) => posts::run(&run, &options),
        What::Followers(options) => followers::run(&run, &options),
        What::Streams(options) => streams::run(&run, &options),
        What::Restart(options) => restart::run(&run, &options),
        What::Import => import::run(&run),
        What::Jetstream(options) => jetstream::run(&run, &options),
        What::Memory(options) => memory::run(&run, &options),
        What::Growth(options) => growth::run(&run, &options),
        What::Followees(options) => followees::run(&run, &options),
        What::Child(_) | What::Plot(_) => Ok(()),
    }
}

//! Goal 2: durable posts a second by posts in flight, in process, beside the bare disk.
//!
//! A closed loop: each submitting thread keeps its share of the posts in flight and waits for the
//! oldest. Authors are drawn at random from 10,000 users. The floor is measured right after each
//! line: as many bytes as an entry of that line took in the log, written to a file and synced with
//! `fdatasync`, again and again; a post costs its share of that.

use std::collections::VecDeque;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use sns_benches::floor::{self, Written};
use sns_benches::{Draw, load, names, text};
use sns_core::{Sns, Username};

use crate::run::{self, Result, Run};
use crate::system;
use crate::watch::Times;

/// Who posts.
const USERS: usize = 10_000;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Bytes of a post.
    #[arg(long, default_value_t = 100)]
    text_bytes: usize,
    /// Posts in flight.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100, 1_000, 10_000])]
    depth: Vec<usize>,
    /// Threads that post.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2])]
    threads: Vec<usize>,
    /// How long each line of the table is measured.
    #[arg(long)]
    seconds: Option<u64>,
}

/// What came of one measurement.
#[derive(Debug)]
pub(crate) struct Posted {
    pub(crate) per_s: f64,
    pub(crate) times: Times,
    pub(crate) posts_per_entry: f64,
    pub(crate) bytes_per_entry: f64,
    pub(crate) cpu_per_post: Duration,
}

pub(crate) fn run(run: &Run, options: &Options) -> Result<()> {
    let dir = run.scratch()?;
    let sns = Sns::open(dir.path().join("data"))?;
    let users = names(USERS);
    load::users(&sns, &users, &mut |_| ());
    let text = text(options.text_bytes);
    let seconds = options.seconds.unwrap_or(run.pick(3, 1));
    let time = Duration::from_secs(seconds);
    let lines = options.depth.len() * options.threads.len();
    let bar = run::bar("posting", lines as u64);
    let mut rows = Vec::new();
    for &threads in &options.threads {
        for &depth in &options.depth {
            if depth < threads {
                continue;
            }
            let it = measure(&sns, &users, &text, depth, threads, time);
            let bytes = it.bytes_per_entry.round().max(1.0) as usize;
            let bare = |how| -> Result<f64> {
                let synced = floor::fdatasync(dir.path(), bytes, how, time / 2)?;
                let all: Duration = synced.iter().sum();
                let entries = synced.len() as f64 / all.as_secs_f64();
                Ok(entries * it.posts_per_entry)
            };
            let (appended, over) = (bare(Written::Appended)?, bare(Written::Over)?);
            rows.push(vec![
                threads.to_string(),
                run::count(depth as f64),
                run::count(it.per_s),
                run::ms(it.times.p50()),
                run::ms(it.times.p99()),
                format!("{:.1}", it.posts_per_entry),
                run::count(it.bytes_per_entry),
                format!("{:.2} us", run::micros(it.cpu_per_post)),
                run::count(appended),
                format!("{:.2}x", appended / it.per_s),
                run::count(over),
                format!("{:.2}x", over / it.per_s),
            ]);
            run.record.add(
                "posts",
                &json!({
                    "graph": format!("{USERS} authors"),
                    "durability": "fdatasync",
                    "threads": threads,
                    "in_flight": depth,
                    "text_bytes": options.text_bytes,
                    "posts_per_s": run::round(it.per_s),
                    "p50_ms": run::millis(it.times.p50()),
                    "p99_ms": run::millis(it.times.p99()),
                    "posts_per_entry": run::round(it.posts_per_entry),
                    "bytes_per_entry": run::round(it.bytes_per_entry),
                    "cpu_us_per_post": run::micros(it.cpu_per_post),
                    "floor_append_posts_per_s": run::round(appended),
                    "ratio_append": run::round(appended / it.per_s),
                    "floor_overwrite_posts_per_s": run::round(over),
                    "ratio_overwrite": run::round(over / it.per_s),
                }),
            )?;
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    sns.close();
    run::table(
        "Goal 2: durable posts a second, in process; floor: bare write + fdatasync of the same bytes, \
         at the end of a file | over a file",
        &[
            "threads",
            "in flight",
            "posts/s",
            "p50",
            "p99",
            "posts/entry",
            "bytes/entry",
            "CPU/post",
            "floor: append",
            "ratio",
            "floor: over",
            "ratio",
        ],
        &rows,
    );
    Ok(())
}

/// Posts for a while with `depth` posts in flight in all.
pub(crate) fn measure(
    sns: &Sns,
    users: &[Username],
    text: &str,
    depth: usize,
    threads: usize,
    time: Duration,
) -> Posted {
    let (before, cpu, begun) = (sns.status(), system::own_cpu_time(), Instant::now());
    let times = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|thread| {
                let depth = (depth / threads).max(1);
                scope.spawn(move || post(sns, users, text, depth, thread as u64, begun + time))
            })
            .collect();
        let mut times = Times::new();
        for thread in threads {
            match thread.join() {
                Ok(part) => times.merge(&part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        times
    });
    let elapsed = begun.elapsed().as_secs_f64();
    let (after, cpu) = (sns.status(), system::own_cpu_time().saturating_sub(cpu));
    let posts = times.len().max(1) as f64;
    let entries = (after.applied - before.applied).max(1) as f64;
    Posted {
        per_s: times.len() as f64 / elapsed,
        posts_per_entry: posts / entries,
        bytes_per_entry: after.log_bytes.saturating_sub(before.log_bytes) as f64 / entries,
        cpu_per_post: cpu.div_f64(posts),
        times,
    }
}

/// One thread: keeps `depth` posts in flight until `end`, then waits for them.
fn post(sns: &Sns, users: &[Username], text: &str, depth: usize, seed: u64, end: Instant) -> Times {
    let (mut draw, mut times) = (Draw::new(seed), Times::new());
    let mut flying = VecDeque::with_capacity(depth);
    loop {
        let now = Instant::now();
        if now < end {
            flying.push_back((now, sns.post(&users[draw.below(users.len())], text)));
            if flying.len() < depth {
                continue;
            }
        }
        let Some((start, oldest)) = flying.pop_front() else {
            return times;
        };
        oldest.wait().expect("a post that is taken");
        times.add(start.elapsed());
    }
}

//! Goal 1: home pages a second (20 posts with text) on two threads while 5,000 posts a second
//! arrive, in process.
//!
//! Every user has posted 20 times, in random order. Readers are drawn at random from all users, or
//! from a hundredth of them. Posts come in an open loop: each has its time, and what comes late
//! counts from then. Their authors are drawn at random from all users.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use sns_benches::{Draw, Graph, GraphFile, load, text};
use sns_core::{Pending, Post, Settings, Sns, Username};

use crate::run::{self, Result, Run};
use crate::watch::Times;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Bytes of a post.
    #[arg(long, default_value_t = 256)]
    text_bytes: usize,
    /// Posts a second that arrive.
    #[arg(long, default_value_t = 5_000)]
    rate: u32,
    /// Threads that read.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Memory in front of the database, MiB: all posts fit.
    #[arg(long, default_value_t = 2_048)]
    cache_mib: usize,
    /// How long each line of the table is measured.
    #[arg(long)]
    seconds: Option<u64>,
}

/// Whose pages are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Readers {
    All,
    Hot,
}

/// What came of one measurement.
#[derive(Debug)]
pub(crate) struct Measured {
    pages: Times,
    pub(crate) pages_per_s: f64,
    posts_per_page: f64,
    writes: Times,
    writes_per_s: f64,
    cores: f64,
}

pub(crate) fn run(run: &Run, options: &Options) -> Result<()> {
    let mut rows = Vec::new();
    for (file, graph) in run::graphs() {
        let posts = if file == GraphFile::Slashdot {
            run.pick(20, 4)
        } else {
            20
        };
        let dir = run.scratch()?;
        let mut settings = Settings::default();
        settings.cache_bytes = options.cache_mib << 20;
        let sns = Sns::builder(dir.path()).settings(settings).open()?;
        fill(&sns, file, &graph, posts, options);
        let order = Draw::new(2).order(graph.users.len());
        let order: Vec<Username> = order.into_iter().map(|it| graph.users[it]).collect();
        for readers in [Readers::All, Readers::Hot] {
            for rate in [options.rate, 0] {
                let time = Duration::from_secs(options.seconds.unwrap_or(run.pick(5, 1)));
                let what = format!("{}: reading for {time:?}", file.name());
                let bar = run::bar(what, time.as_secs());
                let chosen = order
                    .len()
                    .div_ceil(if readers == Readers::All { 1 } else { 100 });
                let load = Load {
                    threads: options.threads,
                    rate,
                    text_bytes: options.text_bytes,
                    time,
                };
                let measured = measure(&sns, &graph.users, &order[..chosen], &load);
                bar.finish_and_clear();
                rows.push(row(file, readers, rate, &measured));
                run.record.add(
                    "pages",
                    &json!({
                        "graph": file.name(),
                        "durability": "fdatasync",
                        "readers": if readers == Readers::All { "all" } else { "hot 1%" },
                        "threads": options.threads,
                        "text_bytes": options.text_bytes,
                        "preloaded_posts_per_user": posts,
                        "rate": rate,
                        "achieved_posts_per_s": run::round(measured.writes_per_s),
                        "pages_per_s": run::round(measured.pages_per_s),
                        "page_p50_us": run::micros(measured.pages.p50()),
                        "page_p99_us": run::micros(measured.pages.p99()),
                        "post_p50_ms": run::millis(measured.writes.p50()),
                        "post_p99_ms": run::millis(measured.writes.p99()),
                        "posts_per_page": run::round(measured.posts_per_page),
                        "cores_busy": run::round(measured.cores),
                    }),
                )?;
            }
        }
        sns.close();
    }
    run::table(
        &format!(
            "Goal 1: home pages a second on {} threads, in process",
            options.threads
        ),
        &[
            "graph",
            "readers",
            "pages/s",
            "p50",
            "p99",
            "posts a page",
            "posts/s due",
            "posts/s",
            "post p50",
            "p99",
            "cores",
        ],
        &rows,
    );
    Ok(())
}

fn row(file: GraphFile, readers: Readers, rate: u32, it: &Measured) -> Vec<String> {
    vec![
        file.name().into(),
        if readers == Readers::All {
            "all".into()
        } else {
            "hot 1%".into()
        },
        run::count(it.pages_per_s),
        format!("{:.2} us", run::micros(it.pages.p50())),
        format!("{:.2} us", run::micros(it.pages.p99())),
        format!("{:.1}", it.posts_per_page),
        run::count(f64::from(rate)),
        run::count(it.writes_per_s),
        run::ms(it.writes.p50()),
        run::ms(it.writes.p99()),
        format!("{:.2}", it.cores),
    ]
}

fn fill(sns: &Sns, file: GraphFile, graph: &Graph, posts: usize, options: &Options) {
    let total = graph.users.len() * (posts + 1) + graph.follows.len();
    let bar = run::bar(format!("{}: filling", file.name()), total as u64);
    let mut tick = |more| bar.inc(more);
    load::users(sns, &graph.users, &mut tick);
    load::follows(sns, &graph.users, &graph.follows, &mut tick);
    let mut draw = Draw::new(1);
    let text = text(options.text_bytes);
    for _ in 0..posts {
        let order = draw.order(graph.users.len());
        load::posts(
            sns,
            order.iter().map(|&user| &graph.users[user]),
            &text,
            &mut tick,
        );
    }
    bar.finish_and_clear();
}

/// What a measurement does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    threads: usize,
    /// Posts a second that arrive.
    rate: u32,
    text_bytes: usize,
    time: Duration,
}

impl Load {
    /// Only reads.
    pub(crate) fn reads(threads: usize, time: Duration) -> Self {
        Self {
            threads,
            rate: 0,
            text_bytes: 1,
            time,
        }
    }
}

/// Reads pages of random `readers` while random `users` post.
pub(crate) fn measure(
    sns: &Sns,
    users: &[Username],
    readers: &[Username],
    load: &Load,
) -> Measured {
    // Everybody once, so that what is measured is in memory.
    thread::scope(|scope| {
        for part in readers.chunks(readers.len().div_ceil(load.threads)) {
            scope.spawn(move || {
                for reader in part {
                    drop(black_box(sns.home(reader).page()));
                }
            });
        }
    });
    let stop = AtomicBool::new(false);
    let (begun, cpu) = (Instant::now(), crate::system::own_cpu_time());
    thread::scope(|scope| {
        let stop = &stop;
        let writes = (load.rate > 0).then(|| {
            let (tell, told) = sync_channel(1 << 16);
            scope.spawn(move || write(sns, users, load, &tell, stop));
            scope.spawn(move || acknowledged(told))
        });
        let threads: Vec<_> = (0..load.threads)
            .map(|thread| scope.spawn(move || read(sns, readers, thread as u64, stop)))
            .collect();
        run::until(begun + load.time);
        stop.store(true, Ordering::Relaxed);
        let elapsed = begun.elapsed().as_secs_f64();
        let cpu = crate::system::own_cpu_time().saturating_sub(cpu);
        let (mut pages, mut posts) = (Times::new(), 0);
        for thread in threads {
            match thread.join() {
                Ok((times, of_pages)) => {
                    pages.merge(&times);
                    posts += of_pages;
                }
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        let writes = writes
            .and_then(|it| it.join().ok())
            .unwrap_or_else(Times::new);
        Measured {
            pages_per_s: pages.len() as f64 / elapsed,
            posts_per_page: posts as f64 / pages.len().max(1) as f64,
            writes_per_s: writes.len() as f64 / elapsed,
            pages,
            writes,
            cores: cpu.as_secs_f64() / elapsed,
        }
    })
}

/// A post that is under way, and when it was due.
type Due = (Instant, Pending<Post>);

/// Posts when it is time, however long the posts before take.
fn write(sns: &Sns, users: &[Username], load: &Load, tell: &SyncSender<Due>, stop: &AtomicBool) {
    let (mut draw, text) = (Draw::new(3), text(load.text_bytes));
    let gap = Duration::from_secs(1) / load.rate;
    let mut due = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        run::until(due.max(Instant::now() + Duration::from_micros(500)));
        while due <= Instant::now() {
            let author = &users[draw.below(users.len())];
            if tell.send((due, sns.post(author, &text))).is_err() {
                return;
            }
            due += gap;
        }
    }
}

/// How long each post took until it was durable, from when it was due.
fn acknowledged(told: Receiver<Due>) -> Times {
    let mut times = Times::new();
    for (due, pending) in told {
        if pending.wait().is_ok() {
            times.add(due.elapsed());
        }
    }
    times
}

/// Reads pages of random readers until it is enough; how long each took, and the posts in them.
fn read(sns: &Sns, readers: &[Username], seed: u64, stop: &AtomicBool) -> (Times, usize) {
    let mut draw = Draw::new(seed);
    let (mut times, mut posts) = (Times::new(), 0);
    let mut start = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let reader = &readers[draw.below(readers.len())];
        let Ok(page) = sns.home(reader).page() else {
            break;
        };
        posts += page.items.len();
        drop(black_box(page));
        let end = Instant::now();
        times.add(end - start);
        start = end;
    }
    (times, posts)
}

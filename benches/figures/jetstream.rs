//! Durable posts on a NATS cluster, in process, on one server and on three, beside a bare client of
//! NATS, and beside the directory log.
//!
//! The log alone: entries of the same sizes, in the same order, appended to the log by one thread. The
//! floor: a client of NATS that publishes messages of the same sizes in the same order as the
//! entries that the log just took, one after the other, each acknowledged before the next, to a
//! stream of the same settings on the same servers. All are measured in turns; medians are told.

use std::time::{Duration, Instant};

use async_nats::jetstream;
use async_nats::jetstream::stream::{Config, DiscardPolicy};
use clap::Args;
use serde_json::json;
use sns_benches::{load, names, text};
use sns_core::log::Log;
use sns_core::log::jetstream::{JetStreamLog, JetStreamOptions};
use sns_core::{Sns, Username};
use sns_natsd::{Servers, Settings};

use crate::posts::{self, Posted};
use crate::run::{self, Result, Run};

/// Who posts.
const USERS: usize = 10_000;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Bytes of a post.
    #[arg(long, default_value_t = 100)]
    text_bytes: usize,
    /// Posts in flight.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100, 1_000])]
    depth: Vec<usize>,
    /// How long each turn takes.
    #[arg(long)]
    seconds: Option<u64>,
    /// Turns, of which the median counts.
    #[arg(long, default_value_t = 5)]
    turns: usize,
}

/// One turn.
struct Turn {
    posted: Posted,
    /// Of a message.
    bytes: f64,
    floor: Option<Floor>,
}

/// The same messages without the service.
struct Floor {
    /// Entries a second of the log alone.
    alone: f64,
    /// Messages a second of the bare client, and its middle latency.
    bare: f64,
    p50: Duration,
}

pub(crate) fn run(run: &Run, options: &Options) -> Result<()> {
    if let Err(why) = sns_natsd::program() {
        run::say(&format!("SKIPPED jetstream: {why}"));
        return Ok(());
    }
    let users = names(USERS);
    let mut rows = Vec::new();
    {
        let dir = run.scratch()?;
        let sns = Sns::open(dir.path().join("data"))?;
        load::users(&sns, &users, &mut |_| ());
        lines(run, options, "directory", &sns, &users, None, &mut rows)?;
        sns.close();
    }
    for count in [1, 3] {
        let dir = run.scratch()?;
        let settings = Settings {
            servers: count,
            dir: Some(dir.path().join("nats")),
            ..Settings::default()
        };
        let servers = Servers::start(&settings)?;
        let cluster = JetStreamOptions::new(servers.urls())
            .accept_weaker_durability(count == 1)
            .patience(Duration::from_secs(30));
        let log = JetStreamLog::open(&cluster)?;
        let sns = Sns::builder(dir.path().join("data")).jetstream(cluster);
        let sns = sns.open()?;
        load::users(&sns, &users, &mut |_| ());
        let bare = Bare::new(&servers, count)?;
        let name = format!("JetStream R{count}");
        let options_alone = JetStreamOptions::new(servers.urls())
            .stream("ALONE")
            .accept_weaker_durability(count == 1);
        let alone = JetStreamLog::open(&options_alone)?;
        let floor = Some((&log, &alone, &bare));
        lines(run, options, &name, &sns, &users, floor, &mut rows)?;
        sns.close();
    }
    run::table(
        "Durable posts a second, in process, one thread; bare: a client of NATS that publishes the \
         same messages one after the other",
        &[
            "log",
            "in flight",
            "posts/s",
            "p50",
            "p99",
            "posts/entry",
            "bytes/entry",
            "bare: posts/s",
            "bare: p50",
            "ratio",
            "log alone",
        ],
        &rows,
    );
    Ok(())
}

fn lines(
    run: &Run,
    options: &Options,
    name: &str,
    sns: &Sns,
    users: &[Username],
    floor: Option<(&JetStreamLog, &JetStreamLog, &Bare)>,
    rows: &mut Vec<Vec<String>>,
) -> Result<()> {
    let text = text(options.text_bytes);
    let time = Duration::from_secs(options.seconds.unwrap_or(run.pick(2, 1)));
    for &depth in &options.depth {
        let mut turns = Vec::new();
        for _ in 0..run.pick(options.turns, 1).max(1) {
            let before = sns.status().tail;
            let posted = posts::measure(sns, users, &text, depth, 1, time);
            let (bytes, floor) = match floor {
                None => (posted.bytes_per_entry, None),
                Some((log, alone, bare)) => {
                    let sizes = sizes(log, before)?;
                    let bytes = sizes.iter().sum::<usize>() as f64 / sizes.len().max(1) as f64;
                    let alone = append(alone, &sizes, time)?;
                    let (bare, p50) = bare.replay(&sizes, time)?;
                    (bytes, Some(Floor { alone, bare, p50 }))
                }
            };
            turns.push(Turn {
                posted,
                bytes,
                floor,
            });
        }
        turns.sort_by(|a, b| a.posted.per_s.total_cmp(&b.posted.per_s));
        let ratio = median(turns.iter().filter_map(Turn::ratio));
        let log_ratio = median(turns.iter().filter_map(Turn::log_ratio));
        let middle = &turns[turns.len() / 2];
        let it = &middle.posted;
        let bare = middle.floor.as_ref();
        let bare_posts = bare.map(|bare| bare.bare * it.posts_per_entry);
        let shown = |ratio: Option<f64>| ratio.map_or(String::new(), |it| format!("{it:.2}"));
        rows.push(vec![
            name.to_owned(),
            run::count(depth as f64),
            run::count(it.per_s),
            run::ms(it.times.p50()),
            run::ms(it.times.p99()),
            format!("{:.1}", it.posts_per_entry),
            run::count(middle.bytes),
            bare_posts.map_or(String::new(), run::count),
            bare.map_or(String::new(), |it| run::ms(it.p50)),
            shown(ratio),
            shown(log_ratio),
        ]);
        run.record.add(
            "jetstream",
            &json!({
                "graph": format!("{USERS} authors"),
                "durability": if floor.is_some() { "sync_interval: always" } else { "fdatasync" },
                "log": name,
                "in_flight": depth,
                "text_bytes": options.text_bytes,
                "posts_per_s": run::round(it.per_s),
                "p50_ms": run::millis(it.times.p50()),
                "p99_ms": run::millis(it.times.p99()),
                "posts_per_entry": run::round(it.posts_per_entry),
                "bytes_per_entry": run::round(middle.bytes),
                "bare_posts_per_s": bare_posts.map(run::round),
                "bare_p50_ms": bare.map(|it| run::millis(it.p50)),
                "ratio": ratio.map(run::round),
                "log_alone_ratio": log_ratio.map(run::round),
            }),
        )?;
    }
    Ok(())
}

impl Turn {
    /// Of equal messages: how much of the bare client's rate the service has.
    fn ratio(&self) -> Option<f64> {
        let bare = self.floor.as_ref()?.bare;
        Some(self.posted.per_s / (bare * self.posted.posts_per_entry))
    }

    /// The same for the log alone.
    fn log_ratio(&self) -> Option<f64> {
        let floor = self.floor.as_ref()?;
        Some(floor.alone / floor.bare)
    }
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Appends entries of these sizes, again and again, for a while; how many a second.
fn append(log: &JetStreamLog, sizes: &[usize], time: Duration) -> Result<f64> {
    let begun = Instant::now();
    let mut count = 0_u32;
    for size in sizes.iter().cycle() {
        if begun.elapsed() >= time {
            break;
        }
        log.append(&vec![b'x'; (*size - 32).max(1)])?;
        count += 1;
    }
    Ok(f64::from(count) / begun.elapsed().as_secs_f64())
}

/// Bytes of the messages that the log took since, in their order.
fn sizes(log: &JetStreamLog, from: u64) -> Result<Vec<usize>> {
    let tail = log.tail()?;
    let mut sizes = Vec::new();
    let mut next = from;
    while next < tail {
        let records = log.read(next, 4 * 1024 * 1024)?;
        next += records.len() as u64;
        // With what stands in front of an entry.
        sizes.extend(records.iter().map(|it| it.payload.len() + 32));
    }
    Ok(sizes)
}

/// A client that does nothing but publish.
struct Bare {
    runtime: tokio::runtime::Runtime,
    context: jetstream::Context,
}

/// Where it publishes.
const SUBJECT: &str = "bare";

impl Bare {
    fn new(servers: &Servers, replicas: usize) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let urls: Vec<async_nats::ServerAddr> = servers
            .urls()
            .iter()
            .map(|url| url.parse())
            .collect::<Result<_, _>>()?;
        let context = runtime.block_on(async {
            let client = async_nats::connect(urls).await?;
            let context = jetstream::new(client);
            let config = Config {
                name: "BARE".into(),
                subjects: vec![SUBJECT.into()],
                discard: DiscardPolicy::New,
                num_replicas: replicas,
                duplicate_window: Duration::from_secs(120),
                allow_direct: true,
                ..Config::default()
            };
            context.create_stream(config).await?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(context)
        });
        Ok(Self {
            context: context.map_err(|e| e.to_string())?,
            runtime,
        })
    }

    /// Publishes messages of these sizes, again and again, for a while; how many a second, and the
    /// middle of the times that one took.
    fn replay(&self, sizes: &[usize], time: Duration) -> Result<(f64, Duration)> {
        let context = self.context.clone();
        let bytes = vec![b'x'; sizes.iter().copied().max().unwrap_or(1)];
        let bytes = tokio_util::bytes::Bytes::from(bytes);
        let sizes = sizes.to_vec();
        // On the runtime's own thread, as a program of its own would.
        let task = self.runtime.spawn(async move {
            let begun = Instant::now();
            let mut times = Vec::new();
            for (number, size) in sizes.iter().cycle().enumerate() {
                if begun.elapsed() >= time {
                    break;
                }
                let mut headers = async_nats::HeaderMap::new();
                headers.insert("Nats-Msg-Id", format!("{:x}-{number}", rand_id()).as_str());
                let one = Instant::now();
                let sent = context.publish_with_headers(SUBJECT, headers, bytes.slice(..*size));
                sent.await
                    .map_err(|e| e.to_string())?
                    .await
                    .map_err(|e| e.to_string())?;
                times.push(one.elapsed());
            }
            let all = begun.elapsed();
            times.sort_unstable();
            let middle = times.get(times.len() / 2).copied().unwrap_or_default();
            Ok::<_, String>((times.len() as f64 / all.as_secs_f64(), middle))
        });
        Ok(self.runtime.block_on(task)??)
    }
}

/// Differs from run to run.
fn rand_id() -> u128 {
    std::time::UNIX_EPOCH
        .elapsed()
        .map_or(0, |it| it.as_nanos())
}

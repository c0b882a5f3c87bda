//! Goal 5: 10,000 open streams on one server.
//!
//! A real `sns-server` process; 10,000 users, each with a TIMELINE stream of its own, over 20
//! connections, all following one author. The client is this process, on the same cores. Idle time
//! includes the heartbeats that every stream gets after 15 s of silence.

use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use sns_benches::{load, names};
use sns_proto::v1::timeline_request::Request as Asked;
use sns_proto::v1::timeline_response::Response as Told;
use sns_proto::v1::{TimelineOpen, TimelineRequest};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use crate::child;
use crate::rpc::{self, Caller};
use crate::run::{self, Result, Run};
use crate::server::Node;
use crate::system;
use crate::watch::Times;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Streams.
    #[arg(long)]
    streams: Option<usize>,
    /// Connections that carry them; a server takes 1,024 a connection.
    #[arg(long, default_value_t = 20)]
    connections: usize,
}

/// What a stream tells: `None` = it has caught up, else the post that came, and when; or why it
/// ended.
type Heard = Result<(Option<u64>, Instant), String>;

/// How long anything may take here.
const LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn run(run: &Run, options: &Options) -> Result<()> {
    let streams = options.streams.unwrap_or(run.pick(10_000, 1_000));
    let idle = Duration::from_secs(run.pick(30, 5));
    let posts = run.pick(10, 3);
    let dir = run.scratch()?;
    let data = dir.path().join("data");
    let users = names(streams + 1);
    let sns = child::open_feed(&data)?;
    load::users(&sns, &users, &mut |_| ());
    let author = u32::try_from(streams)?;
    load::follows(
        &sns,
        &users,
        (0..author).map(|it| (it, author)),
        &mut |_| (),
    );
    sns.close();
    drop(sns);

    let mut node = Node::spawn(&data)?;
    let address = node.address()?;
    let pid = node.pid();
    let runtime = tokio::runtime::Runtime::new()?;
    let bar = run::bar("logging in", streams as u64);
    let callers = runtime.block_on(log_in(&address, &users, options.connections, &bar))?;
    let mut author = runtime.block_on(Caller::login(&address, users[streams].as_str()))?;
    run::pause(Duration::from_secs(1));
    let before = system::rss_kib(pid).unwrap_or(0);

    bar.reset();
    bar.set_message("opening streams");
    let (tell, mut told) = mpsc::channel(streams);
    let begun = Instant::now();
    runtime.block_on(async {
        for callers in callers {
            tokio::spawn(open_all(callers, tell.clone()));
        }
        hear(&mut told, streams, None, &bar).await
    })?;
    let opened = begun.elapsed();
    bar.finish_and_clear();
    run::pause(Duration::from_secs(1));
    let after = system::rss_kib(pid).unwrap_or(0);

    let bar = run::bar("idle", idle.as_secs());
    let cpu = system::cpu_time(pid);
    for _ in 0..idle.as_secs() {
        run::pause(Duration::from_secs(1));
        bar.inc(1);
    }
    let used = system::cpu_time(pid).saturating_sub(cpu);
    bar.finish_and_clear();

    let (mut acknowledged, mut last) = (Times::new(), Times::new());
    let mut each = Times::new();
    for _ in 0..posts {
        let times = runtime.block_on(async {
            let begun = Instant::now();
            let post = author.post("to all of them").await?;
            acknowledged.add(begun.elapsed());
            let quiet = indicatif::ProgressBar::hidden();
            let times = hear(&mut told, streams, Some(post.id), &quiet).await?;
            Ok::<_, run::Failure>(times.into_iter().map(|it| it - begun).collect::<Vec<_>>())
        })?;
        for &time in &times {
            each.add(time);
        }
        last.add(times.into_iter().max().unwrap_or_default());
    }
    let peak = system::peak_kib(pid).unwrap_or(0);
    runtime.shutdown_background();
    node.stop()?;

    report(
        run,
        options,
        &Measured {
            streams,
            before,
            after,
            peak,
            opened,
            idle,
            used,
            acknowledged,
            each,
            last,
        },
    )
}

/// What came of it; memory in KiB.
struct Measured {
    streams: usize,
    before: u64,
    after: u64,
    peak: u64,
    opened: Duration,
    idle: Duration,
    used: Duration,
    acknowledged: Times,
    each: Times,
    last: Times,
}

fn report(run: &Run, options: &Options, it: &Measured) -> Result<()> {
    let kib = it.after.saturating_sub(it.before) as f64 / it.streams as f64;
    let busy = it.used.as_secs_f64() / it.idle.as_secs_f64();
    run.record.add(
        "streams",
        &json!({
            "graph": "star",
            "durability": "fdatasync",
            "streams": it.streams,
            "connections": options.connections,
            "rss_before_mib": run::round(it.before as f64 / 1024.0),
            "rss_after_mib": run::round(it.after as f64 / 1024.0),
            "rss_peak_mib": run::round(it.peak as f64 / 1024.0),
            "kib_per_stream": run::round(kib),
            "open_s": run::round(it.opened.as_secs_f64()),
            "idle_cores": busy,
            "idle_s": it.idle.as_secs(),
            "acknowledged_p50_ms": run::millis(it.acknowledged.p50()),
            "received_p50_ms": run::millis(it.each.p50()),
            "last_p50_ms": run::millis(it.last.p50()),
            "last_max_ms": run::millis(it.last.max()),
        }),
    )?;
    run::table(
        "Goal 5: open streams on one server",
        &[
            "streams",
            "connections",
            "opened in",
            "KiB/stream",
            "RSS MiB",
            "idle CPU of a core",
            "acknowledged",
            "post to each p50",
            "to the last p50",
            "longest",
        ],
        &[vec![
            run::count(it.streams as f64),
            options.connections.to_string(),
            run::ms(it.opened),
            format!("{kib:.1}"),
            run::count(it.after as f64 / 1024.0),
            format!("{:.2}%", busy * 100.0),
            run::ms(it.acknowledged.p50()),
            run::ms(it.each.p50()),
            run::ms(it.last.p50()),
            run::ms(it.last.max()),
        ]],
    );
    Ok(())
}

/// Logs everybody but the last in; by connection.
async fn log_in(
    address: &str,
    users: &[sns_core::Username],
    connections: usize,
    bar: &indicatif::ProgressBar,
) -> Result<Vec<Vec<Caller>>> {
    let readers = &users[..users.len() - 1];
    let mut parts = Vec::new();
    for part in readers.chunks(readers.len().div_ceil(connections.max(1))) {
        let channel = rpc::connect(address).await?;
        let (part, bar) = (part.to_vec(), bar.clone());
        parts.push(tokio::spawn(async move {
            let mut callers = Vec::new();
            for user in part {
                callers.push(Caller::login_over(channel.clone(), user.as_str()).await?);
                bar.inc(1);
            }
            Ok::<_, run::Failure>(callers)
        }));
    }
    let mut callers = Vec::new();
    for part in parts {
        callers.push(part.await??);
    }
    Ok(callers)
}

/// Opens the streams of one connection, one after the other: a server refuses what comes all at
/// once. Each is then read by a task of its own.
async fn open_all(callers: Vec<Caller>, tell: mpsc::Sender<Heard>) {
    for caller in callers {
        let (tell, (opened, ready)) = (tell.clone(), oneshot::channel());
        tokio::spawn(async move {
            if let Err(why) = watch(caller, &tell, opened).await {
                // Nobody listens any more when the figure is taken.
                drop(tell.send(Err(format!("a stream ended: {why}"))).await);
            }
        });
        // Whatever is wrong with it, the next one may be opened.
        drop(ready.await);
    }
}

/// One stream, until the server ends it; `opened` hears when it has caught up.
async fn watch(
    mut caller: Caller,
    tell: &mpsc::Sender<Heard>,
    opened: oneshot::Sender<()>,
) -> Result<()> {
    // Kept: this client could post at any time.
    let (ask, asked) = mpsc::channel(1);
    let open = TimelineOpen {
        backlog: Some(0),
        ..TimelineOpen::default()
    };
    let request = TimelineRequest {
        request: Some(Asked::Open(open)),
    };
    ask.send(request).await?;
    let request = caller.ask(ReceiverStream::new(asked));
    let mut stream = caller.api.timeline(request).await?.into_inner();
    let mut opened = Some(opened);
    while let Some(message) = stream.message().await? {
        match message.response {
            Some(Told::Heartbeat(_)) => {
                if let Some(opened) = opened.take() {
                    tell.send(Ok((None, Instant::now()))).await?;
                    // Who opened it goes on to the next one.
                    let _ = opened.send(());
                }
            }
            Some(Told::Post(post)) => tell.send(Ok((Some(post.id), Instant::now()))).await?,
            _ => {}
        }
    }
    drop(ask);
    Err("the server closed it".into())
}

/// Waits until every stream told this; when each did.
async fn hear(
    told: &mut mpsc::Receiver<Heard>,
    streams: usize,
    what: Option<u64>,
    bar: &indicatif::ProgressBar,
) -> Result<Vec<Instant>> {
    let mut times = Vec::with_capacity(streams);
    let all = async {
        while times.len() < streams {
            let told = told.recv().await.ok_or("all streams ended")?;
            let (heard, when) = told?;
            if heard == what {
                times.push(when);
                bar.inc(1);
            }
        }
        Ok(())
    };
    let waited: Result<Result<()>, _> = tokio::time::timeout(LIMIT, all).await;
    if let Ok(ended) = waited {
        ended?;
        return Ok(times);
    }
    let why = format!("only {} of {streams} streams answered", times.len());
    Err(why.into())
}

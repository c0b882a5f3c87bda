//! Goal 4: what a post costs by its author's followers, and how soon another server shows it.
//!
//! Three authors with 10, 1,000 and 100,000 followers post in turns in one run: in process, one post
//! at a time and with 1,000 in flight, in slices that change their order, and then over gRPC to one
//! of two running pairs. There each post is looked for on the home page of a follower at a server of
//! the other pair, which is another process: from the acknowledgement until a page shows it, read
//! again and again without saying which state it should have.

use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use sns_benches::{TEXT, load, names};
use sns_core::{Sns, Username};

use crate::child;
use crate::posts;
use crate::rpc::Caller;
use crate::run::{self, Result, Run};
use crate::server::Up;
use crate::watch::Times;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Followers of each author.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 1_000, 100_000])]
    followers: Vec<u32>,
}

/// What came of one author's posts.
struct Author {
    name: Username,
    followers: u32,
    alone: Times,
    batches: Vec<f64>,
    cpu: Duration,
    in_batches: u64,
    over_rpc: Times,
    visible: Times,
}

pub(crate) fn run(run: &Run, options: &Options) -> Result<()> {
    let most = options.followers.iter().copied().max().unwrap_or(0);
    let authors = u32::try_from(options.followers.len())?;
    let users = names((most + authors) as usize);
    let dir = run.scratch()?;
    let data = dir.path().join("data");
    let sns = child::open_feed(&data)?;
    let edges = (0..)
        .zip(&options.followers)
        .flat_map(|(author, &followers)| {
            (0..followers).map(move |follower| (follower, most + author))
        });
    let total = u64::from(options.followers.iter().sum::<u32>()) + u64::from(most);
    let bar = run::bar("filling", total);
    load::users(&sns, &users, &mut |more| bar.inc(more));
    load::follows(&sns, &users, edges, &mut |more| bar.inc(more));
    bar.finish_and_clear();
    let mut authors: Vec<Author> = (most as usize..)
        .zip(&options.followers)
        .map(|(number, &followers)| Author {
            name: users[number],
            followers,
            alone: Times::new(),
            batches: Vec::new(),
            cpu: Duration::ZERO,
            in_batches: 0,
            over_rpc: Times::new(),
            visible: Times::new(),
        })
        .collect();
    in_process(run, &sns, &mut authors);
    sns.close();
    drop(sns);
    over_rpc(run, &data, users[0].as_str(), &mut authors)?;
    report(run, &authors)
}

fn in_process(run: &Run, sns: &Sns, authors: &mut [Author]) {
    let rounds = run.pick(30, 4);
    let slice = Duration::from_millis(run.pick(250, 100));
    let bar = run::bar("posting in process", rounds);
    for _ in 0..rounds {
        // Nobody is always the one after the same one.
        authors.rotate_left(1);
        for author in &mut *authors {
            let who = [author.name];
            let alone = posts::measure(sns, &who, TEXT, 1, 1, slice);
            author.alone.merge(&alone.times);
            let batch = posts::measure(sns, &who, TEXT, 1_000, 1, slice);
            author.batches.push(batch.per_s);
            author.cpu += batch.cpu_per_post.mul_f64(batch.times.len() as f64);
            author.in_batches += batch.times.len();
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    authors.sort_by_key(|it| it.followers);
}

fn over_rpc(run: &Run, data: &Path, reader: &str, authors: &mut [Author]) -> Result<()> {
    let rounds = run.pick(700, 60);
    let up = Up::start(data, 2)?;
    let (here, there) = (up.address("a-master")?, up.address("b-slave")?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let bar = run::bar("posting at one server, reading at another", rounds);
    runtime.block_on(async {
        let mut reader = Caller::login(&there, reader).await?;
        let mut posters = Vec::new();
        for author in &*authors {
            posters.push(Caller::login(&here, author.name.as_str()).await?);
        }
        // All of them warm.
        for poster in &mut posters {
            poster.post(TEXT).await?;
            poster.home(20).await?;
            reader.home(20).await?;
        }
        for _ in 0..rounds {
            for (author, poster) in authors.iter_mut().zip(&mut posters) {
                let start = Instant::now();
                let post = poster.post(TEXT).await?;
                author.over_rpc.add(start.elapsed());
                let acknowledged = Instant::now();
                while reader
                    .home(1)
                    .await?
                    .first()
                    .is_none_or(|it| it.id < post.id)
                {
                    if acknowledged.elapsed() > Duration::from_secs(10) {
                        return Err("a post was not seen on another server for 10 s".into());
                    }
                }
                author.visible.add(acknowledged.elapsed());
            }
            bar.inc(1);
        }
        Ok::<_, run::Failure>(())
    })?;
    bar.finish_and_clear();
    // A server that stops waits for connections, which nobody would close.
    drop(runtime);
    up.stop()
}

fn report(run: &Run, authors: &[Author]) -> Result<()> {
    let mut rows = Vec::new();
    let least = authors.first();
    for it in authors {
        let cpu = it.cpu.div_f64(it.in_batches.max(1) as f64);
        let per_s = it.batches.iter().sum::<f64>() / it.batches.len().max(1) as f64;
        let ratio = |of: &dyn Fn(&Author) -> &Times| {
            let base = least.map_or(1.0, |least| of(least).p50().as_secs_f64());
            of(it).p50().as_secs_f64() / base
        };
        let (alone, over_rpc) = (ratio(&|it| &it.alone), ratio(&|it| &it.over_rpc));
        rows.push(vec![
            run::count(f64::from(it.followers)),
            run::ms(it.alone.p50()),
            run::ms(it.alone.p99()),
            format!("{alone:.2}x"),
            run::count(per_s),
            format!("{:.2} us", run::micros(cpu)),
            run::ms(it.over_rpc.p50()),
            format!("{over_rpc:.2}x"),
            run::ms(it.visible.p50()),
            run::ms(it.visible.p99()),
            run::ms(it.visible.max()),
        ]);
        run.record.add(
            "followers",
            &json!({
                "graph": "star",
                "durability": "fdatasync",
                "followers": it.followers,
                "p50_us": run::micros(it.alone.p50()),
                "p99_us": run::micros(it.alone.p99()),
                "ratio": run::round(alone),
                "posts_per_s": run::round(per_s),
                "cpu_us_per_post": run::micros(cpu),
                "rpc_p50_us": run::micros(it.over_rpc.p50()),
                "rpc_p99_us": run::micros(it.over_rpc.p99()),
                "rpc_ratio": run::round(over_rpc),
                "visible_p50_ms": run::millis(it.visible.p50()),
                "visible_p99_ms": run::millis(it.visible.p99()),
                "visible_max_ms": run::millis(it.visible.max()),
                "visible_of": it.visible.len(),
            }),
        )?;
    }
    run::table(
        "Goal 4: a durable post by its author's followers (one at a time; 1,000 in flight; over \
         gRPC), and until another server's page shows it",
        &[
            "followers",
            "one: p50",
            "p99",
            "ratio",
            "1,000: posts/s",
            "CPU/post",
            "gRPC: p50",
            "ratio",
            "visible p50",
            "p99",
            "longest",
        ],
        &rows,
    );
    Ok(())
}

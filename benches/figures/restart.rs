//! Goal 6: from a start to serving, with a million posts and Slashdot's follows.
//!
//! In process: from `open` to caught up, in a new process each time, and the first home page after
//! it. As a process: from the start of `sns-server master` to its first answer to a home page, which
//! it gives once it has applied the log. The page cache is warm: the machine did not restart.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use sns_benches::{Draw, GraphFile, TEXT, floor, load};

use crate::child::{self, Process};
use crate::rpc::Caller;
use crate::run::{self, Result, Run};
use crate::server::Node;
use crate::watch::Times;
use crate::{import, system};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Posts stored, of 100 bytes, by authors drawn at random.
    #[arg(long)]
    posts: Option<usize>,
    /// How often each start is measured.
    #[arg(long, default_value_t = 5)]
    times: u32,
}

/// What happened before a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Clean,
    Killed,
    ViewLost,
}

/// One line of the table.
struct Line {
    how: String,
    start: Times,
    page: Option<Times>,
}

pub(crate) fn run(run: &Run, options: &Options) -> Result<()> {
    let file = run.pick(GraphFile::Slashdot, GraphFile::Reed98);
    let graph = match file.read() {
        Ok(graph) => graph,
        Err(why) => {
            run::say(&format!("SKIPPED restart: {why}"));
            return Ok(());
        }
    };
    let posts = options.posts.unwrap_or(run.pick(1_000_000, 50_000));
    let dir = run.scratch()?;
    let data = dir.path().join("data");
    let sns = child::open_feed(&data)?;
    import::fill(&sns, &graph, "filling: follows");
    let bar = run::bar("filling: posts", posts as u64);
    let mut draw = Draw::new(5);
    let authors = (0..posts).map(|_| &graph.users[draw.below(graph.users.len())]);
    load::posts(&sns, authors, TEXT, &mut |more| bar.inc(more));
    bar.finish_and_clear();
    let log_dir = sns
        .data_dir()
        .ok_or("a feed without a directory")?
        .log_dir();
    sns.close();
    drop(sns);

    let reader = graph.users[graph.follows[0].0 as usize].as_str();
    let times = run.pick(options.times, 2);
    let mut lines = vec![
        in_process(&data, reader, Before::Clean, times)?,
        in_process(&data, reader, Before::Killed, times)?,
        in_process(&data, reader, Before::ViewLost, times)?,
        as_process(&data, reader, Before::Clean, times)?,
        as_process(&data, reader, Before::Killed, times)?,
        as_process(&data, reader, Before::ViewLost, times)?,
    ];
    let (read, log_bytes) = floor::read_through(&log_dir)?;
    let sns = child::open_feed(&data)?;
    let snapshot = sns.create_snapshot()?;
    sns.close();
    drop(sns);
    for mut line in [
        in_process(&data, reader, Before::ViewLost, times)?,
        as_process(&data, reader, Before::ViewLost, times)?,
    ] {
        line.how = line.how.replace("log", "snapshot and log");
        lines.push(line);
    }

    let mut rows = Vec::new();
    for line in &lines {
        run.record.add(
            "restart",
            &json!({
                "graph": file.name(),
                "durability": "fdatasync",
                "posts": posts,
                "follows": graph.follows.len(),
                "how": line.how,
                "p50_ms": run::millis(line.start.p50()),
                "max_ms": run::millis(line.start.max()),
                "first_page_p50_ms": line.page.as_ref().map(|it| run::millis(it.p50())),
                "log_bytes": log_bytes,
                "snapshot_bytes": snapshot.bytes,
                "floor_read_log_ms": run::millis(read),
            }),
        )?;
        rows.push(vec![
            line.how.clone(),
            run::ms(line.start.p50()),
            run::ms(line.start.max()),
            line.page
                .as_ref()
                .map_or("-".into(), |it| run::ms(it.p50())),
        ]);
    }
    run::table(
        &format!(
            "Goal 6: from a start to serving, {} posts and {} follows ({}); reading the {} MiB of \
             the log takes {}; view {} MiB, snapshot {} MiB",
            run::count(posts as f64),
            run::count(graph.follows.len() as f64),
            file.name(),
            log_bytes >> 20,
            run::ms(read),
            system::disk_bytes(&data.join("nodes").join(child::NODE)) >> 20,
            snapshot.bytes >> 20,
        ),
        &["start", "p50", "longest", "first page after it"],
        &rows,
    );
    Ok(())
}

fn named(place: &str, before: Before) -> String {
    let before = match before {
        Before::Clean => "stopped cleanly",
        Before::Killed => "killed (SIGKILL)",
        Before::ViewLost => "view lost, from the log",
    };
    format!("{place}: {before}")
}

/// Told at once: a rebuild may take minutes, and whoever waits may have seen enough.
fn heard(place: &str, before: Before, start: &Times) {
    run::say(&format!(
        "{}: {}",
        named(place, before),
        run::ms(start.p50())
    ));
}

/// How often: a rebuild is long and steady.
fn turns(before: Before, times: u32) -> u32 {
    if before == Before::ViewLost {
        times.min(2)
    } else {
        times
    }
}

fn in_process(data: &Path, reader: &str, before: Before, times: u32) -> Result<Line> {
    let start = |post: bool| -> Result<_> {
        let mut command = child::command()?;
        command
            .args(["open", "--reader", reader, "--data"])
            .arg(data);
        if post {
            command.arg("--post");
        }
        let mut process = Process::start(&mut command)?;
        let said = process.hear()?;
        let ms = |name: &str| Duration::from_secs_f64(said[name].as_f64().unwrap_or(0.0) / 1e3);
        Ok((process, ms("open_ms"), ms("page_ms")))
    };
    let (mut opened, mut page) = (Times::new(), Times::new());
    let bar = run::bar(named("in process", before), u64::from(times));
    for _ in 0..turns(before, times) {
        match before {
            Before::Clean => {}
            Before::Killed => start(true)?.0.kill_after(Duration::from_millis(300))?,
            Before::ViewLost => {
                fs::remove_dir_all(data.join("nodes").join(child::NODE).join("view"))?;
            }
        }
        let (process, open, first) = start(false)?;
        opened.add(open);
        page.add(first);
        process.end()?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    heard("in process", before, &opened);
    Ok(Line {
        how: named("in process", before),
        start: opened,
        page: Some(page),
    })
}

fn as_process(data: &Path, reader: &str, before: Before, times: u32) -> Result<Line> {
    let runtime = run::runtime()?;
    let bar = run::bar(named("sns-server", before), u64::from(times));
    // Any server of the data takes the token. The first start makes the view.
    let mut node = Node::spawn(data)?;
    let address = node.address()?;
    let caller = runtime.block_on(until_served(&address, reader, None))?;
    let mut started = Times::new();
    for _ in 0..turns(before, times) {
        match before {
            Before::Clean => node.stop()?,
            Before::Killed => node.kill()?,
            Before::ViewLost => {
                node.stop()?;
                fs::remove_dir_all(data.join("nodes/a-master/view"))?;
            }
        }
        node = Node::spawn(data)?;
        let address = node.address()?;
        runtime.block_on(until_served(&address, reader, Some(&caller)))?;
        started.add(node.age());
        bar.inc(1);
    }
    node.stop()?;
    bar.finish_and_clear();
    heard("sns-server", before, &started);
    Ok(Line {
        how: named("sns-server", before),
        start: started,
        page: None,
    })
}

/// Asks for a home page until there is one.
async fn until_served(address: &str, reader: &str, known: Option<&Caller>) -> Result<Caller> {
    let end = Instant::now() + Duration::from_secs(120);
    loop {
        let asked = async {
            let mut caller = match known {
                Some(known) => known.at(address).await?,
                None => Caller::login(address, reader).await?,
            };
            caller.home(20).await?;
            Ok::<_, run::Failure>(caller)
        };
        match asked.await {
            Ok(caller) => return Ok(caller),
            Err(why) if Instant::now() > end => return Err(why),
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

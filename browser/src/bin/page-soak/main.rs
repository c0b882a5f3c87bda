//! `sns-page-soak`: both pages open for a long time, posts at a steady rate, a server killed every few
//! minutes. What the pages need must not grow, and no post may be missing or come twice.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use clap::Parser;
use rand::RngExt as _;
use serde_json::{Value, json};
use sns_browser::{Cluster, Driver, Page, Size, Web};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

mod needs;

/// Those who post; alice follows them all.
const AUTHORS: usize = 50;
/// Posts under way at most: a server that dies keeps some waiting.
const POSTS_UNDER_WAY: usize = 64;
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// The feed page and the operations page, open for a long time.
#[derive(Debug, Parser)]
struct Args {
    /// How long.
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// Posts a second.
    #[arg(long, default_value_t = 20.0)]
    rate: f64,
    /// Seconds between two kills of a node.
    #[arg(long, default_value_t = 120.0)]
    kill_every: f64,
    /// Where the samples go: `page-soak.jsonl` in here.
    #[arg(long, default_value = "target/page-soak")]
    out: PathBuf,
}

/// Notes what comes into the feed, until it is fetched.
const WATCH: &str = "window.came = [];
    new MutationObserver((records) => {
        for (const record of records)
            for (const node of record.addedNodes)
                if (node.dataset?.id) window.came.push(node.dataset.id);
    }).observe(document.querySelector('#feed'), { childList: true });";

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    if soak(&args).await {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Whether all went well.
async fn soak(args: &Args) -> bool {
    fs::create_dir_all(&args.out).expect("a directory");
    let mut file = File::create(args.out.join("page-soak.jsonl")).expect("a file");
    let cluster = Cluster::start(2);
    let mut authors = Vec::new();
    let alice = Web::login(cluster.origins(), "alice").await;
    for number in 0..AUTHORS {
        let name = format!("author_{number:02}");
        authors.push(Web::login(cluster.origins(), &name).await);
        alice.follow(&name).await;
    }
    let driver = Driver::start();
    let feed = driver.open(Size::DESK).await;
    feed.enter(&cluster.origin("a-master"), "alice").await;
    feed.js(WATCH).await;
    let ops = driver.open(Size::DESK).await;
    ops.goto(&format!("{}/ops", cluster.origin("a-master")))
        .await;
    ops.sees("html[data-ready=true]").await;

    let posted = Arc::new(AtomicUsize::new(0));
    let enough = Arc::new(AtomicBool::new(false));
    let posters = post(authors, args.rate, Arc::clone(&posted), Arc::clone(&enough));
    let posters = tokio::spawn(posters);
    let mut came: Vec<String> = Vec::new();
    let mut samples = Vec::new();
    let begun = Instant::now();
    let end = begun + Duration::from_secs_f64(args.minutes * 60.0);
    let mut looks = interval(LOOK_EVERY);
    let mut kills = interval(Duration::from_secs_f64(args.kill_every));
    kills.tick().await;
    let stop = stopped();
    tokio::pin!(stop);
    while Instant::now() < end {
        tokio::select! {
            biased;
            () = &mut stop => break,
            _ = kills.tick() => kill_one(&cluster).await,
            _ = looks.tick() => {
                came.extend(fetch(&feed).await);
                let at = begun.elapsed().as_secs_f64();
                let posts = posted.load(Ordering::Relaxed);
                for (name, page) in [("feed", &feed), ("ops", &ops)] {
                    let sample = needs::look(page, name, at, posts).await;
                    writeln!(file, "{}", sample.json()).expect("written");
                    say(&sample.to_string());
                    samples.push(sample);
                }
            }
        }
    }
    enough.store(true, Ordering::Relaxed);
    posters.await.expect("every post was made");
    let posts = posted.load(Ordering::Relaxed);
    let posts = arrived(&alice, &feed, &mut came, posts).await;
    let verdicts = needs::verdicts(&samples);
    let grew = verdicts.iter().any(|it| !it.well());
    for verdict in &verdicts {
        say(&verdict.to_string());
        writeln!(file, "{}", verdict.json()).expect("written");
    }
    let state = feed
        .js("const { state, failovers } = document.documentElement.dataset; return { state, failovers }")
        .await;
    let well = posts.is_ok() && !grew && state["state"] == "live";
    let told = match &posts {
        Ok(posts) => format!("all {posts} posts came to the page exactly once, in order"),
        Err(why) => why.clone(),
    };
    let verdict = if well { "WELL" } else { "NOT WELL" };
    say(&format!(
        "{told}; the feed page is {} after {} failovers",
        state["state"], state["failovers"]
    ));
    say(&format!(
        "{verdict} after {:.1} minutes; samples in {}",
        begun.elapsed().as_secs_f64() / 60.0,
        place(&args.out)
    ));
    let last = json!({ "verdict": verdict, "posts": told, "feed": state });
    writeln!(file, "{last}").expect("written");
    well
}

fn place(out: &Path) -> String {
    out.join("page-soak.jsonl").display().to_string()
}

/// Posts by turns at a steady rate, each once, however often it has to be sent.
async fn post(authors: Vec<Web>, rate: f64, posted: Arc<AtomicUsize>, enough: Arc<AtomicBool>) {
    let mut ticks = interval(Duration::from_secs_f64(1.0 / rate));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let room = Arc::new(Semaphore::new(POSTS_UNDER_WAY));
    let mut under_way = JoinSet::new();
    let mut number = 0;
    while !enough.load(Ordering::Relaxed) {
        ticks.tick().await;
        let permit = Arc::clone(&room).acquire_owned().await.expect("open");
        let author = authors[number % authors.len()].clone();
        let posted = Arc::clone(&posted);
        under_way.spawn(async move {
            let text = format!("number {number}, and some more words, as people write them");
            author.post(&text).await;
            posted.fetch_add(1, Ordering::Relaxed);
            drop(permit);
        });
        number += 1;
        while let Some(done) = under_way.try_join_next() {
            done.expect("posted");
        }
    }
    while let Some(done) = under_way.join_next().await {
        done.expect("posted");
    }
}

/// kill -9 for any node that has served for a while.
async fn kill_one(cluster: &Cluster) {
    let nodes = cluster.nodes();
    let node = &nodes[rand::rng().random_range(..nodes.len())];
    cluster.settled(node).await;
    let pid = cluster.kill(node).await;
    say(&format!("killed {node}, process {pid}"));
}

/// What came into the feed since the last time.
async fn fetch(feed: &Page) -> Vec<String> {
    serde_json::from_value(feed.value("window.came.splice(0)").await).expect("ids")
}

/// Whether each post of the home timeline came to the page exactly once; how many.
async fn arrived(
    alice: &Web,
    feed: &Page,
    came: &mut Vec<String>,
    posted: usize,
) -> Result<usize, String> {
    let ids = |posts: &[Value]| -> Vec<String> {
        let ids = posts.iter().filter_map(|it| it["id"].as_str());
        ids.map(str::to_owned).collect()
    };
    // The last posts are on their way to the page; nobody posts any more.
    let home = sns_browser::until("all posts on the page", async || {
        let newest = ids(&alice.home(1).await);
        let shown = feed.ids().await;
        (shown.first() == newest.first()).then_some(())
    });
    home.await;
    let all = ids(&alice.home(usize::MAX).await);
    if all.len() != posted {
        return Err(format!(
            "{posted} posts were made, the servers have {}",
            all.len()
        ));
    }
    came.extend(fetch(feed).await);
    // Posts that came together were drawn together, the newest first.
    came.sort_by_key(|id| std::cmp::Reverse(id.parse::<u64>().unwrap_or_default()));
    let doubled = came.windows(2).filter(|it| it[0] == it[1]).count();
    if *came != all {
        let came: HashSet<&String> = came.iter().collect();
        let missing = all.iter().filter(|id| !came.contains(id)).count();
        return Err(format!(
            "of {posted} posts {missing} are missing on the page, {doubled} came twice"
        ));
    }
    let shown = feed.ids().await;
    if shown[..] != all[..shown.len().min(all.len())] {
        return Err("the page shows a gap, or a double".to_owned());
    }
    Ok(all.len())
}

/// Ctrl-C, or a polite end.
async fn stopped() {
    let kind = tokio::signal::unix::SignalKind::terminate();
    let mut terminated = tokio::signal::unix::signal(kind).expect("a signal");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => (),
        _ = terminated.recv() => (),
    }
}

#[allow(clippy::print_stdout, reason = "this is a command line")]
fn say(text: &str) {
    println!("{text}");
}

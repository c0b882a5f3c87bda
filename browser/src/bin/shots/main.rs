//! `sns-shots`: pictures of the pages and of the terminal, taken of a real service under load while
//! its servers die.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use clap::Parser;
use rustix::process::Signal;
use sns_browser::{Cluster, Driver, Page, Size, Web, beside};
use tokio::process::{Child, Command};
use tokio::time::sleep;

mod people;
mod terminal;

use terminal::Terminal;

/// Takes the pictures of the documentation.
#[derive(Debug, Parser)]
struct Args {
    /// Where they go.
    #[arg(default_value = "docs/pictures")]
    dir: PathBuf,
    /// Takes those as well that are for looking at only.
    #[arg(long)]
    all: bool,
    /// Seconds of load before the first death.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

/// Those that the documentation shows.
const KEPT: [&str; 8] = [
    "feed",
    "feed-dark",
    "feed-phone",
    "feed-went-on",
    "ops",
    "ops-dark",
    "terminal-timeline-120",
    "terminal-top-120",
];

/// Where pictures go, and which.
struct Album {
    dir: PathBuf,
    all: bool,
}

impl Album {
    async fn take(&self, page: &Page, name: &str) {
        self.keep(name, &page.picture().await);
    }

    #[allow(clippy::print_stdout, reason = "this is a command line")]
    fn keep(&self, name: &str, png: &[u8]) {
        if !self.all && !KEPT.contains(&name) {
            return;
        }
        let file = self.dir.join(format!("{name}.png"));
        std::fs::write(&file, png).expect("written");
        println!("{} {} KiB", file.display(), png.len() / 1_024);
    }
}

/// As much of a long page as a picture shows.
const TALL: u32 = 1_260;

#[tokio::main]
async fn main() {
    let args = Args::parse();
    std::fs::create_dir_all(&args.dir).expect("a directory");
    let album = Album {
        dir: args.dir,
        all: args.all,
    };
    let driver = Driver::start();
    let cluster = Cluster::start(2);
    people::write(&cluster).await;
    feed(&cluster, &driver, &album).await;
    terminals(&cluster, &driver, &album).await;
    drop(cluster);
    // Another service, which nobody has died of yet.
    let cluster = Cluster::start(2);
    operations(&cluster, &driver, &album, Duration::from_secs(args.seconds)).await;
}

/// The feed page: wide and narrow, light and dark, and after its server died.
async fn feed(cluster: &Cluster, driver: &Driver, album: &Album) {
    let page = driver.open(Size::DESK).await;
    page.enter(&cluster.origin("a-master"), "alice").await;
    page.sees("#feed > article").await;
    page.js("document.activeElement.blur()").await;
    for (size, name) in [(Size::DESK, "feed"), (Size::PHONE, "feed-phone")] {
        both(&page, size, album, name).await;
    }
    page.resize(Size::DESK).await;
    let server = page.server().await;
    cluster.settled(&server).await;
    let pid = cluster.kill(&server).await;
    let went_on = "return document.querySelector('#state-text').textContent.startsWith('went on')";
    page.until("the page went on", went_on).await;
    Web::login(cluster.origins(), "dora")
        .await
        .post("Anyone else notice that? Me neither.")
        .await;
    page.sees_post("Anyone else notice that? Me neither.").await;
    settle(&page).await;
    album.take(&page, "feed-went-on").await;
    cluster.serves(&server, Some(pid)).await;
}

/// The operations page of a service under load, after a death and a hang.
async fn operations(cluster: &Cluster, driver: &Driver, album: &Album, before: Duration) {
    let load = bench(cluster);
    sleep(before).await;
    let page = driver.open(Size::DESK).await;
    page.goto(&format!("{}/ops", cluster.origin("b-master")))
        .await;
    page.sees("html[data-ready=true]").await;
    page.click("[data-minutes='2']").await;
    page.js("document.activeElement.blur(); window.scrollTo(0, 0)")
        .await;
    cluster.settled("a-master").await;
    cluster.kill("a-master").await;
    page.sees("[data-death][data-node=a-master][data-done=true]")
        .await;
    sleep(Duration::from_secs(12)).await;
    cluster.settled("b-slave").await;
    cluster.signal("b-slave", Signal::STOP).await;
    // As it is until the hung one is back.
    page.sees("[data-death][data-node=b-slave][data-done=false]")
        .await;
    album.take(&page, "ops-restarting").await;
    page.sees("[data-death][data-node=b-slave][data-done=true]")
        .await;
    sleep(Duration::from_secs(15)).await;
    for (width, name) in [(1_280, "ops"), (360, "ops-phone")] {
        both(
            &page,
            Size {
                width,
                height: TALL,
            },
            album,
            name,
        )
        .await;
    }
    drop(load);
}

/// Load from another process, which ends with this value.
fn bench(cluster: &Cluster) -> Child {
    Command::new(beside("sns"))
        .args([
            "bench",
            "--rate",
            "200",
            "--connections",
            "16",
            "--duration",
            "10m",
        ])
        .args([
            "--mix",
            "nightcore",
            "--preload",
            "0",
            "--router",
            cluster.router(),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("`sns` is beside this program: cargo build -p sns-client")
}

/// The command line: a timeline whose server dies, and who serves.
async fn terminals(cluster: &Cluster, driver: &Driver, album: &Album) {
    let sns = beside("sns");
    let home = tempfile::tempdir().expect("a directory");
    let page = driver.open(Size::DESK).await;
    for columns in [60, 120] {
        let args = ["-u", "alice", "--router", cluster.router()];
        let mut shown = Terminal::start(&sns, &args, home.path(), (columns, 40));
        shown.sees("HELP lists the commands\n>").await;
        shown.types("TIMELINE\r").await;
        shown.sees("Anyone else notice").await;
        // Its server is one of these.
        for node in cluster.nodes() {
            cluster.settled(&node).await;
            let pid = cluster.kill(&node).await;
            cluster.serves(&node, Some(pid)).await;
            if shown.shows("now at") {
                break;
            }
        }
        let bob = Web::login(cluster.origins(), "bob").await;
        let text = format!("Still here, at {columns} columns.");
        bob.post(&text).await;
        shown.sees(&text).await;
        let name = format!("terminal-timeline-{columns}");
        album.keep(&name, &shown.picture(&page).await);

        let top = Terminal::start(
            &sns,
            &["top", "--router", cluster.router()],
            home.path(),
            (columns, 10),
        );
        top.sees("b-slave").await;
        let pid = cluster.kill("b-master").await;
        cluster.serves("b-master", Some(pid)).await;
        // Two looks later the rates are there.
        sleep(Duration::from_secs(3)).await;
        let name = format!("terminal-top-{columns}");
        album.keep(&name, &top.picture(&page).await);
    }
}

/// In a light and in a dark room.
async fn both(page: &Page, size: Size, album: &Album, name: &str) {
    for dark in [false, true] {
        page.colours(dark).await;
        page.resize(size).await;
        if size.height == TALL {
            let height = page
                .js("return document.documentElement.scrollHeight")
                .await;
            let height = u32::try_from(height.as_u64().expect("a number")).expect("small");
            page.resize(Size {
                height: height.min(TALL),
                ..size
            })
            .await;
        }
        settle(page).await;
        album
            .take(page, &format!("{name}{}", if dark { "-dark" } else { "" }))
            .await;
    }
    page.colours(false).await;
}

/// Waits until what the page draws of itself is drawn, at this size.
async fn settle(page: &Page) {
    page.js("window.drawn = 0; setTimeout(() => requestAnimationFrame(() => { window.drawn = 1; }), 1500)")
        .await;
    page.until("the page is drawn", "return window.drawn === 1")
        .await;
}

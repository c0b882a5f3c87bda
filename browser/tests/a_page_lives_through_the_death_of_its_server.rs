//! Two people at their browsers, and a server that dies under one of them, again and again.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use serde_json::{Value, json};
use sns_browser::{Cluster, Driver, Page, Size, Web, is_here, until};
use tokio::time::{Duration, sleep};

/// Posts that are there before anybody looks.
const OLDER: usize = 130;
/// Between two posts of bob.
const PACE: Duration = Duration::from_millis(250);

/// Notes every post that comes into the list from now on.
const WATCH: &str = "window.came = [];
    new MutationObserver((records) => {
        for (const record of records)
            for (const node of record.addedNodes)
                if (node.dataset?.id) window.came.push(node.dataset.id);
    }).observe(document.querySelector('#feed'), { childList: true });";

fn kills() -> u32 {
    let asked = std::env::var("SNS_BROWSER_KILLS").ok();
    asked.map_or(2, |kills| kills.parse().unwrap())
}

fn ids(posts: &[Value]) -> Vec<String> {
    let ids = posts.iter().map(|it| it["id"].as_str().unwrap());
    ids.map(str::to_owned).collect()
}

/// Somebody who posts through a page without end.
#[derive(Default)]
struct Poster {
    posted: AtomicU32,
    stop: AtomicBool,
}

impl Poster {
    async fn posts(&self, page: &Page) {
        while !self.stop.load(Ordering::Relaxed) {
            let number = self.posted.load(Ordering::Relaxed);
            page.post(&format!("bob goes on: {number}")).await;
            self.posted.fetch_add(1, Ordering::Relaxed);
            sleep(PACE).await;
        }
    }

    /// Waits until so many more are posted.
    async fn more(&self, count: u32) {
        let before = self.posted.load(Ordering::Relaxed);
        until("bob goes on posting", async || {
            (self.posted.load(Ordering::Relaxed) >= before + count).then_some(())
        })
        .await;
    }
}

/// Kills the server that the page is on, and waits until the page went on; what it says of that.
async fn survives(alice: &Page, cluster: &Cluster, bob: &Poster, round: u32) -> String {
    let server = alice.until_live().await;
    cluster.settled(&server).await;
    let before = alice
        .js("return Number(document.documentElement.dataset.failovers)")
        .await;
    assert_eq!(alice.server().await, server, "nobody but us moves it");
    bob.more(1).await;
    let pid = cluster.kill(&server).await;
    let told = alice
        .until(
            "the page went on",
            &format!(
                "const {{ state, failovers }} = document.documentElement.dataset;
                const text = document.querySelector('#state-text').textContent;
                return state === 'live' && Number(failovers) > {before} && text.startsWith('went on') && text"
            ),
        )
        .await;
    // Composing works right after.
    let text = format!("alice after death {round}");
    alice.post(&text).await;
    alice.sees_post(&text).await;
    assert_ne!(alice.server().await, server, "it went on elsewhere");
    bob.more(2).await;
    cluster.serves(&server, Some(pid)).await;
    format!("{server} was killed: {}", told.as_str().unwrap())
}

/// Back to the first post of all, as one scrolls, and to the top again.
async fn scrolls_back(alice: &Page, web: &Web) {
    until("the oldest post", async || {
        alice
            .js("window.scrollTo(0, document.documentElement.scrollHeight)")
            .await;
        (alice.ids().await.len() > OLDER).then_some(())
    })
    .await;
    alice
        .until(
            "nothing is older",
            "return document.querySelector('#load-older').hidden",
        )
        .await;
    assert_eq!(
        alice.ids().await,
        ids(&web.home(1_000).await),
        "each once, in order"
    );
    // With a key, which leaves the focus where it is.
    alice.press(&['t']).await;
    alice.until("the top", "return window.scrollY === 0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_lives_through_the_death_of_its_server() {
    if !is_here() {
        return;
    }
    let cluster = Cluster::start(2);
    let older = Web::login(cluster.origins(), "bob").await;
    for number in 0..OLDER {
        older.post(&format!("older: {number}")).await;
    }
    let driver = Driver::start();
    let alice = driver.open(Size::DESK).await;
    let bob = driver.open(Size::DESK).await;
    alice.enter(&cluster.origin("a-master"), "alice").await;
    bob.enter(&cluster.origin("b-slave"), "bob").await;
    assert_eq!(
        alice.server().await,
        "a-master",
        "a page begins where it came from"
    );

    alice.click("[data-nav=people]").await;
    alice
        .click("button[data-follow=bob][aria-disabled=false]")
        .await;
    alice
        .sees("button[data-follow=bob][aria-pressed=true]")
        .await;
    alice.click("[data-nav=home]").await;
    let web = Web::login(cluster.origins(), "alice").await;
    alice
        .until(
            "the first page",
            "return document.querySelectorAll('#feed > article').length >= 50",
        )
        .await;
    // The page is never loaded again from here on.
    alice.js("window.stays = true").await;
    bob.post("hello alice").await;
    alice.sees_post("hello alice").await;

    scrolls_back(&alice, &web).await;

    alice.js(WATCH).await;
    let known = alice.ids().await;
    let poster = Poster::default();
    let kill = async {
        for round in 0..kills() {
            let told = survives(&alice, &cluster, &poster, round).await;
            println!("{told}");
        }
        poster.stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(poster.posts(&bob), kill);
    let count = poster.posted.into_inner();
    println!("bob posted {count} times meanwhile");
    bob.post("bob is done").await;
    alice.sees_post("bob is done").await;

    let all = ids(&web.home(5_000).await);
    let expected = OLDER + 2 + usize::try_from(count + kills()).unwrap();
    assert_eq!(all.len(), expected, "every post was made once");
    let mut came: Vec<String> =
        serde_json::from_value(alice.js("return window.came").await).unwrap();
    let fresh = all.len() - known.len();
    came.sort_by_key(|id| std::cmp::Reverse(id.parse::<u64>().unwrap()));
    assert_eq!(
        came,
        all[..fresh],
        "every post came to the page exactly once"
    );
    let shown = alice.ids().await;
    assert_eq!(
        shown,
        all[..shown.len()],
        "and stands there in order, without a gap"
    );
    assert!(
        shown.len() >= all.len().min(400),
        "the window is full: {}",
        shown.len()
    );
    assert_eq!(
        alice.js("return window.stays").await,
        json!(true),
        "the page was not loaded again"
    );
    let failovers = alice
        .js("return Number(document.documentElement.dataset.failovers)")
        .await;
    assert!(
        failovers.as_u64().unwrap() >= u64::from(kills()),
        "{failovers}"
    );
    for node in cluster.nodes() {
        cluster.serves(&node, None).await;
    }
}

//! Users that read: an open timeline each, and home pages meanwhile. They follow all posters.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "every test takes what it needs"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use sns_client::{Client, Event, Options};
use tokio::task::JoinHandle;

/// How long the last posts may be on their way.
const PATIENCE: Duration = Duration::from_secs(30);

/// Two that watch `user0`, …, from before they post; a call that fails fails the test.
pub struct Watchers {
    streams: Vec<(Arc<AtomicUsize>, JoinHandle<()>)>,
    enough: Arc<AtomicBool>,
    reader: JoinHandle<usize>,
}

impl Watchers {
    pub async fn start(url: &str, posters: usize) -> Self {
        for poster in 0..posters {
            // Whoever logs in makes the name.
            let options = Options::new(format!("user{poster}")).routers([url.to_owned()]);
            Client::connect(options).await.unwrap();
        }
        let mut streams = Vec::new();
        for watcher in 0..2 {
            let client = following(url, &format!("watcher{watcher}"), posters).await;
            let seen = Arc::<AtomicUsize>::default();
            let task = tokio::spawn(watch(client, seen.clone()));
            streams.push((seen, task));
        }
        let enough = Arc::<AtomicBool>::default();
        let client = following(url, "pager", posters).await;
        let reader = tokio::spawn(read(client, enough.clone()));
        Self {
            streams,
            enough,
            reader,
        }
    }

    /// Ends the reading: each stream showed each of `total` posts once, and in order.
    pub async fn saw_all(self, total: usize) {
        self.enough.store(true, Ordering::Relaxed);
        assert!(self.reader.await.unwrap() > 0, "no page was read");
        for (seen, task) in self.streams {
            let all = async {
                while seen.load(Ordering::Relaxed) < total && !task.is_finished() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            let in_time = tokio::time::timeout(PATIENCE, all).await.is_ok();
            if task.is_finished() {
                task.await.unwrap();
                panic!("a stream ended");
            }
            assert!(in_time, "a stream showed {seen:?} of {total} posts");
            assert_eq!(seen.load(Ordering::Relaxed), total);
            task.abort();
        }
    }
}

async fn following(url: &str, name: &str, posters: usize) -> Client {
    let options = Options::new(name).routers([url.to_owned()]);
    let client = Client::connect(options).await.unwrap();
    for poster in 0..posters {
        client.follow(format!("user{poster}")).await.unwrap();
    }
    client
}

/// Posts are `user0 17`: of each author each number, once, in order.
async fn watch(client: Client, seen: Arc<AtomicUsize>) {
    let mut timeline = client
        .timeline()
        .since_follow(false)
        .after(0)
        .open()
        .await
        .unwrap();
    let mut next: BTreeMap<String, usize> = BTreeMap::new();
    while let Some(event) = timeline.next().await {
        if let Event::Post(post) = event.unwrap() {
            let expected = next.entry(post.author.clone()).or_default();
            assert_eq!(post.text, format!("{} {expected}", post.author));
            *expected += 1;
            seen.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A home page after the other; the newest post of an author is never older than it was.
async fn read(client: Client, enough: Arc<AtomicBool>) -> usize {
    let mut pages = 0;
    let mut newest = 0;
    while !enough.load(Ordering::Relaxed) {
        let page = client.home().limit(50).page().await.unwrap();
        let ids: Vec<u64> = page.items.iter().map(|post| post.id.get()).collect();
        assert!(ids.is_sorted_by(|a, b| a > b), "{ids:?}");
        let first = ids.first().copied().unwrap_or_default();
        assert!(first >= newest, "the page went back");
        newest = first;
        pages += 1;
    }
    pages
}

//! Users that post one after the other until they are told to stop, and what came of it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "every test takes what it needs"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use sns_client::{Client, Options};
use tokio::task::JoinHandle;

/// So many users, each with a task of its own. A call that fails fails the test.
pub struct Posters {
    url: String,
    enough: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    tasks: Vec<(String, JoinHandle<Vec<String>>)>,
}

impl Posters {
    pub fn start(url: &str, users: usize) -> Self {
        let mut posters = Self {
            url: url.to_owned(),
            enough: Arc::default(),
            count: Arc::default(),
            tasks: Vec::new(),
        };
        for user in 0..users {
            let name = format!("user{user}");
            let (enough, count) = (posters.enough.clone(), posters.count.clone());
            let task = tokio::spawn(post(posters.url.clone(), name.clone(), enough, count));
            posters.tasks.push((name, task));
        }
        posters
    }

    /// How many posts were acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Ends the posting.
    pub fn enough(&self) {
        self.enough.store(true, Ordering::Relaxed);
    }

    /// Ends the posting: what was acknowledged is there, once and in order, and nothing else.
    pub async fn all_is_stored(self) -> usize {
        self.enough();
        let reader = Options::new("reader").routers([self.url]);
        let reader = Client::connect(reader).await.unwrap();
        let mut total = 0;
        for (name, task) in self.tasks {
            let acknowledged = task.await.unwrap();
            total += acknowledged.len();
            let mut stored = posts_of(&reader, &name).await;
            stored.reverse();
            assert_eq!(stored, acknowledged, "{name}");
        }
        println!("{total} posts");
        assert!(total > 0);
        total
    }
}

async fn post(
    url: String,
    name: String,
    enough: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
) -> Vec<String> {
    let options = Options::new(name.clone()).routers([url]);
    let client = Client::connect(options).await.unwrap();
    let mut acknowledged = Vec::new();
    while !enough.load(Ordering::Relaxed) {
        let text = format!("{name} {}", acknowledged.len());
        if let Err(error) = client.post(text.clone()).await {
            panic!("{text}: {error:?}");
        }
        acknowledged.push(text);
        count.fetch_add(1, Ordering::Relaxed);
    }
    acknowledged
}

/// All posts of one user, newest first.
async fn posts_of(client: &Client, name: &str) -> Vec<String> {
    let mut texts = Vec::new();
    let mut cursor = None;
    loop {
        let mut page = client.posts_of(name).limit(200).linearizable(true);
        if let Some(cursor) = cursor {
            page = page.cursor(cursor);
        }
        let page = page.page().await.unwrap();
        texts.extend(page.items.into_iter().map(|post| post.text));
        cursor = page.next;
        if cursor.is_none() {
            return texts;
        }
    }
}

//! Nodes are killed and stopped while clients post: no call fails, no acknowledged post is lost or
//! doubled, and only those that were hit are restarted: one stopped process, which may hold the
//! lock of the log, never costs a healthy one its life.

#![allow(clippy::unwrap_used, reason = "a test: helpers outside #[test] too")]

#[path = "support/cluster.rs"]
mod cluster;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cluster::{Cluster, signal, until};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rustix::process::Signal;
use sns_client::{Client, Options};
use tokio::task::JoinHandle;

const NODES: [&str; 4] = ["a-master", "a-slave", "b-master", "b-slave"];
const ROUNDS: usize = 4;

/// Posts one after the other until told to stop; the texts that were acknowledged.
fn poster(url: String, name: String, enough: Arc<AtomicBool>) -> JoinHandle<Vec<String>> {
    tokio::spawn(async move {
        let options = Options::new(name.clone()).routers([url]);
        let client = Client::connect(options).await.unwrap();
        let mut acknowledged = Vec::new();
        while !enough.load(Ordering::Relaxed) {
            let text = format!("{name} {}", acknowledged.len());
            if let Err(error) = client.post(text.clone()).await {
                panic!("{text}: {error:?}");
            }
            acknowledged.push(text);
        }
        acknowledged
    })
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_hit_comes_back_and_nobody_else_is_touched() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let cluster = Cluster::start(2);
    let enough = Arc::new(AtomicBool::new(false));
    let names = ["ann", "ben", "cat"];
    let posters: Vec<_> = names
        .map(|name| poster(cluster.url.clone(), name.to_owned(), enough.clone()))
        .into();

    let mut hits: BTreeMap<&str, u64> = NODES.map(|node| (node, 0)).into();
    for _ in 0..ROUNDS {
        let node = NODES[rng.random_range(0..NODES.len())];
        let how = if rng.random() {
            Signal::STOP
        } else {
            Signal::KILL
        };
        println!("{how:?} for {node}");
        // A blocking wait: the posters have their own threads.
        tokio::task::block_in_place(|| {
            cluster.settled();
            let pid = cluster.pid(node);
            signal(pid, how);
            cluster.until_replaced(node, pid);
        });
        *hits.entry(node).or_default() += 1;
    }
    enough.store(true, Ordering::Relaxed);
    let mut total = 0;
    let reader = Options::new("reader").routers([cluster.url.clone()]);
    let reader = Client::connect(reader).await.unwrap();
    for (name, poster) in names.into_iter().zip(posters) {
        let acknowledged = poster.await.unwrap();
        total += acknowledged.len();
        let mut stored = posts_of(&reader, name).await;
        stored.reverse();
        assert_eq!(stored, acknowledged, "{name}");
    }
    println!("{total} posts");
    assert!(total > 0);

    let rows = tokio::task::block_in_place(|| {
        until("all views have come to one entry", || {
            let mut rows = cluster.status();
            rows.truncate(NODES.len());
            let at: BTreeSet<u64> = rows
                .iter()
                .filter_map(|row| row["applied"].as_u64())
                .collect();
            (at.len() == 1).then_some(rows)
        })
    });
    for (row, node) in rows.iter().zip(NODES) {
        assert_eq!(row["restarts"], hits[node], "{row}");
        assert_eq!(row["digest"], rows[0]["digest"], "{row}");
    }
}

//! Nodes are killed and stopped while clients post: no call fails, no acknowledged post is lost or
//! doubled, and only those that were hit are restarted: one stopped process, which may hold the
//! lock of the log, never costs a healthy one its life.

#![allow(clippy::unwrap_used, reason = "a test: helpers outside #[test] too")]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/posters.rs"]
mod posters;

use std::collections::{BTreeMap, BTreeSet};

use cluster::{Cluster, signal, until};
use posters::Posters;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rustix::process::Signal;

const NODES: [&str; 4] = ["a-master", "a-slave", "b-master", "b-slave"];
const ROUNDS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_hit_comes_back_and_nobody_else_is_touched() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let cluster = Cluster::start(2);
    let posters = Posters::start(&cluster.url, 3);

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
    posters.all_is_stored().await;

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

//! A node is stopped in the moment in which it holds the lock of the log, so that nobody else can
//! write: it alone is killed and restarted, and the writers go on without a failed call.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test: helpers outside #[test] too"
)]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/posters.rs"]
mod posters;

use std::time::{Duration, Instant};

use cluster::{Cluster, pause, signal, until};
use posters::Posters;
use rustix::process::Signal;
use sns_server::pair::process::{doing, lock_holder};

const NODES: [&str; 4] = ["a-master", "a-slave", "b-master", "b-slave"];

/// Stops the node that holds the lock of the log, while it does; which it is, and its pid.
fn stop_the_holder(cluster: &Cluster) -> (&'static str, u32) {
    let lock = cluster.data().join("log").join("lock");
    let pids = NODES.map(|node| (node, cluster.pid(node)));
    let deadline = Instant::now() + cluster::PATIENCE;
    let mut tries = 0;
    while Instant::now() < deadline {
        // Not always the same one, and no look beforehand: the lock is held for microseconds.
        let (node, pid) = pids[tries % pids.len()];
        tries += 1;
        signal(pid, Signal::STOP);
        while doing(pid) == "running" {
            std::hint::spin_loop();
        }
        if lock_holder(&lock).unwrap() == Some(pid) {
            println!("{node} holds the lock, after {tries} tries");
            return (node, pid);
        }
        signal(pid, Signal::CONT);
        // Long enough to answer a heartbeat and to write.
        pause(Duration::from_millis(5));
    }
    panic!("no node was met while it held the lock, in {tries} tries");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_stopped_while_it_holds_the_lock_of_the_log_alone_is_restarted() {
    let cluster = Cluster::start(2);
    let posters = Posters::start(&cluster.url, 12);
    tokio::task::block_in_place(|| {
        cluster.settled();
        let before = NODES.map(|node| cluster.pid(node));
        let (hit, pid) = stop_the_holder(&cluster);
        let stopped = Instant::now();
        let seen = posters.acknowledged();
        until("the writers go on", || {
            (posters.acknowledged() > seen + 100).then_some(())
        });
        println!("writers went on after {:?}", stopped.elapsed());
        cluster.until_replaced(hit, pid);
        println!("restarted after {:?}", stopped.elapsed());
        // Longer than anybody would take to judge another one.
        pause(Duration::from_millis(1_500));
        for (node, old) in NODES.into_iter().zip(before) {
            let restarts = u64::from(node == hit);
            assert_eq!(cluster.row(node).unwrap()["restarts"], restarts, "{node}");
            assert_eq!(cluster.pid(node) == old, node != hit, "{node}");
        }
    });
    posters.all_is_stored().await;
}

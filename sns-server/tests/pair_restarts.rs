//! Real pairs: killed, stopped, asked to stop. Promise 6 of the design's pair: whoever dies or
//! hangs comes back at its address, whoever was asked to stop stays away, nobody healthy is killed.

#[path = "support/cluster.rs"]
mod cluster;

use std::time::{Duration, Instant};

use cluster::{Cluster, pause, signal, until};
use rustix::process::Signal;

#[test]
fn a_killed_node_serves_again_at_its_address() {
    let cluster = Cluster::start(1);
    cluster.settled();
    for (node, other) in [("a-master", "a-slave"), ("a-slave", "a-master")] {
        let (pid, partner) = (cluster.pid(node), cluster.pid(other));
        let address = cluster.row(node).unwrap()["address"].clone();
        let start = Instant::now();
        signal(pid, Signal::KILL);
        let row = cluster.until_replaced(node, pid);
        let took = start.elapsed();
        assert!(took < Duration::from_secs(5), "{node}: {took:?}");
        assert_eq!(row["address"], address);
        assert_eq!(row["restarts"], 1);
        // The partner went on, though it may be a child of the one that was killed.
        assert_eq!(cluster.pid(other), partner);
    }
}

#[test]
fn a_stopped_node_is_killed_and_restarted() {
    let cluster = Cluster::start(1);
    cluster.settled();
    for node in ["a-master", "a-slave"] {
        let pid = cluster.pid(node);
        signal(pid, Signal::STOP);
        let row = cluster.until_replaced(node, pid);
        assert_eq!(row["restarts"], 1, "{node}");
        cluster.settled();
    }
}

#[test]
fn a_pair_that_was_stopped_as_a_whole_and_goes_on_kills_nobody() {
    let cluster = Cluster::start(1);
    let nodes = ["a-master", "a-slave"].map(|node| cluster.pid(node));
    for _ in 0..2 {
        for pid in nodes {
            signal(pid, Signal::STOP);
        }
        pause(Duration::from_millis(1_800));
        for pid in nodes {
            signal(pid, Signal::CONT);
        }
        // Longer than a second of silence would take to be judged.
        pause(Duration::from_millis(1_500));
    }
    assert_eq!(cluster.living_pid("a-master"), Some(nodes[0]));
    assert_eq!(cluster.living_pid("a-slave"), Some(nodes[1]));
}

#[test]
fn who_was_asked_to_stop_stays_stopped_and_the_partner_goes_on() {
    let cluster = Cluster::start(1);
    cluster.settled();
    let (slave, master) = (cluster.pid("a-slave"), cluster.pid("a-master"));
    signal(slave, Signal::TERM);
    until("the slave is reported as stopped", || {
        let row = cluster.row("a-slave")?;
        (row["state"] == "stopped" && row["pid"].is_null()).then_some(())
    });
    pause(Duration::from_secs(1));
    assert_eq!(cluster.living_pid("a-slave"), None);
    assert_eq!(cluster.living_pid("a-master"), Some(master));
    // Nobody watches the master now but `up`.
    signal(master, Signal::KILL);
    let row = cluster.until_replaced("a-master", master);
    assert_eq!(row["restarts"], 1);
    assert_eq!(cluster.living_pid("a-slave"), None);
}

#[test]
fn a_slave_that_comes_back_leaves_a_master_alone_that_was_asked_to_stop() {
    let cluster = Cluster::start(1);
    cluster.settled();
    let (slave, master) = (cluster.pid("a-slave"), cluster.pid("a-master"));
    signal(master, Signal::TERM);
    until("the master is reported as stopped", || {
        let row = cluster.row("a-master")?;
        (row["state"] == "stopped").then_some(())
    });
    signal(slave, Signal::KILL);
    cluster.until_replaced("a-slave", slave);
    pause(Duration::from_secs(1));
    assert_eq!(cluster.living_pid("a-master"), None);
}

#[test]
fn a_node_that_dies_five_times_has_failed_until_the_cause_is_gone() {
    let cluster = Cluster::start(1);
    cluster.settled();
    // No start can take a lock that is a directory.
    let lock = cluster.node_dir("a-master").join("lock");
    std::fs::rename(&lock, lock.with_extension("old")).unwrap();
    std::fs::create_dir(&lock).unwrap();
    signal(cluster.pid("a-master"), Signal::KILL);
    let row = until("the master has failed", || {
        cluster
            .row("a-master")
            .filter(|row| row["state"] == "failed")
    });
    let reason = row["reason"].as_str().unwrap();
    assert!(reason.contains("lock"), "{reason}");
    std::fs::remove_dir(&lock).unwrap();
    until("the slow retries bring it back", || {
        cluster
            .row("a-master")
            .filter(|row| row["state"] == "serving")
    });
}

//! `up`, `down` and `status` as a user types them.

#![allow(clippy::unwrap_used, reason = "a test: helpers outside #[test] too")]

#[path = "support/cluster.rs"]
mod cluster;

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use cluster::{Cluster, leftovers, pause, rows, run, signal, stderr, until};
use rustix::process::Signal;
use serde_json::Value;

const FIELDS: [&str; 14] = [
    "name", "pair", "role", "address", "pid", "state", "applied", "tail", "lag", "streams",
    "restarts", "digest", "reason", "version",
];

fn column<'a>(rows: &'a [Value], field: &str) -> Vec<&'a str> {
    rows.iter()
        .map(|row| row[field].as_str().unwrap())
        .collect()
}

#[test]
fn up_serves_on_the_next_free_ports_and_status_shows_it() {
    let free = sns_server::ports::draw([127, 0, 0, 1].into(), 1).unwrap()[0];
    let listen = format!("127.0.0.1:{free}");
    let cluster = Cluster::start_in(tempfile::tempdir().unwrap(), 2, &listen);
    assert_eq!(cluster.url, format!("http://{listen}"));
    for source in [["--router", &cluster.url], ["--data", &cluster.data_arg()]] {
        let rows = rows(&run(&["status", "--json", source[0], source[1]]));
        let names = ["a-master", "a-slave", "b-master", "b-slave", "router"];
        assert_eq!(column(&rows, "name"), names);
        assert_eq!(column(&rows, "state"), ["serving"; 5]);
        let roles = ["master", "slave", "master", "slave", "router"];
        assert_eq!(column(&rows, "role"), roles);
        for row in &rows {
            let fields: Vec<&String> = row.as_object().unwrap().keys().collect();
            let mut expected = FIELDS;
            // serde_json orders keys by name; the order on the line is a unit test's business.
            expected.sort_unstable();
            assert_eq!(fields, expected);
        }
        let port = |row: &Value| -> u16 {
            let address: SocketAddr = row["address"].as_str().unwrap().parse().unwrap();
            address.port()
        };
        let ports: Vec<u16> = rows[..4].iter().map(port).collect();
        assert!(ports.is_sorted() && ports[0] > free, "{ports:?}");
        assert_eq!(port(&rows[4]), free);
        assert_eq!(rows[0]["restarts"], 0);
        assert!(rows[4]["applied"].is_null() && rows[0]["reason"].is_null());
    }
    let table = run(&["status", "--router", &cluster.url]);
    assert_eq!(String::from_utf8_lossy(&table.stdout).lines().count(), 6);
}

#[test]
fn sigterm_stops_all_that_up_started() {
    let mut cluster = Cluster::start(2);
    let start = Instant::now();
    signal(cluster.up.id(), Signal::TERM);
    let status = cluster.up.wait().unwrap();
    assert_eq!(status.code(), Some(0), "{}", cluster.complaints());
    assert!(start.elapsed() < Duration::from_secs(8));
    assert_eq!(leftovers(&cluster.data()), []);
    assert!(!cluster.data().join("run.json").exists());
    // And nothing comes back.
    pause(Duration::from_millis(500));
    let rows = rows(&run(&["status", "--json", "--data", &cluster.data_arg()]));
    assert_eq!(column(&rows, "state"), ["stopped"; 4]);
}

#[test]
fn a_killed_up_leaves_the_rest_running_until_down() {
    let mut cluster = Cluster::start(1);
    let data = cluster.data_arg();
    let args = ["up", "--data", &data, "--listen", "127.0.0.1:0"];
    let refused = run(&args);
    assert_eq!(refused.status.code(), Some(7));
    assert!(
        stderr(&refused).contains("sns-server down"),
        "{}",
        stderr(&refused)
    );
    cluster.up.kill().unwrap();
    cluster.up.wait().unwrap();
    cluster.settled();
    // The pair still watches itself.
    let master = cluster.pid("a-master");
    signal(master, Signal::KILL);
    cluster.until_replaced("a-master", master);
    let refused = run(&args);
    assert_eq!(refused.status.code(), Some(7));
    assert!(
        stderr(&refused).contains("a-master"),
        "{}",
        stderr(&refused)
    );
    for expected in ["are stopped", "nothing runs"] {
        let down = run(&["down", "--data", &data]);
        assert_eq!(down.status.code(), Some(0), "{}", stderr(&down));
        assert!(stderr(&down).contains(expected), "{}", stderr(&down));
        assert_eq!(leftovers(&cluster.data()), []);
    }
}

#[test]
fn down_stops_an_up_and_what_is_stopped_already() {
    let mut cluster = Cluster::start(1);
    signal(cluster.pid("a-slave"), Signal::STOP);
    let down = run(&["down", "--data", &cluster.data_arg()]);
    assert_eq!(down.status.code(), Some(0), "{}", stderr(&down));
    assert_eq!(leftovers(&cluster.data()), []);
    assert_eq!(cluster.up.wait().unwrap().code(), Some(0));
}

#[test]
fn up_restarts_the_router_and_a_pair_of_which_both_are_dead() {
    let cluster = Cluster::start(2);
    cluster.settled();
    let router = until("run.json names the router", || {
        let run = sns_server::run_file::RunFile::read(&cluster.data())?;
        run.router
    });
    let (slave, master) = (cluster.pid("a-slave"), cluster.pid("a-master"));
    let address = cluster.row("a-slave").unwrap()["address"].clone();
    signal(router.pid, Signal::KILL);
    // Together: else the one restarts the other.
    signal(slave, Signal::STOP);
    signal(master, Signal::STOP);
    signal(slave, Signal::KILL);
    signal(master, Signal::KILL);
    let row = cluster.until_replaced("a-slave", slave);
    assert_eq!(row["restarts"], 1);
    assert_eq!(row["address"], address);
    let row = cluster.until_replaced("a-master", master);
    assert_eq!(row["restarts"], 1);
    // The other pair announced itself to the new router.
    assert_eq!(cluster.row("b-master").unwrap()["restarts"], 0);
}

#[test]
fn up_replaces_a_router_that_hangs_before_anything_serves() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::spawn_in(dir, 1, "127.0.0.1:0");
    let data = cluster.data();
    let router = || sns_server::run_file::RunFile::read(&data)?.router;
    let hung = until("run.json names the router", router).pid;
    signal(hung, Signal::STOP);
    until("another router runs", || {
        router().filter(|id| id.pid != hung && id.is_alive())
    });
    cluster.greeting();
    assert_eq!(column(&cluster.status(), "state"), ["serving"; 3]);
}

#[test]
fn up_restarts_a_pair_of_which_both_are_stopped() {
    let cluster = Cluster::start(1);
    cluster.settled();
    let (slave, master) = (cluster.pid("a-slave"), cluster.pid("a-master"));
    signal(slave, Signal::STOP);
    signal(master, Signal::STOP);
    cluster.until_replaced("a-slave", slave);
    cluster.until_replaced("a-master", master);
}

#[test]
fn a_second_start_of_a_node_is_refused_and_disturbs_nobody() {
    let cluster = Cluster::start(1);
    let nodes = ["a-master", "a-slave"].map(|node| cluster.pid(node));
    let data = cluster.data_arg();
    for role in ["master", "slave"] {
        let refused = run(&[
            role,
            "--name",
            "a",
            "--data",
            &data,
            "--listen",
            "127.0.0.1:0",
            "--peer-listen",
            "127.0.0.1:0",
            "--router",
            &cluster.url,
        ]);
        assert_eq!(refused.status.code(), Some(7), "{}", stderr(&refused));
    }
    pause(Duration::from_millis(500));
    assert_eq!(["a-master", "a-slave"].map(|node| cluster.pid(node)), nodes);
    let rows = cluster.status();
    assert_eq!(column(&rows, "state"), ["serving"; 3]);
    assert!(rows[..2].iter().all(|row| row["restarts"] == 0), "{rows:?}");
}

#[test]
fn of_two_that_are_started_at_once_on_one_port_none_takes_the_router_of_the_other_for_its_own() {
    for _ in 0..3 {
        let free = sns_server::ports::draw([127, 0, 0, 1].into(), 1).unwrap()[0];
        let listen = format!("127.0.0.1:{free}");
        let mut both = [0, 1].map(|_| {
            let dir = tempfile::tempdir().unwrap();
            Cluster::spawn_in(dir, 1, &listen)
        });
        // The first line, or the end.
        let said = both.each_mut().map(|cluster| {
            let mut line = String::new();
            let mut out = BufReader::new(cluster.up.stdout.take().unwrap());
            out.read_line(&mut line).unwrap();
            line
        });
        let serve = said.iter().filter(|line| !line.is_empty()).count();
        for (cluster, line) in both.iter_mut().zip(&said) {
            if line.is_empty() {
                let code = cluster.up.wait().unwrap().code();
                assert_eq!(code, Some(7), "{}", cluster.complaints());
                assert!(
                    cluster.complaints().contains("in use"),
                    "{}",
                    cluster.complaints()
                );
                assert_eq!(leftovers(&cluster.data()), []);
            } else {
                assert_eq!(*line, format!("router http://{listen}\n"));
            }
        }
        assert!(serve < 2, "both believe that they have the router");
    }
}

#[test]
fn up_that_cannot_start_a_node_says_why_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let arg = data.to_str().unwrap();
    // Data first, then a lock that nobody can take.
    let mut cluster = Cluster::start_in(tempfile::tempdir().unwrap(), 1, "127.0.0.1:0");
    signal(cluster.up.id(), Signal::TERM);
    cluster.up.wait().unwrap();
    std::fs::rename(cluster.data(), &data).unwrap();
    for lock in ["nodes/a-slave/lock", "nodes/a-master/lock"] {
        std::fs::remove_file(data.join(lock)).unwrap();
        std::fs::create_dir(data.join(lock)).unwrap();
        let refused = run(&[
            "up",
            "--servers",
            "1",
            "--data",
            arg,
            "--listen",
            "127.0.0.1:0",
        ]);
        assert_eq!(refused.status.code(), Some(7), "{}", stderr(&refused));
        assert!(
            stderr(&refused).contains("does not start"),
            "{}",
            stderr(&refused)
        );
        assert_eq!(leftovers(&data), []);
        std::fs::remove_dir(data.join(lock)).unwrap();
        std::fs::write(data.join(lock), "").unwrap();
    }
}

#[test]
fn what_cannot_work_says_so_with_its_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let nothing = dir.path().join("nothing").to_str().unwrap().to_owned();
    for args in [["down", "--data", &nothing], ["status", "--data", &nothing]] {
        let refused = run(&args);
        assert_eq!(refused.status.code(), Some(2), "{args:?}");
        assert!(stderr(&refused).starts_with("error: "), "{args:?}");
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = dir.path().join("data").to_str().unwrap().to_owned();
    for args in [
        vec!["up", "--data", &data, "--listen", &address],
        vec!["router", "--listen", &address],
    ] {
        let refused = run(&args);
        assert_eq!(refused.status.code(), Some(7), "{args:?}");
        assert!(stderr(&refused).contains("in use"), "{}", stderr(&refused));
    }
    drop(taken);
    let url = format!("http://{address}");
    let refused = run(&["--json", "status", "--router", &url]);
    assert_eq!(refused.status.code(), Some(7));
    let error: Value = serde_json::from_str(stderr(&refused).trim()).unwrap();
    assert_eq!(error["error"]["kind"], "unavailable");
}

//! `restart --rolling` under load: every process is another program afterwards, no call fails, no
//! write is lost or doubled, no stream has a gap. `SNS_ROLLING=10` does it so many times.

#![allow(clippy::unwrap_used, reason = "a test: helpers outside #[test] too")]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/installed.rs"]
mod installed;
#[path = "support/posters.rs"]
mod posters;
#[path = "support/watchers.rs"]
mod watchers;

use cluster::{rows, signal, stderr, until};
use installed::{Installed, runs};
use posters::Posters;
use rustix::process::Signal;
use watchers::Watchers;

/// In the order in which they are replaced.
const ORDER: [&str; 6] = ["a-slave", "a-master", "b-slave", "b-master", "router", "up"];

fn rounds() -> usize {
    let rounds = std::env::var("SNS_ROLLING").ok();
    rounds.map_or(2, |text| text.parse().expect("SNS_ROLLING is a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_a_rolling_restart() {
    let installed = Installed::new();
    let mut service = tokio::task::block_in_place(|| installed.up(2));
    let watchers = Watchers::start(&service.url, 3).await;
    let posters = Posters::start(&service.url, 3);
    for round in 0..rounds() {
        let written = posters.acknowledged();
        tokio::task::block_in_place(|| {
            installed.replace();
            let started = std::time::Instant::now();
            let done = installed.run(&["restart", "--rolling", "--json", "--data", &service.data]);
            assert!(done.status.success(), "round {round}: {}", stderr(&done));
            let rows = rows(&done);
            let names: Vec<&str> = rows
                .iter()
                .map(|row| row["node"].as_str().unwrap())
                .collect();
            assert_eq!(names, ORDER);
            for row in &rows {
                let (old, new) = (row["old_pid"].as_u64(), row["new_pid"].as_u64());
                assert_eq!(old, new, "it replaced itself: {row}");
                assert_eq!(row["new_version"], env!("CARGO_PKG_VERSION"));
                assert_eq!(row["old_version"], env!("CARGO_PKG_VERSION"), "{row}");
                let pid = u32::try_from(new.unwrap()).unwrap();
                assert_eq!(runs(pid), installed.file(), "round {round}: {row}");
            }
            let ms: Vec<u64> = rows.iter().map(|row| row["ms"].as_u64().unwrap()).collect();
            println!("round {round}: {:?}, {ms:?} ms", started.elapsed());
        });
        assert!(posters.acknowledged() > written, "nobody wrote meanwhile");
    }
    let total = posters.all_is_stored().await;
    watchers.saw_all(total).await;
    tokio::task::block_in_place(|| {
        // It was planned: nobody died, and nobody was started again.
        let status = installed.run(&["status", "--json", "--data", &service.data]);
        for row in rows(&status) {
            assert_eq!(
                (&row["state"], &row["restarts"]),
                (&"serving".into(), &0.into()),
                "{row}"
            );
        }
        for node in &ORDER[..4] {
            let deaths = service.node_dir(node).join("deaths.json");
            assert!(!deaths.exists(), "{node} did not die");
        }
        // `up` still is who stops them all, and still restarts who dies.
        let slave = service.pid("a-slave");
        signal(slave, Signal::KILL);
        until("another a-slave", || {
            let rows = rows(&installed.run(&["status", "--json", "--data", &service.data]));
            let row = rows.into_iter().find(|row| row["name"] == "a-slave")?;
            (row["state"] == "serving" && row["pid"] != slave).then_some(())
        });
        signal(service.up.id(), Signal::TERM);
        assert_eq!(
            service.up.wait().unwrap().code(),
            Some(0),
            "{}",
            service.complaints()
        );
        assert_eq!(cluster::leftovers(service.data.as_ref()), []);
    });
}

#[cfg(feature = "nats")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_one_with_the_log_on_nats_either() {
    if !sns_natsd::is_here() {
        return;
    }
    let settings = sns_natsd::Settings {
        servers: 3,
        ..Default::default()
    };
    let nats = sns_natsd::Servers::start(&settings).unwrap();
    let log = nats.urls().join(",");
    let installed = Installed::new();
    let service =
        tokio::task::block_in_place(|| installed.up_with(&["--servers", "2", "--log", &log]));
    let watchers = Watchers::start(&service.url, 2).await;
    let posters = Posters::start(&service.url, 2);
    tokio::task::block_in_place(|| {
        installed.replace();
        let done = installed.run(&["restart", "--rolling", "--json", "--data", &service.data]);
        assert!(done.status.success(), "{}", stderr(&done));
        for (row, name) in rows(&done).iter().zip(ORDER) {
            assert_eq!(row["node"], name);
            let pid = u32::try_from(row["new_pid"].as_u64().unwrap()).unwrap();
            assert_eq!(runs(pid), installed.file(), "{row}");
        }
    });
    let total = posters.all_is_stored().await;
    watchers.saw_all(total).await;
    tokio::task::block_in_place(|| {
        let status = installed.run(&["status", "--json", "--data", &service.data]);
        for row in rows(&status) {
            assert_eq!(row["restarts"], 0, "{row}");
        }
    });
}

#[test]
fn a_router_and_a_pair_that_were_started_by_hand_are_replaced_where_they_are() {
    let installed = Installed::new();
    let mut router = installed.start(&["router", "--listen", "127.0.0.1:0"]);
    let url = router.first_line().replace("router ", "");
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let data = data.to_str().unwrap();
    let mut args = vec!["slave", "--name", "x", "--data", data, "--router", &url];
    args.extend(["--listen", "127.0.0.1:0", "--peer-listen", "127.0.0.1:0"]);
    let slave = installed.start(&args);
    let serving = || {
        let rows = rows(&installed.run(&["status", "--json", "--router", &url]));
        let serving = rows.iter().filter(|row| row["state"] == "serving").count();
        (serving == 3).then_some(rows)
    };
    let before = until("both nodes serve", serving);
    installed.replace();
    let done = installed.run(&["restart", "--rolling", "--json", "--data", data]);
    assert!(done.status.success(), "{}", stderr(&done));
    let replaced = rows(&done);
    let router_name = url.replace("http://", "router ");
    let names: Vec<&str> = replaced
        .iter()
        .map(|row| row["node"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["x-slave", "x-master", &*router_name]);
    for (row, child) in [(&replaced[0], &slave), (&replaced[2], &router)] {
        assert_eq!(row["new_pid"], child.0.id(), "{row}");
    }
    for row in &replaced {
        let pid = u32::try_from(row["new_pid"].as_u64().unwrap()).unwrap();
        assert_eq!(runs(pid), installed.file(), "{row}");
    }
    // Ports that were drawn are the same.
    let after = until("both nodes serve", serving);
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(
            (&before["address"], &before["restarts"]),
            (&after["address"], &after["restarts"])
        );
    }
    let down = installed.run(&["down", "--data", data]);
    assert!(down.status.success(), "{}", stderr(&down));
}

#[test]
fn a_stop_that_comes_while_up_is_replaced_is_not_lost() {
    let installed = Installed::new();
    // Before, while and after the one program ends and the other begins.
    for after_ms in [0, 1, 20, 90, 105, 115, 130] {
        let mut service = installed.up(1);
        signal(service.up.id(), Signal::USR2);
        cluster::pause(std::time::Duration::from_millis(after_ms));
        signal(service.up.id(), Signal::TERM);
        let ended = until("it ends", || service.up.try_wait().unwrap());
        let why = service.complaints();
        assert_eq!(ended.code(), Some(0), "after {after_ms} ms: {why}");
        let left = cluster::leftovers(service.data.as_ref());
        assert_eq!(left, [], "after {after_ms} ms: {why}");
    }
}

#[test]
fn what_is_not_rolling_or_not_this_program_or_not_whole_is_refused_and_nothing_is_touched() {
    let installed = Installed::new();
    let service = installed.up(1);
    let data = &*service.data;
    let refused = installed.run(&["restart", "--data", data]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        stderr(&refused).contains("--rolling"),
        "{}",
        stderr(&refused)
    );
    // The program of the tests is another file than that which runs.
    let refused = cluster::run(&["restart", "--rolling", "--data", data]);
    assert_eq!(refused.status.code(), Some(7));
    assert!(
        stderr(&refused).contains("not this program"),
        "{}",
        stderr(&refused)
    );
    let nowhere = tempfile::tempdir().unwrap();
    let nowhere = nowhere.path().to_str().unwrap();
    let refused = installed.run(&["restart", "--rolling", "--data", nowhere]);
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));

    let (master, slave) = (service.pid("a-master"), service.pid("a-slave"));
    // Neither can bring the other back while both are stopped.
    signal(slave, Signal::STOP);
    let refused = installed.run(&["restart", "--rolling", "--data", data]);
    signal(slave, Signal::CONT);
    assert_eq!(refused.status.code(), Some(7));
    assert!(
        stderr(&refused).contains("not whole"),
        "{}",
        stderr(&refused)
    );
    assert_eq!(service.pid("a-master"), master);
}

#[test]
fn a_program_that_does_not_run_stops_the_restart_and_the_former_one_goes_on() {
    let installed = Installed::new();
    let service = installed.up(1);
    let pid = service.pid("a-slave");
    let before = runs(pid);
    // Put there after the check, as by a package manager that is at work.
    installed.spoil();
    signal(pid, Signal::USR2);
    until("it serves again, as the program that it was", || {
        let row = service.row("a-slave")?;
        (row["state"] == "serving" && service.log("a-slave").contains("the former goes on"))
            .then_some(())
    });
    assert_eq!((service.pid("a-slave"), runs(pid)), (pid, before));
    assert_eq!(service.row("a-slave").unwrap()["restarts"], 0);
}

#[test]
fn settings_that_changed_stop_a_restart_before_it_or_wait_for_the_next_start() {
    let installed = Installed::new();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sns.toml");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write("[up]\nservers = 2\n");
    let service = installed.up_with(&["--config", file.to_str().unwrap()]);
    let nodes = || ORDER[..4].iter().map(|node| service.pid(node));
    let before: Vec<u32> = nodes().collect();
    let lives = |pids: &[u32]| -> Vec<Vec<u8>> {
        let environ = |pid| std::fs::read(format!("/proc/{pid}/environ")).unwrap();
        pids.iter().map(environ).collect()
    };
    let first = lives(&before);

    write("[up]\nservers = 2\nnonsense = 1\n");
    let refused = installed.run(&["restart", "--rolling", "--data", &service.data]);
    let why = stderr(&refused);
    assert_eq!(refused.status.code(), Some(7), "{why}");
    assert!(
        why.contains("up (process") && why.contains("nonsense"),
        "{why}"
    );
    assert_eq!(nodes().collect::<Vec<_>>(), before);
    assert_eq!(lives(&before), first, "somebody was replaced: {why}");

    write("[up]\nservers = 1\n");
    let done = installed.run(&["restart", "--rolling", "--data", &service.data]);
    assert!(done.status.success(), "{}", stderr(&done));
    assert!(service.complaints().contains("another number of pairs"));
    // The second pair is kept all the same.
    let (master, slave) = (service.pid("b-master"), service.pid("b-slave"));
    signal(master, Signal::KILL);
    signal(slave, Signal::KILL);
    until("another pair b", || {
        let pids = (service.pid("b-master"), service.pid("b-slave"));
        let serves = |node| {
            service
                .row(node)
                .is_some_and(|row| row["state"] == "serving")
        };
        (pids.0 != master && pids.1 != slave && serves("b-master") && serves("b-slave"))
            .then_some(())
    });
}

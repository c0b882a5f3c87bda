//! Several real processes append to one directory at once, and die.
//!
//! The test binary starts itself again: with `SNS_LOG_APPENDER` set, the test
//! `appender` is the program of such a process; without it, it does nothing.

#![allow(
    clippy::cast_possible_truncation,
    reason = "the numbers here are small"
)]

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sns_core::log::dir::{DirLog, DirLogOptions, HolderPolicy};
use sns_core::log::{Error, Log, Record, conformance};

const DIR: &str = "SNS_LOG_APPENDER";
const NAME: &str = "SNS_LOG_APPENDER_NAME";
const COUNT: &str = "SNS_LOG_APPENDER_COUNT";

fn options(node: &str) -> DirLogOptions {
    // Segments of a few hundred entries, so that they roll all the time.
    DirLogOptions::default().node(node).segment_bytes(20_000)
}

/// The program of a child: appends, and tells each acknowledgement on its standard output.
#[test]
fn appender() {
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    let name = std::env::var(NAME).expect("a name");
    let count: u64 = std::env::var(COUNT)
        .expect("a count")
        .parse()
        .expect("a number");
    let log = DirLog::open(Path::new(&dir), options(&name)).expect("open");
    let mut out = std::io::stdout().lock();
    for n in 0..count {
        let text = format!("{name}.{n}");
        let index = log.append(text.as_bytes()).expect("append");
        writeln!(out, "ack {index} {text}").expect("tell");
        out.flush().expect("tell");
    }
    log.close().expect("close");
}

fn start(dir: &Path, name: &str, count: u64) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "appender", "--nocapture"])
        .env(DIR, dir)
        .env(NAME, name)
        .env(COUNT, count.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start a process")
}

/// What a child was told is durable: index and text. Only whole lines count.
fn acknowledged(line: &str) -> Option<(u64, String)> {
    // The test harness may have begun the line with its own words.
    let (_, line) = line.trim_end().split_once("ack ")?;
    let (index, text) = line.split_once(' ')?;
    Some((index.parse().ok()?, text.to_owned()))
}

/// Reads all that a child says until it ends.
fn listen(child: &mut Child) -> Vec<(u64, String)> {
    let out = BufReader::new(child.stdout.take().expect("its output"));
    let lines = out.lines().map(|line| line.expect("a line"));
    lines.filter_map(|line| acknowledged(&line)).collect()
}

fn check(all: &[Record], acks: &[(u64, String)]) {
    let mut seen = HashSet::new();
    for (at, record) in all.iter().enumerate() {
        assert_eq!(record.index, at as u64 + 1);
        assert!(seen.insert(&record.payload), "twice: {record:?}");
    }
    for (index, text) in acks {
        let record = &all[*index as usize - 1];
        assert_eq!(record.payload, text.as_bytes(), "acknowledged at {index}");
    }
}

#[test]
fn processes_append_at_once_and_every_acknowledged_entry_is_there_once() {
    let data = tempfile::tempdir().expect("a directory");
    let dir = data.path().join("log");
    let mut children: Vec<Child> = (0..4).map(|n| start(&dir, &format!("p{n}"), 150)).collect();
    let acks: Vec<(u64, String)> = std::thread::scope(|scope| {
        let threads: Vec<_> = children
            .iter_mut()
            .map(|child| scope.spawn(|| listen(child)))
            .collect();
        let joined = threads
            .into_iter()
            .map(|thread| thread.join().expect("join"));
        joined.flatten().collect()
    });
    for mut child in children {
        assert!(child.wait().expect("wait").success());
    }
    assert_eq!(acks.len(), 600);
    // Each saw its own in the order in which it wrote them.
    let mut last: HashMap<&str, u64> = HashMap::new();
    for (index, text) in &acks {
        let who = text.split('.').next().expect("a name");
        let before = last.insert(who, *index);
        assert!(before.is_none_or(|before| before < *index), "{text}");
    }
    let log = DirLog::open(&dir, options("check").create(false)).expect("open");
    let all = conformance::read_all(&log);
    assert_eq!(all.len(), 600);
    check(&all, &acks);
    let report = DirLog::verify(&dir).expect("verify");
    assert_eq!((report.entries, report.damage), (600, None));
    assert!(report.segments > Some(1));
}

#[test]
fn processes_killed_at_any_moment_lose_nothing_that_was_acknowledged() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = seed;
    let mut draw = |below: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 33) % below
    };
    let data = tempfile::tempdir().expect("a directory");
    let dir = data.path().join("log");
    let mut acks = Vec::new();
    for round in 0..12 {
        let mut children: Vec<Child> = (0..3)
            .map(|n| start(&dir, &format!("r{round}p{n}"), 100_000))
            .collect();
        // Each dies after so many acknowledgements; what it does just then is chance.
        let fates: Vec<u64> = (0..3).map(|_| 1 + draw(40)).collect();
        let told: Vec<Vec<(u64, String)>> = std::thread::scope(|scope| {
            let threads: Vec<_> = children
                .iter_mut()
                .zip(fates)
                .map(|(child, fate)| {
                    scope.spawn(move || {
                        let out = BufReader::new(child.stdout.take().expect("its output"));
                        let mut acks = Vec::new();
                        for line in out.lines() {
                            acks.extend(acknowledged(&line.expect("a line")));
                            if acks.len() as u64 == fate {
                                child.kill().expect("kill");
                            }
                        }
                        acks
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("join"))
                .collect()
        });
        for mut child in children {
            child.wait().expect("wait");
        }
        acks.extend(told.into_iter().flatten());
        let log = DirLog::open(&dir, options("check").create(false)).expect("open");
        check(&conformance::read_all(&log), &acks);
    }
    assert_eq!(DirLog::verify(&dir).expect("verify").damage, None);
}

/// Stops a child while it holds the right to write, which takes some tries.
#[cfg(target_os = "linux")]
fn stop_as_holder(dir: &Path, child: &Child) {
    use rustix::process::{Pid, Signal, kill_process};
    let pid = Pid::from_child(child);
    let deadline = Instant::now() + Duration::from_secs(60);
    let lock = std::fs::File::open(dir.join("lock")).expect("lock");
    loop {
        assert!(
            Instant::now() < deadline,
            "it is never stopped with the lock"
        );
        kill_process(pid, Signal::STOP).expect("stop");
        let stopped = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id()));
            let stat = stat.expect("stat");
            stat.rsplit_once(") ")
                .is_some_and(|(_, rest)| rest.starts_with('T'))
        };
        while !stopped() {
            std::thread::yield_now();
        }
        match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                rustix::fs::flock(&lock, rustix::fs::FlockOperation::Unlock).expect("unlock");
            }
            Err(_) => return,
        }
        kill_process(pid, Signal::CONT).expect("continue");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_that_is_stopped_with_the_lock_is_killed_and_the_rest_go_on() {
    let data = tempfile::tempdir().expect("a directory");
    let dir = data.path().join("log");
    let log = DirLog::open(&dir, options("b-master")).expect("open");
    let mut child = start(&dir, "a-master", 10_000_000);
    let mut out = BufReader::new(child.stdout.take().expect("its output"));
    // The acknowledgements have to be taken, or it stops by itself.
    let reader = std::thread::spawn(move || {
        let mut line = String::new();
        let mut acks = Vec::new();
        while out.read_line(&mut line).is_ok_and(|read| read > 0) {
            acks.extend(acknowledged(&line));
            line.clear();
        }
        acks
    });
    log.wait(20, Duration::from_secs(30)).expect("wait");
    stop_as_holder(&dir, &child);
    let began = Instant::now();
    let index = log.append(b"after").expect("append");
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(1), "too rash: {took:?}");
    assert!(took < Duration::from_secs(8), "too slow: {took:?}");
    let status = child.wait().expect("wait");
    assert!(!status.success());
    let mut acks = reader.join().expect("join");
    acks.push((index, "after".into()));
    check(&conformance::read_all(&log), &acks);
    assert_eq!(log.weakness(), None, "all is well again");
}

#[cfg(target_os = "linux")]
#[test]
fn an_embedder_that_is_stopped_with_the_lock_is_named_and_never_killed() {
    let data = tempfile::tempdir().expect("a directory");
    let dir = data.path().join("log");
    let patient = options("b-master").lock_patience(Duration::from_secs(3));
    let log = DirLog::open(&dir, patient.holder_policy(HolderPolicy::Nodes)).expect("open");
    let mut child = start(&dir, "local-0", 10_000_000);
    let mut out = BufReader::new(child.stdout.take().expect("its output"));
    let reader = std::thread::spawn(move || {
        let mut line = String::new();
        while out.read_line(&mut line).is_ok_and(|read| read > 0) {
            line.clear();
        }
    });
    log.wait(20, Duration::from_secs(30)).expect("wait");
    stop_as_holder(&dir, &child);
    let refused = log.append(b"after");
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    let weakness = log.weakness().expect("a weakness");
    assert!(weakness.contains("local-0"), "{weakness}");
    assert!(weakness.contains(&child.id().to_string()), "{weakness}");
    assert!(child.try_wait().expect("wait").is_none(), "it lives");
    child.kill().expect("kill");
    child.wait().expect("wait");
    reader.join().expect("join");
    log.append(b"after").expect("append");
    assert_eq!(log.weakness(), None);
}

//! The course's client against real servers that die: a client in Python that behaves as it does.
//! What a client of its own making could send stands in `course_hostile.rs`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support"]
mod support {
    pub(crate) mod cluster;
    pub(crate) mod python;
    pub(crate) mod student;
}

use std::time::Duration;

use rustix::process::Signal;
use sns_server::run_file::RunFile;
use support::cluster::{Cluster, pause, signal, until};
use support::student::{Course, DONE, Student};

const FLAGS: &[&str] = &["--course", "127.0.0.1:0"];

/// A service of two pairs with a gateway; `None` without Python.
fn school() -> Option<(Cluster, Course)> {
    support::python::python()?;
    let cluster = Cluster::start_with(2, FLAGS);
    let course = Course::at(cluster.course())?;
    Some((cluster, course))
}

const NODES: [&str; 4] = ["a-master", "a-slave", "b-master", "b-slave"];

fn texts(letter: &str, numbers: impl Iterator<Item = usize>) -> Vec<String> {
    numbers.map(|number| format!("{letter}{number}")).collect()
}

#[test]
fn the_words_are_those_that_the_client_knows() {
    let Some((_cluster, course)) = school() else {
        return;
    };
    let (mut alice, mut bob) = (course.student("Alice"), course.student("bob"));
    assert_eq!(alice.list(), ("alice bob".to_owned(), String::new()));
    for (command, said) in [
        ("FOLLOW bob", DONE),
        ("FOLLOW bob", "you have already joined"),
        ("FOLLOW alice", "you have already joined"),
        ("FOLLOW nobody", "unknown follower username"),
        ("FOLLOW ../x", "unknown follower username"),
        ("FOLLOW", "failed: INVALID_ARGUMENT"),
    ] {
        assert_eq!(alice.asks(command), said, "{command}");
    }
    assert_eq!(bob.list(), ("alice bob".to_owned(), "alice".to_owned()));
    for (command, said) in [
        ("UNFOLLOW bob", DONE),
        ("UNFOLLOW bob", "you are not follower"),
        ("UNFOLLOW alice", "you are not follower"),
        ("UNFOLLOW nobody", "unknown follower username"),
    ] {
        assert_eq!(alice.asks(command), said, "{command}");
    }
    assert_eq!(bob.list(), ("alice bob".to_owned(), String::new()));
}

#[test]
fn a_name_is_taken_as_long_as_its_client_lives_and_no_longer() {
    let Some((_cluster, course)) = school() else {
        return;
    };
    let alice = course.student("alice");
    let mut second = course.newcomer("ALICE", false);
    assert_eq!(second.line(), "connection failed: -1");
    // Killed: the kernel says goodbye in its place.
    drop(alice);
    let alice = course.student("alice");
    // Gone without a word, as by a cable that was pulled: it answers no pings.
    alice.signal(Signal::STOP);
    let again = until("the name is free", || {
        let mut again = course.newcomer("alice", false);
        (again.line() == "logged in").then_some(again)
    });
    drop((alice, again));
}

#[test]
fn a_follower_sees_what_came_after_the_follow_newest_first_and_then_what_comes() {
    let Some((_cluster, course)) = school() else {
        return;
    };
    // The order is the log's, whatever the clock of the client says.
    let mut bob = course.newcomer("bob", true);
    assert_eq!(bob.line(), "logged in");
    let mut early = course.student("early");
    assert_eq!(early.asks("FOLLOW bob"), DONE);
    early.timeline();
    let mut alice = course.student("alice");
    bob.timeline();
    for text in texts("p", 1..=10) {
        bob.types(&text);
    }
    assert_eq!(early.texts_of("bob", 10), texts("p", 1..=10));
    assert_eq!(alice.asks("FOLLOW bob"), DONE);
    for text in texts("p", 11..=22) {
        bob.types(&text);
    }
    assert_eq!(early.texts_of("bob", 12), texts("p", 11..=22));
    alice.timeline();
    assert_eq!(alice.texts_of("bob", 12), texts("p", (11..=22).rev()));
    // At most 20.
    let mut other = course.student("early2");
    assert_eq!(other.asks("FOLLOW bob"), DONE);
    for text in texts("q", 1..=30) {
        bob.types(&text);
    }
    assert_eq!(early.texts_of("bob", 30), texts("q", 1..=30));
    other.timeline();
    assert_eq!(other.texts_of("bob", 20), texts("q", (11..=30).rev()));
    assert_eq!(alice.texts_of("bob", 30), texts("q", 1..=30));
    // One's own posts are not echoed, and nobody follows alice.
    alice.types("to nobody");
    // An empty line is no post, and no end either.
    bob.types("");
    bob.types("Set Stream");
    assert_eq!(alice.texts_of("bob", 1), ["Set Stream"]);
    assert_eq!(other.texts_of("bob", 1), ["Set Stream"]);
    for student in [&mut alice, &mut bob, &mut other] {
        student.is_silent(Duration::from_millis(300));
    }
}

/// Two users who follow each other, both in TIMELINE.
fn talkers(course: &Course) -> (Student, Student) {
    let (mut alice, mut bob) = (course.student("alice"), course.student("bob"));
    assert_eq!(alice.asks("FOLLOW bob"), DONE);
    assert_eq!(bob.asks("FOLLOW alice"), DONE);
    alice.timeline();
    bob.timeline();
    (alice, bob)
}

#[test]
fn nobody_in_timeline_notices_that_every_server_is_killed_or_stopped_in_turn() {
    let Some((cluster, course)) = school() else {
        return;
    };
    let (mut alice, mut bob) = talkers(&course);
    let gateway = RunFile::read(&cluster.data()).unwrap().course.unwrap();
    cluster.settled();
    let mut number = 0;
    for (harm, nodes) in [(Signal::KILL, &NODES[..]), (Signal::STOP, &NODES[..2])] {
        for node in nodes {
            let pid = cluster.pid(node);
            signal(pid, harm);
            // While it is gone, and long after.
            for _ in 0..20 {
                number += 1;
                alice.types(&format!("a{number}"));
                bob.types(&format!("b{number}"));
                pause(Duration::from_millis(30));
            }
            cluster.until_replaced(node, pid);
        }
    }
    assert_eq!(alice.texts_of("bob", number), texts("b", 1..=number));
    assert_eq!(bob.texts_of("alice", number), texts("a", 1..=number));
    alice.is_silent(Duration::from_millis(500));
    bob.is_silent(Duration::from_millis(1));
    assert!(gateway.is_alive(), "the gateway was touched");
}

#[test]
fn a_reader_who_types_nothing_goes_on_when_its_master_dies() {
    let Some((cluster, course)) = school() else {
        return;
    };
    let mut alice = course.student("alice");
    let mut writers = Vec::new();
    for name in ["bob", "carol"] {
        let mut writer = course.student(name);
        assert_eq!(alice.asks(&format!("FOLLOW {name}")), DONE);
        writer.timeline();
        writers.push((name, writer));
    }
    alice.timeline();
    cluster.settled();
    for node in ["a-master", "b-master"] {
        signal(cluster.pid(node), Signal::KILL);
        for (name, writer) in &mut writers {
            writer.types(&format!("{node} is dead"));
            assert_eq!(alice.texts_of(name, 1), [format!("{node} is dead")]);
        }
    }
}

#[test]
fn a_burst_survives_that_everything_behind_the_gateway_is_killed_in_its_middle() {
    const POSTS: usize = 10_000;
    let Some((mut cluster, course)) = school() else {
        return;
    };
    let (mut alice, mut bob) = (course.student("alice"), course.student("bob"));
    assert_eq!(alice.asks("FOLLOW bob"), DONE);
    alice.timeline();
    bob.timeline();
    cluster.settled();
    let began = std::time::Instant::now();
    bob.types_on(texts("b", 0..POSTS).into_iter());
    let mut seen = alice.texts_of("bob", POSTS / 5);
    let router = RunFile::read(&cluster.data()).unwrap().router.unwrap();
    for pid in NODES
        .map(|node| cluster.pid(node))
        .into_iter()
        .chain([router.pid])
    {
        signal(pid, Signal::KILL);
    }
    seen.extend(alice.texts_of("bob", POSTS - seen.len()));
    println!("{POSTS} posts seen in {:?}", began.elapsed());
    assert_eq!(seen, texts("b", 0..POSTS));
    alice.is_silent(Duration::from_millis(300));
    // What was seen is there after all of it died at once, the gateway too.
    cluster.kill_everything_and_start_again(1, FLAGS);
    let stored = posts_of(&cluster.url, "bob");
    assert_eq!(stored, seen);
}

/// Many small messages that nobody reads are an attack to the transport: it cut the client off.
#[test]
fn a_burst_waits_in_its_client_while_no_server_takes_it() {
    const POSTS: usize = 10_000;
    let Some((cluster, course)) = school() else {
        return;
    };
    let (mut alice, mut bob) = talkers(&course);
    bob.types("first");
    assert_eq!(alice.texts_of("bob", 1), ["first"]);
    let pids = NODES.map(|node| cluster.pid(node));
    for pid in pids {
        signal(pid, Signal::STOP);
    }
    bob.types_on(texts("", 0..POSTS).into_iter());
    alice.is_silent(Duration::from_millis(1_500));
    for node in NODES {
        // Unless somebody took it for hung meanwhile.
        if let Some(pid) = cluster.living_pid(node).filter(|pid| pids.contains(pid)) {
            signal(pid, Signal::CONT);
        }
    }
    assert_eq!(alice.texts_of("bob", POSTS), texts("", 0..POSTS));
}

/// All posts of one user, oldest first, as any client reads them.
fn posts_of(url: &str, name: &str) -> Vec<String> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        use futures_util::TryStreamExt as _;
        let options = sns_client::Options::new("reader").routers([url]);
        let reader = sns_client::Client::connect(options).await.unwrap();
        let posts = reader.posts_of(name).linearizable(true).stream();
        let posts: Vec<sns_client::Post> = posts.try_collect().await.unwrap();
        posts.into_iter().rev().map(|post| post.text).collect()
    })
}

#[test]
fn a_gateway_that_dies_comes_back_where_it_was_and_ends_with_the_service() {
    let Some((mut cluster, course)) = school() else {
        return;
    };
    let (mut alice, _bob) = talkers(&course);
    let old = RunFile::read(&cluster.data()).unwrap().course.unwrap();
    until("the gateway has served for a while", || {
        (old.age() > Duration::from_millis(2_500)).then_some(())
    });
    signal(old.pid, Signal::KILL);
    // That client cannot come back; it can be started again, at the same address.
    assert_eq!(alice.line(), "the stream broke: UNAVAILABLE");
    let mut again = until("the gateway is back", || {
        let mut again = course.newcomer("alice", false);
        (again.line() == "logged in").then_some(again)
    });
    assert_eq!(again.asks("FOLLOW bob"), "you have already joined");
    let rows = support::cluster::run(&["status", "--json", "--data", &cluster.data_arg()]);
    let rows = support::cluster::rows(&rows);
    let row = rows.iter().find(|row| row["role"] == "gateway").unwrap();
    assert_eq!(
        (&row["state"], &row["restarts"], &row["address"]),
        (&"serving".into(), &1.into(), &course.address.clone().into())
    );
    let new = RunFile::read(&cluster.data()).unwrap().course.unwrap();
    assert!(new != old && new.is_alive());
    signal(cluster.up.id(), Signal::TERM);
    assert!(cluster.up.wait().unwrap().success());
    assert!(!new.is_alive(), "the gateway outlived its launcher");
}

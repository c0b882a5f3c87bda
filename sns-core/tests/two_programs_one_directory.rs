//! Two programs open one directory at once: each sees the other's writes, and may be killed.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is test code"
)]

#[path = "support/feed.rs"]
mod feed;

use std::collections::HashSet;

use feed::{Process, acknowledged, all_posts, name};
use sns_core::Sns;

/// The program of the other processes.
#[test]
fn child() {
    feed::child_program();
}

#[test]
fn each_sees_the_others_writes_and_streams_and_their_digests_agree() {
    let data = tempfile::tempdir().unwrap();
    let mut a = Process::start(data.path(), "a-master");
    let mut b = Process::start(data.path(), "b-master");
    a.ask("post bob before");
    a.ask("follow alice bob");
    let follow = b.ask("follow bob alice");
    // Of the state that `b` was told of, `a` shows what `b` wrote.
    assert_eq!(a.ask(&format!("home alice {follow}")), "before");
    for process in [&mut a, &mut b] {
        process.tell(&format!("watch alice {follow}"));
        process.await_events(1);
        assert!(
            process.events[0].ends_with("live -"),
            "{:?}",
            process.events
        );
    }
    let mut last = String::new();
    for n in 0..40 {
        let (writer, user) = if n % 2 == 0 {
            (&mut a, "bob")
        } else {
            (&mut b, "alice")
        };
        last = writer.ask(&format!("post {user} text{n}"));
    }
    for process in [&mut a, &mut b] {
        process.await_events(41);
    }
    assert_eq!(a.events[1..], b.events[1..], "one order for all");
    let texts: Vec<&str> = a.events[1..]
        .iter()
        .map(|e| e.rsplit_once(' ').unwrap().1)
        .collect();
    let expected: Vec<String> = (0..40).map(|n| format!("text{n}")).collect();
    assert_eq!(texts, expected);
    assert_eq!(
        a.ask(&format!("home alice {last}")),
        b.ask(&format!("home alice {last}"))
    );
    let index = (last.parse::<u64>().unwrap() >> 16).to_string();
    let digest = a.ask(&format!("digest {index}"));
    assert_eq!(digest, b.ask(&format!("digest {index}")));
    a.stop();
    b.stop();
}

#[test]
fn one_is_killed_in_mid_load_and_nothing_acknowledged_is_lost_or_there_twice() {
    let data = tempfile::tempdir().unwrap();
    let mut a = Process::start(data.path(), "a-master");
    let mut b = Process::start(data.path(), "b-master");
    for user in ["usera", "userb"] {
        b.ask(&format!("post {user} first"));
        b.ask(&format!("follow reader {user}"));
    }
    b.tell("watch reader 0");
    a.tell("load usera 1000000");
    b.tell("load userb 3000");
    let mut acks = Vec::new();
    while acks.len() < 1_500 {
        acks.extend(acknowledged(&a.answer()));
    }
    a.kill();
    while let Some(line) = a.line() {
        acks.extend(acknowledged(&line));
    }
    loop {
        let line = b.answer();
        match acknowledged(&line) {
            Some(ack) => acks.push(ack),
            None => break,
        }
    }
    // A third one takes the place of the dead one, on its view.
    let sns = Sns::builder(data.path()).node("a-master").open().unwrap();
    let mut posts = all_posts(&sns, &name("usera"));
    posts.extend(all_posts(&sns, &name("userb")));
    let texts: HashSet<&str> = posts.iter().map(|post| post.text.as_str()).collect();
    // Both began with the text `first`.
    assert_eq!(texts.len() + 1, posts.len(), "something is there twice");
    for (seq, text) in &acks {
        let post = posts.iter().find(|post| post.id == *seq).expect(text);
        assert_eq!(post.text.as_str(), text);
    }
    // The stream of the one that lived told each post since the follow, once and in order.
    posts.sort_by_key(|post| post.id);
    let told = posts.iter().filter(|post| post.text.as_str() != "first");
    let told: Vec<String> = told
        .map(|post| format!("{} post {}", post.id, post.text))
        .collect();
    while b.events.iter().filter(|e| e.contains(" post ")).count() < told.len() {
        b.await_events(b.events.len() + 1);
    }
    let events: Vec<&String> = b.events.iter().filter(|e| e.contains(" post ")).collect();
    assert!(
        events.iter().zip(&told).all(|(a, b)| *a == b),
        "another order"
    );
    let status = sns.status();
    let digest = b.ask(&format!("digest {}", status.applied));
    assert_eq!(digest, format!("{} {}", status.digest, status.applied));
}

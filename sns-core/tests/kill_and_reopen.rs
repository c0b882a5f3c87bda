//! A process is killed under load, again and again: what it acknowledged is there, once, in order.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is test code"
)]

#[path = "support/feed.rs"]
mod feed;

use std::collections::HashMap;

use feed::draw::Draw;
use feed::{Process, acknowledged, all_posts, name};
use sns_core::{RequestId, Seq, Sns};

/// The program of the other processes.
#[test]
fn child() {
    feed::child_program();
}

#[test]
fn a_process_killed_under_load_loses_nothing_it_acknowledged_and_repeats_nothing() {
    let mut draw = Draw::new();
    let data = tempfile::tempdir().unwrap();
    let mut acks: Vec<(Seq, String)> = Vec::new();
    let mut ids: HashMap<String, (String, Option<String>)> = HashMap::new();
    for round in 0..10 {
        // The same node each time: its view is what the kill left of it.
        let node = if round % 3 == 2 { "other" } else { "node" };
        let mut process = Process::start(data.path(), node);
        // What was asked for before a kill has one effect, however often it is sent again.
        for (id, (text, seq)) in &mut ids {
            let again = process.ask(&format!("retry {id} retrier {text}"));
            assert_eq!(seq.get_or_insert(again.clone()), &again, "{text}");
        }
        let id = RequestId::random().to_string();
        process.tell(&format!("retry {id} retrier text{round}"));
        let known = (draw.below(2) == 0).then(|| process.answer());
        let known = known.map(|answer| answer.strip_prefix("ok ").unwrap().to_owned());
        ids.insert(id, (format!("text{round}"), known));
        process.tell(&format!("load loader{round} 1000000"));
        let fate = draw.below(3_000);
        let mut told = 0;
        while told < fate {
            let line = process.line().unwrap();
            if let Some(ack) = acknowledged(&line) {
                acks.push(ack);
                told += 1;
            }
        }
        process.kill();
        while let Some(line) = process.line() {
            acks.extend(acknowledged(&line));
        }
    }
    println!("{} acknowledged", acks.len());
    assert!(
        acks.windows(2).all(|pair| pair[0].0 < pair[1].0),
        "seqs go up"
    );
    let sns = Sns::builder(data.path()).node("node").open().unwrap();
    let acks: HashMap<Seq, String> = acks.into_iter().collect();
    let mut found = 0;
    for round in 0..10 {
        let user = name(&format!("loader{round}"));
        if sns.posts_of(&user).page().is_err() {
            // Killed before it made its user.
            continue;
        }
        for (at, post) in all_posts(&sns, &name(&format!("loader{round}")))
            .iter()
            .enumerate()
        {
            // In the order in which they were sent, without a hole: a later one is not there
            // without all before it.
            let (_, number) = post.text.as_str().split_once('.').unwrap();
            assert_eq!(number.parse(), Ok(at));
            if let Some(text) = acks.get(&post.id) {
                assert_eq!(post.text.as_str(), text);
                found += 1;
            }
        }
    }
    assert_eq!(found, acks.len(), "acknowledged posts are missing");
    let retried = all_posts(&sns, &name("retrier"));
    let mut texts: Vec<&str> = retried.iter().map(|post| post.text.as_str()).collect();
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), retried.len(), "a retry took effect twice");
    // Its view, patched together from ten lives, is what a replay of the whole log gives.
    let fresh = Sns::builder(data.path()).node("fresh").open().unwrap();
    assert_eq!(sns.status().digest, fresh.status().digest);
}

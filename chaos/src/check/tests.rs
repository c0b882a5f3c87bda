//! Rules that stand alone: in a bigger history another rule would find the same.

use super::*;
use crate::history::{Act, Command, Op, Page, Replica, Seen, Stream};

const POST: [u64; 2] = [2 << 16, 3 << 16];

/// One user, two posts, and calls that made them at these times.
fn two_posts(times: [(u64, u64); 2]) -> History {
    let mut history = History::default();
    let command = |seq, act| Command {
        seq,
        request_id: None,
        seen: 0,
        act,
    };
    let user = || "a".to_owned();
    history
        .log
        .push(command(1 << 16, Act::CreateUser { user: user() }));
    for (seq, (start, end)) in POST.into_iter().zip(times) {
        let text = format!("at {seq}");
        history.log.push(command(
            seq,
            Act::CreatePost {
                user: user(),
                text: text.clone(),
            },
        ));
        history.ops.push(op(Call::Post { text }, (start, end), seq));
    }
    history.run.pairs = 1;
    for name in ["a-master", "a-slave"] {
        history.replicas.push(Replica {
            name: name.into(),
            state: "serving".into(),
            applied: 3,
            digest: "d".into(),
        });
        history.listings.push(crate::history::Listing {
            replica: name.into(),
            user: user(),
            list: crate::history::List::Following { names: Vec::new() },
        });
    }
    history
}

fn op(call: Call, (start, end): (u64, u64), seq: u64) -> Op {
    let (user, server) = ("a".into(), "s".into());
    Op {
        client: 1,
        user,
        call,
        start,
        end,
        server,
        outcome: Outcome::Ok { seq },
    }
}

fn seen(id: u64) -> Seen {
    Seen {
        id,
        author: "a".into(),
        text: format!("at {id}"),
    }
}

fn found(history: &History) -> Vec<(Kind, Place)> {
    let report = check(history);
    let found = report.violations.into_iter();
    found
        .map(|violation| (violation.kind, violation.place))
        .collect()
}

#[test]
fn calls_that_overlap_may_stand_in_any_order() {
    assert!(found(&two_posts([(20, 30), (10, 20)])).is_empty());
    assert!(found(&two_posts([(10, 20), (21, 30)])).is_empty());
}

#[test]
fn a_write_that_ended_before_another_was_called_stands_before_it() {
    let found = found(&two_posts([(21, 30), (10, 20)]));
    assert_eq!(
        found,
        [
            (Kind::Reordered, Place::Op(0)),
            (Kind::Reordered, Place::Op(1))
        ]
    );
}

#[test]
fn a_page_shows_nothing_that_was_called_after_it() {
    let mut history = two_posts([(10, 20), (41, 50)]);
    let walk = |pages| Call::Walk {
        limit: 0,
        of: None,
        at_least: 0,
        linearizable: false,
        pages,
        complete: true,
    };
    let page = Page {
        seq: POST[1],
        posts: vec![seen(POST[1]), seen(POST[0])],
    };
    history.ops.push(op(walk(vec![page.clone()]), (51, 60), 0));
    assert!(found(&history).is_empty());
    (history.ops[2].start, history.ops[2].end) = (30, 40);
    assert!(found(&history).contains(&(Kind::Reordered, Place::Op(2))));
}

#[test]
fn what_is_missing_before_the_end_of_a_stream_is_a_gap_of_its_own() {
    let mut history = two_posts([(10, 20), (21, 30)]);
    let event = |id| Event::Post {
        at: 40,
        post: seen(id),
    };
    history.streams.push(Stream {
        client: 2,
        user: "a".into(),
        after: 0,
        until: Some(POST[1]),
        start: 0,
        end: 50,
        events: vec![event(POST[0]), event(POST[1])],
        failed: None,
        server: String::new(),
    });
    assert!(found(&history).is_empty());
    history.streams[0].events.clear();
    // The end never came; and neither did what is owed, the end being one of that.
    assert_eq!(found(&history), vec![(Kind::Gap, Place::Stream(0)); 3]);
}

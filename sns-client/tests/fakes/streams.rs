//! The live timeline: no hole, no repetition, whatever dies under it.

use std::time::Duration;

use sns_client::{ErrorKind, Event, Reason, Timeline};
use tokio::time::timeout;

use crate::fake::{Fault, Node, Setup, timed};

/// The next event; a test that waits longer has failed.
async fn next(timeline: &mut Timeline) -> Event {
    let event = timeout(Duration::from_secs(15), timeline.next()).await;
    event.expect("in time").expect("goes on").expect("no error")
}

/// The texts of the next posts; notices aside.
async fn texts(timeline: &mut Timeline, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < count {
        if let Event::Post(post) = next(timeline).await {
            texts.push(post.text);
        }
    }
    texts
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

#[tokio::test]
async fn the_backlog_comes_oldest_first_and_then_what_happens() {
    let setup = Setup::of(2).await;
    let alice = setup.connect().await;
    for n in 0..30 {
        setup.world.post("", "bob", &n.to_string());
    }
    let mut timeline = alice.timeline().backlog(10).open().await.expect("opened");
    assert_eq!(texts(&mut timeline, 10).await, numbers(20..30));
    assert_eq!(next(&mut timeline).await, Event::CaughtUp);
    let post = setup.world.post("", "bob", "live");
    assert_eq!(texts(&mut timeline, 1).await, ["live"]);
    alice.delete(post.id).await.expect("deleted");
    let Event::Deleted { id, seq, .. } = next(&mut timeline).await else {
        panic!("no deletion");
    };
    assert_eq!(id.get(), post.id);
    assert_eq!(timeline.seq(), seq);
}

#[tokio::test]
async fn it_goes_on_without_a_hole_or_a_repetition_when_servers_die_in_turn() {
    const POSTS: usize = 600;
    let mut setup = Setup::of(2).await;
    let alice = setup.connect().await;
    let mut timeline = alice.timeline().backlog(0).open().await.expect("opened");
    let world = setup.world.clone();
    let writer = tokio::spawn(async move {
        for n in 0..POSTS {
            world.post("", "bob", &n.to_string());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    let mut got = Vec::new();
    let mut lost = 0;
    while got.len() < POSTS {
        match next(&mut timeline).await {
            Event::Post(post) => {
                got.push(post.text);
                if got.len() % 100 == 50 {
                    let turn = got.len() / 100;
                    setup.nodes[turn % 2].wire.cut().await;
                    setup.nodes[turn % 2].wire.mend().await;
                }
            }
            Event::Lost { .. } => lost += 1,
            _ => {}
        }
    }
    writer.await.expect("wrote");
    assert_eq!(got, numbers(0..POSTS));
    assert!(lost > 0, "no server was lost: nothing was tested");
}

#[tokio::test]
async fn what_a_server_repeats_is_dropped() {
    let mut setup = Setup::of(2).await;
    let alice = setup.connect().await;
    let mut timeline = alice.timeline().open().await.expect("opened");
    for n in 0..5 {
        setup.world.post("", "bob", &n.to_string());
    }
    assert_eq!(texts(&mut timeline, 5).await, numbers(0..5));
    for node in &setup.nodes {
        node.fail(&[Fault::Repeat]);
    }
    let serving = alice.addresses()[0].clone();
    let at = usize::from(setup.nodes[1].address() == serving);
    setup.nodes[at].wire.cut().await;
    setup.world.post("", "bob", "5");
    assert_eq!(texts(&mut timeline, 1).await, ["5"]);
}

#[tokio::test]
async fn it_tells_of_a_loss_and_of_the_resumption() {
    let mut setup = Setup::of(2).await;
    let alice = setup.connect().await;
    let mut timeline = alice.timeline().open().await.expect("opened");
    assert_eq!(next(&mut timeline).await, Event::CaughtUp);
    let serving = alice.addresses()[0].clone();
    let at = usize::from(setup.nodes[1].address() == serving);
    setup.nodes[at].wire.cut().await;
    let ((), took) = timed(async {
        let Event::Lost { server, .. } = next(&mut timeline).await else {
            panic!("no notice of the loss");
        };
        assert_eq!(server, serving);
        let Event::Resumed { server, .. } = next(&mut timeline).await else {
            panic!("no notice of the resumption");
        };
        assert_ne!(server, serving);
    })
    .await;
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn it_leaves_a_server_that_hangs() {
    let setup = Setup::of(2).await;
    let alice = setup.connect().await;
    let mut timeline = alice.timeline().open().await.expect("opened");
    assert_eq!(next(&mut timeline).await, Event::CaughtUp);
    let serving = alice.addresses()[0].clone();
    let at = usize::from(setup.nodes[1].address() == serving);
    setup.nodes[at].wire.freeze();
    setup.world.post("", "bob", "meanwhile");
    let (got, took) = timed(texts(&mut timeline, 1)).await;
    assert_eq!(got, ["meanwhile"]);
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn a_post_that_is_not_answered_is_sent_again_and_has_one_effect() {
    let setup = Setup::of(2).await;
    let alice = setup.connect().await;
    let mut timeline = alice.timeline().open().await.expect("opened");
    assert_eq!(next(&mut timeline).await, Event::CaughtUp);
    for (n, fault) in [Fault::LoseAnswer, Fault::LoseCall, Fault::Hang]
        .into_iter()
        .enumerate()
    {
        // The next post fails wherever it goes; its stream is asked for first on the other server.
        let serving = alice.addresses()[0].clone();
        let at = usize::from(setup.nodes[1].address() == serving);
        setup.nodes.iter().for_each(|node| drop(node.saw()));
        setup.nodes[at].fail(&[fault]);
        let post = timeline.post(n.to_string()).await.expect("posted");
        assert_eq!(post.text, n.to_string());
        let saw: Vec<_> = setup.nodes.iter().flat_map(Node::saw).collect();
        let posts: Vec<_> = saw.iter().filter(|s| s.method == "timeline_post").collect();
        assert!(posts.len() >= 2, "{fault:?}: {saw:?}");
        for other in &posts[1..] {
            assert_eq!(
                (&other.request_id, other.seq),
                (&posts[0].request_id, posts[0].seq)
            );
        }
    }
    assert_eq!(setup.world.texts(), numbers(0..3));
    assert_eq!(
        texts(&mut timeline, 3).await,
        numbers(0..3),
        "own posts come down once"
    );
}

#[tokio::test]
async fn posts_that_are_queued_keep_their_order_when_servers_die_in_turn() {
    const POSTS: usize = 1_000;
    let mut setup = Setup::of(2).await;
    let alice = setup.connect().await;
    let mut timeline = alice.timeline().open().await.expect("opened");
    let poster = timeline.poster();
    // Answers come behind events: somebody has to take those.
    tokio::spawn(async move { while timeline.next().await.is_some() {} });
    let mut under_way = std::collections::VecDeque::new();
    for n in 0..POSTS {
        if under_way.len() == 64 {
            let first: sns_client::Result<_> = under_way.pop_front().expect("64").await;
            first.expect("posted");
        }
        under_way.push_back(poster.queue(n.to_string()).expect("there is room"));
        if n % 100 == 50 {
            let wire = &mut setup.nodes[n / 100 % 2].wire;
            wire.cut().await;
            wire.mend().await;
        }
        if n % 7 == 0 {
            tokio::task::yield_now().await;
        }
    }
    for posting in under_way {
        posting.await.expect("posted");
    }
    assert_eq!(setup.world.texts(), numbers(0..POSTS));
}

#[tokio::test]
async fn refusals_of_a_post_leave_the_stream_alone() {
    let setup = Setup::of(1).await;
    let alice = setup.connect().await;
    let mut timeline = alice.timeline().open().await.expect("opened");
    assert_eq!(next(&mut timeline).await, Event::CaughtUp);
    let a = &setup.nodes[0];
    a.fail(&[Fault::Refuse(Reason::TextInvalid)]);
    let error = timeline.post("").await.expect_err("refused");
    assert_eq!(error.reason(), Reason::TextInvalid);
    // A full queue is waited for; an expired first try gets a new id.
    a.saw();
    a.fail(&[Fault::Refuse(Reason::Overloaded)]);
    timeline.post("0").await.expect("posted");
    assert_eq!(a.saw().len(), 2, "the post, twice");
    a.fail(&[Fault::Refuse(Reason::RequestExpired)]);
    timeline.post("1").await.expect("posted");
    let mut ids: Vec<_> = a.saw().into_iter().map(|saw| saw.request_id).collect();
    ids.retain(|id| !id.is_empty());
    assert_eq!(ids.len(), 2);
    assert_ne!(ids[0], ids[1]);
    assert_eq!(texts(&mut timeline, 2).await, ["0", "1"]);
}

#[tokio::test]
async fn a_reader_that_is_behind_misses_nothing() {
    let setup = Setup::of(2).await;
    let alice = setup.connect().await;
    let mut timeline = alice.timeline().open().await.expect("opened");
    for n in 0..1_000 {
        setup.world.post("", "bob", &n.to_string());
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(texts(&mut timeline, 1_000).await, numbers(0..1_000));
}

#[tokio::test]
async fn a_later_timeline_goes_on_where_an_earlier_one_was_left() {
    let setup = Setup::of(2).await;
    let alice = setup.connect().await;
    let mut first = alice.timeline().open().await.expect("opened");
    for n in 0..10 {
        setup.world.post("", "bob", &n.to_string());
    }
    assert_eq!(texts(&mut first, 4).await, numbers(0..4));
    let left = first.seq();
    drop(first);
    let mut second = alice.timeline().after(left).open().await.expect("opened");
    assert_eq!(texts(&mut second, 6).await, numbers(4..10));
}

#[tokio::test]
async fn an_error_that_stays_ends_it() {
    let setup = Setup::of(1).await;
    let alice = setup.connect().await;
    let options = alice.timeline().after(1 << 40);
    setup.nodes[0].fail(&[Fault::Refuse(Reason::SeqUnknown)]);
    let mut timeline = options.open().await.expect("opened");
    let poster = timeline.poster();
    // A notice of the loss comes first.
    let error = loop {
        match timeline.next().await.expect("an error first") {
            Ok(Event::Lost { .. }) => {}
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.reason(), Reason::SeqUnknown);
    assert!(timeline.next().await.is_none());
    let error = poster.post("x").await.expect_err("ended");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

//! A stream tells every post and deletion once, in order, whatever else happens.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is test code"
)]

#[path = "support/feed.rs"]
mod feed;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use feed::draw::Draw;
use feed::wait_until;
use sns_core::log::memory::MemoryLog;
use sns_core::{Event, EventKind, Reason, Seq, Sns, Subscribe, Subscription, Username, limits};

/// Reads until it is caught up; the events before that.
fn catch_up(stream: &mut Subscription) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let event = stream.next_blocking().unwrap();
        if event.kind == EventKind::CaughtUp {
            return events;
        }
        events.push(event);
    }
}

/// The next event, if there is one already.
fn next_now(stream: &mut Subscription) -> Option<Event> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(stream.next()).poll(&mut context) {
        Poll::Ready(event) => Some(event.unwrap()),
        Poll::Pending => None,
    }
}

fn assert_ordered(events: &[Event]) {
    for pair in events.windows(2) {
        assert!(pair[0].seq < pair[1].seq, "{pair:?}");
    }
}

#[test]
fn a_slow_reader_is_moved_back_to_the_view_and_misses_nothing() {
    let sns = Sns::in_memory().unwrap();
    let (reader, author) = (sns.user("reader").unwrap(), sns.user("author").unwrap());
    sns.follow(&reader, &author).wait().unwrap();
    let mut stream = sns.subscribe(&reader, None).unwrap();
    assert_eq!(stream.next_blocking().unwrap().kind, EventKind::CaughtUp);
    let mut seqs = Vec::new();
    let mut told = Vec::new();
    for round in 0..4_usize {
        // More than its queue holds, then as many as fit, while it does not read.
        let count = limits::SUBSCRIBER_EVENTS * [3, 1, 2, 1][round] + 7 * (1 - round % 2);
        for n in 0..count {
            let post = sns.post(&author, &format!("{round}.{n}")).wait().unwrap();
            seqs.push(post.id);
            if n % 5 == 0 {
                seqs.push(sns.delete(&author, post.id).wait().unwrap());
            }
        }
        let last = *seqs.last().unwrap();
        let before = stream.position();
        while stream.position() < last {
            let event = stream.next_blocking().unwrap();
            assert_eq!(stream.position(), event.seq.max(stream.position()));
            told.push(event);
        }
        assert!(stream.position() >= before);
    }
    assert_ordered(&told);
    let deleted: BTreeSet<Seq> = told
        .iter()
        .filter_map(|event| match event.kind {
            EventKind::Deleted(post) => Some(post),
            _ => None,
        })
        .collect();
    let got: BTreeSet<Seq> = told.iter().map(|event| event.seq).collect();
    for seq in &seqs {
        // A post that was gone before its turn came need not be told, its deletion is.
        assert!(
            got.contains(seq) || deleted.contains(seq),
            "{seq} is missing"
        );
    }
    assert!(got.iter().all(|seq| seqs.contains(seq)));
}

/// What a reader must have been told: posts of those followed all the time, and their deletions.
#[test]
#[allow(clippy::too_many_lines, reason = "it is one story")]
fn streams_under_follows_unfollows_and_deletions_agree_with_the_log_on_every_replica() {
    let mut draw = Draw::new();
    let log = MemoryLog::new();
    let a = Sns::over_memory(log.clone()).open().unwrap();
    let b = Sns::over_memory(log).open().unwrap();
    let reader = a.user("reader").unwrap();
    let authors: Vec<Username> = (0..6)
        .map(|n| a.user(&format!("author{n}")).unwrap())
        .collect();
    for author in &authors[..4] {
        a.follow(&reader, author).wait().unwrap();
    }
    let start = a.applied();
    let done = AtomicUsize::new(0);
    let posts = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|w| {
                let sns = if w == 1 { &b } else { &a };
                let mut draw = Draw(draw.below(u64::MAX));
                let (authors, reader, done) = (&authors, reader, &done);
                scope.spawn(move || {
                    let mut posts = BTreeMap::new();
                    let mut gone = BTreeMap::new();
                    for n in 0..700 {
                        let author = authors[usize::try_from(draw.below(6)).unwrap()];
                        let post = sns.post(&author, &format!("{w}.{n}")).wait().unwrap();
                        posts.insert(post.id, author);
                        if draw.below(6) == 0 {
                            gone.insert(sns.delete(&author, post.id).wait().unwrap(), post.id);
                        }
                        // The last two authors come and go.
                        if draw.below(12) == 0 {
                            let _ = sns.follow(&reader, &authors[4]).wait();
                            let _ = sns.unfollow(&reader, &authors[5]).wait();
                        }
                        if draw.below(12) == 0 {
                            let _ = sns.follow(&reader, &authors[5]).wait();
                            let _ = sns.unfollow(&reader, &authors[4]).wait();
                        }
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                    (posts, gone)
                })
            })
            .collect();
        // Meanwhile one reader goes from replica to replica, and is slow now and then.
        let roaming = scope.spawn(|| {
            let mut events: Vec<Event> = Vec::new();
            let mut after = start;
            let mut turn = 0;
            loop {
                let last_round = done.load(Ordering::Relaxed) == 3;
                turn += 1;
                let sns = if turn % 2 == 0 { &a } else { &b };
                let mut stream = sns.subscribe(&reader, Some(after)).unwrap();
                let mut part = catch_up(&mut stream);
                let mut live = 0;
                while !last_round && live < 40 && done.load(Ordering::Relaxed) < 3 {
                    // Nothing there yet, and perhaps nothing ever again.
                    let Some(event) = next_now(&mut stream) else {
                        std::thread::yield_now();
                        continue;
                    };
                    assert!(event.seq > after, "{event:?} after {after}");
                    part.push(event);
                    live += 1;
                    if part.len().is_multiple_of(30) {
                        std::thread::park_timeout(std::time::Duration::from_millis(15));
                    }
                }
                after = part.last().map_or(after, |event| event.seq);
                events.extend(part);
                if last_round {
                    return (events, after);
                }
            }
        });
        let written: Vec<_> = writers.into_iter().map(|w| w.join().unwrap()).collect();
        let (mut events, after) = roaming.join().unwrap();
        wait_until("both replicas", || a.applied() == b.applied());
        let mut rest = b.subscribe(&reader, Some(after)).unwrap();
        events.extend(catch_up(&mut rest));
        assert_ordered(&events);
        (written, events)
    });
    let (written, events) = posts;
    let told: BTreeMap<Seq, &EventKind> = events.iter().map(|e| (e.seq, &e.kind)).collect();
    let (mut expected, mut all, mut gone) = (0, BTreeSet::new(), BTreeSet::new());
    for (posts, deletions) in &written {
        gone.extend(deletions.values().copied());
        for (seq, post) in deletions {
            all.insert(*seq);
            if authors[..4].contains(&posts[post]) {
                assert_eq!(told.get(seq), Some(&&EventKind::Deleted(*post)), "{seq}");
                expected += 1;
            }
        }
    }
    for (posts, _) in &written {
        for (seq, author) in posts {
            all.insert(*seq);
            if authors[..4].contains(author) && !gone.contains(seq) {
                let Some(EventKind::Post(post)) = told.get(seq) else {
                    panic!("{seq} of {author} is missing");
                };
                assert_eq!((post.id, post.author), (*seq, *author));
                expected += 1;
            }
        }
    }
    assert!(told.keys().all(|seq| all.contains(seq)));
    println!("{} told, {expected} had to be", told.len());
}

#[test]
fn a_post_of_someone_unfollowed_meanwhile_is_not_told() {
    let sns = Sns::in_memory().unwrap();
    let (reader, author) = (sns.user("reader").unwrap(), sns.user("author").unwrap());
    sns.follow(&reader, &author).wait().unwrap();
    let mut stream = sns.subscribe(&reader, None).unwrap();
    catch_up(&mut stream);
    sns.post(&author, "while followed").wait().unwrap();
    sns.unfollow(&reader, &author).wait().unwrap();
    sns.post(&author, "while not followed").wait().unwrap();
    sns.follow(&reader, &author).wait().unwrap();
    let last = sns.post(&author, "followed again").wait().unwrap();
    // The first post is older than the present follow.
    assert_eq!(stream.next_blocking().unwrap().kind, EventKind::Post(last));
}

#[test]
fn the_backlog_comes_first_then_the_rest_without_a_repetition() {
    let sns = Sns::in_memory().unwrap();
    let (reader, author) = (sns.user("reader").unwrap(), sns.user("author").unwrap());
    let old = sns.post(&author, "before the follow").wait().unwrap();
    sns.follow(&reader, &author).wait().unwrap();
    let newer = sns.post(&author, "after the follow").wait().unwrap();
    let options = Subscribe {
        backlog: 20,
        ..Subscribe::default()
    };
    let mut stream = sns.subscribe_with(&reader, options).unwrap();
    let own = sns.post(&reader, "own").wait().unwrap();
    let events: Vec<Event> = (0..4).map(|_| stream.next_blocking().unwrap()).collect();
    let kinds: Vec<EventKind> = events.iter().map(|event| event.kind.clone()).collect();
    assert!(kinds.contains(&EventKind::CaughtUp));
    let posts: Vec<&EventKind> = kinds
        .iter()
        .filter(|k| **k != EventKind::CaughtUp)
        .collect();
    assert_eq!(
        posts,
        [
            &EventKind::Post(old),
            &EventKind::Post(newer),
            &EventKind::Post(own)
        ]
    );
    assert!(events.windows(2).all(|pair| pair[0].seq <= pair[1].seq));
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_stream_that_waits_is_woken_and_ended_when_the_handle_drains() {
    let sns = Sns::in_memory().unwrap();
    let reader = sns.user("reader").unwrap();
    // Three that wait: a future, a thread, and one that has something left to read.
    let mut stream = sns.subscribe(&reader, None).unwrap();
    catch_up(&mut stream);
    let mut blocking = sns.subscribe(&reader, None).unwrap();
    catch_up(&mut blocking);
    let mut behind = sns.subscribe(&reader, None).unwrap();
    catch_up(&mut behind);
    let post = sns.post(&reader, "the last one").wait().unwrap();
    assert_eq!(
        stream.next_blocking().unwrap().kind,
        EventKind::Post(post.clone())
    );
    assert_eq!(
        blocking.next_blocking().unwrap().kind,
        EventKind::Post(post.clone())
    );
    let thread = std::thread::spawn(move || blocking.next_blocking());

    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    let mut next = pin!(stream.next());
    assert!(next.as_mut().poll(&mut context).is_pending());
    sns.drain();
    assert!(woken.0.load(Ordering::SeqCst), "nobody woke it");
    let Poll::Ready(Err(ended)) = next.as_mut().poll(&mut context) else {
        panic!("it goes on");
    };
    assert_eq!(ended.reason(), Reason::ShuttingDown);
    let ended = thread.join().unwrap().unwrap_err();
    assert_eq!(ended.reason(), Reason::ShuttingDown);
    // What was queued for it is told first.
    assert_eq!(behind.next_blocking().unwrap().kind, EventKind::Post(post));
    assert_eq!(
        behind.next_blocking().unwrap_err().reason(),
        Reason::ShuttingDown
    );
    let refused = sns.subscribe(&reader, None).unwrap_err();
    assert_eq!(refused.reason(), Reason::ShuttingDown);
    let refused = sns.post(&reader, "too late").wait().unwrap_err();
    assert_eq!(refused.reason(), Reason::ShuttingDown);
    assert_eq!(
        sns.home(&reader).page().unwrap().items.len(),
        1,
        "reads go on"
    );
}

#[test]
fn a_dropped_future_loses_no_event() {
    let sns = Sns::in_memory().unwrap();
    let reader = sns.user("reader").unwrap();
    let mut stream = sns.subscribe(&reader, None).unwrap();
    catch_up(&mut stream);
    let waker = Waker::from(Arc::new(Woken::default()));
    let mut context = Context::from_waker(&waker);
    for n in 0..20 {
        assert!(pin!(stream.next()).poll(&mut context).is_pending());
        let post = sns.post(&reader, &format!("{n}")).wait().unwrap();
        // A future that was dropped after its wake-up has taken nothing.
        let event = stream.next_blocking().unwrap();
        assert_eq!(event.kind, EventKind::Post(post));
    }
}

#[test]
fn the_position_moves_on_past_what_concerns_others() {
    let sns = Sns::in_memory().unwrap();
    let (reader, other) = (sns.user("reader").unwrap(), sns.user("other").unwrap());
    let mut stream = sns.subscribe(&reader, None).unwrap();
    catch_up(&mut stream);
    let post = sns.post(&other, "not for the reader").wait().unwrap();
    wait_until("the position", || stream.position() >= post.id);
    let own = sns.post(&reader, "mine").wait().unwrap();
    assert_eq!(stream.next_blocking().unwrap().seq, own.id);
    assert_eq!(stream.position(), own.id);
}

//! A view that fails while the replica runs: nobody hangs, nobody reads anything wrong.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::command::Intent;
use crate::log::Log as _;
use crate::log::memory::MemoryLog;
use crate::{EventKind, Reason, Seq, Sns, State};

const PATIENCE: Duration = Duration::from_secs(30);

fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < deadline, "{what} never came");
        std::thread::yield_now();
    }
}

#[test]
fn a_view_that_fails_under_load_is_rebuilt_and_nobody_reads_anything_wrong() {
    let sns = Sns::in_memory().unwrap();
    let (reader, author) = (sns.user("reader").unwrap(), sns.user("author").unwrap());
    sns.follow(&reader, &author).wait().unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut unknown = 0;
            for n in 0..1_500 {
                match sns.post(&author, &format!("{n}")).wait_timeout(PATIENCE) {
                    Ok(_) => {}
                    Err(error) => {
                        assert_eq!(error.reason(), Reason::OutcomeUnknown);
                        unknown += 1;
                    }
                }
            }
            done.store(true, Ordering::Relaxed);
            unknown
        });
        let pages = scope.spawn(|| {
            let (mut last, mut read) = (0, 0);
            while !done.load(Ordering::Relaxed) {
                let page = sns.home(&reader).limit(1).page().unwrap();
                let newest = page
                    .items
                    .first()
                    .map_or(0, |post| post.text.as_str().parse::<u32>().unwrap());
                assert!(newest >= last, "the page went back from {last} to {newest}");
                (last, read) = (newest, read + 1);
            }
            read
        });
        let streams = scope.spawn(|| {
            let (mut told, mut after, mut ended) = (Vec::new(), sns.applied(), 0);
            after = after.min(Seq::new(3, 0));
            while told.len() < 1_500 {
                let Ok(mut stream) = sns.subscribe(&reader, Some(after)) else {
                    // It starts: as a client does, a little later again.
                    std::thread::yield_now();
                    continue;
                };
                loop {
                    match stream.next_blocking() {
                        Ok(event) => {
                            after = event.seq;
                            if let EventKind::Post(post) = event.kind {
                                told.push(post.text.as_str().parse::<u32>().unwrap());
                            }
                            if told.len() == 1_500 {
                                break;
                            }
                        }
                        Err(error) => {
                            assert_eq!(error.reason(), Reason::Starting, "{error}");
                            ended += 1;
                            break;
                        }
                    }
                }
            }
            assert!(told.iter().copied().eq(0..1_500), "{told:?}");
            ended
        });
        for _ in 0..6 {
            let before = sns.status().posts;
            wait_until("some posts", || {
                done.load(Ordering::Relaxed) || sns.status().posts > before + 100
            });
            let view = sns.replica().view();
            view.fail();
            wait_until("another view", || {
                !std::sync::Arc::ptr_eq(&view, &sns.replica().view())
            });
        }
        assert_eq!(writer.join().unwrap(), 0, "writes lost their answers");
        println!("{} pages", pages.join().unwrap());
        assert!(streams.join().unwrap() > 0);
    });
    wait_until("serving", || sns.status().state == State::Serving);
    assert_eq!(sns.status().posts, 1_500);
}

fn append(log: &MemoryLog, intent: Intent) {
    let entry = crate::command::Entry {
        writer: "test".into(),
        batch: [9; 16],
        clock_ms: 1,
        commands: vec![crate::command::Command {
            request_id: None,
            seen: Seq::ZERO,
            intent,
        }],
    };
    log.append(&entry.encode()).unwrap();
}

#[test]
fn a_replica_that_differs_from_a_checkpoint_rebuilds_once_and_then_halts() {
    let log = MemoryLog::new();
    let sns = Sns::over_memory(log.clone()).open().unwrap();
    let user = sns.user("user").unwrap();
    let stream = sns.subscribe(&user, None);
    let view = sns.replica().view();
    let index = sns.status().applied;
    let digest = u128::from_str_radix(&sns.status().digest, 16).unwrap();
    let checkpoint = |digest| Intent::Checkpoint {
        index,
        digest,
        digest_version: 1,
    };
    append(&log, checkpoint(digest));
    sns.post(&user, "agreed").wait().unwrap();
    assert!(std::sync::Arc::ptr_eq(&view, &sns.replica().view()));
    append(&log, checkpoint(!digest));
    wait_until("the halt", || sns.status().state == State::Halted);
    assert!(
        !std::sync::Arc::ptr_eq(&view, &sns.replica().view()),
        "rebuilt once"
    );
    assert!(
        sns.status().reason.contains("checkpoint"),
        "{}",
        sns.status().reason
    );
    let refused = sns.posts_of(&user).page().unwrap_err();
    assert_eq!(refused.reason(), Reason::Damaged);
    let refused = sns.post(&user, "no").wait_timeout(PATIENCE).unwrap_err();
    assert_eq!(refused.reason(), Reason::Damaged);
    let mut stream = stream.unwrap();
    assert_eq!(
        stream.next_blocking().unwrap_err().reason(),
        Reason::Damaged
    );
    sns.close();
}

#[test]
fn an_entry_of_a_newer_version_halts_the_replica_and_whoever_waits_is_told() {
    let log = MemoryLog::new();
    let sns = Sns::over_memory(log.clone()).open().unwrap();
    let user = sns.user("user").unwrap();
    log.append(&[0xFF, 0xFF, 0xFF]).unwrap();
    let pending: Vec<_> = (0..50).map(|n| sns.post(&user, &format!("{n}"))).collect();
    for pending in pending {
        let refused = pending.wait_timeout(PATIENCE).unwrap_err();
        let reasons = [Reason::OutcomeUnknown, Reason::Damaged];
        assert!(reasons.contains(&refused.reason()), "{refused:?}");
    }
    assert_eq!(sns.status().state, State::Halted);
    sns.close();
}

#[test]
fn writes_that_are_queued_when_the_handle_closes_have_their_answers() {
    let sns = Sns::in_memory().unwrap();
    let user = sns.user("user").unwrap();
    for round in 0..20 {
        let sns = Sns::over_memory(MemoryLog::new()).open().unwrap();
        sns.user("user").unwrap();
        let pending: Vec<_> = (0..300).map(|n| sns.post(&user, &format!("{n}"))).collect();
        sns.close();
        for pending in pending {
            let post = pending.wait_timeout(PATIENCE).unwrap();
            assert!(post.id > Seq::ZERO, "round {round}");
        }
        assert_eq!(sns.status().posts, 300);
    }
}

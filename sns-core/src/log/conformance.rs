//! What every [`Log`] must do, as one suite.
//!
//! Each case gets handles of one log that is new and its own. Run them with [`run`]; a new
//! implementation is done when it passes.
//!
//! Source: `openraft/src/testing/log/suite.rs`, restate `loglet_tests.rs`.

#![allow(
    clippy::cast_possible_truncation,
    reason = "the numbers here are small"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{AppendPhase, Error, Log, Record};
use crate::limits::ENTRY_BYTES;

/// Gives one more handle of the log of this case. Handles of a log that processes share are
/// opened anew, as another process would.
pub type Handles<'a> = &'a dyn Fn() -> Arc<dyn Log>;

/// One case: its name as a sentence, and what it does. It panics when the log is wrong.
pub type Case = (&'static str, fn(Handles<'_>));

/// All cases.
pub const CASES: &[Case] = &[
    ("a_new_log_is_empty", a_new_log_is_empty),
    (
        "indexes_are_contiguous_from_1",
        indexes_are_contiguous_from_1,
    ),
    (
        "what_was_appended_is_read_byte_for_byte",
        what_was_appended_is_read_byte_for_byte,
    ),
    (
        "bounds_are_refused_and_nothing_is_written",
        bounds_are_refused_and_nothing_is_written,
    ),
    (
        "a_read_stops_at_max_bytes_but_gives_one_entry",
        a_read_stops_at_max_bytes,
    ),
    (
        "any_index_can_be_read_in_any_order",
        any_index_can_be_read_in_any_order,
    ),
    (
        "checksums_tell_entries_apart_and_are_the_same_for_all",
        checksums_are_the_same_for_all,
    ),
    (
        "handles_of_one_log_see_the_same",
        handles_of_one_log_see_the_same,
    ),
    (
        "concurrent_appends_have_one_order_and_none_is_lost",
        concurrent_appends_have_one_order,
    ),
    (
        "a_wait_ends_when_another_handle_appends",
        a_wait_ends_when_another_handle_appends,
    ),
    (
        "a_wait_ends_with_its_timeout_or_at_once",
        a_wait_ends_with_its_timeout_or_at_once,
    ),
    ("a_wake_ends_every_wait", a_wake_ends_every_wait),
    (
        "a_trimmed_prefix_is_gone_and_the_rest_stays",
        a_trimmed_prefix_is_gone,
    ),
    (
        "what_is_not_durable_cannot_be_trimmed",
        what_is_not_durable_cannot_be_trimmed,
    ),
    ("progress_counts_and_rests", progress_counts_and_rests),
    (
        "a_closed_log_opens_with_all_it_had",
        a_closed_log_opens_with_all_it_had,
    ),
];

/// Runs all cases. `new_log` makes a new log and returns what gives handles of it.
///
/// # Panics
/// When the log is wrong; the case is named on standard error before.
pub fn run<L>(mut new_log: impl FnMut() -> L)
where
    L: Fn() -> Arc<dyn Log>,
{
    for (name, case) in CASES {
        tracing::info!(name, "conformance");
        let handles = new_log();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(&handles)));
        assert!(outcome.is_ok(), "the case {name} failed");
    }
}

/// All entries from the head on.
///
/// # Panics
/// When a read fails or is not in order.
pub fn read_all(log: &dyn Log) -> Vec<Record> {
    let mut next = log.head().expect("head");
    let tail = log.tail().expect("tail");
    let mut all = Vec::new();
    while next < tail {
        let records = log.read(next, 64 * 1024).expect("read");
        assert!(
            !records.is_empty(),
            "nothing at {next}, below the tail {tail}"
        );
        for record in records {
            assert_eq!(record.index, next, "a hole or a repetition");
            next += 1;
            all.push(record);
        }
    }
    all
}

fn a_new_log_is_empty(log: Handles<'_>) {
    let log = log();
    assert_eq!(log.tail().expect("tail"), 1);
    assert_eq!(log.head().expect("head"), 1);
    assert_eq!(log.read(1, 1000).expect("read"), []);
    assert_eq!(log.read(7, 1000).expect("read"), []);
}

fn indexes_are_contiguous_from_1(log: Handles<'_>) {
    let log = log();
    for index in 1..=50 {
        assert_eq!(log.append(b"x").expect("append"), index);
        assert_eq!(log.tail().expect("tail"), index + 1);
    }
}

fn what_was_appended_is_read_byte_for_byte(log: Handles<'_>) {
    let log = log();
    let payloads = [
        vec![0],
        vec![0; 4096],
        vec![0xff; 777],
        (0..=255).collect(),
        (0..ENTRY_BYTES).map(|i| (i * 7 % 251) as u8).collect(),
        b"the last one".to_vec(),
    ];
    for payload in &payloads {
        log.append(payload).expect("append");
    }
    let read: Vec<Vec<u8>> = read_all(&*log).into_iter().map(|r| r.payload).collect();
    assert!(read == payloads, "the bytes differ");
}

fn bounds_are_refused_and_nothing_is_written(log: Handles<'_>) {
    let log = log();
    for bad in [vec![], vec![1; ENTRY_BYTES + 1]] {
        assert!(matches!(log.append(&bad), Err(Error::Invalid(_))));
    }
    assert_eq!(log.tail().expect("tail"), 1);
}

fn a_read_stops_at_max_bytes(log: Handles<'_>) {
    let log = log();
    for _ in 0..10 {
        log.append(&[7; 100]).expect("append");
    }
    let count = |from, max| log.read(from, max).expect("read").len();
    assert_eq!(count(1, 1000), 10);
    assert_eq!(count(1, 999), 9);
    assert_eq!(count(4, 250), 2);
    assert_eq!(count(4, 100), 1);
    assert_eq!(count(4, 1), 1, "at least one");
    assert_eq!(count(4, 0), 1, "at least one");
    assert_eq!(count(10, 1000), 1);
    assert_eq!(count(11, 1000), 0);
}

fn any_index_can_be_read_in_any_order(log: Handles<'_>) {
    let log = log();
    let payload = |index: u64| format!("entry {index} {}", "x".repeat(index as usize % 300));
    for index in 1..=400 {
        log.append(payload(index).as_bytes()).expect("append");
    }
    let mut index = 1;
    for _ in 0..400 {
        index = (index * 167 + 13) % 400 + 1;
        let records = log.read(index, 1).expect("read");
        assert_eq!(records[0].index, index);
        assert_eq!(records[0].payload, payload(index).as_bytes());
    }
}

fn checksums_are_the_same_for_all(log: Handles<'_>) {
    let (a, b) = (log(), log());
    for text in ["one", "one", "two"] {
        a.append(text.as_bytes()).expect("append");
    }
    let (ours, theirs) = (read_all(&*a), read_all(&*b));
    assert_eq!(ours, theirs);
    assert_ne!(ours[0].crc, ours[1].crc, "same bytes, another index");
    assert_ne!(ours[1].crc, ours[2].crc);
}

fn handles_of_one_log_see_the_same(log: Handles<'_>) {
    let (a, b) = (log(), log());
    assert_eq!(a.id(), b.id());
    for round in 0..20 {
        let (writer, reader) = if round % 3 == 0 { (&a, &b) } else { (&b, &a) };
        let index = writer
            .append(format!("{round}").as_bytes())
            .expect("append");
        // Durable for one is durable for all, at once.
        assert_eq!(reader.tail().expect("tail"), index + 1);
        let read = reader.read(index, 100).expect("read");
        assert_eq!(read[0].payload, format!("{round}").as_bytes());
    }
    assert_eq!(read_all(&*a), read_all(&*b));
}

fn concurrent_appends_have_one_order(log: Handles<'_>) {
    let handles: Vec<_> = (0..4).map(|_| log()).collect();
    let acknowledged: Vec<(u64, String)> = thread::scope(|scope| {
        let threads: Vec<_> = handles
            .iter()
            .enumerate()
            .map(|(who, handle)| {
                scope.spawn(move || {
                    let append = |n| {
                        let text = format!("{who}.{n}");
                        (handle.append(text.as_bytes()).expect("append"), text)
                    };
                    (0..40).map(append).collect::<Vec<_>>()
                })
            })
            .collect();
        let joined = threads
            .into_iter()
            .map(|thread| thread.join().expect("join"));
        joined.flatten().collect()
    });
    let all = read_all(&*handles[0]);
    assert_eq!(all.len(), 160);
    for (index, text) in acknowledged {
        assert_eq!(all[index as usize - 1].payload, text.as_bytes());
    }
    for handle in &handles {
        assert_eq!(read_all(&**handle), all);
    }
}

fn a_wait_ends_when_another_handle_appends(log: Handles<'_>) {
    let (a, b) = (log(), log());
    for round in 0..10_u64 {
        let waiting = AtomicBool::new(false);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                waiting.store(true, Ordering::SeqCst);
                let tail = a.wait(round + 1, Duration::from_secs(20)).expect("wait");
                (tail, Instant::now())
            });
            while !waiting.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            b.append(b"now").expect("append");
            let appended = Instant::now();
            let (tail, woken) = waiter.join().expect("join");
            assert_eq!(tail, round + 2);
            let late = woken.saturating_duration_since(appended);
            // The promise is 50 ms; a loaded test machine gets more.
            assert!(late < Duration::from_secs(1), "seen only after {late:?}");
        });
    }
}

fn a_wait_ends_with_its_timeout_or_at_once(log: Handles<'_>) {
    let log = log();
    log.append(b"one").expect("append");
    let began = Instant::now();
    assert_eq!(log.wait(1, Duration::from_secs(20)).expect("wait"), 2);
    assert_eq!(log.wait(0, Duration::from_secs(20)).expect("wait"), 2);
    assert!(began.elapsed() < Duration::from_secs(5));
    let began = Instant::now();
    assert_eq!(log.wait(2, Duration::from_millis(60)).expect("wait"), 2);
    assert!(began.elapsed() >= Duration::from_millis(60));
}

fn a_wake_ends_every_wait(log: Handles<'_>) {
    let log = log();
    let began = Instant::now();
    thread::scope(|scope| {
        let waiters: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| log.wait(9, Duration::from_secs(20)).expect("wait")))
            .collect();
        // A wake before the wait began does not count for it: repeat until all are out.
        while waiters.iter().any(|waiter| !waiter.is_finished()) {
            log.wake();
            thread::yield_now();
        }
    });
    assert!(began.elapsed() < Duration::from_secs(10));
}

fn a_trimmed_prefix_is_gone(log: Handles<'_>) {
    let (a, b) = (log(), log());
    for index in 1..=30_u64 {
        a.append(&[index as u8; 2000]).expect("append");
    }
    let before = read_all(&*a);
    assert_eq!(b.read(3, 1).expect("read")[0].index, 3);
    a.trim_to(17).expect("trim");
    a.trim_to(4).expect("less than before is no error");
    let head = a.head().expect("head");
    assert!((1..=18).contains(&head), "more went than was asked: {head}");
    for log in [&a, &b] {
        assert_eq!(log.head().expect("head"), head);
        assert_eq!(log.tail().expect("tail"), 31);
        assert_eq!(read_all(&**log), before[head as usize - 1..]);
        if head > 1 {
            assert!(
                matches!(log.read(head - 1, 1), Err(Error::Trimmed { head: at }) if at == head)
            );
        }
    }
    assert_eq!(b.append(b"on").expect("append"), 31);
    // Up to the newest durable entry is as far as it goes.
    b.trim_to(31).expect("trim");
    assert!(a.head().expect("head") <= 32);
    assert_eq!(a.append(b"on").expect("append"), 32);
    assert_eq!(read_all(&*b).last().map(|record| record.index), Some(32));
}

fn what_is_not_durable_cannot_be_trimmed(log: Handles<'_>) {
    let log = log();
    assert!(matches!(log.trim_to(1), Err(Error::Invalid(_))));
    log.append(b"one").expect("append");
    assert!(matches!(log.trim_to(2), Err(Error::Invalid(_))));
    assert_eq!(read_all(&*log).len(), 1);
}

fn progress_counts_and_rests(log: Handles<'_>) {
    let log = log();
    let before = log.progress();
    for _ in 0..3 {
        log.append(b"x").expect("append");
    }
    let after = log.progress();
    assert_eq!(after.finished - before.finished, 3);
    assert_eq!(after.phase, AppendPhase::Idle);
    assert!(after.since >= before.since);
    // Of several servers the one that is asked may count a moment late.
    let deadline = Instant::now() + Duration::from_secs(30);
    while log.size_bytes().expect("size") < 3 {
        assert!(Instant::now() < deadline, "the size never grew");
        thread::park_timeout(Duration::from_millis(10));
    }
}

fn a_closed_log_opens_with_all_it_had(log: Handles<'_>) {
    let first = log();
    for index in 1..=5_u8 {
        first.append(&[index; 10]).expect("append");
    }
    let all = read_all(&*first);
    first.close().expect("close");
    let second = log();
    drop(first);
    assert_eq!(read_all(&*second), all);
    assert_eq!(second.append(b"six").expect("append"), 6);
}

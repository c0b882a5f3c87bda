//! What does an open stream cost: to open it, and to hand a post to 1, 100 and 10,000 of them?
//!
//! In process, log in memory; readers who follow one author. `open`: from the call to the sign that
//! it has caught up. `post_to_N`: from the call that posts until every stream has handed it out, all
//! read by one thread. Floor: cloning the text's handle as often.

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sns_benches::{TEXT, beside, floor, load, names};
use sns_core::{EventKind, Sns, Subscription, Username};

fn open(sns: &Sns, reader: &Username) -> Subscription {
    let mut stream = sns.subscribe(reader, None).expect("a stream");
    let event = stream.next_blocking().expect("an event");
    assert_eq!(event.kind, EventKind::CaughtUp);
    stream
}

fn subscribe(c: &mut Criterion) {
    const READERS: u16 = 10_000;
    let sns = Sns::in_memory().expect("a feed");
    let users = names(usize::from(READERS) + 1);
    load::users(&sns, &users, &mut |_| ());
    let edges = (0..READERS).map(|reader| (u32::from(reader), u32::from(READERS)));
    load::follows(&sns, &users, edges, &mut |_| ());
    let author = users[usize::from(READERS)];

    let mut group = c.benchmark_group("subscribe");
    group.throughput(Throughput::Elements(1));
    group.bench_function("open", |b| b.iter(|| open(&sns, &users[0])));
    for streams in [1, 100, READERS] {
        let mut open: Vec<Subscription> = users[..usize::from(streams)]
            .iter()
            .map(|reader| open(&sns, reader))
            .collect();
        let mut best = Duration::MAX;
        group.throughput(Throughput::Elements(u64::from(streams)));
        group.bench_function(format!("post_to_{streams}"), |b| {
            b.iter_custom(|iterations| {
                let begun = Instant::now();
                for _ in 0..iterations {
                    let start = Instant::now();
                    let post = sns.write().forget().post(&author, TEXT);
                    for stream in &mut open {
                        let event = stream.next_blocking().expect("an event");
                        assert!(matches!(event.kind, EventKind::Post(_)));
                    }
                    best = best.min(start.elapsed());
                    post.wait().expect("a post");
                }
                begun.elapsed()
            });
        });
        if best < Duration::MAX {
            let text: std::sync::Arc<str> = TEXT.into();
            let times = (0..20).map(|_| {
                let start = Instant::now();
                let all: Vec<_> = (0..streams).map(|_| text.clone()).collect();
                std::hint::black_box(all);
                start.elapsed()
            });
            let least = floor::median(times.collect());
            let what = format!("a post to {streams} streams, best");
            beside(&what, best, "as many handles of a text", least);
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    targets = subscribe
}
criterion_main!(benches);

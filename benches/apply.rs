//! How fast is a log applied by a replica that starts from nothing?
//!
//! A log in memory of 100,000 posts by 1,000 authors (100 bytes each, up to 4,096 commands an
//! entry); an iteration opens a new replica and ends when all of it is applied. Floor: copying the
//! texts.

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sns_benches::{TEXT, beside, floor, load, names};
use sns_core::Sns;
use sns_core::log::memory::MemoryLog;

const POSTS: usize = 100_000;

fn apply(c: &mut Criterion) {
    let log = MemoryLog::new();
    let sns = Sns::over_memory(log.clone()).open().expect("a feed");
    let authors = names(1_000);
    load::users(&sns, &authors, &mut |_| ());
    load::posts_in_turns(&sns, &authors, POSTS / authors.len(), TEXT, &mut |_| ());
    let mut best = Duration::MAX;
    let mut group = c.benchmark_group("apply");
    group
        .sample_size(10)
        .throughput(Throughput::Elements(POSTS as u64));
    group.bench_function("replay_100k_posts", |b| {
        b.iter_custom(|iterations| {
            let start = Instant::now();
            for _ in 0..iterations {
                let replica = Sns::over_memory(log.clone()).open().expect("a replica");
                assert_eq!(replica.status().posts, POSTS as u64);
            }
            let took = start.elapsed();
            best = best.min(took / u32::try_from(iterations).expect("a number"));
            took
        });
    });
    group.finish();
    if best < Duration::MAX {
        let least = floor::memcpy_p50(POSTS * TEXT.len());
        beside(
            "100,000 posts applied, best",
            best,
            "memcpy of their texts",
            least,
        );
    }
}

criterion_group!(benches, apply);
criterion_main!(benches);

//! How fast is a log applied by a replica that starts from nothing?
//!
//! A log in memory of 100,000 posts by 1,000 authors (100 bytes each, up to 4,096 commands an
//! entry); an iteration opens a new replica and ends when all of it is applied.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sns_benches::{InFlight, TEXT, name};
use sns_core::Sns;
use sns_core::log::memory::MemoryLog;

const POSTS: usize = 100_000;

fn apply(c: &mut Criterion) {
    let log = MemoryLog::new();
    let sns = Sns::over_memory(log.clone()).open().expect("a feed");
    let mut users = InFlight::new(1_000);
    (0..1_000).for_each(|n| users.push(sns.create_user(&name(n))));
    users.wait();
    let mut posts = InFlight::new(8_192);
    (0..POSTS).for_each(|n| posts.push(sns.post(&name(n % 1_000), TEXT)));
    posts.wait();
    let mut group = c.benchmark_group("apply");
    group
        .sample_size(10)
        .throughput(Throughput::Elements(POSTS as u64));
    group.bench_function("replay_100k_posts", |b| {
        b.iter(|| Sns::over_memory(log.clone()).open().expect("a replica"));
    });
    group.finish();
}

criterion_group!(benches, apply);
criterion_main!(benches);

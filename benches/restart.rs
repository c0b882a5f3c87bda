//! How long does a replica take to open with a million posts in its log, with its view and without?
//!
//! Directory log, 1,000,000 posts of 100 bytes by 10,000 authors, page cache warm.

use criterion::{Criterion, criterion_group, criterion_main};
use sns_benches::{InFlight, TEXT, name, note};
use sns_core::Sns;

const POSTS: usize = 1_000_000;

fn restart(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let open = || {
        Sns::builder(dir.path())
            .node("bench")
            .open()
            .expect("a feed")
    };
    let sns = open();
    let mut users = InFlight::new(8_192);
    (0..10_000).for_each(|n| users.push(sns.create_user(&name(n))));
    users.wait();
    let mut posts = InFlight::new(8_192);
    let start = std::time::Instant::now();
    (0..POSTS).for_each(|n| posts.push(sns.post(&name(n % 10_000), TEXT)));
    posts.wait();
    note(&format!(
        "1,000,000 durable posts, 8,192 in flight: {:?}",
        start.elapsed()
    ));
    let status = sns.status();
    note(&format!(
        "log: {} bytes, values in memory: {}",
        status.log_bytes, status.cache_bytes
    ));
    sns.close();
    drop(sns);
    let mut group = c.benchmark_group("open_with_1m_posts");
    group.sample_size(10);
    group.bench_function("with_its_view", |b| b.iter(|| drop(open())));
    group.bench_function("view_lost", |b| {
        b.iter(|| {
            std::fs::remove_dir_all(dir.path().join("nodes/bench/view")).expect("a view");
            drop(open());
        });
    });
    group.finish();
}

criterion_group!(benches, restart);
criterion_main!(benches);

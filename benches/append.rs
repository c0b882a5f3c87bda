//! How long does a durable post take, alone and in company?
//!
//! In process, directory log, one author, texts of 100 bytes; an iteration ends when its posts are
//! durable and visible.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sns_benches::{InFlight, TEXT, fdatasync_p50, note};
use sns_core::Sns;

fn append(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let p50 = fdatasync_p50(dir.path(), 256);
    note(&format!("bare fdatasync of 256 bytes, p50: {p50:?}"));
    let p50 = fdatasync_p50(dir.path(), 128 * 1024);
    note(&format!("bare fdatasync of 128 KiB, p50: {p50:?}"));
    let sns = Sns::open(dir.path().join("data")).expect("a feed");
    let alice = sns.user("alice").expect("a user");
    let mut group = c.benchmark_group("durable_post");
    for in_flight in [1, 1_000] {
        group.throughput(Throughput::Elements(in_flight));
        group.bench_function(format!("{in_flight}_in_flight"), |b| {
            b.iter(|| {
                let mut writes = InFlight::new(1_000);
                (0..in_flight).for_each(|_| writes.push(sns.post(&alice, TEXT)));
                writes.wait();
            });
        });
    }
    group.finish();
}

criterion_group!(benches, append);
criterion_main!(benches);

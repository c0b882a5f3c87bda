//! How long does a durable post take, alone and in company?
//!
//! In process, directory log, one author, texts of 100 bytes; an iteration ends when its posts are
//! durable and visible. Floor: a bare write of the same bytes and `fdatasync`.

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sns_benches::{InFlight, TEXT, beside, floor};
use sns_core::Sns;

fn append(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let sns = Sns::open(dir.path().join("data")).expect("a feed");
    let alice = sns.user("alice").expect("a user");
    let mut group = c.benchmark_group("durable_post");
    for in_flight in [1, 100, 1_000] {
        let (before, mut took, mut rounds) = (sns.status(), Duration::ZERO, 0);
        group.throughput(Throughput::Elements(in_flight));
        group.bench_function(format!("{in_flight}_in_flight"), |b| {
            b.iter_custom(|iterations| {
                let start = Instant::now();
                for _ in 0..iterations {
                    let mut writes = InFlight::new(1_000);
                    (0..in_flight).for_each(|_| writes.push(sns.post(&alice, TEXT)));
                    writes.wait();
                }
                took += start.elapsed();
                rounds += iterations;
                start.elapsed()
            });
        });
        if rounds == 0 {
            continue;
        }
        // What the log grew by in one iteration, synced once.
        let bytes = (sns.status().log_bytes - before.log_bytes) / rounds;
        let least = floor::fdatasync_p50(dir.path(), usize::try_from(bytes).expect("a size"));
        beside(
            &format!("{in_flight} posts in flight"),
            took.div_f64(f64::from(u32::try_from(rounds).expect("a number"))),
            &format!("bare write and fdatasync of {bytes} bytes, p50"),
            least,
        );
    }
    group.finish();
}

criterion_group!(benches, append);
criterion_main!(benches);

//! How long does it take to load a graph in process, from an edge list in memory to all of it
//! durable and applied?
//!
//! Reed98 and Slashdot (see [`GraphFile`] for where they are looked for; without them this bench
//! says so and measures nothing), directory log, users first and then follows. Floor: writing the
//! log's bytes to one file and syncing it once.

use std::io::Write as _;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sns_benches::{Graph, GraphFile, beside, load, note};
use sns_core::Sns;

/// What takes longer is measured once: ten samples would take minutes.
const LONG: Duration = Duration::from_secs(3);

fn import(c: &mut Criterion) {
    for file in [GraphFile::Reed98, GraphFile::Slashdot] {
        let graph = match file.read() {
            Ok(graph) => graph,
            Err(why) => {
                note(&format!("SKIPPED {}: {why}", file.name()));
                continue;
            }
        };
        let (mut best, bytes) = load(&graph);
        if best > LONG {
            note(&format!("{}: one run, too long for samples", file.name()));
        } else {
            let mut group = c.benchmark_group("import");
            group
                .sample_size(10)
                .throughput(Throughput::Elements(graph.follows.len() as u64));
            group.bench_function(file.name(), |b| {
                b.iter_custom(|iterations| {
                    let mut took = Duration::ZERO;
                    for _ in 0..iterations {
                        let (one, _) = load(&graph);
                        took += one;
                        best = best.min(one);
                    }
                    took
                });
            });
            group.finish();
        }
        let floor = format!("writing {bytes} bytes and syncing them");
        let what = format!("{}, best", file.name());
        beside(&what, best, &floor, written(bytes));
    }
}

/// Loads a graph into a new feed: how long that takes, and the bytes of its log.
fn load(graph: &Graph) -> (Duration, u64) {
    let dir = tempfile::tempdir().expect("a directory");
    let sns = Sns::open(dir.path()).expect("a feed");
    let start = Instant::now();
    load::users(&sns, &graph.users, &mut |_| ());
    load::follows(&sns, &graph.users, &graph.follows, &mut |_| ());
    let took = start.elapsed();
    let status = sns.status();
    assert_eq!(status.follows, graph.follows.len() as u64);
    sns.close();
    (took, status.log_bytes)
}

/// How long so many bytes take to the disk at once.
fn written(bytes: u64) -> Duration {
    let mut file = tempfile::tempfile().expect("a file");
    let payload = vec![7; usize::try_from(bytes).expect("a size")];
    let start = Instant::now();
    file.write_all(&payload).expect("a write");
    file.sync_data().expect("a sync");
    start.elapsed()
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(5));
    targets = import
}
criterion_main!(benches);

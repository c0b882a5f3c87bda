//! How long does a replica take to open, by what happened to it before?
//!
//! Directory log, 200,000 posts of 100 bytes by 10,000 authors, page cache warm; an iteration ends
//! when the replica has applied all of the log. `sns-figures restart` does it with a million posts, a
//! graph and real processes.
//!
//! - `clean`: it was closed.
//! - `unclean`: its directory is as a kill leaves it that comes two seconds after the last post: it
//!   was copied while the replica was open. `sns-figures restart` kills one that posts.
//! - `view_lost`: its view is gone and comes back from the log.
//!
//! Floor: reading the log's bytes from start to end.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sns_benches::{TEXT, beside, floor, load, names};
use sns_core::Sns;

const POSTS: usize = 200_000;

fn open(dir: &Path) -> Sns {
    Sns::builder(dir).node("bench").open().expect("a feed")
}

fn open_and_recover(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let (data, killed) = (dir.path().join("data"), dir.path().join("killed"));
    let authors = names(10_000);
    let sns = open(&data);
    load::users(&sns, &authors, &mut |_| ());
    load::posts_in_turns(&sns, &authors, POSTS / authors.len(), TEXT, &mut |_| ());
    // A copy takes a while: nothing may change meanwhile.
    let quiet = Instant::now() + Duration::from_secs(2);
    while Instant::now() < quiet {
        std::thread::park_timeout(quiet.saturating_duration_since(Instant::now()));
    }
    copy(&data, &killed);
    let log = sns.data_dir().expect("a directory").log_dir();
    sns.close();
    drop(sns);
    let (read, bytes) = floor::read_through(&log).expect("a log");

    let mut group = c.benchmark_group("open_with_200k_posts");
    group.sample_size(10).throughput(Throughput::Bytes(bytes));
    let mut bench = |name: &str, prepare: &mut dyn FnMut() -> std::path::PathBuf| {
        let mut best = Duration::MAX;
        group.bench_function(name, |b| {
            b.iter_custom(|iterations| {
                let mut took = Duration::ZERO;
                for _ in 0..iterations {
                    let dir = prepare();
                    let start = Instant::now();
                    let sns = open(&dir);
                    let one = start.elapsed();
                    assert!(sns.status().posts >= POSTS as u64);
                    sns.close();
                    took += one;
                    best = best.min(one);
                }
                took
            });
        });
        if best < Duration::MAX {
            let floor = format!("reading the {bytes} bytes of the log");
            beside(&format!("{name}, best"), best, &floor, read);
        }
    };
    bench("clean", &mut || data.clone());
    bench("unclean", &mut || {
        let copied = dir.path().join("copy");
        if copied.exists() {
            fs::remove_dir_all(&copied).expect("it goes");
        }
        copy(&killed, &copied);
        copied
    });
    bench("view_lost", &mut || {
        fs::remove_dir_all(data.join("nodes/bench/view")).expect("a view");
        data.clone()
    });
    group.finish();
}

/// Copies a directory with all that is in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let path = entry.expect("an entry").path();
        let to = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            // What is there only for a moment may be gone.
            drop(fs::copy(&path, to));
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    targets = open_and_recover
}
criterion_main!(benches);

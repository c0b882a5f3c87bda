//! How long does a home page of 20 posts take, by the number of followees?
//!
//! In process; readers follow 39 (the mean of Reed98), 403, 2,000 and 10,000 (the most) users with
//! 40 posts each of 100 bytes, made in turns, so that the newest 20 posts come from 20 authors.
//!
//! - `warm`: page 1, read again and again while nothing changes.
//! - `after_a_post`: page 1, each time after a post of somebody followed; only the read is timed.
//! - `page_20`: the page that holds posts 381 to 400, warm, by its cursor.
//! - `cold`: page 1, the first read of the reader after the directory was opened anew: nothing of it
//!   is in memory (the operating system's page cache is).
//!
//! Floor: copying the texts of the page.

use std::path::Path;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use sns_benches::{Draw, TEXT, beside, floor, name, note, reader_with_followees};
use sns_core::{Sns, Username};

const POSTS: usize = 40;

fn home_page(c: &mut Criterion) {
    for followees in [39, 403, 2_000, 10_000] {
        let mut group = c.benchmark_group(format!("home_page/{followees}_followees"));
        group.throughput(Throughput::Elements(1));
        let dir = tempfile::tempdir().expect("a directory");
        let open = || open(dir.path());
        let sns = open();
        let reader = reader_with_followees(&sns, followees, POSTS);
        let page = sns.home(&reader).page().expect("a page");
        assert_eq!(page.items.len(), 20);
        let bytes: usize = page.items.iter().map(|post| post.text.as_str().len()).sum();
        note(&format!(
            "{followees} followees: a page holds {bytes} bytes of text"
        ));

        warm(&mut group, &sns, &reader, bytes);
        page_20(&mut group, &sns, &reader);
        sns.close();
        drop(sns);

        group.sample_size(10);
        group.bench_function("cold", |b| {
            b.iter_custom(|iterations| {
                let mut took = Duration::ZERO;
                for _ in 0..iterations {
                    let sns = open();
                    let start = Instant::now();
                    let page = sns.home(&reader).page().expect("a page");
                    took += start.elapsed();
                    assert_eq!(page.items.len(), 20);
                    sns.close();
                }
                took
            });
        });
        group.finish();
        after_a_post(c, followees);
    }
}

fn open(dir: &Path) -> Sns {
    Sns::builder(dir).node("bench").open().expect("a feed")
}

fn warm(group: &mut BenchmarkGroup<'_, WallTime>, sns: &Sns, reader: &Username, bytes: usize) {
    let mut best = Duration::MAX;
    group.bench_function("warm", |b| {
        b.iter_custom(|iterations| {
            let start = Instant::now();
            for _ in 0..iterations {
                std::hint::black_box(sns.home(reader).page().expect("a page"));
            }
            let took = start.elapsed();
            best = best.min(took.div_f64(f64::from(u32::try_from(iterations).expect("a number"))));
            took
        });
    });
    if best < Duration::MAX {
        let least = floor::memcpy_p50(bytes);
        beside("warm, best", best, "memcpy of its text", least);
    }
}

fn page_20(group: &mut BenchmarkGroup<'_, WallTime>, sns: &Sns, reader: &Username) {
    let mut cursor: Option<String> = None;
    for _ in 0..19 {
        let page = sns.home(reader);
        let page = match &cursor {
            Some(cursor) => page.cursor(cursor),
            None => page,
        };
        cursor = page.page().expect("a page").next;
    }
    let cursor = cursor.expect("there are more than 400 posts");
    group.bench_function("page_20", |b| {
        b.iter(|| sns.home(reader).cursor(&cursor).page().expect("a page"));
    });
}

/// In memory: a durable post before each read would take most of the time.
fn after_a_post(c: &mut Criterion, followees: usize) {
    let mut group = c.benchmark_group(format!("home_page/{followees}_followees"));
    group.throughput(Throughput::Elements(1));
    let sns = Sns::in_memory().expect("a feed");
    let reader = reader_with_followees(&sns, followees, 20);
    let mut draw = Draw::new(1);
    group.bench_function("after_a_post", |b| {
        b.iter_custom(|iterations| {
            let mut took = Duration::ZERO;
            for _ in 0..iterations {
                let author = name(1 + draw.below(followees));
                let post = sns.write().forget().post(&author, TEXT);
                post.wait().expect("a post");
                let start = Instant::now();
                std::hint::black_box(sns.home(&reader).page().expect("a page"));
                took += start.elapsed();
            }
            took
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    targets = home_page
}
criterion_main!(benches);

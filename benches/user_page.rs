//! How long does a page of 20 posts of one user take?
//!
//! In process; one author with 2,000 posts of 100 bytes. `warm`: the newest page and the 20th, read
//! again and again. `cold`: the newest page, the first read after the directory was opened anew (the
//! operating system's page cache is warm). Floor: copying the texts of the page.

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sns_benches::{TEXT, beside, floor, load, name};
use sns_core::{Seq, Sns};

fn user_page(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let open = || Sns::builder(dir.path()).node("bench").open();
    let sns = open().expect("a feed");
    let author = sns.user(name(0).as_str()).expect("a user");
    load::posts_in_turns(&sns, &[author], 2_000, TEXT, &mut |_| ());
    let deep = sns.posts_of(&author).limit(200);
    let first = deep.page().expect("a page");
    let next = deep
        .cursor(&first.next.expect("more"))
        .page()
        .expect("a page");
    let before = next.items[179].id;

    let mut group = c.benchmark_group("user_page");
    group.throughput(Throughput::Elements(1));
    for (what, before) in [("warm_page_1", Seq::MAX), ("warm_page_20", before)] {
        let mut best = Duration::MAX;
        group.bench_function(what, |b| {
            b.iter_custom(|iterations| {
                let start = Instant::now();
                for _ in 0..iterations {
                    let page = sns.posts_of(&author).before(before).page();
                    assert_eq!(page.expect("a page").items.len(), 20);
                }
                let took = start.elapsed();
                let each = f64::from(u32::try_from(iterations).expect("a number"));
                best = best.min(took.div_f64(each));
                took
            });
        });
        if best < Duration::MAX {
            let least = floor::memcpy_p50(20 * TEXT.len());
            beside(&format!("{what}, best"), best, "memcpy of its text", least);
        }
    }
    sns.close();
    drop(sns);
    group.sample_size(10);
    group.bench_function("cold", |b| {
        b.iter_custom(|iterations| {
            let mut took = Duration::ZERO;
            for _ in 0..iterations {
                let sns = open().expect("a feed");
                let start = Instant::now();
                let page = sns.posts_of(&author).page().expect("a page");
                took += start.elapsed();
                assert_eq!(page.items.len(), 20);
                sns.close();
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
    targets = user_page
}
criterion_main!(benches);

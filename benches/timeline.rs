//! How long does a home page of 20 posts take, warm, by the number of followees?
//!
//! In process, one reader, 20 posts an author of 100 bytes each, made in turns, so that the newest
//! 20 posts come from 20 authors.

use criterion::{Criterion, criterion_group, criterion_main};
use sns_benches::{note, reader_with_followees};
use sns_core::Sns;

fn timeline(c: &mut Criterion) {
    let mut group = c.benchmark_group("home_page_of_20");
    for followees in [39, 1_000, 10_000] {
        let sns = Sns::in_memory().expect("a feed");
        let reader = reader_with_followees(&sns, followees, 20);
        let page = sns.home(&reader).page().expect("a page");
        assert_eq!(page.items.len(), 20);
        let bytes: usize = page.items.iter().map(|post| post.text.as_str().len()).sum();
        note(&format!(
            "{followees} followees: a page holds {bytes} bytes of text"
        ));
        group.bench_function(format!("{followees}_followees"), |b| {
            b.iter(|| sns.home(&reader).page().expect("a page"));
        });
    }
    group.finish();
}

criterion_group!(benches, timeline);
criterion_main!(benches);

//! Goal 9: durable posts and home pages a second by posts stored, in process.
//!
//! 10,000 users who follow 10 others each; posts of 64 bytes, so that ten million fit on a disk, by
//! authors drawn at random. At each size: posts a second with 1,000 in flight from one thread, and
//! home pages of random readers on two threads with nothing written; each three times, the middle
//! one. Ends early without harm: each size is written down as soon as it is measured.

use std::time::Duration;

use clap::Args;
use serde_json::json;
use sns_benches::{Draw, load, names, text};
use sns_core::Sns;

use crate::run::{self, Result, Run};
use crate::{pages, posts, system};

/// Who posts and reads.
const USERS: usize = 10_000;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Posts stored.
    #[arg(long, value_delimiter = ',')]
    stored: Vec<u64>,
    /// Bytes of a post.
    #[arg(long, default_value_t = 64)]
    text_bytes: usize,
}

pub(crate) fn run(run: &Run, options: &Options) -> Result<()> {
    let mut sizes = options.stored.clone();
    if sizes.is_empty() {
        sizes = run.pick(
            vec![100_000, 1_000_000, 10_000_000],
            vec![100_000, 1_000_000],
        );
    }
    let time = Duration::from_secs(run.pick(2, 1));
    let dir = run.scratch()?;
    let sns = Sns::open(dir.path())?;
    let users = names(USERS);
    load::users(&sns, &users, &mut |_| ());
    let follows = (0..USERS as u32).flat_map(|user| {
        let next = move |n: u32| (user + n * 997) % USERS as u32;
        (1..=10).map(move |n| (user, next(n)))
    });
    load::follows(&sns, &users, follows, &mut |_| ());
    let text = text(options.text_bytes);
    let (mut draw, mut rows, mut first) = (Draw::new(6), Vec::new(), None);
    for size in sizes {
        let missing = size.saturating_sub(sns.status().posts) as usize;
        let bar = run::bar(format!("{size} posts"), missing as u64);
        let authors = (0..missing).map(|_| &users[draw.below(USERS)]);
        load::posts(&sns, authors, &text, &mut |more| bar.inc(more));
        bar.finish_and_clear();
        // What came before is still being written to the view; that is measured by `posts`.
        let mut pages_per_s = Vec::new();
        for _ in 0..run.pick(3, 1) {
            system::settle();
            let read = pages::measure(&sns, &users, &users, &pages::Load::reads(2, time));
            pages_per_s.push(read.pages_per_s);
        }
        let mut posts_per_s = Vec::new();
        for _ in 0..run.pick(3, 1) {
            system::settle();
            let posted = posts::measure(&sns, &users, &text, 1_000, 1, time / 2);
            posts_per_s.push(posted.per_s);
        }
        let (posts, pages) = (middle(posts_per_s), middle(pages_per_s));
        let (first_posts, first_pages) = *first.get_or_insert((posts, pages));
        let disk = system::disk_bytes(dir.path());
        rows.push(vec![
            run::count(size as f64),
            run::count(posts),
            format!("{:+.1}%", (posts / first_posts - 1.0) * 100.0),
            run::count(pages),
            format!("{:+.1}%", (pages / first_pages - 1.0) * 100.0),
            run::count(disk as f64 / f64::from(1 << 20)),
        ]);
        run.record.add(
            "growth",
            &json!({
                "graph": format!("{USERS} users, 10 follows each"),
                "durability": "fdatasync",
                "posts_stored": size,
                "text_bytes": options.text_bytes,
                "in_flight": 1_000,
                "posts_per_s": run::round(posts),
                "pages_per_s": run::round(pages),
                "posts_to_first": run::round(posts / first_posts),
                "pages_to_first": run::round(pages / first_pages),
                "disk_bytes": disk,
            }),
        )?;
    }
    sns.close();
    run::table(
        "Goal 9: throughput by posts stored (within 10% of the first line?)",
        &["posts stored", "posts/s", "", "pages/s", "", "disk MiB"],
        &rows,
    );
    Ok(())
}

fn middle(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(0.0)
}

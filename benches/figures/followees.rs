//! What a home page of 20 costs by followees, in process, in memory: read again while nothing
//! changes, and read after each post of somebody followed.
//!
//! One reader for each number of followees; authors have 20 posts of 100 bytes each, made in turns,
//! so that the newest 20 come from 20 authors. The log is in memory: only the read is timed.

use std::time::Instant;

use clap::Args;
use serde_json::json;
use sns_benches::{Draw, TEXT, floor, load, names};
use sns_core::Sns;

use crate::run::{self, Result, Run};
use crate::watch::Times;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Followees of a reader; 10,000 at most.
    #[arg(long, value_delimiter = ',')]
    #[arg(default_values_t = [10, 39, 100, 403, 1_000, 2_000, 5_000, 10_000])]
    followees: Vec<u32>,
}

/// Posts an author.
const POSTS: usize = 20;

pub(crate) fn run(run: &Run, options: &Options) -> Result<()> {
    let most = options.followees.iter().copied().max().unwrap_or(0);
    let readers = u32::try_from(options.followees.len())?;
    let reads = run.pick(2_000, 200);
    let sns = Sns::in_memory()?;
    // First the authors, then the readers.
    let users = names((most + readers) as usize);
    let follows = (0..)
        .zip(&options.followees)
        .flat_map(|(reader, &followees)| (0..followees).map(move |author| (most + reader, author)));
    let total = u64::from(options.followees.iter().sum::<u32>()) + u64::from(most) * POSTS as u64;
    let bar = run::bar("filling", total);
    let mut tick = |more| bar.inc(more);
    load::users(&sns, &users, &mut |_| ());
    load::follows(&sns, &users, follows, &mut tick);
    load::posts_in_turns(&sns, &users[..most as usize], POSTS, TEXT, &mut tick);
    bar.finish_and_clear();

    let bar = run::bar("reading", options.followees.len() as u64);
    let (mut rows, mut draw) = (Vec::new(), Draw::new(4));
    for (at, &followees) in options.followees.iter().enumerate() {
        let reader = users[most as usize + at];
        let page = sns.home(&reader).page()?;
        let bytes: usize = page.items.iter().map(|it| it.text.as_str().len()).sum();
        let copy = floor::memcpy_p50(bytes);
        let (mut same, mut changed) = (Times::new(), Times::new());
        for _ in 0..reads {
            let start = Instant::now();
            std::hint::black_box(sns.home(&reader).page()?);
            same.add(start.elapsed());
        }
        for _ in 0..reads {
            let author = &users[draw.below(followees as usize)];
            sns.write().forget().post(author, TEXT).wait()?;
            let start = Instant::now();
            std::hint::black_box(sns.home(&reader).page()?);
            changed.add(start.elapsed());
        }
        rows.push(vec![
            run::count(f64::from(followees)),
            format!("{:.2} us", run::micros(same.p50())),
            format!("{:.2} us", run::micros(same.p99())),
            format!("{:.2} us", run::micros(changed.p50())),
            format!("{:.2} us", run::micros(changed.p99())),
            format!("{:.3} us", run::micros(copy)),
        ]);
        run.record.add(
            "followees",
            &json!({
                "graph": "one reader",
                "followees": followees,
                "unchanged_p50_us": run::micros(same.p50()),
                "unchanged_p99_us": run::micros(same.p99()),
                "after_post_p50_us": run::micros(changed.p50()),
                "after_post_p99_us": run::micros(changed.p99()),
                "page_bytes": bytes,
                "floor_memcpy_us": run::micros(copy),
            }),
        )?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    run::table(
        "A home page of 20 by followees, in process, in memory",
        &[
            "followees",
            "unchanged p50",
            "p99",
            "after a post p50",
            "p99",
            "memcpy of its text",
        ],
        &rows,
    );
    Ok(())
}

//! Goal 8: memory and disk by users: 10 follows a user in the mean, one recent post of 256
//! characters each.
//!
//! Half of the users follow 2 others, some 8 or 24, one in twenty 60; whom they follow is skewed: of
//! a million users the best known has some 90,000 followers. Memory is that of a process that holds
//! one replica and nothing else: filled, and opened anew by another process that then reads the home
//! page of every user. The cache has its default size.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};
use sns_benches::{Draw, load, name, names, text};
use sns_core::Sns;

use crate::child::{self, Process};
use crate::run::{self, Result, Run};
use crate::system;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Users.
    #[arg(long, value_delimiter = ',')]
    users: Vec<usize>,
    /// Bytes of a post.
    #[arg(long, default_value_t = 256)]
    text_bytes: usize,
}

/// What a child fills or reads.
#[derive(Clone, Debug, Args)]
pub(crate) struct Size {
    /// The data directory.
    #[arg(long)]
    data: PathBuf,
    /// Users.
    #[arg(long)]
    users: usize,
    /// Bytes of a post.
    #[arg(long)]
    text_bytes: usize,
}

pub(crate) fn run(run: &Run, options: &Options) -> Result<()> {
    let mut users = options.users.clone();
    if users.is_empty() {
        users = run.pick(vec![10_000, 100_000, 1_000_000], vec![1_000, 10_000]);
    }
    let mut rows = Vec::new();
    for users in users {
        let dir = run.scratch()?;
        let size = Size {
            data: dir.path().join("data"),
            users,
            text_bytes: options.text_bytes,
        };
        let filled = measured("fill", &size)?;
        let view = size.data.join("nodes").join(child::NODE);
        let read = measured("read-all", &size)?;
        let number = |of: &Value, key: &str| of[key].as_f64().unwrap_or(0.0);
        let (log, view) = (
            system::disk_bytes(&size.data.join("log")) as f64,
            system::disk_bytes(&view) as f64,
        );
        let snapshot = number(&read, "snapshot_bytes");
        let texts = (users * options.text_bytes) as f64;
        let given = number(&filled, "given_bytes");
        let mib = |bytes: f64| format!("{:.1}", bytes / f64::from(1 << 20));
        rows.push(vec![
            run::count(users as f64),
            run::count(number(&filled, "follows")),
            mib(number(&filled, "rss_kib") * 1024.0),
            mib(number(&read, "rss_open_kib") * 1024.0),
            mib(number(&read, "rss_kib") * 1024.0),
            mib(texts),
            mib(given),
            mib(log),
            mib(view),
            mib(snapshot),
            format!("{:.2}x", (log + view + snapshot) / texts),
            format!("{:.2}x", (log + view + snapshot) / given),
            format!("{:.1} s", number(&filled, "seconds")),
        ]);
        run.record.add(
            "memory",
            &json!({
                "graph": "generated, skewed, 10 follows a user",
                "durability": "fdatasync",
                "users": users,
                "follows": filled["follows"],
                "posts": users,
                "text_bytes": options.text_bytes,
                "rss_loaded_mib": run::round(number(&filled, "rss_kib") / 1024.0),
                "rss_loaded_peak_mib": run::round(number(&filled, "peak_kib") / 1024.0),
                "rss_opened_mib": run::round(number(&read, "rss_open_kib") / 1024.0),
                "rss_read_mib": run::round(number(&read, "rss_kib") / 1024.0),
                "read_pages_per_s": read["pages_per_s"],
                "text_total_bytes": texts,
                "given_bytes": given,
                "log_bytes": log,
                "view_bytes": view,
                "snapshot_bytes": snapshot,
                "disk_to_texts": run::round((log + view + snapshot) / texts),
                "disk_to_given": run::round((log + view + snapshot) / given),
                "load_s": filled["seconds"],
            }),
        )?;
    }
    run::table(
        "Goal 8: resident memory and disk, MiB (given: texts and names of all that was written)",
        &[
            "users",
            "follows",
            "loaded",
            "opened",
            "all pages read",
            "texts",
            "given",
            "log",
            "view",
            "snapshot",
            "disk/texts",
            "disk/given",
            "loading",
        ],
        &rows,
    );
    Ok(())
}

/// Runs a child to its end; what it said.
fn measured(what: &str, size: &Size) -> Result<Value> {
    let mut command = child::command()?;
    command.arg(what).arg("--data").arg(&size.data);
    command.args(["--users", &size.users.to_string()]);
    command.args(["--text-bytes", &size.text_bytes.to_string()]);
    let mut process = Process::start(&mut command)?;
    let said = process.hear()?;
    process.end()?;
    Ok(said)
}

/// Whom a user follows: 10 others in the mean.
fn followees(user: usize, users: usize) -> Vec<u32> {
    let mut draw = Draw::new(user as u64 ^ 0x5eed);
    let count = match draw.below(20) {
        0..10 => 2,
        10..16 => 8,
        16..19 => 24,
        _ => 60,
    };
    let mut chosen = Vec::with_capacity(count);
    while chosen.len() < count {
        let followee = (users as f64 * draw.unit().powi(3)) as usize;
        if followee != user && !chosen.contains(&(followee as u32)) {
            chosen.push(followee as u32);
        }
    }
    chosen
}

/// The child that fills a feed.
pub(crate) fn fill(size: &Size) -> Result<()> {
    let begun = Instant::now();
    let sns = child::open_feed(&size.data)?;
    let text = text(size.text_bytes);
    let bar = run::bar(
        format!("{} users: filling", size.users),
        12 * size.users as u64,
    );
    let mut tick = |more| bar.inc(more);
    // The names go before memory is looked at.
    let all = names(size.users);
    load::users(&sns, &all, &mut tick);
    let edges = (0..size.users).flat_map(|user| {
        followees(user, size.users)
            .into_iter()
            .map(move |followee| (user as u32, followee))
    });
    load::follows(&sns, &all, edges, &mut tick);
    load::posts(&sns, &all, &text, &mut tick);
    drop(all);
    bar.finish_and_clear();
    let status = sns.status();
    let name_bytes = name(0).as_str().len() as u64;
    let names = status.users + 2 * status.follows + status.posts;
    child::say(&json!({
        "rss_kib": system::rss_kib(std::process::id()),
        "peak_kib": system::peak_kib(std::process::id()),
        "follows": status.follows,
        "given_bytes": name_bytes * names + status.posts * size.text_bytes as u64,
        "seconds": run::round(begun.elapsed().as_secs_f64()),
    }))?;
    child::wait_for_end()?;
    sns.close();
    Ok(())
}

/// The child that opens what was filled and reads the home page of every user.
pub(crate) fn read_all(size: &Size) -> Result<()> {
    let sns = child::open_feed(&size.data)?;
    let opened = system::rss_kib(std::process::id());
    let bar = run::bar(format!("{} users: reading", size.users), size.users as u64);
    let begun = Instant::now();
    let half = size.users / 2;
    thread::scope(|scope| {
        for part in [0..half, half..size.users] {
            let (sns, bar) = (&sns, &bar);
            scope.spawn(move || {
                for user in part {
                    drop(std::hint::black_box(sns.home(&name(user)).page()));
                    if user % 1_024 == 0 {
                        bar.inc(1_024);
                    }
                }
            });
        }
    });
    let pages_per_s = size.users as f64 / begun.elapsed().as_secs_f64();
    bar.finish_and_clear();
    let rss = system::rss_kib(std::process::id());
    child::say(&json!({
        "rss_open_kib": opened,
        "rss_kib": rss,
        "pages_per_s": run::round(pages_per_s),
        "snapshot_bytes": snapshot(&sns, &size.data)?,
    }))?;
    child::wait_for_end()?;
    sns.close();
    Ok(())
}

/// Bytes of a snapshot on the disk.
fn snapshot(sns: &Sns, data: &Path) -> Result<u64> {
    sns.create_snapshot()?;
    Ok(system::disk_bytes(&data.join("snapshots")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_follow_ten_others_in_the_mean_and_never_themselves() {
        let users = 2_000;
        let total: usize = (0..users)
            .map(|user| {
                let mut chosen = followees(user, users);
                assert!(
                    chosen
                        .iter()
                        .all(|&it| it as usize != user && (it as usize) < users)
                );
                let count = chosen.len();
                chosen.sort_unstable();
                chosen.dedup();
                assert_eq!(chosen.len(), count);
                count
            })
            .sum();
        assert!((9 * users..11 * users).contains(&total), "{total}");
    }
}

//! Bulk load: users, follows and posts from files, beside running servers, as a node of its own.
//!
//! Every line is checked before the first is written. The commands carry no request ids, so an
//! import does not push out what the servers remember of their clients; a second run changes no
//! follow, but it posts again. `--all` makes a whole feed of an export.

mod all;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod load;
mod source;

use std::path::Path;
use std::time::Instant;

use serde::Serialize;
use sns_core::{Reason, Sns};
use tokio_util::sync::CancellationToken;

use crate::config::{DataConfig, ImportConfig};
use crate::failure::{Failure, Result};
use crate::pair::process::lock_holder;
use crate::progress::Bar;
use load::Loader;
use source::{Kind, Line, Skipped, Source};

/// Imports that run at the same time on one data directory.
const NODES: usize = 8;

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// Users that this run made.
    pub users: u64,
    /// Follows that this run made.
    pub follows: u64,
    /// Follows that were there already.
    pub already_following: u64,
    /// Follows refused because a user follows as many as can be.
    pub too_many_followees: u64,
    /// Posts that this run made.
    pub posts: u64,
    /// Lines read, skipped ones too.
    pub lines: u64,
    /// Lines that are comments.
    pub comments: u64,
    /// Lines that are empty.
    pub empty: u64,
    /// Lines in which somebody follows themselves.
    pub self_loops: u64,
    /// The highest seq that this run wrote; 0 when it wrote nothing.
    pub seq: u64,
    /// How long it took, milliseconds.
    pub elapsed_ms: u64,
}

/// Checks the files, loads them, and returns when all of it is durable and applied here. Blocks:
/// call it on a thread of its own. `stop` ends it between two lines.
///
/// # Errors
/// `Invalid`: a bad line; nothing was written. Else as the log refused: what was written stays, and
/// the message says how far it came. `Exhausted` (`TOO_MANY_FOLLOWEES`): all else was loaded.
/// # Durability
/// On return everything counted in the summary survives a power cut.
pub fn run(config: &ImportConfig, json: bool, stop: &CancellationToken) -> Result<Summary> {
    let started = Instant::now();
    if let Some(file) = &config.all {
        all::run(&config.data, file, json, stop)?;
        return Ok(Summary::default());
    }
    let sources = sources(config);
    let mut checked = Summary::default();
    let bar = FileBar::new("checking", &sources);
    for source in &sources {
        let read = source.lines(|line, read| {
            checked.count_line(&line);
            bar.at(read);
            stopped(stop)
        });
        read.map_err(|why| Failure {
            message: format!("{}; nothing was written", why.message),
            ..why
        })?;
        bar.finish_file(source);
    }
    bar.clear();

    let sns = open(&config.data)?;
    let loaded = load(&sns, config, &sources, checked, stop);
    // Also after a failure: what was written is brought to disk.
    sns.close();
    let mut summary = loaded?;
    summary.elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    summary.print(json)?;
    if summary.too_many_followees > 0 {
        let message = format!(
            "{} follows were left out: a user can follow {} others at most; all else was loaded",
            summary.too_many_followees,
            sns_core::limits::FOLLOWEES
        );
        return Err(sns_core::Error::new(Reason::TooManyFollowees, message).into());
    }
    Ok(summary)
}

fn sources(config: &ImportConfig) -> Vec<Source> {
    // In this order: posts come last, so that they reach those who follow.
    [
        (&config.users, Kind::Users),
        (&config.follows, Kind::Follows),
        (&config.posts, Kind::Posts),
    ]
    .into_iter()
    .filter_map(|(path, kind)| {
        let path = path.clone()?;
        Some(Source { path, kind })
    })
    .collect()
}

fn load(
    sns: &Sns,
    config: &ImportConfig,
    sources: &[Source],
    checked: Summary,
    stop: &CancellationToken,
) -> Result<Summary> {
    let bar = FileBar::new("loading", sources);
    let mut loader = Loader::new(sns, checked);
    for source in sources {
        let read = source.lines(|line, read| {
            bar.at(read);
            stopped(stop)?;
            match line {
                Line::User(user) => loader.user(user),
                Line::Follow(user, followee) => {
                    loader.follow(user, followee)?;
                    if config.undirected {
                        loader.follow(followee, user)?;
                    }
                    Ok(())
                }
                Line::Post(author, text) => loader.post(author, &text),
                Line::Skipped(_) => Ok(()),
            }
        });
        // What is under way is waited for in any case: then the counts are true.
        let settled = loader.settle();
        if let Err(why) = read.and(settled) {
            return Err(loader.unfinished(&why));
        }
        bar.finish_file(source);
    }
    bar.clear();
    Ok(loader.summary())
}

fn stopped(stop: &CancellationToken) -> Result<()> {
    if stop.is_cancelled() {
        return Err(Failure::unavailable("the import was asked to stop"));
    }
    Ok(())
}

/// Opens the data as the first free node of `import-0`, `import-1`, …
fn open(config: &DataConfig) -> Result<Sns> {
    let dir = config.open()?;
    for number in 0..NODES {
        let node = format!("import-{number}");
        let lock = dir.node_dir(&node).join("lock");
        // Asked without touching the lock, which would make an import that starts now give up.
        let taken = || {
            let holder = lock_holder(&lock);
            holder.map_err(|e| Failure::io("cannot tell which imports run", &e))
        };
        if taken()?.is_some() {
            continue;
        }
        let opened = config.builder(&node)?.node(&node).open();
        match opened {
            // Another import took the name in between.
            Err(_) if taken()?.is_some() => {}
            opened => return Ok(opened?),
        }
    }
    Err(Failure::unavailable(format!(
        "{NODES} imports run on {} already: wait for one to end",
        shown(&config.path)
    )))
}

fn shown(path: &Path) -> String {
    crate::telemetry::escaped(&path.display().to_string())
}

impl Summary {
    fn count_line(&mut self, line: &Line) {
        self.lines += 1;
        match line {
            Line::Skipped(Skipped::Comment) => self.comments += 1,
            Line::Skipped(Skipped::Empty) => self.empty += 1,
            Line::Skipped(Skipped::SelfLoop) => self.self_loops += 1,
            _ => {}
        }
    }

    fn print(&self, json: bool) -> Result<()> {
        if json {
            let object = serde_json::to_string(self).map_err(|e| {
                Failure::new(sns_core::ErrorKind::Internal, format!("no summary: {e}"))
            })?;
            return crate::output::line(&object);
        }
        let loaded = format!(
            "loaded {} users, {} follows and {} posts",
            self.users, self.follows, self.posts
        );
        let rest = [
            (self.already_following, "follows were there already"),
            (self.self_loops, "self-loops were skipped"),
            (self.too_many_followees, "follows were too many"),
        ];
        let rest = rest
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"));
        let parts: Vec<String> = std::iter::once(loaded).chain(rest).collect();
        crate::output::line(&parts.join("; "))
    }
}

/// A progress bar by bytes of the files.
struct FileBar {
    bar: Bar,
    done: std::cell::Cell<u64>,
}

impl FileBar {
    fn new(what: &'static str, sources: &[Source]) -> Self {
        let total = sources.iter().map(Source::size).sum();
        Self {
            bar: Bar::bytes(what, total),
            done: std::cell::Cell::new(0),
        }
    }

    fn at(&self, read: u64) {
        self.bar.at(self.done.get() + read);
    }

    fn finish_file(&self, source: &Source) {
        self.done.set(self.done.get() + source.size());
    }

    fn clear(&self) {
        self.bar.clear();
    }
}

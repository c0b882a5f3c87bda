//! A million posts, as fast as the disk takes them, in bounded memory.
//!
//! ```text
//! cargo run --release -p sns-core --example bulk_load -- DIR [--posts 1000000] [--window 8192]
//! ```
//!
//! A write is under way as soon as its verb is called; its [`Pending`] is only how one hears of the
//! outcome. So many are kept under way at once (`--window`), and the oldest is waited for: whatever
//! queued up while the disk synced goes into the log as one entry, so that thousands of posts share
//! one sync. With `--window 1` each post waits for a sync of its own: try it.
//!
//! Try to break it: kill it in mid load, and count what is there (`sns-server log verify`): never
//! less than it had said. Start two at once on one directory. Give a window over the queue's bound
//! (16,384): the load slows down by itself, because a refusal is waited out.

use std::collections::VecDeque;
use std::process::ExitCode;
use std::time::Instant;

use sns_core::{Error, Pending, Post, Reason, Result, Sns, Username, limits};

/// Who posts.
const AUTHORS: usize = 1_000;

struct Asked {
    dir: String,
    posts: usize,
    window: usize,
}

#[allow(clippy::print_stderr, reason = "an example says what went wrong")]
fn main() -> ExitCode {
    match asked().and_then(|asked| load(&asked)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bulk_load: {error}");
            ExitCode::from(2)
        }
    }
}

fn asked() -> Result<Asked> {
    const USAGE: &str = "usage: bulk_load DIR [--posts N] [--window N], with numbers from 1 on";
    let usage = || Error::invalid(USAGE);
    let mut args = std::env::args().skip(1);
    let mut asked = Asked {
        dir: args
            .next()
            .filter(|a| !a.starts_with('-'))
            .ok_or_else(usage)?,
        posts: 1_000_000,
        window: limits::QUEUE_COMMANDS / 2,
    };
    while let Some(flag) = args.next() {
        let number = args.next().and_then(|n| n.parse().ok()).filter(|&n| n > 0);
        let number: usize = number.ok_or_else(usage)?;
        match flag.as_str() {
            "--posts" => asked.posts = number,
            "--window" => asked.window = number,
            _ => return Err(usage()),
        }
    }
    Ok(asked)
}

/// Posts under way, oldest first, never more than asked for.
struct Window {
    under_way: VecDeque<Pending<Post>>,
    most: usize,
    durable: usize,
}

impl Window {
    /// Takes one more in; first waits for the oldest if there is no room.
    fn push(&mut self, pending: Pending<Post>) -> Result<()> {
        if self.under_way.len() >= self.most {
            self.wait_for_oldest()?;
        }
        self.under_way.push_back(pending);
        Ok(())
    }

    fn wait_for_oldest(&mut self) -> Result<()> {
        if let Some(oldest) = self.under_way.pop_front() {
            oldest.wait()?;
            self.durable += 1;
        }
        Ok(())
    }
}

#[allow(clippy::print_stdout, reason = "an example shows what it does")]
fn load(asked: &Asked) -> Result<()> {
    let sns = Sns::open(&asked.dir)?;
    let names = (0..AUTHORS).map(|n| Username::parse(&format!("author{n}")));
    let authors = names.collect::<Result<Vec<_>>>()?;
    // All under way at once, then all waited for: a thousand users, a handful of syncs.
    let made: Vec<_> = authors.iter().map(|name| sns.create_user(name)).collect();
    made.into_iter()
        .try_for_each(|user| user.wait().map(drop))?;

    let (log_before, appends_before) = (sns.status().log_bytes, sns.progress().append.finished);
    let began = Instant::now();
    let mut window = Window {
        under_way: VecDeque::new(),
        most: asked.window,
        durable: 0,
    };
    let step = (asked.posts / 10).max(1);
    for n in 0..asked.posts {
        let text = format!("post {n} of a bulk load");
        post(&sns, &authors[n % AUTHORS], &text, &mut window)?;
        if (n + 1) % step == 0 {
            println!("{:>9} durable, {:.1?}", window.durable, began.elapsed());
        }
    }
    while !window.under_way.is_empty() {
        window.wait_for_oldest()?;
    }

    let took = began.elapsed();
    let status = sns.status();
    let appends = sns.progress().append.finished - appends_before;
    #[allow(clippy::cast_precision_loss, reason = "figures for a human")]
    let per_second = window.durable as f64 / took.as_secs_f64();
    println!(
        "{} posts in {took:.2?}: {per_second:.0} a second, {appends} entries, {} bytes of log a post",
        window.durable,
        (status.log_bytes - log_before) / window.durable as u64,
    );
    println!("{} posts are there, digest {}", status.posts, status.digest);
    sns.close();
    Ok(())
}

/// Posts once there is room for it: a full queue is a refusal that ends.
fn post(sns: &Sns, author: &Username, text: &str, window: &mut Window) -> Result<()> {
    loop {
        // Not remembered: this load is never retried post by post, so a request id would only take
        // room among the 1,000,000 that are.
        let mut pending = sns.write().forget().post(author, text);
        // A refusal of the queue is there at once; nothing was written then.
        match pending.try_wait() {
            Some(Err(error)) if error.reason() == Reason::Overloaded => {
                // Ours is what fills it, so room comes with the oldest.
                if window.under_way.is_empty() {
                    return Err(error);
                }
                window.wait_for_oldest()?;
            }
            Some(outcome) => {
                outcome?;
                window.durable += 1;
                return Ok(());
            }
            None => return window.push(pending),
        }
    }
}

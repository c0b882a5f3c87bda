//! Two processes, one feed, and one of them is killed.
//!
//! No server runs and nothing is shared but a directory: the program starts itself a second time, as
//! `bob`, who posts as fast as he can and prints what was acknowledged to him. The first process is
//! `alice`, who reads bob's posts live, then kills him with SIGKILL in the middle of it, looks for
//! everything that he was told is durable, posts on at once, and starts him anew.
//!
//! ```text
//! cargo run -p sns-core --example two_processes
//! ```
//!
//! Try to break it: kill alice instead, stop bob with `kill -STOP` (his lock is held for
//! microseconds: alice goes on), delete `nodes/` between two runs (views are rebuilt from the log).

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use sns_core::{Error, EventKind, Post, Result, Seq, Sns, Username};

/// Posts that alice reads live before she kills him.
const UNTIL_KILLED: usize = 50;

fn main() -> Result<()> {
    if let Some(dir) = std::env::args_os().nth(1) {
        return bob(Path::new(&dir));
    }
    let dir = std::env::temp_dir().join(format!("two-processes-{}", std::process::id()));
    let shown = alice(&dir);
    std::fs::remove_dir_all(&dir).map_err(failed)?;
    shown
}

fn failed(error: std::io::Error) -> Error {
    Error::invalid(error.to_string()).with_source(error)
}

/// The other process: posts until it is killed, and says what was acknowledged.
fn bob(dir: &Path) -> Result<()> {
    let sns = Sns::open(dir)?;
    let bob = sns.user("bob")?;
    // He does not know what he did before he was killed; the feed does.
    let last = sns.posts_of(&bob).limit(1).page()?.items.pop();
    let last = last.and_then(|post| post.text.as_str().rsplit(' ').next()?.parse().ok());
    let mut stdout = std::io::stdout();
    for n in last.unwrap_or(0_u64) + 1.. {
        let post = sns.post(&bob, &format!("bob says {n}")).wait()?;
        // Only now, when it is durable, he tells the world.
        if writeln!(stdout, "{}", post.id).is_err() {
            break;
        }
    }
    Ok(())
}

/// Starts the other process.
fn start(dir: &Path) -> Result<Child> {
    let me = std::env::current_exe().map_err(failed)?;
    let bob = Command::new(me).arg(dir).stdout(Stdio::piped()).spawn();
    bob.map_err(failed)
}

/// Kills it with SIGKILL; returns the ids that were acknowledged to it.
fn kill(mut bob: Child) -> Result<Vec<Seq>> {
    bob.kill().map_err(failed)?;
    let mut acknowledged = Vec::new();
    if let Some(stdout) = bob.stdout.take() {
        // What he had printed is in the pipe still.
        for line in BufReader::new(stdout).lines() {
            let id = line.map_err(failed)?.parse().map(Seq::from_u64);
            acknowledged.extend(id.ok());
        }
    }
    bob.wait().map_err(failed)?;
    Ok(acknowledged)
}

/// All posts of one user: page by page, newest first.
fn posts_of(sns: &Sns, user: &Username) -> Result<Vec<Post>> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        // Linearizable: with all that any process was told is durable.
        let page = sns.posts_of(user).limit(200).cursor(&cursor);
        let page = page.linearizable(true).page()?;
        all.extend(page.items);
        match page.next {
            Some(next) => cursor = next,
            None => return Ok(all),
        }
    }
}

#[allow(clippy::print_stdout, reason = "an example shows what it does")]
fn alice(dir: &Path) -> Result<()> {
    let sns = Sns::open(dir)?;
    let (alice, bob) = (sns.user("alice")?, sns.user("bob")?);
    let mut read = sns.follow(&alice, &bob).wait()?;
    // From the follow on: nothing is missed, whenever the other process begins.
    let mut timeline = sns.subscribe(&alice, Some(read))?;

    for life in 1..=2 {
        let process = start(dir)?;
        println!("bob is process {}, life {life}", process.id());
        let mut live = 0;
        while live < UNTIL_KILLED {
            let event = timeline.next_blocking()?;
            assert!(event.seq >= read, "a stream never goes back");
            read = event.seq;
            if let EventKind::Post(post) = event.kind
                && post.author == bob
            {
                live += 1;
                if live <= 2 {
                    println!("alice reads: {}", post.text);
                }
            }
        }
        let acknowledged = kill(process)?;
        // The kernel took back whatever he held; nobody waits for him, nothing is repaired.
        let mine = sns.post(&alice, "bob was killed, I go on").wait()?;
        let posts = posts_of(&sns, &bob)?;
        let there: HashSet<Seq> = posts.iter().map(|post| post.id).collect();
        let texts: HashSet<&str> = posts.iter().map(|post| post.text.as_str()).collect();
        let lost = acknowledged.iter().filter(|&id| !there.contains(id));
        println!(
            "bob was killed: {} posts were acknowledged to him, {} lost, {} there twice; \
             alice posted {}",
            acknowledged.len(),
            lost.count(),
            posts.len() - texts.len(),
            mine.id,
        );
    }

    sns.close();
    Ok(())
}

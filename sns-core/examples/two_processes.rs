//! Two processes, one feed: each opens the same directory, posts, and watches the other.
//!
//! No server runs and nothing is shared but the directory; the program starts itself a second time.
//!
//! ```text
//! cargo run -p sns-core --example two_processes
//! ```

use std::path::Path;
use std::process::Command;

use sns_core::{EventKind, Result, Sns};

/// What each says.
const POSTS: usize = 3;

fn main() -> Result<()> {
    if let Some(dir) = std::env::args_os().nth(1) {
        return chat(Path::new(&dir), "bob", "alice");
    }
    let failed = |e: std::io::Error| sns_core::Error::invalid(e.to_string());
    let dir = std::env::temp_dir().join(format!("two-processes-{}", std::process::id()));
    let me = std::env::current_exe().map_err(failed)?;
    let mut other = Command::new(me).arg(&dir).spawn().map_err(failed)?;
    let chatted = chat(&dir, "alice", "bob");
    other.wait().map_err(failed)?;
    std::fs::remove_dir_all(&dir).map_err(failed)?;
    chatted
}

/// Follows the other, posts once the other follows too, and reads what the other posts.
#[allow(clippy::print_stdout, reason = "an example shows what it does")]
fn chat(dir: &Path, me: &str, other: &str) -> Result<()> {
    // The first to come makes the data; both are whole replicas of it.
    let sns = Sns::open(dir)?;
    let (me, other) = (sns.user(me)?, sns.user(other)?);
    let mine = sns.follow(&me, &other).wait()?;
    // A stream tells what is posted after the follow: post once the other listens.
    while sns.followers(&me).page()?.items.is_empty() {
        sns.home(&me).linearizable(true).page()?;
        std::thread::yield_now();
    }
    for n in 1..=POSTS {
        let text = format!("{n} from {me}, process {}", std::process::id());
        sns.post(&me, &text).wait()?;
    }
    // From the own follow on, so that nothing is missed that the other said before.
    let mut timeline = sns.subscribe(&me, Some(mine))?;
    let mut heard = 0;
    while heard < POSTS {
        if let EventKind::Post(post) = timeline.next_blocking()?.kind
            && post.author == other
        {
            heard += 1;
            println!("{me} reads: {}", post.text);
        }
    }
    sns.close();
    Ok(())
}

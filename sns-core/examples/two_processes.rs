//! Two processes, one feed: each opens the same directory, posts, and watches the other.
//!
//! No server runs and nothing is shared but the directory; the program starts itself a second time.
//!
//! ```text
//! cargo run -p sns-core --example two_processes
//! ```

use std::path::Path;
use std::process::Command;

use sns_core::{EventKind, Result, Seq, Sns, Username};

/// What each says.
const POSTS: usize = 3;

fn main() -> Result<()> {
    if let Some(dir) = std::env::args_os().nth(1) {
        return chat(Path::new(&dir), "bob", "alice");
    }
    let dir = std::env::temp_dir().join(format!("two-processes-{}", std::process::id()));
    let failed = |e: std::io::Error| sns_core::Error::invalid(e.to_string());
    let me = std::env::current_exe().map_err(failed)?;
    let mut other = Command::new(me).arg(&dir).spawn().map_err(failed)?;
    let chatted = chat(&dir, "alice", "bob");
    other.wait().map_err(failed)?;
    std::fs::remove_dir_all(&dir).map_err(failed)?;
    chatted
}

/// Follows the other, posts, and reads until all that the other posts has come.
#[allow(clippy::print_stdout, reason = "an example shows what it does")]
fn chat(dir: &Path, me: &str, other: &str) -> Result<()> {
    // The first to come makes the data; both are whole replicas of it.
    let sns = Sns::open(dir)?;
    let (me, other): (Username, Username) = (sns.user(me)?, sns.user(other)?);
    sns.follow(&me, &other).wait()?;
    // From the start, so that it does not matter who was first. Only what is posted after the
    // follow comes down a stream: wait for the other's.
    while sns.followers(&me).page()?.items.is_empty() {
        std::thread::yield_now();
    }
    let mut timeline = sns.subscribe(&me, Some(Seq::ZERO))?;
    for n in 1..=POSTS {
        sns.post(
            &me,
            &format!("{n} from {me}, process {}", std::process::id()),
        )
        .wait()?;
    }
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

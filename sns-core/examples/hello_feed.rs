//! A feed in a directory: follow, post, read a page, watch it live.
//!
//! ```text
//! cargo run -p sns-core --example hello_feed [DIR]
//! ```
//!
//! Without `DIR` the feed lies in a temporary directory that is removed at the end. Try to break it:
//! give a directory and kill the program anywhere; what it had printed as posted is there the next
//! time. Run it twice at once on one directory; each run is a replica of its own.

use std::path::PathBuf;

use sns_core::{Error, ErrorKind, EventKind, Result, Sns};

#[allow(clippy::print_stdout, reason = "an example shows what it does")]
fn main() -> Result<()> {
    let given = std::env::args_os().nth(1).map(PathBuf::from);
    let dir = given
        .clone()
        .unwrap_or_else(|| std::env::temp_dir().join(format!("hello-feed-{}", std::process::id())));
    let sns = Sns::open(&dir)?;

    // A user is made the first time it is named.
    let (alice, bob) = (sns.user("alice")?, sns.user("bob")?);
    // What is so already is an error of its own kind, for the caller to judge.
    match sns.follow(&alice, &bob).wait() {
        Err(error) if error.kind() == ErrorKind::Conflict => println!("{error}"),
        followed => println!("alice follows bob since {}", followed?),
    }

    // Durable, and visible to every read, once it returns. `.await` does the same on any runtime.
    for n in 1..=3 {
        let post = sns.post(&bob, &format!("hello number {n}")).wait()?;
        println!("posted {}: {}", post.id, post.text);
    }

    println!("alice's home timeline, newest first:");
    for post in sns.home(&alice).limit(2).page()?.items {
        println!("  {}: {}", post.author, post.text);
    }

    // What happens from here on, as it happens.
    let mut timeline = sns.subscribe(&alice, None)?;
    let mut post = Some(sns.post(&bob, "this one comes live").wait()?);
    loop {
        match timeline.next_blocking()?.kind {
            EventKind::Post(told) => {
                println!("live: {}: {}", told.author, told.text);
                if let Some(post) = post.take() {
                    sns.delete(&bob, post.id).wait()?;
                }
            }
            EventKind::Deleted(id) => {
                println!("live: post {id} is gone");
                break;
            }
            _ => {}
        }
    }

    // Optional: the last handle that is dropped does the same.
    sns.close();
    drop((timeline, sns));
    if given.is_none() {
        std::fs::remove_dir_all(&dir).map_err(|e| Error::invalid(e.to_string()))?;
    }
    Ok(())
}

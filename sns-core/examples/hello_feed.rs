//! A feed in a directory: follow, post, read a page, watch it live.
//!
//! ```text
//! cargo run -p sns-core --example hello_feed
//! ```

use sns_core::{EventKind, Result, Sns};

#[allow(clippy::print_stdout, reason = "an example shows what it does")]
fn main() -> Result<()> {
    let dir = std::env::temp_dir().join(format!("hello-feed-{}", std::process::id()));
    let sns = Sns::open(&dir)?;

    // A user is made the first time it is named.
    let (alice, bob) = (sns.user("alice")?, sns.user("bob")?);
    sns.follow(&alice, &bob).wait()?;

    // Durable, and visible to every read, once it returns. `.await` does the same on any runtime.
    for n in 1..=3 {
        sns.post(&bob, &format!("hello number {n}")).wait()?;
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
    std::fs::remove_dir_all(&dir).map_err(|e| sns_core::Error::invalid(e.to_string()))
}

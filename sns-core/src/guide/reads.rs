//! Reads: pages that never shift, from a state that you choose.
//!
//! A read is a builder that ends in `.page()`: [`home`](crate::Sns::home),
//! [`posts_of`](crate::Sns::posts_of), [`users`](crate::Sns::users),
//! [`followers`](crate::Sns::followers), [`following`](crate::Sns::following).
//!
//! # Cursors
//!
//! [`Page::next`](crate::Page::next) is `None` exactly when nothing is left; else it is a token for
//! `.cursor(…)` with all else as it was. Posts that are made meanwhile never shift a page, and no
//! post is skipped or comes twice. A token is good in every process and for the life of the data;
//! for another query it is refused, not misread.
//!
//! ```
//! # fn main() -> sns_core::Result<()> {
//! # let sns = sns_core::Sns::in_memory()?;
//! # let alice = sns.user("alice")?;
//! for n in 1..=45 {
//!     sns.post(&alice, &format!("post {n}")).wait()?;
//! }
//! let (mut read, mut cursor) = (0, String::new());
//! loop {
//!     let page = sns.home(&alice).limit(20).cursor(&cursor).page()?;
//!     read += page.items.len();
//!     sns.post(&alice, "meanwhile").wait()?;
//!     match page.next {
//!         Some(next) => cursor = next,
//!         None => break,
//!     }
//! }
//! assert_eq!(read, 45);
//! # Ok(())
//! # }
//! ```
//!
//! # Which state a read shows
//!
//! Each process has a view of its own, which follows the log: a wake-up tells it of another
//! process's write at once, and where wake-ups do not work it looks 20 times a second and more. What
//! a caller can ask for:
//!
//! | asked for | what the page includes | costs |
//! | --- | --- | --- |
//! | nothing | all that was acknowledged *by this process*, and what it has applied of others | nothing |
//! | `.at_least(seq)` | that seq and all before it: one's own writes through another process, what one has read before | waiting until it is applied, mostly none |
//! | `.linearizable(true)` | all that was acknowledged anywhere before the call | asking the log for its tail: a small read; on JetStream a round trip |
//!
//! On JetStream a leader of the stream that was stopped, and goes on after another one was elected,
//! may answer from before for a moment: a linearizable read that asks just then may miss the newest.
//!
//! For a session that may move between processes keep the highest seq it was told (of a write, or
//! [`Page::seq`](crate::Page::seq)) and pass it to `at_least`: it reads its own writes and never
//! goes back in time.
//!
//! ```
//! # fn main() -> sns_core::Result<()> {
//! # use sns_core::{Sns, log::memory::MemoryLog};
//! # let log = MemoryLog::new();
//! # let one = Sns::over_memory(log.clone()).open()?;
//! # let two = Sns::over_memory(log).open()?;
//! # let alice = one.user("alice")?;
//! let mine = one.post(&alice, "through one process").wait()?;
//! let page = two.home(&alice).at_least(mine.id).page()?; // through another
//! assert_eq!(page.items[0], mine);
//! # Ok(())
//! # }
//! ```
//!
//! Both wait for [`limits::WAIT`](crate::limits::WAIT) at most, then fail as `Unavailable`
//! (`LAGGING`). To wait as a task rather than as a thread, await [`Sns::reach`](crate::Sns::reach)
//! first.

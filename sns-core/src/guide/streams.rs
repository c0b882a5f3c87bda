//! Streams: a timeline as it happens.
//!
//! [`Sns::subscribe`](crate::Sns::subscribe) tells what the home timeline of a reader gets, in
//! order of seq and each event once: posts of those whom the reader follows (by a follow older than
//! the post), the reader's own, and deletions. It begins with what was missed, says
//! [`CaughtUp`](crate::EventKind::CaughtUp), and goes on live.
//!
//! ```
//! # fn main() -> sns_core::Result<()> {
//! use sns_core::{EventKind, Seq};
//! # let sns = sns_core::Sns::in_memory()?;
//! # let (alice, bob) = (sns.user("alice")?, sns.user("bob")?);
//! # sns.follow(&alice, &bob).wait()?;
//! # sns.post(&bob, "hello").wait()?;
//! // Keep this beside what you do with the events.
//! let mut done = Seq::ZERO;
//! let mut timeline = sns.subscribe(&alice, Some(done))?;
//! loop {
//!     let event = timeline.next_blocking()?; // or `.next().await`
//!     match event.kind {
//!         EventKind::Post(post) => println!("{}: {}", post.author, post.text),
//!         EventKind::CaughtUp => break,
//!         _ => {}
//!     }
//!     done = event.seq;
//! }
//! assert!(done > Seq::ZERO);
//! # Ok(())
//! # }
//! ```
//!
//! - **Resume** with the highest [`Event::seq`](crate::Event::seq) that you are done with, in this
//!   process or in any other on the data: nothing is missed, nothing comes twice. Deletions are
//!   told after a resume if they are among the last
//!   [`limits::DELETIONS`](crate::limits::DELETIONS).
//! - **`after`:** `None` begins now; `Some(Seq::ZERO)` tells all there ever was;
//!   [`Subscribe::backlog`](crate::Subscribe) begins with the newest posts of the page.
//! - **A slow reader** holds up nobody and misses nothing: past
//!   [`limits::SUBSCRIBER_EVENTS`](crate::limits::SUBSCRIBER_EVENTS) waiting events it is moved
//!   back to reading from the view.
//! - **A stream ends** with an error: `Unavailable` when this process stops or makes its view anew
//!   (subscribe again, there or elsewhere), `Damaged` when it halted.
//! - **Filters:** [`Subscribe`](crate::Subscribe) leaves out one's own posts.
//!
//! # Reacting exactly once
//!
//! Write the cursor down *after* the reaction (so that nothing is left out), and let the reaction
//! carry a [`RequestId::derived`](crate::RequestId::derived) from the event (so that a repetition
//! has no effect). The example `bot` is such a program, with the reasons in its comments and a test
//! that kills it over and over.

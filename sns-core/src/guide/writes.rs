//! Writes: futures that need no runtime.
//!
//! Every verb ([`follow`](crate::Sns::follow), [`post`](crate::Sns::post), …) puts its command into
//! a bounded queue at once and gives a [`Pending`](crate::Pending): `.await` it on any executor, or
//! call [`wait`](crate::Pending::wait) where there is none. Once it yields `Ok`, the write is
//! durable, and every read on a clone of the same handle shows it. Dropping it takes nothing back.
//!
//! # Many at once
//!
//! What queues up while the disk syncs becomes one entry with one sync. So keep several under way,
//! in a window with a bound, rather than waiting for each:
//!
//! ```
//! # fn main() -> sns_core::Result<()> {
//! # let sns = sns_core::Sns::in_memory()?;
//! # let alice = sns.user("alice")?;
//! let mut under_way = std::collections::VecDeque::new();
//! for n in 0..1_000 {
//!     if under_way.len() == 256 {
//!         let oldest: sns_core::Pending<_> = under_way.pop_front().unwrap();
//!         oldest.wait()?;
//!     }
//!     under_way.push_back(sns.post(&alice, &format!("post {n}")));
//! }
//! for pending in under_way {
//!     pending.wait()?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The queue takes [`limits::QUEUE_COMMANDS`](crate::limits::QUEUE_COMMANDS); past it a write is
//! refused as `Exhausted`, which [`try_wait`](crate::Pending::try_wait) tells at once. The example
//! `bulk_load` does all of it.
//!
//! # Once, although it is sent again
//!
//! A write whose outcome is `Unknown` *may* have taken effect. Send it again with the same request
//! id and the same `seen`, here or from another process on the data, and it has one effect and its
//! first outcome:
//!
//! ```
//! # fn main() -> sns_core::Result<()> {
//! use sns_core::{ErrorKind, Post, RequestId, Sns, Username};
//!
//! fn post_once(sns: &Sns, author: &Username, text: &str) -> sns_core::Result<Post> {
//!     // Both are of the intent, not of the attempt.
//!     let (id, seen) = (RequestId::random(), sns.applied());
//!     for _attempt in 0..5 {
//!         match sns.write().request_id(id).seen(seen).post(author, text).wait() {
//!             Err(error) if error.kind() == ErrorKind::Unknown => {}
//!             told => return told,
//!         }
//!     }
//!     sns.write().request_id(id).seen(seen).post(author, text).wait()
//! }
//! # let sns = Sns::in_memory()?;
//! # let alice = sns.user("alice")?;
//! post_once(&sns, &alice, "hello")?;
//! # assert_eq!(sns.posts_of(&alice).page()?.items.len(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! The last [`limits::REQUESTS`](crate::limits::REQUESTS) requests of all users are remembered.
//! `seen`, the highest seq that was known before the first attempt, tells the log when an attempt
//! is too old to say: it is then refused with
//! [`Reason::RequestExpired`](crate::Reason::RequestExpired), and nothing is written. The same id
//! with another content is refused too. An id that must survive a restart is made from what caused
//! it: [`RequestId::derived`](crate::RequestId::derived), as the example `bot` does.

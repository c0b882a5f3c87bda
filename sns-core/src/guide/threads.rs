//! Threads and runtimes: what runs where.
//!
//! [`Sns`](crate::Sns) is a cheap clone over one replica, `Send + Sync`; use it from any thread.
//! The core needs no runtime. Each replica has a few threads of its own: one appends to the log,
//! one applies it, one carries what changed to disk, and one of the directory log syncs its record
//! of what is durable. With the feature `nats`, the connection to the cluster has a runtime of its
//! own.
//!
//! # What blocks
//!
//! | call | blocks for |
//! | --- | --- |
//! | `Sns::open` | reading all of the log that its view does not have: do it before a runtime starts, or on a thread |
//! | the verbs, and their `Pending` as a future | nothing (a moment for the queue) |
//! | `Pending::wait`, `Sns::user` | until the write is durable: mostly one sync |
//! | `.page()` | a read from the disk when it is not in memory; with `at_least` and `linearizable` up to 5 s |
//! | `.page_now()` | nothing: `None` where `.page()` would wait |
//! | `Sns::subscribe` | a read from the disk, like a page |
//! | `Subscription::next` | nothing, as a future; `next_blocking` until there is an event |
//! | `Sns::reach` | nothing, as a future |
//! | `status`, `applied`, `progress`, `drain` | nothing, but for a file's size |
//! | `close`, and the drop of the last clone | finishing the queue and writing out what is in memory |
//!
//! So in an async program: `.await` writes; try `page_now`, and give `page` to a thread that may
//! block when there is `None`; open and close outside of the runtime. The example `axum_app` does
//! exactly that.
//!
//! ```
//! # fn main() -> sns_core::Result<()> {
//! # let sns = sns_core::Sns::in_memory()?;
//! # let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
//! # runtime.block_on(async {
//! let alice = sns_core::Username::parse("alice")?;
//! sns.create_user(&alice).await?; // not `sns.user`, which waits
//! sns.post(&alice, "hello").await?;
//! let home = sns.home(&alice);
//! let page = match home.page_now()? {
//!     Some(page) => page,
//!     None => tokio::task::spawn_blocking(move || home.page()).await.unwrap()?,
//! };
//! assert_eq!(page.items.len(), 1);
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! # Stopping
//!
//! Nothing *must* be called: a program may be killed at any moment.
//! [`Sns::drain`](crate::Sns::drain) refuses new writes and ends the streams, so that a server
//! around it can finish; [`Sns::close`](crate::Sns::close) finishes what is queued and writes out
//! what is in memory, so that the next start has nothing to catch up with.

//! Testing a program that embeds a feed.
//!
//! # A log in memory
//!
//! [`Sns::in_memory`](crate::Sns::in_memory) is a whole feed with the same rules, that ends with
//! the process: a test needs no directory, no cleaning up, and milliseconds. Two replicas of one
//! [`MemoryLog`](crate::log::memory::MemoryLog) are two processes in one.
//!
//! # A clock of one's own
//!
//! Only the writer of an entry looks at a clock, the one that it was given:
//!
//! ```
//! # fn main() -> sns_core::Result<()> {
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU64, Ordering};
//! use sns_core::{Clock, Sns, log::memory::MemoryLog};
//!
//! let hand = Arc::new(AtomicU64::new(1_000));
//! let sns = Sns::over_memory(MemoryLog::new())
//!     .clock(Clock::manual(Arc::clone(&hand)))
//!     .open()?;
//! let alice = sns.user("alice")?;
//! assert_eq!(sns.post(&alice, "now").wait()?.created_at_ms, 1_000);
//! hand.store(2_000, Ordering::Relaxed);
//! assert_eq!(sns.post(&alice, "later").wait()?.created_at_ms, 2_000);
//! // Log time never goes back.
//! hand.store(1, Ordering::Relaxed);
//! assert_eq!(sns.post(&alice, "a wrong clock").wait()?.created_at_ms, 2_000);
//! # Ok(())
//! # }
//! ```
//!
//! # The same again
//!
//! Applying the log is deterministic. If your test also gives its own request ids
//! ([`RequestId::derived`](crate::RequestId::derived) from a counter) and waits for each write, two
//! runs end with the same ids, the same pages and the same [`Status::digest`](crate::Status), which
//! sums up every fact of the feed. The example `own_clock` compares them.
//!
//! # Deaths
//!
//! The best test of what you build on top is the one that this crate has for itself: a process of
//! its own, killed at a random moment, over and over (`sns-core/tests/examples_bot.rs`). The
//! feature `test-util` has what the crate's own tests use: a simulated disk, and the suite that
//! every log must pass. It is no stable interface.

//! The client of SNS: follow, post, read and watch, while servers die.
//!
//! ```no_run
//! # async fn example() -> sns_client::Result<()> {
//! use sns_client::{Client, Event, Options};
//!
//! let alice = Client::connect(Options::new("alice")).await?;
//! alice.follow("bob").await?;
//! alice.post("hello").await?;
//! let mut timeline = alice.timeline().open().await?;
//! while let Some(event) = timeline.next().await {
//!     if let Event::Post(post) = event? {
//!         println!("{}: {}", post.author, post.text.escape_debug());
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! What it promises, as long as one server lives:
//!
//! - No call fails because a server died or hangs: it goes on at another, within the deadline.
//! - A write takes effect at most once, however often it is sent. One of which nobody can tell
//!   ends as [`ErrorKind::Unknown`], with the [`Ticket`] that repeats it safely.
//! - What a handle has written or read is never missing from what it reads later.
//! - A [`Timeline`] goes on after a failure without a hole and without a repetition.
//!
//! It runs on tokio; no type of its transport shows in its interface.

pub mod accounts;
mod call;
mod client;
mod engine;
mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
#[doc(hidden)]
pub mod manual;
mod options;
mod pages;
mod retry;
mod route;
mod routers;
mod table;
mod ticket;
mod timeline;
mod trust;
mod types;
mod wire;
#[cfg(any(test, fuzzing))]
mod wrap;

pub use accounts::{Identity, Scope, Session};
pub use client::{Client, Write};
pub use error::{Error, ErrorKind, Reason, Result};
pub use options::{DEFAULT_ROUTER, Options};
pub use pages::{Home, PostsOf, Users};
pub use routers::Routers;
pub use ticket::Ticket;
pub use timeline::{Event, Poster, Timeline, TimelineOptions};
pub use trust::Trust;
pub use types::{Cursor, Login, Page, Post, Seq, Server, ServerRole, ServerState, User};

//! A social feed you can embed, replicate and kill.
//!
//! People follow each other, post, and read timelines, live. *The log is the database, sled is its
//! index, memory is a cache of sled*: every process that opens a directory is a full replica, takes
//! reads and writes, and may die at any moment. No server, no leader, no runtime.
//!
//! ```
//! use sns_core::Sns;
//!
//! # fn main() -> sns_core::Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! let sns = Sns::open(dir.path())?;
//! let (alice, bob) = (sns.user("alice")?, sns.user("bob")?);
//! sns.follow(&alice, &bob).wait()?;        // or `.await`, on any runtime
//! sns.post(&bob, "hello, world").wait()?;  // durable once this returns
//! for post in sns.home(&alice).page()?.items {
//!     println!("{}: {}", post.author, post.text);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//!
//! 1. An acknowledged write survives `kill -9` of every process at once, and a power cut.
//! 2. A write takes effect at most once, also when it is sent again with its request id; one that
//!    is too late to tell ends as unknown, never twice.
//! 3. All replicas, pages and streams show one order without holes; a cursor is good for the life
//!    of the data.
//! 4. Any process may be killed at any moment and the others go on at once.
//! 5. Damage is reported, never served and never silently cut off.
//! 6. Every queue, page, cache and message has a bound and a defined refusal.
//!
//! What is *not* promised stands beside them in [`guide::promises`]: above all, a directory is one
//! machine and a local file system.
//!
//! # Find your way
//!
//! | you want to | look at |
//! | --- | --- |
//! | open a feed | [`Sns::open`], [`SnsBuilder`], [`Settings`] |
//! | write | [`Sns::follow`], [`Sns::post`], [`Pending`]; many, or again: [`guide::writes`] |
//! | read pages | [`Sns::home`], [`Sns::posts_of`], [`Page`]; which state: [`guide::reads`] |
//! | hear what happens | [`Sns::subscribe`], [`Subscription`]; resuming, bots: [`guide::streams`] |
//! | handle errors | [`Error`], [`ErrorKind`]; what to do: [`guide::errors`] |
//! | use it in an async program | [`guide::threads`] |
//! | open one directory in several programs | [`guide::sharing`] |
//! | know what survives what | [`guide::durability`] |
//! | test your program | [`guide::testing`] |
//! | back it up, carry it elsewhere | [`backup`], [`facts`] |
//! | know the limits | [`guide::bounds`], [`limits`] |
//! | know what stays | [`guide::stability`] |
//! | read the log itself | [`log`] |
//!
//! Programs to learn from, in `examples/`: `hello_feed`, `two_processes` (and one is killed),
//! `axum_app` (inside a web application), `bulk_load` (a million posts), `bot` (answers exactly
//! once, whenever it is killed), `own_clock` (a test that is the same in every run).
//!
//! # Features
//!
//! `nats`: the log on a cluster of NATS JetStream, for several machines (`SnsBuilder::jetstream`).
//! `test-util`: what the tests of this workspace use; not a stable interface. By default neither,
//! and no async runtime in the tree.

mod account;
pub mod backup;
mod builder;
mod clock;
mod command;
mod cursor;
mod data_dir;
mod error;
pub mod facts;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
pub mod guide;
mod hub;
pub mod limits;
pub mod log;
#[doc(hidden)]
pub mod new_file;
mod observer;
#[doc(hidden)]
pub mod own_file;
mod pending;
mod post;
mod read;
mod rebuild;
mod replica;
mod seq;
mod settings;
pub mod snapshots;
mod sns;
mod subscription;
mod user;
mod view;
mod write;

pub use account::{Account, PasswordHash};
pub use builder::SnsBuilder;
pub use clock::Clock;
pub use command::{APPLY_VERSION as LOG_VERSION, RequestId};
pub use data_dir::{DataDir, NodeLock};
pub use error::{Error, ErrorKind, Reason, Result};
pub use observer::Observer;
pub use pending::Pending;
pub use post::{Post, Text, User};
pub use read::{Home, Page, PostsOf, Users};
pub use replica::{ApplyPhase, Progress};
pub use seq::Seq;
pub use settings::Settings;
pub use sns::{Sns, State, Status};
pub use subscription::{Event, EventKind, Subscribe, Subscription};
pub use user::Username;
#[cfg(any(test, feature = "test-util"))]
#[doc(hidden)]
pub use view::seams::Check;
pub use view::snapshot::SnapshotInfo;
pub use write::{UserMade, Write};

//! A social feed you can embed, replicate and kill.
//!
//! People follow each other, post, and read timelines, live. *The log is the database, sled is its
//! index, memory is a cache of sled*: every process that opens a directory is a full replica, takes
//! reads and writes, and may die at any moment.
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
//! The log lies in that directory, for all programs of one machine. With the feature `nats` it may
//! lie on a cluster of NATS JetStream instead, for several machines: `SnsBuilder::jetstream`.

mod account;
mod builder;
mod clock;
mod command;
mod cursor;
mod data_dir;
mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod hub;
pub mod limits;
pub mod log;
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
pub use command::RequestId;
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

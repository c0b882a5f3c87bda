//! Everything that a feed holds, fact by fact: to carry it elsewhere, and to make a feed of it.
//!
//! [`Sns::export`](crate::Sns::export) hands out all facts as they stood at one seq, in an order that depends on nothing
//! else; [`Import`] makes a new feed of such facts, in which they come out again as they went in: the
//! same users in the same order, the same follows and posts, each with its seq and its time.
//!
//! ```
//! # fn main() -> sns_core::Result<()> {
//! use sns_core::{Sns, facts::Import};
//! # let dir = tempfile::tempdir().unwrap();
//!
//! let sns = Sns::in_memory()?;
//! let alice = sns.user("alice")?;
//! let post = sns.post(&alice, "carried over").wait()?;
//!
//! let mut import = Import::begin(dir.path().join("new"), false)?;
//! let export = sns.export()?;
//! let log_time = export.log_time_ms();
//! export.each(&mut |fact| import.add(fact).map(|_| ()))?;
//! import.finish(log_time)?;
//!
//! let new = Sns::open(dir.path().join("new"))?;
//! assert_eq!(new.posts_of(&alice).page()?.items, [post]);
//! # Ok(())
//! # }
//! ```

mod export;
mod import;
mod sort;

pub use export::Export;
pub use import::{Import, Imported};

use crate::account::PasswordHash;
use crate::post::Text;
use crate::seq::Seq;
use crate::user::Username;

/// One fact of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// There is a user.
    User {
        /// The name.
        username: Username,
        /// Log time of the command that made it, milliseconds since 1970.
        created_at_ms: u64,
        /// Set when the name belongs to somebody.
        password: Option<PasswordHash>,
    },
    /// A user follows another.
    Follow {
        /// Of the follow; [`Seq::ZERO`]: to be given out.
        seq: Seq,
        /// Who follows.
        user: Username,
        /// Whom.
        followee: Username,
    },
    /// There is a post.
    Post {
        /// Its id; [`Seq::ZERO`]: to be given out.
        id: Seq,
        /// Who wrote it.
        author: Username,
        /// As it was sent.
        text: Text,
        /// Log time, milliseconds since 1970.
        created_at_ms: u64,
    },
}

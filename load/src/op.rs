//! What is asked of a service, and what a service under load has to offer.

use std::fmt;
use std::future::Future;

/// One operation; users are numbers from 0 to the graph's `users`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Reads the first page of a user's home timeline, [`crate::PAGE`] posts at most.
    Home {
        /// Who reads.
        user: u32,
    },
    /// Reads the first page of a user's own posts, [`crate::PAGE`] posts at most.
    UserPage {
        /// Whose posts.
        user: u32,
    },
    /// Posts a text of [`crate::TEXT_BYTES`] letters.
    Post {
        /// The author.
        user: u32,
        /// What is posted.
        text: String,
    },
    /// Follows a user. Following already is no error.
    Follow {
        /// Who follows.
        user: u32,
        /// Whom; never `user`.
        followee: u32,
    },
}

impl Op {
    /// What kind of operation it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Home { .. } => Kind::Home,
            Self::UserPage { .. } => Kind::UserPage,
            Self::Post { .. } => Kind::Post,
            Self::Follow { .. } => Kind::Follow,
        }
    }
}

/// The kind of an operation: each has a histogram of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// [`Op::Home`].
    Home,
    /// [`Op::UserPage`].
    UserPage,
    /// [`Op::Post`].
    Post,
    /// [`Op::Follow`].
    Follow,
}

impl Kind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Home, Self::UserPage, Self::Post, Self::Follow];

    /// For a table or a JSON key.
    pub fn name(self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::UserPage => "user_page",
            Self::Post => "post",
            Self::Follow => "follow",
        }
    }
}

/// What came back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// How many posts a page held; 0 for a write.
    pub posts: usize,
}

/// Why a call failed, for a human. Errors are counted by this text: no ids or times in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError(pub String);

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CallError {}

/// A service under load.
pub trait Target: Send + Sync + 'static {
    /// How it is talked to.
    type Connection: Connection;

    /// Opens one more connection.
    ///
    /// # Errors
    /// Why it cannot be opened. The run does not begin then; during a run it is an error of the
    /// call that needed the connection.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, CallError>> + Send;
}

/// One connection: carries one call at a time.
pub trait Connection: Send + 'static {
    /// Carries out `op` and reads the answer whole, as any client would.
    ///
    /// # Errors
    /// Why it failed; see [`Connection::broken`].
    /// # Cancel safety
    /// May be dropped when the run ends; the connection is then not used again.
    fn call(&mut self, op: &Op) -> impl Future<Output = Result<Reply, CallError>> + Send;

    /// Asked after a failed call: whether the connection has to be opened anew.
    fn broken(&self) -> bool {
        true
    }
}

//! What calls give back: plain values, owned.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use sns_proto::v1;

pub use sns_proto::v1::{ServerRole, ServerState};

/// A position in the one order of all writes; a post's id is its seq.
///
/// Larger is later, on every server. 0 stands before everything. Printed as a decimal number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(u64);

impl Seq {
    /// As the wire has it.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl From<u64> for Seq {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl FromStr for Seq {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One post.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Post {
    /// Its place in the order of all posts; newer is larger.
    pub id: Seq,
    /// Who wrote it, in lower case.
    pub author: String,
    /// As it was sent, byte for byte: escape it before you show it on a terminal.
    pub text: String,
    /// Never goes back from one post to the next; order by `id`, not by this.
    pub created_at: SystemTime,
}

impl From<v1::Post> for Post {
    fn from(post: v1::Post) -> Self {
        Self {
            id: Seq(post.id),
            author: post.author,
            text: post.text,
            created_at: time(post.created_at),
        }
    }
}

/// One user, as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct User {
    /// Lower case.
    pub username: String,
    /// When they first logged in.
    pub created_at: SystemTime,
}

impl From<v1::User> for User {
    fn from(user: v1::User) -> Self {
        Self {
            username: user.username,
            created_at: time(user.created_at),
        }
    }
}

fn time(stamp: Option<prost_types::Timestamp>) -> SystemTime {
    stamp
        .and_then(|stamp| SystemTime::try_from(stamp).ok())
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

/// One page of a listing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Page<T> {
    /// In the order of the listing; empty when there is nothing.
    pub items: Vec<T>,
    /// Where the next page starts; `None` exactly when nothing is left. Good on any server, for
    /// the life of the data.
    pub next: Option<Cursor>,
    /// The state that answered.
    pub seq: Seq,
}

/// Where a page starts: opaque text, to be kept and given back as it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cursor(String);

impl Cursor {
    /// As text, to be kept outside this program.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `None` for the empty token, which ends a listing.
    pub(crate) fn of_token(token: String) -> Option<Self> {
        (!token.is_empty()).then_some(Self(token))
    }
}

impl From<String> for Cursor {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the login gave.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Login {
    /// The name as it is kept: lower case.
    pub username: String,
    /// Whether this login made the user.
    pub created: bool,
}

/// One server, as a router knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Server {
    /// `PAIR-master` or `PAIR-slave`.
    pub name: String,
    /// The name of its pair.
    pub pair: String,
    /// What it does in its pair.
    pub role: ServerRole,
    /// `host:port`.
    pub address: String,
    /// Its process; 0 when it is not running.
    pub pid: u32,
    /// Whether it serves.
    pub state: ServerState,
    /// Index of the last log entry its view holds.
    pub applied: u64,
    /// First index that is not yet durable, as far as it knows.
    pub tail: u64,
    /// Open timeline streams.
    pub streams: u64,
    /// How often it was started again.
    pub restarts: u64,
    /// Digest of its view at `applied`, 32 hexadecimal digits.
    pub digest: String,
    /// Why it does not serve, or what weakens its promises; empty = all is well.
    pub reason: String,
}

impl From<v1::Server> for Server {
    fn from(server: v1::Server) -> Self {
        Self {
            role: server.role(),
            state: server.state(),
            name: server.name,
            pair: server.pair,
            address: server.address,
            pid: server.pid,
            applied: server.applied,
            tail: server.tail,
            streams: server.streams,
            restarts: server.restarts,
            digest: server.digest,
            reason: server.reason,
        }
    }
}

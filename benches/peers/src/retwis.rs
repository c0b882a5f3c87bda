//! Redis 7 with the scheme of Retwis: fan-out on write.
//!
//! | key | what |
//! | --- | --- |
//! | `n` | the last post id |
//! | `p:ID` | a post, packed: id, author, time, text |
//! | `u:USER` | list of the ids of a user's posts, newest first |
//! | `h:USER` | list of the ids on a user's home page, newest first, capped |
//! | `f:USER` | set of those who follow a user |
//! | `g:USER` | set of those whom a user follows |
//!
//! A post is one script, atomic and one round trip: number, post, and a push to each follower. A
//! packed string holds the whole post, since a page then needs one look-up a post where a hash
//! needs one a field. A page is one `SORT_RO` with `BY nosort`, which reads only the 20 ids it
//! needs. Lists are trimmed when they are 100 beyond their cap. Keys are as short as can be.
//!
//! What it does not give, and SNS does: a home page is cut off at [`HOME_CAP`] posts; a follow
//! shows nothing of what was posted before it (as in Retwis), an unfollow or a delete leaves the
//! posts on the page; a request that is sent again is done again; nothing is replicated, and a
//! replica of Redis would not show what was just written on another; ids are no cursor for streams.
//!
//! Source: the Redis documentation, "Twitter clone" (Retwis).

pub mod client;
pub mod server;

pub use client::Retwis;
pub use server::RedisServer;

/// Posts that a home list keeps. Retwis keeps 1,000 in its global list.
pub const HOME_CAP: usize = 1_000;

/// Which posts a list may have beyond its cap before it is trimmed: trimming each time costs more.
pub(crate) const TRIM_SLACK: usize = 100;

/// How the home page is read; the choice is measured by `sns-peers schemes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HomeWay {
    /// One `SORT_RO ... BY nosort GET p:*`: one command, one round trip.
    #[default]
    Sort,
    /// A script: `LRANGE`, then `MGET`.
    Script,
    /// `LRANGE`, then `MGET`: two round trips.
    TwoTrips,
}

/// How a post is written; the choice is measured by `sns-peers schemes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PostWay {
    /// A script reads the followers and pushes to each: one round trip, atomic.
    #[default]
    Script,
    /// The client reads the id and the followers, then pushes in one pipelined `MULTI`.
    Pipeline,
}

/// How a client talks to Redis.
#[derive(Clone, Copy, Debug)]
pub struct Ways {
    /// Reading a home page.
    pub home: HomeWay,
    /// Writing a post.
    pub post: PostWay,
    /// So many connections are shared by all callers: what waits goes out in one write.
    pub sockets: usize,
}

impl Default for Ways {
    fn default() -> Self {
        Self {
            home: HomeWay::default(),
            post: PostWay::default(),
            sockets: 4,
        }
    }
}

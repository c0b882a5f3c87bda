//! A history: everything that clients asked and were told, what was done to the service meanwhile,
//! and what the log and every replica held in the end. It is all that the checker knows.
//!
//! On disk: one JSON object a line, gzip when the name ends in `.gz`. Times are microseconds since
//! the start of the run, by the monotonic clock of the machine.

use std::hash::Hasher as _;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

mod file;

/// Microseconds since the start of the run.
pub type Micros = u64;

/// One line of a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum Line {
    /// What was run; the first line.
    Run(Run),
    /// A call of a client.
    Op(Op),
    /// A timeline that a client read.
    Stream(Stream),
    /// What was done to the service.
    Fault(Fault),
    /// A command of the log, in the order of the log.
    Command(Command),
    /// What a replica said of itself in the end.
    Replica(Replica),
    /// What a replica listed in the end.
    Listing(Listing),
}

/// How the run was set up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Draws the schedule of faults and what each client does.
    pub seed: u64,
    /// The kinds of faults, as given.
    pub faults: Vec<String>,
    /// Where the log was: `dir`, `nats`; empty: not written down.
    #[serde(default)]
    pub log: String,
    /// Clients that call.
    pub clients: u32,
    /// Clients that read a timeline.
    pub watchers: u32,
    /// Server pairs.
    pub pairs: u32,
    /// Posts that were there before.
    pub preloaded: u64,
    /// What the server program calls itself.
    pub version: String,
}

/// One call of the client library. Tries within it are the library's own affair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Op {
    /// The client: its calls follow one another, they never overlap.
    pub client: u32,
    /// The user it acts for.
    pub user: String,
    /// What was asked.
    #[serde(flatten)]
    pub call: Call,
    /// When it was called.
    pub start: Micros,
    /// When it returned.
    pub end: Micros,
    /// The address that was asked first.
    pub server: String,
    /// What the caller was told.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub enum Call {
    /// A new post; no two posts of a run have the same text.
    Post {
        /// Its text.
        text: String,
    },
    /// The deletion of an own post.
    Delete {
        /// Of the post.
        id: u64,
    },
    /// A follow.
    Follow {
        /// Who is followed from now on.
        followee: String,
    },
    /// The end of a follow.
    Unfollow {
        /// Who is followed no longer.
        followee: String,
    },
    /// Pages of posts, one after the other, each with the cursor of the one before.
    Walk {
        /// Whose posts; `None` = the home timeline of the caller.
        of: Option<String>,
        /// The highest seq that this handle had seen before: every page includes it.
        at_least: u64,
        /// How many posts a page was to have at most; 0 = not known.
        #[serde(default)]
        limit: usize,
        /// The first page was asked to include all that was acknowledged anywhere.
        linearizable: bool,
        /// What came, in that order.
        pages: Vec<Page>,
        /// The last page said that nothing is left.
        complete: bool,
    },
}

/// One page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The state that answered.
    pub seq: u64,
    /// Newest first.
    pub posts: Vec<Seen>,
}

/// A post as a reader saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "(u64, String, String)", from = "(u64, String, String)")]
pub struct Seen {
    /// Its seq.
    pub id: u64,
    /// Who wrote it.
    pub author: String,
    /// What it says.
    pub text: String,
}

impl From<(u64, String, String)> for Seen {
    fn from((id, author, text): (u64, String, String)) -> Self {
        Self { id, author, text }
    }
}

impl From<Seen> for (u64, String, String) {
    fn from(seen: Seen) -> Self {
        (seen.id, seen.author, seen.text)
    }
}

/// What the caller was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It was done, at this seq. For a walk: 0.
    Ok {
        /// Of the write; of a post its id.
        seq: u64,
    },
    /// It was not done, and nothing was written.
    Refused {
        /// `NOT_FOLLOWING`, `NO_SERVER`, ...
        reason: String,
    },
    /// It may have been done.
    Unknown {
        /// `OUTCOME_UNKNOWN`, `REQUEST_EXPIRED`.
        reason: String,
    },
}

/// A timeline that a client kept open through everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// The client.
    pub client: u32,
    /// The reader.
    pub user: String,
    /// It was opened after this seq: everything behind it has to come.
    pub after: u64,
    /// It was read until this post came, which the reader follows. `None`: the post never came.
    pub until: Option<u64>,
    /// When it was opened.
    pub start: Micros,
    /// When reading ended.
    pub end: Micros,
    /// What came, in that order.
    pub events: Vec<Event>,
    /// The error that ended it.
    pub failed: Option<String>,
    /// The address it was first read from; empty: not known.
    #[serde(default)]
    pub server: String,
}

/// What came down a timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A post.
    Post {
        /// When it came.
        at: Micros,
        /// The post.
        post: Seen,
    },
    /// A post is gone.
    Deleted {
        /// When that came.
        at: Micros,
        /// Of the post.
        id: u64,
        /// Of the deletion.
        seq: u64,
    },
    /// The server was lost.
    Lost {
        /// When that was noticed.
        at: Micros,
        /// Its address.
        server: String,
    },
    /// It goes on at another server.
    Resumed {
        /// When.
        at: Micros,
        /// Its address.
        server: String,
    },
}

/// Which calls may fail while a fault lasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Excuse {
    /// None: a server lives.
    #[default]
    Nothing,
    /// Writes that are refused as `DISK_FULL`.
    Full,
    /// Writes and linearizable reads that end with an error that says so: nobody may take writes.
    /// Only until the first write after the fault ([`Fault::back`]); plain reads go on.
    Writes,
    /// All: no server lives.
    Everything,
}

/// What was done to the service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// `kill`, `stop`, ...
    pub kind: String,
    /// `a-master`, `router`, `everything`, ...
    pub target: String,
    /// The addresses of clients' servers that were hit.
    pub servers: Vec<String>,
    /// When it was done.
    pub at: Micros,
    /// When it was over, and whoever was hit served again.
    pub end: Micros,
    /// Calls that may fail meanwhile.
    pub excuses: Excuse,
    /// It concerned every client, wherever it was: a router, or the right to write.
    #[serde(default)]
    pub everybody: bool,
    /// Until service was there again: since the fault, since `up`, since there was room. For
    /// [`Excuse::Writes`]: until the first write was acknowledged that was called after the fault.
    #[serde(default)]
    pub back: Option<Micros>,
    /// What else is worth knowing.
    pub detail: String,
    /// What should not have happened, and is seen in no call of a client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complaint: Option<String>,
}

/// A command as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Its place.
    pub seq: u64,
    /// Of the request, if it is remembered.
    pub request_id: Option<String>,
    /// What its client knew before the first attempt; 0 = not told.
    pub seen: u64,
    /// What it says.
    #[serde(flatten)]
    pub act: Act,
}

/// What a command says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Act {
    /// A user is made; nothing happens when it is there.
    CreateUser {
        /// Its name.
        user: String,
    },
    /// A follow.
    Follow {
        /// Who follows.
        user: String,
        /// Who is followed.
        followee: String,
    },
    /// The end of a follow.
    Unfollow {
        /// Who follows no longer.
        user: String,
        /// Who is followed no longer.
        followee: String,
    },
    /// A post.
    CreatePost {
        /// Who writes.
        user: String,
        /// What.
        text: String,
    },
    /// The end of a post.
    DeletePost {
        /// Who asks.
        user: String,
        /// Of the post.
        id: u64,
    },
    /// A snapshot was made.
    Checkpoint,
}

/// What a replica said of itself in the end, when nobody wrote any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// The node.
    pub name: String,
    /// Whether it serves: `serving`, or another state of the contract.
    pub state: String,
    /// Index of the last entry that it applied.
    pub applied: u64,
    /// Of its view.
    pub digest: String,
}

/// All of one listing of a replica in the end, walked page by page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// The node.
    pub replica: String,
    /// Of which user.
    pub user: String,
    /// What was listed.
    #[serde(flatten)]
    pub list: List,
}

/// What was listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "list", rename_all = "snake_case")]
pub enum List {
    /// The posts of the user, newest first.
    Posts {
        /// Their ids.
        ids: Vec<u64>,
        /// [`sum`] of authors and texts, in that order.
        sum: u64,
    },
    /// The home timeline of the user, newest first.
    Home {
        /// Their ids.
        ids: Vec<u64>,
        /// [`sum`] of authors and texts, in that order.
        sum: u64,
        /// That is all; else older ones were not asked for.
        complete: bool,
    },
    /// Whom the user follows, by name.
    Following {
        /// Their names.
        names: Vec<String>,
    },
    /// Who follows the user, by name.
    Followers {
        /// Their names.
        names: Vec<String>,
    },
}

/// One number for many posts: the same authors and texts in the same order give the same.
pub fn sum<'a>(posts: impl IntoIterator<Item = (&'a str, &'a str)>) -> u64 {
    let mut hash = Xxh3::new();
    for (author, text) in posts {
        for part in [author, text] {
            hash.write(&(part.len() as u64).to_le_bytes());
            hash.write(part.as_bytes());
        }
    }
    hash.finish()
}

/// A whole history, by kind of line, each in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// How the run was set up.
    pub run: Run,
    /// Calls.
    pub ops: Vec<Op>,
    /// Timelines.
    pub streams: Vec<Stream>,
    /// What was done to the service.
    pub faults: Vec<Fault>,
    /// The log.
    pub log: Vec<Command>,
    /// The replicas in the end.
    pub replicas: Vec<Replica>,
    /// What they listed.
    pub listings: Vec<Listing>,
}

impl History {
    /// Takes one line in.
    pub fn push(&mut self, line: Line) {
        match line {
            Line::Run(run) => self.run = run,
            Line::Op(op) => self.ops.push(op),
            Line::Stream(stream) => self.streams.push(stream),
            Line::Fault(fault) => self.faults.push(fault),
            Line::Command(command) => self.log.push(command),
            Line::Replica(replica) => self.replicas.push(replica),
            Line::Listing(listing) => self.listings.push(listing),
        }
    }
}

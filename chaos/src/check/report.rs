//! What the checker says: figures, and each broken promise in words that a human can act on.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::outage::Outages;

/// So many violations of each kind are told in full; all of them are counted.
pub const KEPT_OF_A_KIND: usize = 120;

/// Which promise was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Acknowledged, and not there.
    Lost,
    /// It took effect more than once.
    Duplicated,
    /// An order that is not the order of the log, or not that of real time.
    Reordered,
    /// A walk or a stream that skips or repeats.
    Gap,
    /// An answer from before what the caller knew, or was promised.
    Stale,
    /// Two replicas that differ.
    Diverged,
    /// It is there, or was seen, and nobody ever sent it so.
    Invented,
    /// A call or a stream failed though a server lived.
    Failed,
    /// The history does not hold what it takes to judge the run.
    Incomplete,
}

/// Where in the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The run as a whole.
    Run,
    /// A call: its number in the history, from 0.
    Op(usize),
    /// A timeline: its number in the history, from 0.
    Stream(usize),
    /// A command: its seq.
    Log(u64),
    /// A replica: its name.
    Replica(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run => f.write_str("run"),
            Self::Op(number) => write!(f, "op {number}"),
            Self::Stream(number) => write!(f, "stream {number}"),
            Self::Log(seq) => write!(f, "log {}.{}", seq >> 16, seq & 0xFFFF),
            Self::Replica(name) => write!(f, "replica {}", name.escape_debug()),
        }
    }
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Which one.
    pub kind: Kind,
    /// Where.
    pub place: Place,
    /// What is wrong, for a human.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, {}: {}", self.kind, self.place, self.message)
    }
}

/// How much was checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Calls.
    pub ops: u64,
    /// Writes that ended ok.
    pub acknowledged: u64,
    /// Of these, posts.
    pub posts: u64,
    /// Calls that were refused.
    pub refused: u64,
    /// Writes of which nobody could tell.
    pub unknown: u64,
    /// Calls that failed, the excused ones included.
    pub failed: u64,
    /// Walks over pages.
    pub walks: u64,
    /// Their pages.
    pub pages: u64,
    /// Posts on these.
    pub seen: u64,
    /// Timelines.
    pub streams: u64,
    /// What came down them: posts and deletions.
    pub events: u64,
    /// How often they went on at another server.
    pub resumed: u64,
    /// Faults, by kind.
    pub faults: BTreeMap<String, u64>,
    /// Commands of the log.
    pub commands: u64,
    /// Of these, retries of one that took effect before.
    pub repeated: u64,
    /// Users in the end.
    pub users: u64,
    /// Replicas.
    pub replicas: u64,
    /// What these listed.
    pub listings: u64,
}

/// The judgement of a history.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// The first [`KEPT_OF_A_KIND`] of each kind.
    pub violations: Vec<Violation>,
    /// All of them, by kind; what did not happen is not in it.
    pub by_kind: BTreeMap<Kind, u64>,
    /// How much was checked.
    pub counts: Counts,
    /// How long clients were without an answer.
    pub outages: Outages,
}

impl Report {
    /// Nothing is wrong.
    pub fn passed(&self) -> bool {
        self.by_kind.is_empty()
    }

    /// Whether there is a violation of this kind.
    pub fn has(&self, kind: Kind) -> bool {
        self.by_kind.contains_key(&kind)
    }

    /// Takes a violation in; `message` is only made when it is kept.
    pub(super) fn add(&mut self, kind: Kind, place: Place, message: impl FnOnce() -> String) {
        let count = self.by_kind.entry(kind).or_default();
        *count += 1;
        if *count <= KEPT_OF_A_KIND as u64 {
            self.violations.push(Violation {
                kind,
                place,
                message: message(),
            });
        }
    }
}

/// Microseconds as a human reads them.
pub(super) fn ms(at: u64) -> String {
    format!("{}.{:03} ms", at / 1_000, at % 1_000)
}

/// A seq as the log is read: entry and slot.
pub(super) fn seq(seq: u64) -> String {
    format!("{seq} ({}.{})", seq >> 16, seq & 0xFFFF)
}

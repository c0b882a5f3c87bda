//! `Meta`: how far a view has come; written with every batch, so that sled is always complete up to
//! a known seq.
//!
//! Key: ten zero bytes, before every family.

use serde::{Deserialize, Serialize};

use super::KEY_BYTES;
use crate::log::LogId;
use crate::seq::Seq;

/// The version of keys and values. A view of another version is deleted and rebuilt.
pub(crate) const FORMAT: u32 = 2;

/// The key of [`Meta`].
pub(crate) const KEY: [u8; KEY_BYTES] = [0; KEY_BYTES];

/// Where a view stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub(crate) format: u32,
    log_id: u128,
    /// The last command that was applied.
    pub(crate) applied: Seq,
    /// Whether the whole entry of `applied` was applied: a batch may end within an entry.
    pub(crate) entry_done: bool,
    /// The log's checksum of that entry.
    pub(crate) crc: u32,
    /// Milliseconds since 1970: the maximum of all writers' clocks so far.
    pub(crate) log_time_ms: u64,
    pub(crate) digest: u128,
    /// Users so far; the next one has the number `users + 1`.
    pub(crate) users: u32,
    pub(crate) posts: u64,
    pub(crate) follows: u64,
    /// Ordinals of the oldest remembered request and of the next one.
    pub(crate) requests: (u64, u64),
    /// The seq of the oldest remembered request, once older ones were forgotten; else zero.
    pub(crate) requests_since: Seq,
    /// Ordinals of the oldest kept deletion and of the next one.
    pub(crate) deletions: (u64, u64),
}

impl Meta {
    /// Of an empty view of the log `log_id`.
    pub(crate) fn new(log_id: LogId) -> Self {
        Self {
            format: FORMAT,
            log_id: log_id.0,
            applied: Seq::ZERO,
            entry_done: true,
            crc: 0,
            log_time_ms: 0,
            digest: 0,
            users: 0,
            posts: 0,
            follows: 0,
            requests: (0, 0),
            requests_since: Seq::ZERO,
            deletions: (0, 0),
        }
    }

    /// The same in another log, which holds the same.
    pub(crate) fn of_log(self, log_id: LogId) -> Self {
        Self {
            log_id: log_id.0,
            ..self
        }
    }

    /// The same facts as the beginning of the log `log_id`, whose first entry is the one after `index`.
    pub(crate) fn before_log(self, log_id: LogId, index: u64) -> Self {
        debug_assert!(index >= self.applied_index());
        Self {
            log_id: log_id.0,
            applied: self.applied.max(Seq::new(index, 0)),
            entry_done: true,
            ..self
        }
    }

    pub(crate) fn log_id(&self) -> LogId {
        LogId(self.log_id)
    }

    /// The index of the last entry that was applied as a whole.
    pub(crate) fn applied_index(&self) -> u64 {
        if self.entry_done {
            self.applied.index()
        } else {
            self.applied.index().saturating_sub(1)
        }
    }
}

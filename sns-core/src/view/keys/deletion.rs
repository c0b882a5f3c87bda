//! `Deletions`: 256 of the last deletions, in log order, for streams that resume.
//!
//! Key: family 1, side 0, the number of the chunk (64 bits): the ordinal of its first deletion / 256.

use serde::{Deserialize, Serialize};

use super::{Family, Key, Stored, UserNo, stored};
use crate::seq::Seq;
use crate::view::digest::Facts;

/// Deletions in one chunk.
pub(crate) const CHUNK: u64 = 256;

/// One deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deletion {
    /// Of the command that deleted.
    pub(crate) seq: Seq,
    /// The post that is gone.
    pub(crate) post: Seq,
    pub(crate) author: UserNo,
}

/// One chunk, ascending by seq.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deletions {
    pub(crate) deletions: Vec<Deletion>,
}

pub(crate) fn key(chunk: u64) -> Key {
    Key::numbered(Family::Deletions, chunk)
}

impl Stored for Deletions {
    stored!(Deletions);

    fn weight(&self) -> usize {
        size_of::<Self>() + self.deletions.capacity() * size_of::<Deletion>()
    }

    // What a deletion did shows in the posts.
    fn facts(&self, _: Key, facts: &mut Facts) {
        facts.deletions(self.deletions.len());
    }
}

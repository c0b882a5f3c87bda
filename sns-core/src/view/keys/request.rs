//! `Requests`: 256 remembered requests, in log order.
//!
//! Key: family 5, side 0, the number of the chunk (64 bits): the ordinal of its first request / 256.
//! Chunks rather than a key per entry: a million single posts open in 4,000 reads, not a million.

use serde::{Deserialize, Serialize};

use super::{Family, Key, Stored, UserNo, stored};
use crate::command::RequestId;
use crate::seq::Seq;
use crate::view::apply::Outcome;
use crate::view::digest::Facts;

/// Requests in one chunk.
pub(crate) const CHUNK: u64 = 256;

/// What is remembered of one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) user: UserNo,
    #[serde(with = "id_bytes")]
    pub(crate) id: RequestId,
    /// Of the command's content: a retry must repeat it.
    pub(crate) content: u64,
    /// Where it took effect, or was refused.
    pub(crate) seq: Seq,
    pub(crate) outcome: Outcome,
}

/// One chunk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Requests {
    pub(crate) requests: Vec<Request>,
    /// How many of them, from the front, are forgotten already.
    pub(crate) forgotten: u16,
}

pub(crate) fn key(chunk: u64) -> Key {
    Key::numbered(Family::Requests, chunk)
}

impl Stored for Requests {
    stored!(Requests);

    fn weight(&self) -> usize {
        size_of::<Self>() + self.requests.capacity() * size_of::<Request>()
    }

    fn facts(&self, _: Key, facts: &mut Facts) {
        for request in self.requests.iter().skip(usize::from(self.forgotten)) {
            facts.request(request);
        }
    }
}

mod id_bytes {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::command::RequestId;

    pub(super) fn serialize<S: Serializer>(id: &RequestId, to: S) -> Result<S::Ok, S::Error> {
        id.as_bytes().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<RequestId, D::Error> {
        <[u8; 16]>::deserialize(from).map(RequestId::from_bytes)
    }
}

//! `Edges` and `EdgeChunk`: who follows whom, both ways, and the list of all users; each sorted by
//! name, because that is the order in which users are listed.
//!
//! Keys: family 2 (`Edges`), side, the owner's number, 0: all edges of a small owner, or the
//! directory of its chunks. Family 3 (`EdgeChunk`), side, the owner's number, the number of the
//! chunk. Sides: 0 = all users (owner 0), 1 = whom the owner follows, 2 = who follows the owner.
//!
//! A chunk holds up to max(128, √n) edges, so that neither a chunk nor a directory grows past a few
//! ten kB for an owner of millions.

use serde::{Deserialize, Serialize};

use super::{Family, Key, Stored, UserNo, stored};
use crate::seq::Seq;
use crate::user::Username;
use crate::view::digest::{Facts, Tally};

/// Which list of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Side {
    /// Every user; the owner is number 0.
    All = 0,
    /// Whom the owner follows.
    Following = 1,
    /// Who follows the owner.
    Followers = 2,
}

/// One end of a follow, as the other end keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Edge {
    pub(crate) name: Username,
    pub(crate) no: UserNo,
    /// The seq of the follow (of all users: of the command that made the user).
    pub(crate) seq: Seq,
}

/// The edges of a small owner, or where those of a large one are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Edges {
    /// All edges, ascending by name, while there is no chunk.
    pub(crate) leaf: Vec<Edge>,
    /// The first name and the number of every chunk, ascending by name.
    pub(crate) chunks: Vec<(Username, u32)>,
    /// The number that the next chunk takes.
    pub(crate) next_chunk: u32,
}

/// Edges of a large owner, ascending by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EdgeChunk {
    pub(crate) edges: Vec<Edge>,
}

pub(crate) fn key(side: Side, owner: UserNo) -> Key {
    Key {
        family: Family::Edges,
        side: side as u8,
        a: owner.0,
        b: 0,
    }
}

pub(crate) fn chunk_key(side: Side, owner: UserNo, chunk: u32) -> Key {
    Key {
        family: Family::EdgeChunk,
        side: side as u8,
        a: owner.0,
        b: chunk,
    }
}

fn edge_facts(edges: &[Edge], key: Key, facts: &mut Facts) {
    for edge in edges {
        match key.side {
            1 => facts.follow(UserNo(key.a), edge.no, edge.seq),
            2 => facts.mirrored_follow(edge.no, UserNo(key.a), edge.seq),
            _ => facts.listed_user(edge.no, &edge.name),
        }
    }
}

impl Stored for Edges {
    stored!(Edges);

    fn weight(&self) -> usize {
        size_of::<Self>()
            + self.leaf.capacity() * size_of::<Edge>()
            + self.chunks.capacity() * size_of::<(Username, u32)>()
    }

    fn facts(&self, key: Key, facts: &mut Facts) {
        edge_facts(&self.leaf, key, facts);
        for (_, chunk) in &self.chunks {
            facts.promise(Tally::Chunk(key.side, UserNo(key.a), *chunk), 1);
        }
    }
}

impl Stored for EdgeChunk {
    stored!(EdgeChunk);

    fn weight(&self) -> usize {
        size_of::<Self>() + self.edges.capacity() * size_of::<Edge>()
    }

    fn facts(&self, key: Key, facts: &mut Facts) {
        edge_facts(&self.edges, key, facts);
        facts.keep(Tally::Chunk(key.side, UserNo(key.a), key.b), 1);
    }
}

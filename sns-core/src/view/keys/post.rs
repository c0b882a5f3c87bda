//! `Block`: up to 64 posts of one author, oldest first. The newest block is the ring that a home
//! page merges; older ones are read when a page goes that far back.
//!
//! Key: family 4, side 0, the author's number, the number of the block (from 0, without holes).

use serde::{Deserialize, Serialize};

use super::{Family, Key, Stored, UserNo, stored};
use crate::limits::BLOCK_POSTS;
use crate::post::Text;
use crate::seq::Seq;
use crate::view::digest::Facts;

/// Posts of one author.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Block {
    /// The first post it ever held; stays when that post is deleted, so that blocks can be searched.
    pub(crate) first: Seq,
    /// How many posts were ever put in it: a deleted post leaves no room.
    pub(crate) taken: u16,
    /// Those that are there, ascending.
    pub(crate) posts: Vec<BlockPost>,
}

/// One post; its author is the owner of the block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BlockPost {
    pub(crate) id: Seq,
    pub(crate) created_at_ms: u64,
    pub(crate) text: Text,
}

impl Block {
    pub(crate) fn new(first: Seq) -> Self {
        Self {
            first,
            taken: 0,
            posts: Vec::new(),
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        usize::from(self.taken) >= BLOCK_POSTS
    }

    /// How many of its posts have an id below `id`.
    pub(crate) fn below(&self, id: Seq) -> usize {
        self.posts.partition_point(|post| post.id < id)
    }
}

pub(crate) fn key(author: UserNo, block: u32) -> Key {
    Key {
        family: Family::Block,
        side: 0,
        a: author.0,
        b: block,
    }
}

impl Stored for Block {
    stored!(Block);

    fn weight(&self) -> usize {
        let texts: usize = self
            .posts
            .iter()
            .map(|post| post.text.as_str().len() + 16)
            .sum();
        size_of::<Self>() + self.posts.capacity() * size_of::<BlockPost>() + texts
    }

    fn facts(&self, key: Key, facts: &mut Facts) {
        for post in &self.posts {
            facts.post(UserNo(key.a), post);
        }
    }
}

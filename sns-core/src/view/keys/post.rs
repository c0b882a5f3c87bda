//! `Author` and `Block`: the posts of one author, oldest first.
//!
//! Keys: family 7 (`Author`), side 0, the author's number, 0: the newest posts, up to 8; the ring
//! that a home page merges. Family 4 (`Block`), side 0, the author's number, the number of the
//! block (from 0, without holes): 64 older posts, read when a page goes that far back.
//!
//! A post rewrites the small ring; eight of them move into the newest block at once. A block alone
//! would be rewritten with every post, at thirty times the bytes.

use serde::{Deserialize, Serialize};

use super::{Family, Key, Stored, UserNo, stored};
use crate::limits::BLOCK_POSTS;
use crate::post::Text;
use crate::seq::Seq;
use crate::user::Username;
use crate::view::digest::{Facts, Tally};

/// Posts that the ring holds before they move into a block; a divisor of [`BLOCK_POSTS`].
pub(crate) const RING_POSTS: usize = 8;

/// What an author has posted, and the newest posts. Nobody who never posted has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Author {
    /// Beside the posts, because whoever shows one shows it.
    pub(crate) name: Username,
    /// The newest post that is there; zero = none. Exact, deletions included: the merge of a home
    /// page relies on it.
    pub(crate) newest: Seq,
    /// Blocks so far; they are numbered from 0 without holes.
    pub(crate) blocks: u32,
    /// Posts that are there.
    pub(crate) posts: u64,
    /// The newest ones, ascending; all above those of the blocks.
    pub(crate) ring: Vec<BlockPost>,
}

/// Older posts of one author.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Block {
    /// The first post it ever held; stays when that post is deleted, so that blocks can be searched.
    pub(crate) first: Seq,
    /// How many posts were ever put in it: a deleted post leaves no room.
    pub(crate) taken: u16,
    /// Those that are there, ascending.
    pub(crate) posts: Vec<BlockPost>,
}

/// One post; its author is the owner of the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BlockPost {
    pub(crate) id: Seq,
    pub(crate) created_at_ms: u64,
    pub(crate) text: Text,
}

impl Author {
    /// One who has posted nothing yet.
    pub(crate) fn new(name: Username) -> Self {
        Self {
            name,
            newest: Seq::ZERO,
            blocks: 0,
            posts: 0,
            ring: Vec::new(),
        }
    }
}

impl Block {
    pub(crate) fn is_full(&self) -> bool {
        usize::from(self.taken) >= BLOCK_POSTS
    }
}

/// Posts side by side: a ring, or a block.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Run<'a> {
    Ring(&'a Author),
    Block(&'a Block),
}

impl<'a> Run<'a> {
    /// Ascending.
    pub(crate) fn posts(&self) -> &'a [BlockPost] {
        match self {
            Self::Ring(author) => &author.ring,
            Self::Block(block) => &block.posts,
        }
    }

    /// How many of its posts have an id below `id`.
    pub(crate) fn below(&self, id: Seq) -> usize {
        self.posts().partition_point(|post| post.id < id)
    }
}

pub(crate) fn author_key(author: UserNo) -> Key {
    Key {
        family: Family::Author,
        side: 0,
        a: author.0,
        b: 0,
    }
}

pub(crate) fn block_key(author: UserNo, block: u32) -> Key {
    Key {
        family: Family::Block,
        side: 0,
        a: author.0,
        b: block,
    }
}

fn weight(posts: &Vec<BlockPost>) -> usize {
    let texts: usize = posts.iter().map(|post| post.text.as_str().len() + 16).sum();
    posts.capacity() * size_of::<BlockPost>() + texts
}

fn facts(posts: &[BlockPost], key: Key, facts: &mut Facts) {
    for post in posts {
        facts.post(UserNo(key.a), post);
    }
}

impl Stored for Author {
    stored!(Author);

    fn weight(&self) -> usize {
        size_of::<Self>() + weight(&self.ring)
    }

    fn facts(&self, key: Key, to: &mut Facts) {
        facts(&self.ring, key, to);
        to.promise(Tally::Posts(UserNo(key.a)), self.posts);
        to.promise(Tally::Blocks(UserNo(key.a)), self.blocks.into());
    }
}

impl Stored for Block {
    stored!(Block);

    fn weight(&self) -> usize {
        size_of::<Self>() + weight(&self.posts)
    }

    fn facts(&self, key: Key, to: &mut Facts) {
        facts(&self.posts, key, to);
        to.keep(Tally::Blocks(UserNo(key.a)), 1);
    }
}

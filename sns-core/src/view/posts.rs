//! The posts of one author: finding a place in their blocks, and walking from it.

use std::sync::Arc;

use super::keys::UserNo;
use super::keys::post::{self, Block, BlockPost};
use super::keys::user::UserRecord;
use super::memory::{Memory, Miss};
use crate::limits::BLOCK_POSTS;
use crate::seq::Seq;

/// One post of an author, and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Spot {
    author: UserNo,
    number: u32,
    block: Arc<Block>,
    at: usize,
}

impl Spot {
    pub(crate) fn post(&self) -> &BlockPost {
        &self.block.posts[self.at]
    }

    /// The next older post of the same author.
    pub(crate) fn older(mut self, memory: &Memory) -> Result<Option<Self>, Miss> {
        if self.at > 0 {
            self.at -= 1;
            return Ok(Some(self));
        }
        last_before(memory, self.author, self.number)
    }

    /// The next newer post of the same author, who has `blocks` blocks.
    pub(crate) fn newer(mut self, memory: &Memory, blocks: u32) -> Result<Option<Self>, Miss> {
        if self.at + 1 < self.block.posts.len() {
            self.at += 1;
            return Ok(Some(self));
        }
        first_from(memory, self.author, self.number + 1, blocks)
    }
}

/// The last post of the blocks before `number`.
fn last_before(memory: &Memory, author: UserNo, number: u32) -> Result<Option<Spot>, Miss> {
    for number in (0..number).rev() {
        let block = memory.need::<Block>(post::key(author, number))?;
        if !block.posts.is_empty() {
            let at = block.posts.len() - 1;
            return Ok(Some(Spot {
                author,
                number,
                block: Arc::clone(block),
                at,
            }));
        }
    }
    Ok(None)
}

/// The first post of the blocks from `number` on.
fn first_from(
    memory: &Memory,
    author: UserNo,
    number: u32,
    blocks: u32,
) -> Result<Option<Spot>, Miss> {
    for number in number..blocks {
        let block = memory.need::<Block>(post::key(author, number))?;
        if !block.posts.is_empty() {
            return Ok(Some(Spot {
                author,
                number,
                block: Arc::clone(block),
                at: 0,
            }));
        }
    }
    Ok(None)
}

/// The last block whose first post is not after `id`: the one that holds `id` if any does.
fn block_of(
    memory: &Memory,
    author: UserNo,
    user: &UserRecord,
    id: Seq,
) -> Result<Option<(u32, Arc<Block>)>, Miss> {
    // Most often it is the newest block; else a binary search over the blocks.
    let (mut low, mut high) = (0, user.blocks);
    let mut probe = user.blocks.saturating_sub(1);
    let mut found = None;
    while low < high {
        let block = memory.need::<Block>(post::key(author, probe))?;
        if block.first <= id {
            found = Some((probe, Arc::clone(block)));
            low = probe + 1;
        } else {
            high = probe;
        }
        probe = low + (high - low) / 2;
    }
    Ok(found)
}

/// The newest post of an author with an id below `before`.
pub(crate) fn newest_below(
    memory: &Memory,
    author: UserNo,
    user: &UserRecord,
    before: Seq,
) -> Result<Option<Spot>, Miss> {
    let none_below = user.newest == Seq::ZERO || before == Seq::ZERO;
    if none_below {
        return Ok(None);
    }
    let found = if before > user.newest {
        let number = user.newest_block;
        Some((
            number,
            Arc::clone(memory.need::<Block>(post::key(author, number))?),
        ))
    } else {
        block_of(memory, author, user, Seq::from_u64(before.as_u64() - 1))?
    };
    let Some((number, block)) = found else {
        return Ok(None);
    };
    match block.below(before) {
        0 => last_before(memory, author, number),
        below => Ok(Some(Spot {
            author,
            number,
            block,
            at: below - 1,
        })),
    }
}

/// The oldest post of an author with an id above `after`.
pub(crate) fn oldest_above(
    memory: &Memory,
    author: UserNo,
    user: &UserRecord,
    after: Seq,
) -> Result<Option<Spot>, Miss> {
    if user.newest <= after {
        return Ok(None);
    }
    match block_of(memory, author, user, after)? {
        None => first_from(memory, author, 0, user.blocks),
        Some((number, block)) => {
            let at = block.below(after.next());
            if at < block.posts.len() {
                Ok(Some(Spot {
                    author,
                    number,
                    block,
                    at,
                }))
            } else {
                first_from(memory, author, number + 1, user.blocks)
            }
        }
    }
}

/// The post with this id.
pub(crate) fn find(
    memory: &Memory,
    author: UserNo,
    user: &UserRecord,
    id: Seq,
) -> Result<Option<Spot>, Miss> {
    let Some((number, block)) = block_of(memory, author, user, id)? else {
        return Ok(None);
    };
    let at = block.posts.binary_search_by_key(&id, |post| post.id).ok();
    Ok(at.map(|at| Spot {
        author,
        number,
        block,
        at,
    }))
}

/// Adds a post with an id above all others of its author; the newest block is in memory.
pub(crate) fn append(memory: &mut Memory, author: UserNo, user: &mut UserRecord, new: BlockPost) {
    let bytes = new.text.as_str().len() + size_of::<BlockPost>();
    let (id, last) = (new.id, user.blocks.checked_sub(1));
    let room = last.filter(|last| {
        let block = memory.get::<Block>(post::key(author, *last));
        block.is_ok_and(|block| block.is_some_and(|block| !block.is_full()))
    });
    let number = room.unwrap_or_else(|| {
        let number = user.blocks;
        let mut block = Block::new(id);
        block.posts.reserve_exact(BLOCK_POSTS.min(4));
        memory.put(post::key(author, number), block);
        user.blocks += 1;
        number
    });
    let block: &mut Block = memory
        .change(post::key(author, number))
        .expect("just looked at");
    block.posts.push(new);
    block.taken += 1;
    user.newest = id;
    user.newest_block = number;
    user.posts += 1;
    memory.grew(bytes);
}

/// Removes the post at `spot`; `next` = what then is the author's newest post, if `spot` was it.
pub(crate) fn remove(memory: &mut Memory, user: &mut UserRecord, spot: &Spot, next: Option<&Spot>) {
    let key = post::key(spot.author, spot.number);
    let id = spot.post().id;
    let block: &mut Block = memory.change(key).expect("the spot was read from it");
    block.posts.retain(|post| post.id != id);
    user.posts -= 1;
    if user.newest == id {
        user.newest = next.map_or(Seq::ZERO, |next| next.post().id);
        user.newest_block = next.map_or(0, |next| next.number);
    }
}

/// The key of the author's newest block, to fetch it ahead.
pub(crate) fn newest_key(author: UserNo, user: &UserRecord) -> super::keys::Key {
    post::key(author, user.newest_block)
}

//! The posts of one author: finding a place among them, and walking from it.
//!
//! Newest first they stand in the ring, then in the blocks from the last to the first.

use super::keys::post::{self, Author, Block, BlockPost, RING_POSTS, Run};
use super::keys::{Key, UserNo};
use super::memory::{Memory, Miss};
use crate::seq::Seq;
use crate::user::Username;

/// One post of an author, and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot<'a> {
    author: UserNo,
    /// The number of the block; the ring counts as the one after the last.
    number: u32,
    run: Run<'a>,
    at: usize,
}

/// Which key holds a post.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    author: UserNo,
    id: Seq,
    key: Key,
}

impl<'a> Spot<'a> {
    pub(crate) fn post(&self) -> &'a BlockPost {
        &self.run.posts()[self.at]
    }

    /// The next older post of the same author.
    pub(crate) fn older(mut self, memory: &'a Memory) -> Result<Option<Self>, Miss> {
        if self.at > 0 {
            self.at -= 1;
            return Ok(Some(self));
        }
        last_before(memory, self.author, self.number)
    }

    /// The next newer post of the same author.
    pub(crate) fn newer(
        mut self,
        memory: &'a Memory,
        author: &'a Author,
    ) -> Result<Option<Self>, Miss> {
        if self.at + 1 < self.run.posts().len() {
            self.at += 1;
            return Ok(Some(self));
        }
        first_from(memory, self.author, author, self.number + 1)
    }

    /// Which key holds it, for [`remove`].
    pub(crate) fn place(&self) -> Place {
        Place {
            author: self.author,
            id: self.post().id,
            key: match self.run {
                Run::Ring(_) => post::author_key(self.author),
                Run::Block(_) => post::block_key(self.author, self.number),
            },
        }
    }
}

/// What an author has posted; `None` = nothing ever.
pub(crate) fn author(memory: &Memory, no: UserNo) -> Result<Option<&Author>, Miss> {
    Ok(memory.get(post::author_key(no))?.map(|author| &**author))
}

fn block(memory: &Memory, no: UserNo, number: u32) -> Result<&Block, Miss> {
    Ok(memory.need::<Block>(post::block_key(no, number))?)
}

fn ring(no: UserNo, author: &Author, at: usize) -> Option<Spot<'_>> {
    (at < author.ring.len()).then_some(Spot {
        author: no,
        number: author.blocks,
        run: Run::Ring(author),
        at,
    })
}

/// The last post of the blocks before `number`.
fn last_before(memory: &Memory, no: UserNo, number: u32) -> Result<Option<Spot<'_>>, Miss> {
    for number in (0..number).rev() {
        let block = block(memory, no, number)?;
        if let Some(at) = block.posts.len().checked_sub(1) {
            return Ok(Some(Spot {
                author: no,
                number,
                run: Run::Block(block),
                at,
            }));
        }
    }
    Ok(None)
}

/// The first post of the blocks from `number` on, or of the ring.
fn first_from<'a>(
    memory: &'a Memory,
    no: UserNo,
    author: &'a Author,
    number: u32,
) -> Result<Option<Spot<'a>>, Miss> {
    for number in number..author.blocks {
        let block = block(memory, no, number)?;
        if !block.posts.is_empty() {
            return Ok(Some(Spot {
                author: no,
                number,
                run: Run::Block(block),
                at: 0,
            }));
        }
    }
    // What comes after the ring is nothing.
    Ok(if number <= author.blocks {
        ring(no, author, 0)
    } else {
        None
    })
}

/// The last block whose first post is not after `id`: the one that holds `id` if any does.
fn block_of(
    memory: &Memory,
    no: UserNo,
    blocks: u32,
    id: Seq,
) -> Result<Option<(u32, Run<'_>)>, Miss> {
    // Most often it is the last block; else a binary search over the blocks.
    let (mut low, mut high) = (0, blocks);
    let mut probe = blocks.saturating_sub(1);
    let mut found = None;
    while low < high {
        let block = block(memory, no, probe)?;
        if block.first <= id {
            found = Some((probe, Run::Block(block)));
            low = probe + 1;
        } else {
            high = probe;
        }
        probe = low + (high - low) / 2;
    }
    Ok(found)
}

/// The newest post of an author with an id below `before`.
pub(crate) fn newest_below<'a>(
    memory: &'a Memory,
    no: UserNo,
    author: &'a Author,
    before: Seq,
) -> Result<Option<Spot<'a>>, Miss> {
    if author.newest == Seq::ZERO || before == Seq::ZERO {
        return Ok(None);
    }
    // A first page looks at no other post of the ring for it.
    let in_ring = if author.newest < before {
        author.ring.len()
    } else {
        author.ring.partition_point(|post| post.id < before)
    };
    if in_ring > 0 {
        return Ok(ring(no, author, in_ring - 1));
    }
    let last = Seq::from_u64(before.as_u64() - 1);
    let Some((number, run)) = block_of(memory, no, author.blocks, last)? else {
        return Ok(None);
    };
    match run.below(before) {
        0 => last_before(memory, no, number),
        below => Ok(Some(Spot {
            author: no,
            number,
            run,
            at: below - 1,
        })),
    }
}

/// The oldest post of an author with an id above `after`.
pub(crate) fn oldest_above<'a>(
    memory: &'a Memory,
    no: UserNo,
    author: &'a Author,
    after: Seq,
) -> Result<Option<Spot<'a>>, Miss> {
    if author.newest <= after {
        return Ok(None);
    }
    // A post of the ring at or below `after` says that nothing above it stands in the blocks.
    let in_ring = author.ring.partition_point(|post| post.id <= after);
    if in_ring > 0 {
        return Ok(ring(no, author, in_ring));
    }
    let Some((number, run)) = block_of(memory, no, author.blocks, after)? else {
        return first_from(memory, no, author, 0);
    };
    let at = run.below(after.next());
    if at < run.posts().len() {
        return Ok(Some(Spot {
            author: no,
            number,
            run,
            at,
        }));
    }
    first_from(memory, no, author, number + 1)
}

/// The post with this id.
pub(crate) fn find<'a>(
    memory: &'a Memory,
    no: UserNo,
    author: &'a Author,
    id: Seq,
) -> Result<Option<Spot<'a>>, Miss> {
    let spot = newest_below(memory, no, author, id.next())?;
    Ok(spot.filter(|spot| spot.post().id == id))
}

/// What has to be read before [`append`].
pub(crate) fn before_append(memory: &Memory, no: UserNo) -> Result<(), Miss> {
    if let Some(author) = author(memory, no)?
        && author.ring.len() >= RING_POSTS
        && let Some(last) = author.blocks.checked_sub(1)
    {
        block(memory, no, last)?;
    }
    Ok(())
}

/// Adds a post with an id above all others of its author, whose name is `name`.
pub(crate) fn append(memory: &mut Memory, no: UserNo, name: Username, new: BlockPost) {
    let bytes = new.text.as_str().len() + size_of::<BlockPost>();
    let key = post::author_key(no);
    if !matches!(author(memory, no), Ok(Some(_))) {
        memory.put(key, Author::new(name));
    }
    memory.note_newest(no, new.id);
    let author: &mut Author = memory.change(key).expect("it was read, or put, before");
    author.newest = new.id;
    author.posts += 1;
    if author.ring.len() < RING_POSTS {
        author.ring.push(new);
    } else {
        let full = std::mem::replace(&mut author.ring, vec![new]);
        let blocks = author.blocks;
        let added = move_into_blocks(memory, no, blocks, full);
        let author: &mut Author = memory.change(key).expect("just changed");
        author.blocks += added;
    }
    memory.grew(bytes);
}

/// Moves a full ring into the last block, or a new one; returns how many were added.
fn move_into_blocks(memory: &mut Memory, no: UserNo, blocks: u32, full: Vec<BlockPost>) -> u32 {
    let bytes = full.iter().map(|post| post.text.as_str().len() + 64).sum();
    memory.grew(bytes);
    let taken = u16::try_from(full.len()).unwrap_or(u16::MAX);
    let last = blocks.checked_sub(1);
    let room = last.filter(|last| block(memory, no, *last).is_ok_and(|block| !block.is_full()));
    if let Some(last) = room {
        let block: &mut Block = memory
            .change(post::block_key(no, last))
            .expect("it was read before");
        block.taken += taken;
        block.posts.extend(full);
        return 0;
    }
    let first = full[0].id;
    memory.put(
        post::block_key(no, blocks),
        Block {
            first,
            taken,
            posts: full,
        },
    );
    1
}

/// Removes the post at `place`; `next` = what then is the author's newest post, if it was the newest.
pub(crate) fn remove(memory: &mut Memory, place: Place, next: Option<Seq>) {
    let Place { author: no, id, .. } = place;
    let author: &mut Author = memory
        .change(post::author_key(no))
        .expect("the place was found through it");
    author.posts -= 1;
    if author.newest == id {
        author.newest = next.unwrap_or_default();
    }
    let newest = author.newest;
    if place.key == post::author_key(no) {
        author.ring.retain(|post| post.id != id);
    } else {
        let block: &mut Block = memory
            .change(place.key)
            .expect("the place was read from it");
        block.posts.retain(|post| post.id != id);
    }
    memory.note_newest(no, newest);
}

/// What a page reads next of an author, to fetch it ahead; `None` = it is in the ring.
pub(crate) fn next_key(no: UserNo, author: &Author, before: Seq) -> Option<Key> {
    let in_ring = author.ring.first().is_some_and(|oldest| oldest.id < before);
    let last = author.blocks.checked_sub(1).filter(|_| !in_ring);
    last.map(|last| post::block_key(no, last))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::log::LogId;
    use crate::post::Text;
    use crate::view::Store;
    use crate::view::keys::meta::Meta;
    use crate::view::tests::Draw;

    const AUTHOR: UserNo = UserNo(1);

    /// Nothing is ever evicted, so nothing misses.
    fn check(memory: &Memory, model: &BTreeSet<Seq>, last: u64) {
        let id = |spot: Option<Spot>| spot.map(|spot| spot.post().id);
        let who = author(memory, AUTHOR).unwrap().unwrap();
        assert_eq!(who.newest, model.last().copied().unwrap_or_default());
        assert_eq!(who.posts, model.len() as u64);
        for index in 0..=last + 1 {
            let at = Seq::new(index, 0);
            let below = newest_below(memory, AUTHOR, who, at).unwrap();
            assert_eq!(id(below), model.range(..at).next_back().copied());
            let above = oldest_above(memory, AUTHOR, who, at).unwrap();
            assert_eq!(id(above), model.range(at.next()..).next().copied());
            let found = find(memory, AUTHOR, who, at).unwrap();
            assert_eq!(id(found), model.get(&at).copied());
        }
        let mut down = Vec::new();
        let mut spot = newest_below(memory, AUTHOR, who, Seq::MAX).unwrap();
        while let Some(at) = spot {
            down.push(at.post().id);
            spot = at.older(memory).unwrap();
        }
        assert!(down.iter().rev().eq(model));
        let mut up = Vec::new();
        let mut spot = oldest_above(memory, AUTHOR, who, Seq::ZERO).unwrap();
        while let Some(at) = spot {
            up.push(at.post().id);
            spot = at.newer(memory, who).unwrap();
        }
        assert!(up.iter().eq(model));
    }

    #[test]
    fn posts_are_found_when_the_newest_and_whole_blocks_are_deleted() {
        let seed = rand::random();
        println!("seed {seed}");
        let mut draw = Draw(seed);
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), crate::view::seams::Seams::default()).unwrap();
        let mut memory = Memory::new(Meta::new(LogId(1)), usize::MAX);
        memory.load(&store, &[post::author_key(AUTHOR)]).unwrap();
        let mut model = BTreeSet::new();
        let mut last = 0;
        for _ in 0..14 {
            for _ in 0..=draw.below(149) {
                last += 1;
                let id = Seq::new(last, 0);
                let text = Text::parse("x").unwrap();
                before_append(&memory, AUTHOR).unwrap();
                let post = BlockPost {
                    id,
                    created_at_ms: 0,
                    text,
                };
                append(&mut memory, AUTHOR, Username::parse("a").unwrap(), post);
                model.insert(id);
            }
            // The newest ones, a range in the middle, or all.
            let ids: Vec<Seq> = model.iter().copied().collect();
            let gone = match draw.below(4) {
                0 => {
                    let some = usize::try_from(draw.below(90)).unwrap();
                    ids.iter().rev().take(some).copied().collect()
                }
                1 => ids[ids.len() / 4..ids.len() * 3 / 4].to_vec(),
                2 => ids,
                _ => Vec::new(),
            };
            for id in gone {
                let who = author(&memory, AUTHOR).unwrap().unwrap();
                let spot = find(&memory, AUTHOR, who, id).unwrap().unwrap();
                let next = if who.newest == id {
                    spot.older(&memory).unwrap()
                } else {
                    None
                };
                let next = next.map(|next| next.post().id);
                let place = spot.place();
                remove(&mut memory, place, next);
                model.remove(&id);
            }
            check(&memory, &model, last);
        }
    }
}

//! Reads: the home page by merging, the page of one user, lists of users, what a stream missed.
//!
//! Each runs over memory at one applied seq, which it returns.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::keys::deletion::{self, Deletions};
use super::keys::post::Author;
use super::keys::user::{self, UserRecord};
use super::keys::{Key, UserNo};
use super::memory::{Memory, Miss};
use super::posts::{self, Spot};
use super::{ReadError, edges};
use crate::error::{Error, Reason};
use crate::post::{Post, User};
use crate::seq::Seq;
use crate::user::Username;

/// Some of what there is, the state it is from, and whether more follows.
#[derive(Debug)]
pub(crate) struct Part<T> {
    pub(crate) items: Vec<T>,
    pub(crate) more: bool,
    pub(crate) seq: Seq,
}

/// Which posts of a home timeline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HomeQuery {
    pub(crate) before: Seq,
    pub(crate) limit: usize,
    pub(crate) since_follow: bool,
    pub(crate) exclude_own: bool,
}

/// Which users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UserList {
    All,
    Following(Username),
    Followers(Username),
}

/// Something that a stream has to tell.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    Post(Post),
    Deleted { seq: Seq, post: Seq },
}

impl Happening {
    pub(crate) fn seq(&self) -> Seq {
        match self {
            Self::Post(post) => post.id,
            Self::Deleted { seq, .. } => *seq,
        }
    }
}

/// The number of a user.
pub(crate) fn user_no(memory: &Memory, name: &Username) -> Result<UserNo, ReadError> {
    let found = edges::find(memory, edges::ALL, name)?;
    Ok(found.ok_or_else(|| no_user(name))?.no)
}

/// Whether there is such a user.
pub(crate) fn has_user(memory: &Memory, name: &Username) -> Result<bool, ReadError> {
    Ok(edges::find(memory, edges::ALL, name)?.is_some())
}

fn no_user(name: &Username) -> Error {
    Error::new(Reason::UserNotFound, format!("there is no user {name}"))
}

/// The seq of the follow of `author` by `reader`, if there is one.
pub(crate) fn follow_seq(
    memory: &Memory,
    reader: UserNo,
    author: &Username,
) -> Result<Option<Seq>, ReadError> {
    Ok(edges::find(memory, edges::following(reader), author)?.map(|edge| edge.seq))
}

/// An author whose posts a page merges, and from where on they count.
struct Source<'a> {
    no: UserNo,
    name: Username,
    author: &'a Arc<Author>,
    since: Seq,
}

/// The reader's sources: all followees, and the reader, if they have posts.
fn sources<'a>(
    memory: &'a Memory,
    (reader, reader_name): (UserNo, &Username),
    since_follow: bool,
    own: bool,
) -> Result<Vec<Source<'a>>, Miss> {
    let mut found = Vec::new();
    let mut missing = Vec::new();
    let mut take = |no: UserNo, name: &Username, since: Seq| match posts::author(memory, no) {
        Ok(Some(author)) if author.newest > since => {
            found.push(Source {
                no,
                name: *name,
                author,
                since,
            });
        }
        Ok(_) | Err(Miss::Lost(_)) => {}
        Err(Miss::Fetch(mut keys)) => missing.append(&mut keys),
    };
    edges::for_each(memory, edges::following(reader), |edge| {
        take(
            edge.no,
            &edge.name,
            if since_follow { edge.seq } else { Seq::ZERO },
        );
    })?;
    if own {
        take(reader, reader_name, Seq::ZERO);
    }
    if missing.is_empty() {
        Ok(found)
    } else {
        Err(Miss::Fetch(missing))
    }
}

/// One entry of the merge: the newest post of a source that may come next. `spot` is empty as long
/// as only a bound is known: many sources never get further.
struct Candidate<'a> {
    id: Seq,
    spot: Option<Spot>,
    source: Source<'a>,
}

impl PartialEq for Candidate<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Candidate<'_> {}

impl PartialOrd for Candidate<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.id.cmp(&other.id)
    }
}

/// The newest posts below `before` of the reader and those the reader follows.
pub(crate) fn home(
    memory: &Memory,
    reader: &Username,
    query: &HomeQuery,
) -> Result<Part<Post>, ReadError> {
    let seq = memory.meta.applied;
    let reader_no = user_no(memory, reader)?;
    let sources = sources(
        memory,
        (reader_no, reader),
        query.since_follow,
        !query.exclude_own,
    )?;
    let below = Seq::from_u64(query.before.as_u64().saturating_sub(1));
    let mut heap: BinaryHeap<Candidate<'_>> = sources
        .into_iter()
        .map(|source| Candidate {
            id: source.author.newest.min(below),
            spot: None,
            source,
        })
        .collect();
    let mut items = Vec::with_capacity(query.limit);
    while let Some(Candidate { id, spot, source }) = heap.pop() {
        let next = match spot {
            None => match posts::newest_below(memory, source.no, source.author, query.before) {
                Ok(spot) => spot,
                Err(miss) => return Err(ahead(memory, miss, heap, query).into()),
            },
            Some(spot) => {
                if items.len() == query.limit {
                    return Ok(Part {
                        items,
                        more: true,
                        seq,
                    });
                }
                items.push(shown(&source.name, &spot));
                spot.older(memory)?
            }
        };
        if let Some(spot) = next
            && spot.post().id > source.since
        {
            debug_assert!(spot.post().id <= id, "a bound holds");
            heap.push(Candidate {
                id: spot.post().id,
                spot: Some(spot),
                source,
            });
        }
    }
    Ok(Part {
        items,
        more: false,
        seq,
    })
}

/// Adds to a miss the rings that the page is likely to open next, so that a cold page is fetched in
/// few rounds.
fn ahead(
    memory: &Memory,
    miss: Miss,
    mut heap: BinaryHeap<Candidate<'_>>,
    query: &HomeQuery,
) -> Miss {
    let Miss::Fetch(mut keys) = miss else {
        return miss;
    };
    while keys.len() <= query.limit
        && let Some(Candidate { spot, source, .. }) = heap.pop()
    {
        let key = posts::next_key(source.no, source.author, query.before);
        keys.extend(key.filter(|key| spot.is_none() && !memory.has(*key)));
    }
    Miss::Fetch(keys)
}

fn shown(author: &Username, spot: &Spot) -> Post {
    let post = spot.post();
    Post {
        id: post.id,
        author: *author,
        text: post.text.clone(),
        created_at_ms: post.created_at_ms,
    }
}

/// The newest posts below `before` of one user.
pub(crate) fn posts_of(
    memory: &Memory,
    author: &Username,
    before: Seq,
    limit: usize,
) -> Result<Part<Post>, ReadError> {
    let seq = memory.meta.applied;
    let no = user_no(memory, author)?;
    let mut items = Vec::with_capacity(limit);
    let mut next = match posts::author(memory, no)? {
        None => None,
        Some(record) => posts::newest_below(memory, no, record, before)?,
    };
    while let Some(spot) = next {
        if items.len() == limit {
            return Ok(Part {
                items,
                more: true,
                seq,
            });
        }
        items.push(shown(author, &spot));
        next = spot.older(memory)?;
    }
    Ok(Part {
        items,
        more: false,
        seq,
    })
}

/// Users of a list by name, after `after`.
pub(crate) fn users(
    memory: &Memory,
    list: &UserList,
    after: Option<&Username>,
    limit: usize,
) -> Result<Part<User>, ReadError> {
    let list = match list {
        UserList::All => edges::ALL,
        UserList::Following(user) => edges::following(user_no(memory, user)?),
        UserList::Followers(user) => edges::followers(user_no(memory, user)?),
    };
    let mut edges = edges::page(memory, list, after, limit + 1)?;
    let more = edges.len() > limit;
    edges.truncate(limit);
    let missing: Vec<Key> = edges
        .iter()
        .map(|edge| user::key(edge.no))
        .filter(|key| !memory.has(*key))
        .collect();
    if !missing.is_empty() {
        return Err(Miss::Fetch(missing).into());
    }
    let items = edges
        .iter()
        .map(|edge| {
            let user = memory.need::<UserRecord>(user::key(edge.no))?;
            Ok(User {
                username: edge.name,
                created_at_ms: user.created_at_ms,
            })
        })
        .collect::<Result<_, Miss>>()?;
    Ok(Part {
        items,
        more,
        seq: memory.meta.applied,
    })
}

/// What a stream of `reader` has to tell after `after`, oldest first: posts of those followed since
/// before the post, and deletions. At most `limit`; `more` = there is more up to the applied seq.
pub(crate) fn missed(
    memory: &Memory,
    reader: UserNo,
    after: Seq,
    exclude_own: bool,
    limit: usize,
) -> Result<Part<Happening>, ReadError> {
    let seq = memory.meta.applied;
    let mut heap = BinaryHeap::new();
    let mut missing = Vec::new();
    let reader_name = memory.need::<UserRecord>(user::key(reader))?.name;
    let sources = sources(memory, (reader, &reader_name), true, !exclude_own)?;
    let sources: Vec<_> = sources
        .into_iter()
        .filter(|source| source.author.newest > after)
        .collect();
    for (at, source) in sources.iter().enumerate() {
        let from = after.max(source.since);
        match posts::oldest_above(memory, source.no, source.author, from) {
            Ok(Some(spot)) => heap.push(Reverse((spot.post().id, at, Held(spot)))),
            Ok(None) => {}
            Err(Miss::Fetch(mut keys)) => missing.append(&mut keys),
            Err(lost) => return Err(lost.into()),
        }
    }
    if !missing.is_empty() {
        return Err(Miss::Fetch(missing).into());
    }
    let mut items = Vec::new();
    while let Some(Reverse((_, at, Held(spot)))) = heap.pop() {
        if items.len() > limit {
            break;
        }
        let source = &sources[at];
        items.push(Happening::Post(shown(&source.name, &spot)));
        if let Some(spot) = spot.newer(memory, source.author)? {
            heap.push(Reverse((spot.post().id, at, Held(spot))));
        }
    }
    items.extend(deletions(memory, reader, after, exclude_own, limit)?);
    items.sort_by_key(Happening::seq);
    let more = items.len() > limit;
    items.truncate(limit);
    Ok(Part { items, more, seq })
}

/// Up to `limit + 1` deletions after `after` that concern `reader`.
fn deletions(
    memory: &Memory,
    reader: UserNo,
    after: Seq,
    exclude_own: bool,
    limit: usize,
) -> Result<Vec<Happening>, ReadError> {
    let (first, next) = memory.meta.deletions;
    let mut found = Vec::new();
    // From the newest chunk back to the one that holds `after`, then forward.
    let mut from = next.div_ceil(deletion::CHUNK);
    while from > first / deletion::CHUNK {
        from -= 1;
        let chunk = memory.need::<Deletions>(deletion::key(from))?;
        if chunk
            .deletions
            .first()
            .is_some_and(|deletion| deletion.seq <= after)
        {
            break;
        }
    }
    for number in from..next.div_ceil(deletion::CHUNK) {
        let chunk = memory.need::<Deletions>(deletion::key(number))?;
        for (ordinal, deletion) in (number * deletion::CHUNK..).zip(&chunk.deletions) {
            if deletion.seq <= after || ordinal < first {
                continue;
            }
            if concerns(memory, reader, deletion.author, exclude_own)? {
                found.push(Happening::Deleted {
                    seq: deletion.seq,
                    post: deletion.post,
                });
                if found.len() > limit {
                    return Ok(found);
                }
            }
        }
    }
    Ok(found)
}

/// Whether a stream of `reader` is told of what `author` deletes.
pub(crate) fn concerns(
    memory: &Memory,
    reader: UserNo,
    author: UserNo,
    exclude_own: bool,
) -> Result<bool, ReadError> {
    if reader == author {
        return Ok(!exclude_own);
    }
    let name = memory.need::<UserRecord>(user::key(author))?.name;
    Ok(follow_seq(memory, reader, &name)?.is_some())
}

/// The numbers of all whose posts a stream of `reader` may get.
pub(crate) fn watched(
    memory: &Memory,
    reader: UserNo,
    exclude_own: bool,
) -> Result<Vec<UserNo>, ReadError> {
    let mut watched = Vec::new();
    edges::for_each(memory, edges::following(reader), |edge| {
        watched.push(edge.no);
    })?;
    if !exclude_own {
        watched.push(reader);
    }
    Ok(watched)
}

/// A spot inside a heap, where only the numbers before it order.
struct Held(Spot);

impl PartialEq for Held {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Held {}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Held {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

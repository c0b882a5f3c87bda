//! Reads: the home page by merging, the page of one user, lists of users, what a stream missed.
//!
//! Each runs over memory at one applied seq, which it returns.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::hint::black_box;

use super::keys::account::{self, AccountRecord};
use super::keys::deletion::{self, Deletions};
use super::keys::post::{self, Author};
use super::keys::user::{self, UserRecord};
use super::keys::{Key, UserNo};
use super::memory::{Memory, Miss};
use super::posts::{self, Spot};
use super::{ReadError, lists};
use crate::account::{Account, PasswordHash};
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
    Ok(lists::user(memory, name)?.ok_or_else(|| no_user(name))?)
}

/// Whether there is such a user.
pub(crate) fn has_user(memory: &Memory, name: &Username) -> Result<bool, ReadError> {
    Ok(lists::user(memory, name)?.is_some())
}

/// What is known of a name.
pub(crate) fn account(memory: &Memory, name: &Username) -> Result<Account, ReadError> {
    let Some(no) = lists::user(memory, name)? else {
        return Ok(Account::default());
    };
    let record = memory.get::<AccountRecord>(account::key(no))?;
    let password = record.filter(|record| !record.password.is_empty());
    Ok(Account {
        exists: true,
        password: password
            .map(|record| PasswordHash::new(&record.password))
            .transpose()?,
        revoked_ms: record.map_or(0, |record| record.revoked_ms),
    })
}

fn no_user(name: &Username) -> Error {
    Error::new(Reason::UserNotFound, format!("there is no user {name}"))
}

/// The seq of the follow of `author` by `reader`, if there is one.
pub(crate) fn follow_seq(
    memory: &Memory,
    reader: UserNo,
    author: &Username,
    author_no: UserNo,
) -> Result<Option<Seq>, ReadError> {
    let following = lists::following(reader);
    Ok(lists::edge(memory, following, author, author_no)?.map(|edge| edge.seq))
}

/// An author whose posts a page merges, and from where on they count.
#[derive(Clone, Copy)]
struct Source {
    no: UserNo,
    newest: Seq,
    since: Seq,
}

/// The reader's sources: all followees, and the reader, if they have posts.
fn sources(
    memory: &Memory,
    reader: UserNo,
    since_follow: bool,
    own: bool,
) -> Result<Vec<Source>, Miss> {
    let mut found = Vec::new();
    let mut missing = Vec::new();
    let mut take = |no: UserNo, since: Seq| match memory.newest(no) {
        Some(newest) if newest > since => found.push(Source { no, newest, since }),
        Some(_) => {}
        None => missing.push(post::author_key(no)),
    };
    lists::for_each(memory, lists::following(reader), |edge| {
        take(edge.no, if since_follow { edge.seq } else { Seq::ZERO });
    })?;
    if own {
        take(reader, Seq::ZERO);
    }
    if missing.is_empty() {
        Ok(found)
    } else {
        Err(Miss::Fetch(missing))
    }
}

/// The author of a source.
fn author_of(memory: &Memory, no: UserNo) -> Result<&Author, Miss> {
    Ok(memory.need::<Author>(post::author_key(no))?)
}

/// The newest posts below `before` of the reader and those the reader follows.
///
/// A heap of the sources, by the newest post of each that may come next. As long as only a bound of
/// it is known the author is not opened: many sources never get further.
pub(crate) fn home(
    memory: &Memory,
    reader: &Username,
    query: &HomeQuery,
) -> Result<Part<Post>, ReadError> {
    let seq = memory.meta.applied;
    let reader_no = user_no(memory, reader)?;
    let mut sources = sources(memory, reader_no, query.since_follow, !query.exclude_own)?;
    leave_out_the_late(&mut sources, query);
    if sources.len() <= query.limit + 1 {
        bring_close(memory, &sources);
    }
    let below = Seq::from_u64(query.before.as_u64().saturating_sub(1));
    let mut heap: BinaryHeap<(Seq, usize)> = sources
        .iter()
        .enumerate()
        .map(|(at, source)| (source.newest.min(below), at))
        .collect();
    let mut spots: Vec<Option<(&Username, Spot<'_>)>> = vec![None; sources.len()];
    let mut found = Vec::with_capacity(query.limit);
    let miss = loop {
        let Some(mut top) = heap.peek_mut() else {
            return Ok(Part {
                items: all_shown(&found),
                more: false,
                seq,
            });
        };
        let (bound, at) = *top;
        let source = &sources[at];
        let full = found.len() == query.limit;
        // It has a post that comes next: which one, is no matter.
        if full && (spots[at].is_some() || source.newest < query.before) {
            return Ok(Part {
                items: all_shown(&found),
                more: true,
                seq,
            });
        }
        let next = match spots[at] {
            None => {
                let newest = author_of(memory, source.no).and_then(|author| {
                    let spot = posts::newest_below(memory, source.no, author, query.before)?;
                    Ok(spot.map(|spot| (&author.name, spot)))
                });
                match newest {
                    Ok(next) => next,
                    Err(miss) => {
                        PeekMut::pop(top);
                        break miss;
                    }
                }
            }
            Some((name, spot)) => {
                found.push((name, spot));
                spot.older(memory)?.map(|older| (name, older))
            }
        };
        match next {
            Some((name, spot)) if spot.post().id > source.since => {
                debug_assert!(spot.post().id <= bound, "a bound holds");
                top.0 = spot.post().id;
                spots[at] = Some((name, spot));
            }
            _ => {
                PeekMut::pop(top);
            }
        }
    };
    let queued = heap.into_sorted_vec().into_iter().rev();
    let queued = queued.filter(|(_, at)| spots[*at].is_none());
    let queued = queued.map(|(_, at)| sources[at].no);
    Err(ahead(memory, miss, queued, query).into())
}

/// On a first page, where the newest post of every source is one of those asked for: the sources
/// with the newest posts, one more than fit, have all that the page holds and tell whether there is
/// more.
fn leave_out_the_late(sources: &mut Vec<Source>, query: &HomeQuery) {
    let most = query.limit + 1;
    if sources.len() > most && sources.iter().all(|source| source.newest < query.before) {
        sources.select_nth_unstable_by_key(most, |source| Reverse(source.newest));
        sources.truncate(most);
    }
}

/// Looks at what a merge of `sources` will look at first. The authors of a page lie all over the memory:
/// one by one, each waits for it four times; asked for side by side, they come together.
fn bring_close(memory: &Memory, sources: &[Source]) {
    let authors: Vec<&Author> = sources
        .iter()
        .filter_map(|source| memory.peek(post::author_key(source.no)))
        .collect();
    let blocks: u64 = authors.iter().map(|author| author.posts).sum();
    let newest = authors.iter().filter_map(|author| author.ring.last());
    let ids = newest.fold(0, |ids, post| ids ^ post.id.as_u64());
    black_box((blocks, ids));
}

/// The posts of a page, as they are handed out: all texts are looked at before the first is taken, for
/// the same reason as in [`bring_close`].
fn all_shown(found: &[(&Username, Spot<'_>)]) -> Vec<Post> {
    let texts = found.iter().map(|(_, spot)| spot.post().text.as_str());
    black_box(texts.fold(0, |all, text| all ^ text.as_bytes()[0]));
    found.iter().map(|(name, spot)| shown(name, spot)).collect()
}

/// Adds to a miss what the page is likely to open next, so that a cold page is fetched in few
/// rounds: the authors in `queued`, and the blocks of those that are here already.
fn ahead(
    memory: &Memory,
    miss: Miss,
    queued: impl Iterator<Item = UserNo>,
    query: &HomeQuery,
) -> Miss {
    let Miss::Fetch(mut keys) = miss else {
        return miss;
    };
    for no in queued.take(query.limit) {
        match posts::author(memory, no) {
            Ok(Some(author)) => {
                let key = posts::next_key(no, author, query.before);
                keys.extend(key.filter(|key| !memory.has(*key)));
            }
            Err(Miss::Fetch(key)) => keys.extend(key),
            _ => {}
        }
    }
    Miss::Fetch(keys)
}

fn shown(author: &Username, spot: &Spot<'_>) -> Post {
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
    let mut found = Vec::with_capacity(limit);
    let mut next = match posts::author(memory, no)? {
        None => None,
        Some(record) => posts::newest_below(memory, no, record, before)?,
    };
    while let Some(spot) = next {
        if found.len() == limit {
            return Ok(Part {
                items: all_shown(&found),
                more: true,
                seq,
            });
        }
        found.push((author, spot));
        next = spot.older(memory)?;
    }
    Ok(Part {
        items: all_shown(&found),
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
    let most = limit + 1;
    let mut listed = match list {
        UserList::All => lists::page(memory, lists::ALL, after, most)?,
        UserList::Following(user) => {
            let list = lists::following(user_no(memory, user)?);
            lists::page(memory, list, after, most)?
        }
        UserList::Followers(user) => {
            let list = lists::followers(user_no(memory, user)?);
            lists::page(memory, list, after, most)?
        }
    };
    let more = listed.len() > limit;
    listed.truncate(limit);
    let keys = listed.iter().map(|(_, no)| user::key(*no));
    let missing: Vec<Key> = keys.filter(|key| !memory.has(*key)).collect();
    if !missing.is_empty() {
        return Err(Miss::Fetch(missing).into());
    }
    let items = listed
        .iter()
        .map(|(name, no)| {
            let user = memory.need::<UserRecord>(user::key(*no))?;
            Ok(User {
                username: *name,
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
    let mut sources = sources(memory, reader, true, !exclude_own)?;
    sources.retain(|source| source.newest > after);
    for (at, source) in sources.iter().enumerate() {
        let from = after.max(source.since);
        let found = author_of(memory, source.no)
            .and_then(|author| posts::oldest_above(memory, source.no, author, from));
        match found {
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
        let author = author_of(memory, source.no)?;
        items.push(Happening::Post(shown(&author.name, &spot)));
        if let Some(spot) = spot.newer(memory, author)? {
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
    Ok(follow_seq(memory, reader, &name, author)?.is_some())
}

/// The numbers of all whose posts a stream of `reader` may get.
pub(crate) fn watched(
    memory: &Memory,
    reader: UserNo,
    exclude_own: bool,
) -> Result<Vec<UserNo>, ReadError> {
    let mut watched = Vec::new();
    lists::for_each(memory, lists::following(reader), |edge| {
        watched.push(edge.no);
    })?;
    if !exclude_own {
        watched.push(reader);
    }
    Ok(watched)
}

/// A spot inside a heap, where only the numbers before it order.
struct Held<'a>(Spot<'a>);

impl PartialEq for Held<'_> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Held<'_> {}

impl PartialOrd for Held<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Held<'_> {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

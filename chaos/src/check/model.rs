//! The state that the log stands for, folded by rules that were written down anew: what
//! `sns-core` does with a command is not asked, it is what is checked.

use std::collections::{BTreeMap, HashMap, VecDeque};

use xxhash_rust::xxh3::xxh3_128;

use crate::history::{Act, Command};

/// Requests that are remembered (sns.proto, "Ids").
const REQUESTS: usize = 1_000_000;
/// The most users that one follows.
const FOLLOWEES: u32 = 10_000;
/// Not yet.
pub(super) const NEVER: u64 = u64::MAX;

/// A user's number, in the order in which the log names them.
pub(super) type UserNo = u32;

/// Why a command changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reason {
    UserNotFound,
    PostNotFound,
    NotFollowing,
    AlreadyFollowing,
    SelfFollow,
    TooManyFollowees,
    RequestIdReused,
    RequestExpired,
}

impl Reason {
    /// Those that an answer to a caller may name; they say something about the state.
    pub(super) fn of_state(name: &str) -> Option<Self> {
        Some(match name {
            "USER_NOT_FOUND" => Self::UserNotFound,
            "POST_NOT_FOUND" => Self::PostNotFound,
            "NOT_FOLLOWING" => Self::NotFollowing,
            "ALREADY_FOLLOWING" => Self::AlreadyFollowing,
            "SELF_FOLLOW" => Self::SelfFollow,
            "TOO_MANY_FOLLOWEES" => Self::TooManyFollowees,
            _ => return None,
        })
    }
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// A checkpoint, or a user that was there.
    Nothing,
    /// What it says.
    Done,
    /// Nothing: an earlier one with the same request id was it.
    Repeated,
    /// Nothing.
    Refused(Reason),
}

/// A post that took effect.
#[derive(Clone, Copy, Debug)]
pub(super) struct Post<'a> {
    pub(super) id: u64,
    pub(super) author: UserNo,
    pub(super) text: &'a str,
    /// The seq of its deletion, or [`NEVER`].
    pub(super) deleted: u64,
}

/// A time of following: from the seq of the follow until that of the unfollow, or [`NEVER`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: u64,
    pub(super) until: u64,
}

impl Span {
    pub(super) fn covers(self, seq: u64) -> bool {
        self.from <= seq && seq < self.until
    }
}

/// All that was ever true, and when.
#[derive(Debug, Default)]
pub(super) struct Model<'a> {
    numbers: HashMap<&'a str, UserNo>,
    names: Vec<&'a str>,
    /// The seq that made the user, or [`NEVER`].
    created: Vec<u64>,
    /// In the order of ids.
    pub(super) posts: Vec<Post<'a>>,
    /// Of each user, ids and places in `posts`.
    by_author: Vec<Vec<(u64, u32)>>,
    /// Of each user: whom they ever followed, and when.
    pub(super) follows: Vec<BTreeMap<UserNo, Vec<Span>>>,
    following: Vec<u32>,
    /// Seq of the deletion and place in `posts`, in the order of seqs.
    pub(super) deletions: Vec<(u64, u32)>,
    /// Of each command, in the order of the log.
    pub(super) effects: Vec<Effect>,
}

/// What is remembered of requests while the log is folded.
#[derive(Default)]
struct Requests {
    /// The command that was the first with this id.
    by_id: HashMap<(UserNo, u128), usize>,
    oldest_first: VecDeque<(UserNo, u128, u64)>,
    /// What a client saw before this is too old to tell.
    since: u64,
}

impl<'a> Model<'a> {
    /// Folds a log whose seqs ascend.
    pub(super) fn fold(log: &'a [Command]) -> Self {
        let mut model = Self::default();
        let mut requests = Requests::default();
        model.effects.reserve_exact(log.len());
        for (at, command) in log.iter().enumerate() {
            let effect = model.command(log, at, command, &mut requests);
            model.effects.push(effect);
        }
        model
    }

    fn command(
        &mut self,
        log: &'a [Command],
        at: usize,
        command: &'a Command,
        requests: &mut Requests,
    ) -> Effect {
        let Some(user) = command.act.user() else {
            return Effect::Nothing;
        };
        let user = self.number(user);
        let known = self.created[user as usize] != NEVER;
        let (true, Some(id)) = (known, &command.request_id) else {
            return self.act(command, user);
        };
        let id = request_number(id);
        if let Some(first) = requests.by_id.get(&(user, id)) {
            return if log[*first].act == command.act {
                Effect::Repeated
            } else {
                Effect::Refused(Reason::RequestIdReused)
            };
        }
        if command.seen < requests.since {
            return Effect::Refused(Reason::RequestExpired);
        }
        let effect = self.act(command, user);
        requests.remember(user, id, at, command.seq);
        effect
    }

    fn act(&mut self, command: &'a Command, user: UserNo) -> Effect {
        let seq = command.seq;
        let known = self.created[user as usize] != NEVER;
        match &command.act {
            Act::Checkpoint => Effect::Nothing,
            Act::CreateUser { .. } if known => Effect::Nothing,
            Act::CreateUser { .. } => {
                self.created[user as usize] = seq;
                Effect::Done
            }
            _ if !known => Effect::Refused(Reason::UserNotFound),
            Act::Follow { followee, .. } => {
                let followee = self.number(followee);
                done(self.follow(user, followee, seq))
            }
            Act::Unfollow { followee, .. } => {
                let followee = self.number(followee);
                done(self.unfollow(user, followee, seq))
            }
            Act::CreatePost { text, .. } => {
                self.by_author[user as usize].push((seq, place(self.posts.len())));
                self.posts.push(Post {
                    id: seq,
                    author: user,
                    text,
                    deleted: NEVER,
                });
                Effect::Done
            }
            Act::DeletePost { id, .. } => done(self.delete(user, *id, seq)),
        }
    }

    fn follow(&mut self, user: UserNo, followee: UserNo, seq: u64) -> Result<(), Reason> {
        if user == followee {
            return Err(Reason::SelfFollow);
        }
        if self.created[followee as usize] == NEVER {
            return Err(Reason::UserNotFound);
        }
        let spans = self.follows[user as usize].get(&followee);
        if spans.is_some_and(|spans| spans.last().is_some_and(|last| last.until == NEVER)) {
            return Err(Reason::AlreadyFollowing);
        }
        if self.following[user as usize] >= FOLLOWEES {
            return Err(Reason::TooManyFollowees);
        }
        self.following[user as usize] += 1;
        let spans = self.follows[user as usize].entry(followee).or_default();
        spans.push(Span {
            from: seq,
            until: NEVER,
        });
        Ok(())
    }

    fn unfollow(&mut self, user: UserNo, followee: UserNo, seq: u64) -> Result<(), Reason> {
        if self.created[followee as usize] == NEVER {
            return Err(Reason::UserNotFound);
        }
        let spans = self.follows[user as usize].get_mut(&followee);
        match spans.and_then(|spans| spans.last_mut()) {
            Some(last) if last.until == NEVER => {
                last.until = seq;
                self.following[user as usize] -= 1;
                Ok(())
            }
            _ => Err(Reason::NotFollowing),
        }
    }

    fn delete(&mut self, user: UserNo, id: u64, seq: u64) -> Result<(), Reason> {
        let at = self.post_place(id).ok_or(Reason::PostNotFound)?;
        let post = &mut self.posts[at];
        if post.author != user || post.deleted != NEVER {
            return Err(Reason::PostNotFound);
        }
        post.deleted = seq;
        self.deletions.push((seq, place(at)));
        Ok(())
    }

    /// The number of a name, which is given one the first time.
    fn number(&mut self, name: &'a str) -> UserNo {
        *self.numbers.entry(name).or_insert_with(|| {
            let number = place(self.names.len());
            self.names.push(name);
            self.created.push(NEVER);
            self.by_author.push(Vec::new());
            self.follows.push(BTreeMap::new());
            self.following.push(0);
            number
        })
    }

    /// The number of a name that the log holds.
    pub(super) fn user(&self, name: &str) -> Option<UserNo> {
        self.numbers.get(name).copied()
    }

    pub(super) fn name(&self, user: UserNo) -> &'a str {
        self.names[user as usize]
    }

    /// Users that were made.
    pub(super) fn users(&self) -> usize {
        self.created.iter().filter(|seq| **seq != NEVER).count()
    }

    /// The seq that made the user, or [`NEVER`].
    pub(super) fn created(&self, name: &str) -> u64 {
        self.user(name)
            .map_or(NEVER, |no| self.created[no as usize])
    }

    pub(super) fn post_place(&self, id: u64) -> Option<usize> {
        self.posts.binary_search_by_key(&id, |post| post.id).ok()
    }

    pub(super) fn post(&self, id: u64) -> Option<&Post<'a>> {
        self.post_place(id).map(|at| &self.posts[at])
    }

    /// When `reader` followed `author`.
    pub(super) fn spans(&self, reader: UserNo, author: UserNo) -> &[Span] {
        self.follows[reader as usize]
            .get(&author)
            .map_or(&[], Vec::as_slice)
    }

    /// Ids and places of the posts of `author` with ids in `from..to`, in the order of ids.
    pub(super) fn posts_between(&self, author: UserNo, from: u64, to: u64) -> &[(u64, u32)] {
        let posts = &self.by_author[author as usize];
        let begin = posts.partition_point(|post| post.0 < from);
        let rest = &posts[begin..];
        &rest[..rest.partition_point(|post| post.0 < to)]
    }

    /// Places of all posts with ids in `from..to`, if it is less work to look at each of them than
    /// to search the posts of everybody whom `reader` follows.
    fn few_between(
        &self,
        reader: UserNo,
        from: u64,
        to: u64,
    ) -> Option<impl Iterator<Item = u32> + use<>> {
        let begin = self.posts.partition_point(|post| post.id < from);
        let most = self.follows[reader as usize].len().saturating_mul(4);
        let rest = &self.posts[begin..];
        if rest.get(most).is_some_and(|post| post.id < to) {
            return None;
        }
        let rest = &rest[..most.min(rest.len())];
        let end = begin + rest.partition_point(|post| post.id < to);
        Some(place(begin)..place(end))
    }

    /// Places of the posts with ids in `from..to` that a page shows at the state `at`, newest first:
    /// those of `of`, or of the home timeline of `reader`.
    pub(super) fn page(
        &self,
        reader: UserNo,
        of: Option<UserNo>,
        (from, to): (u64, u64),
        at: u64,
        found: &mut Vec<u32>,
    ) {
        found.clear();
        let to = to.min(at.saturating_add(1));
        let there = |place: &u32| self.posts[*place as usize].deleted > at;
        let mut take = |author| {
            let posts = self.posts_between(author, from, to).iter();
            found.extend(posts.map(|post| post.1).filter(there));
        };
        if let Some(author) = of {
            take(author);
        } else if let Some(few) = self.few_between(reader, from, to) {
            let follows = &self.follows[reader as usize];
            let shown = |author: UserNo| {
                let spans = || follows.get(&author).map_or(&[][..], Vec::as_slice);
                author == reader || spans().iter().any(|span| span.covers(at))
            };
            let few = few.filter(|place| shown(self.posts[*place as usize].author));
            found.extend(few.filter(there));
        } else {
            take(reader);
            for (author, spans) in &self.follows[reader as usize] {
                if spans.iter().any(|span| span.covers(at)) {
                    take(*author);
                }
            }
        }
        found.sort_unstable_by(|one, other| other.cmp(one));
    }
}

impl Requests {
    fn remember(&mut self, user: UserNo, id: u128, at: usize, seq: u64) {
        if self.oldest_first.len() >= REQUESTS
            && let Some((user, id, _)) = self.oldest_first.pop_front()
        {
            self.by_id.remove(&(user, id));
            self.since = self.oldest_first.front().map_or(seq, |oldest| oldest.2);
        }
        self.oldest_first.push_back((user, id, seq));
        self.by_id.insert((user, id), at);
    }
}

fn done(result: Result<(), Reason>) -> Effect {
    result.map_or_else(Effect::Refused, |()| Effect::Done)
}

/// A place in a list; a history of 2^32 commands would not fit into memory.
fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// A UUID is the same in any case and with or without hyphens.
fn request_number(id: &str) -> u128 {
    let digits: String = id.chars().filter(|c| *c != '-').collect();
    u128::from_str_radix(&digits, 16).unwrap_or_else(|_| xxh3_128(id.as_bytes()))
}

impl Act {
    /// Whose it is; nobody's: a checkpoint.
    pub(super) fn user(&self) -> Option<&str> {
        match self {
            Self::CreateUser { user }
            | Self::Follow { user, .. }
            | Self::Unfollow { user, .. }
            | Self::CreatePost { user, .. }
            | Self::DeletePost { user, .. } => Some(user),
            Self::Checkpoint => None,
        }
    }
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;

//! The only way state changes: a command in, an outcome out.
//!
//! Deterministic and total: the same log gives the same facts on every replica. No clock, no
//! randomness, no hash order, no local setting in here; checks that need state are made here and
//! nowhere else. Everything a decision reads is read before anything is changed.

use serde::{Deserialize, Serialize};

use super::keys::account::{self, AccountRecord};
use super::keys::deletion::{self, Deletion, Deletions};
use super::keys::list::{Edge, Named};
use super::keys::post::BlockPost;
use super::keys::request::{self, Request, Requests};
use super::keys::user::{self, UserRecord};
use super::keys::{Key, Stored, UserNo, Value};
use super::memory::{Memory, Miss};
use super::seams::lacks;
use super::{Error, Store, digest, lists, posts};
use crate::account::PasswordHash;
use crate::command::{Command, Intent};
use crate::error::Reason;
use crate::limits;
use crate::post::Text;
use crate::seq::Seq;
use crate::user::Username;

/// What applying a command yielded; a refusal is an outcome too, and remembered like one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// A follow, an unfollow, a deletion or a checkpoint took effect.
    Done,
    /// The user is there; `created`: this command made it.
    User { created: bool },
    /// The post is there; its id is the seq.
    Posted { created_at_ms: u64 },
    /// Nothing changed; a number of [`Reason`].
    Refused(i32),
}

impl Outcome {
    pub(crate) fn refused(reason: Reason) -> Self {
        Self::Refused(reason as i32)
    }

    /// For the digest.
    pub(crate) fn as_numbers(self) -> (u64, u64) {
        match self {
            Self::Done => (1, 0),
            Self::User { created } => (2, u64::from(created)),
            Self::Posted { created_at_ms } => (3, created_at_ms),
            Self::Refused(reason) => (4, u64::from(reason.unsigned_abs())),
        }
    }
}

/// Where a command took effect, and how. Of a retry: where the first attempt did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) seq: Seq,
    pub(crate) outcome: Outcome,
}

/// What open streams want to know of an applied command.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Posted {
        author: UserNo,
        name: Username,
        id: Seq,
        created_at_ms: u64,
        text: Text,
    },
    Deleted {
        author: UserNo,
        seq: Seq,
        post: Seq,
    },
    Followed {
        user: UserNo,
        followee: UserNo,
    },
}

/// How much is remembered: constants of the rules, smaller in tests that cannot write a million.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) requests: u64,
    pub(crate) deletions: u64,
    pub(crate) followees: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            requests: limits::REQUESTS,
            deletions: limits::DELETIONS,
            followees: limits::FOLLOWEES,
        }
    }
}

/// One command under way.
pub(crate) struct Apply<'a> {
    pub(crate) memory: &'a mut Memory,
    pub(crate) store: &'a Store,
    pub(crate) rules: Rules,
    pub(crate) changes: &'a mut Vec<Change>,
}

impl Apply<'_> {
    /// Applies `command` at `seq`. Log time is in the memory's `meta` already.
    pub(crate) fn command(&mut self, seq: Seq, command: &Command) -> Result<Applied, Error> {
        let done = |outcome| Ok(Applied { seq, outcome });
        let Some(user) = command.intent.user() else {
            // A checkpoint changes nothing; the view compares its digest.
            return done(Outcome::Done);
        };
        let user_no = self.user(user)?;
        let (Some(id), Some(user_no)) = (command.request_id, user_no) else {
            let outcome = self.intent(seq, user_no, &command.intent)?;
            return done(outcome);
        };
        let content = command.content_hash();
        if let Some(ordinal) = self.memory.request(user_no, id)
            && !lacks!(self.store, RequestId)
        {
            let first = self.remembered(ordinal)?;
            if first.content == content {
                return Ok(Applied {
                    seq: first.seq,
                    outcome: first.outcome,
                });
            }
            return done(Outcome::refused(Reason::RequestIdReused));
        }
        let forgotten = command.seen < self.memory.meta.requests_since;
        if forgotten && !lacks!(self.store, Seen) {
            return done(Outcome::refused(Reason::RequestExpired));
        }
        let outcome = self.intent(seq, Some(user_no), &command.intent)?;
        self.remember(Request {
            user: user_no,
            id,
            content,
            seq,
            outcome,
        })?;
        done(outcome)
    }

    fn intent(
        &mut self,
        seq: Seq,
        user_no: Option<UserNo>,
        intent: &Intent,
    ) -> Result<Outcome, Error> {
        let outcome = match (intent, user_no) {
            (Intent::CreateUser { .. }, Some(_)) => Ok(Outcome::User { created: false }),
            (Intent::CreateUser { user }, None) => {
                self.create_user(*user);
                Ok(Outcome::User { created: true })
            }
            (
                Intent::CreateAccount {
                    user,
                    password,
                    claim,
                },
                no,
            ) => Ok(self.create_account(*user, no, password, *claim)?),
            (Intent::SetPassword { password, .. }, Some(no)) => {
                Ok(self.revoke(no, Some(password))?)
            }
            (Intent::RevokeTokens { .. }, Some(no)) => Ok(self.revoke(no, None)?),
            (Intent::Follow { user, followee }, Some(no)) => {
                self.follow(seq, *user, no, followee)?
            }
            (Intent::Unfollow { followee, user }, Some(no)) => self.unfollow(user, no, followee)?,
            (Intent::CreatePost { text, .. }, Some(no)) => Ok(self.create_post(seq, no, text)?),
            (Intent::DeletePost { id, .. }, Some(no)) => self.delete_post(seq, no, *id)?,
            (Intent::Checkpoint { .. }, _) => Ok(Outcome::Done),
            (_, None) => Err(Reason::UserNotFound),
        };
        Ok(outcome.unwrap_or_else(Outcome::refused))
    }

    /// Gives the name to whoever knows the password, unless it belongs to somebody.
    fn create_account(
        &mut self,
        user: Username,
        no: Option<UserNo>,
        password: &PasswordHash,
        claim: bool,
    ) -> Result<Outcome, Error> {
        let created = match no {
            None => {
                let no = self.create_user(user);
                let account = AccountRecord {
                    password: password.as_str().into(),
                    revoked_ms: 0,
                };
                self.put_account(no, None, account);
                true
            }
            Some(no) => {
                let free = self.account(no)?.is_none_or(|old| old.password.is_empty());
                if claim && free {
                    self.revoke(no, Some(password))?;
                }
                claim && free
            }
        };
        Ok(Outcome::User { created })
    }

    /// Makes all tokens void that were issued so far; sets the password, if one is given.
    fn revoke(&mut self, no: UserNo, password: Option<&PasswordHash>) -> Result<Outcome, Error> {
        let old = self.account(no)?;
        let mut account = old.clone().unwrap_or_default();
        account.revoked_ms = self.memory.meta.log_time_ms;
        if let Some(password) = password {
            account.password = password.as_str().into();
        }
        self.put_account(no, old.as_ref(), account);
        Ok(Outcome::Done)
    }

    fn account(&mut self, no: UserNo) -> Result<Option<AccountRecord>, Error> {
        self.read(|m| {
            Ok(m.get::<AccountRecord>(account::key(no))?
                .map(|a| AccountRecord::clone(a)))
        })
    }

    fn put_account(&mut self, no: UserNo, old: Option<&AccountRecord>, new: AccountRecord) {
        let gone = old.map_or(0, |old| digest::account(no, old));
        let meta = &mut self.memory.meta;
        meta.digest = meta
            .digest
            .wrapping_sub(gone)
            .wrapping_add(digest::account(no, &new));
        self.memory.put(account::key(no), new);
    }

    fn create_user(&mut self, name: Username) -> UserNo {
        let meta = &mut self.memory.meta;
        meta.users = meta.users.checked_add(1).expect("fewer than 2^32 users");
        let (no, users, created_at_ms) = (UserNo(meta.users), meta.users, meta.log_time_ms);
        meta.digest = meta
            .digest
            .wrapping_add(digest::user(no, &name, created_at_ms));
        let record = UserRecord {
            name,
            created_at_ms,
            following: 0,
            followers: 0,
        };
        self.memory.put(user::key(no), record);
        self.memory.name(name, no);
        let listed = Named { no, name };
        lists::insert(self.memory, lists::ALL, &name, listed, users.into());
        no
    }

    fn follow(
        &mut self,
        seq: Seq,
        user: Username,
        no: UserNo,
        followee: &Username,
    ) -> Result<Result<Outcome, Reason>, Error> {
        if user == *followee {
            return Ok(Err(Reason::SelfFollow));
        }
        let Some(other) = self.user(followee)? else {
            return Ok(Err(Reason::UserNotFound));
        };
        // A list that has nobody in it is not looked for: that would ask the disk.
        let following = self.read(|m| Ok(m.need::<UserRecord>(user::key(no))?.following))?;
        let followers = self.read(|m| Ok(m.need::<UserRecord>(user::key(other))?.followers))?;
        let (list, mirror) = (lists::following(no), lists::followers(other));
        let (count, mirror_count) = (following + 1, followers + 1);
        if following > 0 || self.memory.has(list.root()) {
            let there = |m: &Memory| lists::edge_or_room(m, list, followee, other, count.into());
            if self.read(there)?.is_some() {
                return Ok(Err(Reason::AlreadyFollowing));
            }
        }
        if following >= self.rules.followees {
            return Ok(Err(Reason::TooManyFollowees));
        }
        if followers > 0 || self.memory.has(mirror.root()) {
            self.read(|m| lists::room(m, mirror, &user, mirror_count.into()))?;
        }

        self.changed_user(no, |record| record.following = count);
        self.changed_user(other, |record| record.followers = mirror_count);
        let (to, from) = (Edge { no: other, seq }, Edge { no, seq });
        lists::insert(self.memory, list, followee, to, count.into());
        lists::insert(self.memory, mirror, &user, from, mirror_count.into());
        let meta = &mut self.memory.meta;
        meta.follows += 1;
        meta.digest = meta.digest.wrapping_add(digest::follow(no, other, seq));
        self.changes.push(Change::Followed {
            user: no,
            followee: other,
        });
        Ok(Ok(Outcome::Done))
    }

    fn unfollow(
        &mut self,
        user: &Username,
        no: UserNo,
        followee: &Username,
    ) -> Result<Result<Outcome, Reason>, Error> {
        let Some(other) = self.user(followee)? else {
            return Ok(Err(Reason::UserNotFound));
        };
        let (list, mirror) = (lists::following(no), lists::followers(other));
        let Some(edge) = self.read(|m| lists::edge(m, list, followee, other))? else {
            return Ok(Err(Reason::NotFollowing));
        };
        self.read(|m| lists::edge(m, mirror, user, no))?;
        self.record(no)?;
        self.record(other)?;

        self.changed_user(no, |record| record.following -= 1);
        self.changed_user(other, |record| record.followers -= 1);
        lists::remove(self.memory, list, followee, other);
        lists::remove(self.memory, mirror, user, no);
        let meta = &mut self.memory.meta;
        meta.follows -= 1;
        meta.digest = meta
            .digest
            .wrapping_sub(digest::follow(no, other, edge.seq));
        Ok(Ok(Outcome::Done))
    }

    fn create_post(&mut self, seq: Seq, no: UserNo, text: &Text) -> Result<Outcome, Error> {
        let name = self.record(no)?.name;
        self.read(|m| posts::before_append(m, no))?;
        let created_at_ms = self.memory.meta.log_time_ms;
        let post = BlockPost {
            id: seq,
            created_at_ms,
            text: text.clone(),
        };
        let meta = &mut self.memory.meta;
        meta.posts += 1;
        meta.digest = meta.digest.wrapping_add(digest::post(no, &post));
        posts::append(self.memory, no, name, post);
        self.changes.push(Change::Posted {
            author: no,
            name,
            id: seq,
            created_at_ms,
            text: text.clone(),
        });
        Ok(Outcome::Posted { created_at_ms })
    }

    fn delete_post(
        &mut self,
        seq: Seq,
        no: UserNo,
        id: Seq,
    ) -> Result<Result<Outcome, Reason>, Error> {
        let found = self.read(|m| {
            let Some(author) = posts::author(m, no)? else {
                return Ok(None);
            };
            let Some(spot) = posts::find(m, no, author, id)? else {
                return Ok(None);
            };
            let next = if author.newest == id {
                spot.older(m)?.map(|next| next.post().id)
            } else {
                None
            };
            Ok(Some((spot.place(), digest::post(no, spot.post()), next)))
        })?;
        let Some((place, gone, next)) = found else {
            return Ok(Err(Reason::PostNotFound));
        };
        self.note_deletion(Deletion {
            seq,
            post: id,
            author: no,
        })?;

        posts::remove(self.memory, place, next);
        let meta = &mut self.memory.meta;
        meta.posts -= 1;
        meta.digest = meta.digest.wrapping_sub(gone);
        self.changes.push(Change::Deleted {
            author: no,
            seq,
            post: id,
        });
        Ok(Ok(Outcome::Done))
    }

    /// Keeps a deletion for streams that resume, and forgets the oldest past the bound.
    fn note_deletion(&mut self, deletion: Deletion) -> Result<(), Error> {
        let (first, next) = self.memory.meta.deletions;
        let key = deletion::key(next / deletion::CHUNK);
        if next.is_multiple_of(deletion::CHUNK) {
            self.memory.put(key, Deletions::default());
        } else {
            self.read(|m| m.need::<Deletions>(key).map(|_| ()))?;
        }
        let chunk: &mut Deletions = self.changed(key);
        chunk.deletions.push(deletion);
        self.memory.grew(size_of::<Deletion>());
        let kept = first.max((next + 1).saturating_sub(self.rules.deletions));
        for chunk in first / deletion::CHUNK..kept / deletion::CHUNK {
            self.memory.put(deletion::key(chunk), Value::Absent);
        }
        self.memory.meta.deletions = (kept, next + 1);
        Ok(())
    }

    fn remembered(&mut self, ordinal: u64) -> Result<Request, Error> {
        let key = request::key(ordinal / request::CHUNK);
        let at = usize::try_from(ordinal % request::CHUNK).unwrap_or(0);
        self.read(|m| {
            m.need::<Requests>(key)?
                .requests
                .get(at)
                .cloned()
                .ok_or(Miss::Lost(key))
        })
    }

    fn remember(&mut self, new: Request) -> Result<(), Error> {
        let (first, next) = self.memory.meta.requests;
        if next - first >= self.rules.requests {
            self.forget_oldest(first, new.seq)?;
        }
        let key = request::key(next / request::CHUNK);
        if next.is_multiple_of(request::CHUNK) {
            self.memory.put(key, Requests::default());
        } else {
            self.read(|m| m.need::<Requests>(key).map(|_| ()))?;
        }
        let meta = &mut self.memory.meta;
        meta.requests.1 = next + 1;
        if !lacks!(self.store, RequestsInDigest) {
            meta.digest = meta.digest.wrapping_add(digest::request(&new));
        }
        self.memory.remember(new.user, new.id, next);
        let chunk: &mut Requests = self.changed(key);
        chunk.requests.push(new);
        self.memory.grew(size_of::<Request>());
        Ok(())
    }

    /// `newest` is about to be remembered: it is the oldest one then, if there is no other.
    fn forget_oldest(&mut self, first: u64, newest: Seq) -> Result<(), Error> {
        let oldest = self.remembered(first)?;
        let since = if first + 1 < self.memory.meta.requests.1 {
            self.remembered(first + 1)?.seq
        } else {
            newest
        };
        let key = request::key(first / request::CHUNK);
        if (first + 1).is_multiple_of(request::CHUNK) {
            self.memory.put(key, Value::Absent);
        } else {
            let chunk: &mut Requests = self.changed(key);
            chunk.forgotten += 1;
        }
        self.memory.forget(oldest.user, oldest.id);
        let meta = &mut self.memory.meta;
        meta.requests.0 = first + 1;
        meta.requests_since = since;
        if !lacks!(self.store, RequestsInDigest) {
            meta.digest = meta.digest.wrapping_sub(digest::request(&oldest));
        }
        Ok(())
    }

    fn user(&mut self, name: &Username) -> Result<Option<UserNo>, Error> {
        self.read(|m| lists::user(m, name))
    }

    fn record(&mut self, no: UserNo) -> Result<UserRecord, Error> {
        self.read(|m| Ok(UserRecord::clone(m.need(user::key(no))?)))
    }

    fn changed_user<T>(&mut self, no: UserNo, change: impl FnOnce(&mut UserRecord) -> T) -> T {
        change(self.changed(user::key(no)))
    }

    fn changed<T: Stored>(&mut self, key: Key) -> &mut T {
        self.memory
            .change(key)
            .expect("it was read, or put, before")
    }

    /// Runs `read`, fetching what it misses until it misses nothing: nothing is evicted meanwhile.
    fn read<T>(&mut self, read: impl Fn(&Memory) -> Result<T, Miss>) -> Result<T, Error> {
        loop {
            match read(self.memory) {
                Ok(found) => return Ok(found),
                Err(Miss::Fetch(keys)) => self.memory.load(self.store, &keys)?,
                Err(Miss::Lost(key)) => return Err(Error::lost(key)),
            }
        }
    }
}

impl Intent {
    /// Whose intent it is.
    pub(crate) fn user(&self) -> Option<&Username> {
        match self {
            Self::CreateUser { user }
            | Self::CreateAccount { user, .. }
            | Self::SetPassword { user, .. }
            | Self::RevokeTokens { user }
            | Self::Follow { user, .. }
            | Self::Unfollow { user, .. }
            | Self::CreatePost { user, .. }
            | Self::DeletePost { user, .. } => Some(user),
            Self::Checkpoint { .. } => None,
        }
    }
}

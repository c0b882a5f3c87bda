//! [`Import`]: a new feed made of facts.

use std::path::{Path, PathBuf};

use super::Fact;
use crate::backup::{first_index, install};
use crate::clock::Clock;
use crate::command::Intent;
use crate::data_dir::restoring::Restoring;
use crate::error::{Error, Reason, Result};
use crate::limits;
use crate::log::LogId;
use crate::seq::Seq;
use crate::user::Username;
use crate::view::apply::Outcome;
use crate::view::{self, View};

/// The highest seq that a fact may have: leaves indexes to the feed that goes on behind it.
const INDEX_MAX: u64 = Seq::INDEX_MAX / 4;

/// A feed that is being made, in a directory that nobody else opens meanwhile. Dropped unfinished, it
/// leaves nothing.
#[derive(Debug)]
pub struct Import {
    /// Before `target`, for fields drop in this order: its database, whose threads write, is closed
    /// before the directory in which it lies is deleted.
    view: View,
    target: Restoring,
    last: Seq,
    /// Whether some seq was not given out here: somebody may hold positions of the feed it is of.
    has_seqs: bool,
    /// When the first user was made.
    born_ms: Option<u64>,
    /// Of the last user, and of the last post: neither goes back.
    user_ms: u64,
    post_ms: u64,
}

/// The feed that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// Where it is; absolute.
    pub path: PathBuf,
    /// Its data id, which is new.
    pub data_id: String,
    /// Its digest.
    pub digest: u128,
    /// Users, follows and posts.
    pub users: u64,
    /// See [`Imported::users`].
    pub follows: u64,
    /// See [`Imported::users`].
    pub posts: u64,
    /// The highest seq of all facts.
    pub seq: Seq,
    /// The index of the first entry that it will write: behind all positions that the feed from which
    /// the facts come can have reached by now.
    pub first: u64,
}

impl Import {
    /// Takes the directory, which is missing, empty, or left by an import that was killed. `force`:
    /// also on a network file system.
    ///
    /// # Errors
    /// `Invalid`: there is something in it. `Unavailable`: another import fills it. `Exhausted`.
    pub fn begin(dir: impl AsRef<Path>, force: bool) -> Result<Self> {
        let target = Restoring::begin(dir.as_ref(), force)?;
        let place = target.scratch().join("made");
        let options = view::Options::default();
        let view = View::open(&place, LogId(rand::random()), &options)?;
        Ok(Self {
            view,
            target,
            last: Seq::ZERO,
            has_seqs: false,
            born_ms: None,
            user_ms: 0,
            post_ms: 0,
        })
    }

    /// Adds a fact. Users come before what they do; seqs of follows and posts ascend, times of users
    /// do not go back, nor do those of posts. Returns the seq, of a user that of the fact before.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `Conflict`, `Exhausted`: the fact breaks one of these rules, or one of
    /// the feed. The feed is of no use then. `Unavailable`: the disk.
    pub fn add(&mut self, fact: Fact) -> Result<Seq> {
        match fact {
            Fact::User {
                username: user,
                created_at_ms,
                password,
            } => {
                self.user_ms = not_before(self.user_ms, created_at_ms)?;
                self.born_ms.get_or_insert(created_at_ms);
                let intent = match password {
                    None => Intent::CreateUser { user },
                    Some(password) => Intent::CreateAccount {
                        user,
                        password,
                        claim: false,
                    },
                };
                match self.view.take_in(self.last, created_at_ms, intent)? {
                    Outcome::User { created: true } => Ok(self.last),
                    _ => Err(Error::invalid(format!("there is a user {user} already"))),
                }
            }
            Fact::Follow {
                seq,
                user,
                followee,
            } => {
                self.last = self.next(seq)?;
                let intent = Intent::Follow { user, followee };
                let outcome = self.view.take_in(self.last, self.post_ms, intent)?;
                self.done(outcome, user, Some(followee))
            }
            Fact::Post {
                id,
                author: user,
                text,
                created_at_ms,
            } => {
                self.last = self.next(id)?;
                self.post_ms = not_before(self.post_ms, created_at_ms)?;
                let intent = Intent::CreatePost { user, text };
                let outcome = self.view.take_in(self.last, created_at_ms, intent)?;
                self.done(outcome, user, None)
            }
        }
    }

    /// The seq that a fact takes.
    fn next(&mut self, wanted: Seq) -> Result<Seq> {
        let next = if wanted == Seq::ZERO {
            Seq::new((self.last.index() + 1).min(Seq::INDEX_MAX), 0)
        } else {
            wanted
        };
        self.has_seqs |= wanted != Seq::ZERO;
        if next <= self.last {
            return Err(Error::invalid(format!(
                "{next} does not come after {}: follows and posts stand in the order of their seqs",
                self.last
            )));
        }
        if next.index() == 0 || next.index() > INDEX_MAX {
            let (least, most) = (Seq::new(1, 0), Seq::end_of(INDEX_MAX));
            return Err(Error::invalid(format!(
                "{next} is no seq: they go from {least} to {most}"
            )));
        }
        Ok(next)
    }

    fn done(&self, outcome: Outcome, user: Username, followee: Option<Username>) -> Result<Seq> {
        let Outcome::Refused(number) = outcome else {
            return Ok(self.last);
        };
        let reason = Reason::try_from(number).unwrap_or(Reason::Internal);
        let whom = followee.map_or_else(String::new, |it| format!(" or {it}"));
        let message = match (reason, followee) {
            (Reason::UserNotFound, _) => {
                format!("there is no user {user}{whom}: users come before what they do")
            }
            (Reason::SelfFollow, _) => format!("{user} cannot follow themselves"),
            (Reason::AlreadyFollowing, Some(other)) => format!("{user} follows {other} already"),
            (Reason::TooManyFollowees, _) => format!(
                "{user} follows {} users already, which is the most",
                limits::FOLLOWEES
            ),
            (other, _) => format!("refused: {}", sns_proto::reason::name(other)),
        };
        Err(Error::new(reason, message))
    }

    /// Makes the feed of it; log time goes on from `log_time_ms`, or from the newest fact.
    ///
    /// # Errors
    /// `Unavailable`, `Exhausted`: the disk. `Invalid`: a time or a seq out of bounds. The directory is
    /// then as it was.
    /// # Durability
    /// On return all of it survives a power cut.
    pub fn finish(self, log_time_ms: u64) -> Result<Imported> {
        self.finish_at(log_time_ms, &Clock::system())
    }

    fn finish_at(self, log_time_ms: u64, clock: &Clock) -> Result<Imported> {
        let newest = self.user_ms.max(self.post_ms);
        let log_time_ms = not_before(0, log_time_ms)?.max(newest);
        let end = Seq::new(self.last.index() + 1, 0);
        self.view.end_at(end, log_time_ms);
        let made = self.view.snapshot(&self.target.scratch())?;
        let standing = self.view.standing();
        self.view.close();
        self.view.release();
        let first = if self.has_seqs {
            let born_ms = self.born_ms.unwrap_or(log_time_ms);
            first_index(end.index(), born_ms, clock.now_ms()).ok_or_else(|| {
                Error::invalid("no indexes are left behind these facts; is the clock right?")
            })?
        } else {
            end.index() + 1
        };
        install(&self.target, &made.path, first, standing.digest)?;
        let data_id = uuid::Uuid::new_v4().to_string();
        let data = self.target.finish(&data_id)?;
        Ok(Imported {
            path: data.path().to_owned(),
            data_id,
            digest: standing.digest,
            users: standing.users,
            follows: standing.follows,
            posts: standing.posts,
            seq: self.last,
            first,
        })
    }
}

/// The later of two times, if it is the second one.
fn not_before(last_ms: u64, ms: u64) -> Result<u64> {
    if ms > limits::CLOCK_MS_MAX {
        return Err(Error::invalid("a time is past the year 9999"));
    }
    if ms < last_ms {
        return Err(Error::invalid(
            "the time goes back: users stand in the order in which they were made, and so do posts",
        ));
    }
    Ok(ms)
}

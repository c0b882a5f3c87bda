//! The writing half of an import: many commands under way, in the order of the lines, in bounded
//! memory.

use std::collections::{HashSet, VecDeque};

use sns_core::{Pending, Post, Reason, Seq, Sns, Text, UserMade, Username, limits};

use super::Summary;
use crate::failure::{Failure, Result};

/// Commands under way: two full entries, so that one fills while the other is written, and below
/// the bound of the queue, so that none is refused.
const IN_FLIGHT: usize = 2 * limits::ENTRY_COMMANDS;

/// Bytes of texts under way; see [`IN_FLIGHT`].
const IN_FLIGHT_BYTES: usize = limits::QUEUE_BYTES / 4;

/// Users that this run knows to exist, so that it does not make them again with every line. When
/// there are more it forgets them all; making a user twice changes nothing.
const KNOWN_USERS: usize = 1 << 20;

/// Waits until what it wrote is durable and applied; counts what came of it.
pub(super) struct Loader<'a> {
    sns: &'a Sns,
    summary: Summary,
    known: HashSet<Username>,
    under_way: VecDeque<UnderWay>,
    bytes: usize,
}

enum UnderWay {
    User(Pending<UserMade>),
    Follow(Pending<Seq>),
    Post(Pending<Post>, usize),
}

impl<'a> Loader<'a> {
    pub(super) fn new(sns: &'a Sns, checked: Summary) -> Self {
        Self {
            sns,
            summary: checked,
            known: HashSet::new(),
            under_way: VecDeque::with_capacity(IN_FLIGHT),
            bytes: 0,
        }
    }

    /// Makes a user, unless this run knows that there is one.
    pub(super) fn user(&mut self, user: Username) -> Result<()> {
        if self.known.len() >= KNOWN_USERS {
            self.known.clear();
        }
        if self.known.insert(user) {
            self.make_room(0)?;
            let pending = self.sns.write().forget().create_user(&user);
            self.under_way.push_back(UnderWay::User(pending));
        }
        Ok(())
    }

    /// Makes both users and the follow.
    pub(super) fn follow(&mut self, user: Username, followee: Username) -> Result<()> {
        // One queue, one order: a follow is applied after the users it needs.
        self.user(user)?;
        self.user(followee)?;
        self.make_room(0)?;
        let pending = self.sns.write().forget().follow(&user, &followee);
        self.under_way.push_back(UnderWay::Follow(pending));
        Ok(())
    }

    /// Makes the author and the post.
    pub(super) fn post(&mut self, author: Username, text: &Text) -> Result<()> {
        self.user(author)?;
        let bytes = text.as_str().len();
        self.make_room(bytes)?;
        let pending = self.sns.write().forget().post(&author, text.as_str());
        self.bytes += bytes;
        self.under_way.push_back(UnderWay::Post(pending, bytes));
        Ok(())
    }

    /// Waits for all that is under way; the first failure goes first.
    pub(super) fn settle(&mut self) -> Result<()> {
        let mut settled = Ok(());
        while let Some(oldest) = self.under_way.pop_front() {
            settled = settled.and(self.wait(oldest));
        }
        settled
    }

    /// What came of it so far.
    pub(super) fn summary(&self) -> Summary {
        self.summary.clone()
    }

    /// `why` with how far this run came.
    pub(super) fn unfinished(&self, why: &Failure) -> Failure {
        let Summary {
            users,
            follows,
            posts,
            ..
        } = &self.summary;
        let advice = if *posts == 0 {
            "run it again: what is there already is not written twice"
        } else {
            "run it again without the first of its posts: they would be written twice"
        };
        Failure {
            message: format!(
                "{}; {users} users, {follows} follows and {posts} posts were written; {advice}",
                why.message
            ),
            ..why.clone()
        }
    }

    fn make_room(&mut self, bytes: usize) -> Result<()> {
        if self.under_way.len() < IN_FLIGHT && self.bytes + bytes <= IN_FLIGHT_BYTES {
            return Ok(());
        }
        // Half of it at once: the appender takes what it finds, so that commands which come one by
        // one make small entries.
        while self.under_way.len() > IN_FLIGHT / 2 || self.bytes > IN_FLIGHT_BYTES / 2 {
            let Some(oldest) = self.under_way.pop_front() else {
                break;
            };
            self.wait(oldest)?;
        }
        Ok(())
    }

    fn wait(&mut self, one: UnderWay) -> Result<()> {
        match one {
            UnderWay::User(pending) => {
                let made = pending.wait()?;
                self.summary.users += u64::from(made.created);
                // The seq of a user that was there already is not of this run.
                if made.created {
                    self.wrote(made.seq);
                }
            }
            UnderWay::Follow(pending) => match pending.wait() {
                Ok(seq) => {
                    self.summary.follows += 1;
                    self.wrote(seq);
                }
                Err(e) if e.reason() == Reason::AlreadyFollowing => {
                    self.summary.already_following += 1;
                }
                Err(e) if e.reason() == Reason::TooManyFollowees => {
                    self.summary.too_many_followees += 1;
                }
                Err(e) => return Err(e.into()),
            },
            UnderWay::Post(pending, bytes) => {
                self.bytes -= bytes;
                let post = pending.wait()?;
                self.summary.posts += 1;
                self.wrote(post.id);
            }
        }
        Ok(())
    }

    fn wrote(&mut self, seq: Seq) {
        self.summary.seq = self.summary.seq.max(seq.as_u64());
    }
}

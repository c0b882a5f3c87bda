//! Reads of the embedded library: builders that end in `.page()`.

use std::time::Instant;

use crate::cursor;
use crate::error::Result;
use crate::limits;
use crate::post::{Post, User};
use crate::seq::Seq;
use crate::sns::Sns;
use crate::user::Username;
use crate::view::ReadError;
use crate::view::memory::Memory;
use crate::view::pages::{self, HomeQuery, Part, UserList};

/// Some of what there is, and how to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page<T> {
    /// At most as many as were asked for. Empty: there is nothing (more).
    pub items: Vec<T>,
    /// Give it to `.cursor()` for the next page; `None` exactly when nothing is left.
    pub next: Option<String>,
    /// The state that answered: pass it to `at_least` elsewhere to read nothing older.
    pub seq: Seq,
}

/// What every read can ask for.
#[derive(Clone, Debug)]
struct Common {
    sns: Sns,
    limit: usize,
    cursor: Option<String>,
    at_least: Seq,
    linearizable: bool,
}

impl Common {
    fn new(sns: &Sns) -> Self {
        Self {
            sns: sns.clone(),
            limit: limits::PAGE_DEFAULT,
            cursor: None,
            at_least: Seq::ZERO,
            linearizable: false,
        }
    }

    /// Reads once the state asked for is reached.
    fn read<T>(&self, read: impl Fn(&Memory) -> Result<T, ReadError>) -> Result<T> {
        let replica = self.sns.replica();
        let began = Instant::now();
        let mut left = limits::WAIT;
        loop {
            replica.reach_blocking(self.at_least, self.linearizable, left)?;
            // It may have stopped serving in between, for a new view in place of a damaged one.
            if let Some(found) = replica.try_read(&read)? {
                return Ok(found);
            }
            left = limits::WAIT.saturating_sub(began.elapsed());
        }
    }

    /// Reads from memory; `None` = only [`Common::read`] can tell.
    fn read_now<T>(&self, read: impl FnOnce(&Memory) -> Result<T, ReadError>) -> Result<Option<T>> {
        if self.linearizable {
            return Ok(None);
        }
        self.sns.replica().read_now(self.at_least, read)
    }
}

/// The setters that all reads share.
macro_rules! common {
    () => {
        /// At most so many; 0 = 20, above 200 = 200.
        pub fn limit(mut self, limit: usize) -> Self {
            self.common.limit = match limit {
                0 => limits::PAGE_DEFAULT,
                limit => limit.min(limits::PAGE_MAX),
            };
            self
        }

        /// Goes on where a page ended: its [`Page::next`]. Empty = from the start. All else but the
        /// limit, `at_least` and `linearizable` must be as it was.
        pub fn cursor(mut self, cursor: &str) -> Self {
            self.common.cursor = (!cursor.is_empty()).then(|| cursor.to_owned());
            self
        }

        /// Answers only from a state that includes this seq.
        pub fn at_least(mut self, seq: Seq) -> Self {
            self.common.at_least = seq;
            self
        }

        /// Answers from a state that includes all that was acknowledged anywhere before the call.
        pub fn linearizable(mut self, linearizable: bool) -> Self {
            self.common.linearizable = linearizable;
            self
        }
    };
}

/// A page of posts from a part of the view, with the token that goes on.
fn page_of_posts(part: Part<Post>, query: &str) -> Page<Post> {
    let last = part.items.last().filter(|_| part.more).map(|post| post.id);
    let next = last.map(|id| cursor::encode(query, &id.to_string()));
    Page {
        items: part.items,
        next,
        seq: part.seq,
    }
}

/// The seq before which a page of posts begins.
fn begin(cursor: Option<&String>, query: &str, before: Seq) -> Result<Seq> {
    let Some(token) = cursor else {
        return Ok(if before == Seq::ZERO {
            Seq::MAX
        } else {
            before
        });
    };
    let at = cursor::decode(query, token)?;
    // The token's hash fits, so the number is one of ours.
    Ok(Seq::from_u64(at.parse().unwrap_or(0)))
}

/// A page of somebody's home timeline; see [`Sns::home`].
#[derive(Clone, Debug)]
#[must_use = "a read does nothing until `.page()`"]
pub struct Home {
    common: Common,
    reader: Username,
    before: Seq,
    since_follow: bool,
    exclude_own: bool,
}

impl Home {
    pub(crate) fn new(sns: &Sns, reader: &Username) -> Self {
        Self {
            common: Common::new(sns),
            reader: *reader,
            before: Seq::ZERO,
            since_follow: false,
            exclude_own: false,
        }
    }

    common!();

    /// Only posts with a smaller id; [`Seq::ZERO`] = from the newest.
    pub fn before(mut self, before: Seq) -> Self {
        self.before = before;
        self
    }

    /// Of each author only posts made after the reader's present follow of them.
    ///
    /// ```
    /// # fn main() -> sns_core::Result<()> {
    /// # let sns = sns_core::Sns::in_memory()?;
    /// # let (alice, bob) = (sns.user("alice")?, sns.user("bob")?);
    /// sns.post(&bob, "before").wait()?;
    /// sns.follow(&alice, &bob).wait()?;
    /// assert_eq!(sns.home(&alice).page()?.items.len(), 1);
    /// assert!(sns.home(&alice).since_follow(true).page()?.items.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub fn since_follow(mut self, since_follow: bool) -> Self {
        self.since_follow = since_follow;
        self
    }

    /// Without the reader's own posts.
    ///
    /// ```
    /// # fn main() -> sns_core::Result<()> {
    /// # let sns = sns_core::Sns::in_memory()?;
    /// # let (alice, bob) = (sns.user("alice")?, sns.user("bob")?);
    /// sns.post(&alice, "mine").wait()?;
    /// assert!(sns.home(&alice).exclude_own(true).page()?.items.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub fn exclude_own(mut self, exclude_own: bool) -> Self {
        self.exclude_own = exclude_own;
        self
    }

    /// Reads the page: newest first, exact at [`Page::seq`].
    ///
    /// Blocks for a read from the disk at most, and, with `at_least` or `linearizable`, until that
    /// state is reached, 5 s at most.
    ///
    /// # Errors
    /// `NotFound`: no such reader. `Invalid`: a cursor of another query, or an `at_least` past the
    /// log. `Unavailable`: the state was not reached in time, or the replica is starting.
    pub fn page(&self) -> Result<Page<Post>> {
        let (query, asked) = self.asked()?;
        let read = |memory: &Memory| pages::home(memory, &self.reader, &asked);
        Ok(page_of_posts(self.common.read(read)?, &query))
    }

    /// As [`Home::page`], for a thread that must not wait: `None` when something is not in memory, or
    /// the state asked for is not reached; `page` then waits for it.
    ///
    /// # Errors
    /// As [`Home::page`].
    pub fn page_now(&self) -> Result<Option<Page<Post>>> {
        let (query, asked) = self.asked()?;
        let read = |memory: &Memory| pages::home(memory, &self.reader, &asked);
        let part = self.common.read_now(read)?;
        Ok(part.map(|part| page_of_posts(part, &query)))
    }

    fn asked(&self) -> Result<(String, HomeQuery)> {
        let (since_follow, exclude_own) = (self.since_follow, self.exclude_own);
        let query = format!(
            "home {} {since_follow} {exclude_own} {}",
            self.reader, self.before
        );
        let asked = HomeQuery {
            before: begin(self.common.cursor.as_ref(), &query, self.before)?,
            limit: self.common.limit,
            since_follow,
            exclude_own,
        };
        Ok((query, asked))
    }
}

/// A page of one user's posts; see [`Sns::posts_of`].
#[derive(Clone, Debug)]
#[must_use = "a read does nothing until `.page()`"]
pub struct PostsOf {
    common: Common,
    user: Username,
    before: Seq,
}

impl PostsOf {
    pub(crate) fn new(sns: &Sns, user: &Username) -> Self {
        Self {
            common: Common::new(sns),
            user: *user,
            before: Seq::ZERO,
        }
    }

    common!();

    /// Only posts with a smaller id; [`Seq::ZERO`] = from the newest.
    pub fn before(mut self, before: Seq) -> Self {
        self.before = before;
        self
    }

    /// Reads the page: newest first.
    ///
    /// # Errors
    /// As [`Home::page`].
    pub fn page(&self) -> Result<Page<Post>> {
        let (query, before) = self.asked()?;
        let limit = self.common.limit;
        let read = |memory: &Memory| pages::posts_of(memory, &self.user, before, limit);
        Ok(page_of_posts(self.common.read(read)?, &query))
    }

    /// As [`PostsOf::page`], for a thread that must not wait; see [`Home::page_now`].
    ///
    /// # Errors
    /// As [`Home::page`].
    pub fn page_now(&self) -> Result<Option<Page<Post>>> {
        let (query, before) = self.asked()?;
        let limit = self.common.limit;
        let read = |memory: &Memory| pages::posts_of(memory, &self.user, before, limit);
        let part = self.common.read_now(read)?;
        Ok(part.map(|part| page_of_posts(part, &query)))
    }

    fn asked(&self) -> Result<(String, Seq)> {
        let query = format!("posts {} {}", self.user, self.before);
        let before = begin(self.common.cursor.as_ref(), &query, self.before)?;
        Ok((query, before))
    }
}

/// A page of users by name; see [`Sns::users`], [`Sns::followers`], [`Sns::following`].
#[derive(Clone, Debug)]
#[must_use = "a read does nothing until `.page()`"]
pub struct Users {
    common: Common,
    list: UserList,
}

impl Users {
    pub(crate) fn new(sns: &Sns, list: UserList) -> Self {
        Self {
            common: Common::new(sns),
            list,
        }
    }

    common!();

    /// Reads the page: by name, ascending in byte order.
    ///
    /// # Errors
    /// As [`Home::page`].
    pub fn page(&self) -> Result<Page<User>> {
        let query = format!("users {:?}", self.list);
        let after = match &self.common.cursor {
            None => None,
            Some(token) => Some(Username::parse(&cursor::decode(&query, token)?)?),
        };
        let limit = self.common.limit;
        let part = self
            .common
            .read(|memory| pages::users(memory, &self.list, after.as_ref(), limit))?;
        let last = part.items.last().filter(|_| part.more);
        let next = last.map(|user| cursor::encode(&query, user.username.as_str()));
        Ok(Page {
            items: part.items,
            next,
            seq: part.seq,
        })
    }
}

//! [`Subscription`]: a timeline as it happens: catches up from the view, then goes live.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::error::Result;
use crate::hub::{Inlet, Place, shutting_down};
use crate::post::Post;
use crate::replica::Replica;
use crate::seq::Seq;
use crate::user::Username;
use crate::view::apply::Change;
use crate::view::pages::{self, Happening, HomeQuery};
use crate::view::{ReadError, UserNo};

/// Events that are read from the view in one go.
const READ: usize = 200;

/// What a new [`Subscription`] starts with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subscribe {
    /// Send all there is after this seq (also after [`Seq::ZERO`]); the backlog is not used then.
    pub after: Option<Seq>,
    /// Without `after`: so many of the newest posts of the home page; above 200 = 200.
    pub backlog: usize,
    /// For the backlog; what follows is always since the follow.
    pub since_follow: bool,
    /// Without the reader's own posts: backlog and all that follows.
    pub exclude_own: bool,
}

/// Something that happened, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// The state up to which the stream is complete once this is read; never goes down. Of a post
    /// it is its id, of a deletion the seq of the deletion.
    pub seq: Seq,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// A post of someone the reader follows, by a follow older than the post, or the reader's own.
    Post(Post),
    /// A post of someone followed, or one's own, is gone.
    Deleted(Seq),
    /// All there was when the stream began has been told; what follows happens now.
    CaughtUp,
}

/// A timeline as it happens, in order of seq, each event once.
///
/// A slow reader misses nothing: it is moved back to reading from the view. To resume after a
/// restart, or on another replica, subscribe with the highest [`Event::seq`] that was read.
#[derive(Debug)]
pub struct Subscription {
    replica: Arc<Replica>,
    _place: Place,
    /// Of the hub when it was opened.
    generation: u64,
    reader: UserNo,
    exclude_own: bool,
    /// Read from the view, not handed out yet.
    ready: VecDeque<Happening>,
    /// Everything up to here was handed out or stands in `ready`.
    cursor: Seq,
    /// Everything up to here was handed out.
    told: Seq,
    live: Option<Inlet>,
    caught_up: bool,
    /// Posts up to here are of the backlog, which goes by the rules of the page.
    backlog_end: Seq,
}

impl Subscription {
    pub(crate) fn open(
        replica: Arc<Replica>,
        reader: &Username,
        options: &Subscribe,
    ) -> Result<Self> {
        let place = replica.hub.enter()?;
        let generation = replica.hub.generation();
        let query = HomeQuery {
            before: Seq::MAX,
            limit: if options.after.is_some() {
                0
            } else {
                options.backlog.min(READ)
            },
            since_follow: options.since_follow,
            exclude_own: options.exclude_own,
        };
        let (reader_no, backlog) = replica.read(|memory| {
            let no = pages::user_no(memory, reader)?;
            Ok((no, pages::home(memory, reader, &query)?))
        })?;
        let ready = backlog
            .items
            .into_iter()
            .rev()
            .map(Happening::Post)
            .collect();
        let cursor = options.after.unwrap_or(backlog.seq);
        Ok(Self {
            replica,
            _place: place,
            generation,
            reader: reader_no,
            exclude_own: options.exclude_own,
            ready,
            cursor,
            told: options.after.unwrap_or_default(),
            live: None,
            caught_up: false,
            backlog_end: if options.after.is_some() {
                Seq::ZERO
            } else {
                backlog.seq
            },
        })
    }

    /// The next event.
    ///
    /// # Errors
    /// `Unavailable` (`SHUTTING_DOWN`): this process stops; (`STARTING`): its view is rebuilt. The
    /// stream is over; resume elsewhere, or here a little later. Nothing was skipped. `Damaged`: the
    /// replica halted.
    /// # Cancel safety
    /// Dropping the future loses nothing; call `next` again.
    pub async fn next(&mut self) -> Result<Event> {
        loop {
            if let Some(event) = self.step()? {
                return Ok(event);
            }
            if let Some(live) = &self.live {
                // A closed queue is looked at in the next step.
                if let Ok(change) = live.from.recv().await {
                    self.take(change)?;
                }
            }
        }
    }

    /// As [`Subscription::next`], for a thread without a runtime.
    ///
    /// # Errors
    /// As [`Subscription::next`].
    pub fn next_blocking(&mut self) -> Result<Event> {
        loop {
            if let Some(event) = self.step()? {
                return Ok(event);
            }
            if let Some(live) = &self.live
                && let Ok(change) = live.from.recv_blocking()
            {
                self.take(change)?;
            }
        }
    }

    /// The state up to which everything was handed out, for a sign of life in silence. Also says
    /// so when nothing of it concerned the reader. Never goes down.
    pub fn position(&mut self) -> Seq {
        if self.ready.is_empty()
            && let Some(live) = &self.live
        {
            // First the position, then the queue: what came up to it is in the queue, or was read.
            let position = self.replica.hub.position();
            if live.from.is_empty() && !live.overflowed() && !live.from.is_closed() {
                self.cursor = self.cursor.max(position);
                self.told = self.told.max(position);
            }
        }
        self.told
    }

    /// What can be told without waiting; `None` = wait for the live queue.
    fn step(&mut self) -> Result<Option<Event>> {
        loop {
            if self.replica.hub.generation() != self.generation {
                return Err(self.replica.why_unreadable());
            }
            // Taken out only once it is decided on: an error must not skip it.
            while let Some(happening) = self.ready.front() {
                let event = self.check(happening)?;
                self.ready.pop_front();
                if let Some(event) = event {
                    self.told = self.told.max(event.seq);
                    return Ok(Some(event));
                }
            }
            match &self.live {
                None if self.replica.is_draining() => return Err(shutting_down()),
                None => {
                    self.read_on()?;
                    if self.live.is_some() && self.ready.is_empty() && !self.caught_up {
                        return Ok(Some(self.catch_up()));
                    }
                }
                Some(live) => match live.from.try_recv() {
                    Ok(change) => self.take(change)?,
                    Err(async_channel::TryRecvError::Empty) if self.caught_up => return Ok(None),
                    Err(async_channel::TryRecvError::Empty) => return Ok(Some(self.catch_up())),
                    // It overflowed, and what is missing is read from the view; or it ends.
                    Err(async_channel::TryRecvError::Closed) => self.live = None,
                },
            }
        }
    }

    fn catch_up(&mut self) -> Event {
        self.caught_up = true;
        self.told = self.told.max(self.cursor);
        Event {
            seq: self.told,
            kind: EventKind::CaughtUp,
        }
    }

    /// Reads what was missed; once there is nothing more, joins the live streams, while the view
    /// stands still, so that nothing falls between.
    fn read_on(&mut self) -> Result<()> {
        let (reader, exclude_own, cursor) = (self.reader, self.exclude_own, self.cursor);
        let hub = &self.replica.hub;
        let (part, live) = self.replica.read(|memory| {
            let part = pages::missed(memory, reader, cursor, exclude_own, READ)?;
            let live = if part.more {
                None
            } else {
                let watched = pages::watched(memory, reader, exclude_own)?;
                Some(hub.join(reader, watched).map_err(ReadError::Refused)?)
            };
            Ok((part, live))
        })?;
        self.cursor = match part.items.last() {
            Some(last) if part.more => last.seq(),
            _ => self.cursor.max(part.seq),
        };
        self.ready.extend(part.items);
        self.live = live;
        Ok(())
    }

    /// Takes a change from the live queue.
    fn take(&mut self, change: Change) -> Result<()> {
        let happening = match change {
            Change::Posted {
                author,
                name,
                id,
                created_at_ms,
                text,
            } => {
                if self.exclude_own && author == self.reader {
                    return Ok(());
                }
                Happening::Post(Post {
                    id,
                    author: name,
                    text,
                    created_at_ms,
                })
            }
            Change::Deleted { author, seq, post } => {
                let (reader, exclude_own) = (self.reader, self.exclude_own);
                let told = self
                    .replica
                    .read(|memory| pages::concerns(memory, reader, author, exclude_own))
                    // It was taken from the queue: the next step reads it from the view.
                    .inspect_err(|_| self.live = None)?;
                if !told {
                    return Ok(());
                }
                Happening::Deleted { seq, post }
            }
            Change::Followed { .. } => return Ok(()),
        };
        // What was applied before the stream went live was read from the view already.
        if happening.seq() > self.cursor {
            self.cursor = happening.seq();
            self.ready.push_back(happening);
        }
        Ok(())
    }

    /// Whether it is still told when its turn comes: the author must be followed now, by a follow
    /// older than the post. The backlog was chosen by the page's own rules.
    fn check(&self, happening: &Happening) -> Result<Option<Event>> {
        match happening {
            Happening::Deleted { seq, post } => Ok(Some(Event {
                seq: *seq,
                kind: EventKind::Deleted(*post),
            })),
            Happening::Post(post) => {
                let reader = self.reader;
                let told = post.id <= self.backlog_end
                    || self.replica.read(|memory| {
                        let author = pages::user_no(memory, &post.author)?;
                        let follow = pages::follow_seq(memory, reader, &post.author, author)?;
                        Ok(author == reader || follow.is_some_and(|seq| seq < post.id))
                    })?;
                Ok(told.then_some(Event {
                    seq: post.id,
                    kind: EventKind::Post(post.clone()),
                }))
            }
        }
    }
}

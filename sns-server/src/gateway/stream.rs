//! TIMELINE: one stream of the course's client, held while servers die behind it.
//!
//! Down: the last posts, newest first, then live ones by the client library's timeline, which goes
//! on by cursor on another server: none lost, none twice, none out of order. Up: each message
//! becomes a post with one request id, tried until a server has it; so many are under way at a time,
//! and the client is not read further meanwhile.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesOrdered, StreamExt as _};
use sns_client::{Error, ErrorKind, Event, Page, Post, Poster, Reason, Timeline};
use sns_proto::csce438::Message;
use sns_proto::escape;
use tokio::sync::mpsc::{self, OwnedPermit};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::sessions::{Session, Sessions};
use super::words;
use crate::net::Connection;

/// How long the first message may take.
const FIRST: Duration = Duration::from_secs(10);

/// Posts that come down at once.
const BACKLOG: usize = 20;

/// Posts under way; as many as the library takes.
const UNDER_WAY: usize = 64;

/// Sentences about posts that were not taken which wait for the client; further ones are dropped.
const NOTICES: usize = 16;

/// How long a post is tried: as long as its client waits.
const PATIENCE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How long what a client had said is tried after it has gone.
const AFTER_IT: Duration = Duration::from_secs(60);

/// How long a gateway that stops waits for posts under way.
const STOP: Duration = Duration::from_secs(2);

/// Between two tries to read the last posts while there is no service.
const AGAIN: Duration = Duration::from_millis(200);

/// A stream that was asked for.
pub(super) struct Opening {
    pub(super) sessions: Sessions,
    pub(super) connection: Connection,
    pub(super) inbound: Streaming<Message>,
    pub(super) out: Out,
    pub(super) shutdown: CancellationToken,
}

type Out = mpsc::Sender<Result<Message, Status>>;

/// Runs it to its end, of which the client is told unless it went first.
pub(super) async fn run(opening: Opening) {
    let out = opening.out.clone();
    if let Err(why) = Box::pin(opening.serve()).await {
        tracing::debug!(%why, "a stream of the course ended");
        drop(out.send(Err(why)).await);
    }
}

impl Opening {
    async fn serve(mut self) -> Result<(), Status> {
        let session = self.first().await?;
        let _mode = session.enter_timeline()?;
        let page = self.last_posts(&session).await?;
        let options = session.client.timeline().after(page.seq).exclude_own(true);
        for post in page.items {
            // A client that has gone may have said something before.
            drop(self.out.send(Ok(words::shown(post))).await);
        }
        let timeline = options.patience(PATIENCE).open().await;
        let timeline = timeline.map_err(words::refused)?;
        let live = Live {
            session,
            poster: timeline.poster(),
            under_way: FuturesOrdered::new(),
            notices: VecDeque::new(),
            room: None,
        };
        Box::pin(live.run(self, timeline)).await
    }

    /// Who opens it: its first message says so, and is no post.
    async fn first(&mut self) -> Result<Arc<Session>, Status> {
        let protocol = |why: &str| Err(Status::invalid_argument(why));
        let first = match timeout(FIRST, self.inbound.message()).await {
            Err(_) => return protocol("the first message did not come within 10 s"),
            Ok(first) => first?,
        };
        match first {
            Some(first) if words::kept(&first.msg) == words::SET_STREAM => {
                let name = words::name(&first.username)?;
                self.sessions.find(name, &self.connection)
            }
            Some(_) => protocol("the first message of a stream says `Set Stream`"),
            None => protocol("the stream ended before its first message"),
        }
    }

    /// The last posts of those that are followed, newest first, as soon as there is a service.
    async fn last_posts(&self, session: &Session) -> Result<Page<Post>, Status> {
        use ErrorKind as Kind;
        loop {
            let home = session.client.home().limit(BACKLOG).linearizable(true);
            let page = home.since_follow(true).exclude_own(true).page();
            let failed = tokio::select! {
                () = self.shutdown.cancelled() => return Err(words::stopping()),
                page = page => match page {
                    Ok(page) => return Ok(page),
                    Err(error) => error,
                },
            };
            match failed.kind() {
                Kind::Unavailable | Kind::Unknown | Kind::Exhausted if !self.out.is_closed() => {
                    sleep(AGAIN).await;
                }
                _ => return Err(words::refused(failed)),
            }
        }
    }
}

/// An open stream.
struct Live {
    session: Arc<Session>,
    poster: Poster,
    /// In the order in which they came.
    under_way: FuturesOrdered<BoxFuture<'static, Result<Post, Error>>>,
    notices: VecDeque<Message>,
    /// For the next message down.
    room: Option<OwnedPermit<Result<Message, Status>>>,
}

impl Live {
    async fn run(mut self, opening: Opening, mut timeline: Timeline) -> Result<(), Status> {
        let Opening {
            mut inbound,
            out,
            shutdown,
            ..
        } = opening;
        let (mut reads, mut listens) = (true, true);
        let mut end: Option<Status> = None;
        let mut until: Option<Instant> = None;
        loop {
            // Said by a client that has gone, or before a mistake: posted all the same.
            let over = (!listens && !reads) || end.is_some();
            if over && self.under_way.is_empty() {
                return end.map_or(Ok(()), Err);
            }
            let wants_room = listens && self.room.is_none();
            tokio::select! {
                () = shutdown.cancelled(), if end.is_none() => {
                    reads = false;
                    end = Some(words::stopping());
                    until = Some(Instant::now() + STOP);
                }
                () = reached(until) => {
                    let lost = self.under_way.len();
                    tracing::warn!(name = %self.session.name, lost, "gave up posts that no server took");
                    return end.map_or(Ok(()), Err);
                }
                message = inbound.message(), if reads && self.under_way.len() < UNDER_WAY => {
                    match message {
                        Ok(Some(message)) => end = self.take(&message).err(),
                        Ok(None) => reads = false,
                        Err(broken) => end = Some(broken),
                    }
                    reads &= end.is_none();
                }
                Some(outcome) = self.under_way.next() => {
                    let failed = outcome.err().map_or(Ok(()), |error| self.fail(error));
                    if let Err(why) = failed {
                        reads = false;
                        end = end.or(Some(why));
                    }
                }
                room = out.clone().reserve_owned(), if wants_room => match room {
                    Ok(room) => self.roomy(room),
                    Err(_) => listens = false,
                },
                () = out.closed(), if listens => listens = false,
                // Who does not listen still waits for outcomes, which come behind events.
                event = timeline.next(), if self.room.is_some() || !listens => match event {
                    Some(Ok(Event::Post(post))) if listens => self.tell(words::shown(post)),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(words::refused(error)),
                    None => return Err(words::stopping()),
                },
            }
            if (!listens || end.is_some()) && until.is_none() {
                until = Some(Instant::now() + AFTER_IT);
            }
        }
    }

    /// A message of the client becomes a post.
    fn take(&mut self, message: &Message) -> Result<(), Status> {
        let name = self.session.name;
        if !message.username.eq_ignore_ascii_case(name.as_str()) {
            let why = format!("this is the stream of {name}: nobody else posts on it");
            return Err(Status::permission_denied(why));
        }
        let text = words::kept(&message.msg);
        if text.is_empty() {
            // An empty line was typed: nothing to post, and nothing to complain about.
            return Ok(());
        }
        match self.poster.queue(text) {
            Ok(posting) => {
                self.under_way.push_back(posting);
                Ok(())
            }
            Err(error) => self.fail(error),
        }
    }

    /// A post was not taken: its author is told, and the stream goes on if that is all.
    fn fail(&mut self, error: Error) -> Result<(), Status> {
        let expired = error.reason() == Reason::RequestExpired;
        if error.kind() != ErrorKind::Invalid && !expired {
            return Err(words::refused(error));
        }
        let why = escape::escape(error.message());
        tracing::info!(name = %self.session.name, %why, "a post was not taken");
        let now = sns_core::Clock::system().now_ms();
        let now = std::time::SystemTime::UNIX_EPOCH + Duration::from_millis(now);
        self.tell(words::notice(&why, now));
        Ok(())
    }

    /// Sends a message, if there is room; a notice waits for it.
    fn tell(&mut self, message: Message) {
        match self.room.take() {
            Some(room) => drop(room.send(Ok(message))),
            None if self.notices.len() < NOTICES => self.notices.push_back(message),
            None => {}
        }
    }

    fn roomy(&mut self, room: OwnedPermit<Result<Message, Status>>) {
        match self.notices.pop_front() {
            Some(notice) => drop(room.send(Ok(notice))),
            None => self.room = Some(room),
        }
    }
}

/// Waits for a moment, if there is one.
async fn reached(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

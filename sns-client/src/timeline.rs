//! [`Timeline`]: reads and posts at the same time, and goes on when the server under it dies.

mod driver;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::Stream;
use sns_proto::v1;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout_at;

use self::driver::{Driver, Order};
use crate::call::Boxed;
use crate::client::check_text;
use crate::engine::{Engine, told};
use crate::error::{Error, Reason, Result};
use crate::ticket::Ticket;
use crate::types::{Post, Seq};

/// Events that wait to be taken; when so many wait, the server is told to wait.
const EVENTS_MAX: usize = 256;
/// Posts that wait to be sent.
const ORDERS_MAX: usize = 64;
/// The longest that a post may be waited for.
const PATIENCE_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// The most posts of backlog, as in a page.
const BACKLOG_MAX: u32 = 200;

/// How a timeline starts; see [`Client::timeline`](crate::Client::timeline).
#[derive(Clone, Debug)]
#[must_use = "nothing is read before `open`"]
pub struct TimelineOptions {
    engine: Arc<Engine>,
    backlog: u32,
    after: Option<Seq>,
    since_follow: bool,
    exclude_own: bool,
    patience: Option<Duration>,
}

impl TimelineOptions {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self {
            engine,
            backlog: 20,
            after: None,
            since_follow: false,
            exclude_own: false,
            patience: None,
        }
    }

    /// How many of the newest posts of the home page come first, oldest of them in front: 20
    /// unless set, 200 at most.
    pub fn backlog(mut self, posts: usize) -> Self {
        self.backlog = u32::try_from(posts).map_or(BACKLOG_MAX, |posts| posts.min(BACKLOG_MAX));
        self
    }

    /// Everything after this seq instead of a backlog: the [`seq`](Timeline::seq) at which an
    /// earlier timeline was left. 0 = everything there is.
    pub fn after(mut self, seq: impl Into<Seq>) -> Self {
        self.after = Some(seq.into());
        self
    }

    /// In the backlog, of each author only what came after the present follow of them. What
    /// follows is so in any case.
    pub fn since_follow(mut self, since_follow: bool) -> Self {
        self.since_follow = since_follow;
        self
    }

    /// Without one's own posts, in the backlog and after it.
    pub fn exclude_own(mut self, exclude_own: bool) -> Self {
        self.exclude_own = exclude_own;
        self
    }

    /// How long a post that is made through this timeline may take in all; the
    /// [deadline](crate::Options::deadline) of calls unless set. A year at most.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience.min(PATIENCE_MAX));
        self
    }

    /// Reads the backlog and starts the stream. Needs a tokio runtime.
    ///
    /// # Errors
    /// `Unavailable`: no server could answer until the deadline.
    ///
    /// ```no_run
    /// # async fn example(client: sns_client::Client) -> sns_client::Result<()> {
    /// let mut timeline = client.timeline().exclude_own(true).open().await?;
    /// # let _ = timeline; Ok(()) }
    /// ```
    pub async fn open(self) -> Result<Timeline> {
        let Self {
            engine,
            backlog,
            after,
            since_follow,
            exclude_own,
            patience,
        } = self;
        // The backlog is a page, and the stream starts after the state that answered it. Were it
        // part of the stream, a server that dies in the middle of it would leave a hole: older
        // posts of someone followed lately are in a backlog, but in no resumed stream.
        let (start, page) = if let Some(seq) = after {
            (seq.get(), Vec::new())
        } else {
            let call = v1::GetHomeTimelineRequest {
                page_size: i32::try_from(backlog.max(1)).unwrap_or(1),
                since_follow,
                exclude_own,
                ..v1::GetHomeTimelineRequest::default()
            };
            let mut answer = engine.read(call).await?;
            answer.posts.truncate(backlog as usize);
            (answer.seq, answer.posts)
        };
        let (events, received) = mpsc::channel(EVENTS_MAX);
        for post in page.into_iter().rev() {
            // The queue is empty, and longer than a backlog.
            drop(events.try_send(Ok(Event::Post(post.into()))));
        }
        let (orders, ordered) = mpsc::channel(ORDERS_MAX);
        let driver = Driver::new(Arc::clone(&engine), start, exclude_own, events, ordered);
        tokio::spawn(driver.run());
        let patience = patience.unwrap_or(engine.options.deadline);
        Ok(Timeline {
            events: received,
            poster: Poster {
                engine,
                orders,
                patience,
            },
            seq: Seq::from(start),
        })
    }
}

/// What comes down a [`Timeline`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A post, in the order of ids; also one's own, unless they are left out.
    Post(Post),
    /// A post that may have come down earlier is gone.
    #[non_exhaustive]
    Deleted {
        /// Of the post.
        id: Seq,
        /// Of the deletion.
        seq: Seq,
    },
    /// All that was there at the start has come; what follows is new. Comes once.
    CaughtUp,
    /// A notice: the server was lost, and another is looked for. Nothing is missed.
    #[non_exhaustive]
    Lost {
        /// The server, if there was one.
        server: String,
        /// What happened, for a human.
        why: String,
    },
    /// A notice: the stream goes on from this server, without a hole and without a repetition.
    #[non_exhaustive]
    Resumed {
        /// The server.
        server: String,
    },
}

/// The live timeline of a user: posts of those followed, as they happen, in one order.
///
/// When its server dies or hangs it goes on at another, by itself, from the place where it was;
/// posts made through it and not yet answered are sent again and take effect once. It ends after
/// an error that stays (say, the data is gone), or when it is dropped. It stands on two legs: read
/// with [`next`](Self::next), and post with [`post`](Self::post) or, from elsewhere at the same
/// time, through a [`Poster`].
///
/// Keep reading: when 256 events wait, nothing more is read, answers to posts included.
///
/// ```no_run
/// # async fn example(client: sns_client::Client) -> sns_client::Result<()> {
/// use sns_client::Event;
///
/// let mut timeline = client.timeline().open().await?;
/// let poster = timeline.poster();
/// tokio::spawn(async move { poster.post("hello").await });
/// while let Some(event) = timeline.next().await {
///     if let Event::Post(post) = event? {
///         println!("{}: {}", post.author, post.text.escape_debug());
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Timeline {
    events: mpsc::Receiver<Result<Event>>,
    poster: Poster,
    seq: Seq,
}

impl Timeline {
    /// The next event; waits for it. `None` after an error.
    ///
    /// # Errors
    /// What no other server could mend, such as `Invalid` (`SEQ_UNKNOWN`) when the data was
    /// replaced. It is the last item.
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    ///
    /// ```no_run
    /// # async fn example(mut timeline: sns_client::Timeline) -> sns_client::Result<()> {
    /// while let Some(event) = timeline.next().await {
    ///     println!("{:?}", event?);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn next(&mut self) -> Option<Result<Event>> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Event>>> {
        let item = self.events.poll_recv(cx);
        if let Poll::Ready(Some(Ok(event))) = &item {
            let seq = match event {
                Event::Post(post) => post.id,
                Event::Deleted { seq, .. } => *seq,
                _ => self.seq,
            };
            self.seq = self.seq.max(seq);
        }
        item
    }

    /// Posts a text, as [`Client::post`](crate::Client::post), through this stream.
    ///
    /// # Errors
    /// As [`Poster::post`].
    ///
    /// ```no_run
    /// # async fn example(timeline: sns_client::Timeline) -> sns_client::Result<()> {
    /// let post = timeline.post("hello").await?;
    /// # let _ = post; Ok(()) }
    /// ```
    pub async fn post(&self, text: impl Into<String>) -> Result<Post> {
        self.poster.post(text).await
    }

    /// A handle to post through this stream while it is being read; cheap to clone.
    ///
    /// ```no_run
    /// # async fn example(timeline: sns_client::Timeline) -> sns_client::Result<()> {
    /// let poster = timeline.poster();
    /// tokio::spawn(async move { poster.post("hello").await });
    /// # Ok(()) }
    /// ```
    pub fn poster(&self) -> Poster {
        self.poster.clone()
    }

    /// Up to where events were taken: what to give to [`TimelineOptions::after`] to go on later,
    /// in another run of the program too.
    ///
    /// ```no_run
    /// # async fn example(client: sns_client::Client, old: sns_client::Timeline)
    /// # -> sns_client::Result<()> {
    /// let seq = old.seq();
    /// let later = client.timeline().after(seq).open().await?;
    /// # let _ = later; Ok(()) }
    /// ```
    pub fn seq(&self) -> Seq {
        self.seq
    }
}

impl Stream for Timeline {
    type Item = Result<Event>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

/// Posts through a [`Timeline`]; cheap to clone.
#[derive(Clone, Debug)]
pub struct Poster {
    engine: Arc<Engine>,
    orders: mpsc::Sender<Order>,
    patience: Duration,
}

impl Poster {
    /// Posts a text; the same rules as [`Client::post`](crate::Client::post). It comes down the
    /// stream too, unless one's own are left out. Two posts keep their order when the second is
    /// made after the first was answered; [`queue`](Self::queue) keeps it without waiting.
    ///
    /// # Errors
    /// As [`Client::post`](crate::Client::post). `Unavailable`, too, when the timeline was dropped.
    /// # Cancel safety
    /// Dropping the future may or may not post.
    ///
    /// ```no_run
    /// # async fn example(poster: sns_client::Poster) -> sns_client::Result<()> {
    /// let post = poster.post("hello").await?;
    /// # let _ = post; Ok(()) }
    /// ```
    pub async fn post(&self, text: impl Into<String>) -> Result<Post> {
        let (order, posting) = self.order(text.into())?;
        // Nobody takes orders any more: `posting` tells.
        let ordered = async { drop(self.orders.send(order).await) };
        let deadline = posting.deadline;
        drop(timeout_at(deadline.into(), ordered).await);
        posting.outcome().await
    }

    /// Hands a post over at once, behind those that were handed over before; what comes back is its
    /// outcome. So many may be under way, and they keep their order, over the death of any server
    /// too; but a server that refuses one for want of room may take the next.
    ///
    /// # Errors
    /// As [`post`](Self::post), at once for what can be told at once. `Exhausted`: 64 wait to be sent.
    /// # Cancel safety
    /// Dropping the future may or may not post.
    ///
    /// ```no_run
    /// # async fn example(poster: sns_client::Poster) -> sns_client::Result<()> {
    /// let (first, second) = (poster.queue("one")?, poster.queue("two")?);
    /// assert!(first.await?.id < second.await?.id);
    /// # Ok(()) }
    /// ```
    pub fn queue(&self, text: impl Into<String>) -> Result<Boxed<Result<Post>>> {
        let (order, posting) = self.order(text.into())?;
        match self.orders.try_send(order) {
            Ok(()) => Ok(Box::pin(posting.outcome())),
            Err(TrySendError::Full(_)) => Err(Error::new(
                Reason::Overloaded,
                format!("{ORDERS_MAX} posts wait to be sent already"),
            )),
            Err(TrySendError::Closed(_)) => Err(Error::new(Reason::NoServer, ENDED)),
        }
    }

    fn order(&self, text: String) -> Result<(Order, Posting)> {
        check_text(&text)?;
        let deadline = Instant::now() + self.patience;
        let ticket = Ticket::draw(self.engine.seen());
        let sent = Arc::new(AtomicBool::new(false));
        let (answer, answered) = oneshot::channel();
        let order = Order {
            text,
            ticket,
            deadline,
            answer,
            sent: Arc::clone(&sent),
        };
        let posting = Posting {
            answered,
            ticket,
            deadline,
            sent,
        };
        Ok((order, posting))
    }
}

/// Why posts are made no more.
const ENDED: &str = "the timeline has ended";

/// A post that was ordered.
struct Posting {
    answered: oneshot::Receiver<Result<Post>>,
    ticket: Ticket,
    deadline: Instant,
    sent: Arc<AtomicBool>,
}

impl Posting {
    async fn outcome(self) -> Result<Post> {
        let silent = match timeout_at(self.deadline.into(), self.answered).await {
            Ok(Ok(answer)) => return answer,
            Ok(Err(_)) => ENDED,
            Err(_) => "no server answered in time",
        };
        if self.sent.load(Ordering::Acquire) {
            let error = Error::new(
                Reason::OutcomeUnknown,
                format!("the post may have happened: {silent}"),
            );
            Err(told(error, Some(self.ticket)))
        } else {
            Err(Error::new(Reason::NoServer, silent))
        }
    }
}

//! Listings: builders that end in one page or a stream over all of them.

use std::sync::Arc;

use futures_util::stream::{self, Stream, TryStreamExt as _};
use sns_proto::v1;

use crate::call::Boxed;
use crate::client::check_name;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::types::{Cursor, Page, Post, Seq, User};

/// A stream over all pages asks for this many at a time, the most there is.
const PAGE_MAX: i32 = 200;

/// What every listing has in common; each gets its own documentation.
macro_rules! listing {
    ($name:ident, $item:ty) => {
        impl $name {
            /// At most so many on the page: 20 unless set, 200 at most; 0 is as unset.
            pub fn limit(mut self, limit: usize) -> Self {
                self.call.page_size = i32::try_from(limit).unwrap_or(i32::MAX);
                self
            }

            /// Goes on where an earlier page ended; all else must be as it was then.
            pub fn cursor(mut self, cursor: Cursor) -> Self {
                self.call.page_token = cursor.to_string();
                self
            }

            /// Also what others were told is done just before this call.
            pub fn linearizable(mut self, linearizable: bool) -> Self {
                self.call.linearizable = linearizable;
                self
            }

            /// Everything from here to the end, page by page as it is read.
            ///
            /// What is added meanwhile shifts nothing. Ends after the first error.
            ///
            /// # Errors
            /// As [`page`](Self::page).
            pub fn stream(mut self) -> impl Stream<Item = Result<$item>> + Send + 'static {
                if self.call.page_size == 0 {
                    self.call.page_size = PAGE_MAX;
                }
                all(self, |listing| {
                    Box::pin(async move {
                        let page = listing.clone().page().await?;
                        let next = page.next.map(|cursor| listing.cursor(cursor));
                        Ok((page.items, next))
                    })
                })
            }
        }
    };
}

/// The home timeline, about to be read; see [`Client::home`](crate::Client::home).
#[derive(Clone, Debug)]
#[must_use = "nothing is read before `page` or `stream`"]
pub struct Home {
    engine: Arc<Engine>,
    call: v1::GetHomeTimelineRequest,
}

listing!(Home, Post);

impl Home {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self {
            engine,
            call: v1::GetHomeTimelineRequest::default(),
        }
    }

    /// Only posts with a smaller id.
    pub fn before(mut self, id: impl Into<Seq>) -> Self {
        self.call.before = id.into().get();
        self
    }

    /// Of each author only what came after the present follow of them.
    pub fn since_follow(mut self, since_follow: bool) -> Self {
        self.call.since_follow = since_follow;
        self
    }

    /// Without one's own posts.
    pub fn exclude_own(mut self, exclude_own: bool) -> Self {
        self.call.exclude_own = exclude_own;
        self
    }

    /// Reads one page, newest first.
    ///
    /// # Errors
    /// `Invalid` (`PAGE_TOKEN_INVALID`): the cursor is of another listing. `Unavailable`: no server
    /// could answer until the deadline.
    ///
    /// ```no_run
    /// # async fn example(client: sns_client::Client) -> sns_client::Result<()> {
    /// let first = client.home().since_follow(true).page().await?;
    /// if let Some(cursor) = first.next {
    ///     let second = client.home().since_follow(true).cursor(cursor).page().await?;
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn page(self) -> Result<Page<Post>> {
        let answer = self.engine.read(self.call).await?;
        Ok(Page {
            items: answer.posts.into_iter().map(Post::from).collect(),
            next: Cursor::of_token(answer.next_page_token),
            seq: Seq::from(answer.seq),
        })
    }
}

/// The posts of one user, about to be read; see [`Client::posts_of`](crate::Client::posts_of).
#[derive(Clone, Debug)]
#[must_use = "nothing is read before `page` or `stream`"]
pub struct PostsOf {
    engine: Arc<Engine>,
    call: v1::GetUserTimelineRequest,
}

listing!(PostsOf, Post);

impl PostsOf {
    pub(crate) fn new(engine: Arc<Engine>, username: String) -> Self {
        let call = v1::GetUserTimelineRequest {
            username,
            ..v1::GetUserTimelineRequest::default()
        };
        Self { engine, call }
    }

    /// Only posts with a smaller id.
    pub fn before(mut self, id: impl Into<Seq>) -> Self {
        self.call.before = id.into().get();
        self
    }

    /// Reads one page, newest first.
    ///
    /// # Errors
    /// `NotFound`: no such user. `Invalid` (`PAGE_TOKEN_INVALID`): the cursor is of another
    /// listing. `Unavailable`: no server could answer until the deadline.
    ///
    /// ```no_run
    /// # async fn example(client: sns_client::Client) -> sns_client::Result<()> {
    /// use futures_util::TryStreamExt as _;
    ///
    /// let all: Vec<_> = client.posts_of("bob").stream().try_collect().await?;
    /// # let _ = all; Ok(()) }
    /// ```
    pub async fn page(self) -> Result<Page<Post>> {
        check_name(&self.call.username)?;
        let answer = self.engine.read(self.call).await?;
        Ok(Page {
            items: answer.posts.into_iter().map(Post::from).collect(),
            next: Cursor::of_token(answer.next_page_token),
            seq: Seq::from(answer.seq),
        })
    }
}

/// Users by name, about to be read; see [`Client::users`](crate::Client::users).
#[derive(Clone, Debug)]
#[must_use = "nothing is read before `page` or `stream`"]
pub struct Users {
    engine: Arc<Engine>,
    call: v1::ListUsersRequest,
}

listing!(Users, User);

impl Users {
    pub(crate) fn new(engine: Arc<Engine>, filter: v1::UserFilter, username: String) -> Self {
        let call = v1::ListUsersRequest {
            filter: filter.into(),
            username,
            ..v1::ListUsersRequest::default()
        };
        Self { engine, call }
    }

    /// Reads one page, by name in byte order.
    ///
    /// # Errors
    /// `NotFound`: no such user. `Invalid` (`PAGE_TOKEN_INVALID`): the cursor is of another
    /// listing. `Unavailable`: no server could answer until the deadline.
    ///
    /// ```no_run
    /// # async fn example(client: sns_client::Client) -> sns_client::Result<()> {
    /// use futures_util::TryStreamExt as _;
    ///
    /// let followers: Vec<_> = client.followers("bob").stream().try_collect().await?;
    /// # let _ = followers; Ok(()) }
    /// ```
    pub async fn page(self) -> Result<Page<User>> {
        check_name(&self.call.username)?;
        let answer = self.engine.read(self.call).await?;
        Ok(Page {
            items: answer.users.into_iter().map(User::from).collect(),
            next: Cursor::of_token(answer.next_page_token),
            seq: Seq::from(answer.seq),
        })
    }
}

/// The items of a page, and the listing that goes on after it.
type Turned<L, T> = Boxed<Result<(Vec<T>, Option<L>)>>;

/// The items of all pages, each page read when the one before it is used up.
fn all<L, T>(
    listing: L,
    turn: fn(L) -> Turned<L, T>,
) -> impl Stream<Item = Result<T>> + Send + 'static
where
    L: Send + 'static,
    T: Send + 'static,
{
    stream::try_unfold(Some(listing), move |listing| async move {
        let Some(listing) = listing else {
            return Ok(None);
        };
        let (items, next) = turn(listing).await?;
        let items = stream::iter(items.into_iter().map(Ok));
        Ok::<_, Error>(Some((items, next)))
    })
    .try_flatten()
}

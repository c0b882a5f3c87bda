//! [`Client`]: the handle, and its calls.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Instant;

use sns_proto::auth::v1 as auth;
use sns_proto::v1;

use crate::accounts::Identity;
use crate::call::Boxed;
use crate::engine::Engine;
use crate::error::{Error, Reason, Result};
use crate::options::Options;
use crate::pages::{Home, PostsOf, Users};
use crate::retry::{Next, Tries};
use crate::routers;
use crate::ticket::Ticket;
use crate::timeline::TimelineOptions;
use crate::types::{Login, Post, Seq, Server};

/// The longest text in bytes; the server knows the finer rules.
const TEXT_BYTES: usize = 4_000;
/// The longest name in bytes.
const NAME_BYTES: usize = 32;

/// A user's handle: cheap to clone, good from any task, and it hides servers that die.
///
/// Every call has the time of [`Options::deadline`] in all. A server that fails or does not answer
/// within [`Options::try_limit`] is passed over for a second, and the call goes on at another one:
/// first the second server that the router gave, then whom the router names now. A write takes
/// effect at most once however often it is sent. Clones share one login, one set of connections
/// and what they have seen: a read of one shows what the other has written.
///
/// ```no_run
/// # async fn example() -> sns_client::Result<()> {
/// use sns_client::{Client, Options};
///
/// let alice = Client::connect(Options::new("alice")).await?;
/// let post = alice.post("hello").await?;
/// let page = alice.home().page().await?;
/// assert_eq!(page.items[0], post);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) engine: Arc<Engine>,
    login: Arc<Login>,
}

impl Client {
    /// Asks a router for two servers, opens connections to both and logs in, or shows its token. Where
    /// names need no password the user is made the first time. Needs a tokio runtime.
    ///
    /// # Errors
    /// `Invalid`: a router address that does not parse, or no username (`USERNAME_INVALID`).
    /// `Denied`: the password or the token is not good. `Unavailable`: no router, or none of the servers, answered until the deadline.
    ///
    /// ```no_run
    /// # async fn example() -> sns_client::Result<()> {
    /// use sns_client::{Client, Options};
    ///
    /// let alice = Client::connect(Options::new("alice").routers(["127.0.0.1:7400"])).await?;
    /// # let _ = alice; Ok(()) }
    /// ```
    pub async fn connect(options: Options) -> Result<Self> {
        let engine = Engine::new(options)?;
        if let Some(token) = &engine.options.token {
            engine.keep(token)?;
            let known = Identity::from(engine.ask(auth::WhoAmIRequest {}).await?);
            let asked = &engine.options.user;
            if !asked.is_empty() && !asked.eq_ignore_ascii_case(&known.username) {
                let why = format!("this token is for {}, not for {asked}", known.username);
                return Err(Error::new(Reason::TokenInvalid, why).into_invalid());
            }
            let login = Login {
                username: known.username,
                created: false,
            };
            let login = Arc::new(login);
            return Ok(Self { engine, login });
        }
        check_name(&engine.options.user)?;
        let login = engine.log_in(engine.deadline()).await?;
        Ok(Self {
            engine,
            login: Arc::new(Login {
                username: login.username,
                created: login.created,
            }),
        })
    }

    /// What the login gave: the name as it is kept, and whether the user is new.
    ///
    /// ```no_run
    /// # fn example(client: sns_client::Client) {
    /// if client.login().created {
    ///     println!("welcome, {}", client.login().username);
    /// }
    /// # }
    /// ```
    pub fn login(&self) -> &Login {
        &self.login
    }

    /// The highest seq this handle has seen, in answers and streams. Every read of the handle is
    /// answered from a state that includes it.
    ///
    /// ```no_run
    /// # async fn example(client: sns_client::Client) -> sns_client::Result<()> {
    /// let post = client.post("hello").await?;
    /// assert!(client.seen() >= post.id);
    /// # Ok(()) }
    /// ```
    pub fn seen(&self) -> Seq {
        Seq::from(self.engine.seen())
    }

    /// The addresses of the servers known, the one that is asked first in front.
    ///
    /// ```no_run
    /// # fn example(client: sns_client::Client) {
    /// if let Some(address) = client.addresses().first() {
    ///     println!("served by {address}");
    /// }
    /// # }
    /// ```
    pub fn addresses(&self) -> Vec<String> {
        self.engine.route.known()
    }

    /// A new ticket, for a write that you may want to repeat yourself; see [`Ticket`].
    ///
    /// ```no_run
    /// # async fn example(client: sns_client::Client) -> sns_client::Result<()> {
    /// let ticket = client.ticket();
    /// let once = client.post("hello").ticket(ticket).await?;
    /// let again = client.post("hello").ticket(ticket).await?;
    /// assert_eq!(once.id, again.id);
    /// # Ok(()) }
    /// ```
    pub fn ticket(&self) -> Ticket {
        Ticket::draw(self.engine.seen()).given()
    }

    /// Follows a user; gives the seq of the follow.
    ///
    /// # Errors
    /// `NotFound`: no such user. `Conflict`: followed already. `Invalid`: oneself, or no username.
    /// `Exhausted`: too many followed. And those of every write, see [`Write`].
    ///
    /// ```no_run
    /// # async fn example(client: sns_client::Client) -> sns_client::Result<()> {
    /// client.follow("bob").await?;
    /// # Ok(()) }
    /// ```
    pub fn follow(&self, username: impl Into<String>) -> Write<Seq> {
        let username = username.into();
        self.write(move |engine, ticket| async move {
            check_name(&username)?;
            let call = v1::FollowRequest {
                username,
                ..v1::FollowRequest::default()
            };
            Ok(Seq::from(engine.write(call, ticket).await?.seq))
        })
    }

    /// Follows a user no longer; gives the seq of the change.
    ///
    /// # Errors
    /// `NotFound`: no such user, or not followed. `Invalid`: no username. And those of every write,
    /// see [`Write`].
    ///
    /// ```no_run
    /// # async fn example(client: sns_client::Client) -> sns_client::Result<()> {
    /// client.unfollow("bob").await?;
    /// # Ok(()) }
    /// ```
    pub fn unfollow(&self, username: impl Into<String>) -> Write<Seq> {
        let username = username.into();
        self.write(move |engine, ticket| async move {
            check_name(&username)?;
            let call = v1::UnfollowRequest {
                username,
                ..v1::UnfollowRequest::default()
            };
            Ok(Seq::from(engine.write(call, ticket).await?.seq))
        })
    }

    /// Posts a text of 1 to 1,000 characters, at most 4,000 bytes, without NUL; gives the post.
    ///
    /// # Errors
    /// `Invalid` (`TEXT_INVALID`): too long, empty, or a NUL in it. And those of every write, see
    /// [`Write`].
    /// # Durability
    /// The post given survives the death of every server at once, and a power cut.
    ///
    /// ```no_run
    /// # async fn example(client: sns_client::Client) -> sns_client::Result<()> {
    /// let post = client.post("hello").await?;
    /// println!("{}", post.id);
    /// # Ok(()) }
    /// ```
    pub fn post(&self, text: impl Into<String>) -> Write<Post> {
        let text = text.into();
        self.write(move |engine, ticket| async move {
            check_text(&text)?;
            let call = v1::CreatePostRequest {
                text,
                ..v1::CreatePostRequest::default()
            };
            let post = engine.write(call, ticket).await?.post;
            post.map(Post::from)
                .ok_or_else(|| Error::new(Reason::Internal, "the server named no post"))
        })
    }

    /// Deletes a post of one's own; gives the seq of the deletion.
    ///
    /// # Errors
    /// `NotFound`: there is none, it is deleted already, or it is another user's. And those of
    /// every write, see [`Write`].
    ///
    /// ```no_run
    /// # async fn example(client: sns_client::Client) -> sns_client::Result<()> {
    /// let post = client.post("helo").await?;
    /// client.delete(post.id).await?;
    /// # Ok(()) }
    /// ```
    pub fn delete(&self, id: impl Into<Seq>) -> Write<Seq> {
        let id = id.into().get();
        self.write(move |engine, ticket| async move {
            let call = v1::DeletePostRequest {
                id,
                ..v1::DeletePostRequest::default()
            };
            Ok(Seq::from(engine.write(call, ticket).await?.seq))
        })
    }

    /// One's own posts and those of the users one follows now, newest first.
    ///
    /// ```no_run
    /// # async fn example(client: sns_client::Client) -> sns_client::Result<()> {
    /// for post in client.home().limit(50).page().await?.items {
    ///     println!("{}: {}", post.author, post.text.escape_debug());
    /// }
    /// # Ok(()) }
    /// ```
    pub fn home(&self) -> Home {
        Home::new(Arc::clone(&self.engine))
    }

    /// The posts of one user, newest first; of oneself, when the name is empty.
    ///
    /// ```no_run
    /// # async fn example(client: sns_client::Client) -> sns_client::Result<()> {
    /// let page = client.posts_of("bob").page().await?;
    /// # let _ = page; Ok(()) }
    /// ```
    pub fn posts_of(&self, username: impl Into<String>) -> PostsOf {
        PostsOf::new(Arc::clone(&self.engine), username.into())
    }

    /// All users, by name.
    ///
    /// ```no_run
    /// # async fn example(client: sns_client::Client) -> sns_client::Result<()> {
    /// let page = client.users().page().await?;
    /// # let _ = page; Ok(()) }
    /// ```
    pub fn users(&self) -> Users {
        Users::new(Arc::clone(&self.engine), v1::UserFilter::All, String::new())
    }

    /// Those who follow a user, by name; who follow oneself, when the name is empty.
    ///
    /// ```no_run
    /// # async fn example(client: sns_client::Client) -> sns_client::Result<()> {
    /// let page = client.followers("bob").page().await?;
    /// # let _ = page; Ok(()) }
    /// ```
    pub fn followers(&self, username: impl Into<String>) -> Users {
        let engine = Arc::clone(&self.engine);
        Users::new(engine, v1::UserFilter::Followers, username.into())
    }

    /// Those whom a user follows, by name; whom one follows oneself, when the name is empty.
    ///
    /// ```no_run
    /// # async fn example(client: sns_client::Client) -> sns_client::Result<()> {
    /// let page = client.following("bob").page().await?;
    /// # let _ = page; Ok(()) }
    /// ```
    pub fn following(&self, username: impl Into<String>) -> Users {
        let engine = Arc::clone(&self.engine);
        Users::new(engine, v1::UserFilter::Following, username.into())
    }

    /// The live timeline: reads and posts at the same time, and outlives the server it runs on.
    ///
    /// ```no_run
    /// # async fn example(client: sns_client::Client) -> sns_client::Result<()> {
    /// let mut timeline = client.timeline().backlog(10).open().await?;
    /// while let Some(event) = timeline.next().await {
    ///     println!("{:?}", event?);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn timeline(&self) -> TimelineOptions {
        TimelineOptions::new(Arc::clone(&self.engine))
    }

    /// All servers that the router knows, by pair with the master first; dead ones too, as long as
    /// their partners report them.
    ///
    /// # Errors
    /// `Unavailable`: no router answered until the deadline.
    ///
    /// ```no_run
    /// # async fn example(client: sns_client::Client) -> sns_client::Result<()> {
    /// for server in client.servers().await? {
    ///     println!("{} {}", server.name, server.address);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn servers(&self) -> Result<Vec<Server>> {
        let deadline = self.engine.deadline();
        let mut tries = Tries::of_read();
        loop {
            let ended = match routers::list(&self.engine.route).await {
                Ok(servers) => return Ok(servers),
                Err(ended) => ended,
            };
            let left = deadline.saturating_duration_since(Instant::now());
            match tries.next(ended, false, rand::random()) {
                _ if left.is_zero() => {
                    return Err(tries.out_of_time(self.engine.options.deadline));
                }
                Next::Fail(error) => return Err(error),
                // No login helps with a router, and nothing is written.
                Next::Login | Next::Anew { .. } => {}
                Next::Again { wait, .. } => tokio::time::sleep(wait.min(left)).await,
            }
        }
    }

    fn write<T, F, R>(&self, run: F) -> Write<T>
    where
        F: FnOnce(Arc<Engine>, Option<Ticket>) -> R + Send + 'static,
        R: Future<Output = Result<T>> + Send + 'static,
    {
        let engine = Arc::clone(&self.engine);
        Write {
            run: Box::new(move |ticket| Box::pin(run(engine, ticket))),
            ticket: None,
        }
    }
}

/// A write that is about to be sent: `.await` it.
///
/// # Errors
/// `Unavailable`, `Exhausted`: it was not done, and could not be until the deadline. `Unknown`: it
/// may have been done; [`Error::ticket`] repeats it safely. `Denied`, `Damaged`, `Internal`: as
/// their names say.
/// # Cancel safety
/// Dropping the future may or may not leave the write done.
///
/// ```no_run
/// # async fn example(client: sns_client::Client) -> sns_client::Result<()> {
/// let write = client.post("hello");
/// let post = write.await?;
/// # let _ = post; Ok(()) }
/// ```
#[must_use = "nothing is sent before it is awaited"]
pub struct Write<T> {
    run: Box<dyn FnOnce(Option<Ticket>) -> Boxed<Result<T>> + Send>,
    ticket: Option<Ticket>,
}

impl<T> Write<T> {
    /// Sends it with this ticket instead of a new one.
    ///
    /// # Errors
    /// Then also `Invalid` (`REQUEST_ID_REUSED`): the ticket went with another content before.
    /// `Unknown` (`REQUEST_EXPIRED`): over 1,000,000 writes passed since the ticket was drawn.
    pub fn ticket(mut self, ticket: Ticket) -> Self {
        self.ticket = Some(ticket.given());
        self
    }
}

impl<T> std::fmt::Debug for Write<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Write");
        shown.field("ticket", &self.ticket).finish_non_exhaustive()
    }
}

impl<T> IntoFuture for Write<T> {
    type Output = Result<T>;
    type IntoFuture = Boxed<Result<T>>;

    fn into_future(self) -> Self::IntoFuture {
        (self.run)(self.ticket)
    }
}

/// Stops what would not fit into a message: the transport refuses that without saying whose fault
/// it is.
pub(crate) fn check_name(name: &str) -> Result<()> {
    if name.len() <= NAME_BYTES {
        return Ok(());
    }
    Err(Error::new(
        Reason::UsernameInvalid,
        format!(
            "no username: 1 to {NAME_BYTES} of a-z, 0-9 and _ make one, this has {} bytes",
            name.len()
        ),
    ))
}

/// As [`check_name`], for texts.
pub(crate) fn check_text(text: &str) -> Result<()> {
    if text.len() <= TEXT_BYTES {
        return Ok(());
    }
    Err(Error::new(
        Reason::TextInvalid,
        format!(
            "a text has at most {TEXT_BYTES} bytes, this has {}",
            text.len()
        ),
    ))
}

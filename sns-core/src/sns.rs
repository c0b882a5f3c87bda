//! [`Sns`]: the handle of the embedded library.

use std::path::Path;
use std::sync::Arc;

use crate::account::Account;
use crate::builder::SnsBuilder;
use crate::data_dir::DataDir;
use crate::error::Result;
use crate::log::LogId;
use crate::log::memory::MemoryLog;
use crate::pending::Pending;
use crate::post::Post;
use crate::read::{Home, PostsOf, Users};
use crate::replica::{Health, Progress, Replica};
use crate::seq::Seq;
use crate::snapshots::SnapshotStore;
use crate::subscription::{Subscribe, Subscription};
use crate::user::Username;
use crate::view::pages::{self, UserList};
use crate::write::{UserMade, Write};

/// A social feed in this process: one replica of the log, and all that is read and written.
///
/// A cheap clone: all clones share one replica, which stops with the last of them or with
/// [`Sns::close`]. Every call can be made from any thread; no runtime is needed. Which calls block, and for what,
/// is told in [`guide::threads`](crate::guide::threads): the drop of the last clone does, so do it
/// outside of an async runtime.
///
/// # Durability
/// A program need not stop in any special way: it may be killed at any moment, and what it was told
/// is done is there when the directory is opened the next time.
///
/// ```
/// # fn main() -> sns_core::Result<()> {
/// let dir = tempfile::tempdir().unwrap();
/// let sns = sns_core::Sns::open(dir.path())?;
/// let (alice, bob) = (sns.user("alice")?, sns.user("bob")?);
/// sns.follow(&alice, &bob).wait()?;
/// sns.post(&bob, "hello").wait()?;
/// let page = sns.home(&alice).page()?;
/// assert_eq!(page.items[0].text.as_str(), "hello");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Sns(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    replica: Arc<Replica>,
    parts: Option<Parts>,
}

/// What lies around a log that is not in memory.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) data: DataDir,
    pub(crate) snapshots: SnapshotStore,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.replica.close();
    }
}

/// What a replica does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// It still applies what the log held when it was opened.
    Starting,
    /// It takes reads and writes.
    Serving,
    /// It takes no more writes, because it is about to stop.
    Draining,
    /// It stopped applying: see the reason.
    Halted,
}

/// Where a replica stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The node's name.
    pub node: String,
    /// Drawn when the data was made; empty for a log in memory.
    pub data_id: String,
    /// What it does.
    pub state: State,
    /// The index of the last entry that its view holds; 0 = none.
    pub applied: u64,
    /// The first index that is not durable: the lag is `tail - 1 - applied`, in entries.
    pub tail: u64,
    /// The digest at `applied`: 32 lower-case hexadecimal digits, equal on all replicas.
    pub digest: String,
    /// Open subscriptions.
    pub streams: u64,
    /// Why it does not serve, or what weakens its promises. Empty = all is well.
    pub reason: String,
    /// Users.
    pub users: u64,
    /// Posts that are there.
    pub posts: u64,
    /// Follows that are there.
    pub follows: u64,
    /// Bytes of memory that the view's values take, about.
    pub cache_bytes: u64,
    /// Bytes of the log.
    pub log_bytes: u64,
}

impl Sns {
    /// Opens the data in `dir`, or makes a new one; returns once all that the log holds is applied.
    ///
    /// Two programs may open one directory at once and see each other's writes.
    ///
    /// # Errors
    /// As [`SnsBuilder::open`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        Self::builder(dir).open()
    }

    /// As [`Sns::open`], with other than the usual parts.
    ///
    /// ```
    /// # fn main() -> sns_core::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// let sns = sns_core::Sns::builder(dir.path()).node("reports").open()?;
    /// assert_eq!(sns.status().node, "reports");
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(dir: impl AsRef<Path>) -> SnsBuilder {
        SnsBuilder::in_directory(dir.as_ref())
    }

    /// A feed that ends with the process: for tests and examples.
    ///
    /// # Errors
    /// `Unavailable`: no temporary directory can be made.
    ///
    /// ```
    /// # fn main() -> sns_core::Result<()> {
    /// let sns = sns_core::Sns::in_memory()?;
    /// sns.user("alice")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn in_memory() -> Result<Self> {
        Self::over_memory(MemoryLog::new()).open()
    }

    /// A replica of a log in memory; several share one log.
    ///
    /// ```
    /// # fn main() -> sns_core::Result<()> {
    /// use sns_core::{Sns, log::memory::MemoryLog};
    ///
    /// let log = MemoryLog::new();
    /// let one = Sns::over_memory(log.clone()).open()?;
    /// let two = Sns::over_memory(log).open()?;
    /// let alice = one.user("alice")?;
    /// let post = one.post(&alice, "hello").wait()?;
    /// assert_eq!(two.home(&alice).at_least(post.id).page()?.items, [post]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn over_memory(log: MemoryLog) -> SnsBuilder {
        SnsBuilder::over_memory(log)
    }

    pub(crate) fn new(replica: Arc<Replica>, parts: Option<Parts>) -> Self {
        Self(Arc::new(Inner { replica, parts }))
    }

    pub(crate) fn parts(&self) -> Option<&Parts> {
        self.0.parts.as_ref()
    }

    pub(crate) fn replica(&self) -> &Arc<Replica> {
        &self.0.replica
    }

    /// The user with this name; makes it the first time.
    ///
    /// # Errors
    /// `Invalid`: the name (see [`Username`]). Those of [`Write::create_user`].
    ///
    /// ```
    /// # fn main() -> sns_core::Result<()> {
    /// # let sns = sns_core::Sns::in_memory()?;
    /// assert_eq!(sns.user("Alice")?.as_str(), "alice");
    /// assert!(sns.user("../x").is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn user(&self, name: &str) -> Result<Username> {
        let name = Username::parse(name)?;
        self.create_user(&name).wait()?;
        Ok(name)
    }

    /// A write with the caller's own request id and `seen`; the verbs below are short for
    /// `write().verb(…)`.
    ///
    /// ```
    /// # fn main() -> sns_core::Result<()> {
    /// # let sns = sns_core::Sns::in_memory()?;
    /// # let alice = sns.user("alice")?;
    /// let id = sns_core::RequestId::random();
    /// let first = sns.write().request_id(id).post(&alice, "once").wait()?;
    /// let again = sns.write().request_id(id).post(&alice, "once").wait()?;
    /// assert_eq!(first, again);
    /// assert_eq!(sns.posts_of(&alice).page()?.items.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn write(&self) -> Write {
        Write::new(self)
    }

    /// Makes a user, unless there is one.
    ///
    /// # Errors
    /// As [`Write::create_user`].
    ///
    /// ```
    /// # fn main() -> sns_core::Result<()> {
    /// # let sns = sns_core::Sns::in_memory()?;
    /// let alice = sns_core::Username::parse("alice")?;
    /// assert!(sns.create_user(&alice).wait()?.created);
    /// assert!(!sns.create_user(&alice).wait()?.created);
    /// # Ok(())
    /// # }
    /// ```
    pub fn create_user(&self, user: &Username) -> Pending<UserMade> {
        self.write().create_user(user)
    }

    /// `user` follows `followee`; yields the seq.
    ///
    /// # Errors
    /// As [`Write::follow`].
    ///
    /// ```
    /// # fn main() -> sns_core::Result<()> {
    /// # let sns = sns_core::Sns::in_memory()?;
    /// # let (alice, bob) = (sns.user("alice")?, sns.user("bob")?);
    /// sns.follow(&alice, &bob).wait()?;
    /// let again = sns.follow(&alice, &bob).wait().unwrap_err();
    /// assert_eq!(again.kind(), sns_core::ErrorKind::Conflict);
    /// # Ok(())
    /// # }
    /// ```
    pub fn follow(&self, user: &Username, followee: &Username) -> Pending<Seq> {
        self.write().follow(user, followee)
    }

    /// `user` follows `followee` no longer; yields the seq.
    ///
    /// # Errors
    /// As [`Write::unfollow`].
    ///
    /// ```
    /// # fn main() -> sns_core::Result<()> {
    /// # let sns = sns_core::Sns::in_memory()?;
    /// # let (alice, bob) = (sns.user("alice")?, sns.user("bob")?);
    /// sns.follow(&alice, &bob).wait()?;
    /// sns.unfollow(&alice, &bob).wait()?;
    /// assert!(sns.following(&alice).page()?.items.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub fn unfollow(&self, user: &Username, followee: &Username) -> Pending<Seq> {
        self.write().unfollow(user, followee)
    }

    /// A new post of `author`; durable and visible once it yields.
    ///
    /// # Errors
    /// As [`Write::post`].
    ///
    /// ```
    /// # fn main() -> sns_core::Result<()> {
    /// # let sns = sns_core::Sns::in_memory()?;
    /// # let alice = sns.user("alice")?;
    /// let post = sns.post(&alice, "hello, world").wait()?;
    /// assert_eq!(sns.home(&alice).page()?.items, [post]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn post(&self, author: &Username, text: &str) -> Pending<Post> {
        self.write().post(author, text)
    }

    /// Deletes a post of `author`; yields the seq of the deletion.
    ///
    /// # Errors
    /// As [`Write::delete`].
    ///
    /// ```
    /// # fn main() -> sns_core::Result<()> {
    /// # let sns = sns_core::Sns::in_memory()?;
    /// # let alice = sns.user("alice")?;
    /// let post = sns.post(&alice, "oops").wait()?;
    /// sns.delete(&alice, post.id).wait()?;
    /// assert!(sns.posts_of(&alice).page()?.items.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub fn delete(&self, author: &Username, id: Seq) -> Pending<Seq> {
        self.write().delete(author, id)
    }

    /// What is known of a name: whether there is such a user, the hash of the password, which tokens
    /// count. May read from the disk.
    ///
    /// # Errors
    /// `Unavailable`: the view is being rebuilt.
    ///
    /// ```
    /// # fn main() -> sns_core::Result<()> {
    /// # let sns = sns_core::Sns::in_memory()?;
    /// let (bob, hash) = (sns_core::Username::parse("bob")?, sns_core::PasswordHash::new("$x$y")?);
    /// assert!(sns.write().create_account(&bob, &hash, false).wait()?.created);
    /// assert!(!sns.write().create_account(&bob, &hash, true).wait()?.created);
    /// assert_eq!(sns.account(&bob)?.password, Some(hash));
    /// # Ok(())
    /// # }
    /// ```
    pub fn account(&self, user: &Username) -> Result<Account> {
        self.replica().read(|memory| pages::account(memory, user))
    }

    /// As [`Sns::account`], without waiting for the disk; `None` = it would have to.
    ///
    /// # Errors
    /// As [`Sns::account`].
    pub fn account_now(&self, user: &Username) -> Result<Option<Account>> {
        self.replica()
            .read_now(Seq::ZERO, |memory| pages::account(memory, user))
    }

    /// The home timeline of `reader`: posts of those the reader follows now, and the reader's own,
    /// newest first.
    ///
    /// ```
    /// # fn main() -> sns_core::Result<()> {
    /// # let sns = sns_core::Sns::in_memory()?;
    /// # let alice = sns.user("alice")?;
    /// for n in 1..=30 {
    ///     sns.post(&alice, &format!("post {n}")).wait()?;
    /// }
    /// let first = sns.home(&alice).limit(20).page()?;
    /// let rest = sns.home(&alice).cursor(&first.next.unwrap()).page()?;
    /// assert_eq!(rest.items.len(), 10);
    /// assert_eq!(rest.next, None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn home(&self, reader: &Username) -> Home {
        Home::new(self, reader)
    }

    /// The posts of one user, newest first.
    ///
    /// ```
    /// # fn main() -> sns_core::Result<()> {
    /// # let sns = sns_core::Sns::in_memory()?;
    /// # let alice = sns.user("alice")?;
    /// let post = sns.post(&alice, "hello").wait()?;
    /// assert_eq!(sns.posts_of(&alice).limit(1).page()?.items, [post]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn posts_of(&self, user: &Username) -> PostsOf {
        PostsOf::new(self, user)
    }

    /// All users, by name.
    ///
    /// ```
    /// # fn main() -> sns_core::Result<()> {
    /// # let sns = sns_core::Sns::in_memory()?;
    /// sns.user("bob")?;
    /// sns.user("alice")?;
    /// let names: Vec<_> = sns.users().page()?.items.iter().map(|user| user.username).collect();
    /// assert_eq!(names, [sns.user("alice")?, sns.user("bob")?]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn users(&self) -> Users {
        Users::new(self, UserList::All)
    }

    /// Who follows `user`, by name.
    ///
    /// ```
    /// # fn main() -> sns_core::Result<()> {
    /// # let sns = sns_core::Sns::in_memory()?;
    /// # let (alice, bob) = (sns.user("alice")?, sns.user("bob")?);
    /// sns.follow(&alice, &bob).wait()?;
    /// assert_eq!(sns.followers(&bob).page()?.items[0].username, alice);
    /// # Ok(())
    /// # }
    /// ```
    pub fn followers(&self, user: &Username) -> Users {
        Users::new(self, UserList::Followers(*user))
    }

    /// Whom `user` follows, by name.
    ///
    /// ```
    /// # fn main() -> sns_core::Result<()> {
    /// # let sns = sns_core::Sns::in_memory()?;
    /// # let (alice, bob) = (sns.user("alice")?, sns.user("bob")?);
    /// sns.follow(&alice, &bob).wait()?;
    /// assert_eq!(sns.following(&alice).page()?.items[0].username, bob);
    /// # Ok(())
    /// # }
    /// ```
    pub fn following(&self, user: &Username) -> Users {
        Users::new(self, UserList::Following(*user))
    }

    /// The timeline of `reader` as it happens: all there is after `after`, then what comes; `None` =
    /// only what comes.
    ///
    /// # Errors
    /// As [`Sns::subscribe_with`].
    ///
    /// ```
    /// # fn main() -> sns_core::Result<()> {
    /// # use sns_core::{EventKind, Seq};
    /// # let sns = sns_core::Sns::in_memory()?;
    /// # let alice = sns.user("alice")?;
    /// let mut timeline = sns.subscribe(&alice, None)?;
    /// assert_eq!(timeline.next_blocking()?.kind, EventKind::CaughtUp);
    /// let post = sns.post(&alice, "live").wait()?;
    /// assert_eq!(timeline.next_blocking()?.kind, EventKind::Post(post));
    /// # Ok(())
    /// # }
    /// ```
    pub fn subscribe(&self, reader: &Username, after: Option<Seq>) -> Result<Subscription> {
        self.subscribe_with(
            reader,
            Subscribe {
                after,
                ..Subscribe::default()
            },
        )
    }

    /// As [`Sns::subscribe`], with a backlog or without one's own posts.
    ///
    /// # Errors
    /// `NotFound`: no such reader. `Exhausted`: too many subscriptions are open. `Unavailable`: the
    /// replica is starting or stopping.
    ///
    /// ```
    /// # fn main() -> sns_core::Result<()> {
    /// # use sns_core::{EventKind, Subscribe};
    /// # let sns = sns_core::Sns::in_memory()?;
    /// # let alice = sns.user("alice")?;
    /// let post = sns.post(&alice, "before").wait()?;
    /// let options = Subscribe { backlog: 20, ..Subscribe::default() };
    /// let mut timeline = sns.subscribe_with(&alice, options)?;
    /// assert_eq!(timeline.next_blocking()?.kind, EventKind::Post(post));
    /// # Ok(())
    /// # }
    /// ```
    pub fn subscribe_with(&self, reader: &Username, options: Subscribe) -> Result<Subscription> {
        Subscription::open(Arc::clone(self.replica()), reader, &options)
    }

    /// Waits until the start is over and the state includes `at_least` (and, if `linearizable`, all
    /// that was acknowledged anywhere before this call). It has no end of its own: put a timeout
    /// around it. Reads that follow need neither then.
    ///
    /// # Errors
    /// `Invalid` (`SEQ_UNKNOWN`): `at_least` is past the end of the log. `Damaged`: it halted.
    /// # Cancel safety
    /// Dropping it does nothing.
    pub async fn reach(&self, at_least: Seq, linearizable: bool) -> Result<()> {
        self.replica().reach(at_least, linearizable).await
    }

    /// What to tell a caller for whom [`Sns::reach`] took too long: `STARTING` or `LAGGING`.
    pub fn too_late(&self) -> crate::Error {
        self.replica().too_late()
    }

    /// The last command that reads show.
    ///
    /// ```
    /// # fn main() -> sns_core::Result<()> {
    /// # let sns = sns_core::Sns::in_memory()?;
    /// # let (alice, bob) = (sns.user("alice")?, sns.user("bob")?);
    /// let post = sns.post(&bob, "hello").wait()?;
    /// assert!(sns.applied() >= post.id);
    /// # Ok(())
    /// # }
    /// ```
    pub fn applied(&self) -> Seq {
        self.replica().applied()
    }

    /// Where this replica stands.
    ///
    /// ```
    /// # fn main() -> sns_core::Result<()> {
    /// # let sns = sns_core::Sns::in_memory()?;
    /// sns.user("alice")?;
    /// let status = sns.status();
    /// assert_eq!((status.users, status.tail), (1, status.applied + 1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn status(&self) -> Status {
        let replica = self.replica();
        let standing = replica.view().standing();
        let (state, reason) = match replica.health() {
            Health::Halted(error) => (State::Halted, error.to_string()),
            _ if replica.is_draining() => (State::Draining, String::new()),
            Health::Starting => (State::Starting, String::new()),
            Health::Serving => {
                let weakness = replica.log.weakness();
                let reason = weakness.or_else(|| replica.view().stuck());
                (State::Serving, reason.unwrap_or_default())
            }
            Health::Troubled(why) => (State::Serving, why),
        };
        Status {
            node: replica.node.clone(),
            data_id: self
                .data_dir()
                .map(|data| data.data_id().to_owned())
                .unwrap_or_default(),
            state,
            applied: standing.index,
            // What the log cannot tell now is what it told last: at least all that is applied.
            tail: replica.log.known_tail().unwrap_or(standing.index + 1),
            digest: format!("{:032x}", standing.digest),
            streams: replica.hub.open() as u64,
            reason,
            users: standing.users,
            posts: standing.posts,
            follows: standing.follows,
            cache_bytes: standing.cache_bytes,
            log_bytes: replica.log.size_bytes().unwrap_or(0),
        }
    }

    /// How far each stage has come.
    ///
    /// ```
    /// # fn main() -> sns_core::Result<()> {
    /// # let sns = sns_core::Sns::in_memory()?;
    /// sns.user("alice")?;
    /// assert!(sns.progress().append.finished >= 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn progress(&self) -> Progress {
        self.replica().progress()
    }

    /// The data directory; `None` for a log in memory.
    ///
    /// ```
    /// # fn main() -> sns_core::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// let sns = sns_core::Sns::open(dir.path())?;
    /// assert!(sns.data_dir().unwrap().path().join("format.json").exists());
    /// # Ok(())
    /// # }
    /// ```
    pub fn data_dir(&self) -> Option<&DataDir> {
        Some(&self.0.parts.as_ref()?.data)
    }

    /// Which log this is a replica of.
    pub fn log_id(&self) -> LogId {
        self.replica().log.id()
    }

    /// Refuses new writes (`SHUTTING_DOWN`) and ends the subscriptions; reads go on.
    ///
    /// ```
    /// # fn main() -> sns_core::Result<()> {
    /// # let sns = sns_core::Sns::in_memory()?;
    /// # let (alice, bob) = (sns.user("alice")?, sns.user("bob")?);
    /// sns.drain();
    /// let refused = sns.post(&alice, "too late").wait().unwrap_err();
    /// assert_eq!(refused.reason(), sns_core::Reason::ShuttingDown);
    /// # Ok(())
    /// # }
    /// ```
    pub fn drain(&self) {
        self.replica().drain();
    }

    /// Drains, finishes what is queued, writes out what is in memory and stops the threads. Reads
    /// go on, of a state that no longer moves; the node's name is free once the last clone and the
    /// last subscription are gone.
    /// Safe to repeat.
    ///
    /// ```
    /// # fn main() -> sns_core::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// let sns = sns_core::Sns::open(dir.path())?;
    /// sns.user("alice")?;
    /// sns.close();
    /// # Ok(())
    /// # }
    /// ```
    pub fn close(&self) {
        self.replica().close();
    }
}

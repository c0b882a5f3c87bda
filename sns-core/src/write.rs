//! Writes: one builder for the request id and `seen`, then the verbs.

use crate::account::PasswordHash;
use crate::command::{Command, Intent, RequestId};
use crate::error::{Error, Reason, Result};
use crate::pending::Pending;
use crate::post::{Post, Text};
use crate::seq::Seq;
use crate::sns::Sns;
use crate::user::Username;
use crate::view::apply::{Applied, Outcome};
use crate::view::pages;

/// A login's outcome: the user is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UserMade {
    /// This call made the user.
    pub created: bool,
    /// At or after the seq that made the user.
    pub seq: Seq,
}

/// A write with the caller's own request id and `seen`; see [`Sns::write`].
#[derive(Clone, Debug)]
#[must_use = "nothing is written until a verb is called"]
pub struct Write {
    sns: Sns,
    request_id: Option<RequestId>,
    seen: Option<Seq>,
}

impl Write {
    pub(crate) fn new(sns: &Sns) -> Self {
        Self {
            sns: sns.clone(),
            request_id: Some(RequestId::random()),
            seen: None,
        }
    }

    /// Names the intent, so that a retry with the same id, here or on another replica, has one
    /// effect and the first outcome. Without it a fresh id is drawn.
    ///
    /// ```
    /// # fn main() -> sns_core::Result<()> {
    /// # let sns = sns_core::Sns::in_memory()?;
    /// # let (alice, bob) = (sns.user("alice")?, sns.user("bob")?);
    /// let id = sns_core::RequestId::random();
    /// let first = sns.write().request_id(id).follow(&alice, &bob).wait()?;
    /// assert_eq!(sns.write().request_id(id).follow(&alice, &bob).wait()?, first);
    /// # Ok(())
    /// # }
    /// ```
    pub fn request_id(mut self, id: RequestId) -> Self {
        self.request_id = Some(id);
        self
    }

    /// Not remembered: for bulk loads, whose retries are harmless or never happen.
    ///
    /// ```
    /// # fn main() -> sns_core::Result<()> {
    /// # let sns = sns_core::Sns::in_memory()?;
    /// # let (alice, bob) = (sns.user("alice")?, sns.user("bob")?);
    /// sns.write().forget().follow(&alice, &bob).wait()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn forget(mut self) -> Self {
        self.request_id = None;
        self
    }

    /// The highest seq that the caller knew before the first attempt, unchanged in retries. Without
    /// it, what is applied here now; the write is then dropped if it waits for over 60 s.
    ///
    /// ```
    /// # fn main() -> sns_core::Result<()> {
    /// # let sns = sns_core::Sns::in_memory()?;
    /// # let (alice, bob) = (sns.user("alice")?, sns.user("bob")?);
    /// let (id, seen) = (sns_core::RequestId::random(), sns.applied());
    /// sns.write().request_id(id).seen(seen).post(&alice, "hello").wait()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn seen(mut self, seen: Seq) -> Self {
        self.seen = (seen != Seq::ZERO).then_some(seen);
        self
    }

    /// `user` follows `followee`; yields the seq.
    ///
    /// # Errors
    /// `Invalid`: oneself. `NotFound`: no such user. `Conflict`: follows already. `Exhausted`: 10,000
    /// are followed already; or the disk or a queue is full. `Unavailable`, `Unknown`.
    pub fn follow(self, user: &Username, followee: &Username) -> Pending<Seq> {
        self.seq_of(Intent::Follow {
            user: *user,
            followee: *followee,
        })
    }

    /// `user` follows `followee` no longer; yields the seq.
    ///
    /// # Errors
    /// `NotFound`: no such user, or not followed. `Exhausted`, `Unavailable`, `Unknown`.
    pub fn unfollow(self, user: &Username, followee: &Username) -> Pending<Seq> {
        self.seq_of(Intent::Unfollow {
            user: *user,
            followee: *followee,
        })
    }

    /// A new post of `author`.
    ///
    /// # Errors
    /// `Invalid`: the text (see [`Text`]). `NotFound`: no such user. `Exhausted`, `Unavailable`,
    /// `Unknown`.
    pub fn post(self, author: &Username, text: &str) -> Pending<Post> {
        let text = match Text::parse(text) {
            Ok(text) => text,
            Err(error) => return Pending::ready(Err(error)),
        };
        let author = *author;
        let intent = Intent::CreatePost {
            user: author,
            text: text.clone(),
        };
        self.submit(intent, move |applied| match applied.outcome {
            Outcome::Posted { created_at_ms } => Ok(Post {
                id: applied.seq,
                author,
                text,
                created_at_ms,
            }),
            other => Err(unexpected(other)),
        })
    }

    /// Deletes a post of `author`; yields the seq of the deletion.
    ///
    /// # Errors
    /// `NotFound`: missing, deleted already, or of another user. `Exhausted`, `Unavailable`,
    /// `Unknown`.
    pub fn delete(self, author: &Username, id: Seq) -> Pending<Seq> {
        self.seq_of(Intent::DeletePost { user: *author, id })
    }

    /// Makes a user, unless there is one; safe to repeat. Writes nothing when this replica knows
    /// the user.
    ///
    /// # Errors
    /// `Exhausted`, `Unavailable`, `Unknown`.
    pub fn create_user(mut self, user: &Username) -> Pending<UserMade> {
        let replica = self.sns.replica();
        let name = *user;
        // With the state that shows the user: `applied` follows it a little later.
        let known = replica.try_read(|memory| {
            let there = pages::has_user(memory, &name)?;
            Ok(there.then_some(memory.meta.applied))
        });
        match known {
            Ok(Some(Some(seq))) => {
                return Pending::ready(Ok(UserMade {
                    created: false,
                    seq,
                }));
            }
            // Unknown, or not to be told while the replica starts: the log decides.
            Ok(Some(None) | None) => {}
            Err(error) => return Pending::ready(Err(error)),
        }
        self.request_id = None;
        self.submit(Intent::CreateUser { user: name }, |applied| {
            match applied.outcome {
                Outcome::User { created } => Ok(UserMade {
                    created,
                    seq: applied.seq,
                }),
                other => Err(unexpected(other)),
            }
        })
    }

    /// Gives the name `user` to whoever knows the password: makes the user, or, with `claim`, takes
    /// one who is there without a password. `created` is false when the name belongs to somebody, or
    /// is there and not to be claimed; nothing has changed then.
    ///
    /// # Errors
    /// `Exhausted`, `Unavailable`, `Unknown`.
    pub fn create_account(
        mut self,
        user: &Username,
        password: &PasswordHash,
        claim: bool,
    ) -> Pending<UserMade> {
        self.request_id = None;
        let intent = Intent::CreateAccount {
            user: *user,
            password: password.clone(),
            claim,
        };
        self.submit(intent, |applied| match applied.outcome {
            Outcome::User { created } => Ok(UserMade {
                created,
                seq: applied.seq,
            }),
            other => Err(unexpected(other)),
        })
    }

    /// Another password; tokens issued until now are void.
    ///
    /// # Errors
    /// `NotFound`: no such user. `Exhausted`, `Unavailable`, `Unknown`.
    pub fn set_password(mut self, user: &Username, password: &PasswordHash) -> Pending<Seq> {
        self.request_id = None;
        self.seq_of(Intent::SetPassword {
            user: *user,
            password: password.clone(),
        })
    }

    /// Tokens issued until now are void, on every replica that has applied it.
    ///
    /// # Errors
    /// `NotFound`: no such user. `Exhausted`, `Unavailable`, `Unknown`.
    pub fn revoke_tokens(mut self, user: &Username) -> Pending<Seq> {
        self.request_id = None;
        self.seq_of(Intent::RevokeTokens { user: *user })
    }

    fn seq_of(self, intent: Intent) -> Pending<Seq> {
        self.submit(intent, |applied| Ok(applied.seq))
    }

    fn submit<T>(
        self,
        intent: Intent,
        finish: impl FnOnce(Applied) -> Result<T> + Send + 'static,
    ) -> Pending<T> {
        let replica = self.sns.replica();
        let refusal = Refusal::of(&intent);
        let seen = self.seen.unwrap_or_else(|| replica.seen_now());
        let command = Command {
            request_id: self.request_id,
            seen,
            intent,
        };
        match replica.submit(command, self.seen.is_none()) {
            Err(error) => Pending::ready(Err(error)),
            Ok(reply) => Pending::waiting(reply, move |applied| match applied.outcome {
                Outcome::Refused(number) => Err(refusal.error(number)),
                _ => finish(applied),
            }),
        }
    }
}

fn unexpected(outcome: Outcome) -> Error {
    Error::new(
        Reason::Internal,
        format!("an outcome of another kind: {outcome:?}"),
    )
}

/// What a refusal's message needs to know of the command.
struct Refusal {
    other: Option<Username>,
}

impl Refusal {
    fn of(intent: &Intent) -> Self {
        let other = match intent {
            Intent::Follow { followee, .. } | Intent::Unfollow { followee, .. } => Some(*followee),
            _ => intent.user().copied(),
        };
        Self { other }
    }

    fn error(&self, number: i32) -> Error {
        let reason = Reason::try_from(number).unwrap_or(Reason::Internal);
        let other = self
            .other
            .map_or_else(|| "that user".into(), |name| name.to_string());
        let message = match reason {
            Reason::UserNotFound => format!("there is no user {other}"),
            Reason::SelfFollow => "you cannot follow yourself".into(),
            Reason::AlreadyFollowing => format!("you follow {other} already"),
            Reason::NotFollowing => format!("you do not follow {other}"),
            Reason::PostNotFound => "you have no such post (deleted already?)".into(),
            Reason::TooManyFollowees => format!(
                "you follow {} users, which is the most: unfollow some first",
                crate::limits::FOLLOWEES
            ),
            Reason::RequestIdReused => {
                "this request id was used for another request: draw a new one".into()
            }
            Reason::RequestExpired => "this request is too old to tell whether it took effect: \
                                       send it anew with a new request id if it was the first \
                                       attempt"
                .into(),
            other => format!("refused: {}", sns_proto::reason::name(other)),
        };
        Error::new(reason, message)
    }
}

//! What a feed is made of.
//!
//! **Users** have names ([`Username`](crate::Username): `[a-z0-9_]{1,32}`), and nothing else that
//! the core needs. A user is made the first time somebody names it
//! ([`Sns::user`](crate::Sns::user)), and never goes.
//!
//! **Follows** are from one user to another, at most
//! [`limits::FOLLOWEES`](crate::limits::FOLLOWEES) from each; nothing bounds the number of
//! followers. **Posts** have an author, a [`Text`](crate::Text) and a time. They are never edited;
//! their author may delete them.
//!
//! **The home timeline** of a reader is merged when it is read: the posts of all whom the reader
//! follows *now*, older ones too, and the reader's own, newest first. Nothing is copied to
//! followers, so a post costs the same with three followers and with three million, and an unfollow
//! or a deletion shows in the next read.
//!
//! ```
//! # fn main() -> sns_core::Result<()> {
//! # let sns = sns_core::Sns::in_memory()?;
//! let (alice, bob) = (sns.user("alice")?, sns.user("bob")?);
//! sns.post(&bob, "before").wait()?;
//! sns.follow(&alice, &bob).wait()?;
//! let texts = |page: sns_core::Page<sns_core::Post>| -> Vec<String> {
//!     page.items.iter().map(|post| post.text.to_string()).collect()
//! };
//! assert_eq!(texts(sns.home(&alice).page()?), ["before"]);
//! sns.unfollow(&alice, &bob).wait()?;
//! assert!(sns.home(&alice).page()?.items.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! # The log, the view, and one number
//!
//! *The log is the database, sled is its index, memory is a cache of sled.* A write is a *command*;
//! commands that queue up together become one *entry* of the log: appended, synced, declared
//! durable, then applied by every process that has the data open, each to a *view* of its own. A
//! view may be deleted at any time: it is made anew from the log, or from a snapshot and the rest
//! of the log.
//!
//! [`Seq`](crate::Seq) is the position of a command: unique, and ordered over all processes. The
//! same number is the id of a post, the place where a page ended, the token with which a stream
//! resumes, and the token with which one reads one's own writes elsewhere.
//!
//! A post's time is *log time*: the clock of whoever wrote the entry, unless that is behind what
//! the log has seen; so it never goes back from one post to the next. Order by id, not by time.

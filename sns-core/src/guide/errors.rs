//! Errors: the kind is the promise, the rest is for people.
//!
//! Every call fails with an [`Error`](crate::Error) that has a [`kind`](crate::Error::kind) to act
//! on, a [`reason`](crate::Error::reason) as the wire names it, and a message that may change from
//! release to release. Match kinds; look at reasons only where this page says so.
//!
//! | kind | what to do | for instance |
//! | --- | --- | --- |
//! | `Invalid` | correct the request | a username, a text, a cursor of another query, following oneself |
//! | `NotFound` | correct the request | no such user, post, follow |
//! | `Conflict` | it is so already: mostly fine | followed already |
//! | `Denied` | log in, or it is not yours | servers only; the core asks nobody who they are |
//! | `Exhausted` | slow down, then the same again | a full queue, a full disk. `TooManyFollowees`: unfollow some first |
//! | `Unavailable` | the same again after a while, here or elsewhere: **nothing was written** | starting, stopping, lagging, no log |
//! | `Unknown` | the write **may have happened**: again with the *same* request id only | a sync that failed, a wait that was too short |
//! | `Damaged` | stop and call the operator | a flipped bit, a log of a newer version |
//! | `Internal` | report a bug | |
//!
//! ```
//! use std::time::Duration;
//! use sns_core::{Error, ErrorKind, Reason};
//!
//! /// How long to wait before the same request may help.
//! fn again_after(error: &Error) -> Option<Duration> {
//!     match error.kind() {
//!         ErrorKind::Exhausted if error.reason() == Reason::TooManyFollowees => None,
//!         ErrorKind::Exhausted => Some(Duration::from_secs(1)),
//!         ErrorKind::Unavailable => Some(Duration::from_millis(100)),
//!         // With the same request id, see `writes`.
//!         ErrorKind::Unknown => Some(Duration::from_millis(100)),
//!         _ => None,
//!     }
//! }
//!
//! let sns = sns_core::Sns::in_memory()?;
//! let alice = sns.user("alice")?;
//! let refused = sns.follow(&alice, &alice).wait().unwrap_err();
//! assert_eq!((refused.kind(), again_after(&refused)), (ErrorKind::Invalid, None));
//! # Ok::<(), Error>(())
//! ```
//!
//! Two reasons of the kind `Unknown` differ: `OutcomeUnknown` says that the attempt may have taken
//! effect; `RequestExpired` says that *this* attempt did not, but that an earlier one with the same
//! id can no longer be told. If there was none, send it anew with a new id and a new `seen`.
//!
//! The library panics only on a broken invariant of its own, never on input, on what a disk says or
//! on what lies in a directory.

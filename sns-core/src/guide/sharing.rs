//! Several programs on one feed.
//!
//! # One directory, many programs
//!
//! Any number of programs of one machine (64, unless you name their nodes) may open one directory
//! at the same time, beside running servers too. Each is a full replica: it reads and writes, and
//! sees what the others wrote. Nobody is in charge and nothing has to be started first.
//!
//! ```
//! # fn main() -> sns_core::Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! // In one program…
//! let one = sns_core::Sns::open(dir.path())?;
//! let alice = one.user("alice")?;
//! let post = one.post(&alice, "hello").wait()?;
//! // …and in another.
//! let two = sns_core::Sns::open(dir.path())?;
//! assert_eq!(two.home(&alice).linearizable(true).page()?.items, [post]);
//! # Ok(())
//! # }
//! ```
//!
//! - **Nodes.** Each opening is a *node* with a view of its own in `nodes/<node>`: the first free
//!   one of `local-0` to `local-63`, or the one that [`SnsBuilder::node`](crate::SnsBuilder::node)
//!   names. A named node keeps its view for itself, so it starts faster, and it can be open once
//!   only: a lock against a second copy of the same program.
//! - **Cost.** Each node has its memory ([`Settings::cache_bytes`](crate::Settings::cache_bytes))
//!   and its view on the disk. Within one program open once and clone.
//! - **Beside servers.** Programs on the directory of `sns-server up` follow the same rules, and
//!   names and posts are the same ones. What servers add (log-ins, rates, TLS) does not apply to
//!   who can open the directory.
//! - **Users.** The directory belongs to one user of the system (0700), and all programs run as
//!   that user.
//! - **Stopping is worse than dying.** A program that is stopped (a debugger, `SIGSTOP`) in the
//!   microseconds in which it holds the lock holds up writers, until it goes on or dies; `status`
//!   names it.
//!
//! # Several machines
//!
//! With the feature `nats` the log lies on a NATS JetStream cluster (`SnsBuilder::jetstream`), and
//! the directory of each machine holds views alone. The rest of this guide holds there too.
//!
//! # In another language, or without being a replica
//!
//! `sns-server` serves the same data over gRPC and HTTP with JSON; `sns-client` is a library that
//! hides the deaths of servers. The format of the log on disk is documented (`docs/log-format.md`),
//! for programs that read it.

//! What holds, whatever dies.
//!
//! 1. An acknowledged write survives `kill -9` of every process at once, and a power cut.
//!    *Acknowledged* is what a [`Pending`](crate::Pending) yielded as `Ok`.
//! 2. A write takes effect at most once, also when it is sent again with its
//!    [`RequestId`](crate::RequestId), from this process or another. One that comes too late to
//!    tell ends as `Unknown`, never as a second effect.
//! 3. All replicas, pages and streams show one order, without holes. A cursor is good for the life
//!    of the data, in every process.
//! 4. Any process may be killed at any moment, and the others go on at once: the right to write is
//!    a lock that is held for microseconds and that the kernel takes back. There is no leader to
//!    elect and nothing to repair by hand.
//! 5. Damage is reported, never served, and never silently cut off. Only a torn *last* record,
//!    which was never acknowledged, may be dropped.
//! 6. Every queue, page, cache and message has a bound, and a refusal that says so:
//!    [`bounds`](super::bounds).
//!
//! # What is not promised
//!
//! - A directory is one machine and a local file system. Network file systems are refused, unless
//!   [`Settings::force_network_fs`](crate::Settings::force_network_fs) says that you know better.
//!   Several machines: the feature `nats`; then 1 is worth what that cluster keeps.
//! - A program that is *stopped* (not killed) in the microseconds in which it holds the lock holds
//!   up all writers. Servers on the directory find it after a second: other servers of theirs they
//!   kill, an embedding program they name in `status` and never touch.
//! - A bit that flips in the last second before a power cut may go unnoticed.
//! - Who can write to the directory can do anything: it belongs to its user alone (0700).
//!
//! Each promise has tests that kill, stop, cut and flip; `docs/reliability.md` of the repository
//! has the figures.

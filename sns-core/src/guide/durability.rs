//! What an acknowledgement is worth.
//!
//! `Ok` from a write means: durable *and* applied here. How durable is a matter of the log:
//!
//! | log | opened by | an acknowledged write survives |
//! | --- | --- | --- |
//! | a directory | [`Sns::open`](crate::Sns::open), [`Sns::builder`](crate::Sns::builder) | the death of all processes, a power cut (`fdatasync` before every acknowledgement); not the loss of the disk |
//! | JetStream (feature `nats`) | `SnsBuilder::jetstream` | what a quorum of its servers survives; a cluster that could lose what it acknowledged is refused unless weaker durability is asked for |
//! | memory | [`Sns::in_memory`](crate::Sns::in_memory), [`Sns::over_memory`](crate::Sns::over_memory) | nothing: it ends with the process |
//!
//! There is no mode that acknowledges first and syncs later. Who wants more writes in a second
//! keeps more of them under way ([`writes`](super::writes)): they share their syncs.
//!
//! # When the disk is unwell
//!
//! - **Full:** writes are refused as `Exhausted` (`DISK_FULL`), nothing is half written, reads go
//!   on. Make room; nothing has to be restarted.
//! - **A sync that fails** is never taken back by a later one that succeeds (systems forget such
//!   errors). What was under way ends as `Unknown`; the log is read anew from the disk before it is
//!   written to again.
//! - **Damage** of what was durable is found by checksums that are chained and seeded with the id
//!   of the log. It is reported with its place, and with the witness that says it was durable; it
//!   is never served and never cut off. Bring back a copy of the directory, or of that segment.
//! - **The view** is no truth: one that is missing, damaged, or of another version is deleted and
//!   made anew, with a warning.
//!
//! # Copies
//!
//! [`Sns::create_snapshot`](crate::Sns::create_snapshot) writes a copy of the view into the directory
//! and lets the log before it be trimmed: it bounds the log, and is no backup, for it lies on the same
//! disk. [`backup`](crate::backup) copies a feed that is in use into one file, as of one moment; `cp`
//! does not: a copy file by file is of several moments.
//!
//! A restored feed is a new life: another [`Sns::log_id`](crate::Sns::log_id), and positions that the
//! original never used. A note that your program keeps beside the feed (a cursor, say) should hold
//! that id, and be compared with it at the start, as the example `bot` does.

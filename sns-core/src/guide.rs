//! The guide: one page an idea, each with programs that run.
//!
//! | page | answers |
//! | --- | --- |
//! | [`model`] | what a feed is made of; what a home timeline shows; what a [`Seq`](crate::Seq) is |
//! | [`promises`] | what holds, whatever dies, and what is not promised |
//! | [`writes`] | `.wait()`, `.await`, many at once, retries that have one effect |
//! | [`reads`] | pages, cursors, and which state a read shows |
//! | [`streams`] | a timeline as it happens; resuming; reacting exactly once |
//! | [`errors`] | kinds, reasons, and what to do about each |
//! | [`threads`] | what runs where; blocking and runtimes; stopping |
//! | [`sharing`] | several programs on one directory; beside servers; several machines |
//! | [`durability`] | what an acknowledgement is worth on each log; disks that are full or lie |
//! | [`testing`] | a log in memory, a clock of one's own, determinism |
//! | [`bounds`] | every limit, and the refusal that tells of it |
//! | [`stability`] | what stays: formats, ids, the interface, features |
//!
//! The programs in `examples/` put it together: `hello_feed`, `two_processes`, `axum_app`,
//! `bulk_load`, `bot`, `own_clock`.

pub mod bounds;
pub mod durability;
pub mod errors;
pub mod model;
pub mod promises;
pub mod reads;
pub mod sharing;
pub mod stability;
pub mod streams;
pub mod testing;
pub mod threads;
pub mod writes;

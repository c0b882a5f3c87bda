//! Redis, `PostgreSQL` and SNS under the same load, each with its best known scheme.
//!
//! ```text
//! apt-get install redis-server postgresql-15          Debian 12: Redis 7.0, PostgreSQL 15
//! cargo xtask bench-peers --quick                     does it work? three minutes
//! cargo xtask bench-peers --out peers.jsonl           the figures: a quarter of an hour
//! cargo xtask bench-peers schemes                     the ways of asking each, one against the other
//! ```
//!
//! # What is the same for all
//!
//! - The machine and its cores, which the load shares. Only one system runs at a time, on loopback
//!   TCP, started for the run on a fresh directory of a real disk (`--dir`; a tmpfs is refused).
//! - The graph, the number of posts before, their authors and texts (256 letters), in the order in
//!   which callers came to write them. That each then shows the same pages is a test
//!   (`tests/same_pages.rs`).
//! - The load, by [`sns_load`]: the same requests at the same times from as many callers, each of
//!   whom waits for an answer before it asks again. Latency counts from when a request was due.
//! - Clients in Rust, with the crates that one would take, reading each page into posts with id,
//!   author and text. The peers know users by number, SNS by name.
//! - Each system's clients share a few sockets, so that what waits goes out in one write: all three
//!   are faster so than with a socket a caller (see below).
//!
//! # What is not
//!
//! SNS keeps a replica in a second process, remembers each write's request id, answers from a state
//! that includes what the connection has seen, and has no setting that is less durable. The peers
//! give none of this and are not charged for it; see [`retwis`] and [`pull`]. Of SNS's own there is
//! only one form, which therefore stands in both classes: with `appendfsync always` and
//! `synchronous_commit = on` (an acknowledged write survives a power cut), and with `everysec` and
//! `off` (it may be lost).
//!
//! # What was tried
//!
//! Operations a second of 64 callers who ask as fast as they are answered, 2 cores, 100,000 posts
//! before on Reed98 and on Slashdot. The machine was not quiet: they tell which way is better, not
//! how fast it is. `schemes` measures them again.
//!
//! | way | mix | Reed98 | Slashdot |
//! | --- | --- | --- | --- |
//! | Redis, page: `SORT_RO .. BY nosort GET p:*` (taken) | read | 25,600 | 37,400 |
//! | Redis, page: script with `LRANGE` and `MGET` | read | 8,700 | 29,200 |
//! | Redis, page: `LRANGE`, then `MGET` | read | 11,300 | 23,900 |
//! | Redis always, post: script (taken) | post | 4,200 | 4,800 |
//! | Redis always, post: pipelined `MULTI` | post | 2,400 | 2,800 |
//! | Redis everysec, post: script (taken) | post | 3,900 | 10,700 |
//! | Redis everysec, post: pipelined `MULTI` | post | 2,900 | 9,600 |
//! | Redis always, 4 sockets (taken) | dsb | 7,700 | 12,500 |
//! | Redis always, 64 sockets | dsb | 5,900 | 7,600 |
//! | `PostgreSQL`, ids laterally, then rows | read | 5,000 | 15,300 |
//! | `PostgreSQL`, the same by rank | read | 5,700 | 13,300 |
//! | `PostgreSQL`, rows laterally | read | 3,300 | 15,200 |
//! | `PostgreSQL`, plain join | read | 2,500 | 19,000 |
//! | `PostgreSQL`, scan from the newest | read | 3,200 | 13,200 |
//! | `PostgreSQL` on, 16 sessions (taken) | dsb | 5,900 | 12,600 |
//! | `PostgreSQL` on, 64 sessions | dsb | 4,200 | 5,800 |
//! | SNS, masters, 4 sockets (taken) | dsb | 8,600 | 6,900 |
//! | SNS, masters, 64 sockets | dsb | 4,900 | 4,000 |
//! | SNS, masters and slaves, 8 sockets | dsb | 8,700 | 7,100 |
//!
//! For `PostgreSQL` the run itself tries the three best queries on the filled tables and takes the
//! fastest, since it depends on the graph. Not tried: Redis home lists that hold the texts
//! themselves. They would save the 20 look-ups of a page, but with 1,000 posts for each of
//! Slashdot's 82,168 readers need over 20 GB, and each post would be written once per follower to
//! the append-only file.
//!
//! # What is measured
//!
//! The curve: latency at fixed rates, lowest first. The most: what comes back when far more is asked
//! for. The highest rate that held: p99 below 10 ms, no error, 99% of it achieved, confirmed over
//! the whole duration. Ratios are SNS to the peer. A short or disturbed run shows by `none` and by a
//! highest rate that is far below the most.

pub mod args;
pub mod campaign;
mod cli;
mod failure;
pub mod feed;
pub mod graphs;
pub mod machine;
pub mod places;
pub mod process;
pub mod pull;
pub mod record;
pub mod retwis;
pub mod schemes;
pub mod sns;
pub mod systems;
pub mod target;

pub use cli::main;
pub use failure::{Failure, Result};

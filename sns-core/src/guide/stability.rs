//! What stays.
//!
//! - **The log is for ever.** Fields and kinds of commands are added, never renumbered, never given
//!   another meaning. An entry names the lowest version of the rules that may apply it; a program
//!   that knows less halts as `Damaged` and says "upgrade", rather than reading another history.
//!   The bytes are described in `docs/log-format.md` of the repository, and a reader in another
//!   language, made from that page, is a test.
//! - **Seqs, ids of posts and cursors** are good for the life of the data, in every process and
//!   release, also when the log moves between a directory and JetStream.
//! - **[`RequestId::derived`](crate::RequestId::derived)** gives the same id in every release.
//! - **The view is private** and disposable: another release may make it anew at its first start,
//!   which takes as long as reading the newest snapshot and the log behind it. So may
//!   [`Status::digest`](crate::Status) change with its version; on one version it is equal on all
//!   replicas.
//! - **The interface** follows the rules of cargo: before 1.0 a new minor version may change it,
//!   and the changelog says how. Enums and structs that may grow are `#[non_exhaustive]`. Messages
//!   of errors are for people and may change at any time.
//!
//! # Features
//!
//! | feature | brings |
//! | --- | --- |
//! | *none* | the directory log and the log in memory; no async runtime in the tree |
//! | `nats` | the log on NATS JetStream (`SnsBuilder::jetstream`), with tokio and async-nats |
//! | `test-util` | what the tests of this workspace use; not a stable interface |
//!
//! # Platforms
//!
//! Linux, on a local file system. The crate is written to compile on macOS too, where nothing is
//! promised yet.

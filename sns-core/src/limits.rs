//! Every bound of the system, each with its reason.

use std::time::Duration;

/// Commands in one entry: an import reaches full speed with it, and applying one stays a few ms.
pub const ENTRY_COMMANDS: usize = 4_096;

/// Bytes of one encoded entry, the same for every log, so that any log can be copied into any
/// other; half of what a NATS server takes by default.
pub const ENTRY_BYTES: usize = 512 * 1024;

/// The last clock of a writer that counts, milliseconds since 1970: the end of the year 9999, as far
/// as the wire can say. A later one leaves log time as it was.
pub const CLOCK_MS_MAX: u64 = 253_402_300_799_999;

/// Bytes of a username: they make fixed-width keys.
pub const USERNAME_BYTES: usize = 32;

/// Unicode scalar values of a post.
pub const TEXT_CHARS: usize = 1_000;

/// Bytes of a post; four for each scalar value.
pub const TEXT_BYTES: usize = 4_000;

/// Posts or users of one page.
pub const PAGE_MAX: usize = 200;

/// Posts or users of one page when the caller names no number.
pub const PAGE_DEFAULT: usize = 20;

/// Users that one user can follow: bounds the work of one page, which merges them all.
pub const FOLLOWEES: u32 = 10_000;

/// Requests that are remembered, so that a retry has one effect.
pub const REQUESTS: u64 = 1_000_000;

/// Deletions that a resumed stream is told of.
pub const DELETIONS: u64 = 100_000;

/// Commands that wait for the appender: four full entries, well under a second of work.
pub const QUEUE_COMMANDS: usize = 16_384;

/// Bytes of the texts that wait for the appender.
pub const QUEUE_BYTES: usize = 16 * 1024 * 1024;

/// A write for which the client sent no `seen` is dropped when it waited longer in the queue.
pub const QUEUE_WAIT: Duration = Duration::from_secs(60);

/// Posts in one block of an author.
pub const BLOCK_POSTS: usize = 64;

/// Keys and bytes of one batch that the view writer hands to sled: its `apply_batch` holds a lock
/// of the whole process, so that a larger one stops cold reads for long.
pub const BATCH_KEYS: usize = 256;
/// See [`BATCH_KEYS`].
pub const BATCH_BYTES: usize = 256 * 1024;

/// Bytes that the view writer takes at once, about, with a small cache; half of a larger cache. Each
/// value is written once, however often it changed meanwhile: while much is applied, what piles up
/// here is what sled is spared.
pub const WINDOW_BYTES: usize = 16 * 1024 * 1024;
/// The most of it: sealing it stops readers for tens of ms. Twice as much while entries wait to be applied:
/// a rebuild writes the same authors again in each batch.
pub const WINDOW_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Between two batches of the view writer while nothing is applied.
pub const WRITE_PACE: Duration = Duration::from_millis(200);
/// Between two batches while something is: what changes again meanwhile is written once, and a kill
/// costs as much reading of the log at the next start.
pub const WRITE_PACE_BUSY: Duration = Duration::from_secs(2);
/// Between two batches that are not full while entries wait to be applied, or come as fast as in an
/// import; see [`WRITE_PACE_BUSY`].
pub const WRITE_PACE_BEHIND: Duration = Duration::from_secs(10);

/// Bytes of a batch that is taken for a flood as long as it grows.
pub const FLOOD_BYTES: usize = 16 * 1024 * 1024;

/// Memory in front of sled, unless the settings say otherwise.
pub const CACHE_BYTES: usize = 256 * 1024 * 1024;
/// The least memory in front of sled: a page of the largest reader has to fit.
pub const CACHE_BYTES_MIN: usize = 8 * 1024 * 1024;

/// Events that wait for one subscriber; a slower one is moved back to reading from the view.
pub const SUBSCRIBER_EVENTS: usize = 256;

/// Open subscriptions of one process: bounds the memory that readers can claim.
pub const SUBSCRIBERS: usize = 65_536;

/// How long a call waits for a state (`at_least`, a start that still catches up).
pub const WAIT: Duration = Duration::from_secs(5);

/// Bytes of one segment of the directory log.
pub const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

/// The least growth of the log after which a snapshot is made without being asked for.
pub const SNAPSHOT_GROWTH_BYTES: u64 = 256 * 1024 * 1024;

/// Snapshots that trimming keeps.
pub const SNAPSHOTS_KEPT: usize = 2;

/// Digests of past indexes that a view keeps in memory, to compare with a `Checkpoint`.
pub const DIGESTS_KEPT: usize = 65_536;

/// Nodes of embedding programs that share one directory: `local-0` to `local-63`.
pub const LOCAL_NODES: usize = 64;

/// Nodes that a router's table holds.
pub const ROUTER_NODES: usize = 1_024;

/// Bytes of one message on the wire.
pub const MESSAGE_BYTES: usize = 64 * 1024;

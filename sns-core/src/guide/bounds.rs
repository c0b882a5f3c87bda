//! Every limit, and the refusal that tells of it.
//!
//! Nothing grows without a bound. What stands here cannot be set, so that every process agrees; the
//! constants are in [`limits`](crate::limits), each with its reason.
//!
//! | what | bound | past it |
//! | --- | --- | --- |
//! | username | [`USERNAME_BYTES`](crate::limits::USERNAME_BYTES) of `a-z 0-9 _` | `Invalid` |
//! | post | [`TEXT_CHARS`](crate::limits::TEXT_CHARS) characters, [`TEXT_BYTES`](crate::limits::TEXT_BYTES) bytes, at least one | `Invalid` |
//! | followees of one user | [`FOLLOWEES`](crate::limits::FOLLOWEES) | `Exhausted` (`TOO_MANY_FOLLOWEES`) |
//! | followers, posts, users | none but the disk | `Exhausted` (`DISK_FULL`) |
//! | items of one page | [`PAGE_MAX`](crate::limits::PAGE_MAX); [`PAGE_DEFAULT`](crate::limits::PAGE_DEFAULT) when none is named | as many as that |
//! | writes that wait in one process | [`QUEUE_COMMANDS`](crate::limits::QUEUE_COMMANDS), [`QUEUE_BYTES`](crate::limits::QUEUE_BYTES) | `Exhausted` (`OVERLOADED`) |
//! | waiting of a write without `seen` | [`QUEUE_WAIT`](crate::limits::QUEUE_WAIT) | `Exhausted` (`OVERLOADED`), nothing written |
//! | requests that are remembered | [`REQUESTS`](crate::limits::REQUESTS) | `Unknown` (`REQUEST_EXPIRED`) |
//! | waiting for a state | [`WAIT`](crate::limits::WAIT) | `Unavailable` (`LAGGING`, `STARTING`) |
//! | open streams of one process | [`SUBSCRIBERS`](crate::limits::SUBSCRIBERS) | `Exhausted` |
//! | events that wait for one stream | [`SUBSCRIBER_EVENTS`](crate::limits::SUBSCRIBER_EVENTS) | it reads from the view; nothing is missed |
//! | deletions told after a resume | [`DELETIONS`](crate::limits::DELETIONS) | older ones are not told |
//! | programs on one directory | [`LOCAL_NODES`](crate::limits::LOCAL_NODES) without a name | `Exhausted`: name their nodes |
//! | one entry of the log | [`ENTRY_COMMANDS`](crate::limits::ENTRY_COMMANDS), [`ENTRY_BYTES`](crate::limits::ENTRY_BYTES) | the appender cuts its batches |
//! | entries in a log | 2^48 | a broken invariant |
//!
//! [`Settings`](crate::Settings) has what may differ from process to process: the memory in front
//! of the disk ([`CACHE_BYTES`](crate::limits::CACHE_BYTES) unless set), the bytes of a segment.

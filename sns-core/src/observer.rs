//! [`Observer`]: is told how long the work of a replica takes, for metrics.

use std::fmt;
use std::time::Duration;

/// Is told how long each stage of a replica takes. Hand one to
/// [`SnsBuilder::observer`](crate::SnsBuilder::observer).
///
/// Called on the threads that do the work, once an entry: be quick and never wait. A panic in it is
/// one of that thread. What happens while a replica opens, or applies what the log held before, is
/// told too, but for [`Observer::visible`].
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use std::sync::Arc;
/// use std::time::Duration;
/// use sns_core::{Observer, Sns};
///
/// #[derive(Debug, Default)]
/// struct Syncs(AtomicU64);
///
/// impl Observer for Syncs {
///     fn synced(&self, _: Duration) {
///         self.0.fetch_add(1, Ordering::Relaxed);
///     }
/// }
///
/// # fn main() -> sns_core::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// let syncs = Arc::new(Syncs::default());
/// let sns = Sns::builder(dir.path()).observer(syncs.clone()).open()?;
/// sns.user("alice")?;
/// sns.close(); // what was done a moment ago may not have been told before
/// assert_eq!(syncs.0.load(Ordering::Relaxed), 1);
/// # Ok(())
/// # }
/// ```
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// This replica appended an entry of `commands` commands in `took`, from the wait for the right
    /// to write to the entry being durable. Failed ones are not told.
    fn appended(&self, took: Duration, commands: usize) {
        let _ = (took, commands);
    }

    /// The sync of that entry took so long. Not told of a log whose syncs happen elsewhere: in
    /// memory, or on a cluster.
    fn synced(&self, took: Duration) {
        let _ = took;
    }

    /// An entry of `commands` commands, whoever wrote it, was applied in `took`.
    fn applied(&self, took: Duration, commands: usize) {
        let _ = (took, commands);
    }

    /// Readers of this replica see an entry `after` its writer took it up: by the clocks of both
    /// processes, which on one machine are one; 0 where the writer's is ahead. In whole
    /// milliseconds.
    fn visible(&self, after: Duration) {
        let _ = after;
    }
}

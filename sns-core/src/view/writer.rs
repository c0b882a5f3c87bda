//! The view writer: one thread that carries sealed batches from memory to sled, in order.
//!
//! Nobody waits for it but the applier, when too much is unwritten. Because it is the only way to
//! sled, holding it still makes sled a consistent cut at a known seq; see [`Writer::hold`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, RwLock};

use super::keys::meta::Meta;
use super::memory::{Batch, Memory};
use super::scrub::Scrub;
use super::{Error, Store};
use crate::limits::UNWRITTEN_BYTES;

/// Between two attempts to write when the disk refuses.
const RETRY: Duration = Duration::from_millis(250);
/// Attempts before the database is given up and rebuilt.
const TRIES: u32 = 8;
/// Between two steps of the scrub, so that it takes little of the disk and of a core.
const SCRUB_PAUSE: Duration = Duration::from_millis(20);

/// Work on sled while it stands still.
type Job = Box<dyn FnOnce(&Store, &Meta, &dyn Fn() -> bool) + Send>;

/// The writer's thread and its queue.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    memory: Arc<RwLock<Memory>>,
    store: Store,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    batches: VecDeque<Batch>,
    /// Bytes of the queued batches and of the one that is being written.
    bytes: usize,
    /// Waits for work: whoever changes something wakes it.
    idle: bool,
    job: Option<Job>,
    stop: bool,
    failed: Option<Error>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Writer {
    /// Starts the thread. `meta` = where sled stands.
    pub(crate) fn start(
        memory: Arc<RwLock<Memory>>,
        store: Store,
        meta: Meta,
    ) -> Result<Self, Error> {
        let queue = Mutex::new(Queue::default());
        let shared = Arc::new(Shared {
            memory,
            store,
            queue,
            changed: Condvar::new(),
        });
        let run = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("sns-view-writer".into())
            .spawn(move || run.run(meta))
            .map_err(|e| Error::Io(format!("starting the view writer: {e}")))?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Queues a sealed batch. The caller holds the memory, so that batches come in order.
    pub(crate) fn push(&self, batch: Batch) {
        let mut queue = self.shared.queue.lock();
        queue.bytes += batch.bytes;
        queue.batches.push_back(batch);
        self.shared.changed.notify_all();
    }

    /// Tells the writer that something changed in memory, in case it has nothing to do.
    pub(crate) fn nudge(&self) {
        if self.shared.queue.lock().idle {
            self.shared.changed.notify_all();
        }
    }

    /// Whether someone waits for sled to stand at the end of an entry.
    pub(crate) fn wants_entry_end(&self) -> bool {
        self.shared.queue.lock().job.is_some()
    }

    /// Waits until what is unwritten is within its bound.
    ///
    /// # Errors
    /// Sled cannot be written any more.
    pub(crate) fn wait_for_room(&self) -> Result<(), Error> {
        let mut queue = self.shared.queue.lock();
        while queue.bytes > UNWRITTEN_BYTES && queue.failed.is_none() && !queue.stop {
            self.shared.changed.wait(&mut queue);
        }
        queue.failed.clone().map_or(Ok(()), Err)
    }

    /// Runs `job` in the writer's thread once sled stands at the end of an entry; nothing is
    /// written meanwhile. It is handed the store, where it stands, and a question to ask now and
    /// then: whether to give up, because too much waits to be written.
    ///
    /// # Errors
    /// Another job waits already.
    pub(crate) fn hold(&self, job: Job) -> Result<(), Error> {
        let mut queue = self.shared.queue.lock();
        if queue.job.is_some() || queue.stop {
            return Err(Error::Busy);
        }
        queue.job = Some(job);
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Writes all there is, then ends the thread.
    pub(crate) fn stop(&self) {
        self.shared.queue.lock().stop = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.lock().take() {
            // A panic of the thread was printed by it; there is nothing to add.
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn run(&self, mut at: Meta) {
        let mut scrub = Scrub::new();
        loop {
            if at.entry_done
                && let Some(job) = self.take_job()
            {
                job(&self.store, &at, &|| {
                    self.queue.lock().bytes > UNWRITTEN_BYTES / 4 * 3
                });
                continue;
            }
            let Some(batch) = self.next(&mut scrub, &at) else {
                break;
            };
            let bytes = batch.bytes;
            scrub.before_write(&self.store, &batch);
            if let Err(error) = self.write(&batch) {
                self.fail(error);
                break;
            }
            self.memory.write().written(batch.number);
            at = batch.meta;
            self.queue.lock().bytes -= bytes;
            self.changed.notify_all();
        }
        if let Err(error) = self.store.flush() {
            tracing::warn!(%error, "the view could not be flushed; it comes back from the log");
        }
    }

    fn take_job(&self) -> Option<Job> {
        self.queue.lock().job.take()
    }

    fn fail(&self, error: Error) {
        self.queue.lock().failed = Some(error);
        self.changed.notify_all();
    }

    fn write(&self, batch: &Batch) -> Result<(), Error> {
        let mut tries = 0;
        loop {
            match self.store.write(batch) {
                Err(Error::Io(error)) if tries < TRIES => {
                    tries += 1;
                    tracing::warn!(error, tries, "the view cannot be written; trying again");
                    let mut queue = self.queue.lock();
                    if queue.stop {
                        return Err(Error::Io(error));
                    }
                    self.changed.wait_for(&mut queue, RETRY);
                }
                done => return done,
            }
        }
    }

    /// The next batch; while there is none, scrubs a little. `None` = stop.
    fn next(&self, scrub: &mut Scrub, at: &Meta) -> Option<Batch> {
        loop {
            let stop = {
                let mut queue = self.queue.lock();
                if let Some(batch) = queue.batches.pop_front() {
                    return Some(batch);
                }
                queue.stop
            };
            // Nothing is queued: seal what has changed, so that sled is never far behind. Sealed
            // and queued while the memory is held, or a batch of the applier could overtake it.
            {
                let mut memory = self.memory.write();
                if memory.has_changes() {
                    let batch = memory.seal();
                    let mut queue = self.queue.lock();
                    queue.bytes += batch.bytes;
                    queue.batches.push_back(batch);
                    continue;
                }
            }
            if stop {
                return None;
            }
            if let Err(error) = scrub.step(&self.store, at) {
                self.fail(error);
                return None;
            }
            let mut queue = self.queue.lock();
            if queue.batches.is_empty() && !queue.stop && (queue.job.is_none() || !at.entry_done) {
                queue.idle = true;
                self.changed.wait_for(&mut queue, SCRUB_PAUSE);
                queue.idle = false;
            }
            if queue.job.is_some() && at.entry_done && queue.batches.is_empty() {
                drop(queue);
                let job = self.take_job()?;
                job(&self.store, at, &|| {
                    self.queue.lock().bytes > UNWRITTEN_BYTES / 4 * 3
                });
            }
        }
    }
}

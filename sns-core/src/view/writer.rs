//! The view writer: one thread that carries sealed batches from memory to sled, in order.
//!
//! Nobody waits for it but the applier, when too much is unwritten. Because it is the only way to
//! sled, holding it still makes sled a consistent cut at a known seq; see [`Writer::hold`].

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, RwLock};

use super::keys::meta::Meta;
use super::memory::{Batch, Memory};
use super::scrub::Scrub;
use super::{Error, Store};
use crate::limits::{BATCH_KEYS, FLOOD_BYTES, WRITE_PACE, WRITE_PACE_BEHIND, WRITE_PACE_BUSY};
use crate::seq::Seq;

/// Between two looks whether a full disk has room again.
const RETRY: Duration = Duration::from_millis(250);
/// Between two steps of the scrub, so that it takes little of the disk and of a core.
const SCRUB_PAUSE: Duration = Duration::from_millis(20);

/// Between two pieces of a batch for which nobody waits the writer rests so many times as long as the
/// piece took: it shares the cores with those who answer calls, and has until the next batch is due.
const REST: u32 = 2;
/// The longest of these rests.
const REST_MAX: Duration = Duration::from_millis(20);

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
    /// The applier has more to do than it has done: see [`Writer::behind`].
    behind: AtomicBool,
}

/// A job that waits.
struct Waiting {
    /// To be done once sled has all up to here.
    from: Seq,
    /// A batch is queued after which it can be done.
    due: bool,
    /// It gives up for nothing but the end of the writer.
    patient: bool,
    job: Job,
}

#[derive(Default)]
struct Queue {
    batches: VecDeque<Batch>,
    /// Bytes of the queued batches and of the one that is being written.
    bytes: usize,
    job: Option<Waiting>,
    /// The applier waits for room.
    waits: bool,
    stop: bool,
    /// The thread is gone: no job will be done any more.
    ended: bool,
    /// Why nothing can be written at the moment.
    stuck: Option<String>,
    failed: Option<Error>,
    scrubs: u64,
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
        scrub: Scrub,
    ) -> Result<Self, Error> {
        let queue = Mutex::new(Queue::default());
        let shared = Arc::new(Shared {
            memory,
            store,
            queue,
            changed: Condvar::new(),
            behind: AtomicBool::new(false),
        });
        let run = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("sns-view-writer".into())
            .spawn(move || run.run(meta, scrub))
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
        let (done, at) = (batch.meta.entry_done, batch.meta.applied);
        if let Some(waiting) = &mut queue.job {
            waiting.due |= done && at >= waiting.from;
        }
        queue.batches.push_back(batch);
        self.shared.changed.notify_all();
    }

    /// Whether entries wait to be applied. As long as they do, hardly any but full batches are
    /// written: an import or a rebuild would write the same lists again and again, and be the slower
    /// for it.
    pub(crate) fn behind(&self, behind: bool) {
        if self.shared.behind.swap(behind, Ordering::Relaxed) != behind {
            self.shared.memory.write().catch_up(behind);
        }
    }

    /// Whether someone waits for sled to stand at the end of an entry, and no queued batch brings it
    /// there: one that does is enough, for small batches are dear.
    pub(crate) fn wants_entry_end(&self) -> bool {
        let queue = self.shared.queue.lock();
        queue.job.as_ref().is_some_and(|waiting| !waiting.due)
    }

    /// Waits until what is unwritten is within its bound. The batch that is being filled counts, so that
    /// a flooded replica goes on step by step with the writer, and never stands still for as long as a
    /// whole batch takes, as if it hung.
    ///
    /// # Errors
    /// Sled cannot be written any more.
    pub(crate) fn wait_for_room(&self) -> Result<(), Error> {
        let (filling, most) = {
            let memory = self.shared.memory.read();
            (memory.changed_bytes(), memory.unwritten_max())
        };
        let mut queue = self.shared.queue.lock();
        let full = |queue: &Queue| queue.bytes > 0 && queue.bytes + filling > most;
        while full(&queue) && queue.failed.is_none() && !queue.stop {
            if !std::mem::replace(&mut queue.waits, true) {
                // A job gives up, a rest ends.
                self.shared.changed.notify_all();
            }
            self.shared.changed.wait(&mut queue);
        }
        queue.waits = false;
        queue.outcome()
    }

    /// Fails when the view was found to be of no use.
    ///
    /// # Errors
    /// What was found first.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.shared.queue.lock().outcome()
    }

    /// The view was found to be of no use; nothing is written any more.
    pub(crate) fn fail(&self, error: Error) {
        self.shared.fail(error);
    }

    /// Why nothing can be written at the moment; what is unwritten waits in memory.
    pub(crate) fn stuck(&self) -> Option<String> {
        self.shared.queue.lock().stuck.clone()
    }

    /// Rounds of the scrub that ended well.
    #[cfg(test)]
    pub(crate) fn scrubs(&self) -> u64 {
        self.shared.queue.lock().scrubs
    }

    /// Runs `job` in the writer's thread once sled has all up to `from`, at the end of an entry; nothing
    /// is written meanwhile. It is handed the store, where it stands, and a question to ask now and
    /// then: whether to give up, because too much waits to be written. A `patient` one need not: the
    /// applier waits for room until it is done, so that memory stays bounded.
    ///
    /// # Errors
    /// Another job waits already, or the writer stops. A job that is dropped undone was not done
    /// because the writer stopped or failed.
    pub(crate) fn hold(&self, from: Seq, patient: bool, job: Job) -> Result<(), Error> {
        let mut queue = self.shared.queue.lock();
        if queue.job.is_some() || queue.stop || queue.ended {
            return Err(Error::Busy);
        }
        queue.job = Some(Waiting {
            from,
            due: false,
            patient,
            job,
        });
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

/// When the next batch is due if nobody asks for it.
struct Pace {
    /// When the last one was begun, or the thread.
    last: Instant,
    /// What was applied at the last look, and when that changed.
    seen: Seq,
    moved: Instant,
}

impl Pace {
    fn is_due(&mut self, memory: &RwLock<Memory>, behind: bool) -> bool {
        let (applied, bytes) = {
            let memory = memory.read();
            (memory.meta.applied, memory.changed_bytes())
        };
        if std::mem::replace(&mut self.seen, applied) != applied {
            self.moved = Instant::now();
        }
        let busy = self.moved.elapsed() < WRITE_PACE;
        let pace = if behind || busy && bytes > FLOOD_BYTES {
            WRITE_PACE_BEHIND
        } else if busy {
            WRITE_PACE_BUSY
        } else {
            WRITE_PACE
        };
        self.last.elapsed() >= pace
    }
}

impl Queue {
    fn outcome(&self) -> Result<(), Error> {
        self.failed.clone().map_or(Ok(()), Err)
    }
}

impl Shared {
    /// The thread. However it ends, nobody waits for it in vain.
    fn run(&self, at: Meta, scrub: Scrub) {
        let ran = catch_unwind(AssertUnwindSafe(|| self.write_all(at, scrub)));
        let done = ran.unwrap_or_else(|_| Err(Error::Damaged("the view writer panicked".into())));
        let job = {
            let mut queue = self.queue.lock();
            queue.ended = true;
            queue.stuck = None;
            if let Err(error) = done {
                queue.failed.get_or_insert(error);
            }
            queue.job.take()
        };
        // Whoever waits for the job learns that it will not be done.
        drop(job);
        self.changed.notify_all();
    }

    fn write_all(&self, mut at: Meta, mut scrub: Scrub) -> Result<(), Error> {
        let mut pace = Pace {
            last: Instant::now(),
            seen: at.applied,
            moved: Instant::now(),
        };
        loop {
            self.do_job(&at);
            let Some(batch) = self.next(&mut scrub, &at, &mut pace)? else {
                return Ok(());
            };
            pace.last = Instant::now();
            scrub.before_write(&self.store, &batch);
            self.write(&batch, at.applied)?;
            self.memory.write().written(batch.number);
            at = batch.meta;
        }
    }

    /// Does the job that waits, if sled stands at the end of an entry and is as far as was asked for.
    fn do_job(&self, at: &Meta) {
        let job = if at.entry_done {
            let mut queue = self.queue.lock();
            queue.job.take_if(|waiting| at.applied >= waiting.from)
        } else {
            None
        };
        if let Some(Waiting { job, patient, .. }) = job {
            let most = self.memory.read().unwritten_max();
            job(&self.store, at, &|| {
                let queue = self.queue.lock();
                let flooded = queue.waits || queue.bytes > most / 4 * 3;
                queue.stop || flooded && !patient
            });
        }
    }

    fn fail(&self, error: Error) {
        self.queue.lock().failed.get_or_insert(error);
        self.changed.notify_all();
    }

    /// Writes a batch once there is room: sled does not survive a full disk. Until then it waits in
    /// memory, where readers find it.
    fn write(&self, batch: &Batch, base: Seq) -> Result<(), Error> {
        while !self.store.has_room(batch.bytes) {
            let mut queue = self.queue.lock();
            if queue.stop {
                return Err(Error::Full("the disk is full".into()));
            }
            queue.outcome()?;
            if queue.stuck.is_none() {
                tracing::warn!("the disk is full: the view is not written until there is room");
                queue.stuck = Some("the disk is full: the view is not written".into());
            }
            self.changed.wait_for(&mut queue, RETRY);
        }
        self.queue.lock().stuck = None;
        // Room is given back piece by piece: the applier, which may wait for it, goes on sooner.
        let (mut left, pieces) = (batch.bytes, batch.values.len().div_ceil(BATCH_KEYS).max(1));
        let mut began = Instant::now();
        let written = self.store.write(batch, base, &mut || {
            let piece = left.min(batch.bytes / pieces);
            left -= piece;
            self.give_back(piece);
            self.rest(began.elapsed());
            began = Instant::now();
        });
        self.give_back(left);
        written
    }

    /// Leaves the cores to others after a piece that `took` so long, unless somebody waits.
    fn rest(&self, took: Duration) {
        if self.behind.load(Ordering::Relaxed) {
            return;
        }
        let mut queue = self.queue.lock();
        let alone = queue.batches.is_empty() && queue.job.is_none() && !queue.waits;
        if alone && !queue.stop {
            let rest = (took * REST).min(REST_MAX);
            self.changed.wait_for(&mut queue, rest);
        }
    }

    fn give_back(&self, bytes: usize) {
        self.queue.lock().bytes -= bytes;
        self.changed.notify_all();
    }

    /// The next batch; while there is none, scrubs a little. `None` = stop.
    fn next(&self, scrub: &mut Scrub, at: &Meta, pace: &mut Pace) -> Result<Option<Batch>, Error> {
        loop {
            let (stop, job) = {
                let mut queue = self.queue.lock();
                queue.outcome()?;
                if let Some(batch) = queue.batches.pop_front() {
                    return Ok(Some(batch));
                }
                (queue.stop, queue.job.is_some())
            };
            // Nothing is queued: seal what has changed, so that sled is never far behind. Sealed
            // and queued while the memory is held, or a batch of the applier could overtake it.
            let behind = self.behind.load(Ordering::Relaxed);
            if stop || job || pace.is_due(&self.memory, behind) {
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
                return Ok(None);
            }
            self.do_job(at);
            scrub.step(&self.store, at)?;
            let mut queue = self.queue.lock();
            queue.scrubs = scrub.rounds();
            let job = queue.job.is_some() && at.entry_done;
            if queue.batches.is_empty() && !queue.stop && !job {
                self.changed.wait_for(&mut queue, SCRUB_PAUSE);
            }
        }
    }
}

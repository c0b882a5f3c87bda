//! [`Replica`]: appends what callers queued, follows the log, applies, and tells waiters and streams.
//!
//! ```text
//! callers -> queue -> appender -> log -> applier -> view, replies, streams
//!                                  ^ other processes append here too
//! ```
//!
//! A command is acknowledged once it is durable and applied here, so that its caller reads it.

mod appender;
mod applier;
mod queue;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use event_listener::{Event, EventListener};
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;

use self::queue::Queue;
use crate::clock::Clock;
use crate::error::{Error, Reason, Result};
use crate::hub::Hub;
use crate::limits;
use crate::log::Log;
use crate::observer::Observer;
use crate::pending::Reply;
use crate::rebuild::ViewFiles;
use crate::seq::Seq;
use crate::view::memory::Memory;
use crate::view::{ReadError, View};

/// What the applier does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplyPhase {
    /// Waits for entries.
    Idle,
    /// Reads and applies them.
    Applies,
}

/// How far each stage of a replica has come, for the heartbeat of a pair.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Progress {
    /// The appender.
    pub append: crate::log::AppendProgress,
    /// The applier's phase.
    pub apply: ApplyPhase,
    /// When that phase began.
    pub apply_since: Instant,
    /// Entries applied since the start.
    pub applied_entries: u64,
    /// Commands that wait for the appender.
    pub queued: u64,
}

/// Why a replica serves nothing any more, or not yet.
#[derive(Clone, Debug)]
pub(crate) enum Health {
    /// Applies what the log held when it was opened.
    Starting,
    Serving,
    /// Goes on, but something weakens it.
    Troubled(String),
    /// Stopped applying for good.
    Halted(Error),
}

/// One replica of the log, in this process.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) node: String,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) clock: Clock,
    observer: Option<Arc<dyn Observer>>,
    view: RwLock<Arc<View>>,
    /// After the view: they hold the lock of the node, and the view's database is theirs.
    files: ViewFiles,
    queue: Queue,
    /// Who waits for the outcomes of a batch that is being appended or applied.
    replies: Mutex<FxHashMap<[u8; 16], Vec<oneshot::Sender<Reply>>>>,
    /// The last command that readers see.
    applied: AtomicU64,
    /// The tail that the log had when this replica was opened.
    goal: AtomicU64,
    moved: Event,
    health: Mutex<Health>,
    /// Whether `health` lets reads pass: what every read asks, without a lock.
    serving: AtomicBool,
    draining: AtomicBool,
    stopping: AtomicBool,
    apply: Mutex<(ApplyPhase, Instant)>,
    applied_entries: AtomicU64,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Replica {
    /// Starts the appender and the applier of `view` over `log`.
    pub(crate) fn start(
        node: String,
        log: Arc<dyn Log>,
        view: View,
        files: ViewFiles,
        clock: Clock,
        observer: Option<Arc<dyn Observer>>,
    ) -> Result<Arc<Self>> {
        let goal = log.tail()? - 1;
        let applied = view.standing().applied;
        let replica = Arc::new(Self {
            node,
            log,
            hub: Arc::new(Hub::default()),
            clock,
            observer,
            view: RwLock::new(Arc::new(view)),
            files,
            queue: Queue::default(),
            replies: Mutex::default(),
            applied: AtomicU64::new(applied.as_u64()),
            goal: AtomicU64::new(goal),
            moved: Event::new(),
            health: Mutex::new(Health::Starting),
            serving: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            apply: Mutex::new((ApplyPhase::Idle, Instant::now())),
            applied_entries: AtomicU64::new(0),
            threads: Mutex::default(),
        });
        for (name, run) in [
            ("sns-appender", appender::run as fn(&Self)),
            ("sns-applier", applier::run),
        ] {
            let this = Arc::clone(&replica);
            let thread = std::thread::Builder::new()
                .name(name.into())
                .spawn(move || {
                    let _watch = Watch(&this);
                    run(&this);
                })
                .map_err(|e| {
                    Error::new(Reason::Internal, format!("starting a thread: {e}")).with_source(e)
                })?;
            replica.threads.lock().push(thread);
        }
        Ok(replica)
    }

    /// The view as it is now; it is another one after a rebuild.
    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read())
    }

    /// The last command that readers see.
    pub(crate) fn applied(&self) -> Seq {
        Seq::from_u64(self.applied.load(Ordering::Acquire))
    }

    pub(crate) fn health(&self) -> Health {
        self.health.lock().clone()
    }

    /// Whether it serves: all that the log held at its start is applied.
    fn check_serving(&self) -> Result<bool> {
        if self.serving.load(Ordering::Acquire) {
            return Ok(true);
        }
        match &*self.health.lock() {
            Health::Starting => Ok(false),
            Health::Serving | Health::Troubled(_) => Ok(true),
            Health::Halted(error) => Err(error.clone()),
        }
    }

    /// Changes the health; whoever waits looks again.
    fn change_health(&self, health: &mut Health, new: Health) {
        let serving = matches!(new, Health::Serving | Health::Troubled(_));
        *health = new;
        self.serving.store(serving, Ordering::Release);
    }

    /// Why nothing can be read here now.
    pub(crate) fn why_unreadable(&self) -> Error {
        self.check_serving().err().unwrap_or_else(starting)
    }

    /// Reads the view, if it serves; `None` = it does not, [`Replica::reach`] waits until it does.
    ///
    /// # Errors
    /// Those of `read`; `Damaged`: it halted.
    pub(crate) fn try_read<T>(
        &self,
        read: impl Fn(&Memory) -> Result<T, ReadError>,
    ) -> Result<Option<T>> {
        // In this order: a view that was put in another's place must have caught up.
        let view = self.view();
        if !self.check_serving()? {
            return Ok(None);
        }
        match view.read(read) {
            Ok(found) => found.map(Some),
            Err(error) => {
                self.view_failed(&view, &error);
                Ok(None)
            }
        }
    }

    /// Reads what is in memory, if the state includes `at_least`; `None` = that takes a wait, for
    /// the disk or for the state.
    ///
    /// # Errors
    /// As [`Replica::try_read`].
    pub(crate) fn read_now<T>(
        &self,
        at_least: Seq,
        read: impl FnOnce(&Memory) -> Result<T, ReadError>,
    ) -> Result<Option<T>> {
        // In this order, as `try_read`: what was reached, the view reached or its successor.
        if !self.has_reached(at_least) {
            return Ok(None);
        }
        let view = self.view();
        if !self.check_serving()? {
            return Ok(None);
        }
        view.read_now(read)
    }

    /// As [`Replica::try_read`], for those who do not wait.
    ///
    /// # Errors
    /// `Unavailable` (`STARTING`) too.
    pub(crate) fn read<T>(&self, read: impl Fn(&Memory) -> Result<T, ReadError>) -> Result<T> {
        self.try_read(read)?.ok_or_else(|| self.why_unreadable())
    }

    /// Nothing more is read from a view that gave back something else than it was given; the
    /// applier rebuilds it.
    fn view_failed(&self, view: &Arc<View>, error: &crate::view::Error) {
        {
            let mut health = self.health.lock();
            let same = Arc::ptr_eq(view, &self.view.read());
            if !same || !matches!(*health, Health::Serving | Health::Troubled(_)) {
                return;
            }
            tracing::warn!(%error, node = self.node, "a read found the view damaged");
            self.change_health(&mut health, Health::Starting);
        }
        self.log.wake();
    }

    /// The `seen` of a write whose client sent none: what was durable for certain before it came.
    pub(crate) fn seen_now(&self) -> Seq {
        let goal = self.goal.load(Ordering::Relaxed);
        self.applied().max(Seq::new(goal, 0))
    }

    /// What a read with these demands must reach, if that can be told without asking the log.
    fn known_goal(&self, at_least: Seq, linearizable: bool) -> Option<Seq> {
        let known = !linearizable
            && (at_least <= self.applied()
                || self
                    .log
                    .known_tail()
                    .is_ok_and(|tail| at_least.index() < tail));
        known.then_some(at_least)
    }

    /// What a read with these demands must reach while the log ends before `tail`.
    fn goal(&self, at_least: Seq, linearizable: bool, tail: u64) -> Result<Seq> {
        if at_least > self.applied() && at_least.index() >= tail {
            return Err(Error::new(
                Reason::SeqUnknown,
                format!("{at_least} lies past the end of this log: it is of other data"),
            ));
        }
        // All that was acknowledged before the tail was asked for.
        let all = Seq::new(tail - 1, 0);
        Ok(if linearizable {
            at_least.max(all)
        } else {
            at_least
        })
    }

    /// Whether the state includes `goal`. A seq names a command; an entry may have fewer slots than
    /// the seq names, so a whole entry past it counts too.
    fn has_reached(&self, goal: Seq) -> bool {
        let applied = self.applied();
        applied >= goal || self.view().standing().index >= goal.index()
    }

    /// Whether it serves and the state includes `goal`.
    fn shows(&self, goal: Seq) -> Result<bool> {
        Ok(self.check_serving()? && self.has_reached(goal))
    }

    /// Waits until the start is over and the state includes `at_least` (and, if `linearizable`, all
    /// that was acknowledged before). Without an end of its own.
    pub(crate) async fn reach(&self, at_least: Seq, linearizable: bool) -> Result<()> {
        self.until(|| self.check_serving()).await?;
        let goal = if let Some(goal) = self.known_goal(at_least, linearizable) {
            goal
        } else {
            let (tell, told) = oneshot::async_channel();
            self.log.ask_tail(Box::new(|tail| drop(tell.send(tail))));
            let tail = told.await.map_err(|_| untold())??;
            self.goal(at_least, linearizable, tail)?
        };
        self.until(|| self.shows(goal)).await
    }

    /// Waits until something that moves the state makes `done` true.
    async fn until(&self, done: impl Fn() -> Result<bool>) -> Result<()> {
        // Most wait for nothing: nobody has to be told for them.
        if done()? {
            return Ok(());
        }
        loop {
            let listener = self.moved.listen();
            if done()? {
                return Ok(());
            }
            listener.await;
        }
    }

    /// As [`Replica::reach`], blocking, for at most `timeout`.
    pub(crate) fn reach_blocking(
        &self,
        at_least: Seq,
        linearizable: bool,
        timeout: Duration,
    ) -> Result<()> {
        let deadline = Instant::now() + timeout;
        self.until_blocking(deadline, || self.check_serving())?;
        let goal = if let Some(goal) = self.known_goal(at_least, linearizable) {
            goal
        } else {
            let (tell, told) = oneshot::channel();
            self.log.ask_tail(Box::new(|tail| drop(tell.send(tail))));
            let tail = match told.recv_deadline(deadline) {
                Ok(tail) => tail?,
                Err(oneshot::RecvTimeoutError::Timeout) => return Err(self.too_late()),
                Err(oneshot::RecvTimeoutError::Disconnected) => return Err(untold()),
            };
            self.goal(at_least, linearizable, tail)?
        };
        self.until_blocking(deadline, || self.shows(goal))
    }

    fn until_blocking(&self, deadline: Instant, done: impl Fn() -> Result<bool>) -> Result<()> {
        use event_listener::Listener as _;
        if done()? {
            return Ok(());
        }
        loop {
            let listener: EventListener = self.moved.listen();
            if done()? {
                return Ok(());
            }
            if listener.wait_deadline(deadline).is_none() {
                return Err(self.too_late());
            }
        }
    }

    /// What a caller is told who waited long enough for a state.
    pub(crate) fn too_late(&self) -> Error {
        match &*self.health.lock() {
            Health::Starting => starting(),
            _ => Error::new(
                Reason::Lagging,
                "this replica has not reached the state asked for; try another one",
            ),
        }
    }

    /// What each stage does.
    pub(crate) fn progress(&self) -> Progress {
        let (apply, apply_since) = *self.apply.lock();
        Progress {
            append: self.log.progress(),
            apply,
            apply_since,
            applied_entries: self.applied_entries.load(Ordering::Relaxed),
            queued: self.queue.len() as u64,
        }
    }

    /// Refuses new writes and ends the streams; reads go on.
    pub(crate) fn drain(&self) {
        if !self.draining.swap(true, Ordering::AcqRel) {
            self.queue.close();
            self.hub.close();
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Drains, lets the threads finish what is queued, and writes out what is in memory.
    pub(crate) fn close(&self) {
        self.drain();
        let threads = std::mem::take(&mut *self.threads.lock());
        if threads.is_empty() {
            return;
        }
        let mut threads = threads.into_iter();
        // The appender ends when the queue is empty; only then the applier may end, and only when
        // those who wait have their answers.
        if let Some(appender) = threads.next() {
            let _ = appender.join();
        }
        if !self.replies.lock().is_empty() {
            // Past it, or when it halted: they are told that it cannot be told.
            let _ = self.reach_blocking(Seq::ZERO, true, limits::WAIT);
        }
        self.stopping.store(true, Ordering::Release);
        self.log.wake();
        self.moved.notify(usize::MAX);
        for thread in threads {
            let _ = thread.join();
        }
        let view = self.view();
        view.close();
        self.files.note_last(&view.standing(), self.log.id());
        if let Err(error) = self.log.close() {
            tracing::warn!(%error, "closing the log");
        }
        match view.sync() {
            Ok(()) => self.files.mark_clean(),
            // The next start after a power cut checks it.
            Err(error) => tracing::warn!(%error, "the view could not be synced"),
        }
    }

    /// Serves, if `view` is still sound and its health is one that this mends.
    fn recover(&self, view: &View, mends: impl Fn(&Health) -> bool) {
        {
            let mut health = self.health.lock();
            // A reader marks the view first, then the health.
            if !mends(&health) || view.check().is_err() {
                return;
            }
            self.change_health(&mut health, Health::Serving);
        }
        self.moved.notify(usize::MAX);
    }

    /// After a thread of it died: nothing is taken any more, and whoever waits is told.
    fn fall_silent(&self, error: &Error) {
        tracing::error!(%error, node = self.node, "this replica stops serving");
        self.set_health(Health::Halted(error.clone()));
        self.queue.fail(error);
        self.hub.reset();
        applier::fail_waiting(self);
    }

    fn set_health(&self, health: Health) {
        self.change_health(&mut self.health.lock(), health);
        self.moved.notify(usize::MAX);
    }
}

/// The log never answered: it was closed.
fn untold() -> Error {
    Error::new(Reason::LogUnavailable, "the log was closed")
}

/// Lets nobody wait for a thread that died of a broken invariant.
struct Watch<'a>(&'a Replica);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let name = std::thread::current().name().unwrap_or("").to_owned();
            self.0.fall_silent(&Error::new(
                Reason::Internal,
                format!("the thread {name} panicked; this is a bug, please report it"),
            ));
        }
    }
}

fn starting() -> Error {
    Error::new(
        Reason::Starting,
        "this replica is starting: it still reads the log",
    )
}

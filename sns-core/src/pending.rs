//! [`Pending`]: a write under way.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::error::{Error, Reason, Result};
use crate::view::apply::Applied;

/// What the applier or the appender answers.
pub(crate) type Reply = Result<Applied>;

/// A write under way: await it on any runtime, or [`wait`](Pending::wait) without one.
///
/// # Durability
/// Once it yields `Ok`, the write survives a kill of every process and a power cut, and every read
/// on the same handle shows it.
/// # Cancel safety
/// Dropping it does not take the write back.
#[must_use = "a write is under way; its outcome comes with `.await` or `.wait()`"]
pub struct Pending<T>(State<T>);

type Finish<T> = Box<dyn FnOnce(Applied) -> Result<T> + Send>;

enum State<T> {
    Waiting {
        reply: oneshot::AsyncReceiver<Reply>,
        finish: Option<Finish<T>>,
    },
    Ready(Option<Result<T>>),
}

impl<T> Pending<T> {
    pub(crate) fn waiting(
        reply: oneshot::AsyncReceiver<Reply>,
        finish: impl FnOnce(Applied) -> Result<T> + Send + 'static,
    ) -> Self {
        Self(State::Waiting {
            reply,
            finish: Some(Box::new(finish)),
        })
    }

    pub(crate) fn ready(result: Result<T>) -> Self {
        Self(State::Ready(Some(result)))
    }

    /// Waits for the outcome, blocking this thread.
    ///
    /// # Errors
    /// Those of the write.
    pub fn wait(self) -> Result<T> {
        self.block_on(None)
    }

    /// As [`Pending::wait`], for at most `timeout`.
    ///
    /// # Errors
    /// Those of the write; `Unknown` when the time is over: the write goes on.
    pub fn wait_timeout(self, timeout: Duration) -> Result<T> {
        self.block_on(Some(Instant::now() + timeout))
    }

    /// Polls it on this thread, which sleeps until the reply wakes it.
    fn block_on(mut self, deadline: Option<Instant>) -> Result<T> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(result) = Pin::new(&mut self).poll(&mut context) {
                return result;
            }
            match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                None => thread::park(),
                Some(Duration::ZERO) => return Err(unknown()),
                Some(left) => thread::park_timeout(left),
            }
        }
    }
}

/// Wakes a thread that waits in [`Pending::wait`].
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn answer<T>(reply: Option<Reply>, finish: Option<Finish<T>>) -> Result<T> {
    match (reply, finish) {
        (Some(reply), Some(finish)) => finish(reply?),
        _ => Err(unknown()),
    }
}

pub(crate) fn unknown() -> Error {
    Error::new(
        Reason::OutcomeUnknown,
        "it cannot be told whether the write took effect; retry it with the same request id",
    )
}

impl<T> Future for Pending<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Ready(result) => Poll::Ready(result.take().unwrap_or_else(|| Err(unknown()))),
            State::Waiting { reply, finish } => Pin::new(reply)
                .poll(context)
                .map(|reply| answer(reply.ok(), finish.take())),
        }
    }
}

// Nothing in it is pinned.
impl<T> Unpin for Pending<T> {}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pending")
    }
}

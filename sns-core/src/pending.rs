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
/// It is under way from the call of its verb on, whether anybody waits for it or not. Several that
/// are under way at once share their syncs, and take effect in the order in which their verbs were
/// called on one handle.
///
/// ```
/// # fn main() -> sns_core::Result<()> {
/// # let sns = sns_core::Sns::in_memory()?;
/// # let alice = sns.user("alice")?;
/// let (first, second) = (sns.post(&alice, "first"), sns.post(&alice, "second"));
/// assert!(second.wait()?.id > first.wait()?.id);
/// # Ok(())
/// # }
/// ```
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

    /// The outcome if it is there; never blocks. `None`: it is still under way.
    ///
    /// A refusal that needs no log (a text that is too long, a full queue) is there at once, so that
    /// who keeps many writes under way can react before sending more.
    ///
    /// ```
    /// # fn main() -> sns_core::Result<()> {
    /// # let sns = sns_core::Sns::in_memory()?;
    /// # let alice = sns.user("alice")?;
    /// let refused = sns.post(&alice, "").try_wait();
    /// assert_eq!(refused.unwrap().unwrap_err().kind(), sns_core::ErrorKind::Invalid);
    /// let mut pending = sns.post(&alice, "hello");
    /// let post = match pending.try_wait() {
    ///     Some(outcome) => outcome?,
    ///     None => pending.wait()?,
    /// };
    /// assert_eq!(sns.home(&alice).page()?.items, [post]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the write; `Unknown` when the outcome was handed out before.
    pub fn try_wait(&mut self) -> Option<Result<T>> {
        let mut context = Context::from_waker(Waker::noop());
        match Pin::new(self).poll(&mut context) {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => None,
        }
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
        let outcome = match &mut self.0 {
            State::Ready(result) => result.take().unwrap_or_else(|| Err(unknown())),
            State::Waiting { reply, finish } => match Pin::new(reply).poll(context) {
                Poll::Ready(reply) => answer(reply.ok(), finish.take()),
                Poll::Pending => return Poll::Pending,
            },
        };
        self.0 = State::Ready(None);
        Poll::Ready(outcome)
    }
}

// Nothing in it is pinned.
impl<T> Unpin for Pending<T> {}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pending")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::sns::Sns;

    #[test]
    fn an_outcome_that_is_asked_for_is_handed_out_once_and_the_write_is_done() {
        let sns = Sns::in_memory().unwrap();
        let alice = sns.user("alice").unwrap();
        let mut pending = sns.post(&alice, "hello");
        let deadline = Instant::now() + Duration::from_secs(60);
        let post = loop {
            assert!(Instant::now() < deadline, "no outcome");
            match pending.try_wait() {
                Some(outcome) => break outcome.unwrap(),
                None => thread::park_timeout(Duration::from_millis(1)),
            }
        };
        assert_eq!(sns.home(&alice).page().unwrap().items, [post]);
        let again = pending.try_wait().unwrap().unwrap_err();
        assert_eq!(again.kind(), ErrorKind::Unknown);
        assert_eq!(pending.wait().unwrap_err().kind(), ErrorKind::Unknown);
    }

    #[test]
    fn asking_does_not_take_the_wake_up_from_who_waits_later() {
        let sns = Sns::in_memory().unwrap();
        let alice = sns.user("alice").unwrap();
        for n in 0..200 {
            let mut pending = sns.post(&alice, &format!("{n}"));
            match pending.try_wait() {
                Some(outcome) => drop(outcome.unwrap()),
                None => drop(pending.wait_timeout(Duration::from_secs(60)).unwrap()),
            }
        }
        assert_eq!(sns.status().posts, 200);
    }
}

//! Streams whose reader takes nothing. HTTP/2 lets a client keep a stream's window shut while its
//! connection is alive and well; what waits for it then waits in our memory.
//!
//! The transport runs each stream as a task, which asks the body for a piece when the one before is
//! on its way. So a body that has handed out a piece and is not asked again waits for its reader.
//! After a while such a task is dropped, which resets the stream; a client goes on from its last seq.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use hyper::rt::Executor;
use tokio::time::{Sleep, sleep};

use super::{Door, Refusal};

/// So long a reader may take nothing: longer than any pause of a network that comes back.
pub(super) const READS_NOTHING: Duration = Duration::from_secs(60);

tokio::task_local! {
    /// Of the stream that the present task runs.
    static PRESENT: Arc<Watch>;
}

/// How often it was the reader's turn, and whether it is now: odd numbers.
#[derive(Debug, Default)]
struct Watch(AtomicU64);

/// A piece was handed out: it is the reader's turn.
pub(super) fn theirs() {
    let _ = PRESENT.try_with(|watch| {
        let turn = watch.0.load(Ordering::Relaxed);
        watch.0.store((turn + 1) | 1, Ordering::Relaxed);
    });
}

/// The body was asked and has nothing: it is ours.
pub(super) fn ours() {
    let _ = PRESENT.try_with(|watch| {
        let turn = watch.0.load(Ordering::Relaxed);
        watch.0.store((turn + 1) & !1, Ordering::Relaxed);
    });
}

/// Runs the streams of a connection.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    door: Door,
}

impl Streams {
    pub(super) fn new(door: Door) -> Self {
        Self { door }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, stream: F) {
        let door = self.door.clone();
        tokio::spawn(async move {
            if unless_stalled(stream, READS_NOTHING).await.is_none() {
                door.refuse(Refusal::Stalled);
            }
        });
    }
}

/// Runs a stream to its end; `None` if its reader took nothing for so long.
async fn unless_stalled<F: Future>(stream: F, most: Duration) -> Option<F::Output> {
    let watch = Arc::<Watch>::default();
    let mut stream = pin!(PRESENT.scope(watch.clone(), stream));
    let mut timer: Option<(u64, Pin<Box<Sleep>>)> = None;
    poll_fn(|cx| {
        if let Poll::Ready(ended) = stream.as_mut().poll(cx) {
            return Poll::Ready(Some(ended));
        }
        let turn = watch.0.load(Ordering::Relaxed);
        if turn & 1 == 0 {
            timer = None;
            return Poll::Pending;
        }
        if timer.as_ref().is_none_or(|(since, _)| *since != turn) {
            timer = Some((turn, Box::pin(sleep(most))));
        }
        match &mut timer {
            Some((_, timer)) => timer.as_mut().poll(cx).map(|()| None),
            None => Poll::Pending,
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const MOST: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_waits_for_us_waits_for_ever() {
        let stream = async {
            theirs();
            ours();
            sleep(MOST * 10).await;
        };
        assert!(unless_stalled(stream, MOST).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_is_given_up_and_a_slow_one_is_not() {
        let slow = async {
            for _ in 0..10 {
                theirs();
                sleep(MOST / 2).await;
            }
        };
        assert!(unless_stalled(slow, MOST).await.is_some());
        let began = Instant::now();
        let stalled = async {
            theirs();
            std::future::pending::<()>().await;
        };
        assert!(unless_stalled(stalled, MOST).await.is_none());
        assert_eq!(began.elapsed(), MOST);
    }
}

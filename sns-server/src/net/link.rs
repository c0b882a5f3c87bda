//! The bytes of a connection: notes that there are some, looks at HTTP/2 frames as they pass, and
//! gives up a peer that takes nothing.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::Refusal;
use super::frames::{Breach, Frames};
use super::speech::Speech;

/// A peer that takes not one byte of what waits for it in so long is gone, or wants to be a burden.
const TAKES_NOTHING: Duration = Duration::from_secs(30);

/// A connection that is looked after.
#[derive(Debug)]
pub(super) struct Link<T> {
    inner: T,
    /// Of HTTP/2; pages have none.
    frames: Option<Frames>,
    speech: Arc<Speech>,
    /// Runs while bytes wait.
    waits: Option<Pin<Box<Sleep>>>,
}

impl<T> Link<T> {
    /// Bytes of HTTP/2.
    pub(super) fn of_frames(inner: T, speech: Arc<Speech>) -> Self {
        Self {
            frames: Some(Frames::new(Instant::now())),
            ..Self::of_text(inner, speech)
        }
    }

    /// Bytes of HTTP/1.
    pub(super) fn of_text(inner: T, speech: Arc<Speech>) -> Self {
        Self {
            inner,
            frames: None,
            speech,
            waits: None,
        }
    }

    fn came(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.speech.hear();
        let Some(frames) = &mut self.frames else {
            return Ok(());
        };
        if let Err(breach) = frames.came(bytes, Instant::now()) {
            self.speech.blame(match breach {
                Breach::NoPreface => Refusal::Greeting,
                Breach::TooMany => Refusal::Frames,
            });
            return Err(io::ErrorKind::InvalidData.into());
        }
        if frames.is_open() {
            self.speech.opened();
        }
        Ok(())
    }

    fn sent(&mut self, bytes: usize) {
        self.waits = None;
        if let Some(frames) = &mut self.frames {
            frames.sent(bytes);
        }
    }

    /// Bytes wait for the peer: not for ever.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let waits = self
            .waits
            .get_or_insert_with(|| Box::pin(sleep(TAKES_NOTHING)));
        waits.as_mut().poll(cx).map(|()| {
            self.speech.blame(Refusal::Stalled);
            io::ErrorKind::TimedOut.into()
        })
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Link<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        let came = &buf.filled()[before..];
        if !came.is_empty()
            && let Err(breach) = self.came(came)
        {
            return Poll::Ready(Err(breach));
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Link<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.inner).poll_write(cx, buf) {
            Poll::Ready(Ok(bytes)) => {
                self.sent(bytes);
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            Poll::Pending => self.poll_patience(cx).map(Err),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::super::Limits;
    use super::super::bounds::Bounds;
    use super::super::frames::PREFACE;
    use super::*;

    fn speech() -> Arc<Speech> {
        let bounds = Bounds::new(Limits::default());
        let (place, _) = bounds.enter("127.0.0.1".parse().unwrap()).unwrap();
        Arc::new(Speech::new(place))
    }

    #[tokio::test]
    async fn a_flood_of_frames_breaks_the_connection() {
        let (near, mut far) = duplex(1024 * 1024);
        let speech = speech();
        let mut near = Link::of_frames(near, speech.clone());
        far.write_all(PREFACE).await.unwrap();
        far.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        let mut bytes = vec![0; 4_096];
        assert!(near.read(&mut bytes).await.unwrap() > 0);
        assert!(speech.is_open() && speech.blamed().is_none());
        let ping = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        far.write_all(&ping.repeat(10_000)).await.unwrap();
        let broke = loop {
            if let Err(broke) = near.read(&mut bytes).await {
                break broke;
            }
        };
        assert_eq!(broke.kind(), io::ErrorKind::InvalidData);
        assert_eq!(speech.blamed(), Some(Refusal::Frames));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_given_up_and_a_slow_one_is_not() {
        let (near, mut far) = duplex(10);
        let speech = speech();
        let mut near = Link::of_text(near, speech.clone());
        let writes = tokio::spawn(async move {
            let all = near.write_all(&[0; 100]).await;
            (near, all)
        });
        let mut ten = [0; 10];
        for _ in 0..9 {
            sleep(TAKES_NOTHING / 2).await;
            far.read_exact(&mut ten).await.unwrap();
        }
        let (mut near, all) = writes.await.unwrap();
        all.unwrap();
        let gave_up = near.write_all(&[0; 100]).await.unwrap_err();
        assert_eq!(gave_up.kind(), io::ErrorKind::TimedOut);
        assert_eq!(speech.blamed(), Some(Refusal::Stalled));
    }
}

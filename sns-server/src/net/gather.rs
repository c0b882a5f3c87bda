//! A connection that gathers what is written to it, and sends it in as few system calls as can be.
//!
//! HTTP/2 below tonic writes the end of an answer after its page, and each answer by itself. Under
//! load a system call for each is a good part of what a call costs, here and at the client, which is
//! woken for each piece. So a flush that follows a write is put off until the task of the connection
//! had its turn once more: by then the end of the answer, and the answers of all calls that were ready
//! meanwhile, stand behind the page. Nothing waits for a clock, and an idle server is as quick as before.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are gathered at most: the answers of a few pages.
const MOST: usize = 64 * 1024;
/// Bytes of memory that a connection keeps while nothing is gathered.
const KEPT: usize = 16 * 1024;
/// So often a flush is put off because more was written since the last: what was written first waits
/// no longer than it takes to make some more answers.
const TIMES: u8 = 8;

/// A connection, and what waits to be sent over it.
#[derive(Debug)]
pub(super) struct Gather<T> {
    inner: T,
    waiting: Vec<u8>,
    /// How much of it was sent.
    sent: usize,
    /// Nothing was written since the last flush.
    quiet: bool,
    /// So many flushes were put off since the last byte was sent.
    put_off: u8,
}

impl<T> Gather<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self {
            inner,
            waiting: Vec::new(),
            sent: 0,
            quiet: true,
            put_off: 0,
        }
    }
}

impl<T: AsyncWrite + Unpin> Gather<T> {
    /// Sends all that waits.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.waiting.len() {
            let left = &self.waiting[self.sent..];
            match ready!(Pin::new(&mut self.inner).poll_write(cx, left))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.sent += sent,
            }
        }
        self.waiting.clear();
        self.waiting.shrink_to(KEPT);
        self.sent = 0;
        self.put_off = 0;
        Poll::Ready(Ok(()))
    }

    /// Makes room for more.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.waiting.len() >= MOST {
            ready!(self.poll_send(cx))?;
        }
        self.quiet = false;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Gather<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Gather<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_room(cx))?;
        self.waiting.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_room(cx))?;
        let before = self.waiting.len();
        for buf in bufs {
            self.waiting.extend_from_slice(buf);
        }
        Poll::Ready(Ok(self.waiting.len() - before))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.waiting.is_empty() {
            if !std::mem::replace(&mut self.quiet, true) && self.put_off < TIMES {
                self.put_off += 1;
                // After the tasks that are ready now; it comes here again then.
                cx.waker().wake_by_ref();
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_send(cx))?;
        }
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn a_flush_after_a_write_waits_for_one_more_turn() {
        let (near, mut far) = duplex(1024);
        let mut near = Gather::new(near);
        let mut read = [0; 16];
        near.write_all(b"page").await.unwrap();
        near.flush().await.unwrap();
        near.write_all(b", end").await.unwrap();
        near.flush().await.unwrap();
        let nothing = tokio::time::timeout(std::time::Duration::ZERO, far.read(&mut read)).await;
        nothing.unwrap_err();
        near.flush().await.unwrap();
        let length = far.read(&mut read).await.unwrap();
        assert_eq!(&read[..length], b"page, end");
    }

    #[tokio::test]
    async fn more_than_fits_arrives_whole_and_in_order() {
        let (near, mut far) = duplex(100);
        let mut near = Gather::new(near);
        let all: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
        let given = all.clone();
        let writes = tokio::spawn(async move {
            for piece in given.chunks(999) {
                let (first, second) = piece.split_at(piece.len() / 3);
                let mut bufs = [IoSlice::new(first), IoSlice::new(second)];
                let wrote = poll_fn(|cx| Pin::new(&mut near).poll_write_vectored(cx, &bufs)).await;
                assert_eq!(wrote.unwrap(), piece.len());
                bufs.reverse();
                near.flush().await.unwrap();
            }
            near.shutdown().await.unwrap();
        });
        let mut got = Vec::new();
        far.read_to_end(&mut got).await.unwrap();
        writes.await.unwrap();
        assert!(got == all);
    }
}

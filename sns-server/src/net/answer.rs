//! The body of an answer on its way: in pieces, so that little of it lies in the transport for a
//! reader that is slow, and bounded in what lies here.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use sns_proto::v1::ErrorReason;
use tonic::Status;
use tonic::body::Body;

use super::speech::Asked;
use super::stall;
use crate::service::status::status;

/// Bytes that are handed to the transport at a time: those of one frame.
const PIECE: usize = 16 * 1024;

/// Bytes of answers that wait for one connection: twenty full pages of the longest posts.
const OF_CONNECTION: usize = 16 * 1024 * 1024;

/// Bytes of answers that wait at one listener.
const IN_ALL: usize = 256 * 1024 * 1024;

/// What a connection has even when nothing is left in all: one page of the longest posts.
const SHARE: usize = 1024 * 1024;

/// Bytes that wait, of all connections of a listener.
#[derive(Clone, Debug, Default)]
pub(super) struct Held(Arc<AtomicUsize>);

/// Bytes that wait, of one connection. A cheap clone.
#[derive(Clone, Debug)]
pub(super) struct HeldHere {
    all: Held,
    here: Arc<AtomicUsize>,
}

impl HeldHere {
    pub(super) fn new(all: &Held) -> Self {
        Self {
            all: all.clone(),
            here: Arc::default(),
        }
    }

    /// Room for so many bytes; given back when it is dropped.
    fn take(&self, bytes: usize) -> Option<Room> {
        let here = self.here.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let all = self.all.0.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let room = Room {
            held: self.clone(),
            bytes,
        };
        let fits = here <= OF_CONNECTION && (all <= IN_ALL || here <= SHARE);
        fits.then_some(room)
    }
}

#[derive(Debug)]
struct Room {
    held: HeldHere,
    bytes: usize,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.held.here.fetch_sub(self.bytes, Ordering::Relaxed);
        self.held.all.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    body: Body,
    held: HeldHere,
    left: Bytes,
    room: Option<Room>,
    over: bool,
    /// The request that it answers.
    _open: Option<Asked>,
}

impl Answer {
    /// It is the reader's turn as soon as there is one.
    pub(super) fn new(body: Body, held: HeldHere) -> Self {
        Self {
            body,
            held,
            left: Bytes::new(),
            room: None,
            over: false,
            _open: None,
        }
    }

    /// The same; the request is open until it is over.
    pub(super) fn keeping(self, open: Asked) -> Self {
        Self {
            _open: Some(open),
            ..self
        }
    }

    fn piece(&mut self) -> Frame<Bytes> {
        let piece = self.left.split_to(self.left.len().min(PIECE));
        if self.left.is_empty() {
            self.room = None;
        }
        stall::theirs();
        Frame::data(piece)
    }

    fn refuse(&mut self) -> Result<Frame<Bytes>, Status> {
        self.over = true;
        let why = "too many answers wait for this connection: read them first";
        let refused = status(ErrorReason::Overloaded, why);
        let mut trailers = hyper::HeaderMap::new();
        refused.add_header(&mut trailers)?;
        Ok(Frame::trailers(trailers))
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if !self.left.is_empty() {
            return Poll::Ready(Some(Ok(self.piece())));
        }
        if self.over {
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_pending() {
            stall::ours();
        }
        let Some(frame) = ready!(polled) else {
            return Poll::Ready(None);
        };
        let data = match frame?.into_data() {
            Ok(data) => data,
            Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
        };
        if data.len() > PIECE {
            self.room = self.held.take(data.len());
            if self.room.is_none() {
                return Poll::Ready(Some(self.refuse()));
            }
        }
        self.left = data;
        Poll::Ready(Some(Ok(self.piece())))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && (self.over || self.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        if self.left.is_empty() && !self.over {
            self.body.size_hint()
        } else {
            SizeHint::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn answer(bytes: usize, held: &HeldHere) -> Answer {
        let body = axum::body::Body::from(vec![7_u8; bytes]);
        Answer::new(Body::new(body), held.clone())
    }

    async fn next(answer: &mut Answer) -> Option<Frame<Bytes>> {
        let frame = poll_fn(|cx| Pin::new(&mut *answer).poll_frame(cx)).await;
        frame.map(Result::unwrap)
    }

    #[tokio::test]
    async fn an_answer_comes_whole_and_in_pieces() {
        let held = HeldHere::new(&Held::default());
        let mut answer = answer(PIECE * 2 + 5, &held);
        let mut length = 0;
        while let Some(frame) = next(&mut answer).await {
            let piece = frame.into_data().unwrap();
            assert!(piece.len() <= PIECE);
            length += piece.len();
        }
        assert_eq!(length, PIECE * 2 + 5);
        assert!(answer.is_end_stream());
        assert_eq!(held.here.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn what_waits_for_one_connection_is_bounded_and_others_are_served() {
        let all = Held::default();
        let held = HeldHere::new(&all);
        let mut waiting = Vec::new();
        for _ in 0..OF_CONNECTION / SHARE {
            let mut answer = answer(SHARE, &held);
            assert!(next(&mut answer).await.unwrap().is_data());
            waiting.push(answer);
        }
        let mut late = answer(SHARE, &held);
        let refused = next(&mut late).await.unwrap().into_trailers().unwrap();
        assert_eq!(refused["grpc-status"], "8");
        assert!(next(&mut late).await.is_none());
        let other = HeldHere::new(&all);
        assert!(next(&mut answer(SHARE, &other)).await.unwrap().is_data());
        drop(waiting);
        assert!(next(&mut answer(SHARE, &held)).await.unwrap().is_data());
        assert_eq!(all.0.load(Ordering::Relaxed), 0);
    }
}

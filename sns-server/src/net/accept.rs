//! Connections of a listener, with their handshakes done.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::either::Either;
use tonic::transport::server::Connected;

use super::Peer;
use super::tls::{Alpn, Tls};
use crate::serve::gather::Gather;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Connections that wait to be served.
const WAITING: usize = 64;

type Raw = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// A connection, and who is at its other end.
#[derive(Debug)]
pub struct Link {
    io: Gather<Raw>,
    peer: Peer,
}

/// The connections of a listener. Never ends and never fails: with no descriptor left it waits for
/// one, where tonic's own would end the server.
pub fn incoming(
    listener: TcpListener,
    tls: Option<Tls>,
) -> impl Stream<Item = std::io::Result<Link>> + Send + 'static {
    let (send, ready) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                () = send.closed() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((connection, _)) => {
                    // Answers are small and awaited; a failure only makes them slower.
                    let _ = connection.set_nodelay(true);
                    let (tls, send) = (tls.clone(), send.clone());
                    tokio::spawn(async move {
                        if let Some(link) = link(connection, tls).await {
                            let _ = send.send(Ok(link)).await;
                        }
                    });
                }
                Err(e) => {
                    tracing::warn!(error = %e, "cannot take a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    });
    ReceiverStream::new(ready)
}

async fn link(stream: TcpStream, tls: Option<Tls>) -> Option<Link> {
    let mut peer = Peer {
        address: stream.peer_addr().ok()?,
        certified: false,
    };
    let stream = match tls {
        None => Either::Left(stream),
        Some(tls) => {
            let accepted = timeout(HANDSHAKE, tls.acceptor(Alpn::Grpc).accept(stream)).await;
            let stream = accepted.ok()?.ok()?;
            // The verifier lets none in that is not by our CA.
            peer.certified = stream.get_ref().1.peer_certificates().is_some();
            Either::Right(Box::new(stream))
        }
    };
    let io = Gather::new(stream);
    Some(Link { io, peer })
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl Connected for Link {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer
    }
}

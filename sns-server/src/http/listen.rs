//! The connections of a page: HTTP/1.1, bounded in number and in the time that a request may take to
//! come.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::net::tls::{Alpn, Tls};
use crate::serve::DRAIN;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Connections that are open at once; further ones are closed at once. A browser opens six at most.
const CONNECTIONS: usize = 1_024;

/// How long the head of a request may take to come; on a connection that is kept, from the answer
/// before it.
const HEAD_WAIT: Duration = Duration::from_secs(30);

/// Bytes of the head of a request.
const HEAD_BYTES: usize = 16 * 1024;

/// Serves until `stop`, then at most [`DRAIN`] more for what is open.
pub(super) async fn serve(
    listener: TcpListener,
    routes: Router,
    tls: Option<&Tls>,
    stop: &CancellationToken,
) {
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_buf_size(HEAD_BYTES);
    let service = TowerToHyperService::new(routes);
    let open = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot take a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(place) = room.clone().try_acquire_owned() else {
            continue;
        };
        // Answers are small and awaited; a failure only makes them slower.
        let _ = stream.set_nodelay(true);
        let Some(tls) = tls.cloned() else {
            let connection = server.serve_connection(TokioIo::new(stream), service.clone());
            let connection = open.watch(connection);
            tokio::spawn(async move {
                // Broken by the other side, or too slow: nothing that anybody here could mend.
                drop(connection.await);
                drop(place);
            });
            continue;
        };
        let (server, service, watcher) = (server.clone(), service.clone(), open.watcher());
        tokio::spawn(async move {
            let accepted = timeout(HANDSHAKE, tls.acceptor(Alpn::Http).accept(stream)).await;
            let Ok(Ok(stream)) = accepted else {
                return;
            };
            let connection = server.serve_connection(TokioIo::new(stream), service);
            let connection = watcher.watch(connection);
            // Broken by the other side, or too slow: nothing that anybody here could mend.
            drop(connection.await);
            drop(place);
        });
    }
    drop(listener);
    if timeout(DRAIN, open.shutdown()).await.is_err() {
        tracing::warn!("pages were still open {DRAIN:?} after the stop: cut off");
    }
}

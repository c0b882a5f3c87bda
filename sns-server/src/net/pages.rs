//! Pages over a listener: HTTP/1.1, bounded in the time that a request may take to come.

use std::sync::OnceLock;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Door;
use super::accept::{Taken, accept};
use super::link::Link;
use super::tls::Alpn;

/// How long the head of a request may take to come; on a connection that is kept, from the answer
/// before it.
const HEAD_WAIT: Duration = Duration::from_secs(30);

/// Bytes of the head of a request.
const HEAD_BYTES: usize = 16 * 1024;

/// Serves until `stop`, then at most `drain` more for what is open; false if something had to be cut
/// off.
pub(crate) async fn serve(
    listener: TcpListener,
    routes: Router,
    door: &Door,
    stop: &CancellationToken,
    drain: Duration,
) -> bool {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_buf_size(HEAD_BYTES);
    let routes = TowerToHyperService::new(routes);
    let connect = move |taken: Taken| {
        let Taken {
            stream,
            peer,
            speech,
            ..
        } = taken;
        let (routes, asks) = (routes.clone(), speech.clone());
        // One after the other: a page's connection is of use as long as it is there.
        let first = OnceLock::new();
        let pages = service_fn(move |mut request: Request<Incoming>| {
            first.get_or_init(|| asks.ask());
            request.extensions_mut().insert(peer);
            routes.call(request)
        });
        let io = TokioIo::new(Link::of_text(stream, speech));
        builder.serve_connection(io, pages)
    };
    accept(listener, door, Alpn::Http, stop, drain, connect).await
}

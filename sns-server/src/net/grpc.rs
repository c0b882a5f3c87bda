//! gRPC over a listener: HTTP/2 with our bounds, and what every call gets: who is there, and its
//! deadline.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::rt::bounds::Http2ServerConnExec;
use hyper::server::conn::http2;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use sns_proto::v1::ErrorReason;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tower::Service as _;

use super::accept::{Taken, accept};
use super::answer::{Answer, HeldHere};
use super::gather::Gather;
use super::link::Link;
use super::speech::Speech;
use super::stall::{self, Streams};
use super::tls::Alpn;
use super::{Connection, Door, Listener, Peer};
use crate::rates::Rates;
use crate::service::call::grpc_timeout;
use crate::service::status::status;

/// How often an idle connection is asked whether it is still there, and how long it may take to
/// answer: one that vanished without goodbye is found within the sum. So is one that stops in the
/// middle of a frame, where it cannot answer.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// How long a client of the course may take to answer: gRPC for C++ looks at a connection without a call
/// only every five seconds.
const COURSE_KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Calls and streams that one connection may have open.
const STREAMS_PER_CONNECTION: u32 = 1_024;

/// Bytes of the headers of one call; a token takes about 120.
const HEADER_BYTES: u32 = 16 * 1024;

/// Bytes of one frame: the least that HTTP/2 allows.
const FRAME_BYTES: u32 = 16 * 1024;

/// Bytes of requests that may be under way on one stream: a whole message.
const STREAM_WINDOW: u32 = 64 * 1024;

/// Bytes of requests that may be under way on one connection. The transport also takes from it how many
/// small pieces may lie unread: 2,048 posts of streams whose readers are slow.
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// The same for a client of the course, which sends posts of 20 bytes for as long as it may: 1,000 of them.
const COURSE_STREAM_WINDOW: u32 = 16 * 1024;

/// The same: 8,000 small pieces, those of several streams. With the usual one the transport cut off who
/// typed faster than servers took it.
const COURSE_CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// Bytes of an answer that the transport takes before they are sent.
const SEND_BYTES: usize = 64 * 1024;

/// Streams that the client reset before they were looked at; more of them end the connection.
const RESET_UNSEEN: usize = 20;

/// Streams that we reset because of what the client sent; more of them end the connection.
const RESET_BY_US: usize = 256;

/// How long a call may take to be answered, or a stream to be opened: longer than any wait inside.
const CALL: Duration = Duration::from_secs(60);

/// Serves `routes` until `stop`, then at most `drain` more for what is open; false if something had
/// to be cut off.
pub(crate) async fn serve(
    listener: TcpListener,
    routes: Routes,
    door: &Door,
    stop: &CancellationToken,
    drain: Duration,
) -> bool {
    let routes = routes.prepare();
    let builder = builder(Streams::new(door.clone()), door.0.listener);
    let held = door.0.held.clone();
    let rates = door.0.rates.clone();
    let connect = move |taken: Taken| {
        let Taken {
            stream,
            peer,
            speech,
            connection,
        } = taken;
        let calls = Calls {
            routes: routes.clone(),
            peer,
            speech: speech.clone(),
            connection,
            held: HeldHere::new(&held),
            rates: rates.clone(),
        };
        let io = Gather::new(Link::of_frames(stream, speech));
        builder.serve_connection(TokioIo::new(io), calls)
    };
    accept(listener, door, Alpn::Grpc, stop, drain, connect).await
}

fn builder<E>(streams: E, listener: Listener) -> http2::Builder<E>
where
    E: Http2ServerConnExec<Answering, Answer>,
{
    let course = listener == Listener::Course;
    let or = |usual, of_course| if course { of_course } else { usual };
    let window = |usual, of_course| if course { of_course } else { usual };
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(KEEP_ALIVE))
        .keep_alive_timeout(or(KEEP_ALIVE, COURSE_KEEP_ALIVE))
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .max_header_list_size(HEADER_BYTES)
        .max_frame_size(FRAME_BYTES)
        .initial_stream_window_size(window(STREAM_WINDOW, COURSE_STREAM_WINDOW))
        .initial_connection_window_size(window(CONNECTION_WINDOW, COURSE_CONNECTION_WINDOW))
        .max_send_buf_size(SEND_BYTES)
        .max_pending_accept_reset_streams(RESET_UNSEEN)
        .max_local_error_reset_streams(RESET_BY_US);
    builder
}

/// The calls of one connection.
#[derive(Clone)]
struct Calls {
    routes: Routes,
    peer: Peer,
    speech: Arc<Speech>,
    connection: Option<Connection>,
    held: HeldHere,
    rates: Rates,
}

type Answering = Pin<Box<dyn Future<Output = Result<Response<Answer>, Infallible>> + Send>>;

impl Service<Request<Incoming>> for Calls {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, mut request: Request<Incoming>) -> Answering {
        let Some(open) = self.speech.ask() else {
            let refused = status(ErrorReason::Overloaded, "too many calls are open here");
            let (refused, held) = (refused.into_http(), self.held.clone());
            return Box::pin(async move { Ok(refused.map(|body| Answer::new(body, held))) });
        };
        if let Err(limited) = self.rates.call(Some(&self.peer)) {
            let refused = Status::from(limited).into_http();
            let held = self.held.clone();
            return Box::pin(async move { Ok(refused.map(|body| Answer::new(body, held))) });
        }
        request.extensions_mut().insert(self.peer);
        if let Some(connection) = &self.connection {
            request.extensions_mut().insert(connection.clone());
        }
        let asked = request.headers().get("grpc-timeout");
        let asked = asked.and_then(|value| value.to_str().ok());
        let most = asked.and_then(grpc_timeout).map_or(CALL, |t| t.min(CALL));
        let mut routes = self.routes.clone();
        let held = self.held.clone();
        Box::pin(async move {
            let answer = timeout(most, routes.call(request)).await;
            let answer = answer.unwrap_or_else(|_| Ok(too_late()));
            // From here on it is the client's turn, until the body has nothing to send.
            stall::theirs();
            answer.map(|answer| answer.map(|body| Answer::new(body, held).keeping(open)))
        })
    }
}

/// As the client would have it said by its own deadline.
fn too_late() -> Response<Body> {
    Status::cancelled("Timeout expired").into_http()
}

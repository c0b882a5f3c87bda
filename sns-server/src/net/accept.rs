//! The loop that takes connections, and what each goes through until it ends: a place, TLS, the time
//! to speak, its age, the stop.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::server::graceful::GracefulConnection;
use rand::RngExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;

use super::speech::Speech;
use super::tls::Alpn;
use super::{Connection, Door, Listener, Peer, Refusal};

/// How long a connection may say nothing at all.
const FIRST_BYTES: Duration = Duration::from_secs(5);

/// How long it may take then to say what it is.
const GREETING: Duration = Duration::from_secs(5);

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// How long what is open on a connection that is too old may go on; no longer than its age.
const GRACE: Duration = Duration::from_secs(30);

/// How long a connection that was cut off is kept without being read: a flood that cannot send and is not
/// told so costs nobody anything, and comes back a thousand times less often.
const LINGER: Duration = Duration::from_secs(1);

/// A connection, with TLS or without.
pub(super) type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// A connection that was taken.
pub(super) struct Taken {
    pub(super) stream: Stream,
    pub(super) peer: Peer,
    pub(super) speech: Arc<Speech>,
    /// Where calls depend on it.
    pub(super) connection: Option<Connection>,
}

/// What ends all connections of a listener.
#[derive(Clone)]
struct Stop {
    /// Finish what is open.
    gently: CancellationToken,
    /// Now.
    at_once: CancellationToken,
    /// Dropped with the last connection.
    _open: mpsc::Sender<()>,
}

/// Takes connections until `stop`, then lets them finish for `drain` at most; false if some had to
/// be cut off. With no descriptor left it waits for one.
pub(super) async fn accept<C>(
    listener: TcpListener,
    door: &Door,
    alpn: Alpn,
    stop: &CancellationToken,
    drain: Duration,
    connect: impl Fn(Taken) -> C + Clone + Send + 'static,
) -> bool
where
    C: GracefulConnection + Send + 'static,
{
    let (open, mut last) = mpsc::channel(1);
    let ends = Stop {
        gently: stop.clone(),
        at_once: CancellationToken::new(),
        _open: open,
    };
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot take a connection");
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let place = match door.0.bounds.enter(address.ip()) {
            Ok((place, _)) => place,
            Err(why) => {
                door.refuse(why);
                continue;
            }
        };
        // Answers are small and awaited; a failure only makes them slower.
        let _ = stream.set_nodelay(true);
        let (door, ends, connect) = (door.clone(), ends.clone(), connect.clone());
        let speech = Arc::new(Speech::new(place));
        tokio::spawn(async move {
            let _counted = door.0.counts.opened(door.0.listener);
            tokio::select! {
                () = ends.at_once.cancelled() => {}
                () = speech.place().leave().cancelled() => speech.blame(Refusal::Evicted),
                () = keep(stream, address, &speech, &door, alpn, &ends, connect) => {}
            }
            if let Some(why) = speech.blamed() {
                door.refuse(why);
            }
        });
    }
    drop(listener);
    let at_once = ends.at_once.clone();
    drop(ends);
    let drained = timeout(drain, last.recv()).await.is_ok();
    at_once.cancel();
    drained
}

/// One connection from its first byte to its end.
async fn keep<C: GracefulConnection>(
    stream: TcpStream,
    address: SocketAddr,
    speech: &Arc<Speech>,
    door: &Door,
    alpn: Alpn,
    ends: &Stop,
    connect: impl Fn(Taken) -> C,
) {
    let mut peer = Peer {
        address,
        certified: false,
    };
    // Only servers and routers have a certificate to show.
    let mutual = matches!(door.0.listener, Listener::Partner | Listener::Router);
    let stream = match &door.0.tls {
        None => Either::Left(stream),
        Some(tls) => match timeout(HANDSHAKE, tls.acceptor(alpn, mutual).accept(stream)).await {
            Ok(Ok(stream)) => {
                // The verifier lets none in that is not by our CA.
                peer.certified = stream.get_ref().1.peer_certificates().is_some();
                Either::Right(Box::new(stream))
            }
            Ok(Err(error)) => {
                tracing::debug!(%address, %error, "no TLS");
                return speech.blame(Refusal::Handshake);
            }
            Err(_) => return speech.blame(Refusal::Handshake),
        },
    };
    // A name of the course is taken for as long as its connection lives.
    let known = (door.0.listener == Listener::Course).then(Connection::new);
    let present = known.as_ref().map(Connection::guard);
    let mut connection = pin!(connect(Taken {
        stream,
        peer,
        speech: speech.clone(),
        connection: known,
    }));
    let began = Instant::now();
    let mut look = Look::FirstBytes;
    let mut timer = pin!(sleep_until(began + FIRST_BYTES));
    let mut stopping = false;
    loop {
        tokio::select! {
            // Broken by the other side, or by ourselves for a reason that is noted: nothing that
            // anybody here could mend. Who was cut off waits a little in vain before it comes again.
            broke = async { connection.as_mut().await.is_err() } => {
                drop(present);
                if broke {
                    let _ = timeout(LINGER, ends.gently.cancelled()).await;
                }
                return;
            }
            () = ends.gently.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            () = &mut timer => match look {
                Look::FirstBytes if !speech.heard() => return speech.blame(Refusal::Silent),
                Look::FirstBytes if !speech.is_open() => {
                    look = Look::Greeting;
                    timer.as_mut().reset(Instant::now() + GREETING);
                }
                Look::Greeting if !speech.is_open() => return speech.blame(Refusal::Greeting),
                Look::FirstBytes | Look::Greeting => {
                    look = Look::Age;
                    let jitter = rand::rng().random_range(0.9..1.1);
                    timer.as_mut().reset(began + door.0.limits.age.mul_f64(jitter));
                }
                // Those of ours stay: a node that lost its stream would be nobody's for a moment. So do
                // those of the course, whose client cannot come back.
                Look::Age if mutual || present.is_some() => {
                    timer.as_mut().reset(Instant::now() + door.0.limits.age);
                }
                Look::Age => {
                    connection.as_mut().graceful_shutdown();
                    look = Look::Grace;
                    timer.as_mut().reset(Instant::now() + GRACE.min(door.0.limits.age));
                }
                // What is still open goes on over another connection: streams resume by seq.
                Look::Grace => return,
            },
        }
    }
}

/// What is seen to next.
#[derive(Clone, Copy)]
enum Look {
    FirstBytes,
    Greeting,
    Age,
    Grace,
}

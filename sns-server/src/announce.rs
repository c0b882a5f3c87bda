//! The node's side of `Announce`: one stream to each router, kept open, with a word at once, on
//! every change and every 250 ms.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use sns_core::Clock;
use sns_proto::v1::router_service_client::RouterServiceClient;
use sns_proto::v1::{AnnounceRequest, Server};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Status};

use crate::net::tls::{Dial, deepest};
use crate::pair::told::Router;
use crate::routing::ANNOUNCE_EVERY;
use crate::telemetry::escaped;
use crate::token::InternalKey;

/// A router that gives no answer for so long is dialled again.
const ANSWER: Duration = Duration::from_secs(1);

/// Between two tries; a router that restarts has all nodes back within about a heartbeat.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_millis(250);

/// After a refusal, which another try will not change.
const REFUSED: Duration = Duration::from_secs(5);

/// Where the key is kept, to be copied to routers elsewhere.
pub fn key_file(data: &Path) -> PathBuf {
    data.join("announce.key")
}

/// What an announcement shows: the key, for this name, address and data alone.
pub fn identity(server: &Server) -> String {
    // No name, address or id holds a blank.
    format!("{} {} {}", server.name, server.address, server.data_id)
}

/// Announces what `words` holds to all `routers` until `ended`, and shows that it holds `key`.
pub async fn run(
    routers: Arc<[Router]>,
    key: InternalKey,
    words: watch::Receiver<AnnounceRequest>,
    dial: Dial,
    ended: CancellationToken,
) {
    let mut streams = JoinSet::new();
    for at in 0..routers.len() {
        streams.spawn(announce_to(
            routers.clone(),
            at,
            key.clone(),
            words.clone(),
            dial.clone(),
            ended.clone(),
        ));
    }
    while streams.join_next().await.is_some() {}
}

async fn announce_to(
    routers: Arc<[Router]>,
    at: usize,
    key: InternalKey,
    mut words: watch::Receiver<AnnounceRequest>,
    dial: Dial,
    ended: CancellationToken,
) {
    let mut backoff = BACKOFF_MIN;
    let mut told = false;
    let known = &routers[at];
    let router = &known.uri;
    loop {
        let mut answered = false;
        let broke = tokio::select! {
            () = ended.cancelled() => return,
            broke = stream(known, &key, &mut words, &dial, &mut answered) => broke,
        };
        known.set(false);
        if answered {
            backoff = BACKOFF_MIN;
            told = false;
        }
        let refused = matches!(
            broke.code(),
            Code::PermissionDenied
                | Code::Unauthenticated
                | Code::ResourceExhausted
                | Code::InvalidArgument
        );
        if refused {
            tracing::error!(%router, why = %escaped(broke.message()), "the router refuses this node");
            backoff = REFUSED;
        } else if !told {
            tracing::warn!(%router, why = %escaped(broke.message()), "no router here; dialling on");
            told = true;
        }
        let jitter = rand::rng().random_range(0.5..1.0);
        tokio::select! {
            () = ended.cancelled() => return,
            () = tokio::time::sleep(backoff.mul_f64(jitter)) => {}
        }
        backoff = (backoff * 2).clamp(BACKOFF_MIN, BACKOFF_MAX);
    }
}

/// Opens one stream and keeps it up; comes back with what broke it.
async fn stream(
    known: &Router,
    key: &InternalKey,
    words: &mut watch::Receiver<AnnounceRequest>,
    dial: &Dial,
    answered: &mut bool,
) -> Status {
    let router = &known.uri;
    let address = router.authority().map_or("", |it| it.as_str());
    let endpoint = match dial.endpoint(address) {
        Ok(endpoint) => endpoint.connect_timeout(ANSWER),
        Err(e) => return Status::invalid_argument(format!("no address: {e}")),
    };
    let channel = match timeout(ANSWER, dial.connect(&endpoint)).await {
        Ok(Ok(channel)) => channel,
        Ok(Err(e)) => return Status::unavailable(format!("cannot connect: {}", deepest(&e))),
        Err(_) => return Status::unavailable("cannot connect in time"),
    };
    // One waits, one is on its way: more would only be older news.
    let (send, outgoing) = mpsc::channel(2);
    let first = words.borrow_and_update().clone();
    let shown = first.server.as_ref().map(identity).unwrap_or_default();
    let shown = key.sign(&shown, Clock::system().now_ms());
    if send.try_send(first).is_err() {
        return Status::internal("a new queue is full");
    }
    let mut client = RouterServiceClient::new(channel);
    let mut outgoing = Request::new(ReceiverStream::new(outgoing));
    outgoing.metadata_mut().insert("authorization", shown);
    let opened = timeout(ANSWER, client.announce(outgoing)).await;
    let mut answers = match opened {
        Ok(Ok(response)) => response.into_inner(),
        Ok(Err(status)) => return status,
        Err(_) => return Status::unavailable("no answer"),
    };
    let mut tick = interval(ANNOUNCE_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut deadline = Instant::now() + ANSWER;
    loop {
        tokio::select! {
            changed = words.changed() => {
                if changed.is_err() {
                    return Status::cancelled("the node ends");
                }
            }
            _ = tick.tick() => {}
            answer = answers.message() => match answer {
                Ok(Some(_)) => {
                    if !*answered {
                        tracing::info!(%router, "announced to a router");
                    }
                    *answered = true;
                    known.set(true);
                    deadline = Instant::now() + ANSWER;
                    continue;
                }
                Ok(None) => return Status::unavailable("the router ended the stream"),
                Err(status) => return status,
            },
            () = sleep_until(deadline) => return Status::unavailable("no answer"),
        }
        let word = words.borrow_and_update().clone();
        // Full: the router does not read. The deadline sees to that.
        let _ = send.try_send(word);
    }
}

//! The heartbeat from the side that asks: one call after the other, ten a second.

use std::time::Duration;

use sns_core::Clock;
use sns_core::limits::MESSAGE_BYTES;
use sns_proto::pair::v1::pair_service_client::PairServiceClient;
use sns_proto::pair::v1::{AppenderPhase, ApplierPhase, HeartbeatRequest, HeartbeatResponse};
use sns_proto::v1::ServerState;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::machine::{Append, Report, TICK};
use crate::net::tls::Dial;
use crate::token::InternalKey;

/// One call gives up after that long; the next one follows.
const ANSWER: Duration = Duration::from_secs(1);

/// Who asks, and what shows that it may.
#[derive(Clone, Debug)]
pub struct Asker {
    name: String,
    key: InternalKey,
    clock: Clock,
}

impl Asker {
    /// `key` is that of the data, for pairs.
    pub fn new(name: impl Into<String>, key: InternalKey) -> Self {
        Self {
            name: name.into(),
            key,
            clock: Clock::system(),
        }
    }

    fn request(&self) -> Request<HeartbeatRequest> {
        let mut request = Request::new(HeartbeatRequest {
            from: self.name.clone(),
        });
        let shown = self.key.sign(&self.name, self.clock.now_ms());
        request.metadata_mut().insert("authorization", shown);
        request
    }
}

/// Asks the node at `address` for ever and hands over what it says.
///
/// # Cancel safety
/// Dropping the future ends the asking.
pub async fn ask(
    asker: Asker,
    address: String,
    dial: Dial,
    answers: mpsc::Sender<HeartbeatResponse>,
) {
    let Ok(mut client) = client(&address, &dial) else {
        tracing::error!(?address, "no address to send heartbeats to");
        return;
    };
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        match client.heartbeat(asker.request()).await {
            Ok(response) => {
                if answers.send(response.into_inner()).await.is_err() {
                    return;
                }
            }
            // The machine counts the silence.
            Err(status) => tracing::trace!(?address, %status, "no heartbeat"),
        }
    }
}

/// Asks once.
///
/// # Errors
/// As the transport has it; `Unavailable` also when no answer comes within a second.
pub async fn ask_once(
    asker: &Asker,
    address: &str,
    dial: &Dial,
) -> Result<HeartbeatResponse, Status> {
    let mut client = client(address, dial)?;
    let answer = tokio::time::timeout(ANSWER, client.heartbeat(asker.request())).await;
    let answer = answer.map_err(|_| Status::unavailable("no answer"))?;
    answer.map(tonic::Response::into_inner)
}

fn client(address: &str, dial: &Dial) -> Result<PairServiceClient<Channel>, Status> {
    let endpoint = dial
        .endpoint(address)
        .map_err(|e| Status::new(Code::InvalidArgument, e.to_string()))?
        .connect_timeout(ANSWER)
        .timeout(ANSWER);
    let client = PairServiceClient::new(dial.connect_lazy(&endpoint));
    Ok(client.max_decoding_message_size(MESSAGE_BYTES))
}

/// What the machine goes by.
pub fn report(heartbeat: &HeartbeatResponse) -> Report {
    let server = heartbeat.server.clone().unwrap_or_default();
    Report {
        serving: server.state() == ServerState::Serving,
        starting: server.state() == ServerState::Starting,
        draining: server.state() == ServerState::Draining,
        append: match heartbeat.appender() {
            AppenderPhase::WaitsForLock => Append::WaitsForLock,
            AppenderPhase::HoldsLock => Append::HoldsLock,
            AppenderPhase::Syncs => Append::Syncs,
            AppenderPhase::Idle | AppenderPhase::Unspecified => Append::Idle,
        },
        appends: heartbeat.appends,
        applies_now: heartbeat.applier() == ApplierPhase::Applies,
        applies: heartbeat.applies,
        queued: heartbeat.queued,
        lag: server.tail.saturating_sub(server.applied.saturating_add(1)),
    }
}

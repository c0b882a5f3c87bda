//! `PairService`: answers the partner's heartbeat.

use std::sync::Arc;

use sns_core::Clock;
use sns_core::limits::MESSAGE_BYTES;
use sns_proto::pair::v1::pair_service_server::{PairService, PairServiceServer};
use sns_proto::pair::v1::{HeartbeatRequest, HeartbeatResponse};
use sns_proto::v1::ErrorReason;
use tonic::{Request, Response, Status};

use super::certified;
use crate::pair::NodeProbe;
use crate::service::status::status;
use crate::token::InternalKey;

/// The service of one node.
#[derive(Debug)]
pub struct PairApi {
    probe: Arc<dyn NodeProbe>,
    restarts: u64,
    key: InternalKey,
    clock: Clock,
    /// Whoever asks must show a certificate by our CA, too.
    certified: bool,
}

impl PairApi {
    /// Answers with what `probe` says, `restarts` so far, to who shows that it holds `key`.
    pub fn new(probe: Arc<dyn NodeProbe>, restarts: u64, key: InternalKey) -> Self {
        Self {
            probe,
            restarts,
            key,
            clock: Clock::system(),
            certified: false,
        }
    }

    /// The same; `certified`: whoever asks must show a certificate by our CA, too.
    #[must_use]
    pub fn certified(self, certified: bool) -> Self {
        Self { certified, ..self }
    }

    /// With our bound on messages.
    pub fn into_service(self) -> PairServiceServer<Self> {
        PairServiceServer::new(self).max_decoding_message_size(MESSAGE_BYTES)
    }
}

#[tonic::async_trait]
impl PairService for PairApi {
    async fn heartbeat(
        &self,
        request: Request<HeartbeatRequest>,
    ) -> Result<Response<HeartbeatResponse>, Status> {
        if self.certified {
            certified::check(&request, "a heartbeat")?;
        }
        let (from, metadata) = (&request.get_ref().from, request.metadata());
        if !self.key.shown_by(from, metadata, self.clock.now_ms()) {
            let why = "a heartbeat is for the partner, and for who may read the data directory";
            return Err(status(ErrorReason::TokenInvalid, why));
        }
        let mut heartbeat = self.probe.heartbeat();
        if let Some(server) = &mut heartbeat.server {
            server.restarts = self.restarts;
        }
        Ok(Response::new(heartbeat))
    }
}

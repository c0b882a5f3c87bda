//! `PairService`: answers the partner's heartbeat.

use std::sync::Arc;

use sns_core::limits::MESSAGE_BYTES;
use sns_proto::pair::v1::pair_service_server::{PairService, PairServiceServer};
use sns_proto::pair::v1::{HeartbeatRequest, HeartbeatResponse};
use tonic::{Request, Response, Status};

use super::certified;
use crate::pair::NodeProbe;

/// The service of one node.
#[derive(Debug)]
pub struct PairApi {
    probe: Arc<dyn NodeProbe>,
    restarts: u64,
    /// Whoever asks must show a certificate by our CA.
    certified: bool,
}

impl PairApi {
    /// Answers with what `probe` says; `restarts` so far.
    pub fn new(probe: Arc<dyn NodeProbe>, restarts: u64) -> Self {
        Self {
            probe,
            restarts,
            certified: false,
        }
    }

    /// The same; `certified`: whoever asks must show a certificate by our CA.
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
        let mut heartbeat = self.probe.heartbeat();
        if let Some(server) = &mut heartbeat.server {
            server.restarts = self.restarts;
        }
        Ok(Response::new(heartbeat))
    }
}

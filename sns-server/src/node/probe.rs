//! [`Probe`]: what a node says of itself, to routers and to its partner.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use sns_core::log::AppendPhase;
use sns_core::{ApplyPhase, Seq, Sns, State, Status};
use sns_proto::pair::v1::{AppenderPhase, ApplierPhase, HeartbeatResponse};
use sns_proto::v1::{Server, ServerState};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::NodeConfig;
use crate::pair::NodeProbe;
use crate::pair::deaths::monotonic;

/// Looks into a node, also while it is still opening. Never waits.
#[derive(Debug)]
pub struct Probe {
    /// All that does not change; `state` and what follows it are filled in.
    fixed: Server,
    sns: watch::Receiver<Option<Sns>>,
    shutdown: CancellationToken,
    started: Instant,
    /// Drawn at each start.
    incarnation: u64,
    /// Microseconds of the machine's monotonic clock; 0 = not yet.
    serving_at: AtomicU64,
    caught_up_at: AtomicU64,
}

impl Probe {
    pub(super) fn new(
        config: &NodeConfig,
        address: SocketAddr,
        data_id: &str,
        sns: watch::Receiver<Option<Sns>>,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            fixed: Server {
                name: config.node(),
                pair: config.pair.clone(),
                role: config.role.into(),
                address: address.to_string(),
                pid: std::process::id(),
                data_id: data_id.to_owned(),
                ..Server::default()
            },
            sns,
            shutdown,
            started: Instant::now(),
            incarnation: rand::random(),
            serving_at: AtomicU64::new(0),
            caught_up_at: AtomicU64::new(0),
        }
    }

    /// Notes when the replica begins to serve, and when it has caught up with all that was
    /// acknowledged anywhere until then.
    pub(super) async fn note_start(&self, sns: &Sns) {
        for (linearizable, at) in [(false, &self.serving_at), (true, &self.caught_up_at)] {
            if let Err(error) = sns.reach(Seq::ZERO, linearizable).await {
                tracing::debug!(%error, "this replica did not come to serve");
                return;
            }
            let us = u64::try_from(monotonic().as_micros()).unwrap_or(u64::MAX);
            at.store(us, Ordering::Relaxed);
        }
    }

    /// Commands that wait, and what the view holds; `None` while it opens.
    pub(crate) fn look(&self) -> Option<(u64, Status)> {
        let sns = self.sns.borrow().clone()?;
        Some((sns.progress().queued, sns.status()))
    }

    /// What routers are told. `restarts` is the partner's to count.
    pub fn server(&self) -> Server {
        let mut server = self.fixed.clone();
        let status = self.sns.borrow().as_ref().map(Sns::status);
        let state = match &status {
            _ if self.shutdown.is_cancelled() => ServerState::Draining,
            None => ServerState::Starting,
            Some(status) => match status.state {
                State::Starting => ServerState::Starting,
                State::Serving => ServerState::Serving,
                State::Draining => ServerState::Draining,
                // Halted: it cannot go on by itself, and says why.
                _ => ServerState::Failed,
            },
        };
        server.state = state.into();
        if let Some(status) = status {
            server.applied = status.applied;
            server.tail = status.tail;
            server.streams = status.streams;
            server.digest = status.digest;
            server.reason = status.reason;
        }
        server
    }
}

impl NodeProbe for Probe {
    fn heartbeat(&self) -> HeartbeatResponse {
        let mut heartbeat = HeartbeatResponse {
            server: Some(self.server()),
            appender: AppenderPhase::Idle.into(),
            appender_ms: ms(self.started),
            applier: ApplierPhase::Idle.into(),
            applier_ms: ms(self.started),
            incarnation: self.incarnation,
            serving_at_us: self.serving_at.load(Ordering::Relaxed),
            caught_up_at_us: self.caught_up_at.load(Ordering::Relaxed),
            ..HeartbeatResponse::default()
        };
        let progress = self.sns.borrow().as_ref().map(Sns::progress);
        if let Some(progress) = progress {
            let appender = match progress.append.phase {
                AppendPhase::Idle => AppenderPhase::Idle,
                AppendPhase::WaitsForLock => AppenderPhase::WaitsForLock,
                AppendPhase::HoldsLock => AppenderPhase::HoldsLock,
                AppendPhase::Syncs => AppenderPhase::Syncs,
            };
            let applier = match progress.apply {
                ApplyPhase::Idle => ApplierPhase::Idle,
                ApplyPhase::Applies => ApplierPhase::Applies,
            };
            heartbeat.appender = appender.into();
            heartbeat.appender_ms = ms(progress.append.since);
            heartbeat.appends = progress.append.finished;
            heartbeat.applier = applier.into();
            heartbeat.applier_ms = ms(progress.apply_since);
            heartbeat.applies = progress.applied_entries;
            heartbeat.queued = progress.queued;
        }
        heartbeat
    }
}

fn ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

//! `RouterService`: the way into [`RouteTable`], and the router process around it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::stream::{self, Stream};
use sns_core::limits::MESSAGE_BYTES;
use sns_proto::v1::router_service_server::{RouterService, RouterServiceServer};
use sns_proto::v1::{
    AnnounceRequest, AnnounceResponse, AssignRequest, AssignResponse, ErrorReason,
    ListServersRequest, ListServersResponse,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

use crate::args::Policy;
use crate::config::RouterConfig;
use crate::failure::Result;
use crate::net::tls::Tls;
use crate::routing::{RouteTable, StreamId};
use crate::serve;
use crate::service::certified;
use crate::service::status::status;
use crate::telemetry::escaped;

/// As health and reflection name it.
pub const SERVICE: &str = "sns.v1.RouterService";

/// Runs a router until `shutdown`. The first line of stdout says where: `router http://H:P`.
///
/// # Errors
/// `Unavailable`: the port is in use. `Denied`: it may not be taken.
pub async fn run(config: RouterConfig, shutdown: CancellationToken) -> Result<()> {
    let listener = serve::bind("--listen", config.listen).await?;
    let address = serve::address_of(&listener)?;
    let tls = config.doors.open()?;
    crate::output::line(&format!("router {}://{address}", config.doors.scheme()))?;
    tracing::info!(%address, pid = std::process::id(), "routing");
    let served = serve_on(listener, config.policy, tls.clone(), shutdown.clone());
    match tls {
        Some(tls) => tokio::try_join!(served, tls.watch(shutdown)).map(drop)?,
        None => served.await?,
    }
    tracing::info!("stopped");
    Ok(())
}

/// Serves a router on `listener` until `shutdown`.
///
/// # Errors
/// As [`serve::serve`].
pub async fn serve_on(
    listener: TcpListener,
    policy: Policy,
    tls: Option<Tls>,
    shutdown: CancellationToken,
) -> Result<()> {
    let mut routes = Routes::builder();
    let health = serve::common(&mut routes, SERVICE).await?;
    let mutual = tls.as_ref().is_some_and(Tls::is_mutual);
    let service = Router::new(policy, shutdown.clone()).certified(mutual);
    routes.add_service(RouterServiceServer::new(service).max_decoding_message_size(MESSAGE_BYTES));
    health.set(true).await;
    let ended = serve::serve(listener, routes.routes(), tls, shutdown).await;
    health.set(false).await;
    ended
}

/// The service. A cheap clone.
#[derive(Clone, Debug)]
pub struct Router {
    table: Arc<Mutex<RouteTable>>,
    policy: Policy,
    started: Instant,
    shutdown: CancellationToken,
    /// Whoever announces must show a certificate by our CA.
    certified: bool,
}

impl Router {
    /// A router that knows no node yet. Its streams end with `shutdown`.
    pub fn new(policy: Policy, shutdown: CancellationToken) -> Self {
        Self {
            table: Arc::default(),
            policy,
            started: Instant::now(),
            shutdown,
            certified: false,
        }
    }

    /// The same; `certified`: whoever announces must show a certificate by our CA.
    #[must_use]
    pub fn certified(self, certified: bool) -> Self {
        Self { certified, ..self }
    }

    /// Works on the table, at this time.
    fn with<T>(&self, work: impl FnOnce(&mut RouteTable, Duration) -> T) -> T {
        // The table is soft: one left behind by a panic is put right by the next announcements.
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut table, self.started.elapsed())
    }
}

/// One node's stream; dropping it takes the node out of the table.
struct Announcing {
    router: Router,
    stream: StreamId,
    name: String,
    incoming: Streaming<AnnounceRequest>,
}

impl Announcing {
    /// The answer to the next announcement; `None` when there will be no further one.
    async fn next(&mut self) -> Option<Result<AnnounceResponse, Status>> {
        let stopping = self.router.shutdown.clone();
        let request = tokio::select! {
            () = stopping.cancelled() => {
                let why = "this router stops; announce to another one";
                return Some(Err(status(ErrorReason::ShuttingDown, why)));
            }
            request = self.incoming.message() => match request {
                Ok(request) => request?,
                Err(broken) => {
                    tracing::debug!(name = %escaped(&self.name), %broken, "the stream of a node broke");
                    return None;
                }
            },
        };
        let name = request.server.as_ref().map(|server| server.name.clone());
        let taken = self
            .router
            .with(|table, now| table.announce(self.stream, now, request));
        match taken {
            Ok(()) => {
                if self.name.is_empty() {
                    self.name = name.unwrap_or_default();
                    tracing::info!(name = %escaped(&self.name), "a node announces itself");
                }
                Some(Ok(AnnounceResponse {}))
            }
            Err(refusal) => {
                let (name, why) = (
                    escaped(&name.unwrap_or_default()),
                    escaped(&refusal.message),
                );
                tracing::warn!(name, why, "an announcement was refused");
                Some(Err(status(refusal.reason, refusal.message)))
            }
        }
    }
}

impl Drop for Announcing {
    fn drop(&mut self) {
        self.router.with(|table, _| table.close(self.stream));
        if !self.name.is_empty() {
            tracing::info!(name = %escaped(&self.name), "the stream of a node ended");
        }
    }
}

#[tonic::async_trait]
impl RouterService for Router {
    type AnnounceStream =
        Pin<Box<dyn Stream<Item = Result<AnnounceResponse, Status>> + Send + 'static>>;

    async fn assign(&self, _: Request<AssignRequest>) -> Result<Response<AssignResponse>, Status> {
        let policy = self.policy;
        let drawn = self.with(|table, now| table.assign(now, policy, &mut rand::rng()));
        let Some((master, slave)) = drawn else {
            let why = "no server serves; `sns-server status` shows what there is";
            return Err(status(ErrorReason::NoServer, why));
        };
        Ok(Response::new(AssignResponse {
            master: Some(master),
            slave,
        }))
    }

    async fn list_servers(
        &self,
        _: Request<ListServersRequest>,
    ) -> Result<Response<ListServersResponse>, Status> {
        let servers = self.with(RouteTable::list);
        Ok(Response::new(ListServersResponse { servers }))
    }

    async fn announce(
        &self,
        request: Request<Streaming<AnnounceRequest>>,
    ) -> Result<Response<Self::AnnounceStream>, Status> {
        if self.certified {
            certified::check(&request, "an announcement")?;
        }
        let announcing = Announcing {
            router: self.clone(),
            stream: self.with(|table, _| table.open()),
            name: String::new(),
            incoming: request.into_inner(),
        };
        // A refusal is the last item: the state goes with it, and the node with the state.
        let answers = stream::unfold(Some(announcing), |announcing| async move {
            let mut announcing = announcing?;
            let answer = announcing.next().await?;
            let goes_on = answer.is_ok().then_some(announcing);
            Some((answer, goes_on))
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

//! `RouterService`: the way into [`RouteTable`], and the router process around it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::stream::{self, Stream};
use sns_core::Clock;
use sns_core::limits::MESSAGE_BYTES;
use sns_proto::v1::router_service_server::{RouterService, RouterServiceServer};
use sns_proto::v1::{
    AnnounceRequest, AnnounceResponse, AssignRequest, AssignResponse, ErrorReason,
    ListServersRequest, ListServersResponse, Server,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

use crate::args::{AuthMode, Policy};
use crate::config::RouterConfig;
use crate::failure::Result;
use crate::metrics::Connections;
use crate::net::{Door, Listener};
use crate::rates::Rates;
use crate::routing::{RouteTable, StreamId};
use crate::serve;
use crate::service::certified;
use crate::service::status::status;
use crate::telemetry::escaped;
use crate::token::InternalKey;
use crate::{again, announce, notify, status_cmd};

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
    if again::before().is_none() {
        // Whoever read that may be gone by now.
        crate::output::line(&format!("router {}://{address}", config.doors.scheme()))?;
    }
    tracing::info!(%address, pid = std::process::id(), "routing");
    let announce_key = config.announce_key.as_deref().map(InternalKey::read);
    let rules = Rules {
        policy: config.policy,
        announce_key: announce_key.transpose()?,
        auth: config.auth,
    };
    let rates = Rates::of(config.limits.rates, config.auth == AuthMode::Accounts);
    let (limits, counts) = (config.limits.net, Connections::default());
    let door = Door::new(Listener::Router, limits, tls.clone(), rates, counts);
    let served = serve_on(listener, rules, door, shutdown.clone());
    let reload = notify::on_reload(shutdown.clone());
    let served = async { tokio::join!(served, reload).0 };
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
    rules: Rules,
    door: Door,
    shutdown: CancellationToken,
) -> Result<()> {
    let mut routes = Routes::builder();
    let health = serve::common(&mut routes, SERVICE).await?;
    let service = Router::new(rules, shutdown.clone()).certified(door.is_mutual());
    let alive = service.clone().keep_alive();
    routes.add_service(RouterServiceServer::new(service).max_decoding_message_size(MESSAGE_BYTES));
    health.set(true).await;
    notify::ready();
    let ended = tokio::select! {
        ended = serve::serve(listener, routes.routes(), door, shutdown) => ended,
        () = alive => Ok(()),
    };
    health.set(false).await;
    ended
}

/// Whom a router believes, and what it tells.
#[derive(Clone, Debug)]
pub struct Rules {
    /// How it draws servers.
    pub policy: Policy,
    /// What announcements must show; `None`: all are taken.
    pub announce_key: Option<InternalKey>,
    /// With accounts, who does not hold that key is not told all.
    pub auth: AuthMode,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            policy: Policy::Random,
            announce_key: None,
            auth: AuthMode::Open,
        }
    }
}

impl Rules {
    /// Whether the metadata of a stream that was opened at `opened_ms` shows that this server may
    /// announce itself: a false one would be given to clients, and collect what they say.
    fn believe(&self, server: &Server, metadata: &MetadataMap, opened_ms: u64) -> bool {
        let Some(key) = &self.announce_key else {
            return true;
        };
        key.shown_by(&announce::identity(server), metadata, opened_ms)
    }

    /// Whether the caller is told all there is to tell.
    fn tell_all(&self, metadata: &MetadataMap) -> bool {
        let shown = |key: &InternalKey| {
            let now_ms = Clock::system().now_ms();
            key.shown_by(status_cmd::WHOLE_LIST, metadata, now_ms)
        };
        self.auth == AuthMode::Open || self.announce_key.as_ref().is_some_and(shown)
    }
}

/// The service. A cheap clone.
#[derive(Clone, Debug)]
pub struct Router {
    table: Arc<Mutex<RouteTable>>,
    rules: Rules,
    started: Instant,
    shutdown: CancellationToken,
    /// Whoever announces must show a certificate by our CA.
    certified: bool,
}

impl Router {
    /// A router that knows no node yet. Its streams end with `shutdown`.
    pub fn new(rules: Rules, shutdown: CancellationToken) -> Self {
        Self {
            table: Arc::default(),
            rules,
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

    /// Keeps the watchdog of a service manager quiet, for as long as the table can be had. Never ends.
    async fn keep_alive(self) {
        let mut watchdog = notify::Watchdog::new();
        let mut tick = tokio::time::interval(crate::pair::machine::TICK);
        loop {
            tick.tick().await;
            self.with(|_, _| ());
            watchdog.alive();
        }
    }

    /// Works on the table, at this time.
    fn with<T>(&self, work: impl FnOnce(&mut RouteTable, Duration) -> T) -> T {
        // The table is soft: one left behind by a panic is put right by the next announcements.
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut table, self.started.elapsed())
    }
}

/// What anybody may know of a server.
fn discreet(server: Server) -> Server {
    Server {
        digest: String::new(),
        reason: String::new(),
        ..server
    }
}

fn discreet_unless(open: bool, server: Server) -> Server {
    if open { server } else { discreet(server) }
}

/// One node's stream; dropping it takes the node out of the table.
struct Announcing {
    router: Router,
    stream: StreamId,
    name: String,
    metadata: MetadataMap,
    opened_ms: u64,
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
        let server = request.server.clone().unwrap_or_default();
        if !self
            .router
            .rules
            .believe(&server, &self.metadata, self.opened_ms)
        {
            let name = escaped(&server.name);
            tracing::warn!(name, "an announcement without the key was refused");
            let why = "this router takes announcements from servers that hold its key: give it a \
                       copy of DATA/announce.key (--announce-key), or set its clock if it is off by a minute";
            return Some(Err(status(ErrorReason::TokenInvalid, why)));
        }
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
        let policy = self.rules.policy;
        let drawn = self.with(|table, now| table.assign(now, policy, &mut rand::rng()));
        let open = self.rules.auth == AuthMode::Open;
        let Some((master, slave)) = drawn else {
            let why = "no server serves; `sns-server status` shows what there is";
            return Err(status(ErrorReason::NoServer, why));
        };
        Ok(Response::new(AssignResponse {
            master: Some(discreet_unless(open, master)),
            slave: slave.map(|slave| discreet_unless(open, slave)),
        }))
    }

    async fn list_servers(
        &self,
        request: Request<ListServersRequest>,
    ) -> Result<Response<ListServersResponse>, Status> {
        let mut servers = self.with(RouteTable::list);
        if !self.rules.tell_all(request.metadata()) {
            for server in &mut servers {
                *server = discreet(std::mem::take(server));
            }
        }
        Ok(Response::new(ListServersResponse { servers }))
    }

    async fn announce(
        &self,
        request: Request<Streaming<AnnounceRequest>>,
    ) -> Result<Response<Self::AnnounceStream>, Status> {
        if self.certified {
            certified::check(&request, "an announcement")?;
        }
        let (metadata, _, incoming) = request.into_parts();
        let announcing = Announcing {
            router: self.clone(),
            stream: self.with(|table, _| table.open()),
            name: String::new(),
            metadata,
            opened_ms: Clock::system().now_ms(),
            incoming,
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

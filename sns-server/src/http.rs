//! The web side of a node: pages for people, JSON for programs, metrics and probes for operators.
//!
//! `api` and `events` hand every call to the same [`SnsApi`] that gRPC calls go to: there is one
//! code path, and here only the other clothes. `guard` lets browsers in from our own pages alone.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::{delete, get, post};
use sns_core::Clock;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use self::answer::Refused;
use crate::args::AuthMode;
use crate::failure::Result;
use crate::metrics::{Metrics, ProcessUse, Standing};
use crate::net::tls::Tls;
use crate::net::{self, Door};
use crate::node::Probe;
use crate::pair::told::{self, Told};
use crate::service::sns::SnsApi;
use crate::token::Scopes;
use crate::{ports, serve};

mod answer;
mod api;
mod assets;
mod auth;
mod events;
mod guard;
mod ops;
mod peers;
mod probes;

use peers::Peers;

/// How often the page's own things are seen to: the sample of the second, who else is there.
const EVERY: Duration = Duration::from_secs(1);

/// What the pages show and the calls need. A cheap clone.
#[derive(Clone, Debug)]
pub struct Site(Arc<Inner>);

/// The parts of a [`Site`].
#[derive(Debug)]
pub struct Parts {
    /// Where calls go.
    pub api: SnsApi,
    /// What the node says of itself.
    pub probe: Arc<Probe>,
    /// What the driver of the pair tells.
    pub told: Told,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// The node's name.
    pub node: String,
    /// The data directory.
    pub data: PathBuf,
    /// What kind of log it is: `directory` or `nats`.
    pub log: &'static str,
    /// Where browsers connect.
    pub address: SocketAddr,
    /// The address of this machine that others are told; pages may be on all of them.
    pub host: IpAddr,
    /// Over what they are shown.
    pub tls: Option<Tls>,
}

#[derive(Debug)]
struct Inner {
    parts: Parts,
    clock: Clock,
    started_at_ms: u64,
    peers: Peers,
    seen: Mutex<Seen>,
}

/// What was seen at the last look, a second ago.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    disk: Disk,
    process: ProcessUse,
}

/// The file system of the data.
#[derive(Clone, Copy, Debug, Default)]
struct Disk {
    free_bytes: u64,
    total_bytes: u64,
}

impl Site {
    /// Of one node.
    pub fn new(parts: Parts) -> Self {
        let clock = Clock::system();
        Self(Arc::new(Inner {
            peers: Peers::new(
                &parts.data,
                (&parts.node, parts.address),
                parts.host,
                parts.tls.clone(),
            ),
            parts,
            started_at_ms: clock.now_ms(),
            clock,
            seen: Mutex::default(),
        }))
    }

    fn api(&self) -> &SnsApi {
        &self.0.parts.api
    }

    /// Whether a request may see what is the operator's: where names have no passwords everybody on
    /// this machine, else who has a token for it.
    async fn admit(&self, headers: &HeaderMap) -> std::result::Result<(), Refused> {
        if self.api().policy().auth == AuthMode::Open {
            return Ok(());
        }
        let metadata = api::metadata(headers);
        Ok(self.api().admit(&metadata, Scopes::ADMIN).await?)
    }

    fn peers(&self) -> &Peers {
        &self.0.peers
    }

    /// Where the node stands. Waits for the disk no longer than a heartbeat does.
    fn standing(&self) -> Standing {
        let parts = &self.0.parts;
        let word = parts.told.word();
        let Seen { disk, process } = *self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut standing = Standing {
            // Until the driver has spoken, the node itself does.
            server: word.server.unwrap_or_else(|| parts.probe.server()),
            partner: word.partner,
            routers: parts
                .told
                .routers()
                .iter()
                .map(told::Router::said)
                .collect(),
            disk_free_bytes: disk.free_bytes,
            disk_bytes: disk.total_bytes,
            process,
            started_at: Duration::from_millis(self.0.started_at_ms),
            ..Standing::default()
        };
        if let Some((queued, status)) = parts.probe.look() {
            standing.queued = queued;
            standing.users = status.users;
            standing.posts = status.posts;
            standing.follows = status.follows;
            standing.cache_bytes = status.cache_bytes;
            standing.log_bytes = status.log_bytes;
        }
        standing
    }

    /// Takes the samples and looks around, until `ending`.
    async fn keep(&self, ending: &CancellationToken) {
        let mut tick = interval(EVERY);
        // A sample knows how long it stands for.
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks: Option<JoinHandle<()>> = None;
        loop {
            tokio::select! {
                () = ending.cancelled() => return,
                _ = tick.tick() => {}
            }
            // It may wait for the disk, and the samples must not: what happens then is worth seeing.
            if looks.as_ref().is_none_or(JoinHandle::is_finished) {
                let site = self.clone();
                looks = Some(tokio::task::spawn_blocking(move || site.look()));
            }
            let (now, standing) = (self.0.clock.now_ms(), self.standing());
            self.0.parts.metrics.sample(now, &standing);
        }
    }

    /// Looks at what may take a while to tell.
    fn look(&self) {
        self.peers().look();
        let seen = Seen {
            disk: disk(&self.0.parts.data),
            process: ProcessUse::now(),
        };
        *self.0.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    fn routes(&self) -> Router {
        Router::new()
            .route("/", get(assets::feed))
            .route("/ops", get(assets::ops))
            .route("/web/{file}", get(assets::file))
            .route("/favicon.ico", get(assets::icon))
            .route("/livez", get(probes::live))
            .route("/readyz", get(probes::ready))
            .route("/metrics", get(probes::metrics))
            .route("/api/v1/openapi.json", get(assets::openapi))
            .route("/api/v1/servers", get(ops::servers))
            .route("/api/v1/ops", get(ops::ops))
            .route("/api/v1/login", post(api::login))
            .route("/api/v1/signup", post(auth::sign_up))
            .route("/api/v1/whoami", get(auth::who_am_i))
            .route("/api/v1/password", post(auth::change_password))
            .route("/api/v1/logout_all", post(auth::log_out_all))
            .route("/api/v1/follow", post(api::follow))
            .route("/api/v1/unfollow", post(api::unfollow))
            .route("/api/v1/posts", post(api::create_post))
            .route("/api/v1/posts/{id}", delete(api::delete_post))
            .route("/api/v1/home", get(api::home))
            .route("/api/v1/timeline", get(events::timeline))
            .route("/api/v1/users", get(api::users))
            .route("/api/v1/users/{name}/followers", get(api::followers))
            .route("/api/v1/users/{name}/following", get(api::following))
            .route("/api/v1/users/{name}/posts", get(api::posts_of))
            .fallback(answer::no_such_place)
            .method_not_allowed_fallback(answer::no_such_method)
            .layer(axum::middleware::from_fn_with_state(
                self.clone(),
                guard::guard,
            ))
            .with_state(self.clone())
    }
}

/// Serves `site` on `listener`, behind `door`, until `stop`, then at most [`serve::DRAIN`] more for what is open.
///
/// # Errors
/// None yet.
pub async fn serve(
    listener: TcpListener,
    site: Site,
    door: Door,
    stop: CancellationToken,
) -> Result<()> {
    let connections = net::serve_pages(listener, site.routes(), &door, &stop, serve::DRAIN);
    let (drained, ()) = tokio::join!(connections, site.keep(&stop));
    if !drained {
        tracing::warn!(
            "pages were still open {:?} after the stop: cut off",
            serve::DRAIN
        );
    }
    Ok(())
}

/// Listens where `asked`, or, if that is taken, elsewhere: a page is worth less than the node. What
/// is to be drawn is where it was `before`, if that is free.
///
/// # Errors
/// `Invalid`: no address of this machine. `Unavailable`: there is no port left.
pub async fn bind(asked: SocketAddr, before: Option<SocketAddr>) -> Result<TcpListener> {
    let drawn = asked.port() == 0;
    if let Some(before) = before.filter(|before| drawn && before.ip() == asked.ip())
        && let Ok(listener) = TcpListener::bind(before).await
    {
        return Ok(listener);
    }
    if !drawn {
        match serve::bind("--http", asked).await {
            Err(taken) if taken.kind == sns_core::ErrorKind::Unavailable => {
                tracing::warn!(why = %taken, "the page is somewhere else: see node.json");
            }
            bound => return bound,
        }
    }
    let port = ports::draw(asked.ip(), 1)?[0];
    serve::bind("--http", SocketAddr::new(asked.ip(), port)).await
}

fn disk(data: &std::path::Path) -> Disk {
    let Ok(stat) = rustix::fs::statvfs(data) else {
        return Disk::default();
    };
    Disk {
        free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
    }
}

//! A node: one replica, its services for users and for its partner, and the driver that watches
//! the partner.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sns_core::{DataDir, ErrorKind, Sns, State};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::announce;
use crate::args::AuthMode;
use crate::config::{DataConfig, NodeConfig};
use crate::failure::{Failure, Result};
use crate::http::{self, Parts, Site};
use crate::metrics::Metrics;
use crate::net::tls::Tls;
use crate::net::{self, Door, Listener};
use crate::notify;
use crate::pair::driver::{self, Keys, PairConfig};
use crate::pair::process::lock_holder;
use crate::pair::told::{self, Telling};
use crate::rates::Rates;
use crate::run_file::NodeFile;
use crate::serve::{self, Health};
use crate::service::accounts::Accounts;
use crate::service::call::Shared;
use crate::service::sns::SnsApi;
use crate::token::{InternalKey, Purpose, TokenKey};

mod probe;
mod snapshots;

pub use probe::Probe;

/// The service that users call.
const SERVICE: &str = "sns.v1.SnsService";

/// How often health follows the state of the replica.
const HEALTH_TICK: Duration = Duration::from_millis(100);

/// How long a stop may take in all.
const STOP: Duration = Duration::from_secs(5);

#[allow(
    clippy::too_many_lines,
    reason = "the parts of a node, one after the other"
)]
/// Runs a node until `shutdown`; returns when it has drained, after 5 s at most.
///
/// # Errors
/// `Unavailable`: it runs already, or an address is in use. Else as opening the data refuses.
pub async fn run(config: NodeConfig, shutdown: CancellationToken) -> Result<()> {
    let node = config.node();
    let tls = config.doors.open()?;
    let data = {
        let (data, node) = (config.data.clone(), node.clone());
        blocking(move || open_data(&data, &node)).await?
    };
    let users = serve::bind("--listen", config.listen).await?;
    let partner = serve::bind("--peer-listen", config.peer_listen).await?;
    let page = match config.page.http {
        Some(address) => Some(bind_page(address, &data.node_dir(&node)).await?),
        None => None,
    };
    let address = serve::address_of(&users)?;

    // Cancelled by `shutdown`, and when a part of the node fails.
    let ending = shutdown.child_token();
    let (publish, opened) = watch::channel(None);
    let (key, keys) = keys(&data)?;
    let id = data.data_id();
    let probe = Probe::new(&config, address, id, opened.clone(), ending.clone());
    let probe = Arc::new(probe);

    // Calls and heartbeats are answered from now on: opening may load a snapshot, and nobody shall
    // think that this node hangs.
    let mut parts = JoinSet::new();
    let mut routes = Routes::builder();
    if let Some(tls) = tls.clone() {
        parts.spawn(tls.watch(ending.clone()));
    }
    parts.spawn(under_a_manager(ending.clone()));
    let slow = Duration::from_millis(config.page.slow_call_ms);
    let metrics = Arc::new(Metrics::new(&node, &config.pair, slow));
    let accounts = config.page.auth.auth == AuthMode::Accounts;
    let rates = Rates::of(config.limits.rates, accounts);
    let accounts = Accounts::new(config.page.auth, key);
    let shared = Shared::new(opened, accounts, ending.clone(), metrics.clone());
    let shared = shared.limited(rates.clone());
    let api = SnsApi::new(shared);
    routes.add_service(api.clone().into_service());
    routes.add_service(api.auth().into_service());
    let health = serve::common(&mut routes, SERVICE).await?;
    let limits = config.limits.net;
    let counts = metrics.connections.clone();
    let door = |listener, limits| {
        let (tls, rates, counts) = (tls.clone(), rates.clone(), counts.clone());
        Door::new(listener, limits, tls, rates, counts)
    };
    let calls = door(Listener::Calls, limits);
    parts.spawn(serve::serve(users, routes.routes(), calls, ending.clone()));
    let (telling, told) = told::channel(&config.routers);
    let mut http_address = String::new();
    if let Some(listener) = page {
        let address = serve::address_of(&listener)?;
        http_address = address.to_string();
        let site = Site::new(Parts {
            api,
            probe: probe.clone(),
            told,
            metrics: metrics.clone(),
            node: node.clone(),
            data: data.path().to_owned(),
            log: config.data.log.kind(),
            address,
            host: config.listen.ip(),
            tls: tls.clone(),
        });
        let scheme = config.doors.scheme();
        tracing::info!(%node, page = %format_args!("{scheme}://{address}/"), "pages");
        let pages = door(Listener::Pages, limits.at_most(net::PAGE_CONNECTIONS));
        parts.spawn(http::serve(listener, site, pages, ending.clone()));
    }
    let pair = Pair {
        node: config.clone(),
        address,
        data: data.path().to_owned(),
        http_address,
        telling,
        metrics: metrics.clone(),
        probe: probe.clone(),
        keys,
        tls,
    };
    parts.spawn(pair.run(partner, ending.clone())?);

    tracing::info!(%node, %address, pid = std::process::id(), "listening");
    let opening = tokio::task::spawn_blocking({
        let (data, node, metrics) = (config.data.clone(), node.clone(), metrics.clone());
        move || open_replica(&data, &node, &metrics)
    });
    let ended = tokio::select! {
        opened = opening => match opened.map_err(panicked)? {
            Ok(sns) => {
                publish.send_replace(Some(sns.clone()));
                parts.spawn(note_start(probe, sns.clone(), ending.clone()));
                parts.spawn(snapshots::keep(config.clone(), sns.clone(), ending.clone()));
                parts.spawn(follow_health(sns, health, ending.clone()));
                until_ended(&mut parts, &ending).await
            }
            Err(e) => Err(e),
        },
        ended = until_ended(&mut parts, &ending) => ended,
    };
    let stopped = stop(publish, parts, &ending).await;
    tracing::info!(%node, "stopped");
    ended.and(stopped)
}

/// The keys of the data: of tokens, and of what processes show each other.
fn keys(data: &DataDir) -> Result<(TokenKey, Keys)> {
    let secret = data.secret()?;
    let keys = Keys {
        pair: InternalKey::derive(secret, Purpose::Pair),
        announce: InternalKey::derive(secret, Purpose::Announce),
    };
    // For routers that run elsewhere: whoever runs them copies it.
    keys.announce.keep(&announce::key_file(data.path()))?;
    Ok((TokenKey::new(secret, data.data_id()), keys))
}

fn open_replica(data: &DataConfig, node: &str, metrics: &Arc<Metrics>) -> Result<Sns> {
    let builder = data.builder_for_node(node)?.node(node);
    let builder = builder.observer(metrics.observer());
    Ok(builder.wait_until_caught_up(false).open()?)
}

/// Where the page was before, if its port is to be drawn.
async fn bind_page(address: SocketAddr, node_dir: &Path) -> Result<TcpListener> {
    let before = NodeFile::read(node_dir);
    let before = before.and_then(|file| file.http_address.parse().ok());
    http::bind(address, before).await
}

/// What the driver of the pair is given.
struct Pair {
    node: NodeConfig,
    address: SocketAddr,
    data: PathBuf,
    http_address: String,
    telling: Telling,
    metrics: Arc<Metrics>,
    probe: Arc<Probe>,
    keys: Keys,
    tls: Option<Tls>,
}

impl Pair {
    /// Runs the driver on a thread and a runtime of its own: heartbeats are asked and answered in
    /// time, however busy the users keep the other threads. The future is its end.
    fn run(
        self,
        peer: TcpListener,
        ending: CancellationToken,
    ) -> Result<impl Future<Output = Result<()>> + use<>> {
        let failed = |e: std::io::Error| Failure::io("cannot start the thread of the pair", &e);
        let peer = peer.into_std().map_err(failed)?;
        let (tell, ended) = oneshot::channel();
        let work = move || -> Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(failed)?;
            runtime.block_on(async {
                let config = PairConfig {
                    node: self.node,
                    address: self.address,
                    data: self.data,
                    peer: TcpListener::from_std(peer).map_err(failed)?,
                    http_address: self.http_address,
                    keys: self.keys,
                    telling: self.telling,
                    metrics: self.metrics,
                    tls: self.tls,
                };
                Box::pin(driver::run(config, self.probe, ending)).await
            })
        };
        std::thread::Builder::new()
            .name("sns-pair".into())
            .spawn(move || tell.send(work()))
            .map_err(failed)?;
        // The sender is dropped without a word only by a panic.
        let panicked = |_| {
            let why = "the driver of the pair panicked: report this";
            Failure::new(ErrorKind::Internal, why)
        };
        Ok(async move { ended.await.map_err(panicked)? })
    }
}

/// Opens the directory, and refuses when the node runs already: its lock says so before its ports
/// do.
fn open_data(config: &DataConfig, node: &str) -> Result<DataDir> {
    let data = config.open_for_node()?;
    let holder = lock_holder(&data.node_dir(node).join("lock"));
    let holder = holder.map_err(|e| Failure::io(format!("cannot tell whether {node} runs"), &e))?;
    if let Some(pid) = holder {
        return Err(Failure::unavailable(format!(
            "{node} runs on {} already (process {pid}): `sns-server status --data` shows it, \
             `sns-server down --data` stops it",
            crate::telemetry::escaped(&config.path.display().to_string())
        )));
    }
    Ok(data)
}

/// Waits for the stop, or for a part that ends without it.
async fn until_ended(parts: &mut JoinSet<Result<()>>, ending: &CancellationToken) -> Result<()> {
    tokio::select! {
        () = ending.cancelled() => Ok(()),
        Some(ended) = parts.join_next() => {
            if ending.is_cancelled() {
                return Ok(());
            }
            ended.map_err(panicked)??;
            let why = "a part of this server ended by itself: report this";
            Err(Failure::new(ErrorKind::Internal, why))
        }
    }
}

/// Drains: refuses new writes, ends the streams, finishes the calls, closes the replica.
async fn stop(
    publish: watch::Sender<Option<Sns>>,
    mut parts: JoinSet<Result<()>>,
    ending: &CancellationToken,
) -> Result<()> {
    let until = Instant::now() + STOP;
    let sns = publish.borrow().clone();
    // First the queue, so that what is in it is answered, then the streams and the transport.
    if let Some(sns) = sns.clone() {
        blocking(move || {
            sns.drain();
            Ok(())
        })
        .await?;
    }
    ending.cancel();
    drop(publish);
    let mut stopped = Ok(());
    while let Ok(Some(part)) = timeout_at(until, parts.join_next()).await {
        stopped = stopped.and(part.map_err(panicked)?);
    }
    parts.abort_all();
    if let Some(sns) = sns {
        let close = blocking(move || {
            sns.close();
            Ok(())
        });
        // Whatever is not written out comes back from the log.
        if timeout_at(until, close).await.is_err() {
            tracing::warn!("closing took longer than {STOP:?}: the next start rebuilds a little");
        }
    }
    stopped
}

/// Notes when the replica serves and has caught up; then only waits.
async fn note_start(probe: Arc<Probe>, sns: Sns, ending: CancellationToken) -> Result<()> {
    tokio::select! {
        () = ending.cancelled() => return Ok(()),
        () = probe.note_start(&sns) => {}
    }
    ending.cancelled().await;
    Ok(())
}

/// What a service manager wants besides: that the threads of calls come through, and SIGHUP.
async fn under_a_manager(ending: CancellationToken) -> Result<()> {
    tokio::join!(notify::beat(ending.clone()), notify::on_reload(ending));
    Ok(())
}

/// Keeps health as the replica is.
async fn follow_health(sns: Sns, health: Health, ending: CancellationToken) -> Result<()> {
    let mut tick = tokio::time::interval(HEALTH_TICK);
    let mut said = false;
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = ending.cancelled() => break,
        }
        let serves = sns.status().state == State::Serving;
        if serves != said {
            health.set(serves).await;
            said = serves;
            if serves {
                notify::ready();
            }
            tracing::info!(applied = ?sns.applied(), serves, "the state changed");
        }
    }
    health.set(false).await;
    Ok(())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(panicked)?
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "so that it can be handed to `map_err`"
)]
fn panicked(error: JoinError) -> Failure {
    Failure::new(
        ErrorKind::Internal,
        format!("a task panicked, report this: {error}"),
    )
}

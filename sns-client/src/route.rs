//! Which server to ask: what the routers handed out, what failed lately, what stands ready.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use sns_proto::reason::code;
use sns_proto::v1;
use sns_proto::v1::router_service_client::RouterServiceClient;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};

use crate::call::Boxed;
use crate::error::{Error, Reason, Result};
use crate::options::Options;
use crate::retry::{Ended, Refusal};
use crate::table::Table;
use crate::trust::{self, Trust};
use crate::wire;

/// Pings of a connection find a server that vanished without a goodbye or hangs.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(1);
/// How long a ping may go unanswered. More than a busy machine takes, less than a person notices.
const KEEP_ALIVE_WAIT: Duration = Duration::from_secs(2);
/// A further router is asked when the ones before it have been silent for this long.
const ROUTER_STAGGER: Duration = Duration::from_millis(100);

/// A server or router, and the one connection to it.
pub(crate) struct Peer {
    /// `host:port`.
    pub(crate) address: String,
    limit: Duration,
    /// Nothing is said to it but over TLS.
    trust: Option<Trust>,
    // Set once connected; from then on the channel mends itself when it is next used.
    channel: OnceCell<Channel>,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.address.fmt(f)
    }
}

impl Peer {
    fn new(address: String, limit: Duration, trust: Option<Trust>) -> Arc<Self> {
        Arc::new(Self {
            address,
            limit,
            trust,
            channel: OnceCell::new(),
        })
    }

    /// The connection, opened on first use.
    pub(crate) async fn channel(&self) -> Result<Channel, Ended> {
        let dialled = Box::pin(self.dial()).await;
        dialled.map_err(|(message, _)| Ended::NotSent(message))
    }

    /// The same of a router. One that is not believed is the caller's to see to: of servers there are
    /// others.
    async fn router(&self) -> Result<Channel, Ended> {
        Box::pin(self.dial()).await.map_err(|(message, is_final)| {
            if is_final {
                Ended::Refused(never(message))
            } else {
                Ended::NotSent(message)
            }
        })
    }

    /// Why not, and whether no other try will help.
    async fn dial(&self) -> Result<Channel, (String, bool)> {
        let connect = self.channel.get_or_try_init(|| async {
            let endpoint = Endpoint::from_shared(format!("http://{}", self.address))?
                .connect_timeout(self.limit)
                .tcp_nodelay(true)
                .http2_keep_alive_interval(KEEP_ALIVE_EVERY)
                .keep_alive_timeout(KEEP_ALIVE_WAIT)
                .keep_alive_while_idle(true);
            match &self.trust {
                Some(trust) => trust.channel(endpoint).await,
                None => endpoint.connect().await,
            }
        });
        match connect.await {
            Ok(channel) => Ok(channel.clone()),
            Err(error) => {
                let message = format!("{}: {}", self.address, wire::deepest(&error));
                Err((message, trust::is_final(&error)))
            }
        }
    }
}

/// What a router said last time it was asked, for those who asked meanwhile.
#[derive(Debug, Default)]
struct Asked {
    at: Option<Instant>,
    failed: Option<Error>,
}

/// All that a handle knows about servers; shared by its clones.
pub(crate) struct Route {
    routers: Vec<Arc<Peer>>,
    // The router that answered last.
    favourite: AtomicUsize,
    table: Mutex<Table<Arc<Peer>>>,
    asked: tokio::sync::Mutex<Asked>,
    background: Mutex<Option<JoinHandle<()>>>,
    try_limit: Duration,
    trust: Option<Trust>,
    // A router answered once: it speaks what we speak.
    met: AtomicBool,
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Route")
            .field("routers", &self.routers)
            .field("servers", &self.known())
            .finish_non_exhaustive()
    }
}

impl Route {
    pub(crate) fn new(options: &Options) -> Result<Arc<Self>> {
        let routers = options.checked_routers()?;
        let trust = options.trust()?;
        Ok(Arc::new(Self {
            routers: routers
                .into_iter()
                .map(|address| Peer::new(address, options.try_limit, trust.clone()))
                .collect(),
            favourite: AtomicUsize::new(0),
            table: Mutex::new(Table::default()),
            asked: tokio::sync::Mutex::default(),
            background: Mutex::new(None),
            try_limit: options.try_limit,
            trust,
            met: AtomicBool::new(false),
        }))
    }

    fn table<R>(&self, with: impl FnOnce(&mut Table<Arc<Peer>>) -> R) -> R {
        with(&mut self.table.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The addresses known, the favourite first.
    pub(crate) fn known(&self) -> Vec<String> {
        self.table(|table| table.addresses())
    }

    /// The router that answered last.
    pub(crate) fn favourite(&self) -> &str {
        &self.routers[self.favourite.load(Ordering::Relaxed)].address
    }

    /// The server to ask now: one that did not fail lately; else what a router names now; else,
    /// when no router knows better, the one that failed longest ago.
    pub(crate) async fn server(self: &Arc<Self>) -> Result<Arc<Peer>> {
        let now = Instant::now();
        if let Some(peer) = self.table(|table| table.pick(now)) {
            return Ok(peer);
        }
        let asked = self.ask_again(now).await;
        let now = Instant::now();
        match self.table(|table| table.pick(now).or_else(|| table.least_shunned())) {
            Some(peer) => Ok(peer),
            None => Err(asked
                .err()
                .unwrap_or_else(|| Error::new(Reason::NoServer, "the router named no server"))),
        }
    }

    /// Another server that did not fail lately, for a second question or the next try.
    pub(crate) fn spare(&self, but: &Peer) -> Option<Arc<Peer>> {
        self.table(|table| table.spare(Instant::now(), &but.address))
    }

    /// This server answered: it is the one to ask from now on.
    pub(crate) fn answered(&self, peer: &Peer) {
        self.table(|table| table.prefer(&peer.address));
    }

    /// This server failed: it is shunned for a while, and a router is asked for others meanwhile.
    pub(crate) fn failed(self: &Arc<Self>, peer: &Peer) {
        let now = Instant::now();
        self.table(|table| table.shun(&peer.address, now));
        let mut background = self
            .background
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if background.as_ref().is_none_or(JoinHandle::is_finished) {
            // Bounded by the time one try has; who needs the answer asks again and is told then.
            let route = Arc::clone(self);
            *background = Some(tokio::spawn(
                async move { drop(route.ask_again(now).await) },
            ));
        }
    }

    /// Has a router name a master and a slave, and connects to both. One question serves all who
    /// wanted an answer younger than `since`.
    pub(crate) async fn ask_again(self: &Arc<Self>, since: Instant) -> Result<()> {
        let mut asked = self.asked.lock().await;
        if asked.at.is_some_and(|at| at >= since) {
            return asked.failed.clone().map_or(Ok(()), Err);
        }
        let at = Instant::now();
        let answer = self
            .ask(|channel| {
                Box::pin(async move {
                    let mut router = RouterServiceClient::new(channel);
                    let answer = router.assign(v1::AssignRequest::default()).await?;
                    Ok(answer.into_inner())
                })
            })
            .await;
        asked.at = Some(at);
        match answer {
            Ok(answer) => {
                asked.failed = None;
                self.learn(answer);
                Ok(())
            }
            Err(ended) => {
                let error = error_of(ended);
                asked.failed = Some(error.clone());
                Err(error)
            }
        }
    }

    fn learn(self: &Arc<Self>, answer: v1::AssignResponse) {
        let servers = [answer.master, answer.slave].into_iter().flatten();
        let addresses: Vec<_> = servers
            .map(|server| server.address)
            .filter(|address| !address.is_empty())
            .collect();
        let now = Instant::now();
        let named = self.table(|table| {
            table.learn(&addresses, now, |address| {
                Peer::new(address.to_owned(), self.try_limit, self.trust.clone())
            })
        });
        for peer in named {
            if !peer.channel.initialized() {
                // Opened ahead, so that a failover costs no handshake. Ends by its own timeout.
                tokio::spawn(async move { drop(peer.channel().await) });
            }
        }
    }

    /// Puts a question to the routers: first to the one that answered last, to the others too when
    /// it is silent or fails. The first answer counts; without one, a refusal goes before silence.
    pub(crate) async fn ask<T>(
        &self,
        question: impl Fn(Channel) -> Boxed<Result<T, tonic::Status>> + Send + Sync,
    ) -> Result<T, Ended> {
        let first = self.favourite.load(Ordering::Relaxed);
        let count = self.routers.len();
        let mut waiting: FuturesUnordered<_> = (0..count)
            .map(|nth| {
                let index = (first + nth) % count;
                let router = &self.routers[index];
                let question = &question;
                let stagger = ROUTER_STAGGER * u32::try_from(nth).unwrap_or(u32::MAX);
                async move {
                    if nth > 0 {
                        tokio::time::sleep(stagger).await;
                    }
                    let answer = tokio::time::timeout(self.try_limit, async {
                        let channel = router.router().await?;
                        question(channel)
                            .await
                            .map_err(|status| wire::ended(&status))
                    });
                    let silent =
                        || Ended::Lost(format!("router {} does not answer", router.address));
                    (index, answer.await.unwrap_or_else(|_| Err(silent())))
                }
            })
            .collect();
        let mut failed = None;
        while let Some((index, answer)) = waiting.next().await {
            match answer {
                Ok(answer) => {
                    self.favourite.store(index, Ordering::Relaxed);
                    self.met.store(true, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(Ended::Refused(refusal)) => failed = Some(Ended::Refused(refusal)),
                Err(other) => failed = failed.or(Some(other)),
            }
        }
        let failed = failed.unwrap_or_else(|| Ended::NotSent("no router is known".to_owned()));
        Err(self.explained(failed).await)
    }

    /// The same, in better words if the routers speak TLS and we do not.
    async fn explained(&self, failed: Ended) -> Ended {
        let plain = self.trust.is_none() && !self.met.load(Ordering::Relaxed);
        if !plain || matches!(failed, Ended::Refused(_)) {
            return failed;
        }
        let address = &self.routers[self.favourite.load(Ordering::Relaxed)].address;
        if trust::speaks_tls(address).await {
            let why = format!("the router {address} speaks TLS: use https://{address}");
            return Ended::Refused(never(why));
        }
        failed
    }
}

/// What the caller has to correct: no other try will help.
fn never(message: String) -> Refusal {
    Refusal {
        code: code::INVALID_ARGUMENT,
        error: Error::new(Reason::Unspecified, message).into_invalid(),
        retry_after: None,
    }
}

/// The same in the words of an error.
pub(crate) fn error_of(ended: Ended) -> Error {
    match ended {
        Ended::Refused(Refusal { error, .. }) => error,
        Ended::NotSent(message) | Ended::Lost(message) => Error::new(Reason::NoServer, message),
    }
}

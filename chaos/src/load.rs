//! The load: clients that call, and clients that read a timeline, each with a connection of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sns_client::{Client, Options};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::failure::{Doing as _, Result};
use crate::history::{Call, Op, Outcome, Stream};
use crate::wire::Wires;

mod caller;
mod prober;
mod watcher;

use caller::{Caller, told};
use watcher::Watcher;

pub(crate) use prober::{PROBER, Prober};

/// The user whose one post ends every timeline; all watchers follow it.
pub(crate) const MARKER: &str = "marker";
/// Authors that a watcher follows besides the marker.
const WATCHED: u32 = 3;
/// For the end of a timeline to come.
const END_LIMIT: Duration = Duration::from_secs(60);

/// How much, and how.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) clients: u32,
    pub(crate) watchers: u32,
    /// Calls a second of all clients; 0 = as fast as they can.
    pub(crate) rate: u32,
    /// Routers: the real one, and the one that hands out proxies, if there is one.
    pub(crate) routers: Vec<String>,
}

/// What has happened so far, for whoever waits for it.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Writes that were acknowledged.
    pub(crate) acknowledged: AtomicU64,
    /// Calls that failed.
    pub(crate) failed: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}

/// Where a client finds out what it needs.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) wires: Wires,
    pub(crate) counters: Arc<Counters>,
    pub(crate) enough: CancellationToken,
}

impl Shared {
    /// The server that a client asks first, as the service knows it.
    fn server(&self, client: &Client) -> String {
        let first = client.addresses().into_iter().next().unwrap_or_default();
        self.wires.behind(&first)
    }

    /// The post that ends every timeline.
    async fn mark(&self, marker: &Client) -> Op {
        let (start, server) = (self.clock.now(), self.server(marker));
        let text = format!("the end {:016x}", rand::random::<u64>());
        let outcome = match marker.post(text.clone()).await {
            Ok(post) => Outcome::Ok { seq: post.id.get() },
            Err(error) => told(&error),
        };
        Op {
            client: u32::MAX,
            user: MARKER.to_owned(),
            call: Call::Post { text },
            start,
            end: self.clock.now(),
            server,
            outcome,
        }
    }
}

/// Running clients.
#[derive(Debug)]
pub(crate) struct Load {
    shared: Shared,
    marker: Client,
    callers: Vec<JoinHandle<Vec<Op>>>,
    watchers: Vec<(CancellationToken, JoinHandle<Stream>)>,
}

impl Load {
    /// Connects all and starts them.
    pub(crate) async fn start(plan: &Plan, shared: Shared) -> Result<Self> {
        let connect = |user: String, number: u32| {
            let router = &plan.routers[number as usize % plan.routers.len()];
            Client::connect(Options::new(user).routers([router.clone()]))
        };
        let marker = connect(MARKER.to_owned(), 0).await;
        let marker = marker.doing("log in")?;
        let mut clients = Vec::new();
        for number in 0..plan.clients {
            let client = connect(user(number), number).await;
            clients.push(client.doing(format_args!("log {} in", user(number)))?);
        }
        let mut watchers = Vec::new();
        for number in 0..plan.watchers {
            let name = format!("watcher{number}");
            let client = connect(name.clone(), number).await;
            let client = client.doing(format_args!("log {name} in"))?;
            let followees = (0..WATCHED.min(plan.clients))
                .map(|next| user((number * WATCHED + next) % plan.clients));
            let watched = followees.chain([MARKER.to_owned()]).collect();
            let halt = CancellationToken::new();
            let opened = Watcher::open(plan.clients + number, client, watched, shared.clone());
            let run = opened.await?.run(halt.clone());
            watchers.push((halt, tokio::spawn(run)));
        }
        let every = match plan.rate {
            0 => Duration::ZERO,
            rate => Duration::from_secs(1) * plan.clients / rate,
        };
        let callers = clients.into_iter().zip(0..);
        let callers = callers.map(|(client, number)| {
            let caller = Caller::new(plan, number, client, shared.clone());
            tokio::spawn(caller.run(every))
        });
        Ok(Self {
            callers: callers.collect(),
            shared,
            marker,
            watchers,
        })
    }

    /// Lets the calls under way end, posts the marker and waits until every timeline has come to
    /// it.
    pub(crate) async fn finish(self) -> Result<(Vec<Op>, Vec<Stream>)> {
        self.shared.enough.cancel();
        let mut ops = Vec::new();
        for caller in self.callers {
            ops.extend(caller.await.doing("run a client")?);
        }
        let marked = self.shared.mark(&self.marker).await;
        let nobody_took_it = !matches!(marked.outcome, Outcome::Ok { .. });
        ops.push(marked);
        let mut streams = Vec::new();
        let give_up = CancellationToken::new();
        if nobody_took_it {
            give_up.cancel();
        }
        let alarm = give_up.clone();
        let waiting = tokio::spawn(async move {
            tokio::time::sleep(END_LIMIT).await;
            alarm.cancel();
        });
        for (halt, mut watcher) in self.watchers {
            let stream = tokio::select! {
                stream = &mut watcher => stream,
                () = give_up.cancelled() => {
                    halt.cancel();
                    watcher.await
                }
            };
            streams.push(stream.doing("run a watcher")?);
        }
        waiting.abort();
        Ok((ops, streams))
    }
}

/// The name of a client.
pub(crate) fn user(number: u32) -> String {
    format!("u{number}")
}

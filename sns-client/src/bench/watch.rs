//! The `watch` mix: from the call of a post to its event at every open stream that has to get it.
//!
//! Streams share TCP connections, so that ten thousand fit into one process. A post carries the time
//! of its call in its text; whoever watches reads it there, so that nothing is looked up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _};
use hdrhistogram::Histogram;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use sns_load::{CallError, Connection, Graph, Latency, Op, Plan, Reply, TEXT_BYTES, Target};
use sns_proto::v1;
use sns_proto::v1::sns_service_client::SnsServiceClient;
use sns_proto::v1::timeline_request::Request as Down;
use sns_proto::v1::timeline_response::Response as Event;
use tokio::task::JoinSet;
use tonic::Streaming;
use tonic::transport::Channel;

use super::bar::Bar;
use super::report::{Measured, Watched};
use super::service::Ready;
use super::target::{Line, Servers, open, told};
use super::{Stop, failure};
use crate::output::Failure;

/// Streams of one TCP connection; a server takes twice as many.
const STREAMS: usize = 500;
/// Streams that are opened at the same time.
const AT_ONCE: usize = 128;
/// Connections that post.
const POSTERS: usize = 32;
/// How long events are waited for after the last one came.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause before a stream that failed is opened again.
const PAUSE: Duration = Duration::from_millis(100);
/// Histograms that streams share, so that they seldom wait for each other.
const SHARDS: usize = 8;

/// What all streams and posters share.
#[derive(Debug)]
struct Board {
    /// Of this run, so that posts of others do not count.
    tag: u64,
    start: Instant,
    /// When the first post was called.
    first: OnceLock<Instant>,
    warmup: Duration,
    /// Streams that have to get the posts of a user.
    watchers: BTreeMap<u32, u64>,
    expected: AtomicU64,
    came: AtomicU64,
    latency: [Mutex<Histogram<u64>>; SHARDS],
    failed: Mutex<BTreeMap<String, u64>>,
}

/// Opens the streams, posts, and waits for the events.
pub(super) async fn run(ready: &Ready, plan: &Plan, stop: &Stop) -> Result<Measured, Failure> {
    let graph = &ready.graph;
    let distinct = readers(graph, plan);
    let mut watchers = BTreeMap::new();
    let following = ready.following(&distinct).await?;
    let streams = || (0..distinct.len()).cycle().take(plan.connections);
    for author in streams().flat_map(|nth| &following[nth]) {
        *watchers.entry(*author).or_default() += 1;
    }
    let readers: Vec<u32> = streams().map(|nth| distinct[nth]).collect();
    let authors: Vec<u32> = watchers.keys().copied().collect();
    let mut rng = rand::rng();
    let board = Arc::new(Board {
        tag: rng.random(),
        start: Instant::now(),
        first: OnceLock::new(),
        warmup: plan.warmup,
        watchers,
        expected: AtomicU64::new(0),
        came: AtomicU64::new(0),
        latency: std::array::from_fn(|_| Mutex::new(histogram())),
        failed: Mutex::default(),
    });
    let servers = ready.target();
    let (streams, tcp_connections) = open_all(&readers, &servers, &board).await?;

    let bar = Bar::spinner();
    let posters = Arc::new(Posters {
        servers: Arc::clone(&servers),
        authors: authors.clone(),
        board: Arc::clone(&board),
    });
    let authors = Graph {
        name: graph.name.clone(),
        users: u32::try_from(authors.len()).unwrap_or(u32::MAX),
        names: Vec::new(),
        follows: Vec::new(),
    };
    let posts = Plan {
        connections: POSTERS,
        ..plan.clone()
    };
    let run = sns_load::run(posters, &authors, &posts, |at| {
        bar.running(plan.rate, at);
        stop.asked()
    });
    let report = Box::pin(run).await.map_err(failure)?;
    board.last_events().await;
    drop(streams);

    let (expected, came) = (board.expected(), board.came());
    let missing = expected.saturating_sub(came);
    let mut reasons = std::mem::take(&mut *locked(&board.failed));
    let failed: u64 = reasons.values().sum();
    for (why, count) in &report.errors_by_reason {
        *reasons.entry(why.clone()).or_default() += count;
    }
    if missing > 0 {
        reasons.insert("events that did not come".to_owned(), missing);
    }
    let summary = report.summary();
    Ok(Measured::Watch(Box::new(Watched {
        mix: "watch",
        graph: graph.name.clone(),
        users: graph.users,
        connections: readers.len(),
        tcp_connections,
        servers: ready.servers(),
        seed: plan.seed,
        rate: plan.rate,
        achieved: summary.achieved,
        duration_s: summary.duration_s,
        warmup_s: summary.warmup_s,
        posts: summary.answered,
        expected,
        came,
        missing,
        errors: report.errors + failed + missing,
        errors_by_reason: reasons,
        latency: Latency::of(&board.latency()),
        post_latency: summary.latency(),
    })))
}

/// Who may read a stream, as many as there are streams at most: users who follow somebody, in an
/// order of the seed's.
fn readers(graph: &Graph, plan: &Plan) -> Vec<u32> {
    let mut readers: Vec<u32> = graph.follows.iter().map(|follow| follow.0).collect();
    readers.dedup();
    readers.shuffle(&mut SmallRng::seed_from_u64(plan.seed));
    readers.truncate(plan.connections);
    readers
}

/// Opens all streams; each is read by a task of its own.
async fn open_all(
    readers: &[u32],
    servers: &Arc<Servers>,
    board: &Arc<Board>,
) -> Result<(JoinSet<()>, usize), Failure> {
    let refused = |CallError(why)| Failure::Unavailable(format!("cannot open a stream: {why}"));
    let connections = readers.len().div_ceil(STREAMS).max(servers.addresses.len());
    let mut channels = Vec::new();
    for address in servers.addresses.iter().cycle().take(connections) {
        channels.push(
            open(address, servers.trust.as_ref())
                .await
                .map_err(refused)?,
        );
    }
    let bar = Bar::of("opening streams", readers.len());
    let watchers = readers.iter().enumerate().map(|(nth, reader)| Watcher {
        nth,
        reader: *reader,
        client: channels[nth % channels.len()].clone(),
        servers: Arc::clone(servers),
        board: Arc::clone(board),
        seq: None,
    });
    let opening = futures_util::stream::iter(watchers).map(|mut watcher| {
        Box::pin(async move {
            let events = watcher.open().await?;
            Ok::<_, CallError>((watcher, events))
        })
    });
    let mut opening = opening.buffer_unordered(AT_ONCE);
    let mut streams = JoinSet::new();
    while let Some((watcher, events)) = opening.try_next().await.map_err(refused)? {
        streams.spawn(watcher.watch(events));
        bar.step();
    }
    Ok((streams, connections))
}

/// One stream.
struct Watcher {
    nth: usize,
    reader: u32,
    client: SnsServiceClient<Channel>,
    servers: Arc<Servers>,
    board: Arc<Board>,
    /// Up to which it is complete.
    seq: Option<u64>,
}

impl Watcher {
    /// Opens the stream and reads until it has caught up, at first; later where it was.
    async fn open(&mut self) -> Result<Streaming<v1::TimelineResponse>, CallError> {
        let open = v1::TimelineOpen {
            after_seq: self.seq,
            backlog: Some(0),
            exclude_own: true,
            ..v1::TimelineOpen::default()
        };
        let open = v1::TimelineRequest {
            request: Some(Down::Open(open)),
        };
        let request = tokio_stream::once(open);
        let request = self.servers.users.request(self.reader, request);
        let events = Box::pin(self.client.timeline(request)).await;
        let mut events = events.map_err(told)?.into_inner();
        while self.seq.is_none() {
            let event = events.message().await.map_err(told)?;
            let event = event.ok_or_else(|| CallError("a stream ended".to_owned()))?;
            if matches!(event.response, Some(Event::Heartbeat(_))) {
                self.seq = Some(event.seq);
            }
        }
        Ok(events)
    }

    /// Reads for ever; opens the stream again when it fails, so that nothing is missed.
    async fn watch(mut self, mut events: Streaming<v1::TimelineResponse>) {
        loop {
            let why = loop {
                match events.message().await {
                    Ok(Some(event)) => {
                        if let Some(Event::Post(post)) = &event.response {
                            self.board.arrived(self.nth, &post.text);
                        }
                        self.seq = self.seq.max(Some(event.seq));
                    }
                    Ok(None) => break CallError("a stream ended".to_owned()),
                    Err(status) => break told(status),
                }
            };
            self.board.failed(why);
            events = loop {
                tokio::time::sleep(PAUSE).await;
                match self.open().await {
                    Ok(events) => break events,
                    Err(why) => self.board.failed(why),
                }
            };
        }
    }
}

impl Board {
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Writes the tag and the time of the call into a text. Whether it counts: not in the warm-up.
    fn stamp(&self, text: &str) -> (String, bool) {
        let first = *self.first.get_or_init(Instant::now);
        let counts = first.elapsed() >= self.warmup;
        let (tag, now) = (self.tag, self.now());
        let mut stamped = format!("{tag:016x} {now:016x} {} ", u8::from(counts));
        let rest = TEXT_BYTES.saturating_sub(stamped.len()).min(text.len());
        stamped.push_str(text.get(..rest).unwrap_or_default());
        (stamped, counts)
    }

    /// A post came down a stream.
    fn arrived(&self, nth: usize, text: &str) {
        let now = self.now();
        let mut words = text.split(' ');
        let mut word = || u64::from_str_radix(words.next()?, 16).ok();
        if word() != Some(self.tag) {
            return;
        }
        let (Some(called), Some(1)) = (word(), word()) else {
            return;
        };
        self.came.fetch_add(1, Ordering::Relaxed);
        let _grown = locked(&self.latency[nth % SHARDS]).record(now.saturating_sub(called));
    }

    fn failed(&self, CallError(why): CallError) {
        *locked(&self.failed).entry(why).or_default() += 1;
    }

    fn expected(&self) -> u64 {
        self.expected.load(Ordering::Relaxed)
    }

    fn came(&self) -> u64 {
        self.came.load(Ordering::Relaxed)
    }

    /// Waits until all that is expected came, or nothing comes any more.
    async fn last_events(&self) {
        let (mut came, mut since) = (self.came(), Instant::now());
        while came < self.expected() && since.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if self.came() > came {
                (came, since) = (self.came(), Instant::now());
            }
        }
    }

    fn latency(&self) -> Histogram<u64> {
        let mut all = histogram();
        for shard in &self.latency {
            // Cannot fail: it grows.
            let _grown = all.add(&*locked(shard));
        }
        all
    }
}

/// Those who post: users whom somebody watches.
#[derive(Debug)]
struct Posters {
    servers: Arc<Servers>,
    authors: Vec<u32>,
    board: Arc<Board>,
}

struct Poster {
    line: Line,
    authors: Vec<u32>,
    board: Arc<Board>,
}

impl Target for Posters {
    type Connection = Poster;

    async fn connect(&self) -> Result<Poster, CallError> {
        Ok(Poster {
            line: self.servers.open().await?,
            authors: self.authors.clone(),
            board: Arc::clone(&self.board),
        })
    }
}

impl Connection for Poster {
    async fn call(&mut self, op: &Op) -> Result<Reply, CallError> {
        let Op::Post { user, text } = op else {
            return Err(CallError("watch only posts".to_owned()));
        };
        let author = self.authors[*user as usize];
        let (text, counts) = self.board.stamp(text);
        self.line.post(author, text).await?;
        if counts {
            let watchers = self.board.watchers.get(&author).copied();
            let board = &self.board.expected;
            board.fetch_add(watchers.unwrap_or(0), Ordering::Relaxed);
        }
        Ok(Reply::default())
    }

    fn broken(&self) -> bool {
        self.line.broken()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Of nanoseconds, three digits.
fn histogram() -> Histogram<u64> {
    #[expect(clippy::unwrap_used, reason = "a constant argument that is in range")]
    Histogram::new(3).unwrap()
}

//! [`JetStreamLog`]: the log of several machines, a stream of NATS JetStream.
//!
//! ```text
//! append --publish--> leader of the stream --ack: index--> at hand for the applier
//!                       |  replicas                          |
//!                       '--> other servers <--hint: index----'
//!                              read: direct get, many at once, from any replica
//! ```
//!
//! One entry is one message; the stream's sequence is its index. Order, replication and disks are
//! the servers' job. What is checked here: each message by the checksum inside it; after every
//! connection, that the stream is the log that it was and still holds the entry that was read
//! last; that its settings keep what is acknowledged. A stream that lost something is not followed
//! any further: every call says `Damaged`.
//!
//! An append is sent again until it is acknowledged or 4 s are over. Within the stream's window
//! (2 minutes) the same message is stored once, so copies have one effect; beyond it `request_id`
//! and `seen` see to that when a command is applied.
//!
//! The tail is what the leader of the stream says. A leader that was stopped, and goes on after
//! another one was elected, may answer from before for a moment, until it hears of the other one: a
//! linearizable read that asks just then may miss what was acknowledged meanwhile.

mod api;
mod connect;
mod durability;
mod envelope;
mod fetch;
mod follow;
mod identity;
mod lease;
mod objects;
mod options;
mod publish;
mod shared;
mod stream;

use std::sync::Arc;
use std::sync::mpsc as sync;
use std::time::{Duration, Instant};

use async_nats::jetstream;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::dir::Witness;
use super::{AppendPhase, AppendProgress, AskedTail, Error, Log, LogId, Record};
use crate::limits::ENTRY_BYTES;
pub(crate) use lease::Lease;
pub use options::{JetStreamOptions, Login, STREAM};
use shared::{Parts, Shared};
use stream::Refused;

/// How long one question of ours to the API may take.
const QUESTION: Duration = Duration::from_secs(3);
/// Between two attempts to open a stream that has no leader.
const RETRY: Duration = Duration::from_millis(200);

/// How long servers may take to say how they are set, after the first of them did.
const UNCLEAR: Duration = Duration::from_secs(10);
/// Who waits for one answer about the end of the log; a server lets fewer calls in.
const ASKS: usize = 65_536;

/// A handle of a log on NATS JetStream; cheap to clone.
#[derive(Clone, Debug)]
pub struct JetStreamLog(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Not waited for: this may be a thread of another runtime.
            runtime.shutdown_background();
        }
    }
}

impl JetStreamLog {
    /// Connects, finds the stream or makes it, and checks what it is worth. Blocks for
    /// [`patience`](JetStreamOptions::patience), about.
    ///
    /// # Errors
    /// [`Error::Refused`]: an option, the login, a server that is too old, a stream that is not a
    /// log or could lose what it acknowledged. [`Error::Unavailable`]: no server, or no leader.
    pub fn open(options: &JetStreamOptions) -> Result<Self, Error> {
        options.validate().map_err(Error::Refused)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("sns-nats")
            .enable_all()
            .build()
            .map_err(|source| Error::Io {
                doing: "starting a thread".into(),
                source,
            })?;
        let options = options.clone();
        let opened = block(&runtime, async move { Box::pin(open(options)).await });
        match opened {
            Ok(shared) => Ok(Self(Arc::new(Handle {
                shared,
                runtime: Some(runtime),
            }))),
            Err(error) => {
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    /// Compares entries that somebody holds to be durable with the stream.
    ///
    /// # Errors
    /// [`Error::Damaged`]: one is missing, or another one. As [`Log::read`].
    pub fn compare(&self, witnesses: &[Witness]) -> Result<(), Error> {
        let (head, mut tail) = (self.head()?, self.tail()?);
        for witness in witnesses.iter().filter(|it| it.log_id == self.id()) {
            let shared = &self.0.shared;
            if witness.index >= tail {
                // A leader that was just replaced may have answered.
                tail = self.wait(witness.index, super::WITNESS_PATIENCE)?;
            }
            if witness.index >= tail {
                let what = format!("it ends with entry {}", tail - 1);
                return Err(shared.damaged(witness.index, what, witness.name.clone()));
            }
            if witness.index < head {
                continue;
            }
            let records = self.read(witness.index, 1)?;
            if records.first().is_none_or(|it| it.crc != witness.crc) {
                let what = "it is another one than was durable".to_owned();
                return Err(shared.damaged(witness.index, what, witness.name.clone()));
            }
        }
        Ok(())
    }

    /// Appends entries that must come to stand at index `first` and behind it, for the copy of a log:
    /// all are on their way at once.
    ///
    /// # Errors
    /// [`Error::Unknown`]: some may be there, none of them twice or at another index; the tail tells.
    pub fn append_run(&self, first: u64, entries: Vec<Vec<u8>>) -> Result<(), Error> {
        let shared = Arc::clone(&self.0.shared);
        self.run(async move { shared.publish_run(first, &entries).await })
    }

    /// Runs something on the threads of the connection, and waits for it.
    fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        match &self.0.runtime {
            Some(runtime) => block(runtime, work),
            None => Err(Error::Unavailable("the log is closed".into())),
        }
    }
}

/// Does `work` and waits for it, on a thread of any kind.
fn block<T: Send + 'static>(
    runtime: &Runtime,
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    if tokio::runtime::Handle::try_current().is_err() {
        // Here, so that only the connection itself is on another thread.
        return runtime.block_on(work);
    }
    let (tell, told) = sync::sync_channel(1);
    runtime.spawn(async move {
        // Whoever waited is there until it is told.
        let _ = tell.send(work.await);
    });
    told.recv()
        .unwrap_or_else(|_| Err(Error::Unavailable("the log is closed".into())))
}

async fn open(options: JetStreamOptions) -> Result<Arc<Shared>, Error> {
    let begun = Instant::now();
    let (tell, connection) = watch::channel(connect::Connection::default());
    let client = connect::connect(&options, Arc::new(tell)).await?;
    let info = loop {
        match stream::open(&client, &options).await {
            Ok(info) => break info,
            Err(Refused::Invalid(why)) => return Err(Error::Refused(why)),
            Err(Refused::Passing(why)) if begun.elapsed() + RETRY >= options.patience => {
                return Err(Error::Unavailable(why));
            }
            Err(Refused::Passing(why)) => tracing::debug!(why, "waiting for the stream"),
        }
        sleep(RETRY).await;
    };
    let identity = stream::identity(&info).map_err(Error::Refused)?;
    if let Some(drift) = stream::drift(&info, identity.id) {
        return Err(Error::Refused(drift));
    }
    let replicas = info.config.num_replicas;
    if let Some(asked) = options.replicas.filter(|asked| *asked != replicas) {
        let name = &options.stream;
        return Err(Error::Refused(format!(
            "the stream {name} has {replicas} replicas, not {asked}: \
             `nats stream edit {name} --replicas {asked}` changes that"
        )));
    }
    let mut durability = durability::Durability::ask(&client, &info).await;
    // Servers that were just started answer a little later.
    while durability.is_unclear && begun.elapsed() < options.patience.min(UNCLEAR) {
        sleep(RETRY).await;
        durability = durability::Durability::ask(&client, &info).await;
    }
    if let Some(weakness) = &durability.weakness {
        if durability.is_refused && !options.accept_weaker {
            return Err(Error::Refused(format!(
                "what the stream {} acknowledges could be lost: {weakness}; mend it, or accept it \
                 with --accept-weaker-durability",
                options.stream
            )));
        }
        tracing::warn!(weakness, "what NATS acknowledges may be lost");
    }
    let mut context = jetstream::new(client.clone());
    context.set_timeout(QUESTION);
    let handle = context.get_stream_no_info(&options.stream).await;
    let handle = handle.map_err(|e| Error::Refused(e.to_string()))?;
    let (asks, asked) = mpsc::channel(ASKS);
    let parts = Parts {
        id: identity.id,
        data_id: identity.data_id,
        options,
        client,
        context,
        stream: handle,
        durability,
        asks,
    };
    let shared = Arc::new(Shared::new(parts, &info));
    tokio::spawn(follow::follow(Arc::clone(&shared), connection));
    tokio::spawn(follow::answer(Arc::clone(&shared), asked));
    tokio::spawn(follow::watch_durability(Arc::clone(&shared)));
    Ok(shared)
}

impl Log for JetStreamLog {
    fn id(&self) -> LogId {
        self.0.shared.id
    }

    fn append(&self, payload: &[u8]) -> Result<u64, Error> {
        if payload.is_empty() || payload.len() > ENTRY_BYTES {
            return Err(Error::Invalid(format!(
                "an entry has 1 to {ENTRY_BYTES} bytes, not {}",
                payload.len()
            )));
        }
        let shared = Arc::clone(&self.0.shared);
        shared.phase(AppendPhase::WaitsForLock);
        let (header, message) = shared.seal(payload);
        let appended = self.run(async move { shared.publish(header, message).await });
        self.0.shared.phase(AppendPhase::Idle);
        appended
    }

    fn read(&self, from: u64, max_bytes: usize) -> Result<Vec<Record>, Error> {
        self.0.shared.check()?;
        let from = from.max(1);
        let head = self.0.shared.head();
        if from < head {
            return Err(Error::Trimmed { head });
        }
        if let Some(records) = self.0.shared.at_hand(from, max_bytes) {
            return Ok(records);
        }
        let shared = Arc::clone(&self.0.shared);
        let given = shared.given().filter(|it| it.0 + 1 == from).map(|it| it.1);
        let records = self.run(async move { shared.fetch_behind(from, given, max_bytes).await })?;
        self.0.shared.give(&records);
        Ok(records)
    }

    fn tail(&self) -> Result<u64, Error> {
        let shared = Arc::clone(&self.0.shared);
        self.run(async move { shared.fresh_tail().await })
    }

    fn ask_tail(&self, then: AskedTail) {
        use mpsc::error::TrySendError;
        let refused = |why: &str| Err(Error::Unavailable(why.into()));
        match self.0.shared.asks.try_send(then) {
            Ok(()) => {}
            Err(TrySendError::Full(then)) => then(refused("too many ask for its end")),
            Err(TrySendError::Closed(then)) => then(refused("it is closed")),
        }
    }

    fn known_tail(&self) -> Result<u64, Error> {
        self.0.shared.check()?;
        Ok(self.0.shared.durable() + 1)
    }

    fn views_are_witnesses(&self) -> bool {
        true
    }

    fn head(&self) -> Result<u64, Error> {
        self.tail()?;
        Ok(self.0.shared.head())
    }

    fn wait(&self, index: u64, timeout: Duration) -> Result<u64, Error> {
        self.0.shared.wait(index, timeout)
    }

    fn wake(&self) {
        self.0.shared.wake();
    }

    fn trim_to(&self, index: u64) -> Result<(), Error> {
        let tail = self.tail()?;
        if index >= tail {
            return Err(Error::Invalid(format!("entry {index} is not durable yet")));
        }
        if index < self.0.shared.head() {
            return Ok(());
        }
        let shared = Arc::clone(&self.0.shared);
        self.run(async move {
            let (client, stream) = (&shared.client, &shared.options.stream);
            let purged = api::purge_before(client, stream, index + 1, QUESTION).await;
            purged.map_err(|it| it.into_error("trimming the stream"))?;
            shared.fresh_tail().await.map(drop)
        })
    }

    fn size_bytes(&self) -> Result<u64, Error> {
        Ok(self.0.shared.bytes())
    }

    fn progress(&self) -> AppendProgress {
        self.0.shared.progress()
    }

    fn weakness(&self) -> Option<String> {
        self.0.shared.weakness()
    }

    fn close(&self) -> Result<(), Error> {
        Ok(())
    }
}

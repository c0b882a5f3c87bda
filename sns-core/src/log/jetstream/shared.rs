//! What the handle and its tasks know of the stream together.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::{Info, Stream};
use async_nats::{Client, connection};
use parking_lot::{Condvar, Mutex};
use tokio::sync::{mpsc, watch};

use super::durability::Durability;
use super::options::JetStreamOptions;
use super::{AppendPhase, AppendProgress, AskedTail, Error, LogId, Record, stream};

/// Bytes of entries that are kept at hand for the applier.
const RECENT_BYTES: usize = 16 * 1024 * 1024;
/// How long a stream may seem to have lost entries before that is held to be true: a leader that
/// was replaced may answer for a moment more.
const SUSPICION: Duration = Duration::from_secs(20);
/// A suspicion that nothing confirmed for so long begins anew.
const SUSPICION_GAP: Duration = Duration::from_secs(3);

/// See the module.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) id: LogId,
    pub(super) data_id: String,
    pub(super) options: JetStreamOptions,
    /// Copies of the stream.
    pub(super) replicas: usize,
    pub(super) client: Client,
    pub(super) context: Context,
    pub(super) stream: Stream<()>,
    /// Where entries are published: the log's id is in it, so that none can land in another log.
    pub(super) subject: String,
    /// Where writers tell how far the log is.
    pub(super) hints: String,
    pub(super) durability: Mutex<Durability>,
    state: Mutex<State>,
    changed: Condvar,
    /// Whether the connection stands and its stream was compared; who appends waits for it.
    pub(super) verified: watch::Sender<bool>,
    pub(super) connected: AtomicBool,
    pub(super) asks: mpsc::Sender<AskedTail>,
}

#[derive(Debug)]
struct State {
    /// The last index known to be durable.
    durable: u64,
    /// The first index that is there, as it was seen last.
    head: u64,
    /// Bytes of the stream, as they were seen last.
    bytes: u64,
    /// Entries that stand in a row.
    recent: VecDeque<Record>,
    recent_bytes: usize,
    /// The last entry that was given out.
    given: Option<(u64, u32)>,
    /// The highest index for which somebody waits.
    wanted: u64,
    wakes: u64,
    progress: AppendProgress,
    damage: Option<Damage>,
    suspicion: Option<Suspicion>,
    /// Since when there is no connection, and how its configuration falls short.
    lost_since: Option<Instant>,
    drift: Option<String>,
}

/// The stream seems to have lost something.
#[derive(Clone, Copy, Debug)]
struct Suspicion {
    /// The first index that is missing.
    index: u64,
    since: Instant,
    /// It must be seen all the time: one stale answer now and another one later prove nothing.
    seen: Instant,
}

/// What ends this log for this process.
#[derive(Clone, Debug)]
struct Damage {
    place: String,
    index: u64,
    what: String,
    witness: String,
}

impl From<Damage> for Error {
    fn from(damage: Damage) -> Self {
        Self::Damaged {
            place: damage.place,
            index: damage.index,
            what: damage.what,
            witness: damage.witness,
        }
    }
}

/// What a [`Shared`] is made of.
pub(super) struct Parts {
    pub(super) id: LogId,
    pub(super) data_id: String,
    pub(super) options: JetStreamOptions,
    pub(super) client: Client,
    pub(super) context: Context,
    pub(super) stream: Stream<()>,
    pub(super) durability: Durability,
    pub(super) asks: mpsc::Sender<AskedTail>,
}

impl Shared {
    pub(super) fn new(parts: Parts, info: &Info) -> Self {
        let (head, last) = stream::bounds(info);
        let connected = parts.client.connection_state() == connection::State::Connected;
        Self {
            id: parts.id,
            data_id: parts.data_id,
            subject: stream::subject(parts.id),
            hints: format!("sns.{}.tail", parts.id),
            options: parts.options,
            replicas: info.config.num_replicas,
            client: parts.client,
            context: parts.context,
            stream: parts.stream,
            durability: Mutex::new(parts.durability),
            state: Mutex::new(State {
                durable: last,
                head,
                bytes: info.state.bytes,
                recent: VecDeque::new(),
                recent_bytes: 0,
                given: None,
                wanted: 0,
                wakes: 0,
                progress: AppendProgress {
                    phase: AppendPhase::Idle,
                    since: Instant::now(),
                    finished: 0,
                    last_sync: None,
                },
                damage: None,
                suspicion: None,
                lost_since: None,
                drift: None,
            }),
            changed: Condvar::new(),
            verified: watch::Sender::new(connected),
            connected: AtomicBool::new(connected),
            asks: parts.asks,
        }
    }

    /// The last index known to be durable.
    pub(super) fn durable(&self) -> u64 {
        self.state.lock().durable
    }

    /// The first index, as it was seen last.
    pub(super) fn head(&self) -> u64 {
        self.state.lock().head
    }

    /// Bytes of the stream, as they were seen last.
    pub(super) fn bytes(&self) -> u64 {
        self.state.lock().bytes
    }

    /// The last entry that was given out.
    pub(super) fn given(&self) -> Option<(u64, u32)> {
        self.state.lock().given
    }

    /// Nothing is read from, or written to, a log that lost something.
    pub(super) fn check(&self) -> Result<(), Error> {
        match &self.state.lock().damage {
            None => Ok(()),
            Some(damage) => Err(damage.clone().into()),
        }
    }

    /// Takes in how the stream stands, by its leader; its head and its last index. `known`: what was
    /// known to be durable when the leader was asked.
    ///
    /// # Errors
    /// `Unavailable`: it ends before what was durable, which a leader that was just replaced may
    /// say too. `Damaged`: it goes on saying so.
    pub(super) fn learn(&self, info: &Info, known: u64) -> Result<(u64, u64), Error> {
        let (head, last) = stream::bounds(info);
        self.check()?;
        if last < known {
            let what = format!("it ends with entry {last}, and entry {known} was durable");
            return Err(self.suspect(last + 1, what));
        }
        let mut state = self.state.lock();
        if state.suspicion.is_some_and(|it| it.index > known) {
            state.suspicion = None;
        }
        state.head = state.head.max(head);
        state.bytes = info.state.bytes;
        self.move_to(&mut state, last);
        Ok((head, last))
    }

    /// The stream seems to have lost entries from `index` on: an error that may pass, until it has
    /// not for long enough.
    pub(super) fn suspect(&self, index: u64, what: String) -> Error {
        let now = Instant::now();
        let fresh = Suspicion {
            index,
            since: now,
            seen: now,
        };
        let mut state = self.state.lock();
        let goes_on = |it: &Suspicion| now.saturating_duration_since(it.seen) < SUSPICION_GAP;
        let mut suspicion = state.suspicion.filter(goes_on).unwrap_or(fresh);
        suspicion.seen = now;
        state.suspicion = Some(suspicion);
        drop(state);
        if now.saturating_duration_since(suspicion.since) >= SUSPICION {
            return self.damage(index, what, "what this server was told or read".into());
        }
        let stream = &self.options.stream;
        Error::Unavailable(format!("the stream {stream}: {what}; asking again"))
    }

    /// Entries up to `index` are durable: somebody who must know says so.
    pub(super) fn reach(&self, index: u64) {
        self.move_to(&mut self.state.lock(), index);
    }

    fn move_to(&self, state: &mut State, index: u64) {
        if index > state.durable {
            state.durable = index;
            self.changed.notify_all();
        }
    }

    /// Takes in an entry that is durable, at hand for whoever reads it next.
    ///
    /// # Errors
    /// `Damaged`: another entry stood at its index.
    pub(super) fn take(&self, record: Record) -> Result<(), Error> {
        let mut state = self.state.lock();
        let index = record.index;
        let first = state.recent.front().map(|it| it.index);
        let next = state.recent.back().map(|it| it.index + 1);
        match (first, next) {
            (Some(first), Some(next)) if index >= first && index < next => {
                let at = usize::try_from(index - first).unwrap_or(usize::MAX);
                if state.recent.get(at).is_some_and(|it| it.crc != record.crc) {
                    drop(state);
                    let what = "another entry stands at its index".to_owned();
                    return Err(self.damage(index, what, "this server read it before".into()));
                }
                return Ok(());
            }
            // An older one is not needed again.
            (Some(first), _) if index < first => return Ok(()),
            (_, Some(next)) if index > next => {
                state.recent.clear();
                state.recent_bytes = 0;
            }
            _ => {}
        }
        state.recent_bytes += record.payload.len();
        // Until the servers say it exactly.
        state.bytes += record.payload.len() as u64;
        state.recent.push_back(record);
        while state.recent_bytes > RECENT_BYTES && state.recent.len() > 1 {
            if let Some(old) = state.recent.pop_front() {
                state.recent_bytes -= old.payload.len();
            }
        }
        self.move_to(&mut state, index);
        Ok(())
    }

    /// Entries at hand from `from` on; `None`: they have to be fetched.
    pub(super) fn at_hand(&self, from: u64, max_bytes: usize) -> Option<Vec<Record>> {
        let mut state = self.state.lock();
        let first = state.recent.front()?.index;
        let at = usize::try_from(from.checked_sub(first)?).ok()?;
        let mut bytes = 0;
        let mut found: Vec<Record> = Vec::new();
        for record in state.recent.iter().skip(at) {
            bytes += record.payload.len();
            if bytes > max_bytes && !found.is_empty() {
                break;
            }
            found.push(record.clone());
        }
        state.given = Some(found.last().map(|it| (it.index, it.crc))?);
        Some(found)
    }

    /// Notes what was given out: a server that has an entry has it for good.
    pub(super) fn give(&self, records: &[Record]) {
        if let Some(last) = records.last() {
            let mut state = self.state.lock();
            state.given = Some((last.index, last.crc));
            if state.suspicion.is_some_and(|it| it.index <= last.index) {
                state.suspicion = None;
            }
            self.move_to(&mut state, last.index);
        }
    }

    /// Whether somebody waits for more than is known to be durable; what to fetch then, and the
    /// entry before it, if it is known.
    pub(super) fn wanted(&self) -> Option<(u64, Option<u32>)> {
        let state = self.state.lock();
        let last = state.recent.back().filter(|it| it.index == state.durable);
        let given = state.given.filter(|it| it.0 == state.durable);
        let before = last.map(|it| it.crc).or(given.map(|it| it.1));
        (state.wanted > state.durable && state.damage.is_none())
            .then_some((state.durable + 1, before))
    }

    /// Waits until entries beyond `index` are durable, or it is woken; the tail.
    pub(super) fn wait(&self, index: u64, timeout: Duration) -> Result<u64, Error> {
        let deadline = Instant::now() + timeout;
        let mut state = self.state.lock();
        let wakes = state.wakes;
        if state.durable < index && state.wanted < index {
            state.wanted = index;
        }
        while state.durable < index && state.wakes == wakes && state.damage.is_none() {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        match &state.damage {
            Some(damage) => Err(damage.clone().into()),
            None => Ok(state.durable + 1),
        }
    }

    /// Ends every wait.
    pub(super) fn wake(&self) {
        self.state.lock().wakes += 1;
        self.changed.notify_all();
    }

    /// The error for an entry that is not what was written.
    pub(super) fn damaged(&self, index: u64, what: String, witness: String) -> Error {
        Error::Damaged {
            place: format!("stream {}", self.options.stream),
            index,
            what,
            witness,
        }
    }

    /// From now on nothing is read or written any more.
    pub(super) fn damage(&self, index: u64, what: String, witness: String) -> Error {
        let mut state = self.state.lock();
        let damage = state.damage.get_or_insert_with(|| Damage {
            place: format!("stream {}", self.options.stream),
            index,
            what,
            witness,
        });
        let error: Error = damage.clone().into();
        tracing::error!(%error, "this stream is not followed any further");
        self.changed.notify_all();
        error
    }

    pub(super) fn progress(&self) -> AppendProgress {
        self.state.lock().progress
    }

    pub(super) fn phase(&self, phase: AppendPhase) {
        let mut state = self.state.lock();
        state.progress.phase = phase;
        state.progress.since = Instant::now();
        if phase == AppendPhase::Idle {
            state.progress.finished += 1;
        }
    }

    /// The connection came or went.
    pub(super) fn connection(&self, stands: bool) {
        self.connected.store(stands, Ordering::Release);
        let mut state = self.state.lock();
        if stands {
            state.lost_since = None;
        } else if state.lost_since.is_none() {
            tracing::warn!("the connection to NATS is lost");
            state.lost_since = Some(Instant::now());
        }
        // The servers behind the next one may say otherwise.
        state.suspicion = None;
        drop(state);
        // What it leads to has not been compared yet.
        self.verified.send_replace(false);
    }

    /// How the configuration falls short of what was asked for, if it does.
    pub(super) fn drift(&self, drift: Option<String>) {
        let mut state = self.state.lock();
        if state.drift != drift {
            if let Some(drift) = &drift {
                tracing::warn!(drift, "the stream was changed");
            }
            state.drift = drift;
        }
    }

    /// What weakens its promises now.
    pub(super) fn weakness(&self) -> Option<String> {
        let state = self.state.lock();
        if let Some(since) = state.lost_since {
            return Some(format!(
                "no connection to NATS for {} s: reads go on, writes wait",
                since.elapsed().as_secs()
            ));
        }
        if state.suspicion.is_some() {
            return Some("the stream seems to have lost entries that were durable".into());
        }
        if let Some(drift) = &state.drift {
            return Some(drift.clone());
        }
        drop(state);
        self.durability.lock().weakness.clone()
    }
}

//! The tasks behind a handle: they see what others append, compare the stream after each
//! connection, and ask for its end.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::stream::Info;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rand::RngExt as _;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::api::Refusal;
use super::connect::Connection;
use super::durability::Durability;
use super::shared::Shared;
use super::{AskedTail, Error, api, envelope, stream};

/// Between two looks of somebody who waits, when no hint comes; each pause is drawn. A hint is a
/// wake-up, a look is the guarantee.
const LOOK_MS: (u64, u64) = (30, 45);
/// Between two looks at the state of the stream.
const STATE_EVERY: Duration = Duration::from_secs(5);
/// Between two looks at the settings of the servers.
const DURABILITY_EVERY: Duration = Duration::from_secs(30);
/// Bytes that are fetched at once for somebody who waits.
const FETCH_BYTES: usize = 1024 * 1024;
/// How long one question may take.
const QUESTION: Duration = Duration::from_secs(1);
/// Between two questions as long as none is answered.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// How long the end of the stream is asked for.
const TAIL_LIMIT: Duration = Duration::from_secs(4);
/// Between two attempts.
const RETRY: Duration = Duration::from_millis(50);

/// Follows until the handle is dropped.
pub(super) async fn follow(shared: Arc<Shared>, mut connection: watch::Receiver<Connection>) {
    let mut hints = None;
    let mut state_due = Instant::now();
    loop {
        if hints.is_none() {
            hints = shared.client.subscribe(shared.hints.clone()).await.ok();
        }
        let pause = rand::rng().random_range(LOOK_MS.0..LOOK_MS.1);
        let look = Instant::now() + Duration::from_millis(pause);
        let mut looks = false;
        tokio::select! {
            // In this order: a connection first of all.
            biased;
            changed = connection.changed() => {
                if changed.is_err() {
                    return;
                }
                let stands = connection.borrow_and_update().stands;
                shared.connection(stands);
                state_due = Instant::now();
            }
            hint = next(&mut hints) => {
                if let Some(index) = hint {
                    shared.reach_hinted(index).await;
                }
            }
            () = sleep_until(look) => looks = true,
        }
        if !shared.connected.load(std::sync::atomic::Ordering::Acquire) {
            continue;
        }
        if !*shared.verified.borrow() || Instant::now() >= state_due {
            state_due = Instant::now() + shared.verify().await;
        }
        if looks
            && *shared.verified.borrow()
            && let Some((from, before)) = shared.wanted()
            && let Err(error) = shared.look(from, before).await
        {
            tracing::debug!(%error, "looking for new entries");
        }
    }
}

/// The index that the next hint tells; for ever when there is no subscription.
async fn next(hints: &mut Option<async_nats::Subscriber>) -> Option<u64> {
    let Some(subscriber) = hints else {
        return std::future::pending().await;
    };
    let Some(hint) = subscriber.next().await else {
        *hints = None;
        return None;
    };
    let index: [u8; 8] = hint.payload.as_ref().try_into().ok()?;
    Some(u64::from_le_bytes(index))
}

impl Shared {
    /// Fetches what is new from `from` on.
    async fn look(&self, from: u64, before: Option<u32>) -> Result<(), Error> {
        for record in self.fetch_behind(from, before, FETCH_BYTES).await? {
            self.take(record)?;
        }
        Ok(())
    }

    /// Takes in that somebody appended up to `index`: fetched first, for whoever waits for it.
    async fn reach_hinted(&self, index: u64) {
        if !*self.verified.borrow() {
            // Of which stream, is being found out.
            return;
        }
        let Some((from, before)) = self.wanted().filter(|it| it.0 <= index) else {
            // Nobody waits, or it is known.
            return self.reach(index);
        };
        if let Err(error) = self.look(from, before).await {
            tracing::debug!(%error, "fetching what a hint told of");
        }
        self.reach(index);
    }

    /// Compares the stream with what is known of it; how long that holds.
    async fn verify(&self) -> Duration {
        match self.compare().await {
            Ok(()) => {
                let is_new = |it: &mut bool| !std::mem::replace(it, true);
                if self.verified.send_if_modified(is_new) {
                    tracing::info!(
                        server = self.client.server_info().server_name,
                        tail = self.durable() + 1,
                        "connected to NATS"
                    );
                }
                STATE_EVERY
            }
            Err(error) => {
                tracing::debug!(%error, "the stream could not be compared");
                RETRY
            }
        }
    }

    async fn compare(&self) -> Result<(), Error> {
        self.check()?;
        let known = self.durable();
        let info = match self.info_soon().await {
            Ok(info) => info,
            Err(refusal) if refusal.is(ErrorCode::STREAM_NOT_FOUND) => {
                return Err(self.suspect(1, "it is gone".into()));
            }
            Err(refusal) => return Err(refusal.into_error("comparing the stream")),
        };
        match stream::identity(&info) {
            Ok(found) if found.id == self.id => {}
            Ok(found) => {
                let what = format!("it holds another log ({}, not {})", found.id, self.id);
                return Err(self.damage(1, what, "the metadata of the stream".into()));
            }
            Err(why) => return Err(self.damage(1, why, "the metadata of the stream".into())),
        }
        let (head, last) = stream::bounds(&info);
        if let Some((index, crc)) = self.given().filter(|it| (head..=last).contains(&it.0)) {
            self.compare_entry(index, crc).await?;
        }
        self.learn(&info, known)?;
        self.drift(stream::drift(&info, self.id));
        Ok(())
    }

    /// How the stream stands, by its leader. A question that came while there was none is answered by
    /// nobody, so it is put again and again: the next leader answers the first that reaches him.
    async fn info_soon(&self) -> Result<Info, Refusal> {
        let ask = || api::info(&self.client, &self.options.stream, QUESTION);
        let mut asked = FuturesUnordered::from_iter([ask()]);
        loop {
            tokio::select! {
                Some(answer) = asked.next() => return answer,
                () = sleep(ASK_AGAIN) => asked.push(ask()),
            }
        }
    }

    /// Whether the stream still has an entry that was read.
    async fn compare_entry(&self, index: u64, crc: u32) -> Result<(), Error> {
        let message = self.leaders_message(index).await?;
        let found = message.map(|it| envelope::open(self.id, index, &it));
        if let Some(Ok((_, record))) = &found {
            if record.crc == crc {
                return Ok(());
            }
            let what = "it is another one than before".to_owned();
            return Err(self.damage(index, what, "this server read it before".into()));
        }
        // The copy of the leader may be bad, or he was just replaced: another one's is as good.
        let others = self.fetch(index, 1).await?;
        match others.first() {
            Some(record) if record.crc == crc => Ok(()),
            Some(_) => {
                let what = "it is another one than before".to_owned();
                Err(self.damage(index, what, "this server read it before".into()))
            }
            None => Err(self.suspect(index, format!("entry {index} was read, and is missing"))),
        }
    }

    /// The end of the stream, by its leader, asked for until it is known.
    pub(super) async fn fresh_tail(&self) -> Result<u64, Error> {
        let deadline = Instant::now() + TAIL_LIMIT;
        loop {
            self.check()?;
            let error = if *self.verified.borrow() {
                let known = self.durable();
                let asked = self.info_soon().await;
                match asked.map(|info| self.learn(&info, known)) {
                    Ok(Ok((_, last))) => return Ok(last.max(self.durable()) + 1),
                    Ok(Err(error @ Error::Damaged { .. })) => return Err(error),
                    Ok(Err(error)) => error,
                    Err(refusal) => refusal.into_error("asking for the end of the stream"),
                }
            } else {
                Error::Unavailable("no connection to NATS, or its stream is being compared".into())
            };
            if Instant::now() + RETRY >= deadline {
                return Err(error);
            }
            sleep(RETRY).await;
        }
    }
}

/// Asks now and then, and after each connection, how the servers are set: one may have been
/// restarted with other settings, or be back that did not answer.
pub(super) async fn watch_durability(shared: Arc<Shared>) {
    let mut verified = shared.verified.subscribe();
    loop {
        tokio::select! {
            changed = verified.changed() => if changed.is_err() {
                return;
            },
            () = sleep(DURABILITY_EVERY) => {}
        }
        if !*verified.borrow_and_update() {
            continue;
        }
        let Ok(info) = api::info(&shared.client, &shared.options.stream, QUESTION).await else {
            continue;
        };
        let found = Durability::ask(&shared.client, &info).await;
        let mut known = shared.durability.lock();
        if *known != found {
            if let Some(weakness) = &found.weakness {
                tracing::warn!(weakness, "what NATS acknowledges may be lost");
            } else {
                tracing::info!("what NATS acknowledges is synced on several servers");
            }
            *known = found;
        }
    }
}

/// The same error for one more caller.
fn again(error: &Error) -> Error {
    match error {
        Error::Damaged {
            place,
            index,
            what,
            witness,
        } => Error::Damaged {
            place: place.clone(),
            index: *index,
            what: what.clone(),
            witness: witness.clone(),
        },
        other => Error::Unavailable(other.to_string()),
    }
}

/// Answers who asks for the end of the stream: one question for all who wait when it is sent.
pub(super) async fn answer(shared: Arc<Shared>, mut asks: mpsc::Receiver<AskedTail>) {
    let mut waiting = Vec::new();
    while asks.recv_many(&mut waiting, usize::MAX).await > 0 {
        let tail = shared.fresh_tail().await;
        for asked in waiting.drain(..) {
            asked(match &tail {
                Ok(tail) => Ok(*tail),
                Err(error) => Err(again(error)),
            });
        }
    }
}

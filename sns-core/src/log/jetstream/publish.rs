//! Appending: one message, sent again until its fate is known or the time is over.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::header::{NATS_EXPECTED_LAST_SEQUENCE, NATS_MESSAGE_ID};
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::publish::PublishAck;
use async_nats::{HeaderMap, HeaderValue, Request};
use bytes::Bytes;
use futures_util::future::join_all;
use rand::RngExt as _;
use tokio::time::{Instant, sleep, timeout_at};

use super::Error;
use super::api::{self, Refusal};
use super::envelope::{self, Header};
use super::shared::Shared;

/// How long an append may take: far below the stream's window for duplicates, within which the
/// same message is stored once.
const LIMIT: Duration = Duration::from_secs(4);
/// How long one attempt waits for its answer.
const ATTEMPT: Duration = Duration::from_secs(1);
/// Between two attempts; each pause is drawn.
const PAUSE: (u64, u64) = (20, 120);

impl Shared {
    /// The message of a new entry, and its id.
    pub(super) fn seal(&self, entry: &[u8]) -> (Header, Bytes) {
        let header = Header {
            id: rand::random(),
            durable: self.durable(),
        };
        (header, envelope::seal(self.id, header, entry))
    }

    /// Appends one entry; its index.
    pub(super) async fn publish(&self, header: Header, message: Bytes) -> Result<u64, Error> {
        let deadline = Instant::now() + LIMIT;
        let headers = headers(header.id);
        // Whether a copy may be on its way, or stored; and why there was no answer.
        let mut sent = false;
        let mut why = String::new();
        loop {
            self.check()?;
            if !self.ready(deadline).await {
                why = why_not(why, "no connection to NATS");
                break;
            }
            let limit = ATTEMPT.min(deadline.saturating_duration_since(Instant::now()));
            match self.attempt(headers.clone(), message.clone(), limit).await {
                Ok(ack) if ack.sequence <= header.durable => {
                    let what = "a new entry came to stand there".to_owned();
                    let witness = format!("entry {} was durable", header.durable);
                    return Err(self.damage(ack.sequence, what, witness));
                }
                Ok(ack) => {
                    self.take(envelope::sealed(ack.sequence, &message))?;
                    self.tell(ack.sequence).await;
                    return Ok(ack.sequence);
                }
                Err(refusal) => {
                    // An earlier copy is still being stored.
                    let again = refusal.is(ErrorCode::STREAM_DUPLICATE_MESSAGE_CONFLICT);
                    if !refusal.passes() && !again {
                        return Err(fate(sent, &refusal));
                    }
                    sent |= !refusal.nothing_stored();
                    why = refusal.to_string();
                }
            }
            let pause = Duration::from_millis(rand::rng().random_range(PAUSE.0..PAUSE.1));
            if Instant::now() + pause >= deadline {
                break;
            }
            sleep(pause).await;
        }
        Err(if sent {
            Error::Unknown(why)
        } else {
            Error::Unavailable(why)
        })
    }

    /// Appends entries that must come to stand at `first` and behind it: all are sent before the
    /// first answer, each on the condition that it follows the one before.
    ///
    /// # Errors
    /// Some may be in the log, none of them twice or at another index.
    pub(super) async fn publish_run(&self, first: u64, entries: &[Vec<u8>]) -> Result<(), Error> {
        self.check()?;
        if !self.ready(Instant::now() + LIMIT).await {
            return Err(Error::Unavailable("no connection to NATS".into()));
        }
        let attempts = (first..).zip(entries).map(|(index, entry)| {
            let id: [u8; 16] = rand::random();
            let header = Header {
                id,
                durable: first - 1,
            };
            let mut headers = headers(id);
            headers.insert(NATS_EXPECTED_LAST_SEQUENCE, HeaderValue::from(index - 1));
            self.attempt(headers, envelope::seal(self.id, header, entry), LIMIT)
        });
        // Polled in this order, so sent in this order.
        for (index, ack) in (first..).zip(join_all(attempts).await) {
            match ack {
                Ok(ack) if ack.sequence == index => self.reach(index),
                Ok(ack) => {
                    let what = format!("entry {index} came to stand at {}", ack.sequence);
                    return Err(Error::Unknown(what));
                }
                Err(refusal) => return Err(Error::Unknown(refusal.to_string())),
            }
        }
        Ok(())
    }

    /// Waits for a connection whose stream was compared; whether there is one.
    async fn ready(&self, deadline: Instant) -> bool {
        if self.connected.load(Ordering::Acquire) && *self.verified.borrow() {
            return true;
        }
        let mut verified = self.verified.subscribe();
        let ready = timeout_at(deadline, verified.wait_for(|it| *it)).await;
        matches!(ready, Ok(Ok(_)))
    }

    async fn attempt(
        &self,
        headers: HeaderMap,
        message: Bytes,
        limit: Duration,
    ) -> Result<PublishAck, Refusal> {
        let request = Request::new().headers(headers).payload(message);
        let answer = api::send(&self.client, self.subject.clone(), request, limit).await?;
        let ack: PublishAck = api::parse(&answer.payload)?;
        if ack.stream == self.options.stream {
            Ok(ack)
        } else {
            Err(Refusal::Nonsense(format!(
                "the stream {} took the entry",
                ack.stream
            )))
        }
    }

    /// Tells the others how far the log is; who misses it sees it a moment later.
    async fn tell(&self, index: u64) {
        let hint = Bytes::copy_from_slice(&index.to_le_bytes());
        let told = self.client.publish(self.hints.clone(), hint).await;
        if let Err(error) = told {
            tracing::debug!(%error, "the others were not told of an entry");
        }
    }
}

fn headers(id: [u8; 16]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let id = format!("{:032x}", u128::from_be_bytes(id));
    headers.insert(NATS_MESSAGE_ID, id.as_str());
    headers
}

fn why_not(before: String, now: &str) -> String {
    if before.is_empty() {
        now.to_owned()
    } else {
        before
    }
}

/// What became of an entry that was refused for good.
fn fate(sent: bool, refusal: &Refusal) -> Error {
    let why = refusal.to_string();
    if sent || !refusal.nothing_stored() {
        Error::Unknown(why)
    } else if refusal.is_full() {
        Error::Full(why)
    } else {
        Error::Unavailable(why)
    }
}

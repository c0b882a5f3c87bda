//! Entries by their index, many at once, from whichever server of the stream answers.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::StatusCode;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::time::{Instant, timeout, timeout_at};

use super::api::{self, Refusal};
use super::shared::Shared;
use super::{Error, Record, envelope, stream};
use crate::limits::ENTRY_BYTES;

/// Messages of one answer.
const MESSAGES: usize = 1_000;
/// How long the answer of any one server may take: it may have been stopped, and another one not.
const ANY: Duration = Duration::from_millis(250);
/// How long the leader may take.
const LIMIT: Duration = Duration::from_secs(2);
/// How long to wait for one that may not know of an entry yet.
const BEHIND: [u64; 3] = [1, 4, 15];

/// What one server has from an index on.
enum Found {
    /// Entries, the first one asked for at their head.
    Entries(Vec<Record>),
    /// Nothing at that index.
    Nothing,
}

impl Shared {
    /// As [`Shared::fetch`], but the entry before the first one must be the one with this checksum: a
    /// stream that lost entries and has others in their place is not read on.
    pub(super) async fn fetch_behind(
        &self,
        from: u64,
        before: Option<u32>,
        max_bytes: usize,
    ) -> Result<Vec<Record>, Error> {
        let before = before.filter(|_| from > self.head());
        let Some(crc) = before else {
            return self.fetch(from, max_bytes).await;
        };
        // One more, and the first of those asked for, whatever their size.
        let found = self.fetch(from - 1, max_bytes + 2 * ENTRY_BYTES).await;
        let mut records = match found {
            Ok(records) => records,
            // It was trimmed meanwhile.
            Err(Error::Trimmed { head }) if head <= from => {
                return self.fetch(from, max_bytes).await;
            }
            Err(error) => return Err(error),
        };
        match records.first() {
            Some(record) if record.crc != crc => {
                let what = "it is another one than before".to_owned();
                Err(self.damage(from - 1, what, "this server read it before".into()))
            }
            Some(_) => {
                records.remove(0);
                let mut bytes = 0;
                let fits = |it: &&Record| {
                    bytes += it.payload.len();
                    bytes <= max_bytes
                };
                let fit = records.iter().take_while(fits).count();
                records.truncate(fit.max(1));
                if records.is_empty() && from <= self.durable() {
                    // It is there, and something is wrong with it: that is told.
                    return self.fetch(from, max_bytes).await;
                }
                Ok(records)
            }
            None => Ok(records),
        }
    }

    /// Durable entries from `from` on, about `max_bytes` of them; none when there is none.
    pub(super) async fn fetch(&self, from: u64, max_bytes: usize) -> Result<Vec<Record>, Error> {
        let mut pauses = BEHIND.into_iter();
        loop {
            match self.ask_any(from, max_bytes).await {
                Ok(Found::Entries(records)) => return Ok(records),
                Ok(Found::Nothing) => {}
                Err(Trouble::Refusal(refusal)) if !refusal.passes() => {
                    return Err(refusal.into_error("reading entries"));
                }
                Err(Trouble::Refusal(refusal)) => {
                    // The same server might be asked again; the leader is not.
                    tracing::debug!(from, %refusal, "a server did not give entries");
                    return self.ask_leader(from).await;
                }
                Err(Trouble::Damaged(error)) => {
                    // One copy is bad; the leader's may be good.
                    tracing::error!(%error, "a server gave back a damaged entry");
                    return self.ask_leader(from).await;
                }
            }
            if from > self.durable() {
                // Not known to be there: whoever told of it is waited for no longer.
                return Ok(Vec::new());
            }
            match pauses.next() {
                Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                None => return self.ask_leader(from).await,
            }
        }
    }

    /// Asks whichever server of the stream takes the question; it may be behind the others.
    async fn ask_any(&self, from: u64, max_bytes: usize) -> Result<Found, Trouble> {
        let silent = |what: String| Trouble::Refusal(Refusal::Silence(what));
        let mut deadline = Instant::now() + ANY;
        let inbox = self.client.new_inbox();
        if !self.connected.load(Ordering::Acquire) {
            return Err(Trouble::Refusal(Refusal::NobodyThere));
        }
        // Also what is sent has an end: without a connection nobody takes it.
        let subscribed = timeout_at(deadline, self.client.subscribe(inbox.clone())).await;
        let subscribed = subscribed.map_err(|_| silent("no connection".into()))?;
        let mut answers = subscribed.map_err(|e| silent(e.to_string()))?;
        let question = serde_json::json!({
            "seq": from,
            "batch": MESSAGES,
            "max_bytes": max_bytes.max(1),
        });
        let subject = format!("$JS.API.DIRECT.GET.{}", self.options.stream);
        let question = question.to_string();
        let asked = self
            .client
            .publish_with_reply(subject, inbox, question.into());
        let asked = timeout_at(deadline, asked).await;
        let asked = asked.map_err(|_| silent("no connection".into()))?;
        asked.map_err(|e| silent(e.to_string()))?;
        let mut records: Vec<Record> = Vec::new();
        let mut bytes = 0;
        loop {
            let answer = match timeout_at(deadline, answers.next()).await {
                Ok(Some(answer)) => answer,
                // What came is good; the rest comes with the next question.
                _ if !records.is_empty() => return Ok(Found::Entries(records)),
                _ => return Err(silent("no entries in time".into())),
            };
            match answer.status {
                None | Some(StatusCode::OK) => {}
                Some(StatusCode::NO_RESPONDERS) => {
                    return Err(Trouble::Refusal(Refusal::NobodyThere));
                }
                // The end of the batch, or nothing at all.
                Some(_) if records.is_empty() => return Ok(Found::Nothing),
                Some(_) => return Ok(Found::Entries(records)),
            }
            let header = |name: &str| {
                let headers = answer.headers.as_ref()?;
                Some(headers.get(name)?.as_str().to_owned())
            };
            let index = header("Nats-Sequence").and_then(|text| text.parse::<u64>().ok());
            let Some(index) = index else {
                return Err(silent("an answer without an index".into()));
            };
            let next = from + records.len() as u64;
            if index != next {
                // A hole, or what was trimmed: the leader is asked about it.
                return Ok(if records.is_empty() {
                    Found::Nothing
                } else {
                    Found::Entries(records)
                });
            }
            let record = self.open(index, &answer.payload);
            match record {
                Ok(record) => {
                    bytes += record.payload.len();
                    if bytes > max_bytes && !records.is_empty() {
                        return Ok(Found::Entries(records));
                    }
                    records.push(record);
                    // It lives; the rest is on its way.
                    deadline = Instant::now() + LIMIT;
                    if header("Nats-Num-Pending").as_deref() == Some("0") {
                        return Ok(Found::Entries(records));
                    }
                }
                // Those before it come back without an error first.
                Err(_) if !records.is_empty() => return Ok(Found::Entries(records)),
                Err(error) => return Err(Trouble::Damaged(error)),
            }
        }
    }

    /// Asks the leader of the stream, whose word is final.
    async fn ask_leader(&self, from: u64) -> Result<Vec<Record>, Error> {
        let known = self.durable();
        let info = api::info(&self.client, &self.options.stream, LIMIT).await;
        let info = info.map_err(|it| it.into_error("asking for the state of the stream"))?;
        let (head, last) = self.learn(&info, known)?;
        if from < head {
            return Err(Error::Trimmed { head });
        }
        if from > last {
            return if from > self.durable() {
                Ok(Vec::new())
            } else {
                Err(Error::Unavailable(format!(
                    "the stream ends with entry {last} now, and entry {from} was durable: asking \
                     again"
                )))
            };
        }
        let message = self.leaders_message(from).await?;
        if let Some(message) = message {
            return Ok(vec![self.open(from, &message)?]);
        }
        // Trimmed between the two questions, or answered by one who was just replaced.
        let info = api::info(&self.client, &self.options.stream, LIMIT).await;
        let info = info.map_err(|it| it.into_error("asking for the state of the stream"))?;
        let (head, _) = stream::bounds(&info);
        if from < head {
            return Err(Error::Trimmed { head });
        }
        let what = format!("it has entries {head} to {last}, and entry {from} is missing");
        Err(self.suspect(from, what))
    }

    /// The message at an index as the leader has it.
    pub(super) async fn leaders_message(&self, index: u64) -> Result<Option<Bytes>, Error> {
        let asked = timeout(LIMIT, self.stream.get_raw_message(index)).await;
        let asked = asked.map_err(|_| {
            Error::Unavailable(format!("reading entry {index}: no answer from NATS"))
        })?;
        match asked {
            Ok(message) => Ok(Some(message.payload)),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(Error::Unavailable(format!(
                "reading entry {index}: {error}"
            ))),
        }
    }

    /// Checks a message.
    fn open(&self, index: u64, message: &[u8]) -> Result<Record, Error> {
        let opened = envelope::open(self.id, index, message);
        let (header, record) = opened
            .map_err(|what| self.damaged(index, what, "the stream gave it back".to_owned()))?;
        if header.durable >= index {
            let what = format!(
                "its writer knew entry {} to be durable: the stream lost entries before it",
                header.durable
            );
            return Err(self.damage(index, what, "the entry itself".to_owned()));
        }
        Ok(record)
    }
}

/// Why nothing came of asking one server.
enum Trouble {
    Refusal(Refusal),
    Damaged(Error),
}

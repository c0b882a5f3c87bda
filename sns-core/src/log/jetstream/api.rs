//! Questions to the JetStream API, and what their refusals mean.

use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{Config, Info};
use async_nats::{Client, Message, Request};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::Error;

/// What the servers answer when the name of a stream is taken by another configuration.
pub(super) const NAME_TAKEN: ErrorCode = ErrorCode(10058);
/// Codes with which a message is refused before anything is stored of it.
const NOT_STORED: &[u64] = &[
    // Resources of the account, of the server, of the stream.
    10002, 10023, 10047, 10122, // Too large.
    10054, 10097, // Not served here now.
    10008, 10009, 10118, 10194, // No JetStream for this account.
    10039, 10076, // Sealed.
    10109,
];
/// Those of them that say that there is no room.
const NO_ROOM: &[u64] = &[10002, 10023, 10047, 10122];
/// A limit of the stream itself, but also any failure to store: the text tells them apart.
const STORE_FAILED: u64 = 10077;

/// Why a question has no answer.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Nobody was there to take it.
    NobodyThere,
    /// No answer in time, or the connection broke: it may have been taken.
    Silence(String),
    /// Refused.
    Refused(async_nats::jetstream::Error),
    /// The answer, or the question, makes no sense.
    Nonsense(String),
}

impl Refusal {
    /// Whether the same question may be answered later.
    pub(super) fn passes(&self) -> bool {
        match self {
            Self::NobodyThere | Self::Silence(_) => true,
            // No room is told at once, and also as 503.
            Self::Refused(error) => error.code() == 503 && !self.is_full(),
            Self::Nonsense(_) => false,
        }
    }

    /// Whether the servers said that it is this.
    pub(super) fn is(&self, code: ErrorCode) -> bool {
        matches!(self, Self::Refused(error) if error.error_code() == code)
    }

    /// Whether a message that was refused like this is certainly not stored.
    pub(super) fn nothing_stored(&self) -> bool {
        match self {
            Self::NobodyThere => true,
            Self::Refused(error) => {
                NOT_STORED.contains(&error.error_code().0) || is_stream_limit(error)
            }
            Self::Silence(_) | Self::Nonsense(_) => false,
        }
    }

    /// Whether there is no room for more.
    pub(super) fn is_full(&self) -> bool {
        matches!(self, Self::Refused(error)
            if NO_ROOM.contains(&error.error_code().0) || is_stream_limit(error))
    }

    /// As an error of a question that changes nothing.
    pub(super) fn into_error(self, doing: &str) -> Error {
        Error::Unavailable(format!("{doing}: {self}"))
    }
}

fn is_stream_limit(error: &async_nats::jetstream::Error) -> bool {
    let text = error.to_string();
    error.error_code().0 == STORE_FAILED && text.contains("maximum") && text.contains("exceeded")
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NobodyThere => f.write_str(
                "no NATS server answers for the stream now (no leader, no JetStream, or no \
                 permission)",
            ),
            Self::Silence(why) => write!(f, "no answer from NATS: {why}"),
            Self::Refused(error) => write!(f, "NATS refused: {error}"),
            Self::Nonsense(why) => f.write_str(why),
        }
    }
}

/// Sends one message and waits for the answer.
pub(super) async fn send(
    client: &Client,
    subject: String,
    request: Request,
    limit: Duration,
) -> Result<Message, Refusal> {
    // Also what is sent has an end: without a connection nobody takes it.
    let request = request.timeout(Some(limit));
    let answer = timeout(limit, client.send_request(subject, request)).await;
    let answer = answer.map_err(|_| Refusal::Silence("no answer in time".into()))?;
    answer.map_err(|error| match error.kind() {
        RequestErrorKind::NoResponders => Refusal::NobodyThere,
        RequestErrorKind::TimedOut | RequestErrorKind::Other => {
            Refusal::Silence(format!("{error}"))
        }
        RequestErrorKind::InvalidSubject | RequestErrorKind::MaxPayloadExceeded => {
            Refusal::Nonsense(format!("{error}"))
        }
    })
}

/// What a JSON answer says.
pub(super) fn parse<T: DeserializeOwned>(answer: &[u8]) -> Result<T, Refusal> {
    let parsed: Response<T> = serde_json::from_slice(answer)
        .map_err(|e| Refusal::Nonsense(format!("the answer of NATS makes no sense: {e}")))?;
    match parsed {
        Response::Ok(answer) => Ok(answer),
        Response::Err { error } => Err(Refusal::Refused(error)),
    }
}

async fn ask<T: DeserializeOwned>(
    client: &Client,
    what: String,
    question: &impl Serialize,
    limit: Duration,
) -> Result<T, Refusal> {
    let question = serde_json::to_vec(question)
        .map_err(|e| Refusal::Nonsense(format!("a question to NATS: {e}")))?;
    let request = Request::new().payload(Bytes::from(question));
    let answer = send(client, format!("$JS.API.{what}"), request, limit).await?;
    parse(&answer.payload)
}

/// How the stream stands, by its leader.
pub(super) async fn info(client: &Client, stream: &str, limit: Duration) -> Result<Info, Refusal> {
    let nothing = serde_json::json!({});
    ask(client, format!("STREAM.INFO.{stream}"), &nothing, limit).await
}

/// Makes the stream.
pub(super) async fn create(
    client: &Client,
    config: &Config,
    limit: Duration,
) -> Result<Info, Refusal> {
    let what = format!("STREAM.CREATE.{}", config.name);
    ask(client, what, config, limit).await
}

/// Forgets all messages before `index`.
pub(super) async fn purge_before(
    client: &Client,
    stream: &str,
    index: u64,
    limit: Duration,
) -> Result<(), Refusal> {
    let what = format!("STREAM.PURGE.{stream}");
    let question = serde_json::json!({ "seq": index });
    let _: serde_json::Value = ask(client, what, &question, limit).await?;
    Ok(())
}

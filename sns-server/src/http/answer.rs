//! Answers: JSON, and refusals in the words of the command line, `{"error": {...}}`.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sns_core::limits::MESSAGE_BYTES;
use sns_proto::reason;
use tokio::time::timeout;
use tonic::{Code, Status};

use crate::service::status::{reason_name, retry_after};

/// A value as JSON; never kept by anybody on the way.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => with_json(StatusCode::OK, bytes),
            Err(error) => {
                tracing::error!(%error, "an answer is no JSON: report this");
                let failed = "this answer cannot be written down";
                Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", failed).into_response()
            }
        }
    }
}

fn with_json(status: StatusCode, mut bytes: Vec<u8>) -> Response {
    // So that a terminal shows the next prompt on a line of its own.
    bytes.push(b'\n');
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, bytes).into_response()
}

/// Why a call was refused.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    status: StatusCode,
    kind: &'static str,
    reason: Option<String>,
    message: String,
    retry_after_ms: Option<u32>,
}

#[derive(Serialize)]
struct ErrorShape<'a> {
    kind: &'a str,
    reason: Option<&'a str>,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u32>,
}

#[derive(Serialize)]
struct Outer<'a> {
    error: ErrorShape<'a>,
}

impl Refused {
    /// One that no service of ours makes: the request is none that HTTP may make here.
    pub(super) fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            reason: None,
            message: message.into(),
            retry_after_ms: None,
        }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", message)
    }

    /// As the body has it, and the data of an `error` event.
    pub(super) fn to_json(&self) -> Vec<u8> {
        let error = ErrorShape {
            kind: self.kind,
            reason: self.reason.as_deref(),
            message: &self.message,
            retry_after_ms: self.retry_after_ms,
        };
        // Strings and a number: this does not fail.
        serde_json::to_vec(&Outer { error }).unwrap_or_default()
    }
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        Self {
            status: http_status(status.code()),
            kind: reason::kind_of(status.code().into()),
            reason: reason_name(&status),
            message: status.message().to_owned(),
            retry_after_ms: retry_after(&status)
                .map(|wait| u32::try_from(wait.as_millis()).unwrap_or(u32::MAX)),
        }
    }
}

/// As `google.rpc.Code` names them for HTTP.
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument => StatusCode::BAD_REQUEST,
        Code::OutOfRange => StatusCode::PAYLOAD_TOO_LARGE,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = with_json(self.status, self.to_json());
        if let Some(ms) = self.retry_after_ms {
            // Whole seconds is all that the header can say; the body says it better.
            let seconds = HeaderValue::from(ms.div_ceil(1_000));
            response.headers_mut().insert(RETRY_AFTER, seconds);
        }
        response
    }
}

/// The value in a body.
pub(super) async fn body<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Refused> {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let kind = kind.and_then(|kind| kind.split(|byte| *byte == b';').next());
    // A form of another site cannot send this type without asking first.
    if !kind.is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(b"application/json")) {
        return Err(Refused::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "invalid",
            "send JSON, and say so: `Content-Type: application/json`",
        ));
    }
    let bytes = timeout(BODY_WAIT, whole(body))
        .await
        .map_err(|_| Refused::invalid(format!("the body did not come within {BODY_WAIT:?}")))??;
    serde_json::from_slice(&bytes)
        .map_err(|e| Refused::invalid(format!("the body is not what this call takes: {e}")))
}

/// How long a body may take to come.
const BODY_WAIT: Duration = Duration::from_secs(10);

/// Bytes of a body that is too long which are read all the same, and forgotten.
const PATIENCE_BYTES: usize = 16 * 1024 * 1024;

/// All of a body, if it is not too long. One that is gets read on for a while: who is answered and
/// cut off in the middle of sending may never see the answer.
async fn whole(body: Body) -> Result<Vec<u8>, Refused> {
    let mut pieces = body.into_data_stream();
    let (mut bytes, mut length) = (Vec::new(), 0);
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| Refused::invalid("the body did not come whole"))?;
        length += piece.len();
        if length <= MESSAGE_BYTES {
            bytes.extend_from_slice(&piece);
        } else if length > PATIENCE_BYTES {
            break;
        }
    }
    if length <= MESSAGE_BYTES {
        return Ok(bytes);
    }
    Err(Refused::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "invalid",
        format!("the body is too long: {MESSAGE_BYTES} bytes at most"),
    ))
}

/// The value in a query; a name that the call does not know is an error, never ignored.
pub(super) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Refused> {
    let query = axum::extract::Query::<T>::try_from_uri(uri);
    query.map(|query| query.0).map_err(|e| {
        let why = std::error::Error::source(&e).map_or(e.to_string(), ToString::to_string);
        Refused::invalid(format!("the query is not what this call takes: {why}"))
    })
}

pub(super) async fn no_such_place(uri: Uri) -> Refused {
    Refused::new(
        StatusCode::NOT_FOUND,
        "not_found",
        format!(
            "there is nothing at {}: see /api/v1/openapi.json",
            uri.path()
        ),
    )
}

pub(super) async fn no_such_method(uri: Uri) -> Refused {
    Refused::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "invalid",
        format!(
            "{} does not take this method: see /api/v1/openapi.json",
            uri.path()
        ),
    )
}

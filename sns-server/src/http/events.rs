//! The timeline as server-sent events: the same stream as TIMELINE mode, one way. `id` is the seq to
//! resume with, on any server.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::{self, StreamExt as _};
use serde::{Deserialize, Serialize};
use sns_proto::v1::timeline_request::Request as Asked;
use sns_proto::v1::timeline_response::Response as Told;
use sns_proto::v1::{TimelineOpen, TimelineRequest, TimelineResponse};
use tokio::time::timeout;
use tonic::Status;

use super::Site;
use super::answer::{Refused, query};
use super::api::{Id, PostShape, metadata};

/// How long the first event is waited for before the stream begins without it.
const REFUSAL_WAIT: Duration = Duration::from_millis(250);

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Open {
    after_seq: Option<u64>,
    backlog: Option<u32>,
    since_follow: bool,
    exclude_own: bool,
}

/// Opens the stream; what it refuses before its first event is a refused call.
pub(super) async fn timeline(
    State(site): State<Site>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let open: Open = query(&uri)?;
    let after = match headers.get("last-event-id") {
        // A stream that has had no event yet begins anew.
        Some(id) if id.is_empty() => open.after_seq,
        Some(id) => {
            let id = id.to_str().ok().and_then(|id| id.parse().ok());
            Some(id.ok_or_else(|| Refused::invalid("Last-Event-ID is no id of ours"))?)
        }
        None => open.after_seq,
    };
    let open = TimelineRequest {
        request: Some(Asked::Open(TimelineOpen {
            after_seq: after,
            backlog: open.backlog,
            since_follow: open.since_follow,
            exclude_own: open.exclude_own,
        })),
    };
    // Nothing is posted this way: the rest of what it asks is silence.
    let asked = Box::pin(stream::iter([Ok(open)]).chain(stream::pending()));
    let mut told = site.api().open_timeline(&metadata(&headers), asked)?;
    // What takes longer is told on the stream: the browser learns at least that somebody is here.
    let first = match timeout(REFUSAL_WAIT, told.next()).await {
        Ok(Some(first)) => event(Ok(first?)),
        Ok(None) => return Err(Status::unavailable("the stream ended at once").into()),
        Err(_) => Bytes::from_static(b": wait\n\n"),
    };
    let events = stream::iter([first])
        .chain(told.map(event))
        .map(Ok::<_, Infallible>);
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, Body::from_stream(events)).into_response())
}

#[derive(Serialize)]
struct Deleted {
    id: Id,
}

#[derive(Serialize)]
struct Heartbeat {
    seq: Id,
}

/// One event; JSON has no line breaks, so its data is one line.
fn event(told: Result<TimelineResponse, Status>) -> Bytes {
    let TimelineResponse { seq, response } = match told {
        Ok(told) => told,
        Err(status) => {
            let mut text = b"event: error\ndata: ".to_vec();
            text.extend(Refused::from(status).to_json());
            text.extend(b"\n\n");
            return text.into();
        }
    };
    let (name, data) = match response {
        Some(Told::Post(post)) => ("post", serde_json::to_string(&PostShape::from(post))),
        Some(Told::Deleted(gone)) => {
            let id = Id(gone.id);
            ("deleted", serde_json::to_string(&Deleted { id }))
        }
        // Answers to posts do not come: none are made on this stream.
        _ => {
            let seq = Id(seq);
            ("heartbeat", serde_json::to_string(&Heartbeat { seq }))
        }
    };
    // Strings and numbers: this does not fail.
    let data = data.unwrap_or_default();
    format!("id: {seq}\nevent: {name}\ndata: {data}\n\n").into()
}

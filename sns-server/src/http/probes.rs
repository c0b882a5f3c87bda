//! `/livez`, `/readyz`, `/metrics`: for whoever runs the servers.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use sns_proto::v1::ServerState;

use super::Site;
use super::answer::Refused;
use crate::args::AuthMode;
use crate::metrics;
use crate::status_cmd;
use crate::telemetry::escaped;

/// The process answers; whether it gets on is its partner's to judge.
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// Whether it takes calls; else 503, and why.
pub(super) async fn ready(State(site): State<Site>) -> impl IntoResponse {
    let server = site.0.parts.probe.server();
    if server.state() == ServerState::Serving {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    let (state, mut why) = (status_cmd::state(server.state()), escaped(&server.reason));
    // The probe asks without a token; why it is so stands in the log.
    if site.api().policy().auth == AuthMode::Accounts {
        why.clear();
    }
    let colon = if why.is_empty() { "" } else { ": " };
    let text = format!("{state}{colon}{why}\n");
    (StatusCode::SERVICE_UNAVAILABLE, text)
}

pub(super) async fn metrics(
    State(site): State<Site>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    site.admit(&headers).await?;
    let text = site.0.parts.metrics.render(&site.standing());
    let kind = HeaderValue::from_static(metrics::CONTENT_TYPE);
    Ok(([(CONTENT_TYPE, kind)], text).into_response())
}

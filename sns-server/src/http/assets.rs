//! The pages, embedded in the program as they lie in `sns-server/web/`.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::Site;
use super::answer::Refused;

/// Name and content of every file, and the pages' own list: `build.rs` writes it.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

pub(super) async fn feed(State(site): State<Site>) -> Result<Response, Refused> {
    page(site, "index.html").await
}

pub(super) async fn ops(State(site): State<Site>) -> Result<Response, Refused> {
    page(site, "ops.html").await
}

pub(super) async fn icon() -> Result<Response, Refused> {
    found("icon.svg")
}

pub(super) async fn openapi() -> Result<Response, Refused> {
    found("openapi.json")
}

/// `/web/<file>`: all but the pages, which need their policy.
pub(super) async fn file(name: Result<Path<String>, PathRejection>) -> Result<Response, Refused> {
    let name = name.map(|name| name.0).unwrap_or_default();
    match kind(&name) {
        HTML => found(""),
        _ => found(&name),
    }
}

const HTML: &str = "text/html; charset=utf-8";

fn found(name: &str) -> Result<Response, Refused> {
    let file = FILES.iter().find(|(known, _)| *known == name);
    let (_, bytes) = file
        .ok_or_else(|| Refused::new(StatusCode::NOT_FOUND, "not_found", "there is no such file"))?;
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(kind(name))),
        // A new version of the program comes with new pages; asking again costs nothing here.
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    Ok((headers, *bytes).into_response())
}

fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, end)| end) {
        Some("html") => HTML,
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    }
}

/// A page with its policy: nothing runs in it that did not come from here, and it speaks to our
/// servers alone.
async fn page(site: Site, name: &str) -> Result<Response, Refused> {
    let mut response = found(name)?;
    let looks = site.clone();
    // The policy lasts as long as the page: it had better know all there are. Who was known before
    // is still known if the look fails.
    drop(tokio::task::spawn_blocking(move || looks.peers().look()).await);
    let servers = site.peers().origins().join(" ");
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src \
         'self' {servers}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'"
    );
    let headers = response.headers_mut();
    // Addresses of ours: always a header.
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), geolocation=(), microphone=()"),
    );
    Ok(response)
}

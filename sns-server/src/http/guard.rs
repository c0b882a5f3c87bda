//! Who may speak to a server that listens on this machine alone: every page that a browser shows
//! could, since browsers run here. So a request must be addressed to this machine by one of its
//! loopback names (else it may be another site's name that was made to point here), and a browser's
//! must come from a page of our own servers.

use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HOST, ORIGIN, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use tonic::Status;

use super::Site;
use super::answer::Refused;
use crate::net::Peer;

/// Of the pages alone: a stranger's page may neither read nor even load what comes from here.
const SAME_SITE: (HeaderName, HeaderValue) = (
    HeaderName::from_static("cross-origin-resource-policy"),
    HeaderValue::from_static("same-site"),
);

/// Where somebody logs in: the calls that follow know no address.
const LOGIN: &str = "/api/v1/login";

pub(super) async fn guard(State(site): State<Site>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let Some(host) = host.filter(|host| is_loopback(host)) else {
        let why = "address this server by a name of this machine, as in 127.0.0.1 or localhost";
        return Refused::new(StatusCode::MISDIRECTED_REQUEST, "denied", why).into_response();
    };
    let (rates, peer) = (site.api().rates(), request.extensions().get::<Peer>());
    let logs_in = request.uri().path() == LOGIN && request.method() == Method::POST;
    let limited = rates
        .call(peer)
        .and_then(|()| if logs_in { rates.login(peer) } else { Ok(()) });
    let origin = headers.get(ORIGIN).cloned();
    let other = origin.filter(|origin| origin.as_bytes() != format!("http://{host}").as_bytes());
    let known = |origin: &HeaderValue| {
        let origin = origin.to_str().ok();
        origin.is_some_and(|origin| site.peers().has_origin(origin))
    };
    if other.as_ref().is_some_and(|origin| !known(origin)) {
        let why = "pages of other sites may not speak to this server";
        return Refused::new(StatusCode::FORBIDDEN, "denied", why).into_response();
    }
    let mut response = match (&other, limited) {
        // A browser asks first whether it may send what our pages send.
        (Some(_), _) if request.method() == Method::OPTIONS => preflight(),
        (_, Err(limited)) => Refused::from(Status::from(limited)).into_response(),
        (_, Ok(())) => next.run(request).await,
    };
    let headers = response.headers_mut();
    if let Some(origin) = other {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let exposed = HeaderValue::from_static("retry-after");
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    protect(headers);
    response
}

fn protect(headers: &mut HeaderMap) {
    headers.insert(VARY, HeaderValue::from_static("origin"));
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(X_CONTENT_TYPE_OPTIONS, nosniff);
    let none = HeaderValue::from_static("no-referrer");
    headers.insert(REFERRER_POLICY, none);
    let (name, value) = SAME_SITE;
    headers.insert(name, value);
}

fn preflight() -> Response {
    let mut headers = HeaderMap::new();
    let methods = HeaderValue::from_static("GET, POST, DELETE");
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    let allowed = HeaderValue::from_static("authorization, content-type, last-event-id");
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// Whether `host` names this machine, on whatever port: it may be reached through a tunnel.
fn is_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let name = authority.host();
    let name = name
        .strip_prefix('[')
        .map_or(name, |name| name.trim_end_matches(']'));
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse()
            .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_taken() {
        for (host, ours) in [
            ("127.0.0.1:7409", true),
            ("127.0.0.1", true),
            ("127.9.9.9:1", true),
            ("localhost:8080", true),
            ("LOCALHOST", true),
            ("[::1]:7409", true),
            ("evil.example:7409", false),
            ("127.0.0.1.evil.example", false),
            ("localhost.evil.example:80", false),
            ("10.0.0.1:7409", false),
            ("0.0.0.0:7409", false),
            ("", false),
            ("a b", false),
        ] {
            assert_eq!(is_loopback(host), ours, "{host}");
        }
    }
}

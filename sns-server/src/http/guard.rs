//! Who may speak to a server that listens on this machine alone: every page that a browser shows
//! could, since browsers run here. So a request must be addressed to this machine by one of its
//! loopback names (else it may be another site's name that was made to point here), and a browser's
//! must come from a page of our own servers.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HOST, ORIGIN, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, VARY, X_CONTENT_TYPE_OPTIONS,
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

/// Where a password is checked or set: the calls that follow know no address.
const LOGINS: [&str; 3] = ["/api/v1/login", "/api/v1/signup", "/api/v1/password"];

pub(super) async fn guard(State(site): State<Site>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let Some(host) = host.filter(|host| site.is_ours(host)) else {
        let why = "address this server by a name of this machine, as in 127.0.0.1 or localhost, or by \
                   one that is in its certificate";
        return Refused::new(StatusCode::MISDIRECTED_REQUEST, "denied", why).into_response();
    };
    let (rates, peer) = (site.api().rates(), request.extensions().get::<Peer>());
    let logs_in = LOGINS.contains(&request.uri().path()) && request.method() == Method::POST;
    let limited = rates
        .call(peer)
        .and_then(|()| if logs_in { rates.login(peer) } else { Ok(()) });
    let scheme = site.scheme();
    // A browser would keep it for all that listens on this name: not for that of every machine.
    let lasting = scheme == "https"
        && !host
            .parse()
            .is_ok_and(|it: Authority| is_loopback_name(it.host()));
    let origin = headers.get(ORIGIN).cloned();
    let other =
        origin.filter(|origin| origin.as_bytes() != format!("{scheme}://{host}").as_bytes());
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
    if lasting {
        let day = HeaderValue::from_static("max-age=86400");
        headers.insert(STRICT_TRANSPORT_SECURITY, day);
    }
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

impl Site {
    fn scheme(&self) -> &'static str {
        let tls = self.0.parts.tls.is_some();
        if tls { "https" } else { "http" }
    }

    /// Whether `host` names this machine, on whatever port: it may be reached through a tunnel. A
    /// name that strangers can make point here is none of ours, unless it is in our certificate.
    fn is_ours(&self, host: &str) -> bool {
        let parts = &self.0.parts;
        let Ok(authority) = host.parse::<Authority>() else {
            return false;
        };
        let name = authority.host();
        is_loopback_name(name)
            || parts.tls.as_ref().is_some_and(|tls| tls.is_for(name))
            || (parts.tls.is_none() && is_own_address(name, parts.address.ip(), parts.host))
    }
}

/// Whether `name` is a loopback name or address.
pub(super) fn is_loopback_name(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost") || ip(name).is_some_and(|ip| ip.is_loopback())
}

/// Without a certificate there are no names to go by. Nobody can make an address point elsewhere.
fn is_own_address(name: &str, listens: IpAddr, told: IpAddr) -> bool {
    ip(name).is_some_and(|ip| {
        !listens.is_loopback()
            && (ip == told || ip == listens || listens.is_unspecified())
            && !ip.is_unspecified()
    })
}

fn ip(name: &str) -> Option<IpAddr> {
    let bare = name.strip_prefix('[');
    bare.map_or(name, |name| name.trim_end_matches(']'))
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_taken() {
        for (host, ours) in [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("localhost", true),
            ("LOCALHOST", true),
            ("[::1]", true),
            ("evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("localhost.evil.example", false),
            ("10.0.0.1", false),
            ("0.0.0.0", false),
            ("", false),
        ] {
            assert_eq!(is_loopback_name(host), ours, "{host}");
        }
    }

    #[test]
    fn without_a_certificate_only_addresses_are_taken_off_loopback() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for (name, listens, ours) in [
            ("10.0.0.5", "10.0.0.5", true),
            ("10.0.0.6", "10.0.0.5", false),
            ("10.0.0.6", "0.0.0.0", true),
            ("0.0.0.0", "0.0.0.0", false),
            ("feed.example", "0.0.0.0", false),
            ("10.0.0.5", "127.0.0.1", false),
        ] {
            let taken = is_own_address(name, ip(listens), ip("127.0.0.1"));
            assert_eq!(taken, ours, "{name} {listens}");
        }
    }
}

//! Accounts over HTTP: the calls of `AuthService` as JSON.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use sns_proto::auth::v1::auth_service_server::AuthService as _;
use sns_proto::auth::v1::{
    ChangePasswordRequest, RevokeTokensRequest, Scope, Session, SignUpRequest, WhoAmIRequest,
};

use super::Site;
use super::answer::{Json, Refused, body};
use super::api::{Changed, Id, request};

type Answer<T> = Result<Json<T>, Refused>;

#[derive(Serialize)]
pub(super) struct SessionShape {
    token: String,
    username: String,
    scopes: Vec<String>,
    expires_at_ms: u64,
    seq: Id,
}

impl From<Session> for SessionShape {
    fn from(session: Session) -> Self {
        Self {
            scopes: names(session.scopes()),
            token: session.token,
            username: session.username,
            expires_at_ms: session.expires_at_ms,
            seq: Id(session.seq),
        }
    }
}

fn names(scopes: impl Iterator<Item = Scope>) -> Vec<String> {
    let name = |scope: Scope| {
        let full = scope.as_str_name();
        full.trim_start_matches("SCOPE_").to_ascii_lowercase()
    };
    scopes.map(name).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignUp {
    username: String,
    password: String,
    #[serde(default)]
    invitation: String,
}

pub(super) async fn sign_up(
    State(site): State<Site>,
    headers: HeaderMap,
    sent: Body,
) -> Answer<SessionShape> {
    let asked: SignUp = body(&headers, sent).await?;
    let asked = SignUpRequest {
        username: asked.username,
        password: asked.password,
        invitation: asked.invitation,
    };
    let session = site.api().auth().sign_up(request(&headers, asked)).await?;
    Ok(Json(session.into_inner().into()))
}

#[derive(Serialize)]
pub(super) struct Myself {
    username: String,
    scopes: Vec<String>,
    expires_at_ms: u64,
}

pub(super) async fn who_am_i(State(site): State<Site>, headers: HeaderMap) -> Answer<Myself> {
    let asked = request(&headers, WhoAmIRequest {});
    let answer = site.api().auth().who_am_i(asked).await?.into_inner();
    Ok(Json(Myself {
        scopes: names(answer.scopes()),
        username: answer.username,
        expires_at_ms: answer.expires_at_ms,
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Passwords {
    #[serde(default)]
    old_password: String,
    new_password: String,
}

pub(super) async fn change_password(
    State(site): State<Site>,
    headers: HeaderMap,
    sent: Body,
) -> Answer<SessionShape> {
    let asked: Passwords = body(&headers, sent).await?;
    let asked = ChangePasswordRequest {
        old_password: asked.old_password,
        new_password: asked.new_password,
    };
    let asked = request(&headers, asked);
    let session = site.api().auth().change_password(asked).await?;
    Ok(Json(session.into_inner().into()))
}

pub(super) async fn log_out_all(State(site): State<Site>, headers: HeaderMap) -> Answer<Changed> {
    let asked = request(&headers, RevokeTokensRequest {});
    let answer = site.api().auth().revoke_tokens(asked).await?;
    let seq = Id(answer.into_inner().seq);
    Ok(Json(Changed { seq }))
}

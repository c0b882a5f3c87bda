//! Accounts: names that belong to somebody, and tokens for them.
//!
//! ```no_run
//! # async fn example() -> sns_client::Result<()> {
//! use sns_client::{Client, Options, Scope, accounts};
//!
//! let options = Options::new("alice").routers(["127.0.0.1:7400"]);
//! let session = accounts::sign_up(options.clone(), "correct horse", None).await?;
//! let alice = Client::connect(options.clone().token(session.token)).await?;
//! alice.post("mine").await?;
//!
//! // For a program that only reads, for an hour.
//! let reader = accounts::log_in(options, "correct horse", &[Scope::Read], 3_600).await?;
//! # let _ = reader; Ok(()) }
//! ```

use std::fmt;

use sns_proto::auth::v1;

use crate::client::Client;
use crate::engine::Engine;
use crate::error::Result;
use crate::options::Options;
use crate::types::Seq;

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scope {
    /// Pages, streams, lists.
    Read,
    /// Posts, follows and their undoing.
    Post,
    /// The operations page and the metrics; the operator gives it.
    Admin,
}

impl Scope {
    /// In lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Post => "post",
            Self::Admin => "admin",
        }
    }

    fn to_wire(self) -> v1::Scope {
        match self {
            Self::Read => v1::Scope::Read,
            Self::Post => v1::Scope::Post,
            Self::Admin => v1::Scope::Admin,
        }
    }

    fn of_wire(scope: v1::Scope) -> Option<Self> {
        [Self::Read, Self::Post, Self::Admin]
            .into_iter()
            .find(|known| known.to_wire() == scope)
    }
}

/// A token and what it is good for. `Debug` does not show the token.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Session {
    /// For [`Options::token`](crate::Options::token).
    pub token: String,
    /// The name as it is kept.
    pub username: String,
    /// What it is good for.
    pub scopes: Vec<Scope>,
    /// Milliseconds since 1970.
    pub expires_at_ms: u64,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("username", &self.username)
            .field("scopes", &self.scopes)
            .field("expires_at_ms", &self.expires_at_ms)
            .finish_non_exhaustive()
    }
}

impl From<v1::Session> for Session {
    fn from(session: v1::Session) -> Self {
        Self {
            scopes: session.scopes().filter_map(Scope::of_wire).collect(),
            token: session.token,
            username: session.username,
            expires_at_ms: session.expires_at_ms,
        }
    }
}

/// Who a token says one is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// The name as it is kept.
    pub username: String,
    /// What the token is good for.
    pub scopes: Vec<Scope>,
    /// Milliseconds since 1970.
    pub expires_at_ms: u64,
}

impl From<v1::WhoAmIResponse> for Identity {
    fn from(answer: v1::WhoAmIResponse) -> Self {
        Self {
            scopes: answer.scopes().filter_map(Scope::of_wire).collect(),
            username: answer.username,
            expires_at_ms: answer.expires_at_ms,
        }
    }
}

/// Makes the name of `options` one's own, with this password; `invitation` where one is needed.
/// Safe to repeat.
///
/// # Errors
/// `Invalid`: the password has not 8 to 256 bytes, or is the name. `Conflict`: the name is taken.
/// `Denied`: an invitation is needed, or this one is not good.
pub async fn sign_up(
    options: Options,
    password: &str,
    invitation: Option<&str>,
) -> Result<Session> {
    let call = v1::SignUpRequest {
        username: options.user.clone(),
        password: password.to_owned(),
        invitation: invitation.unwrap_or_default().to_owned(),
    };
    Ok(Engine::new(options)?.ask(call).await?.into())
}

/// A token for the name of `options`: for `scopes` (none: read and post), for `ttl_seconds` (0: as
/// long as the server gives).
///
/// # Errors
/// `Denied`: there is no such name with such a password, or a scope that a login does not give.
pub async fn log_in(
    options: Options,
    password: &str,
    scopes: &[Scope],
    ttl_seconds: u32,
) -> Result<Session> {
    let call = v1::LogInRequest {
        username: options.user.clone(),
        password: password.to_owned(),
        scopes: scopes.iter().map(|scope| scope.to_wire().into()).collect(),
        ttl_seconds,
    };
    Ok(Engine::new(options)?.ask(call).await?.into())
}

impl Client {
    /// Who the token says one is, and for how long.
    ///
    /// # Errors
    /// `Denied`: the token is good no longer.
    pub async fn who_am_i(&self) -> Result<Identity> {
        Ok(self.engine.ask(v1::WhoAmIRequest {}).await?.into())
    }

    /// Another password; gives a new token, and makes all others void.
    ///
    /// # Errors
    /// `Denied`: the old password is not that one. `Invalid`: the new one is none.
    pub async fn change_password(&self, old: &str, new: &str) -> Result<Session> {
        let call = v1::ChangePasswordRequest {
            old_password: old.to_owned(),
            new_password: new.to_owned(),
        };
        let session = Session::from(self.engine.ask(call).await?);
        self.engine.keep(&session.token)?;
        Ok(session)
    }

    /// Makes every token of this user void, the one of this handle too; on each server once it has
    /// applied the seq that this gives.
    ///
    /// # Errors
    /// `Denied`: the token is void already.
    pub async fn revoke_tokens(&self) -> Result<Seq> {
        let seq = self.engine.ask(v1::RevokeTokensRequest {}).await?.seq;
        Ok(Seq::from(seq))
    }
}

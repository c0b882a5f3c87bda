//! `token`, `invite`: what only who may read the data directory can make.

use std::time::Duration;

use serde_json::json;
use sns_core::{Clock, Seq};

use crate::config::TokenConfig;
use crate::failure::Result;
use crate::output;
use crate::token::{Caller, Origin, TokenKey};

/// Prints a token; with `json` as an object with `token`, `username`, `scopes`, `expires_at_ms`.
///
/// # Errors
/// The data directory is not there, or its key cannot be read.
pub fn run(config: &TokenConfig, json: bool) -> Result<()> {
    let data = config.data.existing()?;
    let key = TokenKey::new(data.secret()?, data.data_id());
    let issued_ms = Clock::system().now_ms();
    let ttl = Duration::from_secs(u64::from(config.hours) * 3_600);
    let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
    let caller = Caller {
        user: config.user,
        // Whether there is such a user is for the server to say.
        since: Seq::ZERO,
        scopes: config.scopes,
        origin: Origin::Operator,
        issued_ms,
        expires_ms: issued_ms.saturating_add(ttl_ms),
    };
    let token = key.sign(&caller);
    if !json {
        return output::line(&token);
    }
    let scopes = config.scopes.to_string();
    let scopes: Vec<&str> = scopes.split(", ").collect();
    let object = json!({
        "token": token,
        "username": caller.user.as_str(),
        "scopes": scopes,
        "expires_at_ms": caller.expires_ms,
    });
    output::line(&object.to_string())
}

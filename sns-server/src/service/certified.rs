//! Calls that only servers and routers of ours may make.

use sns_proto::v1::ErrorReason;
use tonic::{Request, Status};

use super::status::status;
use crate::net::Peer;
use crate::telemetry::escaped;

/// Lets in who showed a certificate by our CA. `what` is asked for.
///
/// # Errors
/// `UNAUTHENTICATED`: nobody else: a false announcement would collect the tokens of users.
pub(super) fn check<T>(request: &Request<T>, what: &str) -> Result<(), Status> {
    let peer = request.extensions().get::<Peer>();
    if peer.is_some_and(|peer| peer.certified) {
        return Ok(());
    }
    let from = peer.map_or_else(|| "?".to_owned(), |peer| peer.address.to_string());
    let from = escaped(&from);
    tracing::warn!(from, "{what} without a certificate by our CA was refused");
    let why = format!("{what} needs a certificate by the CA of this service (--tls-ca)");
    Err(status(ErrorReason::TokenMissing, why))
}

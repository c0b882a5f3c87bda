//! The one place where an error becomes a gRPC status: the code of its reason, with
//! `google.rpc.ErrorInfo` (domain "sns"), and `google.rpc.RetryInfo` where the same call may help
//! later.

use std::collections::HashMap;
use std::time::Duration;

use sns_proto::auth::v1::AuthErrorReason;
use sns_proto::reason;
use sns_proto::v1::{ErrorReason, TimelineRefused};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Bytes of a message that travel: it is a header, and clients bound those.
const MESSAGE_BYTES: usize = 1_024;

/// The status of a refusal. `message` is for a human; it is cut at 1,024 bytes.
pub fn status(reason: ErrorReason, message: impl Into<String>) -> Status {
    let wait = reason::retry_after_ms(reason).map(|ms| Duration::from_millis(ms.into()));
    status_after(reason, message, wait)
}

/// As [`status`], where the same call may help after `wait`.
pub(crate) fn status_after(
    reason: ErrorReason,
    message: impl Into<String>,
    wait: Option<Duration>,
) -> Status {
    let (code, name) = (reason::code_of(reason), reason::name(reason));
    named(code, name, wait, message.into())
}

/// The status of a refusal by the accounts.
pub fn auth(reason: AuthErrorReason, message: impl Into<String>) -> Status {
    let code = reason::auth_code_of(reason);
    named(code, reason::auth_name(reason), None, message.into())
}

fn named(code: i32, name: &str, wait: Option<Duration>, mut message: String) -> Status {
    if message.len() > MESSAGE_BYTES {
        let end = (0..=MESSAGE_BYTES)
            .rev()
            .find(|at| message.is_char_boundary(*at))
            .unwrap_or(0);
        message.truncate(end);
    }
    let mut details =
        ErrorDetails::with_error_info(name, reason::DOMAIN, HashMap::<String, String>::new());
    if let Some(wait) = wait {
        details.set_retry_info(Some(wait));
    }
    Status::with_error_details(Code::from_i32(code), message, details)
}

/// The status of an error of the core. A bug of ours is logged here, once, with what is behind it;
/// all else is the caller's to handle.
#[allow(
    clippy::needless_pass_by_value,
    reason = "so that it can be handed to `map_err`"
)]
pub fn of(error: sns_core::Error) -> Status {
    match error.kind() {
        sns_core::ErrorKind::Internal => tracing::error!(?error, "a call failed: report this"),
        sns_core::ErrorKind::Damaged => tracing::error!(?error, "a call met damaged data"),
        _ => tracing::debug!(?error, "a call was refused"),
    }
    status(error.reason(), error.message())
}

/// The reason that a status carries; `None` for one of the transport, or of a newer version.
pub fn reason_of(status: &Status) -> Option<ErrorReason> {
    reason::from_name(&reason_name(status)?)
}

/// The name of the reason that a status carries, of the accounts too.
pub fn reason_name(status: &Status) -> Option<String> {
    let info = status.get_details_error_info()?;
    (info.domain == reason::DOMAIN).then_some(info.reason)
}

/// After how long the same call may help, as a status says it.
pub(crate) fn retry_after(status: &Status) -> Option<Duration> {
    status.get_details_retry_info()?.retry_delay
}

/// The answer of a stream to a post that `CreatePost` would have refused with `error`.
pub fn refused(request_id: String, error: &sns_core::Error) -> TimelineRefused {
    TimelineRefused {
        request_id,
        code: reason::code_of(error.reason()),
        reason: error.reason().into(),
        message: error.message().to_owned(),
        retry_after_ms: reason::retry_after_ms(error.reason()).unwrap_or(0),
    }
}

/// The answer of a stream to a post that a call would have been refused with this status.
pub fn refused_by(request_id: String, status: &Status) -> TimelineRefused {
    let named = reason_name(status).unwrap_or_default();
    TimelineRefused {
        request_id,
        code: status.code().into(),
        reason: reason::number_of(&named),
        message: status.message().to_owned(),
        retry_after_ms: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_carries_its_reason_and_when_to_retry() {
        let busy = status(ErrorReason::Overloaded, "the queue is full");
        assert_eq!(busy.code(), Code::ResourceExhausted);
        assert_eq!(reason_of(&busy), Some(ErrorReason::Overloaded));
        let retry = busy.get_details_retry_info().unwrap();
        assert_eq!(retry.retry_delay, Some(Duration::from_millis(100)));
        let info = busy.get_details_error_info().unwrap();
        assert_eq!((&*info.reason, &*info.domain), ("OVERLOADED", "sns"));
    }

    #[test]
    fn where_a_retry_does_not_help_none_is_suggested() {
        let full = status(ErrorReason::TooManyFollowees, "10,000 are the most");
        assert!(full.get_details_retry_info().is_none());
        let refused = of(sns_core::Error::new(ErrorReason::SelfFollow, "no"));
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.get_details_retry_info().is_none());
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let long = status(ErrorReason::Internal, "é".repeat(5_000) + "x");
        assert_eq!(long.message().len(), 1_024);
        let odd = status(ErrorReason::Internal, format!("x{}", "é".repeat(5_000)));
        assert_eq!(odd.message().len(), 1_023);
    }

    #[test]
    fn a_status_of_another_domain_has_no_reason_of_ours() {
        let details = ErrorDetails::with_error_info(
            "OVERLOADED",
            "elsewhere",
            HashMap::<String, String>::new(),
        );
        let foreign = Status::with_error_details(Code::Unavailable, "", details);
        assert_eq!(reason_of(&foreign), None);
        assert_eq!(reason_of(&Status::unavailable("")), None);
    }
}

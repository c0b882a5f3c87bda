//! From an [`ErrorReason`] to what the wire and the shell say: plain functions, one table.

use crate::auth::v1::AuthErrorReason;
use crate::v1::ErrorReason;

/// The domain of every `google.rpc.ErrorInfo` of ours.
pub const DOMAIN: &str = "sns";

/// Codes of `google.rpc.Code` that this system uses, as numbers: this crate does without tonic.
pub mod code {
    /// Correct the request.
    pub const INVALID_ARGUMENT: i32 = 3;
    /// A write may have happened.
    pub const DEADLINE_EXCEEDED: i32 = 4;
    /// There is no such thing.
    pub const NOT_FOUND: i32 = 5;
    /// It is so already.
    pub const ALREADY_EXISTS: i32 = 6;
    /// Not for you.
    pub const PERMISSION_DENIED: i32 = 7;
    /// Slow down.
    pub const RESOURCE_EXHAUSTED: i32 = 8;
    /// The transport's: a message over the bound.
    pub const OUT_OF_RANGE: i32 = 11;
    /// Report a bug.
    pub const INTERNAL: i32 = 13;
    /// Try another server.
    pub const UNAVAILABLE: i32 = 14;
    /// Call the operator.
    pub const DATA_LOSS: i32 = 15;
    /// Log in.
    pub const UNAUTHENTICATED: i32 = 16;
}

/// The name in `ErrorInfo.reason`: the enum's name without its prefix.
pub fn name(reason: ErrorReason) -> &'static str {
    let full = reason.as_str_name();
    full.strip_prefix("ERROR_REASON_").unwrap_or(full)
}

/// The reason of a name as [`name`] gives it; `None` for one that this version does not know.
pub fn from_name(name: &str) -> Option<ErrorReason> {
    ErrorReason::from_str_name(&format!("ERROR_REASON_{name}"))
}

/// The gRPC code of a reason, as `sns.proto` has it.
pub fn code_of(reason: ErrorReason) -> i32 {
    use ErrorReason as R;
    match reason {
        R::UsernameInvalid
        | R::TextInvalid
        | R::RequestIdInvalid
        | R::RequestIdReused
        | R::PageSizeInvalid
        | R::PageTokenInvalid
        | R::SeqUnknown
        | R::SelfFollow
        | R::FilterInvalid
        | R::StreamProtocol
        | R::PasswordUnsupported => code::INVALID_ARGUMENT,
        R::UserNotFound | R::PostNotFound | R::NotFollowing => code::NOT_FOUND,
        R::AlreadyFollowing => code::ALREADY_EXISTS,
        R::TokenMissing | R::TokenInvalid => code::UNAUTHENTICATED,
        R::DataMismatch => code::PERMISSION_DENIED,
        R::TooManyFollowees | R::Overloaded | R::DiskFull | R::RateLimited => {
            code::RESOURCE_EXHAUSTED
        }
        R::Starting | R::ShuttingDown | R::Lagging | R::LogUnavailable | R::NoServer => {
            code::UNAVAILABLE
        }
        R::OutcomeUnknown | R::RequestExpired => code::DEADLINE_EXCEEDED,
        R::Damaged => code::DATA_LOSS,
        R::Internal | R::Unspecified => code::INTERNAL,
    }
}

/// The name in `ErrorInfo.reason` of a refusal by the accounts.
pub fn auth_name(reason: AuthErrorReason) -> &'static str {
    let full = reason.as_str_name();
    full.strip_prefix("AUTH_ERROR_REASON_").unwrap_or(full)
}

/// The gRPC code of such a refusal, as `auth.proto` has it.
pub fn auth_code_of(reason: AuthErrorReason) -> i32 {
    use AuthErrorReason as R;
    match reason {
        R::PasswordInvalid => code::INVALID_ARGUMENT,
        R::UsernameTaken => code::ALREADY_EXISTS,
        R::CredentialsRejected => code::UNAUTHENTICATED,
        R::ScopeMissing | R::InvitationNeeded => code::PERMISSION_DENIED,
        R::Unspecified => code::INTERNAL,
    }
}

/// The number of a reason, be it of `sns.proto` or `auth.proto`; 0 for a name of neither.
pub fn number_of(name: &str) -> i32 {
    let of_accounts = || AuthErrorReason::from_str_name(&format!("AUTH_ERROR_REASON_{name}"));
    let known = from_name(name).map(i32::from);
    known.or_else(|| of_accounts().map(i32::from)).unwrap_or(0)
}

/// The kind of a gRPC code, as the CLI's `{"error": {"kind": …}}` names it.
pub fn kind_of(code: i32) -> &'static str {
    match code {
        code::INVALID_ARGUMENT | code::OUT_OF_RANGE => "invalid",
        code::NOT_FOUND => "not_found",
        code::ALREADY_EXISTS => "conflict",
        code::UNAUTHENTICATED | code::PERMISSION_DENIED => "denied",
        code::RESOURCE_EXHAUSTED => "exhausted",
        code::UNAVAILABLE => "unavailable",
        code::DEADLINE_EXCEEDED => "unknown",
        code::DATA_LOSS => "damaged",
        _ => "internal",
    }
}

/// The exit code of a kind, as [`kind_of`] names it.
pub fn exit_code(kind: &str) -> u8 {
    match kind {
        "invalid" => 2,
        "not_found" => 3,
        "conflict" => 4,
        "denied" => 5,
        "exhausted" => 6,
        "unavailable" => 7,
        "unknown" => 8,
        "damaged" => 9,
        _ => 1,
    }
}

/// How long to wait before the same call may help, in milliseconds; `None` where a retry does not help.
pub fn retry_after_ms(reason: ErrorReason) -> Option<u32> {
    use ErrorReason as R;
    match reason {
        R::Overloaded | R::Lagging | R::NoServer | R::Starting => Some(100),
        R::ShuttingDown => Some(10),
        R::RateLimited | R::LogUnavailable => Some(500),
        R::DiskFull => Some(1_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_the_code_of_its_block_in_the_contract() {
        // Blocks of ten in sns.proto: the number of a reason tells its code.
        for number in 1..=90 {
            let expected = match number {
                1..20 => code::INVALID_ARGUMENT,
                20..30 => code::NOT_FOUND,
                30..40 => code::ALREADY_EXISTS,
                40..45 => code::UNAUTHENTICATED,
                45..50 => code::PERMISSION_DENIED,
                50..60 => code::RESOURCE_EXHAUSTED,
                60..70 => code::UNAVAILABLE,
                70..80 => code::DEADLINE_EXCEEDED,
                80..90 => code::DATA_LOSS,
                _ => code::INTERNAL,
            };
            if let Ok(reason) = ErrorReason::try_from(number) {
                assert_eq!(code_of(reason), expected, "{}", name(reason));
                assert_eq!(from_name(name(reason)), Some(reason));
            }
            if let Ok(reason) = AuthErrorReason::try_from(number) {
                assert_eq!(auth_code_of(reason), expected, "{}", auth_name(reason));
                assert!(ErrorReason::try_from(number).is_err(), "one numbering");
                assert_eq!(number_of(auth_name(reason)), number);
            }
        }
    }

    #[test]
    fn exhausted_and_unavailable_say_when_to_retry_but_for_too_many_followees() {
        for number in 50..70 {
            let Ok(reason) = ErrorReason::try_from(number) else {
                continue;
            };
            let retries = retry_after_ms(reason).is_some();
            assert_eq!(
                retries,
                reason != ErrorReason::TooManyFollowees,
                "{}",
                name(reason)
            );
        }
    }
}

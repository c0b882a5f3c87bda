//! [`Error`], [`ErrorKind`], [`Result`]: what a caller is told.

use std::fmt;

use sns_proto::reason::{self, code};

pub use sns_proto::v1::ErrorReason as Reason;

use crate::ticket::Ticket;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller should do: the promise of an [`Error`]. Match this, never the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Correct the request.
    Invalid,
    /// There is no such user, post or follow.
    NotFound,
    /// It is so already.
    Conflict,
    /// Log in; or it is not yours.
    Denied,
    /// Slow down: a bound is reached, and was still reached when the deadline came.
    Exhausted,
    /// No server could do it until the deadline. Nothing was written.
    Unavailable,
    /// The write may have happened: repeat it with the same [`Ticket`] only ([`Error::ticket`]).
    Unknown,
    /// Stored data is damaged or written by a newer version: call the operator.
    Damaged,
    /// A bug: report it.
    Internal,
}

impl ErrorKind {
    /// In lower case, as `sns --json` prints it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Denied => "denied",
            Self::Exhausted => "exhausted",
            Self::Unavailable => "unavailable",
            Self::Unknown => "unknown",
            Self::Damaged => "damaged",
            Self::Internal => "internal",
        }
    }

    /// The kind of a `google.rpc.Code`.
    pub(crate) fn of_code(number: i32) -> Self {
        match number {
            code::INVALID_ARGUMENT | code::OUT_OF_RANGE => Self::Invalid,
            code::NOT_FOUND => Self::NotFound,
            code::ALREADY_EXISTS => Self::Conflict,
            code::UNAUTHENTICATED | code::PERMISSION_DENIED => Self::Denied,
            code::RESOURCE_EXHAUSTED => Self::Exhausted,
            code::UNAVAILABLE => Self::Unavailable,
            code::DEADLINE_EXCEEDED => Self::Unknown,
            code::DATA_LOSS => Self::Damaged,
            _ => Self::Internal,
        }
    }
}

/// Why a call failed: a kind to act on, a reason as the wire names it, a message for a human.
///
/// ```
/// use sns_client::{Error, ErrorKind};
///
/// fn advice(error: &Error) -> &'static str {
///     match error.kind() {
///         ErrorKind::Conflict => "fine, it is so already",
///         ErrorKind::Unavailable | ErrorKind::Exhausted => "later",
///         ErrorKind::Unknown => "repeat it with error.ticket()",
///         _ => "correct it",
///     }
/// }
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Error {
    kind: ErrorKind,
    reason: Reason,
    // A server newer than this library may name reasons that `Reason` does not know.
    name: String,
    message: String,
    ticket: Option<Ticket>,
}

impl Error {
    /// An error with a reason of the contract; the kind follows from it.
    pub(crate) fn new(why: Reason, message: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::of_code(reason::code_of(why)),
            reason: why,
            name: reason::name(why).to_owned(),
            message: message.into(),
            ticket: None,
        }
    }

    /// As a server said it: an unknown reason keeps its name, and the code tells the kind.
    pub(crate) fn from_wire(number: i32, name: &str, message: &str) -> Self {
        let known = reason::from_name(name).unwrap_or(Reason::Unspecified);
        Self {
            kind: ErrorKind::of_code(number),
            reason: known,
            name: name.to_owned(),
            message: message.to_owned(),
            ticket: None,
        }
    }

    /// The same as a mistake of the caller that no server was asked about.
    pub(crate) fn into_invalid(mut self) -> Self {
        self.kind = ErrorKind::Invalid;
        self.name.clear();
        self
    }

    /// The same for a write that may be repeated with this ticket.
    pub(crate) fn with_ticket(mut self, ticket: Ticket) -> Self {
        self.ticket = Some(ticket);
        self
    }

    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The reason as `sns.proto` names it; [`Reason::Unspecified`] when a newer server gave one
    /// that this version does not know.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The name of the reason, without a prefix, such as `USER_NOT_FOUND`; empty for a mistake
    /// that no server was asked about, such as an address that does not parse.
    pub fn reason_name(&self) -> &str {
        &self.name
    }

    /// For a human; may change from release to release.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Of a write that may have happened ([`ErrorKind::Unknown`]): what to repeat it with, so that
    /// it takes effect at most once. `None` for all other errors.
    pub fn ticket(&self) -> Option<Ticket> {
        self.ticket
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.message)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_are_named_as_the_shared_table_names_them() {
        for number in 0..=16 {
            let kind = ErrorKind::of_code(number);
            assert_eq!(kind.as_str(), reason::kind_of(number), "code {number}");
        }
    }

    #[test]
    fn a_reason_of_a_newer_server_keeps_its_name_and_goes_by_its_code() {
        let error = Error::from_wire(code::NOT_FOUND, "LIST_NOT_FOUND", "no such list");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.reason(), Reason::Unspecified);
        assert_eq!(error.reason_name(), "LIST_NOT_FOUND");
    }
}

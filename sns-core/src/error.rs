//! [`Error`], [`ErrorKind`], [`Result`]: what a caller is told.

use std::fmt;
use std::sync::Arc;

pub use sns_proto::v1::ErrorReason as Reason;

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
    /// Slow down: a bound is reached (a queue, the disk, the number of followees).
    Exhausted,
    /// Nothing was written; retry with back-off, here or elsewhere.
    Unavailable,
    /// The write may have happened: retry with the *same* request id only.
    Unknown,
    /// Stored data is damaged or written by a newer version: call the operator.
    Damaged,
    /// A bug: report it.
    Internal,
}

impl ErrorKind {
    /// In lower case, as the command lines print it.
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
}

/// Why a call failed: a kind to act on, a reason as the wire names it, a message for a human.
#[derive(Clone)]
#[non_exhaustive]
pub struct Error {
    kind: ErrorKind,
    reason: Reason,
    message: String,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error with a reason of the contract and a message for a human.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            kind: kind_of(reason),
            reason,
            message: message.into(),
            source: None,
        }
    }

    /// `Invalid` without a reason of the contract: a setting, a path, a flag.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Invalid,
            reason: Reason::Unspecified,
            message: message.into(),
            source: None,
        }
    }

    /// The same with the error behind it.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The reason as `sns.proto` names it; `Unspecified` where no call of the wire ends so.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// For a human; may change from release to release.
    pub fn message(&self) -> &str {
        &self.message
    }
}

fn kind_of(reason: Reason) -> ErrorKind {
    use sns_proto::reason::code;
    match sns_proto::reason::code_of(reason) {
        code::INVALID_ARGUMENT => ErrorKind::Invalid,
        code::NOT_FOUND => ErrorKind::NotFound,
        code::ALREADY_EXISTS => ErrorKind::Conflict,
        code::UNAUTHENTICATED | code::PERMISSION_DENIED => ErrorKind::Denied,
        code::RESOURCE_EXHAUSTED => ErrorKind::Exhausted,
        code::UNAVAILABLE => ErrorKind::Unavailable,
        code::DEADLINE_EXCEEDED => ErrorKind::Unknown,
        code::DATA_LOSS => ErrorKind::Damaged,
        _ => ErrorKind::Internal,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}",
            sns_proto::reason::name(self.reason),
            self.message
        )?;
        if let Some(source) = &self.source {
            write!(f, " ({source})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_ref()
            .map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_follows_from_the_reason() {
        assert_eq!(
            Error::new(Reason::DiskFull, "").kind(),
            ErrorKind::Exhausted
        );
        assert_eq!(
            Error::new(Reason::OutcomeUnknown, "").kind(),
            ErrorKind::Unknown
        );
        let kind = Error::new(Reason::Damaged, "").kind();
        assert_eq!(kind.as_str(), "damaged");
    }
}

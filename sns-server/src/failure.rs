//! [`Failure`]: why a command ends, as the shell and a person are told.

use std::fmt;

use sns_core::{ErrorKind, Reason};

/// A result of this crate.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// Why a command ends: a kind that gives the exit code, a reason of the contract where there is
/// one, and a line for a human that says what to do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// What the caller should do.
    pub kind: ErrorKind,
    /// As `sns.proto` names it; `None` for what only this program knows (a port in use).
    pub reason: Option<Reason>,
    /// For a human; one line.
    pub message: String,
}

impl Failure {
    /// A failure without a reason of the contract.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            reason: None,
            message: message.into(),
        }
    }

    /// What was typed, or what a file holds, is wrong: exit code 2.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// It may work later, or elsewhere: exit code 7.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// The operating system refused while this program was `doing` something.
    pub fn io(doing: impl fmt::Display, error: &std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        match error.kind() {
            Io::StorageFull | Io::QuotaExceeded => Self {
                kind: ErrorKind::Exhausted,
                reason: Some(Reason::DiskFull),
                message: format!("{doing}: the disk is full; make room and start again"),
            },
            Io::NotFound => Self::new(ErrorKind::NotFound, format!("{doing}: {error}")),
            Io::PermissionDenied => Self::new(
                ErrorKind::Denied,
                format!("{doing}: {error}; check the owner and the mode"),
            ),
            _ => Self::new(ErrorKind::Unavailable, format!("{doing}: {error}")),
        }
    }

    /// The exit code of its kind.
    pub fn exit_code(&self) -> u8 {
        sns_proto::reason::exit_code(self.kind.as_str())
    }

    /// `{"error": {"kind", "reason", "message"}}` in one line; `reason` is null where there is
    /// none.
    pub fn to_json(&self) -> String {
        serde_json::json!({"error": {
            "kind": self.kind.as_str(),
            "reason": self.reason.map(sns_proto::reason::name),
            "message": self.message,
        }})
        .to_string()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<sns_core::Error> for Failure {
    fn from(error: sns_core::Error) -> Self {
        Self {
            kind: error.kind(),
            reason: Some(error.reason()).filter(|reason| *reason != Reason::Unspecified),
            message: error.message().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_object_and_has_the_exit_code_of_its_kind() {
        let full = Failure::io(
            "cannot write x",
            &std::io::Error::from(std::io::ErrorKind::StorageFull),
        );
        assert_eq!(full.exit_code(), 6);
        let json: serde_json::Value = serde_json::from_str(&full.to_json()).unwrap();
        assert_eq!(json["error"]["kind"], "exhausted");
        assert_eq!(json["error"]["reason"], "DISK_FULL");
        let typed = Failure::invalid("no such flag");
        assert_eq!(typed.exit_code(), 2);
        let json: serde_json::Value = serde_json::from_str(&typed.to_json()).unwrap();
        assert!(json["error"]["reason"].is_null());
    }
}

//! Why a run could not be made, or not to its end: nothing about the service under test.

use std::fmt::Display;

/// A message that says what was tried and what came of it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failure(pub(crate) String);

/// A result of the harness.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// Says what was tried when it fails.
pub(crate) trait Doing<T> {
    /// `doing` completes "cannot ...".
    fn doing(self, doing: impl Display) -> Result<T>;
}

impl<T, E: Display> Doing<T> for Result<T, E> {
    fn doing(self, doing: impl Display) -> Result<T> {
        self.map_err(|e| Failure(format!("cannot {doing}: {e}")))
    }
}

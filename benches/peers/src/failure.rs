//! Why a comparison could not be made.

use std::fmt::Display;

/// A message that says what was tried and what came of it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

/// A result of this program.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// Says what was tried when it fails.
pub(crate) trait Doing<T> {
    /// `doing` completes "cannot ...".
    fn doing(self, doing: impl Display) -> Result<T>;
}

impl<T, E: std::error::Error> Doing<T> for Result<T, E> {
    fn doing(self, doing: impl Display) -> Result<T> {
        self.map_err(|e| {
            let mut text = format!("cannot {doing}: {e}");
            let mut source = e.source();
            // The clients of the peers keep the reason one level down.
            while let Some(inner) = source {
                let inner_text = inner.to_string();
                if !text.contains(&inner_text) {
                    text.push_str(": ");
                    text.push_str(&inner_text);
                }
                source = inner.source();
            }
            Failure(text)
        })
    }
}

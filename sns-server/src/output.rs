//! What goes to stdout: data, a line at a time, quiet when nobody reads it any more.

use std::io::Write as _;

use crate::failure::{Failure, Result};

/// Prints one line.
///
/// # Errors
/// As [`gone`].
pub fn line(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")
        .and_then(|()| out.flush())
        .or_else(gone)
}

/// What to do when stdout cannot be written. A reader that went away (`| head`) has all it wanted:
/// the program ends with exit code 0, so only commands that do nothing but print may ask.
///
/// # Errors
/// As [`Failure::io`].
#[allow(
    clippy::needless_pass_by_value,
    reason = "so that it can be handed to `or_else`"
)]
pub fn gone(error: std::io::Error) -> Result<()> {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    Err(Failure::io("cannot write to stdout", &error))
}

/// Prints one line for a human, to stderr.
pub fn message(text: &str) {
    // With stderr gone there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{text}");
}

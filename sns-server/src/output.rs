//! What goes to stdout: data, a line at a time, quiet when nobody reads it any more.

use std::io::Write as _;

use crate::failure::{Failure, Result};

/// Prints one line.
///
/// # Errors
/// As [`Failure::io`]. A reader that went away (`| head`) ends the program with exit code 0: it has
/// all it wanted.
pub fn line(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(e) => Err(Failure::io("cannot write to stdout", &e)),
    }
}

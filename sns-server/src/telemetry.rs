//! What goes to stderr: tracing, and the one line of an error. Text of other people is escaped
//! first, so that nobody writes to an operator's terminal with control characters.

use std::io::{IsTerminal as _, Write as _};

use tracing_subscriber::EnvFilter;

use crate::failure::Failure;

/// Starts tracing to stderr. `SNS_TRACE`, else `RUST_LOG`, sets the filter; without them servers
/// say what changes (`info`), other commands only what is wrong (`warn`). Safe to repeat.
///
/// Foreign text is recorded with `?`, which escapes it.
pub fn start(server: bool) {
    // The client of NATS says again, and at each attempt, what the log says once.
    let default = if server {
        "info,async_nats=off"
    } else {
        "warn,async_nats=off"
    };
    let filter = ["SNS_TRACE", "RUST_LOG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .and_then(|value| EnvFilter::try_new(value).ok())
        .unwrap_or_else(|| EnvFilter::new(default));
    // A second subscriber in one process is refused; the first one stays.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        // What cannot be written, say because the disk is full, is gone: to complain about it on
        // the same stderr would end the process.
        .log_internal_errors(false)
        .try_init();
}

/// Prints a failure to stderr: one line, or one JSON object.
pub fn print_failure(failure: &Failure, json: bool) {
    let line = if json {
        failure.to_json()
    } else {
        format!("error: {}", escaped(&failure.message))
    };
    // With stderr gone there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// `text` with every control character written as an escape, line breaks too.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // Bidirectional overrides reorder what is read; they go with the control characters.
        if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_letters_are_not() {
        assert_eq!(escaped("a\u{1b}[31m\né😀"), "a\\u{1b}[31m\\né😀");
        assert_eq!(escaped("x\u{202e}y"), "x\\u{202e}y");
    }
}

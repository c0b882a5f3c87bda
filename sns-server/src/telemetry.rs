//! What goes to stderr: tracing, and the one line of an error. Text of other people is escaped
//! first, so that nobody writes to an operator's terminal with control characters. Texts of posts
//! and tokens are never logged.

use std::io::{IsTerminal as _, Write as _};

/// Text of others as an operator may see it, on one line.
pub use sns_proto::escape::escape as escaped;
use sns_proto::escape::escape_json;
use tracing_subscriber::EnvFilter;

use crate::failure::{Failure, Result};

mod calm;

use calm::{Calm, Form};

/// Starts tracing to stderr. `SNS_TRACE`, else `RUST_LOG`, sets the filter; without them servers
/// say what changes (`info`), other commands only what is wrong (`warn`). Safe to repeat.
///
/// A terminal gets text. Elsewhere servers write a JSON object a line, for programs; `SNS_LOG_FORMAT`
/// is `text` or `json` to have it otherwise.
///
/// Foreign text is recorded through [`escaped`].
///
/// # Errors
/// `Invalid`: `SNS_LOG_FORMAT` is neither.
pub fn start(server: bool) -> Result<()> {
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
    let terminal = std::io::stderr().is_terminal();
    let format = std::env::var("SNS_LOG_FORMAT").ok();
    let json = is_json(format.as_deref(), server, terminal)?;
    let form = match (json, terminal) {
        (true, _) => Form::Json,
        (false, true) => Form::Colours,
        (false, false) => Form::Text,
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || Calm {
            to: std::io::stderr(),
            form,
        })
        .with_ansi(terminal)
        .with_target(false)
        // What cannot be written, say because the disk is full, is gone: to complain about it on
        // the same stderr would end the process.
        .log_internal_errors(false);
    // A second subscriber in one process is refused; the first one stays.
    let _ = if json {
        let json = subscriber.json().flatten_event(true);
        json.with_current_span(false)
            .with_span_list(false)
            .try_init()
    } else {
        subscriber.try_init()
    };
    Ok(())
}

fn is_json(asked: Option<&str>, server: bool, terminal: bool) -> Result<bool> {
    match asked {
        Some("json") => Ok(true),
        Some("text") => Ok(false),
        None | Some("") => Ok(server && !terminal),
        Some(other) => Err(Failure::invalid(format!(
            "SNS_LOG_FORMAT {other:?} is no format: give text or json"
        ))),
    }
}

/// Prints a failure to stderr: one line, or one JSON object.
pub fn print_failure(failure: &Failure, json: bool) {
    let line = if json {
        escape_json(&failure.to_json())
    } else {
        format!("error: {}", escaped(&failure.message))
    };
    // With stderr gone there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_text_on_a_terminal_and_json_elsewhere_unless_asked_for() {
        let is = |asked, server, terminal| is_json(asked, server, terminal).unwrap();
        assert!(is(None, true, false));
        assert!(!is(None, true, true));
        assert!(!is(None, false, false));
        assert!(is(Some("json"), true, true));
        assert!(!is(Some("text"), true, false));
        assert_eq!(is_json(Some("xml"), true, true).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn control_characters_are_escaped_and_letters_are_not() {
        assert_eq!(escaped("a\u{1b}[31m\né😀"), "a\\u{1b}[31m\\né😀");
        assert_eq!(escaped("x\u{202e}y"), "x\\u{202e}y");
    }
}

//! Where text goes: data to stdout, messages to stderr; and how a failure ends the program.

use std::io::{self, BufWriter, Stdout, Write};
use std::process::ExitCode;

use sns_client::Reason;
use sns_proto::reason;
use tokio::signal::unix::SignalKind;

use crate::render;

/// The exit code when all went well and the figures of a benchmark are not as was asked for.
const MISSED: u8 = 10;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The library's word.
    Client(sns_client::Error),
    /// What was typed makes no sense.
    Usage(String),
    /// The text on stdin is no text to post.
    Text(String),
    /// The machine's fault: a file, a pipe, a terminal.
    Io(String),
    /// Nobody is logged in.
    Denied(String),
    /// What a benchmark needs, or who is asked for, is not there.
    Missing(String),
    /// A server does not serve the benchmark.
    Unavailable(String),
    /// A benchmark ran, and its figures are not as was asked for.
    Missed(String),
    /// Whoever read our output has gone: the end, and no failure.
    Closed,
    /// A signal asked to end.
    Signal(SignalKind),
}

impl From<sns_client::Error> for Failure {
    fn from(error: sns_client::Error) -> Self {
        Self::Client(error)
    }
}

impl Failure {
    /// The kind, as STYLE has it: it gives the exit code too.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Client(error) => error.kind().as_str(),
            Self::Usage(_) | Self::Text(_) => "invalid",
            Self::Denied(_) => "denied",
            Self::Missing(_) => "not_found",
            Self::Unavailable(_) => "unavailable",
            Self::Missed(_) => "missed",
            Self::Io(_) | Self::Closed | Self::Signal(_) => "internal",
        }
    }

    /// The reason as the wire names it; `None` when no server was asked.
    pub(crate) fn reason(&self) -> Option<&str> {
        match self {
            Self::Client(error) => Some(error.reason_name()).filter(|name| !name.is_empty()),
            Self::Text(_) => Some(reason::name(Reason::TextInvalid)),
            _ => None,
        }
    }

    /// For a human.
    pub(crate) fn message(&self) -> &str {
        match self {
            Self::Client(error) => error.message(),
            Self::Usage(message)
            | Self::Text(message)
            | Self::Denied(message)
            | Self::Missing(message)
            | Self::Unavailable(message)
            | Self::Missed(message)
            | Self::Io(message) => message,
            Self::Closed => "nobody reads",
            Self::Signal(_) => "asked to end",
        }
    }

    /// Says it on stderr; the exit code.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        if matches!(self, Self::Closed) {
            return ExitCode::SUCCESS;
        }
        if let Self::Signal(signal) = self {
            // As a shell has it. Who sent the signal needs no word about it.
            return ExitCode::from(u8::try_from(128 + signal.as_raw_value()).unwrap_or(u8::MAX));
        }
        say(&render::failure(self, json));
        ExitCode::from(match self {
            // No server says this, so it is not in the table of the wire.
            Self::Missed(_) => MISSED,
            _ => reason::exit_code(self.kind()),
        })
    }
}

/// A message for the human.
pub(crate) fn say(line: &str) {
    // There is no one left to tell when stderr is closed.
    drop(writeln!(io::stderr(), "{line}"));
}

/// Data for stdout, line by line.
#[derive(Debug)]
pub(crate) struct Output {
    out: BufWriter<Stdout>,
    /// Whether each line is to be seen at once.
    live: bool,
}

impl Output {
    pub(crate) fn new(live: bool) -> Self {
        Self {
            out: BufWriter::new(io::stdout()),
            live,
        }
    }

    pub(crate) fn line(&mut self, line: &str) -> Result<(), Failure> {
        writeln!(self.out, "{line}")?;
        if self.live {
            self.out.flush()?;
        }
        Ok(())
    }

    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        Ok(self.out.flush()?)
    }
}

//! Where lines go while another is being typed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustyline::ExternalPrinter;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::output::{Failure, Output, say};
use crate::paint::Paint;
use crate::terminal;

/// Lines that wait to be shown above the one being typed.
const WAITING_MAX: usize = 256;
/// Places that data leaves free for messages.
const FOR_MESSAGES: usize = 16;
/// Lines shown at a time, so that a backlog does not redraw the typed line for each.
const AT_ONCE: usize = 64;

/// Where lines go.
pub(crate) enum Screen {
    /// Above the line that is being typed.
    Above(Above),
    /// To a pipe.
    Plain(Output),
}

/// A terminal on which a line may be being typed.
///
/// The line editor takes lines from others only while it edits, and holds up whoever gives it more
/// then. So a thread does the giving, and when nobody is typing lines are written past the editor:
/// the loop that asks for the next line never waits for one that it has not asked for.
pub(crate) struct Above {
    waiting: mpsc::Sender<String>,
    editing: Arc<AtomicBool>,
    paint: Paint,
}

impl Screen {
    /// A terminal; `editing` says whether a line was asked for and not yet given.
    pub(crate) fn above(
        mut printer: impl ExternalPrinter + Send + 'static,
        editing: Arc<AtomicBool>,
        paint: Paint,
    ) -> Self {
        let (waiting, mut lines) = mpsc::channel::<String>(WAITING_MAX);
        std::thread::spawn(move || {
            while let Some(mut text) = lines.blocking_recv() {
                for _ in 1..AT_ONCE {
                    let Ok(more) = lines.try_recv() else { break };
                    text.push_str(&more);
                }
                // The end of the terminal is seen by those who read from it, too.
                if printer.print(text).is_err() {
                    return;
                }
            }
        });
        Self::Above(Above {
            waiting,
            editing,
            paint,
        })
    }

    /// For a thread that has something quiet to say on a terminal.
    pub(crate) fn quiet_voice(&self) -> Option<impl Fn(&str) + Send + 'static> {
        let Self::Above(above) = self else {
            return None;
        };
        let (waiting, paint) = (above.waiting.clone(), above.paint);
        // What finds no room was not worth waiting for.
        Some(move |text: &str| drop(waiting.try_send(paint.dim(text) + "\n")))
    }

    /// Whether a line of data finds room now. A pipe always has some, or makes everybody wait.
    pub(crate) fn has_room(&self) -> bool {
        match self {
            Self::Above(above) => above.waiting.capacity() > FOR_MESSAGES,
            Self::Plain(_) => true,
        }
    }

    /// Waits until a line of data finds room. Cancel safe.
    pub(crate) async fn room(&self) {
        if let Self::Above(above) = self {
            // Reserved and given back at once: there is only one who puts data here.
            drop(above.waiting.reserve_many(FOR_MESSAGES + 1).await);
        }
    }

    /// How to paint on a terminal; `None` = this is none.
    pub(crate) fn paint(&self) -> Option<Paint> {
        match self {
            Self::Above(above) => Some(above.paint),
            Self::Plain(_) => None,
        }
    }

    pub(crate) fn line(&mut self, line: &str) -> Result<(), Failure> {
        match self {
            Self::Above(above) => above.print(format!("{line}\n")),
            Self::Plain(output) => output.line(line),
        }
    }

    /// A message for the human, in its proper place.
    pub(crate) fn message(&mut self, line: &str) -> Result<(), Failure> {
        match self {
            Self::Above(_) => self.line(line),
            Self::Plain(_) => {
                say(line);
                Ok(())
            }
        }
    }

    /// A message that is not meant to draw the eye.
    pub(crate) fn quiet(&mut self, line: &str) -> Result<(), Failure> {
        let line = self
            .paint()
            .map_or(line.to_owned(), |paint| paint.dim(line));
        self.message(&line)
    }
}

impl Above {
    fn print(&self, text: String) -> Result<(), Failure> {
        if !self.editing.load(Ordering::Acquire) {
            return Ok(terminal::write(&text)?);
        }
        match self.waiting.try_send(text) {
            // Data asks for room first, and leaves some: only a flood of messages gets here.
            Ok(()) | Err(TrySendError::Full(_)) => Ok(()),
            Err(TrySendError::Closed(_)) => Err(Failure::Io("the terminal is gone".to_owned())),
        }
    }
}

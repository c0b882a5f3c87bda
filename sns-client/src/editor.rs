//! Lines from a terminal, with editing, history and completion, on a thread of its own.

use std::path::Path;

use rustyline::config::{ColorMode, Config};
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{CompletionType, Editor};
use tokio::sync::mpsc;

use crate::command;
use crate::complete::{Help, Names};
use crate::history::{self, History};
use crate::lines::{Ask, Typed};
use crate::output::Failure;
use crate::paint::Paint;
use crate::render::escape;

/// The editor, and what was typed before: commands and posts apart, so that none is sent as the
/// other by mistake.
pub(crate) struct Lined {
    editor: Editor<Help, DefaultHistory>,
    /// The history that is not in use.
    other: DefaultHistory,
    asked: Ask,
    paint: Paint,
    file: Option<History>,
    last: String,
}

impl Lined {
    pub(crate) fn new(names: Names, paint: Paint) -> Result<Self, Failure> {
        let colours = if paint.is_on() {
            ColorMode::Enabled
        } else {
            ColorMode::Disabled
        };
        let config = Config::builder()
            .max_history_size(history::LINES_MAX)
            .and_then(|config| config.history_ignore_dups(true))
            .map_err(of_terminal)?
            .completion_type(CompletionType::List)
            .color_mode(colours)
            .build();
        let other = DefaultHistory::with_config(&config);
        let mut editor = Editor::with_config(config).map_err(of_terminal)?;
        editor.set_helper(Some(Help {
            names,
            completes: true,
        }));
        Ok(Self {
            editor,
            other,
            asked: Ask::Command,
            paint,
            file: None,
            last: String::new(),
        })
    }

    /// Where others print meanwhile.
    pub(crate) fn printer(
        &mut self,
    ) -> Result<impl rustyline::ExternalPrinter + Send + 'static + use<>, Failure> {
        self.editor.create_external_printer().map_err(of_terminal)
    }

    /// Takes up the commands of earlier sessions, and keeps those of this one.
    ///
    /// # Errors
    /// Why not, for a human.
    pub(crate) fn remember(&mut self, path: &Path) -> Result<(), String> {
        let (file, lines) = History::open(path).map_err(|error| no_history(path, &error))?;
        for line in lines {
            // A history that is full or off is no reason to stop.
            drop(self.editor.add_history_entry(line));
        }
        self.file = Some(file);
        Ok(())
    }

    /// Gives lines as long as they are asked for.
    pub(crate) fn run(
        mut self,
        mut asked: mpsc::Receiver<Ask>,
        typed: &mpsc::Sender<Typed>,
        quietly: impl Fn(&str),
    ) {
        while let Some(ask) = asked.blocking_recv() {
            let line = self.line(ask);
            if let Typed::Line(line) = &line
                && let Err(why) = self.keep(line)
            {
                quietly(&why);
            }
            if typed.blocking_send(line).is_err() {
                return;
            }
        }
    }

    fn line(&mut self, ask: Ask) -> Typed {
        if ask != self.asked {
            std::mem::swap(self.editor.history_mut(), &mut self.other);
            self.asked = ask;
        }
        if let Some(help) = self.editor.helper_mut() {
            help.completes = ask == Ask::Command;
        }
        let prompt = ask.prompt();
        match self.editor.readline(&(prompt, self.paint.dim(prompt))) {
            Ok(line) => Typed::Line(line),
            Err(ReadlineError::Interrupted) => Typed::Interrupt,
            Err(_) => Typed::End,
        }
    }

    /// All lines stay for the session. Only commands get into the file: a post may be for few, and
    /// so may a line that was meant as one.
    fn keep(&mut self, line: &str) -> Result<(), String> {
        if line.trim().is_empty() {
            return Ok(());
        }
        drop(self.editor.add_history_entry(line));
        let line = line.trim();
        if self.asked != Ask::Command || self.last == line || command::line(line).is_err() {
            return Ok(());
        }
        line.clone_into(&mut self.last);
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        file.add(line).map_err(|error| {
            // Said once.
            self.file = None;
            format!("~ the history is not kept: {}", escape(&error.to_string()))
        })
    }
}

fn no_history(path: &Path, error: &std::io::Error) -> String {
    let (path, error) = (path.display().to_string(), error.to_string());
    format!("~ no history in {}: {}", escape(&path), escape(&error))
}

fn of_terminal(error: ReadlineError) -> Failure {
    match error {
        ReadlineError::Io(error) => error.into(),
        other => Failure::Io(format!("the terminal: {other}")),
    }
}

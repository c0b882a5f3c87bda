//! What is typed: line by line, from a terminal with editing or from a pipe.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use rustyline::Editor;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use tokio::sync::mpsc;

use crate::output::{Failure, Output};

/// The longest line taken: more than the longest text.
const LINE_MAX: u64 = 8 * 1024;
/// Lines read ahead of those who carry them out.
const AHEAD: usize = 16;

/// Something typed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    Line(String),
    /// A line that is no text, or too long for one.
    Unfit(&'static str),
    /// Ctrl-C on a terminal.
    Interrupt,
    /// Nothing more will come from a pipe; on a terminal, Ctrl-D.
    End,
}

/// Lines, asked for one by one so that a terminal shows the right prompt.
#[derive(Debug)]
pub(crate) struct Lines {
    prompts: mpsc::Sender<&'static str>,
    typed: mpsc::Receiver<Typed>,
    asked: bool,
    pub(crate) terminal: bool,
}

impl Lines {
    /// Starts the thread that reads stdin, and gives where to print meanwhile.
    pub(crate) fn start() -> Result<(Self, Screen), Failure> {
        let terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
        let (prompts, asked) = mpsc::channel(1);
        let (tell, typed) = mpsc::channel(AHEAD);
        let screen = if terminal {
            let mut editor = Editor::<(), DefaultHistory>::new().map_err(of_terminal)?;
            let printer = editor.create_external_printer().map_err(of_terminal)?;
            std::thread::spawn(move || edit(&mut editor, asked, &tell));
            Screen::Terminal(Box::new(printer))
        } else {
            std::thread::spawn(move || read(asked, &tell));
            Screen::Plain(Output::new(true))
        };
        let lines = Self {
            prompts,
            typed,
            asked: false,
            terminal,
        };
        Ok((lines, screen))
    }

    /// The next line. Cancel safe: what is being typed goes to the next call.
    pub(crate) async fn next(&mut self, prompt: &'static str) -> Typed {
        if !self.asked {
            // The thread is gone after the end of a pipe.
            if self.prompts.send(prompt).await.is_err() {
                return Typed::End;
            }
            self.asked = true;
        }
        let typed = self.typed.recv().await.unwrap_or(Typed::End);
        self.asked = false;
        typed
    }
}

/// Where lines go while another is being typed.
pub(crate) enum Screen {
    /// Above the line that is being typed.
    Terminal(Box<dyn rustyline::ExternalPrinter + Send>),
    Plain(Output),
}

impl Screen {
    pub(crate) fn line(&mut self, line: &str) -> Result<(), Failure> {
        match self {
            Self::Terminal(printer) => printer.print(format!("{line}\n")).map_err(of_terminal),
            Self::Plain(output) => output.line(line),
        }
    }

    /// A message for the human, in its proper place.
    pub(crate) fn message(&mut self, line: &str) -> Result<(), Failure> {
        match self {
            Self::Terminal(_) => self.line(line),
            Self::Plain(_) => {
                crate::output::say(line);
                Ok(())
            }
        }
    }
}

fn of_terminal(error: ReadlineError) -> Failure {
    match error {
        ReadlineError::Io(error) => error.into(),
        other => Failure::Io(format!("the terminal: {other}")),
    }
}

fn edit(
    editor: &mut Editor<(), DefaultHistory>,
    mut prompts: mpsc::Receiver<&'static str>,
    tell: &mpsc::Sender<Typed>,
) {
    while let Some(prompt) = prompts.blocking_recv() {
        let typed = match editor.readline(prompt) {
            Ok(line) => {
                // A history that is full or off is no reason to stop.
                drop(editor.add_history_entry(&line));
                Typed::Line(line)
            }
            Err(ReadlineError::Interrupted) => Typed::Interrupt,
            Err(_) => Typed::End,
        };
        if tell.blocking_send(typed).is_err() {
            return;
        }
    }
}

fn read(mut prompts: mpsc::Receiver<&'static str>, tell: &mpsc::Sender<Typed>) {
    let mut input = io::stdin().lock();
    while prompts.blocking_recv().is_some() {
        let typed = read_line(&mut input);
        let end = typed == Typed::End;
        if tell.blocking_send(typed).is_err() || end {
            return;
        }
    }
}

fn read_line(input: &mut impl io::BufRead) -> Typed {
    let mut bytes = Vec::new();
    match input.by_ref().take(LINE_MAX).read_until(b'\n', &mut bytes) {
        Ok(0) | Err(_) => return Typed::End,
        Ok(_) => {}
    }
    if bytes.last() != Some(&b'\n') && bytes.len() as u64 == LINE_MAX {
        // The rest of it, in pieces.
        loop {
            bytes.clear();
            let rest = input.by_ref().take(LINE_MAX).read_until(b'\n', &mut bytes);
            if matches!(rest, Ok(0) | Err(_)) || bytes.last() == Some(&b'\n') {
                return Typed::Unfit("the line is too long");
            }
        }
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    match String::from_utf8(bytes) {
        Ok(line) => Typed::Line(line),
        Err(_) => Typed::Unfit("the line is not UTF-8"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_in_any_way_and_bad_ones_do_not_stop_the_rest() {
        let mut bytes = b"one\ntwo\r\n\n\xff\n".to_vec();
        bytes.extend(vec![b'x'; 20_000]);
        bytes.extend(b"\nlast");
        let mut input = io::Cursor::new(bytes);
        let line = |text: &str| Typed::Line(text.to_owned());
        for expected in [
            line("one"),
            line("two"),
            line(""),
            Typed::Unfit("the line is not UTF-8"),
            Typed::Unfit("the line is too long"),
            line("last"),
            Typed::End,
        ] {
            assert_eq!(read_line(&mut input), expected);
        }
    }
}

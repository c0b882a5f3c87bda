//! What is typed: line by line, from a terminal with editing or from a pipe.

use std::io::{self, BufRead as _, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::complete::Names;
use crate::editor::Lined;
use crate::output::{Failure, Output};
use crate::paint::Paint;
use crate::screen::Screen;
use crate::terminal;

/// The longest line taken: more than the longest text.
const LINE_MAX: u64 = 8 * 1024;
/// Lines read ahead of those who carry them out.
const AHEAD: usize = 16;
/// How long the editor may take to begin with a line that nobody needs any more.
const BEGINNING: Duration = Duration::from_millis(100);

/// What a line is asked for as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Command,
    Post,
}

impl Ask {
    pub(crate) fn prompt(self) -> &'static str {
        match self {
            Self::Command => "> ",
            Self::Post => "post> ",
        }
    }
}

/// Something typed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    Line(String),
    /// A line that is of no use here.
    Unfit(&'static str),
    /// Ctrl-C on a terminal.
    Interrupt,
    /// Nothing more will come from a pipe; on a terminal, Ctrl-D.
    End,
}

/// Lines, asked for one by one so that a terminal shows the right prompt.
#[derive(Debug)]
pub(crate) struct Lines {
    ask: mpsc::Sender<Ask>,
    typed: mpsc::Receiver<Typed>,
    /// What the line is being typed as.
    asked: Option<Ask>,
    /// The same, for others: whether one is.
    editing: Arc<AtomicBool>,
    pub(crate) terminal: bool,
}

impl Lines {
    /// Starts the thread that reads stdin, and gives where to print meanwhile. On a terminal
    /// `names` complete, and commands are kept in the file `history`.
    pub(crate) fn start(names: Names, history: Option<&Path>) -> Result<(Self, Screen), Failure> {
        let terminal = terminal::is_there();
        let (ask, asked) = mpsc::channel(1);
        let (tell, typed) = mpsc::channel(AHEAD);
        let editing = Arc::new(AtomicBool::new(false));
        let screen = if terminal {
            let paint = Paint::of_environment();
            let mut editor = Lined::new(names, paint)?;
            let mut screen = Screen::above(editor.printer()?, Arc::clone(&editing), paint);
            if let Some(Err(why)) = history.map(|path| editor.remember(path)) {
                screen.quiet(&why)?;
            }
            if let Some(voice) = screen.quiet_voice() {
                std::thread::spawn(move || editor.run(asked, &tell, voice));
            }
            screen
        } else {
            std::thread::spawn(move || read(asked, &tell));
            Screen::Plain(Output::new(true))
        };
        let lines = Self {
            ask,
            typed,
            asked: None,
            editing,
            terminal,
        };
        Ok((lines, screen))
    }

    /// The next line. Cancel safe: what is being typed goes to the next call, unless that asks for
    /// something else: a post is no command, and the other way round.
    pub(crate) async fn next(&mut self, ask: Ask) -> Typed {
        if self.asked.is_none() {
            self.editing.store(true, Ordering::Release);
            // The thread is gone after the end of a pipe.
            if self.ask.send(ask).await.is_err() {
                return Typed::End;
            }
            self.asked = Some(ask);
        }
        let typed = self.typed.recv().await.unwrap_or(Typed::End);
        self.editing.store(false, Ordering::Release);
        let asked = self.asked.take();
        match typed {
            Typed::Line(line) if self.terminal && asked != Some(ask) && !line.is_empty() => {
                Typed::Unfit("the timeline had ended; that was not posted")
            }
            typed => typed,
        }
    }

    /// Waits until the editor holds the terminal if it is about to: what is given back before it
    /// does would be taken again.
    pub(crate) async fn settle(&self) {
        let until = Instant::now() + BEGINNING;
        while self.asked.is_some() && !terminal::is_raw() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn read(mut asked: mpsc::Receiver<Ask>, tell: &mpsc::Sender<Typed>) {
    let mut input = io::stdin().lock();
    while asked.blocking_recv().is_some() {
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

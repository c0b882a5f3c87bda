//! The terminal as it was found, and left like that on every way out: a return, an error, a signal
//! that asks, a panic in any thread.
//!
//! The line editor sits in raw mode on a thread of its own, so its own care ends when another
//! thread ends the program. What was found is kept here, where a panic hook can reach it.

use std::io::{self, IsTerminal as _};
use std::process;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// The exit code of a program that panicked, as Rust has it.
const PANICKED: i32 = 101;
/// Ends what anybody here may have begun: bracketed paste, a held-back update, a hidden cursor,
/// colours.
const PLAIN: &str = "\x1b[?2004l\x1b[?2026l\x1b[?25h\x1b[0m";
const ALTERNATE_ON: &str = "\x1b[?1049h\x1b[?25l\x1b[2J";
const ALTERNATE_OFF: &str = "\x1b[?1049l";

struct Found {
    termios: Termios,
    alternate: bool,
}

static FOUND: Mutex<Option<Found>> = Mutex::new(None);

fn found() -> MutexGuard<'static, Option<Found>> {
    FOUND.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Holds what was found; gives it back when dropped. One at a time.
#[derive(Debug)]
#[must_use = "the terminal is given back when this is dropped"]
pub(crate) struct Terminal(Termios);

impl Terminal {
    /// Remembers the terminal, and sees to it that a panic anywhere gives it back and ends the
    /// program: half a program in front of a person is worse than none.
    ///
    /// # Errors
    /// The terminal does not say how it is.
    pub(crate) fn keep() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        let termios = tcgetattr(rustix::stdio::stdin())?;
        *found() = Some(Found {
            termios: termios.clone(),
            alternate: false,
        });
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                let kept = give_back();
                before(panic);
                if kept {
                    process::exit(PANICKED);
                }
            }));
        });
        Ok(Self(termios))
    }

    /// Takes the whole screen: keys come one by one, nothing is echoed, what was there is put
    /// aside.
    ///
    /// # Errors
    /// The terminal refuses.
    pub(crate) fn take_screen(&self) -> io::Result<()> {
        // First noted, then done: a panic in between gives back what was never taken.
        if let Some(found) = found().as_mut() {
            found.alternate = true;
        }
        let mut raw = self.0.clone();
        raw.make_raw();
        tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &raw)?;
        write(ALTERNATE_ON)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        give_back();
    }
}

/// Whether somebody sits in front of both stdin and stdout.
pub(crate) fn is_there() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Whether lines are edited now: the terminal is not as it was found.
pub(crate) fn is_raw() -> bool {
    found().as_ref().is_some_and(Found::is_changed)
}

/// Columns and rows; 80 by 24 for one that does not know.
pub(crate) fn size() -> (usize, usize) {
    match tcgetwinsize(rustix::stdio::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => (80, 24),
    }
}

/// Writes past the buffers of the standard library: their locks may be held by a thread that will
/// never give them up.
///
/// # Errors
/// The terminal is gone.
pub(crate) fn write(text: &str) -> io::Result<()> {
    let mut bytes = text.as_bytes();
    while !bytes.is_empty() {
        match rustix::io::write(rustix::stdio::stdout(), bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

impl Found {
    fn is_changed(&self) -> bool {
        tcgetattr(rustix::stdio::stdin())
            .is_ok_and(|now| now.local_modes != self.termios.local_modes)
    }
}

/// Whether there was anything to give back.
fn give_back() -> bool {
    let mut found = found();
    let Some(found) = found.take() else {
        return false;
    };
    let mut end = PLAIN.to_owned();
    if found.alternate {
        end.push_str(ALTERNATE_OFF);
    } else if found.is_changed() {
        // In the middle of a line: what comes next begins its own.
        end.push_str("\r\n");
    }
    // Nobody is left to be told when the terminal is gone.
    drop(write(&end));
    let stdin = rustix::stdio::stdin();
    let _ = tcsetattr(stdin, OptionalActions::Now, &found.termios);
    true
}

//! [`Sitting`]: a program on a pseudo-terminal, and what is on the screen.

use std::num::NonZero;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use pty_process::{Command, OwnedWritePty, Pts, Size};
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{LocalModes, tcgetattr};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Child;
use tokio::time::{sleep, timeout};

use crate::fake::Setup;

/// How long anything may take on a machine that others use too.
const LIMIT: Duration = Duration::from_secs(30);

/// Somebody in front of a terminal.
pub(crate) struct Sitting {
    child: Child,
    keys: OwnedWritePty,
    screen: Arc<Mutex<vt100::Parser>>,
    /// Kept open, so that the terminal outlives the program.
    pts: Pts,
    found: String,
}

impl Sitting {
    /// In front of `sns`, at a terminal of so many columns and rows; its state lies in `home`.
    pub(crate) fn at(
        setup: &Setup,
        home: &tempfile::TempDir,
        args: &[&str],
        size: (u16, u16),
    ) -> Self {
        let command = Command::new(env!("CARGO_BIN_EXE_sns"))
            .args(args)
            .env("SNS_ROUTER", setup.router.address())
            .env("XDG_STATE_HOME", home.path());
        Self::of(command, size)
    }

    pub(crate) fn of(command: Command, (columns, rows): (u16, u16)) -> Self {
        let (pty, pts) = pty_process::open().expect("a terminal");
        pty.resize(Size::new(rows, columns)).expect("resized");
        let found = modes(&pts);
        let mut command = command.env("TERM", "xterm-256color").env("TZ", "UTC");
        for name in ["SNS_USER", "SNS_JSON", "SNS_HISTORY", "NO_COLOR"] {
            command = command.env_remove(name);
        }
        let child = command.kill_on_drop(true).spawn_borrowed(&pts);
        let (mut shown, keys) = pty.into_split();
        let screen = Arc::new(Mutex::new(vt100::Parser::new(some(rows), some(columns), 0)));
        let parser = Arc::clone(&screen);
        tokio::spawn(async move {
            let mut bytes = [0; 4_096];
            while let Ok(read @ 1..) = shown.read(&mut bytes).await {
                parser.lock().expect("sound").process(&bytes[..read]);
            }
        });
        Self {
            child: child.expect("starts"),
            keys,
            screen,
            pts,
            found,
        }
    }

    fn screen(&self) -> MutexGuard<'_, vt100::Parser> {
        self.screen.lock().expect("sound")
    }

    /// The rows of the screen, without the blanks at their ends.
    pub(crate) fn text(&self) -> String {
        let screen = self.screen();
        let (_, columns) = screen.screen().size();
        let rows: Vec<String> = screen.screen().rows(0, columns.get()).collect();
        let rows: Vec<&str> = rows.iter().map(|row| row.trim_end()).collect();
        format!("\n{}\n", rows.join("\n").trim_end())
    }

    pub(crate) async fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).await.expect("typed");
    }

    /// Waits until this is on the screen.
    pub(crate) async fn sees(&self, text: &str) {
        self.sees_that(&format!("{text:?}"), |screen| screen.contains(text))
            .await;
    }

    pub(crate) async fn sees_that(&self, what: &str, seen: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !seen(&self.text()) {
            let text = self.text();
            assert!(Instant::now() < deadline, "no {what} on the screen:{text}");
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Types `begin`, then `key` again and again until `text` is there.
    pub(crate) async fn types_until(&mut self, key: &str, text: &str, begin: &str) {
        self.types(begin).await;
        let deadline = Instant::now() + LIMIT;
        while !self.text().contains(text) {
            assert!(Instant::now() < deadline, "no {text:?}:{}", self.text());
            self.types(key).await;
            sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) fn resize(&self, (columns, rows): (u16, u16)) {
        self.screen()
            .screen_mut()
            .set_size(some(rows), some(columns));
        self.keys.resize(Size::new(rows, columns)).expect("resized");
    }

    /// Whether the row that begins so is dim.
    pub(crate) fn is_dim(&self, row: &str) -> bool {
        let screen = self.screen();
        let (_, columns) = screen.screen().size();
        let mut rows = screen.screen().rows(0, columns.get());
        let at = rows
            .position(|shown| shown.starts_with(row))
            .expect("shown");
        let at = u16::try_from(at).expect("small");
        screen.screen().cell(at, 0).expect("a cell").dim()
    }

    pub(crate) fn is_raw(&self) -> bool {
        let now = tcgetattr(&self.pts).expect("a terminal");
        !now.local_modes.contains(LocalModes::ICANON)
    }

    pub(crate) fn is_on_a_screen_of_its_own(&self) -> bool {
        self.screen().screen().alternate_screen()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().expect("runs")).expect("a pid");
        kill_process(Pid::from_raw(pid).expect("a pid"), signal).expect("signalled");
    }

    /// Leaves by EXIT, in order.
    pub(crate) async fn leaves(&mut self) {
        self.types("EXIT\r").await;
        assert_eq!(self.ends().await, 0, "{}", self.text());
        self.is_as_found();
    }

    /// How the program ended: its code, or minus its signal. All that it wrote is on the screen.
    pub(crate) async fn ends(&mut self) -> i32 {
        let ended = timeout(LIMIT, self.child.wait()).await;
        let status = ended.expect("ends in time").expect("ends");
        // What was written lies in the terminal until it is read.
        let mark = format!("the end of {}", std::process::id());
        rustix::io::write(&self.pts, mark.as_bytes()).expect("written");
        let deadline = Instant::now() + LIMIT;
        while !self
            .screen()
            .screen()
            .contents()
            .replace('\n', "")
            .contains(&mark)
        {
            assert!(Instant::now() < deadline, "no end:{}", self.text());
            sleep(Duration::from_millis(5)).await;
        }
        status
            .code()
            .unwrap_or_else(|| -status.signal().unwrap_or(0))
    }

    /// The terminal is as it was before the program started.
    pub(crate) fn is_as_found(&self) {
        assert_eq!(modes(&self.pts), self.found);
        let screen = self.screen();
        let screen = screen.screen();
        assert!(!screen.bracketed_paste(), "bracketed paste is on");
        assert!(!screen.hide_cursor(), "the cursor is hidden");
        assert!(!screen.alternate_screen(), "the other screen is shown");
    }
}

fn some(number: u16) -> NonZero<u16> {
    NonZero::new(number).expect("a size")
}

fn modes(pts: &Pts) -> String {
    format!("{:?}", tcgetattr(pts).expect("a terminal"))
}

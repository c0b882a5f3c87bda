//! A client of the course, in Python, at a keyboard that the test types on.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "every test takes what it needs"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::spawn;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::cluster::PATIENCE;
use super::python::python;

/// Lines that wait for the test; more than any test lets come.
const LINES: usize = 100_000;

/// A class room: where the gateway is, and what the clients are made of.
pub struct Course {
    python: PathBuf,
    stubs: TempDir,
    pub address: String,
}

impl Course {
    /// `None`: there is no Python here.
    pub fn at(address: String) -> Option<Self> {
        Some(Self {
            python: python()?,
            stubs: tempfile::tempdir().unwrap(),
            address,
        })
    }

    /// A client that has logged in.
    #[track_caller]
    pub fn student(&self, name: &str) -> Student {
        let mut student = self.newcomer(name, false);
        assert_eq!(student.line(), "logged in", "{name}");
        student
    }

    /// One that may or may not get in; its clock may jump back and forth.
    pub fn newcomer(&self, name: &str, scrambled_clock: bool) -> Student {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(&self.python);
        if scrambled_clock {
            command.env("SCRAMBLED_CLOCK", "1");
        }
        let mut child = command
            .arg(root.join("tests/python/course_client.py"))
            .arg(&self.address)
            .arg(root.join("../proto"))
            .arg(self.stubs.path())
            .arg(name)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let printed = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = sync_channel(LINES);
        spawn(move || {
            for line in printed.lines() {
                if line.is_err() || tell.send(line.unwrap()).is_err() {
                    return;
                }
            }
        });
        Student {
            name: name.to_owned(),
            keyboard: child.stdin.take(),
            child,
            lines,
        }
    }
}

/// One client; killed at the end of the test.
pub struct Student {
    name: String,
    keyboard: Option<ChildStdin>,
    child: Child,
    lines: Receiver<String>,
}

impl Student {
    /// Types a line.
    pub fn types(&mut self, line: &str) {
        let keyboard = self.keyboard.as_mut().unwrap();
        writeln!(keyboard, "{line}").unwrap();
        keyboard.flush().unwrap();
    }

    /// Types many lines on a thread of its own: a client that takes no more holds up nobody else.
    pub fn types_on(&mut self, lines: impl Iterator<Item = String> + Send + 'static) {
        let mut keyboard = self.keyboard.take().unwrap();
        spawn(move || {
            for line in lines {
                if writeln!(keyboard, "{line}").is_err() {
                    return;
                }
            }
            // Held open: its end would be the client's.
            std::mem::forget(keyboard);
        });
    }

    /// The next line that it prints.
    #[track_caller]
    pub fn line(&mut self) -> String {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(why) => panic!("{} prints nothing: {why}", self.name),
        }
    }

    /// Types a command; what it prints then.
    #[track_caller]
    pub fn asks(&mut self, command: &str) -> String {
        self.types(command);
        self.line()
    }

    /// What `LIST` prints: all users, and followers.
    #[track_caller]
    pub fn list(&mut self) -> (String, String) {
        let all = self.asks("LIST");
        let followers = self.line();
        assert_eq!(self.line(), DONE);
        let after = |line: String, word: &str| line.strip_prefix(word).unwrap().trim().to_owned();
        (after(all, "all:"), after(followers, "followers:"))
    }

    /// Enters TIMELINE.
    #[track_caller]
    pub fn timeline(&mut self) {
        assert_eq!(self.asks("TIMELINE"), DONE);
    }

    /// The next post that it prints: author and text.
    #[track_caller]
    pub fn post(&mut self) -> (String, String) {
        let line = self.line();
        let parted = line.split_once(") >> ").unwrap_or_else(|| {
            panic!("{} printed no post but {line:?}", self.name);
        });
        let (head, text) = parted;
        let (author, seconds) = head.split_once('(').unwrap();
        assert!(seconds.parse::<u64>().unwrap() > 1_600_000_000, "{line}");
        (author.to_owned(), text.to_owned())
    }

    /// The texts of the next posts, all of one author.
    #[track_caller]
    pub fn texts_of(&mut self, author: &str, count: usize) -> Vec<String> {
        let next = |_| {
            let (by, text) = self.post();
            assert_eq!(by, author, "{text}");
            text
        };
        (0..count).map(next).collect()
    }

    /// Prints nothing for a while.
    #[track_caller]
    pub fn is_silent(&mut self, time: Duration) {
        match self.lines.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => {}
            other => panic!("{} should print nothing: {other:?}", self.name),
        }
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

impl Drop for Student {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the client prints when its command was carried out.
pub const DONE: &str = "Command completed successfully";

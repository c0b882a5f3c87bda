//! The example programs, run as a stranger runs them: the binaries that cargo built beside this test.

#![allow(dead_code, reason = "each test uses some of it")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long any of them may take to say its next line.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The binary of the example `name`.
///
/// `cargo test` builds all examples; `cargo test --test NAME` does not. Where it is missing or older
/// than its source it is built, in the same way as the whole workspace is.
pub(crate) fn binary(name: &str) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let test = std::env::current_exe().unwrap();
    // target/PROFILE/deps/TEST
    let profile = test.parent().unwrap().parent().unwrap();
    let binary = profile.join("examples").join(name);
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let changed = |path: &Path| path.metadata().and_then(|m| m.modified()).ok();
    let source = changed(&package.join(format!("examples/{name}.rs"))).unwrap();
    if changed(&binary).is_none_or(|built| built < source) {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(package.parent().unwrap());
        cargo.args(["build", "--quiet", "--examples"]);
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success(), "{name} does not build");
    }
    binary
}

/// Runs an example to its end.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) fn run(name: &str, args: &[&str]) -> Ended {
    let mut command = Command::new(binary(name));
    let output = command.args(args).stdin(Stdio::null()).output().unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// An example that runs; killed with SIGKILL when it is dropped.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    pub(crate) fn start(name: &str, args: &[&str]) -> Self {
        let mut command = Command::new(binary(name));
        let command = command.args(args).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (told, lines) = sync_channel(1024);
        thread::spawn(move || read(stdout, |line| told.send(line).is_ok()));
        Self { child, lines }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line of its stdout; `None` = it has ended.
    pub(crate) fn line(&self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => None,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("not a word in {PATIENCE:?}"),
        }
    }

    /// Waits at most so long for a line.
    pub(crate) fn line_within(&self, time: Duration) -> Option<String> {
        self.lines.recv_timeout(time).ok()
    }

    /// SIGKILL, wherever it is.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and the exit code that it ends with.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it does not end");
            thread::park_timeout(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Hands out lines until the end, or until nobody listens; then it reads on, so that the writer does
/// not stand still before a full pipe.
fn read(mut stdout: BufReader<ChildStdout>, each: impl Fn(String) -> bool) {
    let mut line = String::new();
    while stdout.read_line(&mut line).is_ok_and(|read| read > 0) {
        if !each(line.trim_end().to_owned()) {
            break;
        }
        line.clear();
    }
    let _ = stdout.read_to_end(&mut Vec::new());
}

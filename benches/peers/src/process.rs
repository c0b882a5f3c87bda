//! A server that was started here, and ends with the value that stands for it.

use std::io;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use crate::failure::{Doing as _, Failure, Result};

/// A server that was asked to stop and is still there after this is killed.
const STOPPING: Duration = Duration::from_secs(20);

/// A running server. Dropping it stops the server, by its process id, and waits for its end.
#[derive(Debug)]
pub struct Running {
    name: &'static str,
    child: Child,
    /// What asks it to end soon.
    signal: Signal,
}

impl Running {
    /// Starts `command` apart from this terminal's Ctrl-C, with its output in `log`.
    pub(crate) fn start(
        name: &'static str,
        command: &mut Command,
        signal: Signal,
        log: &Path,
    ) -> Result<Self> {
        use std::os::unix::process::CommandExt as _;
        let file = std::fs::File::create(log).doing(format_args!("write {}", log.display()))?;
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stderr(file)
            .spawn()
            .doing(format_args!("start {name}"))?;
        Ok(Self {
            name,
            child,
            signal,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it writes, when its stdout is piped.
    pub(crate) fn stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Fails with the end of its log when it has ended by itself.
    pub(crate) fn check(&mut self, log: &Path) -> Result<()> {
        let ended = self.child.try_wait();
        match ended.doing(format_args!("look at {}", self.name))? {
            None => Ok(()),
            Some(status) => Err(Failure(format!(
                "{} ended with {status}: {}",
                self.name,
                tail(log)
            ))),
        }
    }

    /// Stops it, and waits for its end.
    ///
    /// # Errors
    /// It cannot be signalled, or does not end even when killed.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        let stopped = self.try_stop();
        stopped.doing(format_args!("stop {}", self.name))
    }

    fn try_stop(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        let pid = Pid::from_child(&self.child);
        let handle = pidfd_open(pid, PidfdFlags::empty())?;
        kill_process(pid, self.signal)?;
        let limit = Timespec::try_from(STOPPING).map_err(io::Error::other)?;
        let mut ended = [PollFd::new(&handle, PollFlags::IN)];
        let stops = matches!(poll(&mut ended, Some(&limit)), Ok(ready) if ready > 0);
        if !stops {
            self.child.kill()?;
        }
        self.child.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nobody is left to tell; the process id was the last thing that could be done.
        drop(self.try_stop());
    }
}

/// The last lines of a log, for a message.
fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    let lines: Vec<&str> = lines.into_iter().rev().collect();
    if lines.is_empty() {
        return "it said nothing".to_owned();
    }
    lines.join(" / ")
}

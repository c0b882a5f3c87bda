//! A child of this process: one that it started, or that the program started which ran in this
//! process before (see [`again`](crate::again)).

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, waitid};
use tokio::process::Child;

use super::process::{self, Handle, ProcessId};

/// A child that is asked now and then whether it ended.
#[derive(Debug)]
pub(crate) enum OwnChild {
    /// Started here.
    Started(Child),
    /// Taken over.
    Adopted(Handle),
}

impl OwnChild {
    /// The process `id`, if it is a child of this one and has not been waited for.
    pub(crate) fn adopt(id: ProcessId) -> Option<Self> {
        let handle = Handle::open(id).ok().flatten()?;
        // Who is no child of ours cannot be waited for.
        reap(&handle, WaitIdOptions::NOWAIT).ok()?;
        Some(Self::Adopted(handle))
    }

    /// How it ended, if it did.
    pub(crate) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        match self {
            Self::Started(child) => child.try_wait(),
            Self::Adopted(handle) => reap(handle, WaitIdOptions::empty()),
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        match self {
            Self::Started(child) => child.start_kill(),
            Self::Adopted(handle) => handle.signal(Signal::KILL),
        }
    }
}

/// How the child behind `handle` ended, if it did. Never waits.
///
/// # Errors
/// It is no child of this process.
pub(crate) fn reap(handle: &Handle, how: WaitIdOptions) -> io::Result<Option<ExitStatus>> {
    let how = how | WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let ended = waitid(WaitId::PidFd(handle.descriptor()), how)?;
    Ok(ended.as_ref().map(status))
}

/// As the kernel codes it: the code, or the signal.
fn status(ended: &WaitIdStatus) -> ExitStatus {
    let code = ended.exit_status().map(|code| (code & 0xff) << 8);
    let signal = ended.terminating_signal();
    ExitStatus::from_raw(code.or(signal).unwrap_or_default())
}

/// Whether orphans of this machine, or of its container, become children of this process.
pub(crate) fn adopts_orphans() -> bool {
    std::process::id() == 1
}

/// Reaps children that ended and are none of `known`: the children of a child that died. Without that,
/// their remains would stay for as long as this process does.
pub(crate) fn reap_orphans(known: &[u32]) {
    let own = std::process::id();
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    for pid in process::remains_of(own) {
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
        if let Some(raw) = raw.filter(|_| !known.contains(&pid)) {
            let _ = waitid(WaitId::Pid(raw), look);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_child_of_the_program_before_is_taken_over_and_its_end_is_known() {
        for (script, code, signal) in [("exit 7", Some(7), None), ("kill -9 $$", None, Some(9))] {
            let child = tokio::process::Command::new("sh")
                .args(["-c", &format!("read line; {script}")])
                .stdin(std::process::Stdio::piped())
                .spawn();
            let mut child = child.unwrap();
            let id = ProcessId::of(child.id().unwrap()).unwrap();
            let mut adopted = OwnChild::adopt(id).unwrap();
            assert_eq!(adopted.try_wait().unwrap(), None);
            drop(child.stdin.take());
            let status = loop {
                if let Some(status) = adopted.try_wait().unwrap() {
                    break status;
                }
                tokio::task::yield_now().await;
            };
            assert_eq!((status.code(), status.signal()), (code, signal));
            // Somebody waited for it already.
            assert!(adopted.try_wait().is_err());
        }
    }

    #[tokio::test]
    async fn a_process_that_is_no_child_is_not_taken_over() {
        let parent = std::os::unix::process::parent_id();
        let id = ProcessId::of(parent).unwrap();
        assert!(OwnChild::adopt(id).is_none());
    }
}

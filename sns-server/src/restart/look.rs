//! What `/proc` says of processes that are to be replaced: which file they run, whether they can be
//! asked, and which one is the router.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::again;
use crate::pair::process::{self, ProcessId};
use crate::sockets::Listening;

/// A file, whatever its name: device and inode.
pub(super) type FileId = (u64, u64);

/// The file at `path`.
pub(super) fn file_id(path: &Path) -> Option<FileId> {
    let file = fs::metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}

/// The file that the process `pid` runs, also when that was replaced on disk since.
pub(super) fn runs(pid: u32) -> Option<FileId> {
    file_id(format!("/proc/{pid}/exe").as_ref())
}

/// Whether `program` would run with the words and variables of the process `pid`: a file with settings may
/// have changed since that read it.
///
/// # Errors
/// Why not, as the program says it.
pub(super) fn would_run(program: &Path, pid: u32) -> Result<(), String> {
    let line = words(pid, "cmdline").map_err(|e| e.to_string())?;
    let variables = words(pid, "environ").map_err(|e| e.to_string())?;
    let variables = variables.iter().filter_map(|variable| {
        let bytes = variable.as_bytes();
        let at = bytes.iter().position(|byte| *byte == b'=')?;
        Some((
            OsStr::from_bytes(&bytes[..at]),
            OsStr::from_bytes(&bytes[at + 1..]),
        ))
    });
    let output = Command::new(program)
        .args(["config", "check"])
        .args(line.get(1..).unwrap_or_default())
        .env_clear()
        .envs(variables)
        .env_remove(again::VARIABLE)
        .current_dir(format!("/proc/{pid}/cwd"))
        .output()
        .map_err(|e| e.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// What the kernel keeps of a process, each ended by a zero.
fn words(pid: u32, what: &str) -> std::io::Result<Vec<OsString>> {
    let mut bytes = fs::read(format!("/proc/{pid}/{what}"))?;
    bytes.pop();
    let words = bytes.split(|byte| *byte == 0);
    Ok(words.map(|it| OsString::from_vec(it.to_vec())).collect())
}

/// Whether the process `pid` takes the signal that asks for a replacement; one of an older version
/// would be killed by it.
pub(super) fn takes(pid: u32, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    // Held back for a descriptor, or caught.
    let masks = status.lines().filter_map(|line| {
        let mask = line
            .strip_prefix("SigBlk:")
            .or(line.strip_prefix("SigCgt:"))?;
        u64::from_str_radix(mask.trim(), 16).ok()
    });
    let bit = 1_u64 << (signal.as_raw() - 1);
    masks.fold(0, |all, mask| all | mask) & bit != 0
}

/// The router of ours that listens on `port` of this machine.
pub(super) fn router_on(port: u16) -> Option<ProcessId> {
    let sockets = Listening::on(port);
    let is_router = |id: &ProcessId| {
        let words = process::command_line(id.pid).map(|(_, words)| words);
        words.is_some_and(|words| words.iter().any(|word| word == "router")) && process::is_ours(id)
    };
    let holds = |pid| sockets.iter().any(|it| it.is_open_in(pid));
    let mut ours = process::all().into_iter().filter_map(ProcessId::of);
    ours.find(|id| is_router(id) && holds(id.pid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_and_is_no_router_is_not_taken_for_one() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(Listening::on(port).len(), 1);
        assert_eq!(router_on(port), None);
    }

    #[test]
    fn a_process_takes_what_it_catches_only() {
        let own = std::process::id();
        assert!(!takes(own, Signal::USR2));
        assert_eq!(runs(own), file_id("/proc/self/exe".as_ref()));
    }
}

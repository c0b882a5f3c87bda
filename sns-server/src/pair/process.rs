//! Processes: who they are beyond a number, who holds a lock, starting, watching and killing them.
//!
//! A pid alone is never trusted: numbers are used again. [`ProcessId`] adds the start time and the
//! boot, and [`Handle`] is a pidfd, which means one process for ever.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use sns_core::own_file;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::process::{Child, Command};

use crate::again;
use crate::notify::NotifiesNobody as _;
use crate::telemetry::escaped;

/// A `server.log` past this is set aside at the next start; one older one is kept.
const LOG_BYTES: u64 = 16 * 1024 * 1024;

/// How often `/proc/locks` is read before a lock counts as held by nobody: the kernel prints it in
/// pieces, and while others take and give back locks a row may fall between two of them.
const LOOKS: u32 = 3;

/// The kernel counts start times in 1/100 s, on every architecture that we run on.
const TICKS_PER_SECOND: u64 = 100;

/// One process, now and for ever: a pid, told from its later users by start time and boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its number.
    pub pid: u32,
    /// Clock ticks from boot to its start.
    pub start_time: u64,
    /// `/proc/sys/kernel/random/boot_id`, as it sees that itself.
    pub boot_id: String,
}

impl ProcessId {
    /// The process that has the number `pid` now; `None` when there is none, or only its remains.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = Stat::of(pid)?;
        (!stat.is_gone()).then(|| Self {
            pid,
            start_time: stat.start_time,
            boot_id: boot_id_in(pid),
        })
    }

    /// This process.
    ///
    /// # Errors
    /// `/proc` is not there.
    pub fn own() -> io::Result<Self> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, "/proc/self/stat is not there");
        Self::of(std::process::id()).ok_or_else(missing)
    }

    /// Whether it still runs, be it stopped.
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    /// It was started since the machine booted.
    pub fn is_of_this_boot(&self) -> bool {
        self.boot_id == boot_id()
    }

    /// For how long it has run.
    pub fn age(&self) -> Duration {
        let up = fs::read_to_string("/proc/uptime").ok();
        let up = up.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
        let up = Duration::try_from_secs_f64(up.unwrap_or(0.0)).unwrap_or_default();
        up.saturating_sub(Duration::from_millis(
            self.start_time.saturating_mul(1_000 / TICKS_PER_SECOND),
        ))
    }
}

/// What `/proc/PID/stat` says.
struct Stat {
    state: char,
    parent: u32,
    start_time: u64,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name stands in parentheses and may hold anything, parentheses too.
        let (_, rest) = text.rsplit_once(')')?;
        let mut fields = rest.split_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        // Field 22; the parent is field 4.
        let start_time = fields.nth(17)?.parse().ok()?;
        Some(Self {
            state,
            parent,
            start_time,
        })
    }

    fn is_gone(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// The children of `parent` that ended and that nobody waited for.
pub(crate) fn remains_of(parent: u32) -> Vec<u32> {
    let remains = |pid: &u32| {
        let stat = Stat::of(*pid);
        stat.is_some_and(|stat| stat.parent == parent && stat.state == 'Z')
    };
    all().into_iter().filter(remains).collect()
}

/// The numbers of all processes that this one can see.
pub(crate) fn all() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let number = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    entries.filter_map(number).collect()
}

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

fn boot_id() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| {
        let text = fs::read_to_string(BOOT_ID).unwrap_or_default();
        text.trim().to_owned()
    })
}

/// The boot as the process `pid` sees it. Containers show one of their own, and a unit of systemd in there
/// that has a `/proc` to itself (`ProtectProc=`) sees that of the machine: without this a program outside
/// of the unit would take its processes for those of another boot.
fn boot_id_in(pid: u32) -> String {
    match fs::read_to_string(format!("/proc/{pid}/root{BOOT_ID}")) {
        Ok(text) => text.trim().to_owned(),
        // Of another user, or it has no `/proc`.
        Err(_) => boot_id().to_owned(),
    }
}

/// What a process does, for a human: "stopped", "in uninterruptible sleep", …
pub fn doing(pid: u32) -> &'static str {
    match Stat::of(pid).map(|stat| stat.state) {
        Some('T' | 't') => "stopped",
        Some('D') => "in uninterruptible sleep",
        Some('Z' | 'X' | 'x') | None => "gone",
        Some(_) => "running",
    }
}

/// The program that the process `pid` runs, and its arguments; `None` when it is gone or belongs to
/// somebody else.
pub fn command_line(pid: u32) -> Option<(PathBuf, Vec<String>)> {
    let program = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words = words.strip_suffix(b"\0").unwrap_or(&words);
    let words = words.split(|byte| *byte == 0).skip(1);
    let args = words.map(|word| String::from_utf8_lossy(word).into_owned());
    Some((without_deleted(program), args.collect()))
}

/// Whether the process `id` is one of ours: it runs this program, whatever the path, or one of its
/// name. A file that names a process may be crafted, and a lock be held by somebody else's program:
/// only what this says yes to is ever sent a signal.
pub fn is_ours(id: &ProcessId) -> bool {
    let Some((found, _)) = command_line(id.pid) else {
        return false;
    };
    let own = executable().ok();
    let own = own.as_deref().and_then(Path::file_name);
    let found = found.file_name();
    found.is_some() && (found == own || found == Some("sns-server".as_ref()))
}

/// The process that holds the exclusive `flock` of `path`; `None` when nobody does.
///
/// Read from `/proc/locks`: trying the lock instead would make a node that starts in this moment
/// believe that it runs already.
///
/// # Errors
/// `/proc/locks` or the file cannot be read; a missing file is held by nobody.
pub fn lock_holder(path: &Path) -> io::Result<Option<u32>> {
    // Not through a link: the lock of another file says nothing about this one.
    let file = match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    for _ in 0..LOOKS {
        let locks = fs::read_to_string("/proc/locks")?;
        let held = locks.lines().filter_map(parse_lock);
        for lock in held.filter(|lock| lock.inode == file.ino()) {
            // Some file systems show another device there than `stat` does.
            let same = (lock.major, lock.minor)
                == (rustix::fs::major(file.dev()), rustix::fs::minor(file.dev()));
            if same || has_open(lock.pid, path) {
                return Ok(Some(lock.pid));
            }
        }
        std::thread::yield_now();
    }
    Ok(None)
}

struct Lock {
    pid: u32,
    major: u32,
    minor: u32,
    inode: u64,
}

/// `1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF`; those who wait have an arrow: no lock.
fn parse_lock(line: &str) -> Option<Lock> {
    let mut fields = line.split_whitespace().skip(1);
    if fields.next()? != "FLOCK" || fields.nth(1)? != "WRITE" {
        return None;
    }
    let pid = fields.next()?.parse().ok()?;
    let mut place = fields.next()?.split(':');
    Some(Lock {
        pid,
        major: u32::from_str_radix(place.next()?, 16).ok()?,
        minor: u32::from_str_radix(place.next()?, 16).ok()?,
        inode: place.next()?.parse().ok()?,
    })
}

fn has_open(pid: u32, path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else {
        return false;
    };
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .any(|target| target == path)
}

/// A hold on one process: signals reach it and nobody else.
#[derive(Debug)]
pub struct Handle {
    id: ProcessId,
    fd: AsyncFd<OwnedFd>,
}

impl Handle {
    /// A hold on `id`; `None` when it is gone.
    ///
    /// # Errors
    /// The kernel has no pidfd to give. Call it inside a tokio runtime.
    pub fn open(id: ProcessId) -> io::Result<Option<Self>> {
        let pid = i32::try_from(id.pid).ok().and_then(Pid::from_raw);
        let Some(pid) = pid else {
            return Ok(None);
        };
        let fd = match pidfd_open(pid, PidfdFlags::empty()) {
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            other => other?,
        };
        // The number may have gone to someone else before the descriptor was open.
        if !id.is_alive() {
            return Ok(None);
        }
        #[allow(
            deprecated,
            reason = "its successor is unsafe; an OwnedFd keeps the promise that one asks for"
        )]
        let fd = AsyncFd::with_interest(fd, Interest::READABLE)?;
        Ok(Some(Self { id, fd }))
    }

    /// Whom it holds.
    pub fn id(&self) -> &ProcessId {
        &self.id
    }

    /// The pidfd.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.fd.get_ref().as_fd()
    }

    /// Sends a signal; one that is gone gets none, and that is no error.
    ///
    /// # Errors
    /// It belongs to another user.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.fd, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Returns when it has ended.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn exited(&self) {
        // A pidfd becomes readable at the end of its process and stays so.
        if self.fd.readable().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The program to start: this one, by the path by which it was started, which may be a link. After
/// an upgrade that replaced the file or the link, the new one.
///
/// # Errors
/// `/proc` is not there.
pub fn program() -> io::Result<PathBuf> {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    if let Some(program) = PROGRAM.get() {
        return Ok(program.clone());
    }
    let found = executable()?;
    let typed = std::env::args_os().next().map(PathBuf::from);
    let typed = typed.and_then(|typed| as_typed(&typed, &found));
    Ok(PROGRAM.get_or_init(|| typed.unwrap_or(found)).clone())
}

/// The file that this process runs, links resolved.
fn executable() -> io::Result<PathBuf> {
    std::env::current_exe().map(without_deleted)
}

/// The absolute path that `typed`, the first word of the command line, means, if it leads to `found`.
fn as_typed(typed: &Path, found: &Path) -> Option<PathBuf> {
    let leads = |path: &PathBuf| path.canonicalize().is_ok_and(|target| target == found);
    if typed.components().count() > 1 {
        return std::path::absolute(typed).ok().filter(leads);
    }
    let path = std::env::var_os("PATH")?;
    let mut dirs = std::env::split_paths(&path).filter(|dir| dir.is_absolute());
    dirs.find_map(|dir| Some(dir.join(typed)).filter(leads))
}

/// The kernel says so of a program whose file was replaced since it was started.
fn without_deleted(program: PathBuf) -> PathBuf {
    let text = program.to_string_lossy();
    match text.strip_suffix(" (deleted)") {
        Some(path) => PathBuf::from(path),
        None => program,
    }
}

/// Starts `program` with `args`, detached: it has its own process group (Ctrl-C in a terminal does
/// not reach it) and writes to `dir/server.log`, so that it outlives whoever started it.
///
/// # Errors
/// The log cannot be opened, or the program cannot be started.
pub fn spawn(program: &Path, args: &[OsString], dir: &Path) -> io::Result<Child> {
    fs::create_dir_all(dir)?;
    let log = log_path(dir);
    if fs::metadata(&log).is_ok_and(|old| old.len() > LOG_BYTES) {
        fs::rename(&log, dir.join("server.log.1"))?;
    }
    let open = || {
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(0o600);
        own_file::open_with(&mut options, &log)
    };
    Command::new(program)
        .args(args)
        // It is told everything: what a file says is not to count twice, and otherwise.
        .env_remove("SNS_CONFIG")
        .stdin(Stdio::null())
        .stdout(open()?)
        .stderr(open()?)
        .process_group(0)
        .env_remove(again::VARIABLE)
        .notifies_nobody()
        .spawn()
}

/// Where a process that was started with [`spawn`] writes.
pub fn log_path(dir: &Path) -> PathBuf {
    dir.join("server.log")
}

/// The last error in the log of a process, escaped: why it ended, if it could still say so.
pub fn last_words(dir: &Path) -> Option<String> {
    let mut log = own_file::open(&log_path(dir)).ok()?;
    let length = log.metadata().ok()?.len();
    log.seek(SeekFrom::Start(length.saturating_sub(4_096)))
        .ok()?;
    let mut bytes = Vec::new();
    log.take(4_096).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let last = text.lines().rev().find(|line| !line.trim().is_empty())?;
    let words: String = error_in(last)?.chars().take(300).collect();
    Some(escaped(&words))
}

/// The message of an error, as `--json` or a terminal has it; `None` where the line is none.
fn error_in(line: &str) -> Option<String> {
    if let Some(words) = line.strip_prefix("error: ") {
        return Some(words.to_owned());
    }
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    Some(line.get("error")?.get("message")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use rustix::fs::{FlockOperation, flock};

    use super::*;

    #[test]
    fn the_holder_of_a_lock_is_found_without_trying_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert_eq!(lock_holder(&path).unwrap(), None);
        let file = fs::File::create(&path).unwrap();
        assert_eq!(lock_holder(&path).unwrap(), None);
        flock(&file, FlockOperation::NonBlockingLockShared).unwrap();
        assert_eq!(lock_holder(&path).unwrap(), None);
        flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
        assert_eq!(lock_holder(&path).unwrap(), Some(std::process::id()));
        drop(file);
        assert_eq!(lock_holder(&path).unwrap(), None);
    }

    #[test]
    fn lines_of_proc_locks_are_read() {
        let lock = parse_lock("12: FLOCK  ADVISORY  WRITE 4711 fe:01:1234567 0 EOF").unwrap();
        assert_eq!(lock.pid, 4_711);
        assert_eq!((lock.major, lock.minor, lock.inode), (254, 1, 1_234_567));
        for line in [
            "12: -> FLOCK  ADVISORY  WRITE 4711 fe:01:1234567 0 EOF",
            "12: FLOCK  ADVISORY  READ 4711 fe:01:1234567 0 EOF",
            "12: POSIX  ADVISORY  WRITE 4711 fe:01:1234567 0 EOF",
            "12: FLOCK  ADVISORY  WRITE -1 fe:01:1234567 0 EOF",
            "",
        ] {
            assert!(parse_lock(line).is_none(), "{line}");
        }
    }

    #[tokio::test]
    async fn a_process_is_held_signalled_and_seen_to_end() {
        let dir = tempfile::tempdir().unwrap();
        let args = ["60".into()];
        let mut child = spawn(Path::new("/bin/sleep"), &args, dir.path()).unwrap();
        let id = ProcessId::of(child.id().unwrap()).unwrap();
        let handle = Handle::open(id.clone()).unwrap().unwrap();
        assert!(id.is_alive() && id.is_of_this_boot());
        let args = loop {
            // The kernel shows the new program a moment before its arguments.
            let (program, args) = command_line(id.pid).unwrap();
            assert!(program.is_absolute(), "{program:?}");
            if !args.is_empty() {
                break args;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(args, ["60"]);
        assert!(id.age() < Duration::from_secs(30));
        // The same number at another time is someone else.
        let earlier = ProcessId {
            start_time: id.start_time - 1,
            ..id.clone()
        };
        assert!(!earlier.is_alive());
        assert!(Handle::open(earlier).unwrap().is_none());
        handle.signal(Signal::KILL).unwrap();
        handle.exited().await;
        child.wait().await.unwrap();
        assert!(!id.is_alive());
        assert_eq!(doing(id.pid), "gone");
        handle.signal(Signal::KILL).unwrap();
    }

    #[tokio::test]
    async fn a_child_is_in_a_group_of_its_own_and_writes_to_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let script = "echo \"error: $(ps -o pgid= -p $$ | tr -d ' ') $$\" >&2; exit 7";
        let args = ["-c".into(), script.into()];
        let mut child = spawn(Path::new("/bin/sh"), &args, dir.path()).unwrap();
        assert_eq!(child.wait().await.unwrap().code(), Some(7));
        let words = last_words(dir.path()).unwrap();
        let (group, pid) = words.split_once(' ').unwrap();
        assert_eq!(group, pid);
    }
}

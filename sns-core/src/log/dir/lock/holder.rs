//! Who holds the right to write and does not move, and whether to kill it (rule R9).

use super::super::disk::Identity;
use super::Shared;

/// A process that holds the right to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// When it was started, in the kernel's ticks since boot; with the pid it names one process.
    pub start: u64,
    /// Its node name; empty when it is not known.
    pub node: String,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.node.is_empty() {
            write!(f, "process {} (unknown node)", self.pid)
        } else {
            write!(f, "process {} (node {})", self.pid, self.node)
        }
    }
}

/// What the holder wrote into the lock file.
fn note(bytes: &[u8]) -> Option<Holder> {
    let text = std::str::from_utf8(bytes).ok()?.trim_end();
    let mut words = text.splitn(3, ' ');
    Some(Holder {
        pid: words.next()?.parse().ok()?,
        start: words.next()?.parse().ok()?,
        node: words.next()?.into(),
    })
}

/// Finds the holder and kills it if it may be killed; says in words what was found and done.
#[cfg(target_os = "linux")]
pub(super) fn deal_with(
    lock: Identity,
    signed: &[u8],
    shared: &Shared,
    unmoved: impl Fn() -> bool,
) -> String {
    use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

    let Some(holder) = linux::find(lock, signed, &shared.nodes_dir()) else {
        return "a process that cannot be found holds the right to write and does not move".into();
    };
    let held_up = format!("{holder} holds the right to write and does not move");
    if holder.pid == std::process::id() {
        return format!("{held_up}: it is this process, by another handle");
    }
    if linux::is_busy(holder.pid) {
        // A sync under the lock, on a slow disk: it would not die from a signal either.
        return format!("{held_up}: it waits for the disk");
    }
    if !shared.options.holder_policy.allows(&holder) {
        return format!("{held_up}; it is not ours to kill: let it go on, or end it");
    }
    let Some(pid) = i32::try_from(holder.pid).ok().and_then(Pid::from_raw) else {
        return held_up;
    };
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        Err(error) => return format!("{held_up}, and cannot be killed: {error}"),
    };
    // The descriptor names one process for good: what holds now holds when the signal arrives.
    let again = linux::find(lock, signed, &shared.nodes_dir());
    if again.as_ref() != Some(&holder) || linux::is_busy(holder.pid) || !unmoved() {
        return format!("{held_up}, or moved just now");
    }
    match pidfd_send_signal(&pidfd, Signal::KILL) {
        Ok(()) => format!("{held_up}: it was killed"),
        Err(error) => format!("{held_up}, and cannot be killed: {error}"),
    }
}

/// Elsewhere nothing is found out: the holder is named as it signed, never killed.
#[cfg(not(target_os = "linux"))]
pub(super) fn deal_with(_: Identity, signed: &[u8], _: &Shared, _: impl Fn() -> bool) -> String {
    match note(signed) {
        Some(holder) => format!("{holder} may hold the right to write; nothing moves"),
        None => "the right to write is held and nothing moves".into(),
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    use super::super::super::disk::process_start;
    use super::{Holder, Identity, note};

    /// The pids that hold a lock of the kind `flock` on a file, as the kernel says.
    fn pids(locks: &str, file: Identity) -> Vec<u32> {
        let (device, inode) = file;
        let exact = format!(
            "{:02x}:{:02x}:{inode}",
            rustix::fs::major(device),
            rustix::fs::minor(device)
        );
        let inode = format!(":{inode}");
        let rows: Vec<(u32, &str)> = locks
            .lines()
            .filter_map(|line| {
                // `4: FLOCK  ADVISORY  WRITE 1234 fd:01:5678 0 EOF`; `->` marks those that wait.
                let mut words = line.split_whitespace().skip(1);
                let flock = words.next()? == "FLOCK";
                let pid = words.nth(2)?.parse().ok()?;
                let file = words.next()?;
                (flock && file.ends_with(&inode)).then_some((pid, file))
            })
            .collect();
        // Some file systems (btrfs, overlay) show another device here than to `stat`.
        let sure = rows.iter().any(|(_, file)| *file == exact);
        rows.into_iter()
            .filter(|(_, file)| !sure || *file == exact)
            .map(|(pid, _)| pid)
            .collect()
    }

    /// How often `/proc/locks` is read before a holder counts as not to be found: the kernel prints
    /// it in pieces, and while others take and give back locks a row may fall between two of them,
    /// or show twice.
    const LOOKS: u32 = 5;

    /// Who holds `lock`: the kernel gives the pid, the note the name, if it is by that process.
    pub(super) fn find(lock: Identity, signed: &[u8], nodes: &Path) -> Option<Holder> {
        (0..LOOKS).find_map(|look| {
            if look > 0 {
                pause();
            }
            find_once(lock, signed, nodes)
        })
    }

    fn find_once(lock: Identity, signed: &[u8], nodes: &Path) -> Option<Holder> {
        let locks = fs::read_to_string("/proc/locks").ok()?;
        let [pid] = pids(&locks, lock)[..] else {
            return None;
        };
        let start = process_start(pid)?;
        if let Some(holder) = note(signed)
            && (holder.pid, holder.start) == (pid, start)
        {
            return Some(holder);
        }
        // Stopped before it signed: its node lock tells who it is.
        let node = fs::read_dir(nodes).ok().and_then(|entries| {
            entries.flatten().find_map(|entry| {
                let metadata = fs::metadata(entry.path().join("lock")).ok()?;
                pids(&locks, (metadata.dev(), metadata.ino()))
                    .contains(&pid)
                    .then(|| entry.file_name().to_string_lossy().into_owned())
            })
        });
        Some(Holder {
            pid,
            start,
            node: node.unwrap_or_default(),
        })
    }

    /// Whether a thread of the process runs or waits for a disk, seen a few times: a stopped one
    /// does neither.
    pub(super) fn is_busy(pid: u32) -> bool {
        (0..5).any(|round| {
            if round > 0 {
                pause();
            }
            let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
                return false;
            };
            tasks.flatten().any(|task| {
                fs::read_to_string(task.path().join("stat")).is_ok_and(|stat| {
                    let state = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start());
                    state.is_some_and(|state| state.starts_with(['D', 'R']))
                })
            })
        })
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "five looks at another process or at its lock, 40 ms in all, after a second of \
                  standstill"
    )]
    fn pause() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn holders_are_told_from_those_that_wait_and_from_other_files() {
            let locks = "1: FLOCK  ADVISORY  WRITE 71 fd:01:900 0 EOF\n\
                         1: -> FLOCK  ADVISORY  WRITE 72 fd:01:900 0 EOF\n\
                         2: POSIX  ADVISORY  WRITE 73 fd:01:900 0 EOF\n\
                         3: FLOCK  ADVISORY  WRITE 74 fd:01:1900 0 EOF\n\
                         4: FLOCK  ADVISORY  WRITE 75 00:2a:900 0 EOF\n";
            let device = rustix::fs::makedev(0xfd, 1);
            assert_eq!(pids(locks, (device, 900)), [71]);
            assert!(pids(locks, (device, 901)).is_empty());
            // A device that the kernel shows otherwise: both may be it, and then nobody is named.
            assert_eq!(pids(locks, (rustix::fs::makedev(9, 9), 900)), [71, 75]);
        }
    }
}

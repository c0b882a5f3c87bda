//! What the kernel gives to one user: watches of files, by which a replica hears of new entries.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use super::finding::Finding;

/// Processes that are looked at to count what is in use.
const PROCESSES: usize = 10_000;

#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// How many a user may have; `None`: nobody can tell.
    most: Option<u64>,
    /// How many this user has.
    used: u64,
    /// How many more are going to be needed.
    needed: u64,
}

impl Facts {
    pub(super) fn gather(needed: u64) -> Self {
        let most = fs::read_to_string("/proc/sys/fs/inotify/max_user_instances");
        Self {
            most: most.ok().and_then(|text| text.trim().parse().ok()),
            used: used(),
            needed,
        }
    }
}

fn used() -> u64 {
    let user = rustix::process::geteuid().as_raw();
    let Ok(processes) = fs::read_dir("/proc") else {
        return 0;
    };
    let own = processes.filter_map(Result::ok).filter(|process| {
        let number = process
            .file_name()
            .to_str()
            .is_some_and(|name| name.parse::<u32>().is_ok());
        number && process.metadata().is_ok_and(|found| found.uid() == user)
    });
    let count = |process: fs::DirEntry| {
        let open = fs::read_dir(process.path().join("fd")).ok();
        let open = open.into_iter().flatten().filter_map(Result::ok);
        let target = |fd: fs::DirEntry| fs::read_link(fd.path()).ok();
        let watches = open
            .filter_map(target)
            .filter(|it| it.as_os_str() == "anon_inode:inotify");
        watches.count() as u64
    };
    own.take(PROCESSES).map(count).sum()
}

pub(super) fn judge(facts: &Facts) -> Option<Finding> {
    if facts.needed == 0 {
        return None;
    }
    let Some(most) = facts.most else {
        let found = "this kernel has none: nodes look for new entries in short intervals";
        return Some(Finding::ok("inotify", found));
    };
    let found = format!(
        "this user has {} of {most} instances, and {} processes take one each",
        facts.used, facts.needed
    );
    if most.saturating_sub(facts.used) >= facts.needed {
        return Some(Finding::ok("inotify", found));
    }
    let advice = "raise fs.inotify.max_user_instances by sysctl; without one a node looks for new \
                  entries in short intervals, which costs it time";
    Some(Finding::warn("inotify", found, advice))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Verdict;

    #[test]
    fn too_few_watches_are_a_warning_and_who_needs_none_is_not_told() {
        let verdict = |most, used, needed| {
            let facts = Facts { most, used, needed };
            judge(&facts).map(|it| it.verdict)
        };
        assert_eq!(verdict(Some(128), 0, 0), None);
        assert_eq!(verdict(Some(128), 124, 4), Some(Verdict::Ok));
        assert_eq!(verdict(Some(128), 125, 4), Some(Verdict::Warn));
        assert_eq!(verdict(Some(1), 2, 4), Some(Verdict::Warn));
        assert_eq!(verdict(None, 0, 4), Some(Verdict::Ok));
    }
}

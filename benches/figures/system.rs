//! What the operating system says of the machine, of a process, and of files.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// Ticks in which `/proc` counts processor time: 100 a second on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// The processor's name.
pub(crate) fn cpu_model() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let name = line.map(|it| it.trim_start_matches([' ', '\t', ':']).to_owned());
    name.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// Memory of the machine, MiB.
pub(crate) fn memory_mib() -> u64 {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    field_kib(&info, "MemTotal:").unwrap_or(0) >> 10
}

/// The kernel's version.
pub(crate) fn kernel() -> String {
    let version = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    version.trim().to_owned()
}

/// Memory that a process has resident, KiB; `None` when it is gone.
pub(crate) fn rss_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    field_kib(&status, "VmRSS:")
}

/// The most memory that a process had resident, KiB.
pub(crate) fn peak_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    field_kib(&status, "VmHWM:")
}

fn field_kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Processor time of a process so far, in its own code and in the kernel, in steps of 10 ms.
pub(crate) fn cpu_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Behind the name, which may hold anything: state is the first field, times the 12th and 13th.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u32 = ticks.filter_map(|it| it.parse::<u32>().ok()).sum();
    TICK * ticks
}

/// Processor time of this process so far.
pub(crate) fn own_cpu_time() -> Duration {
    cpu_time(std::process::id())
}

/// Waits until this process has nearly nothing to do any more, ten seconds at most.
pub(crate) fn settle() {
    const LOOK: Duration = Duration::from_millis(500);
    for _ in 0..20 {
        let before = own_cpu_time();
        std::thread::park_timeout(LOOK);
        if own_cpu_time().saturating_sub(before) < LOOK / 20 {
            return;
        }
    }
}

/// Bytes that this process has had written to disks so far.
pub(crate) fn own_written_bytes() -> u64 {
    let io = fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes:"));
    line.and_then(|it| it.trim().parse().ok()).unwrap_or(0)
}

/// What the files below a directory take on the disk, bytes; 0 when there is none.
pub(crate) fn disk_bytes(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(entries) = fs::read_dir(dir) else {
        return 0;
    };
    let sizes = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let metadata = entry.metadata().ok()?;
        Some(if metadata.is_dir() {
            disk_bytes(&entry.path())
        } else {
            metadata.blocks() * 512
        })
    });
    sizes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_time() {
        let rss = rss_kib(std::process::id()).unwrap();
        assert!(rss > 100 && peak_kib(std::process::id()).unwrap() >= rss);
        assert!(!cpu_model().is_empty() && memory_mib() > 0);
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), vec![1; 10_000]).unwrap();
        assert!(disk_bytes(dir.path()) >= 10_000 || disk_bytes(dir.path()) == 0);
        let _ = (own_cpu_time(), own_written_bytes());
    }
}

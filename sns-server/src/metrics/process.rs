//! What this process takes of the machine, as `/proc` says.

use serde::Serialize;

/// What a process takes. Zeros where `/proc` does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ProcessUse {
    /// Memory that is in RAM.
    pub rss_bytes: u64,
    /// Of the processors, user and system together.
    pub cpu_seconds: f64,
    /// Open files and connections.
    pub open_fds: u64,
    /// The most there may be of them.
    pub max_fds: u64,
}

/// The kernel counts in 1/100 s, on every architecture that we run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds of the processors that this process took.
pub(super) fn cpu_seconds() -> f64 {
    cpu().unwrap_or(0.0)
}

impl ProcessUse {
    /// Of this process, now. Walks over its open files.
    pub fn now() -> Self {
        Self {
            rss_bytes: rss().unwrap_or(0),
            cpu_seconds: cpu_seconds(),
            max_fds: rustix::process::getrlimit(rustix::process::Resource::Nofile)
                .current
                .unwrap_or(u64::MAX),
            open_fds: std::fs::read_dir("/proc/self/fd").map_or(0, |open| open.count() as u64),
        }
    }
}

fn rss() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[allow(clippy::cast_precision_loss, reason = "a century of ticks fits")]
fn cpu() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name stands in parentheses and may hold anything.
    let (_, rest) = text.rsplit_once(')')?;
    // Fields 14 and 15; the state is field 3.
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) as f64 / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_takes_memory_and_files() {
        let used = ProcessUse::now();
        assert!(used.rss_bytes > 1_000_000, "{used:?}");
        assert!(used.open_fds >= 3, "{used:?}");
        assert!(used.cpu_seconds >= 0.0, "{used:?}");
    }
}

//! What the processes of the service need, looked at every few seconds: memory, descriptors, disk.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use sns_server::pair::process::ProcessId;

use crate::failure::{Doing as _, Result};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(5);

/// Writes a line every few seconds, if anybody wants it.
#[derive(Debug)]
pub(crate) struct Sampler {
    data: PathBuf,
    /// Where the log lies.
    log: PathBuf,
    to: Option<BufWriter<File>>,
    next: Duration,
}

impl Sampler {
    /// `log`: the directory that holds it, whoever writes it there.
    pub(crate) fn new(data: &Path, log: &Path, to: Option<&Path>) -> Result<Self> {
        let file =
            to.map(|path| File::create(path).doing(format_args!("write {}", path.display())));
        Ok(Self {
            data: data.to_owned(),
            log: log.to_owned(),
            to: file.transpose()?.map(BufWriter::new),
            next: Duration::ZERO,
        })
    }

    /// Looks, if it is time.
    pub(crate) fn look(
        &mut self,
        time: Duration,
        acknowledged: u64,
        processes: &BTreeMap<String, ProcessId>,
    ) -> Result<()> {
        let Some(to) = &mut self.to else {
            return Ok(());
        };
        if time < self.next {
            return Ok(());
        }
        self.next = time + EVERY;
        let needs: BTreeMap<&String, serde_json::Value> = processes
            .iter()
            .map(|(name, id)| {
                let needs = json!({
                    "pid": id.pid,
                    "age_s": id.age().as_secs(),
                    "rss_kib": rss_kib(id.pid),
                    "fds": count(&PathBuf::from(format!("/proc/{}/fd", id.pid))),
                });
                (name, needs)
            })
            .collect();
        let views: BTreeMap<&String, u64> = processes
            .keys()
            .filter(|name| name.contains('-'))
            .map(|name| {
                (
                    name,
                    bytes(&self.data.join("nodes").join(name).join("view")),
                )
            })
            .collect();
        let line = json!({
            "s": time.as_secs_f64(),
            "acknowledged": acknowledged,
            "log_bytes": bytes(&self.log),
            "snapshot_bytes": bytes(&self.data.join("snapshots")),
            "view_bytes": views,
            "processes": needs,
        });
        writeln!(to, "{line}").doing("write a sample")?;
        to.flush().doing("write a sample")
    }
}

fn rss_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn count(dir: &Path) -> Option<usize> {
    Some(fs::read_dir(dir).ok()?.count())
}

/// What the files of a directory take on the disk; nothing, if there is none.
fn bytes(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(entries) = fs::read_dir(dir) else {
        return 0;
    };
    let sizes = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let metadata = entry.metadata().ok()?;
        Some(if metadata.is_dir() {
            bytes(&entry.path())
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
    fn a_log_that_lies_elsewhere_counts_and_one_that_is_not_there_counts_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let (data, stores) = (dir.path().join("data"), dir.path().join("nats"));
        fs::create_dir(&data).expect("made");
        let path = dir.path().join("samples");
        let log_bytes = || {
            let mut sampler = Sampler::new(&data, &stores, Some(&path)).expect("a sampler");
            let looked = sampler.look(Duration::ZERO, 0, &BTreeMap::new());
            looked.expect("a sample");
            let line = fs::read_to_string(&path).expect("written");
            let sample: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            assert_eq!(sample["snapshot_bytes"], 0);
            sample["log_bytes"].as_u64().expect("a number")
        };
        assert_eq!(log_bytes(), 0);
        fs::create_dir_all(stores.join("n1")).expect("made");
        fs::write(stores.join("n1").join("1.blk"), [1; 5_000]).expect("written");
        assert!(log_bytes() >= 5_000);
    }
}

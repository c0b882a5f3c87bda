//! What lies in the directory: whether this program can read it, whether it is whole at its end, and
//! which versions run on it. Nothing is opened for writing, and no lock is taken.

use std::collections::BTreeMap;
use std::path::Path;

use prost::Message as _;
use sns_core::log::Log as _;
use sns_core::log::dir::{DirLog, DirLogOptions};
use sns_core::snapshots::SnapshotStore;
use sns_core::{DataDir, ErrorKind, LOG_VERSION};
use sns_proto::log::v1::Entry;

use super::finding::{Finding, bytes};
use crate::failure::Failure;
use crate::run_file;

/// The version of this program.
const OWN: &str = env!("CARGO_PKG_VERSION");

#[derive(Debug, Default)]
pub(super) struct Facts {
    /// There is nothing yet.
    empty: bool,
    /// Why this program cannot read it.
    refused: Option<(ErrorKind, String)>,
    /// The log lies on a cluster, which is not asked.
    elsewhere: bool,
    log: Option<Result<LogFacts, (ErrorKind, String)>>,
    /// The newest snapshot that can be read: its entry and its size; and how many cannot be read.
    snapshot: Option<(u64, u64)>,
    bad_snapshots: usize,
    /// The version of each node that runs, as far as it says so.
    nodes: Vec<(String, Option<String>)>,
}

#[derive(Clone, Copy, Debug)]
struct LogFacts {
    entries: u64,
    /// Of the newest entry.
    clock_ms: Option<u64>,
    min_version: Option<u32>,
}

impl Facts {
    pub(super) fn gather(data: &Path) -> Self {
        if !data.join("format.json").exists() {
            return Self {
                empty: true,
                ..Self::default()
            };
        }
        // Whether a network file system will do is another check's business.
        let found = match DataDir::open_existing(data, true) {
            Ok(found) => found,
            Err(error) => {
                return Self {
                    refused: Some((error.kind(), error.message().to_owned())),
                    ..Self::default()
                };
            }
        };
        let elsewhere = found.log_elsewhere().is_some();
        let log = (!elsewhere && has_segments(&found)).then(|| look_at_log(&found));
        let mut facts = Self {
            elsewhere,
            log,
            nodes: versions(data),
            ..Self::default()
        };
        if !elsewhere {
            let listed = SnapshotStore::of_directory(&found)
                .list()
                .unwrap_or_default();
            facts.bad_snapshots = listed.iter().filter(|(_, header)| header.is_err()).count();
            let good = listed.into_iter().filter_map(|(_, header)| header.ok());
            let newest = good.max_by_key(|info| info.index);
            facts.snapshot = newest.map(|info| (info.index, info.bytes));
        }
        facts
    }

    /// When the newest entry was written.
    pub(super) fn newest_ms(&self) -> Option<u64> {
        self.log.as_ref()?.as_ref().ok()?.clock_ms
    }

    /// How large a snapshot is, if there is one.
    pub(super) fn snapshot_bytes(&self) -> u64 {
        self.snapshot.map_or(0, |(_, bytes)| bytes)
    }
}

/// A log that nobody wrote to has no file yet.
fn has_segments(data: &DataDir) -> bool {
    std::fs::read_dir(data.log_dir()).is_ok_and(|mut files| files.next().is_some())
}

fn look_at_log(data: &DataDir) -> Result<LogFacts, (ErrorKind, String)> {
    let failed = |error: sns_core::log::Error| {
        let failure = Failure::from(sns_core::Error::from(error));
        (failure.kind, failure.message)
    };
    let options = DirLogOptions::default().read_only(true).file_events(false);
    let log = DirLog::open(&data.log_dir(), options).map_err(failed)?;
    let (head, tail) = (log.head().map_err(failed)?, log.tail().map_err(failed)?);
    let newest = if tail > head {
        log.read(tail - 1, 1).map_err(failed)?.pop()
    } else {
        None
    };
    let entry = newest.and_then(|record| Entry::decode(record.payload.as_slice()).ok());
    Ok(LogFacts {
        entries: tail.saturating_sub(head),
        clock_ms: entry.as_ref().map(|entry| entry.clock_ms),
        min_version: entry.map(|entry| entry.min_version),
    })
}

/// What the files of the nodes that run say; older programs say nothing.
fn versions(data: &Path) -> Vec<(String, Option<String>)> {
    let living = run_file::living(data).unwrap_or_default();
    let told = living.into_iter().map(|it| {
        let program = it.file.and_then(|file| file.program);
        (it.node, program.map(|program| program.version))
    });
    told.collect()
}

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    if facts.empty {
        return vec![Finding::ok(
            "data",
            "there is none yet: the first start makes it",
        )];
    }
    if let Some((kind, why)) = &facts.refused {
        let advice = match kind {
            ErrorKind::Damaged => "bring back a copy, or use the program that made it",
            _ => "correct that first: servers refuse it too",
        };
        return vec![Finding::fail(*kind, "data", why.clone(), advice)];
    }
    let mut findings = Vec::new();
    findings.push(log(facts));
    findings.extend(snapshots(facts));
    findings.extend(skew(&facts.nodes));
    findings
}

fn log(facts: &Facts) -> Finding {
    if facts.elsewhere {
        return Finding::ok("log", "it lies on a cluster, which was not asked");
    }
    let found = match facts.log.as_ref() {
        None => return Finding::ok("log", "nothing was written yet"),
        Some(Err((kind, why))) => {
            let advice = "`sns-server log verify` says more";
            return Finding::fail(*kind, "log", why.clone(), advice);
        }
        Some(Ok(found)) => found,
    };
    let needed = found.min_version.unwrap_or(0);
    if needed > LOG_VERSION {
        let found = format!(
            "the newest entry needs rules of version {needed}, and this program ({OWN}) has \
             {LOG_VERSION}"
        );
        let advice = "use the newer program: this one stops at that entry";
        return Finding::fail(ErrorKind::Invalid, "versions", found, advice);
    }
    let count = found.entries;
    Finding::ok(
        "log",
        format!("{count} entries; the newest can be read and applied"),
    )
}

fn snapshots(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if facts.bad_snapshots > 0 {
        let found = format!("{} snapshots cannot be read", facts.bad_snapshots);
        let advice = "`sns-server snapshot verify` says why; delete them, and make another one";
        findings.push(Finding::fail(
            ErrorKind::Damaged,
            "snapshots",
            found,
            advice,
        ));
    }
    if let Some((index, size)) = facts.snapshot {
        let found = format!("the newest holds all up to entry {index}, {}", bytes(size));
        findings.push(Finding::ok("snapshots", found));
    }
    findings
}

/// Nodes of several versions may run beside each other while they are exchanged, and no longer.
fn skew(nodes: &[(String, Option<String>)]) -> Option<Finding> {
    if nodes.is_empty() {
        return None;
    }
    let mut by_version: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (node, version) in nodes {
        let version = version.as_deref().unwrap_or("an older version");
        by_version.entry(version).or_default().push(node);
    }
    let told = by_version
        .iter()
        .map(|(version, nodes)| format!("{version}: {}", nodes.join(", ")));
    let told: Vec<String> = told.collect();
    let found = format!(
        "this program is {OWN}; {} run: {}",
        nodes.len(),
        told.join("; ")
    );
    let same = by_version.keys().all(|version| *version == OWN);
    Some(if same {
        Finding::ok("versions", found)
    } else {
        let advice = "restart the nodes of the other version, one pair after the other";
        Finding::warn("versions", found, advice)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Verdict;

    fn with_log(min_version: u32) -> Facts {
        Facts {
            log: Some(Ok(LogFacts {
                entries: 1,
                clock_ms: Some(1),
                min_version: Some(min_version),
            })),
            ..Facts::default()
        }
    }

    fn verdicts(facts: &Facts) -> Vec<Verdict> {
        judge(facts).iter().map(|it| it.verdict).collect()
    }

    #[test]
    fn entries_of_a_newer_program_fail() {
        assert_eq!(verdicts(&with_log(LOG_VERSION)), [Verdict::Ok]);
        let newer = verdicts(&with_log(LOG_VERSION + 1));
        assert_eq!(newer, [Verdict::Fail(ErrorKind::Invalid)]);
    }

    #[test]
    fn nodes_of_another_version_are_a_warning() {
        let node = |version: Option<&str>| ("a".to_owned(), version.map(str::to_owned));
        let verdict = |nodes: &[_]| skew(nodes).map(|it| it.verdict);
        assert_eq!(verdict(&[]), None);
        assert_eq!(verdict(&[node(Some(OWN))]), Some(Verdict::Ok));
        assert_eq!(verdict(&[node(Some(OWN)), node(None)]), Some(Verdict::Warn));
        assert_eq!(verdict(&[node(Some("0.0.1"))]), Some(Verdict::Warn));
    }

    #[test]
    fn damage_is_told_as_damage() {
        let fail = [Verdict::Fail(ErrorKind::Damaged)];
        let refused = Facts {
            refused: Some((ErrorKind::Damaged, "x".into())),
            ..Facts::default()
        };
        assert_eq!(verdicts(&refused), fail);
        let log = Facts {
            log: Some(Err((ErrorKind::Damaged, "x".into()))),
            ..Facts::default()
        };
        assert_eq!(verdicts(&log), fail);
        let mut snapshots = with_log(1);
        snapshots.bad_snapshots = 1;
        assert_eq!(verdicts(&snapshots)[1..], fail);
    }
}

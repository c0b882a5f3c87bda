//! `log copy`: a log from a data directory to a NATS cluster, or back.
//!
//! Every entry keeps its index and its bytes, so ids of posts, cursors and resume tokens stay good;
//! so do the tokens of users, for which the data's id and key go along. Where the source was
//! trimmed, the newest good snapshot goes first and the copy begins behind it. At the end both are
//! replayed, and their digests compared.

use std::path::Path;

use serde_json::json;
use sns_core::log::{Log, LogId};
use sns_core::snapshots::SnapshotStore;
use sns_core::{DataDir, SnapshotInfo, Sns, Status};

use crate::config::{CopyConfig, DataConfig, LogPlace};
use crate::failure::{Failure, Result};
use crate::output;
use crate::progress::Bar;

mod target;

use target::Target;

/// Bytes of entries that are read, and on their way, at once.
const READ_BYTES: usize = 4 * 1024 * 1024;

/// Where the entries come from.
struct Source {
    log: Box<dyn Log>,
    snapshots: SnapshotStore,
    data_id: String,
    secret: [u8; 32],
}

/// Copies, and compares.
///
/// # Errors
/// `Invalid`: something runs on the directory, the target holds something else, or the source moved.
/// `Damaged`: the source, or the two differ in the end. Else as the logs refuse; a copy that was
/// interrupted is continued by the same command.
pub(crate) fn run(config: &CopyConfig, json: bool) -> Result<()> {
    let source = Source::open(&config.from)?;
    if config.to.path.exists() {
        refuse_if_living(&config.to.path)?;
    }
    let (head, tail) = (
        source.log.head().map_err(core)?,
        source.log.tail().map_err(core)?,
    );
    let snapshot = if head > 1 {
        Some(source.newest_snapshot(head, tail)?)
    } else {
        None
    };
    let first = snapshot.as_ref().map_or(1, |it| it.index + 1);
    let target = Target::open(&config.to, first, &source.data_id, source.secret)?;
    let (begin, end) = (target.begin()?, target.tail()?);
    if begin > first || end < first {
        return Err(Failure::invalid(format!(
            "{} holds the entries {begin} to {}, and the copy would begin with {first}: give a new \
             target",
            config.to.title(),
            end - 1
        )));
    }
    if let Some(snapshot) = &snapshot {
        target.adopt(&source.snapshots, snapshot)?;
    }
    let copied = copy(&source, &target, first, tail)?;
    if source.log.tail().map_err(core)? != tail {
        return Err(Failure::invalid(format!(
            "{} took writes meanwhile: stop everything that writes to it, and copy again",
            config.from.title()
        )));
    }
    drop(source);
    drop(target);
    let (from, to) = (replay(&config.from)?, replay(&config.to)?);
    let same = from.digest == to.digest && from.applied == to.applied;
    let object = json!({
        "entries": copied,
        "first": first,
        "tail": tail,
        "digest": {"from": from.digest, "to": to.digest},
        "same": same,
    });
    let text = format!(
        "{copied} entries copied, {first} to {}; digest {} of {}, {} of {}",
        tail - 1,
        from.digest,
        config.from.title(),
        to.digest,
        config.to.title()
    );
    output::line(&if json { object.to_string() } else { text })?;
    if same {
        return Ok(());
    }
    Err(Failure {
        kind: sns_core::ErrorKind::Damaged,
        reason: Some(sns_core::Reason::Damaged),
        message: "the copy differs from its source: do not use it, and report this".to_owned(),
    })
}

impl Source {
    fn open(config: &DataConfig) -> Result<Self> {
        match &config.log {
            LogPlace::Dir => {
                let data = config.existing()?;
                refuse_if_living(data.path())?;
                Ok(Self {
                    log: config.read_log()?,
                    snapshots: SnapshotStore::of_directory(&data),
                    data_id: data.data_id().to_owned(),
                    secret: data.secret()?,
                })
            }
            #[cfg(feature = "nats")]
            LogPlace::Nats(nats) => {
                let log = nats.connect("sns-server log copy", false)?;
                Ok(Self {
                    snapshots: config.snapshots()?,
                    data_id: log.data_id().to_owned(),
                    secret: log.secret().map_err(core)?,
                    log: Box::new(log),
                })
            }
            #[cfg(not(feature = "nats"))]
            LogPlace::Nats(_) => Err(crate::storage::without_nats()),
        }
    }

    /// The newest sound snapshot behind which all entries are still there.
    fn newest_snapshot(&self, head: u64, tail: u64) -> Result<SnapshotInfo> {
        let fits = |it: &SnapshotInfo| {
            it.log_id == self.log.id() && it.index + 1 >= head && it.index < tail
        };
        for (path, header) in self.snapshots.list()? {
            let checked = header
                .ok()
                .filter(fits)
                .map(|it| self.snapshots.verify(&it));
            match checked {
                Some(Ok(snapshot)) => return Ok(snapshot),
                Some(Err(error)) => {
                    tracing::warn!(%error, path = %path.display(), "a snapshot is of no use");
                }
                None => {}
            }
        }
        Err(Failure {
            kind: sns_core::ErrorKind::Damaged,
            reason: Some(sns_core::Reason::Damaged),
            message: format!(
                "the log begins at entry {head}, and no good snapshot reaches that far"
            ),
        })
    }
}

/// Copies what the target does not have, and compares what it has; how many were copied.
fn copy(source: &Source, target: &Target, first: u64, tail: u64) -> Result<u64> {
    let bar = Bar::entries("copying", tail.saturating_sub(first));
    let mut next = first;
    let mut copied = 0;
    let mut there = target.tail()?;
    if there > tail {
        return Err(Failure::invalid(format!(
            "the target holds {} entries more than the source: give a new target",
            there - tail
        )));
    }
    while next < tail {
        let mut records = source.log.read(next, READ_BYTES).map_err(core)?;
        records.retain(|it| it.index < tail);
        if records.is_empty() {
            return Err(Failure::unavailable(format!(
                "entry {next} cannot be read now: copy again"
            )));
        }
        let known = records.iter().take_while(|it| it.index < there).count();
        let fresh = records.split_off(known);
        target.compare(&records)?;
        next += records.len() as u64;
        if !fresh.is_empty() {
            let count = fresh.len() as u64;
            there = target.append(next, &fresh)?;
            copied += count;
            next += count;
        }
        bar.at(next - first);
    }
    bar.clear();
    Ok(copied)
}

/// A replica of a log, as it stands once all is applied.
fn replay(config: &DataConfig) -> Result<Status> {
    // The view of a cluster's log needs a place.
    let temporary = tempfile::tempdir().map_err(|e| Failure::io("a temporary directory", &e))?;
    let config = match &config.log {
        LogPlace::Dir => config.clone(),
        LogPlace::Nats(_) => DataConfig {
            path: temporary.path().to_owned(),
            ..config.clone()
        },
    };
    let sns: Sns = config.builder("sns-server log copy")?.open()?;
    let status = sns.status();
    sns.close();
    Ok(status)
}

/// Refuses a directory on which anything runs: embedding programs too.
fn refuse_if_living(path: &Path) -> Result<()> {
    let data = DataDir::open_existing(path, true)?;
    for node in data.nodes()? {
        if data.node_is_running(&node)? {
            return Err(Failure::invalid(format!(
                "{node} runs on {}: stop everything first (`sns-server down`)",
                crate::telemetry::escaped(&path.display().to_string())
            )));
        }
    }
    Ok(())
}

fn core(error: sns_core::log::Error) -> Failure {
    sns_core::Error::from(error).into()
}

/// For messages.
fn mismatch(id: LogId, index: u64) -> Failure {
    Failure::invalid(format!(
        "the target (log {id}) holds another entry {index} than the source: give a new target"
    ))
}

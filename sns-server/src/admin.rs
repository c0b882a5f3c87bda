//! What an operator asks of the log and the snapshots of a data directory, also beside running
//! servers. Nothing here changes the log but `snapshot create`, which marks the snapshot in it.

mod entry;

use std::io::{BufWriter, Write};
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};
use sns_core::log::dir::DirLog;
use sns_core::log::{self, Log};
use sns_core::snapshots::SnapshotStore;
use sns_core::{ErrorKind, Reason, SnapshotInfo};
use sns_proto::escape::escape_json;

use crate::config::{DataConfig, LogPlace};
use crate::failure::{Failure, Result};
use crate::output;
use crate::telemetry::escaped;

/// Bytes of entries that are read in one go.
const READ_BYTES: usize = 1024 * 1024;

/// Prints every durable entry, one JSON object a line, oldest first.
///
/// # Errors
/// `Damaged`: all before the damage was printed. `Invalid`: there is no data.
pub fn log_dump(config: &DataConfig) -> Result<()> {
    let log = config.read_log()?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let dumped = dump(&*log, &mut out);
    // Also before a failure: what stands before the damage is wanted most.
    let flushed = out.flush().or_else(output::gone);
    dumped?;
    flushed
}

fn dump(log: &dyn Log, out: &mut impl Write) -> Result<()> {
    let tail = log.tail().map_err(core)?;
    let mut next = log.head().map_err(core)?;
    while next < tail {
        let records = match log.read(next, READ_BYTES) {
            Ok(records) => records,
            // The servers trim while we read.
            Err(log::Error::Trimmed { head }) => {
                next = head;
                continue;
            }
            Err(error) => return Err(core(error)),
        };
        let Some(last) = records.last() else { break };
        next = last.index + 1;
        for record in &records {
            writeln!(out, "{}", escape_json(&entry::to_json(record).to_string()))
                .or_else(output::gone)?;
        }
    }
    Ok(())
}

/// Reads the whole log and says whether it is sound.
///
/// # Errors
/// `Damaged`: it is not; the summary is printed all the same. `Invalid`: there is no data.
pub fn log_verify(config: &DataConfig, json: bool) -> Result<()> {
    let report = match &config.log {
        LogPlace::Dir => DirLog::verify(&config.existing()?.log_dir()),
        LogPlace::Nats(_) => log::verify(&*config.read_log()?),
    };
    let report = report.map_err(core)?;
    let damage = report.damage.as_ref().map(|damage| {
        json!({
            "place": damage.place,
            "index": damage.index,
            "what": damage.what,
            "witness": damage.witness,
        })
    });
    let summary = json!({
        "log_id": report.log_id.map(|id| id.to_string()),
        "segments": report.segments,
        "entries": report.entries,
        "bytes": report.bytes,
        "head": report.head,
        "tail": report.tail,
        "damage": damage,
    });
    let segments = match report.segments {
        Some(segments) => format!(" in {segments} segments"),
        None => String::new(),
    };
    let text = format!(
        "{} entries{segments}, {} bytes; from {} to {}",
        report.entries,
        report.bytes,
        report.head,
        report.tail.saturating_sub(1)
    );
    summarise(json, &summary, &text)?;
    match report.damage {
        None => Ok(()),
        Some(damage) => Err(damaged(format!(
            "the log is damaged: {}, entry {}: {} (witness: {}); bring back a copy of the data \
             directory, or of that segment",
            damage.place, damage.index, damage.what, damage.witness
        ))),
    }
}

/// Makes a snapshot of all that is in the log now.
///
/// # Errors
/// `Exhausted`: another process makes one; or the disk is full. `Invalid`: there is no data, or
/// nothing in it. As opening a replica.
pub fn snapshot_create(config: &DataConfig, json: bool) -> Result<()> {
    if config.log == LogPlace::Dir {
        config.existing()?;
    }
    let sns = config.builder("snapshot create")?.open()?;
    let made = sns.create_snapshot();
    sns.close();
    let made = made?;
    summarise(json, &snapshot(&made), &line(&made))
}

/// Reads every snapshot to its end: a line each, then a summary.
///
/// # Errors
/// `Damaged`: one of them is. `Invalid`: there is no data.
pub fn snapshot_verify(config: &DataConfig, json: bool) -> Result<()> {
    each_snapshot(config, json, |store, header| store.verify(&header?))
}

/// Lists the snapshots, newest first: a line each, then a summary.
///
/// # Errors
/// As [`snapshot_verify`], by their headers alone.
pub fn snapshot_list(config: &DataConfig, json: bool) -> Result<()> {
    each_snapshot(config, json, |_, header| header)
}

fn each_snapshot(
    config: &DataConfig,
    json: bool,
    check: impl Fn(&SnapshotStore, sns_core::Result<SnapshotInfo>) -> sns_core::Result<SnapshotInfo>,
) -> Result<()> {
    let store = config.snapshots()?;
    let (mut good, mut bad, mut bytes) = (0_u64, 0_u64, 0_u64);
    for (path, header) in store.list()? {
        match check(&store, header) {
            Ok(info) => {
                good += 1;
                bytes += info.bytes;
                summarise(json, &snapshot(&info), &line(&info))?;
            }
            Err(error) => {
                bad += 1;
                let object = json!({"path": path, "damage": error.message()});
                let text = format!("{}: {}", path.display(), error.message());
                summarise(json, &object, &text)?;
            }
        }
    }
    let summary = json!({"snapshots": good + bad, "good": good, "bad": bad, "bytes": bytes});
    let text = match good + bad {
        0 => "no snapshots".to_owned(),
        all => format!("{all} snapshots, {bytes} bytes, {bad} of them bad"),
    };
    summarise(json, &summary, &text)?;
    if bad == 0 {
        return Ok(());
    }
    Err(damaged(format!(
        "{bad} of the snapshots are damaged: delete them, and make another one"
    )))
}

/// One snapshot as an object.
fn snapshot(info: &SnapshotInfo) -> Value {
    #[derive(Serialize)]
    struct Snapshot<'a> {
        index: u64,
        bytes: u64,
        digest: String,
        digest_version: u32,
        view_format: u32,
        log_id: String,
        path: &'a Path,
    }
    json!(Snapshot {
        index: info.index,
        bytes: info.bytes,
        digest: format!("{:032x}", info.digest),
        digest_version: info.digest_version,
        view_format: info.view_format,
        log_id: info.log_id.to_string(),
        path: &info.path,
    })
}

fn line(info: &SnapshotInfo) -> String {
    format!(
        "{}: entry {}, {} bytes, digest {:032x}",
        info.path.display(),
        info.index,
        info.bytes,
        info.digest
    )
}

fn summarise(json: bool, object: &Value, text: &str) -> Result<()> {
    if json {
        output::line(&escape_json(&object.to_string()))
    } else {
        output::line(&escaped(text))
    }
}

fn core(error: log::Error) -> Failure {
    sns_core::Error::from(error).into()
}

fn damaged(message: String) -> Failure {
    Failure {
        kind: ErrorKind::Damaged,
        reason: Some(Reason::Damaged),
        message,
    }
}

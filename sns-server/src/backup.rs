//! `backup create`, `verify`, `restore`: a feed in one file, and back.

use std::fs::File;
use std::io::{BufWriter, IsTerminal as _, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sns_core::backup::{self, BackupInfo, Restore};
use sns_core::new_file;
use sns_proto::escape::escape_json;

use crate::args;
use crate::config::{DataConfig, LogPlace};
use crate::failure::{Failure, Result};
use crate::progress::Bar;
use crate::telemetry::escaped;
use crate::{output, stamp};

/// `backup`
#[derive(Debug, Subcommand)]
#[non_exhaustive]
pub enum BackupCommand {
    /// Write all there is to one file, beside running servers.
    Create(Box<CreateArgs>),
    /// Read a backup to its end, load it, and compare the digest.
    Verify(VerifyArgs),
    /// Make a data directory of a backup.
    Restore(RestoreArgs),
}

/// `backup create`
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// The data directory.
    #[command(flatten)]
    pub data: args::Data,
    /// The file to make; `-`: stdout, and the summary goes to stderr.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Replace the file that is there.
    #[arg(long)]
    pub force: bool,
}

/// `backup verify`
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The backup; `-`: stdin.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// `backup restore`
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The backup; `-`: stdin.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The directory to make; missing or empty.
    #[arg(long, value_name = "DIR", env = "SNS_DATA")]
    pub data: PathBuf,
    /// Go on with the data id of the original, right behind the backup: only where the original is
    /// gone for good, and nothing was written to it after the backup.
    #[arg(long)]
    pub keep_id: bool,
    /// Use a network file system all the same.
    #[arg(long, env = "SNS_FORCE_NETWORK_FS")]
    pub force_network_fs: bool,
}

/// `backup`, checked.
#[derive(Clone, Debug)]
pub enum BackupTask {
    /// Of this data, to this file, replacing one.
    Create(DataConfig, PathBuf, bool),
    /// This file.
    Verify(PathBuf),
    /// This file, into this directory.
    Restore(PathBuf, PathBuf, Restore),
}

impl BackupTask {
    /// Checks what was typed.
    ///
    /// # Errors
    /// `Invalid`: the log.
    pub fn check(typed: BackupCommand) -> Result<Self> {
        Ok(match typed {
            BackupCommand::Create(typed) => {
                let CreateArgs { data, out, force } = *typed;
                Self::Create(DataConfig::check(data.data, data.storage)?, out, force)
            }
            BackupCommand::Verify(typed) => Self::Verify(typed.file),
            BackupCommand::Restore(typed) => {
                let how = Restore::new()
                    .keep_id(typed.keep_id)
                    .force_network_fs(typed.force_network_fs);
                Self::Restore(typed.file, typed.data, how)
            }
        })
    }
}

/// Does it, and prints a summary: one object with `json`.
///
/// # Errors
/// `Damaged`: the backup is, where; or it was made by another version. `Invalid`: a file or a directory
/// is there already, or there is no data. Else as the system or the log refuse.
pub fn run(task: &BackupTask, json: bool) -> Result<()> {
    match task {
        BackupTask::Create(data, out, force) => create(data, out, *force, json),
        BackupTask::Verify(file) => verify(file, json),
        BackupTask::Restore(file, dir, how) => restore(file, dir, how, json),
    }
}

fn create(data: &DataConfig, out: &Path, force: bool, json: bool) -> Result<()> {
    let began = Instant::now();
    if is_dash(out) && std::io::stdout().is_terminal() {
        return Err(Failure::invalid(
            "a backup is nothing for a terminal: give --out FILE, or a pipe",
        ));
    }
    if data.log == LogPlace::Dir {
        data.existing()?;
    }
    let sns = data.builder("backup create")?.open()?;
    let made = to(out, force, |to| {
        let mut bar = Progress::new("writing");
        let made = sns.backup_with(to, &mut |done, total| bar.at(done, total));
        bar.clear();
        Ok(made?)
    });
    sns.close();
    let made = made?;
    let text = format!(
        "backed up to {}: {}",
        escaped(&out.display().to_string()),
        told(&made)
    );
    summarise(out, json, &object(&made, out, began), &text)
}

fn verify(file: &Path, json: bool) -> Result<()> {
    let began = Instant::now();
    let found = from(file, "checking", |from, name, progress| {
        Ok(backup::verify_from(from, name, progress)?)
    })?;
    let text = format!("{} is sound: {}", escaped(&shown(file)), told(&found));
    summarise(Path::new(""), json, &object(&found, file, began), &text)
}

fn restore(file: &Path, dir: &Path, how: &Restore, json: bool) -> Result<()> {
    let began = Instant::now();
    let made = from(file, "restoring", |from, name, progress| {
        Ok(how.from_reader(from, name, dir, progress)?)
    })?;
    let mut summary = object(&made.backup, file, began);
    summary["data"] = json!(made.path);
    summary["data_id"] = json!(made.data_id);
    summary["first"] = json!(made.first);
    let text = format!(
        "restored into {}: {}; the log goes on with entry {}, and everybody has to log in again",
        escaped(&made.path.display().to_string()),
        told(&made.backup),
        made.first
    );
    summarise(Path::new(""), json, &summary, &text)
}

/// Writes to the file `out`, which appears as a whole; or to stdout.
///
/// # Errors
/// As [`new_file::save`]; those of `write`.
pub(crate) fn to<T>(
    out: &Path,
    force: bool,
    write: impl FnOnce(&mut dyn Write) -> Result<T>,
) -> Result<T> {
    let flushed = |e| Failure::io(format!("cannot write {}", escaped(&shown(out))), &e);
    if is_dash(out) {
        let mut to = BufWriter::new(std::io::stdout().lock());
        let written = write(&mut to)?;
        to.flush().map_err(flushed)?;
        return Ok(written);
    }
    new_file::save(out, force, |file| {
        let mut to = BufWriter::new(file);
        let written = write(&mut to)?;
        to.flush().map_err(flushed)?;
        Ok(written)
    })
}

/// Reads from a file, or from stdin, with a bar.
fn from<T>(
    file: &Path,
    what: &'static str,
    read: impl FnOnce(&mut dyn Read, &str, backup::Progress<'_>) -> Result<T>,
) -> Result<T> {
    let mut bar = Progress::new(what);
    let done = if is_dash(file) {
        let mut from = std::io::stdin().lock();
        read(&mut from, "stdin", &mut |done, total| bar.at(done, total))
    } else {
        let name = escaped(&shown(file));
        let failed = |e| Failure::io(format!("cannot read {name}"), &e);
        let mut from = File::open(file).map_err(failed)?;
        let total = from.metadata().map_err(failed)?.len();
        read(&mut from, &name, &mut |done, _| bar.at(done, total))
    };
    bar.clear();
    done
}

pub(crate) fn is_dash(path: &Path) -> bool {
    path == Path::new("-")
}

fn shown(path: &Path) -> String {
    if is_dash(path) {
        return "stdin".into();
    }
    path.display().to_string()
}

/// A bar whose length is known when the first piece is done.
struct Progress {
    what: &'static str,
    bar: Option<Bar>,
}

impl Progress {
    fn new(what: &'static str) -> Self {
        Self { what, bar: None }
    }

    fn at(&mut self, done: u64, total: u64) {
        let what = self.what;
        self.bar
            .get_or_insert_with(|| Bar::bytes(what, total))
            .at(done);
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.clear();
        }
    }
}

fn object(info: &BackupInfo, file: &Path, began: Instant) -> Value {
    json!({
        "file": file,
        "seq": info.seq.as_u64(),
        "index": info.index,
        "digest": format!("{:032x}", info.digest),
        "users": info.users,
        "follows": info.follows,
        "posts": info.posts,
        "bytes": info.bytes,
        "data_id": info.data_id,
        "made_at": stamp::show(info.made_at_ms),
        "made_by": info.program,
        "ms": u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

fn told(info: &BackupInfo) -> String {
    format!(
        "seq {}, digest {:032x}, {} users, {} follows, {} posts, {} bytes, of {}",
        info.seq,
        info.digest,
        info.users,
        info.follows,
        info.posts,
        info.bytes,
        stamp::show(info.made_at_ms)
    )
}

/// One object, or one line; on stderr where stdout has the data.
///
/// # Errors
/// As [`output::line`].
pub(crate) fn summarise(out: &Path, json: bool, object: &Value, text: &str) -> Result<()> {
    let line = if json {
        escape_json(&object.to_string())
    } else {
        escaped(text)
    };
    if is_dash(out) {
        output::message(&line);
        return Ok(());
    }
    output::line(&line)
}

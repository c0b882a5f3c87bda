//! Backups: all that a feed holds, as it stood at one seq, in one file that checks itself.
//!
//! A backup is taken beside running servers and does not touch the log. It holds users, accounts,
//! follows, posts, deletions and the remembered requests; not the key that signs tokens, so that a
//! restore ends them all.
//!
//! ```
//! # fn main() -> sns_core::Result<()> {
//! use sns_core::{Sns, backup};
//! # let dir = tempfile::tempdir().unwrap();
//!
//! let sns = Sns::open(dir.path().join("feed"))?;
//! let alice = sns.user("alice")?;
//! let post = sns.post(&alice, "kept").wait()?;
//! let file = dir.path().join("monday.sns-backup");
//! let made = sns.backup(&file)?;
//! assert_eq!(backup::verify(&file)?, made);
//!
//! sns.delete(&alice, post.id).wait()?; // … and a day later
//! backup::restore(&file, dir.path().join("again"))?;
//! let again = Sns::open(dir.path().join("again"))?;
//! assert_eq!(again.posts_of(&alice).page()?.items, [post]);
//! # Ok(())
//! # }
//! ```
//!
//! A restored feed is a new life of the data: see [`Restore`].

mod cut;
pub(crate) mod file;
mod life;
mod restore;

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

pub(crate) use cut::Cut;
pub(crate) use life::first_index;
pub(crate) use restore::install;
pub use restore::{Restore, Restored, restore};

use crate::error::Result;
use crate::log::LogId;
use crate::new_file::{self, failed};
use crate::seq::Seq;
use crate::sns::Sns;
use crate::view;

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupInfo {
    /// The program that made it, and its version.
    pub program: String,
    /// Of the data it was made of; empty for a log in memory.
    pub data_id: String,
    /// The log of that data.
    pub log_id: LogId,
    /// The index of the last entry that it holds; 0 = none.
    pub index: u64,
    /// The last command that it holds.
    pub seq: Seq,
    /// The digest of the view at that index.
    pub digest: u128,
    /// Version of [`BackupInfo::digest`].
    pub digest_version: u32,
    /// Version of its keys and values: a program of another one cannot load it.
    pub view_format: u32,
    /// Log time at that index, milliseconds since 1970.
    pub log_time_ms: u64,
    /// Users.
    pub users: u64,
    /// Posts that are there.
    pub posts: u64,
    /// Follows that are there.
    pub follows: u64,
    /// When it was made, milliseconds since 1970.
    pub made_at_ms: u64,
    /// Bytes of all of it.
    pub bytes: u64,
}

/// [`BackupInfo`] as the file has it.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    /// The version of the file's layout.
    sns_backup: u32,
    program: String,
    data_id: String,
    log_id: String,
    index: u64,
    seq: u64,
    digest: String,
    digest_version: u32,
    view_format: u32,
    log_time_ms: u64,
    users: u64,
    posts: u64,
    follows: u64,
    made_at_ms: u64,
}

/// How far a backup is: bytes done, of so many.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

impl Sns {
    /// Writes a backup to a new file (0600): all that this replica has applied when the call comes,
    /// and perhaps more. Reads and writes go on meanwhile. Blocks until it is done.
    ///
    /// # Errors
    /// `Invalid`: there is a file of that name. `Exhausted`: the disk is full, or too much waits to be
    /// written. `Unavailable`: the system refused. Nothing is left behind.
    /// # Durability
    /// On return the file is synced, under its name.
    pub fn backup(&self, path: impl AsRef<Path>) -> Result<BackupInfo> {
        new_file::save(path.as_ref(), false, |file| self.backup_to(file))
    }

    /// As [`Sns::backup`], to anywhere: a pipe, a socket. Not synced.
    ///
    /// # Errors
    /// As [`Sns::backup`]; what was written until then is no backup, and is found not to be one.
    ///
    /// ```
    /// # fn main() -> sns_core::Result<()> {
    /// # let sns = sns_core::Sns::in_memory()?;
    /// let mut bytes = Vec::new();
    /// let made = sns.backup_to(&mut bytes)?;
    /// assert_eq!(made.bytes, bytes.len() as u64);
    /// # Ok(())
    /// # }
    /// ```
    pub fn backup_to(&self, to: &mut dyn Write) -> Result<BackupInfo> {
        self.backup_with(to, &mut |_, _| {})
    }

    /// As [`Sns::backup_to`], telling how far it is.
    ///
    /// # Errors
    /// As [`Sns::backup_to`].
    pub fn backup_with(&self, to: &mut dyn Write, progress: Progress<'_>) -> Result<BackupInfo> {
        let cut = self.cut()?;
        let mut info = cut.info(self);
        let path = cut.snapshot();
        let mut from = File::open(path).map_err(failed("reading", path))?;
        let total = from.metadata().map_err(failed("reading", path))?.len();
        let mut file = file::Writer::begin(to, &Header::from(&info))?;
        let mut chunk = vec![0; file::CHUNK_BYTES];
        let mut done = 0;
        loop {
            let read = read_some(&mut from, &mut chunk).map_err(failed("reading", path))?;
            if read == 0 {
                break;
            }
            file.chunk(&chunk[..read])?;
            done += read as u64;
            progress(done, total);
        }
        info.bytes = file.finish()?;
        Ok(info)
    }
}

/// Reads as much as there is room for.
fn read_some(from: &mut impl Read, to: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < to.len() {
        match from.read(&mut to[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

/// Reads a backup to its end, loads it into a replica that nobody sees, and compares the digest. Takes
/// room in the directory for temporary files (`TMPDIR`).
///
/// # Errors
/// `Damaged`: it is not what was written, where; or it was made by another version. `Unavailable`,
/// `Exhausted`: it cannot be read, or there is no room.
pub fn verify(path: impl AsRef<Path>) -> Result<BackupInfo> {
    let path = path.as_ref();
    let mut file = File::open(path).map_err(failed("reading", path))?;
    verify_from(&mut file, &path.display().to_string(), &mut |_, _| {})
}

/// As [`verify`], from anywhere; `name` is for messages.
///
/// # Errors
/// As [`verify`].
pub fn verify_from(from: &mut dyn Read, name: &str, progress: Progress<'_>) -> Result<BackupInfo> {
    let temporary = std::env::temp_dir();
    let dir = tempfile::Builder::new()
        .prefix("sns-verify-")
        .tempdir_in(&temporary)
        .map_err(failed("making a directory in", &temporary))?;
    let (info, snapshot) = file::extract(from, name, dir.path(), progress)?;
    restore::prove(
        &snapshot,
        &dir.path().join("view"),
        info.log_id,
        info.digest,
    )?;
    Ok(info)
}

impl From<&BackupInfo> for Header {
    fn from(info: &BackupInfo) -> Self {
        Self {
            sns_backup: file::VERSION,
            program: info.program.clone(),
            data_id: info.data_id.clone(),
            log_id: info.log_id.to_string(),
            index: info.index,
            seq: info.seq.as_u64(),
            digest: format!("{:032x}", info.digest),
            digest_version: info.digest_version,
            view_format: info.view_format,
            log_time_ms: info.log_time_ms,
            users: info.users,
            posts: info.posts,
            follows: info.follows,
            made_at_ms: info.made_at_ms,
        }
    }
}

impl Header {
    /// `None`: a number in it is none.
    fn info(self, bytes: u64) -> Option<BackupInfo> {
        Some(BackupInfo {
            log_id: LogId(u128::from_str_radix(&self.log_id, 16).ok()?),
            digest: u128::from_str_radix(&self.digest, 16).ok()?,
            index: Some(self.index).filter(|index| *index <= Seq::INDEX_MAX)?,
            seq: Seq::from_u64(self.seq),
            program: self.program,
            data_id: self.data_id,
            digest_version: self.digest_version,
            view_format: self.view_format,
            log_time_ms: self.log_time_ms,
            users: self.users,
            posts: self.posts,
            follows: self.follows,
            made_at_ms: self.made_at_ms,
            bytes,
        })
    }

    /// Refuses what this program cannot load.
    ///
    /// # Errors
    /// `Damaged`, as for data of another version anywhere.
    fn refuse_other_versions(&self, name: &str) -> Result<()> {
        let program = sns_proto::escape::escape(&self.program);
        let ours = view::keys::meta::FORMAT;
        let why = if self.sns_backup != file::VERSION {
            format!(
                "its layout is {}, this program knows {}",
                self.sns_backup,
                file::VERSION
            )
        } else if self.view_format != ours {
            format!(
                "its view format is {}, this program has {ours}",
                self.view_format
            )
        } else {
            return Ok(());
        };
        Err(crate::error::Error::new(
            crate::error::Reason::Damaged,
            format!(
                "{name} was made by {program}: {why}; restore it with that program, and bring the \
                 feed over by `sns-server export` and `import --all`"
            ),
        ))
    }
}

//! [`Restoring`]: a data directory that is being filled from elsewhere: a backup, an export.
//!
//! As long as the file `restoring` lies in it, nobody opens the directory, and only another restore
//! may touch it: that one starts over. It is removed in the last step, when everything is synced, so
//! that a kill or a power cut leaves either all of the data or a directory that is refused.
//!
//! A server may make new data in the same directory at the same time. A restore first makes the file,
//! then looks; a server first makes its directories, then looks for the file: whoever comes second
//! sees the other. Only when a restore has seen that there is nothing does it claim the directory, in
//! the file; and nothing is ever deleted in a directory that was not claimed.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::{
    DataDir, Origin, failed, invalid, open_lock, refuse_network, refuse_open_to_others, write_parts,
};
use crate::error::{Error, Reason, Result};

/// The file that says so; locked by the process that fills the directory.
const MARKER: &str = "restoring";
/// What stands in it from when all that restores make in the directory is of restores.
const CLAIM: &[u8] = b"claimed\n";
/// What is needed on the way.
const SCRATCH: &str = "restoring.d";
/// What a restore makes; nothing else is ever deleted.
const DIRECTORIES: [&str; 4] = ["log", "snapshots", "nodes", SCRATCH];
const FILES: [&str; 2] = ["secret", "format.json"];

/// How often, and how long after, a directory is removed again that something was put into meanwhile.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// Refuses a directory that a restore did not finish.
///
/// # Errors
/// `Invalid`.
pub(super) fn refuse_unfinished(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path.join(MARKER)) {
        Err(_) => Ok(()),
        Ok(_) => Err(invalid(format!(
            "{} was not filled to its end by a restore or an import, or is being filled now: let it \
             end, run it again (it starts over), or delete the directory",
            path.display()
        ))),
    }
}

/// A directory that only this process fills. Emptied again when it is dropped unfinished.
#[derive(Debug)]
pub(crate) struct Restoring {
    path: PathBuf,
    /// The directory itself is of this restore.
    made: bool,
    finished: bool,
    /// Locked as long as it lives.
    _marker: File,
}

impl Restoring {
    /// Takes the directory, which is missing, empty, or left by a restore that was killed.
    ///
    /// # Errors
    /// `Invalid`: there are other things in it, or it is not a directory of ours alone.
    /// `Unavailable`: another restore fills it. `Exhausted`: the disk is full.
    pub(crate) fn begin(path: &Path, force: bool) -> Result<Self> {
        let made = match fs::symlink_metadata(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => true,
            other => {
                other.map_err(failed("looking at", path))?;
                false
            }
        };
        make_dir(path)?;
        refuse_open_to_others(path)?;
        refuse_network(path, force)?;
        let marker = path.join(MARKER);
        let left = fs::symlink_metadata(&marker).is_ok();
        if !left {
            refuse_other_things(path)?;
        }
        let file = open_lock(&marker).map_err(failed("making", &marker))?;
        let busy = || {
            Error::new(
                Reason::LogUnavailable,
                format!("another process fills {} now: let it end", path.display()),
            )
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(busy()),
            Err(e) => return Err(failed("locking", &marker)(e.into())),
        }
        // Another one may have ended in between, and removed the file that was locked here.
        let named = fs::symlink_metadata(&marker).map(|it| it.ino());
        let ours = file.metadata().map(|it| it.ino());
        if named.ok() != ours.ok() {
            return Err(busy());
        }
        Self::locked(path, made, left, file)
    }

    /// The rest of [`Restoring::begin`], by whoever holds the lock of the marker, which was `left` there
    /// by somebody else.
    fn locked(path: &Path, made: bool, left: bool, marker: File) -> Result<Self> {
        let name = path.join(MARKER);
        let held = marker.metadata().map_err(failed("looking at", &name))?;
        if held.len() > 0 {
            // Left by a restore that was killed.
            empty(path)?;
            refuse_other_things(path)?;
        } else if let Err(error) = claim(path, &marker) {
            // Nothing in there is ours but the marker.
            if !left {
                let _ = fs::remove_file(&name);
                if made {
                    let _ = fs::remove_dir(path);
                }
            }
            return Err(error);
        }
        let restoring = Self {
            path: path.canonicalize().map_err(failed("opening", path))?,
            made,
            finished: false,
            _marker: marker,
        };
        for part in DIRECTORIES {
            make_dir(&restoring.path.join(part))?;
        }
        Ok(restoring)
    }

    /// `DATA/log`.
    pub(crate) fn log_dir(&self) -> PathBuf {
        self.path.join("log")
    }

    /// `DATA/snapshots`.
    pub(crate) fn snapshots_dir(&self) -> PathBuf {
        self.path.join("snapshots")
    }

    /// Goes in the end.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.path.join(SCRATCH)
    }

    /// Makes it data: with this id, and a new key, so that tokens of earlier data are not good.
    ///
    /// # Errors
    /// As [`DataDir::open`]; the directory is then emptied.
    pub(crate) fn finish(mut self, data_id: &str) -> Result<DataDir> {
        let scratch = self.scratch();
        remove(&scratch).map_err(failed("removing", &scratch))?;
        let origin = Origin {
            data_id: data_id.to_owned(),
            secret: rand::random(),
            log_id: None,
        };
        write_parts(&self.path, &origin)?;
        for part in ["log", "snapshots", "nodes", "."] {
            sync(&self.path.join(part))?;
        }
        if let Some(parent) = self.path.parent().filter(|_| self.made) {
            sync(parent)?;
        }
        let marker = self.path.join(MARKER);
        fs::remove_file(&marker).map_err(failed("removing", &marker))?;
        self.finished = true;
        sync(&self.path)?;
        DataDir::open_existing(&self.path, true)
    }
}

impl Drop for Restoring {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        // What stays is told by whoever looks next: the marker is there.
        if empty(&self.path).is_ok() && refuse_other_things(&self.path).is_ok() {
            let _ = fs::remove_file(self.path.join(MARKER));
            if self.made {
                let _ = fs::remove_dir(&self.path);
            }
        }
    }
}

/// Makes a directory with nothing but the marker, which is locked, one that is a restore's to delete.
///
/// # Errors
/// `Invalid`: there is something in it. As the system refuses.
fn claim(path: &Path, mut marker: &File) -> Result<()> {
    refuse_other_things(path)?;
    let name = path.join(MARKER);
    marker
        .write_all(CLAIM)
        .and_then(|()| marker.sync_all())
        .map_err(failed("writing", &name))?;
    sync(path)
}

/// Deletes what restores make.
fn empty(path: &Path) -> Result<()> {
    for part in DIRECTORIES {
        let part = path.join(part);
        remove(&part).map_err(failed("removing", &part))?;
    }
    for part in FILES {
        let part = path.join(part);
        match fs::remove_file(&part) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            done => done.map_err(failed("removing", &part))?,
        }
    }
    Ok(())
}

fn make_dir(path: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed("making the directory", path))
}

/// Removes a directory in which a database lay, whose threads may still write for a moment. One that
/// is not there is removed.
fn remove(path: &Path) -> io::Result<()> {
    for _ in 0..TRIES {
        match fs::remove_dir_all(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => {
                std::thread::park_timeout(PAUSE);
            }
            done => return done,
        }
    }
    fs::remove_dir_all(path)
}

fn sync(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|dir| dir.sync_all())
        .map_err(failed("syncing", path))
}

/// Besides the marker there may be nothing but what a file system or a person keeps in an empty
/// directory.
fn refuse_other_things(path: &Path) -> Result<()> {
    if fs::symlink_metadata(path.join("format.json")).is_ok() {
        return Err(invalid(format!(
            "{} holds data already: give a directory that is missing or empty",
            path.display()
        )));
    }
    for entry in fs::read_dir(path).map_err(failed("reading", path))? {
        let name = entry.map_err(failed("reading", path))?.file_name();
        let name = name.to_string_lossy();
        if name != MARKER && name != "lost+found" && !name.starts_with('.') {
            return Err(invalid(format!(
                "{} holds other things ({name:?}): give a directory that is missing or empty",
                path.display()
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn an_unfinished_directory_is_refused_and_can_be_begun_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let first = Restoring::begin(&path, false).unwrap();
        fs::write(first.log_dir().join("half"), "x").unwrap();
        let second = Restoring::begin(&path, false).unwrap_err();
        assert_eq!(second.reason(), Reason::LogUnavailable);
        for refused in [
            DataDir::open(&path, false),
            DataDir::open_existing(&path, false),
        ] {
            assert!(refused.unwrap_err().message().contains("run it again"));
        }
        // As after a kill: the lock is gone, all else is there.
        let left = dir.path().join("left");
        fs::rename(&path, &left).unwrap();
        drop(first);
        assert!(left.join("log/half").exists());
        let again = Restoring::begin(&left, false).unwrap();
        assert!(!left.join("log/half").exists());
        let data = again.finish("an-id").unwrap();
        assert_eq!(data.data_id(), "an-id");
        assert_eq!(data.secret().unwrap().len(), 32);
        assert!(!left.join(MARKER).exists() && !left.join(SCRATCH).exists());
        let full = Restoring::begin(&left, false).unwrap_err();
        assert!(full.message().contains("holds data already"), "{full}");
        assert!(left.join("format.json").exists());
    }

    #[test]
    fn what_is_given_up_leaves_nothing_and_other_things_are_never_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        drop(Restoring::begin(&path, false).unwrap());
        assert!(!path.exists());
        fs::DirBuilder::new().mode(0o700).create(&path).unwrap();
        drop(Restoring::begin(&path, false).unwrap());
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
        fs::write(path.join("mine"), "x").unwrap();
        let refused = Restoring::begin(&path, false).unwrap_err();
        assert!(refused.message().contains("mine"), "{refused}");
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
        let file = Restoring::begin(&path.join("mine"), false);
        assert!(file.is_err());
    }

    #[test]
    fn data_that_a_server_makes_after_the_look_is_refused_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let marker = path.join(MARKER);
        fs::DirBuilder::new().mode(0o700).create(&path).unwrap();
        // It found nothing and locks the marker; meanwhile there is data.
        let file = open_lock(&marker).unwrap();
        flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
        make_dir(&path.join("log")).unwrap();
        for name in ["log/entries", "secret", "format.json"] {
            fs::write(path.join(name), "x").unwrap();
        }
        let refused = Restoring::locked(&path, true, false, file).unwrap_err();
        assert!(refused.message().contains("holds data already"));
        for name in ["log/entries", "secret", "format.json"] {
            assert!(path.join(name).exists(), "{name}");
        }
        assert!(!marker.exists());
        // Nor when only the directory of the log is there yet, and nothing is known of a look.
        fs::remove_file(path.join("format.json")).unwrap();
        drop(open_lock(&marker).unwrap());
        let refused = Restoring::begin(&path, false).unwrap_err();
        assert!(refused.message().contains("other things"), "{refused}");
        assert!(path.join("log/entries").exists() && path.join("secret").exists());
    }

    #[test]
    fn a_server_that_comes_second_sees_the_restore() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let restoring = Restoring::begin(&path, false).unwrap();
        assert!(DataDir::open(&path, false).is_err());
        assert!(!path.join("format.json").exists() && !path.join("secret").exists());
        drop(restoring);
        DataDir::open(&path, false).unwrap();
    }
}

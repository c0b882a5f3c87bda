//! A file that appears as a whole or not at all: backups, exports.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::error::{Error, Reason, Result};

/// Makes the file `path` (0600) of what `write` writes: under a temporary name beside it, synced, then
/// renamed. A file of that name is left alone, unless `replace`.
///
/// # Errors
/// `Invalid`: there is one. `Exhausted`: the disk is full. `Unavailable`: the system refused. What
/// `write` returns. Nothing is left behind, but by a kill: a file that begins with `.sns-`.
/// # Durability
/// On return it survives a power cut.
pub fn save<T, E: From<Error>>(
    path: &Path,
    replace: bool,
    write: impl FnOnce(&mut File) -> Result<T, E>,
) -> Result<T, E> {
    let taken = || {
        Error::invalid(format!(
            "{} is there already: give another name, or --force to replace it",
            path.display()
        ))
    };
    if !replace && path.symlink_metadata().is_ok() {
        return Err(taken().into());
    }
    let dir = match path.parent() {
        Some(dir) if dir.as_os_str().is_empty() => Path::new("."),
        Some(dir) => dir,
        None => return Err(taken().into()),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".sns-")
        .tempfile_in(dir)
        .map_err(failed("making a file in", dir))?;
    let written = write(file.as_file_mut())?;
    file.as_file()
        .sync_all()
        .map_err(failed("syncing what becomes", path))?;
    let kept = if replace {
        file.persist(path)
    } else {
        file.persist_noclobber(path)
    };
    match kept {
        Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => return Err(taken().into()),
        kept => drop(kept.map_err(|e| failed("naming", path)(e.error))?),
    }
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(failed("syncing", dir))?;
    Ok(written)
}

/// What the system's refusal means.
pub(crate) fn failed<'a>(doing: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |error| refused(&format!("{doing} {}", path.display()), error)
}

/// As [`failed`], in other words.
pub(crate) fn refused(doing: &str, error: io::Error) -> Error {
    use io::ErrorKind as Io;
    let reason = match error.kind() {
        Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => Reason::DiskFull,
        _ => Reason::LogUnavailable,
    };
    let hint = if reason == Reason::DiskFull {
        "; make room and start again"
    } else {
        ""
    };
    Error::new(reason, format!("{doing}: {error}{hint}")).with_source(error)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    fn write(text: &str) -> impl FnOnce(&mut File) -> Result<()> {
        move |file| {
            file.write_all(text.as_bytes()).unwrap();
            Ok(())
        }
    }

    #[test]
    fn a_file_is_never_replaced_unasked_and_what_fails_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        save(&path, false, write("one")).unwrap();
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(save(&path, false, write("two")).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        save(&path, true, write("three")).unwrap();
        let failed = save(&path, true, |_| Err::<(), _>(Error::invalid("no")));
        assert!(failed.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"three");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

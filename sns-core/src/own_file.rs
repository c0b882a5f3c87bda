//! Files of our own directories, opened with distrust: whoever could write there once may have left a
//! link to elsewhere, a pipe that never answers, a device without an end, or a file of gigabytes.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

/// Bytes of a small file (`format.json`, `node.json`): ours have some hundred.
pub const SMALL_BYTES: u64 = 64 * 1024;

/// Opens for reading what is a file under this very name: no link is followed, no pipe waited for.
///
/// # Errors
/// `NotFound`; `InvalidInput`: it is a symbolic link, or no regular file; as the system refuses.
pub fn open(path: &Path) -> io::Result<File> {
    open_with(OpenOptions::new().read(true), path)
}

/// As [`open`], in the way that `options` say.
///
/// # Errors
/// As [`open`].
pub fn open_with(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = options.custom_flags(flags).open(path).map_err(named)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(refused("it is no regular file: move it away"))
}

/// All of a small file.
///
/// # Errors
/// As [`open`]; `InvalidInput`: it holds more than `most` bytes.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(refused("it is far too large to be one of ours"));
    }
    Ok(bytes)
}

/// Says what the error of the system is about.
pub(crate) fn named(error: io::Error) -> io::Error {
    if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
        return refused(
            "it is a symbolic link, which is not followed here: put the file itself there",
        );
    }
    error
}

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

/// What others than this user may do to it, and what to type against that.
pub fn open_to_others(path: &Path, found: &Metadata, secret: bool) -> Option<String> {
    let shown = path.display();
    let user = rustix::process::geteuid();
    let trusted = found.uid() == user.as_raw() || found.uid() == 0 || user.is_root();
    if !trusted {
        return Some(format!(
            "{shown} belongs to another user (uid {}, this is {}): `chown` it, or run as that user",
            found.uid(),
            user.as_raw()
        ));
    }
    let (bits, what, fix) = if secret {
        (0o077, "may be read by others", "chmod 600")
    } else {
        (0o022, "may be written by others", "chmod go-w")
    };
    (found.mode() & bits != 0).then(|| {
        format!(
            "{shown} {what} (mode {:o}): `{fix} {shown}`, after a look at what is in it",
            found.mode() & 0o7777
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_pipes_directories_and_endless_files_are_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let place = |name: &str| dir.path().join(name);
        fs::write(place("file"), "12345").unwrap();
        assert_eq!(read(&place("file"), 5).unwrap(), b"12345");
        assert!(read(&place("file"), 4).is_err());
        symlink(place("file"), place("link")).unwrap();
        symlink("/dev/zero", place("zero")).unwrap();
        let pipe = rustix::fs::FileType::Fifo;
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, place("pipe"), pipe, mode, 0).unwrap();
        for name in ["link", "zero", "pipe"] {
            let refused = open(&place(name)).unwrap_err();
            assert_eq!(
                refused.kind(),
                io::ErrorKind::InvalidInput,
                "{name}: {refused}"
            );
        }
        assert!(open(dir.path()).is_err());
        assert!(open(Path::new("/dev/null")).is_err());
        let missing = open(&place("missing")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}

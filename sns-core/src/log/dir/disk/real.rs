//! The real disk.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

#[cfg(target_os = "linux")]
use rustix::fs::OFlags;

use super::{Access, Disk, DiskFile, Identity};
use crate::own_file;

/// A directory of a local file system.
#[derive(Debug)]
pub(in super::super) struct RealDisk {
    dir: PathBuf,
}

impl RealDisk {
    pub(in super::super) fn new(dir: &Path) -> Self {
        Self { dir: dir.into() }
    }
}

impl Disk for RealDisk {
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        // std opens with O_CLOEXEC, and never with O_APPEND unless told.
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(access != Access::Read)
            .create(access == Access::Create)
            .truncate(false)
            .mode(0o600);
        let file = own_file::open_with(&mut options, &self.dir.join(name))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn identity(&self, name: &str) -> io::Result<Option<Identity>> {
        match fs::metadata(self.dir.join(name)) {
            Ok(metadata) => Ok(Some((metadata.dev(), metadata.ino()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.dir.join(from), self.dir.join(to))
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.dir.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    #[cfg(target_os = "linux")]
    fn read_direct(&self, name: &str, offset: u64) -> io::Result<Option<Vec<u8>>> {
        /// Of a block of any disk we know; offset, length and address have to be multiples.
        const BLOCK: usize = 4096;
        const CHUNK: usize = 64 * BLOCK;
        let flags = i32::try_from((OFlags::DIRECT | OFlags::NOFOLLOW).bits()).unwrap_or_default();
        let refused = |error: &io::Error| {
            matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            )
        };
        let file = match OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(self.dir.join(name))
        {
            Ok(file) => file,
            Err(error) if refused(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut room = vec![0; CHUNK + BLOCK];
        let aligned = room.as_ptr().align_offset(BLOCK);
        let chunk = &mut room[aligned..aligned + CHUNK];
        let mut at = offset - offset % BLOCK as u64;
        let mut skip = usize::try_from(offset - at).unwrap_or_default();
        let mut bytes = Vec::new();
        loop {
            let read = match super::uninterrupted(|| file.read_at(chunk, at)) {
                Ok(read) => read,
                Err(error) if refused(&error) => return Ok(None),
                Err(error) => return Err(error),
            };
            bytes.extend_from_slice(chunk.get(skip..read).unwrap_or_default());
            skip = 0;
            at += read as u64;
            // Only the end of the file is no multiple of a block.
            if read == 0 || read % BLOCK != 0 {
                return Ok(Some(bytes));
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn read_direct(&self, _: &str, _: u64) -> io::Result<Option<Vec<u8>>> {
        Ok(None)
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "the condition is a lock of another process, its deadline is the caller's"
    )]
    fn pause(&self, tries: u32) {
        // A holder is done after microseconds; on a machine of few cores it needs ours.
        match tries {
            0..=15 => std::thread::yield_now(),
            16..=63 => std::thread::sleep(Duration::from_micros(50)),
            _ => std::thread::sleep(Duration::from_millis(1)),
        }
    }

    fn place(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }
}

/// A file; dropping it closes its descriptor, which is never duplicated.
#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn identity(&self) -> io::Result<Identity> {
        let metadata = self.0.metadata()?;
        Ok((metadata.dev(), metadata.ino()))
    }

    // Not through std on Linux: it calls again after EINTR, and a sync is never retried (R6).
    #[cfg(target_os = "linux")]
    fn sync_data(&self) -> io::Result<()> {
        Ok(rustix::fs::fdatasync(&self.0)?)
    }

    #[cfg(target_os = "linux")]
    fn sync_all(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.0)?)
    }

    #[cfg(not(target_os = "linux"))]
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    #[cfg(not(target_os = "linux"))]
    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    fn try_lock(&self) -> io::Result<bool> {
        use rustix::fs::{FlockOperation, flock};
        match flock(&self.0, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(error) if error == rustix::io::Errno::WOULDBLOCK => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn unlock(&self) -> io::Result<()> {
        use rustix::fs::{FlockOperation, flock};
        Ok(flock(&self.0, FlockOperation::Unlock)?)
    }
}

/// When a process was started, in the kernel's ticks since boot: with the pid it names one process
/// for good. `None` when there is no such process.
pub(in super::super) fn process_start(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program, in parentheses, may hold anything.
    stat.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(19)?
        .parse()
        .ok()
}

/// The kind of network file system that `path` is on; `None` when it is a local one, or one that
/// is not known. Locks, the page cache and syncs of a network file system do not keep the rules of
/// this log.
///
/// # Errors
/// What the operating system answers, for instance that there is no such path.
#[cfg(target_os = "linux")]
pub fn network_file_system(path: impl AsRef<Path>) -> io::Result<Option<&'static str>> {
    let magic = rustix::fs::statfs(path.as_ref())?.f_type;
    // The width of the field differs between machines; the magic numbers have 32 bits.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "as above"
    )]
    let magic = magic as u32;
    Ok(match magic {
        0x6969 => Some("nfs"),
        0x517b => Some("smb"),
        0xfe53_4d42 => Some("smb2"),
        0xff53_4d42 => Some("cifs"),
        0x0102_1997 => Some("9p"),
        // sshfs and the like; local ones too, whose rules nobody knows.
        0x6573_5546 => Some("fuse"),
        0x00c3_6400 => Some("ceph"),
        0x0bd0_0bd0 => Some("lustre"),
        0x5346_414f | 0x6b41_4653 => Some("afs"),
        0x7375_7245 => Some("coda"),
        0x564c => Some("ncp"),
        0x0116_1970 => Some("gfs2"),
        0x7461_636f => Some("ocfs2"),
        0x2003_0528 => Some("orangefs"),
        0x1983_0326 => Some("beegfs"),
        0x7665_7258 => Some("vboxsf"),
        0x4750_4653 => Some("gpfs"),
        _ => None,
    })
}

/// As on Linux; elsewhere no file system is known.
///
/// # Errors
/// What the operating system answers, for instance that there is no such path.
#[cfg(not(target_os = "linux"))]
pub fn network_file_system(path: impl AsRef<Path>) -> io::Result<Option<&'static str>> {
    fs::metadata(path)?;
    Ok(None)
}

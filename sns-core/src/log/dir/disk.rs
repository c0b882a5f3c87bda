//! The disk as a trait: the seam where tests put faults. Names are those of files in the log's
//! directory.

use std::fmt;
use std::io;
use std::sync::Arc;

mod real;

pub use real::network_file_system;
pub(super) use real::{RealDisk, process_start};

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// To read; it must be there.
    Read,
    /// To read and write; it must be there.
    Write,
    /// To read and write; made when missing.
    Create,
}

/// Which file this is, whatever its name.
pub(crate) type Identity = (u64, u64);

/// One directory.
pub(crate) trait Disk: fmt::Debug + Send + Sync {
    /// Opens a file. Its descriptor is not inherited by child processes.
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn DiskFile>>;
    /// All names, in any order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Which file a name stands for now; `None` when there is none.
    fn identity(&self, name: &str) -> io::Result<Option<Identity>>;
    /// Gives a file another name, in one step; what had that name is gone.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a name.
    fn unlink(&self, name: &str) -> io::Result<()>;
    /// Makes all that happened to names durable.
    fn sync_dir(&self) -> io::Result<()>;
    /// The bytes of a file from `offset` on as they are on the disk, past the page cache. `None`
    /// when the file system refuses that.
    fn read_direct(&self, name: &str, offset: u64) -> io::Result<Option<Vec<u8>>>;
    /// Waits a moment before the lock is tried again; longer the more `tries` there were.
    fn pause(&self, tries: u32);
    /// The name with its path, for messages.
    fn place(&self, name: &str) -> String;
}

/// One open file.
pub(crate) trait DiskFile: fmt::Debug + Send + Sync {
    /// Reads at an offset; may be short, 0 = the end. May be interrupted.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes at an offset; may be short. May be interrupted.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Cuts or extends.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// How long it is.
    fn len(&self) -> io::Result<u64>;
    /// Which file this is.
    fn identity(&self) -> io::Result<Identity>;
    /// Makes its bytes durable; called once, whatever the answer.
    fn sync_data(&self) -> io::Result<()>;
    /// As `sync_data`, with all its metadata.
    fn sync_all(&self) -> io::Result<()>;
    /// Takes the lock on this descriptor if it is free.
    fn try_lock(&self) -> io::Result<bool>;
    /// Gives the lock back.
    fn unlock(&self) -> io::Result<()>;
}

/// Tries again for as long as a signal interrupts.
pub(super) fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Reads until `bytes` is full or the file ends; how many were read.
pub(super) fn read_full(
    file: &dyn DiskFile,
    bytes: &mut [u8],
    mut offset: u64,
) -> io::Result<usize> {
    let mut done = 0;
    while done < bytes.len() {
        match uninterrupted(|| file.read_at(&mut bytes[done..], offset))? {
            0 => break,
            read => {
                done += read;
                offset += read as u64;
            }
        }
    }
    Ok(done)
}

/// Everything from `offset` to the end.
pub(super) fn read_rest(file: &dyn DiskFile, offset: u64) -> io::Result<Vec<u8>> {
    const CHUNK: usize = 256 * 1024;
    let mut bytes = Vec::new();
    loop {
        let start = bytes.len();
        bytes.resize(start + CHUNK, 0);
        let read = read_full(file, &mut bytes[start..], offset + start as u64)?;
        bytes.truncate(start + read);
        if read < CHUNK {
            return Ok(bytes);
        }
    }
}

/// Writes all of `bytes`.
pub(super) fn write_full(file: &dyn DiskFile, bytes: &[u8], mut offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match uninterrupted(|| file.write_at(&bytes[done..], offset))? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => {
                done += written;
                offset += written as u64;
            }
        }
    }
    Ok(())
}

/// Writes `bytes` as the whole content of `name`, so that after a crash the old or the new content
/// is there, never a mix (rules R4, R10).
pub(super) fn replace(disk: &dyn Disk, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = format!("{name}{TEMPORARY}");
    let file = disk.open(&temporary, Access::Create)?;
    file.set_len(0)?;
    write_full(&*file, bytes, 0)?;
    file.sync_all()?;
    disk.rename(&temporary, name)?;
    disk.sync_dir()
}

/// How the names end that are not valid yet.
pub(super) const TEMPORARY: &str = ".tmp";

/// Whether the disk, or the user's share of it, is full.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

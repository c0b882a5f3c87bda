//! Forgetting the oldest entries (rule R10), a whole segment at a time.

use std::io;

use super::commit::{decode, encode};
use super::disk::{Access, Disk, read_rest, replace};
use super::{Error, LogId, Shared, failed, refused, segment};

/// The file's name; it exists once something was trimmed.
pub(super) const NAME: &str = "head";

const MAGIC: [u8; 8] = *b"\xffSNSHED\n";

/// What `head` says; `None` when nothing was ever trimmed. It was replaced in one step, so a bad
/// one is damage.
pub(super) fn read_head(disk: &dyn Disk) -> Result<Option<(LogId, u64)>, Error> {
    let bytes = match disk
        .open(NAME, Access::Read)
        .and_then(|file| read_rest(&*file, 0))
    {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(disk, "reading", NAME, error)),
    };
    match decode(MAGIC, &bytes) {
        Some(head) if head.1 > 0 => Ok(Some(head)),
        _ => Err(Error::Damaged {
            place: disk.place(NAME),
            index: 0,
            what: "the record does not add up".into(),
            witness: "it is replaced in one step".into(),
        }),
    }
}

/// The bytes of a `head` that says `index`.
#[cfg(any(test, fuzzing))]
pub(super) fn declare(id: LogId, index: u64) -> Vec<u8> {
    encode(MAGIC, id, index).to_vec()
}

/// Notes that a new log begins at `head`: what stood before is elsewhere.
pub(super) fn begin(disk: &dyn Disk, id: LogId, head: u64) -> Result<(), Error> {
    replace(disk, NAME, &encode(MAGIC, id, head)).map_err(|e| refused(disk, "writing", NAME, e))
}

/// Forgets the segments that hold nothing beyond `index`, which is durable. Under the lock.
pub(super) fn trim(shared: &Shared, id: LogId, index: u64) -> Result<(), Error> {
    let disk = &*shared.disk;
    let head = read_head(disk)?.map_or(1, |(_, head)| head);
    let firsts = segment::list(disk).map_err(|e| failed(disk, "listing", "", e))?;
    let new = firsts
        .iter()
        .copied()
        .filter(|&first| first <= index + 1)
        .max();
    let Some(new) = new.filter(|&new| new > head) else {
        return Ok(());
    };
    replace(disk, NAME, &encode(MAGIC, id, new)).map_err(|e| refused(disk, "writing", NAME, e))?;
    shared.head_is(new);
    for first in firsts.into_iter().filter(|&first| first < new) {
        let name = segment::name(first);
        disk.unlink(&name)
            .map_err(|e| refused(disk, "removing", &name, e))?;
    }
    Ok(())
}

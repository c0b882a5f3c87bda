//! The redo file: makes many small steps into sled one step.
//!
//! Under load the view writer carries thousands of keys at once, each value once, however often it
//! changed meanwhile. sled takes them in small batches, because a large one stops all cold reads;
//! so a process may die between two of them. Before the first, all pairs are written to this file,
//! and after the last it is deleted: whoever opens the view and finds it whole carries it out again,
//! which has the same end. A file that is not whole was written before the first batch, and is of
//! no use.
//!
//! ```text
//! magic  base  target (seqs, u64)  count u32  (key 10, length u32 | 0xFFFF_FFFF = removed, value)*
//! xxh3-128 of all before
//! ```
//!
//! It needs no sync: after a power cut the whole view is checked before it is used.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_128;

use super::{Error, KEY_BYTES};
use crate::own_file;
use crate::seq::Seq;

const MAGIC: &[u8; 8] = b"SNSREDO1";
const REMOVED: u32 = u32::MAX;
/// Several times the largest window of the view writer: what is longer was not written by it.
const FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// A key, and its new value; `None` removes it.
pub(super) type Pair = ([u8; KEY_BYTES], Option<Vec<u8>>);

/// What takes a view from one seq to another.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Redo {
    pub(super) base: Seq,
    pub(super) target: Seq,
    pub(super) pairs: Vec<Pair>,
}

fn path(dir: &Path) -> PathBuf {
    dir.join("sns-redo")
}

fn failed(path: &Path, error: &io::Error) -> Error {
    let text = format!("the redo file {}: {error}", path.display());
    if error.kind() == io::ErrorKind::StorageFull {
        Error::Full(text)
    } else {
        Error::Io(text)
    }
}

/// Writes the file; when this returns, a kill of the process cannot part the pairs any more.
pub(super) fn write(dir: &Path, redo: &Redo) -> Result<(), Error> {
    let size: usize = redo
        .pairs
        .iter()
        .map(|(_, v)| KEY_BYTES + 4 + v.as_ref().map_or(0, Vec::len))
        .sum();
    let mut bytes = Vec::with_capacity(size + 64);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&redo.base.as_u64().to_le_bytes());
    bytes.extend_from_slice(&redo.target.as_u64().to_le_bytes());
    bytes.extend_from_slice(&length(redo.pairs.len()).to_le_bytes());
    for (key, value) in &redo.pairs {
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(
            &value
                .as_ref()
                .map_or(REMOVED, |value| length(value.len()))
                .to_le_bytes(),
        );
        bytes.extend_from_slice(value.as_deref().unwrap_or_default());
    }
    let sum = xxh3_128(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    let path = path(dir);
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    own_file::open_with(&mut options, &path)
        .and_then(|mut file| file.write_all(&bytes))
        .map_err(|e| failed(&path, &e))
}

/// Numbers of pairs and bytes are bounded far below 2^32 by the window of the writer.
fn length(len: usize) -> u32 {
    u32::try_from(len).expect("a window of the view writer is bounded")
}

/// The file, if there is one and it is whole.
pub(super) fn read(dir: &Path) -> Result<Option<Redo>, Error> {
    let path = path(dir);
    match own_file::read(&path, FILE_BYTES_MAX) {
        Ok(bytes) => Ok(parse(&bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failed(&path, &e)),
    }
}

fn parse(bytes: &[u8]) -> Option<Redo> {
    let (body, sum) = bytes.split_last_chunk::<16>()?;
    if xxh3_128(body) != u128::from_le_bytes(*sum) {
        return None;
    }
    let rest = body.strip_prefix(MAGIC)?;
    let (base, rest) = rest.split_first_chunk::<8>()?;
    let (target, rest) = rest.split_first_chunk::<8>()?;
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    let mut pairs = Vec::new();
    for _ in 0..u32::from_le_bytes(*count) {
        let (key, after) = rest.split_first_chunk::<KEY_BYTES>()?;
        let (len, after) = after.split_first_chunk::<4>()?;
        let (value, after) = match u32::from_le_bytes(*len) {
            REMOVED => (None, after),
            len => {
                let (value, after) = after.split_at_checked(len as usize)?;
                (Some(value.to_vec()), after)
            }
        };
        pairs.push((*key, value));
        rest = after;
    }
    let seq = |bytes: &[u8; 8]| Seq::from_u64(u64::from_le_bytes(*bytes));
    Some(Redo {
        base: seq(base),
        target: seq(target),
        pairs,
    })
}

/// Deletes the file: sled has all of it.
pub(super) fn remove(dir: &Path) -> Result<(), Error> {
    let path = path(dir);
    match fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed(&path, &e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redo() -> Redo {
        Redo {
            base: Seq::new(3, 1),
            target: Seq::new(9, 0),
            pairs: vec![
                ([1; KEY_BYTES], Some(vec![7; 300])),
                ([2; KEY_BYTES], None),
                ([3; KEY_BYTES], Some(Vec::new())),
            ],
        }
    }

    #[test]
    fn a_whole_file_comes_back_and_a_torn_or_flipped_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        write(dir.path(), &redo()).unwrap();
        assert_eq!(read(dir.path()).unwrap(), Some(redo()));
        let whole = fs::read(path(dir.path())).unwrap();
        for cut in 0..whole.len() {
            assert_eq!(parse(&whole[..cut]), None, "cut at {cut}");
        }
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(&flipped), None, "bit {bit}");
        }
        remove(dir.path()).unwrap();
        remove(dir.path()).unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
    }
}

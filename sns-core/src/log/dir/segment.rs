//! The files that hold the entries: each named by its first index, each begins with a header.
//!
//! ```text
//! 0       8         12       16      24      32           40         56     60
//! magic   version   prev     first   zero    prev_first   log id     crc    frames
//! ```
//!
//! `prev` is the checksum of the last entry before, `prev_first` the name of the segment before (0
//! for none): a missing segment is noticed without reading its neighbours.

use std::io;
use std::sync::Arc;

use super::disk::{Access, Disk, DiskFile, TEMPORARY, read_full, write_full};
use super::frame::{u32_at, u64_at};
use super::options::Step;
use super::{DirLogOptions, LogId};
use crate::seq::Seq;

/// Bytes before the first frame.
pub(super) const HEADER: u64 = 60;

const HEADER_LEN: usize = 60;
const MAGIC: [u8; 8] = *b"\xffSNSLOG\n";
const VERSION: u32 = 1;
const SUFFIX: &str = ".seg";

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) id: LogId,
    pub(super) first: u64,
    /// First index of the segment before; 0 for none.
    pub(super) prev_first: u64,
    /// Checksum of the last entry before.
    pub(super) prev: u32,
}

/// The name of the segment that begins with entry `first`.
pub(super) fn name(first: u64) -> String {
    format!("{first:020}{SUFFIX}")
}

/// The first index of the segment with this name; `None` when it is another kind of file.
pub(super) fn first_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|&first| first > 0)
}

/// The first indexes of all segments, ascending.
pub(super) fn list(disk: &dyn Disk) -> io::Result<Vec<u64>> {
    let mut firsts: Vec<u64> = disk
        .list()?
        .iter()
        .filter_map(|name| first_of(name))
        .collect();
    firsts.sort_unstable();
    Ok(firsts)
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.prev.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.prev_first.to_le_bytes());
        bytes[40..56].copy_from_slice(&self.id.0.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..56]);
        bytes[56..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() < HEADER_LEN {
            return Err("the header of the segment is cut off");
        }
        if bytes[..8] != MAGIC {
            return Err("the header of the segment is not one of this program");
        }
        if u32_at(bytes, 56) != crc32c::crc32c(&bytes[..56]) {
            return Err("the checksum of the segment's header does not fit");
        }
        if u32_at(bytes, 8) != VERSION {
            return Err("the segment was written by another version");
        }
        if !(1..=Seq::INDEX_MAX).contains(&u64_at(bytes, 16)) {
            return Err("the first index of the segment is out of bounds");
        }
        let mut id = [0; 16];
        id.copy_from_slice(&bytes[40..56]);
        Ok(Self {
            id: LogId(u128::from_le_bytes(id)),
            first: u64_at(bytes, 16),
            prev_first: u64_at(bytes, 32),
            prev: u32_at(bytes, 12),
        })
    }

    /// Reads the header of an open segment; the inner error says what is wrong with it.
    pub(super) fn read(file: &dyn DiskFile) -> io::Result<Result<Self, &'static str>> {
        let mut bytes = [0; HEADER_LEN];
        let read = read_full(file, &mut bytes, 0)?;
        Ok(Self::decode(&bytes[..read]))
    }
}

/// Makes a segment (rule R4): it has its name only when its header is durable, and when this
/// returns the name is durable too.
pub(super) fn create(
    disk: &dyn Disk,
    options: &DirLogOptions,
    header: &Header,
) -> io::Result<Arc<dyn DiskFile>> {
    let name = name(header.first);
    let temporary = if options.lacks(Step::RollTemporaryName) {
        name.clone()
    } else {
        format!("{name}{TEMPORARY}")
    };
    let file = disk.open(&temporary, Access::Create)?;
    file.set_len(0)?;
    write_full(&*file, &header.encode(), 0)?;
    if !options.lacks(Step::RollSyncHeader) {
        file.sync_all()?;
    }
    if temporary != name {
        disk.rename(&temporary, &name)?;
    }
    if !options.lacks(Step::RollSyncDirectory) {
        disk.sync_dir()?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_as_their_indexes_and_other_names_are_no_segments() {
        assert_eq!(first_of(&name(17)), Some(17));
        assert!(name(9) < name(10));
        for other in [
            "commit",
            "00000000000000000017.seg.tmp",
            "17.seg",
            ".seg",
            "+0000000000000000017.seg",
        ] {
            assert_eq!(first_of(other), None, "{other}");
        }
        assert_eq!(first_of(&name(0)), None);
    }

    #[test]
    fn a_header_comes_back_and_every_flipped_bit_is_noticed() {
        let header = Header {
            id: LogId(5),
            first: 9,
            prev_first: 1,
            prev: 3,
        };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Ok(header));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&bad).is_err(), "bit {bit} was not noticed");
        }
    }
}

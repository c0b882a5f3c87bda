//! The file of a backup.
//!
//! ```text
//! magic  length of the header  header (JSON)  crc
//!   8             4                            4
//! (length of the chunk 4, the chunk, crc 4)*      1 byte to 1 MiB of a snapshot each
//! 0  bytes of all before the sum  xxh3-128 of all before it
//! 4              8                       16
//! ```
//!
//! Numbers are little endian. Every crc32c goes on from the one before it, so that chunks cannot change
//! places. Each chunk is proved before it is used, and the end proves that nothing is missing; whatever
//! byte is changed, added or lost, a reader says where.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crc32c::crc32c_append;
use xxhash_rust::xxh3::Xxh3;

use super::{BackupInfo, Header, Progress};
use crate::error::{Error, Reason, Result};
use crate::limits;
use crate::new_file::{failed, refused};
use crate::seq::Seq;
use crate::view::snapshot;

/// The version of the layout above.
pub(super) const VERSION: u32 = 1;
/// Bytes of a snapshot in one chunk, at most.
pub(super) const CHUNK_BYTES: usize = 1024 * 1024;
/// 0xFF stands in no text.
const MAGIC: [u8; 8] = *b"\xffSNSBAK\n";
/// Bytes of a header: ours have some hundred.
const HEADER_BYTES: usize = 64 * 1024;

/// The highest index of a backup: leaves indexes to the feed that goes on behind it. No feed reaches
/// it in two centuries.
const INDEX_MAX: u64 = Seq::INDEX_MAX / 2;

/// Writes the file, front to back.
pub(super) struct Writer<'a> {
    to: &'a mut dyn Write,
    crc: u32,
    hash: Xxh3,
    bytes: u64,
}

impl<'a> Writer<'a> {
    pub(super) fn begin(to: &'a mut dyn Write, header: &Header) -> Result<Self> {
        let header = serde_json::to_vec(header)
            .map_err(|e| Error::new(Reason::Internal, format!("the header of a backup: {e}")))?;
        let mut writer = Self {
            to,
            crc: 0,
            hash: Xxh3::new(),
            bytes: 0,
        };
        writer.put(&MAGIC)?;
        writer.chunk(&header)?;
        Ok(writer)
    }

    /// A piece of 1 byte to [`CHUNK_BYTES`].
    pub(super) fn chunk(&mut self, piece: &[u8]) -> Result<()> {
        let length = u32::try_from(piece.len()).unwrap_or(u32::MAX).to_le_bytes();
        self.crc = crc32c_append(crc32c_append(self.crc, &length), piece);
        self.put(&length)?;
        self.put(piece)?;
        self.put(&self.crc.to_le_bytes())
    }

    /// Ends the file; its bytes.
    pub(super) fn finish(mut self) -> Result<u64> {
        self.put(&0_u32.to_le_bytes())?;
        let so_far = self.bytes + 8;
        self.put(&so_far.to_le_bytes())?;
        let sum = self.hash.digest128().to_le_bytes();
        self.put(&sum)?;
        self.to
            .flush()
            .map_err(|e| refused("writing the backup", e))?;
        Ok(self.bytes)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.to
            .write_all(bytes)
            .map_err(|e| refused("writing the backup", e))?;
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

/// Reads the file, front to back, and trusts nothing in it.
pub(super) struct Reader<'a> {
    from: &'a mut dyn Read,
    name: &'a str,
    crc: u32,
    hash: Xxh3,
    at: u64,
}

impl<'a> Reader<'a> {
    /// Reads and checks the header.
    pub(super) fn begin(from: &'a mut dyn Read, name: &'a str) -> Result<(Self, Header)> {
        let mut reader = Self {
            from,
            name,
            crc: 0,
            hash: Xxh3::new(),
            at: 0,
        };
        let mut magic = [0; MAGIC.len()];
        reader.fill(&mut magic)?;
        if magic != MAGIC {
            return Err(reader.damaged(0, "it does not begin as a backup does"));
        }
        let header = reader.chunk(HEADER_BYTES)?;
        let Some(header) = header else {
            return Err(reader.damaged(reader.at, "it has no header"));
        };
        let header: Header = serde_json::from_slice(&header)
            .map_err(|e| reader.damaged(MAGIC.len() as u64, &format!("its header: {e}")))?;
        header.refuse_other_versions(name)?;
        Ok((reader, header))
    }

    /// Hands out the chunks, then proves the end; the bytes of the whole file.
    pub(super) fn body(mut self, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<u64> {
        while let Some(piece) = self.chunk(CHUNK_BYTES)? {
            each(&piece)?;
        }
        let mut so_far = [0; 8];
        self.fill(&mut so_far)?;
        if u64::from_le_bytes(so_far) != self.at {
            return Err(self.damaged(self.at, "it has not the length that it should have"));
        }
        let (at, hash) = (self.at, self.hash.digest128());
        let mut sum = [0; 16];
        self.fill(&mut sum)?;
        if u128::from_le_bytes(sum) != hash {
            return Err(self.damaged(at, "the checksum of the whole does not fit"));
        }
        let bytes = self.at;
        let mut more = [0];
        loop {
            return match self.from.read(&mut more) {
                Ok(0) => Ok(bytes),
                Ok(_) => Err(self.damaged(bytes, "something follows its end")),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => Err(refused(&format!("reading {}", self.name), e)),
            };
        }
    }

    /// The next chunk; `None` = the last one was before.
    fn chunk(&mut self, most: usize) -> Result<Option<Vec<u8>>> {
        let at = self.at;
        let mut length = [0; 4];
        self.fill(&mut length)?;
        let size = u32::from_le_bytes(length) as usize;
        if size == 0 {
            return Ok(None);
        }
        if size > most {
            return Err(self.damaged(at, "a chunk is longer than any is"));
        }
        let mut piece = vec![0; size];
        self.fill(&mut piece)?;
        let mut crc = [0; 4];
        self.fill(&mut crc)?;
        let expected = crc32c_append(crc32c_append(self.crc, &length), &piece);
        if u32::from_le_bytes(crc) != expected {
            return Err(self.damaged(at, "the checksum of this chunk does not fit"));
        }
        self.crc = expected;
        Ok(Some(piece))
    }

    fn fill(&mut self, to: &mut [u8]) -> Result<()> {
        let filled = super::read_some(&mut self.from, to)
            .map_err(|e| refused(&format!("reading {}", self.name), e))?;
        self.at += filled as u64;
        if filled < to.len() {
            return Err(self.damaged(self.at, "it is cut short"));
        }
        self.hash.update(to);
        Ok(())
    }

    fn damaged(&self, at: u64, what: &str) -> Error {
        damaged(self.name, &format!("at byte {at}: {what}"))
    }
}

fn damaged(name: &str, what: &str) -> Error {
    Error::new(
        Reason::Damaged,
        format!("{name} is no backup, or a damaged one, {what}; take another backup"),
    )
}

/// Reads a backup to its end, and puts the snapshot that it holds into `dir`.
///
/// # Errors
/// `Damaged`; as the system refuses to read or write.
pub(super) fn extract(
    from: &mut dyn Read,
    name: &str,
    dir: &Path,
    progress: Progress<'_>,
) -> Result<(BackupInfo, PathBuf)> {
    let name = &sns_proto::escape::escape(name);
    let (reader, header) = Reader::begin(from, name)?;
    if header.index > INDEX_MAX || header.log_time_ms > limits::CLOCK_MS_MAX {
        return Err(damaged(
            name,
            "in its header: it stands where no feed can go on",
        ));
    }
    let path = dir.join(format!("{:020}.snap", header.index));
    let failed = || failed("writing", &path);
    let mut to = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .map_err(failed())?;
    let mut done = 0;
    let bytes = reader.body(|piece| {
        to.write_all(piece).map_err(failed())?;
        done += piece.len() as u64;
        progress(done, done);
        Ok(())
    })?;
    drop::<File>(to);
    let info = header
        .info(bytes)
        .ok_or_else(|| damaged(name, "in its header: a number is none"))?;
    let held = snapshot::info(&path).map_err(|e| damaged(name, &e.to_string()))?;
    let says = (info.index, info.log_id, info.digest, info.digest_version);
    if says != (held.index, held.log_id, held.digest, held.digest_version) {
        return Err(damaged(name, "in its header: it holds something else"));
    }
    Ok((info, path))
}

/// Any bytes as a backup, for the fuzzer. The first byte chooses how far the rest is helped: not at all,
/// a header in a frame, pieces in frames behind a good header.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_any(data: &[u8], dir: &Path) {
    let Some((&mode, rest)) = data.split_first() else {
        return;
    };
    let mut file = Vec::new();
    if mode % 3 == 0 {
        file.extend_from_slice(rest);
    } else {
        let mut writer = Writer {
            to: &mut file,
            crc: 0,
            hash: Xxh3::new(),
            bytes: 0,
        };
        let framed = |writer: &mut Writer<'_>| {
            writer.put(&MAGIC)?;
            if mode % 3 == 2 {
                writer.chunk(include_bytes!("fuzz-header.json"))?;
            }
            for piece in rest.chunks(usize::from(mode).max(64)) {
                writer.chunk(piece)?;
            }
            Ok::<_, Error>(())
        };
        framed(&mut writer).expect("memory");
        writer.finish().expect("memory");
    }
    match extract(&mut &*file, "fuzz", dir, &mut |_, _| {}) {
        Ok((info, _)) => assert_eq!(info.bytes, file.len() as u64),
        Err(error) => assert_eq!(error.reason(), Reason::Damaged, "{error}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use proptest::prelude::*;

    fn header() -> Header {
        Header {
            sns_backup: VERSION,
            program: "sns 0".into(),
            data_id: "d".into(),
            log_id: "1f".into(),
            index: 7,
            seq: 7 << 16,
            digest: "2e".into(),
            digest_version: 1,
            view_format: crate::view::keys::meta::FORMAT,
            log_time_ms: 1,
            users: 1,
            posts: 1,
            follows: 1,
            made_at_ms: 1,
        }
    }

    fn made(pieces: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = Writer::begin(&mut bytes, &header()).unwrap();
        for piece in pieces {
            writer.chunk(piece).unwrap();
        }
        writer.finish().unwrap();
        bytes
    }

    fn read(mut bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        let mut pieces = Vec::new();
        let (reader, _) = Reader::begin(&mut bytes, "it")?;
        reader.body(|piece| {
            pieces.push(piece.to_vec());
            Ok(())
        })?;
        Ok(pieces)
    }

    fn pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..5)
    }

    proptest! {
        #[test]
        fn what_was_written_comes_back(pieces in pieces()) {
            prop_assert_eq!(read(&made(&pieces)).unwrap(), pieces);
        }

        #[test]
        fn any_bytes_are_refused_and_never_a_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(read(&bytes).is_err());
            bytes.splice(0..0, MAGIC);
            prop_assert!(read(&bytes).is_err());
        }
    }

    #[test]
    fn every_flipped_bit_every_cut_and_every_addition_is_found() {
        let pieces = vec![vec![1; 40], vec![2; 40], vec![3; 7]];
        let whole = made(&pieces);
        assert_eq!(read(&whole).unwrap(), pieces);
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                let refused = read(&bytes).unwrap_err();
                assert_eq!(refused.reason(), Reason::Damaged, "byte {at} bit {bit}");
                assert!(refused.message().contains("byte"), "{refused}");
            }
            let refused = read(&whole[..at]).unwrap_err();
            assert_eq!(refused.reason(), Reason::Damaged, "cut to {at}");
            let mut bytes = whole.clone();
            bytes.insert(at, 0);
            assert!(read(&bytes).is_err(), "one more byte at {at}");
        }
        let mut more = whole.clone();
        more.push(0);
        assert!(read(&more).is_err());
        assert!(read(&[whole.clone(), whole].concat()).is_err());
    }

    #[test]
    fn chunks_do_not_change_places() {
        let whole = made(&[vec![1; 40], vec![2; 40]]);
        let begin = whole.len() - 28 - 2 * 48;
        let (mut bytes, chunk) = (whole.clone(), 48);
        bytes[begin..begin + chunk].copy_from_slice(&whole[begin + chunk..begin + 2 * chunk]);
        bytes[begin + chunk..begin + 2 * chunk].copy_from_slice(&whole[begin..begin + chunk]);
        let refused = read(&bytes).unwrap_err();
        assert!(refused.message().contains("this chunk"), "{refused}");
    }

    #[test]
    fn a_backup_behind_which_no_feed_can_go_on_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for (index, log_time_ms, stands) in [
            (INDEX_MAX, limits::CLOCK_MS_MAX, true),
            (INDEX_MAX + 1, 1, false),
            (Seq::INDEX_MAX, 1, false),
            (u64::MAX, 1, false),
            (1, limits::CLOCK_MS_MAX + 1, false),
        ] {
            let header = Header {
                index,
                log_time_ms,
                ..header()
            };
            let mut bytes = Vec::new();
            let writer = Writer::begin(&mut bytes, &header).unwrap();
            writer.finish().unwrap();
            // It holds nothing: each is refused, for one thing or the other.
            let refused = extract(&mut &*bytes, "it", dir.path(), &mut |_, _| {}).unwrap_err();
            assert_eq!(refused.reason(), Reason::Damaged);
            let why = refused.message().contains("no feed can go on");
            assert_eq!(why, !stands, "{refused}");
        }
    }

    #[test]
    fn a_backup_of_another_version_is_refused_with_what_to_do() {
        for other in [
            Header {
                sns_backup: 2,
                ..header()
            },
            Header {
                view_format: 99,
                program: "sns \u{1b}9".into(),
                ..header()
            },
        ] {
            let mut bytes = Vec::new();
            Writer::begin(&mut bytes, &other).unwrap().finish().unwrap();
            let refused = read(&bytes).unwrap_err();
            assert!(refused.message().contains("restore it with that program"));
            assert!(!refused.message().contains('\u{1b}'));
        }
    }
}

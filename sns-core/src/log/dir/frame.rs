//! One entry as bytes.
//!
//! ```text
//! 0      4        8     12     16      24        32
//! magic  length   crc   prev   index   durable   payload (1 to 524,288 bytes)
//! ```
//!
//! Little-endian. `crc` covers all behind the magic but itself, and is seeded with the id of the
//! log: nobody who does not know it can put a valid frame into a post. `prev` is the `crc` of the
//! entry before, so that an entry of another history does not fit. `durable` is what the writer
//! knew to be durable: a witness against losing it. Zeros are never a frame.

use super::LogId;
use crate::limits::ENTRY_BYTES;
use crate::seq::Seq;

/// Bytes before the payload.
pub(super) const HEADER: usize = 32;

/// 0xFF occurs nowhere in UTF-8.
pub(super) const MAGIC: [u8; 4] = [0xff, b'S', b'N', b'f'];

/// The log id as a seed of checksums.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seal(u32);

impl Seal {
    pub(super) fn new(id: LogId) -> Self {
        Self(crc32c::crc32c(&id.0.to_le_bytes()))
    }

    fn crc(self, frame: &[u8]) -> u32 {
        let crc = crc32c::crc32c_append(self.0, &frame[4..8]);
        crc32c::crc32c_append(crc, &frame[12..])
    }
}

/// A valid frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub(super) index: u64,
    pub(super) durable: u64,
    pub(super) crc: u32,
    pub(super) prev: u32,
    pub(super) payload: &'a [u8],
}

impl Frame<'_> {
    /// Bytes of the whole frame.
    pub(super) fn size(&self) -> usize {
        HEADER + self.payload.len()
    }
}

/// What stands at the start of some bytes.
#[derive(Debug)]
pub(super) enum Parsed<'a> {
    Frame(Frame<'a>),
    /// More bytes are needed to tell.
    Short,
    Bad(&'static str),
}

/// Appends a frame to `out`; returns its checksum.
pub(super) fn encode(
    seal: Seal,
    index: u64,
    prev: u32,
    durable: u64,
    payload: &[u8],
    out: &mut Vec<u8>,
) -> u32 {
    debug_assert!(!payload.is_empty() && payload.len() <= ENTRY_BYTES && durable < index);
    let start = out.len();
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&prev.to_le_bytes());
    out.extend_from_slice(&index.to_le_bytes());
    out.extend_from_slice(&durable.to_le_bytes());
    out.extend_from_slice(payload);
    let crc = seal.crc(&out[start..]);
    out[start + 8..start + 12].copy_from_slice(&crc.to_le_bytes());
    crc
}

/// Bytes of the frame at the start of `bytes`, as far as a whole header can tell.
pub(super) fn size(bytes: &[u8]) -> Result<usize, &'static str> {
    if bytes[..MAGIC.len()] != MAGIC {
        return Err("no frame begins here");
    }
    match u32_at(bytes, 4) as usize {
        length @ 1..=ENTRY_BYTES => Ok(HEADER + length),
        _ => Err("the length is out of bounds"),
    }
}

/// Reads the frame at the start of `bytes`, which may go on behind it.
pub(super) fn parse(seal: Seal, bytes: &[u8]) -> Parsed<'_> {
    let known = bytes.len().min(MAGIC.len());
    if bytes[..known] != MAGIC[..known] {
        return Parsed::Bad("no frame begins here");
    }
    let Some(header) = bytes.first_chunk::<HEADER>() else {
        return Parsed::Short;
    };
    let size = match size(header) {
        Ok(size) => size,
        Err(what) => return Parsed::Bad(what),
    };
    let Some(frame) = bytes.get(..size) else {
        return Parsed::Short;
    };
    let crc = u32_at(header, 8);
    if seal.crc(frame) != crc {
        return Parsed::Bad("the checksum does not fit");
    }
    let index = u64_at(header, 16);
    if !(1..=Seq::INDEX_MAX).contains(&index) {
        return Parsed::Bad("its index is out of bounds");
    }
    Parsed::Frame(Frame {
        index,
        durable: u64_at(header, 24),
        crc,
        prev: u32_at(header, 12),
        payload: &frame[HEADER..],
    })
}

/// As [`parse`], for the entry `index` that follows the one with checksum `prev`.
pub(super) fn parse_next(seal: Seal, bytes: &[u8], index: u64, prev: u32) -> Parsed<'_> {
    match parse(seal, bytes) {
        Parsed::Frame(frame) if frame.index != index => Parsed::Bad("it is another entry"),
        Parsed::Frame(frame) if frame.prev != prev => {
            Parsed::Bad("it does not follow the entry before")
        }
        other => other,
    }
}

/// All valid frames that begin anywhere in `bytes`, whatever stands between them.
pub(super) fn search(seal: Seal, bytes: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while let Some(found) = bytes.get(at..)?.iter().position(|&byte| byte == MAGIC[0]) {
            at += found;
            if let Parsed::Frame(frame) = parse(seal, &bytes[at..]) {
                at += frame.size();
                return Some(frame);
            }
            at += 1;
        }
        None
    })
}

/// The number at `at`, which the caller knows to be inside.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

/// The number at `at`, which the caller knows to be inside.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEAL: Seal = Seal(77);

    fn frame(index: u64, prev: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(SEAL, index, prev, index - 1, payload, &mut bytes);
        bytes
    }

    #[test]
    fn a_frame_comes_back_as_it_was_written() {
        let bytes = frame(7, 42, b"hello");
        let Parsed::Frame(frame) = parse_next(SEAL, &bytes, 7, 42) else {
            panic!("not a frame");
        };
        assert_eq!((frame.index, frame.durable, frame.prev), (7, 6, 42));
        assert_eq!(frame.payload, b"hello");
        assert_eq!(frame.size(), bytes.len());
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let bytes = frame(7, 42, b"hello");
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(
                !matches!(parse(SEAL, &bad), Parsed::Frame(_)),
                "bit {bit} was not noticed"
            );
        }
        for length in 0..bytes.len() {
            assert!(matches!(parse(SEAL, &bytes[..length]), Parsed::Short));
        }
    }

    #[test]
    fn zeros_are_no_frame() {
        assert!(matches!(parse(SEAL, &[0; 100]), Parsed::Bad(_)));
        assert!(matches!(parse(Seal(0), &[0; 100]), Parsed::Bad(_)));
        assert!(matches!(parse(SEAL, &[0]), Parsed::Bad(_)));
    }

    #[test]
    fn a_frame_in_a_post_cannot_be_forged_without_the_log_id() {
        let mut forged = Vec::new();
        encode(Seal(78), 3, 0, 2, b"evil", &mut forged);
        let carrier = frame(2, 1, &forged);
        let found: Vec<u64> = search(SEAL, &carrier[1..])
            .map(|frame| frame.index)
            .collect();
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn frames_are_found_behind_rubbish() {
        let mut bytes = b"\xff\xffS\xffSN rubbish".to_vec();
        bytes.extend(frame(4, 0, b"four"));
        bytes.extend(b"\xffSNf");
        bytes.extend(frame(6, 0, b"six"));
        let found: Vec<u64> = search(SEAL, &bytes).map(|frame| frame.index).collect();
        assert_eq!(found, [4, 6]);
    }
}

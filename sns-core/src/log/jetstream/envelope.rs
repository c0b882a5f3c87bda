//! What stands around an entry in a message, so that every reader can check it.
//!
//! ```text
//! magic  version  id of the writer's append  durable index it knew  crc  entry
//!   3       1              16                        8               4
//! ```
//!
//! Numbers are little endian. The checksum (CRC32C, seeded with the log id) is over all but itself.
//! The magic holds a byte that UTF-8 never holds.

use bytes::Bytes;

use super::{LogId, Record};

const MAGIC: [u8; 3] = [0xff, b'S', b'N'];
const VERSION: u8 = 1;
/// Bytes in front of the entry.
pub(super) const HEADER_BYTES: usize = 32;
const CRC_AT: usize = 28;

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Drawn for each append; `Nats-Msg-Id` is the same.
    pub(super) id: [u8; 16],
    /// The last index that the writer knew to be durable.
    pub(super) durable: u64,
}

/// The message that carries `entry`.
pub(super) fn seal(log: LogId, header: Header, entry: &[u8]) -> Bytes {
    let mut message = Vec::with_capacity(HEADER_BYTES + entry.len());
    message.extend_from_slice(&MAGIC);
    message.push(VERSION);
    message.extend_from_slice(&header.id);
    message.extend_from_slice(&header.durable.to_le_bytes());
    let crc = checksum(log, &message, entry);
    message.extend_from_slice(&crc.to_le_bytes());
    message.extend_from_slice(entry);
    message.into()
}

/// The entry that `message` carries at `index`.
///
/// # Errors
/// What is wrong with it, for a human.
pub(super) fn open(log: LogId, index: u64, message: &[u8]) -> Result<(Header, Record), String> {
    if message.len() <= HEADER_BYTES {
        return Err(format!("{} bytes are too few", message.len()));
    }
    let (header, entry) = message.split_at(HEADER_BYTES);
    if header[..3] != MAGIC {
        return Err("it was not written by SNS".into());
    }
    if header[3] != VERSION {
        return Err(format!(
            "it was written by another version (format {}, this program has {VERSION}): upgrade \
             this program",
            header[3]
        ));
    }
    let stored = u32::from_le_bytes(part(header, CRC_AT));
    let found = checksum(log, &header[..CRC_AT], entry);
    if stored != found {
        return Err(format!(
            "its checksum is {found:08x}, and {stored:08x} was written"
        ));
    }
    let header = Header {
        id: part(header, 4),
        durable: u64::from_le_bytes(part(header, 20)),
    };
    Ok((header, record(index, stored, entry)))
}

/// The entry of a message that was just sealed, at the index that it was given.
pub(super) fn sealed(index: u64, message: &[u8]) -> Record {
    let (header, entry) = message.split_at(HEADER_BYTES);
    record(index, u32::from_le_bytes(part(header, CRC_AT)), entry)
}

fn record(index: u64, crc: u32, entry: &[u8]) -> Record {
    Record {
        index,
        // The same message at another index is another entry.
        crc: crc32c::crc32c_append(crc, &index.to_le_bytes()),
        payload: entry.to_vec(),
    }
}

fn checksum(log: LogId, header: &[u8], entry: &[u8]) -> u32 {
    let seed = crc32c::crc32c(&log.0.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(seed, header), entry)
}

fn part<const N: usize>(header: &[u8], at: usize) -> [u8; N] {
    let mut part = [0; N];
    part.copy_from_slice(&header[at..at + N]);
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: LogId = LogId(7);
    const HEADER: Header = Header {
        id: [3; 16],
        durable: 41,
    };

    #[test]
    fn a_message_comes_back_as_it_was_sealed() {
        let message = seal(LOG, HEADER, b"entry");
        let (header, record) = open(LOG, 42, &message).expect("sound");
        assert_eq!(header, HEADER);
        assert_eq!((record.index, &*record.payload), (42, &b"entry"[..]));
        assert_eq!(sealed(42, &message), record);
        assert_ne!(sealed(43, &message).crc, record.crc, "another index");
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let message = seal(LOG, HEADER, b"entry");
        for bit in 0..message.len() * 8 {
            let mut bad = message.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            open(LOG, 42, &bad).expect_err("a flipped bit");
        }
        for length in 0..message.len() {
            open(LOG, 42, &message[..length]).expect_err("a cut");
        }
        open(LogId(8), 42, &message).expect_err("another log");
        let mut newer = message.to_vec();
        newer[3] = 2;
        let why = open(LOG, 42, &newer).expect_err("newer");
        assert!(why.contains("upgrade"), "{why}");
    }
}

//! A directory log made of hostile bytes: opened, read, verified, opened again.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::frame::{self, Parsed, Seal};
use super::segment::{self, Header};
use super::{DirLog, DirLogOptions, Error, Log as _, LogId, commit, trim};
use crate::limits::ENTRY_BYTES;
use crate::seq::Seq;

const ID: LogId = LogId(7);

/// What an input spells: files of a log, and the payloads with which they surely begin.
#[derive(Debug, Default)]
struct Crafted {
    first: u64,
    segment: Vec<u8>,
    /// Entries from `first` on that are whole and fit together.
    sound: Vec<Vec<u8>>,
    commit: Vec<u8>,
    head: Vec<u8>,
}

/// Three bytes choose first index, `commit` and `head`; then pieces: a kind, a length, bytes.
fn craft(data: &[u8]) -> Crafted {
    let (&[start, committed, pieces], mut rest) =
        data.split_first_chunk().unwrap_or((&[0; 3], &[]));
    let first = match start % 8 {
        1 => 2,
        2 => (1 << 48) - 2,
        3 => u64::MAX - 2,
        4 => u64::MAX,
        _ => 1,
    };
    let header = Header {
        id: ID,
        first,
        prev_first: 0,
        prev: 0,
    };
    let mut made = Crafted {
        first,
        segment: header.encode().to_vec(),
        ..Crafted::default()
    };
    made.commit = match committed {
        0 => Vec::new(),
        254 => vec![0; 36],
        255 => commit::declare(ID, u64::MAX),
        index => commit::declare(ID, first.saturating_add(u64::from(index)).saturating_sub(2)),
    };
    if first > 1 || start & 0x80 != 0 {
        made.head = trim::declare(ID, first);
    }
    if pieces == 0 {
        // As it is: nothing is known of it.
        made.segment.extend_from_slice(rest);
        return made;
    }
    let (mut next, mut prev, mut sound) = (first, 0, true);
    while let [kind, length, after @ ..] = rest {
        let (bytes, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        let index = match kind % 8 {
            0..=3 => next,
            4 => next.wrapping_add(1),
            5 => {
                made.segment.extend_from_slice(bytes);
                sound = false;
                continue;
            }
            6 => {
                let cut = made.segment.len().saturating_sub(usize::from(*length));
                made.segment.truncate(cut);
                sound = false;
                made.sound.clear();
                continue;
            }
            _ => u64::MAX,
        };
        if bytes.is_empty() || bytes.len() > ENTRY_BYTES || index == 0 {
            continue;
        }
        let durable = u64::from(kind >> 3).min(index - 1);
        prev = frame::encode(
            Seal::new(ID),
            index,
            prev,
            durable,
            bytes,
            &mut made.segment,
        );
        sound &= index == next && index <= Seq::INDEX_MAX;
        if sound {
            made.sound.push(bytes.to_vec());
        }
        next = index.wrapping_add(1);
    }
    made
}

fn options() -> DirLogOptions {
    DirLogOptions {
        background: false,
        file_events: false,
        lock_patience: Duration::from_millis(100),
        ..DirLogOptions::default()
    }
}

/// Reads it all; the payloads.
fn read_all(log: &DirLog) -> Result<Vec<Vec<u8>>, Error> {
    let (mut next, tail) = (log.head()?, log.tail()?);
    let mut payloads = Vec::new();
    while next < tail {
        let records = log.read(next, 64 * 1024)?;
        assert!(!records.is_empty(), "a durable entry is there, or damage");
        for record in records {
            assert_eq!(record.index, next, "without holes");
            next = record.index + 1;
            payloads.push(record.payload);
        }
    }
    Ok(payloads)
}

/// Frames and recovery: whatever stands in the files, what was sound is read or damage is told, and
/// opening twice is opening once.
pub(crate) fn frame(data: &[u8], dir: &Path) {
    let seal = Seal::new(ID);
    let made = craft(data);
    if let Parsed::Frame(frame) = frame::parse(seal, data) {
        assert!(frame.size() <= data.len());
    }
    let found: usize = frame::search(seal, data).map(|frame| frame.size()).sum();
    assert!(found <= data.len());
    for (name, bytes) in [
        (segment::name(made.first), &made.segment),
        (commit::NAME.to_owned(), &made.commit),
        (trim::NAME.to_owned(), &made.head),
    ] {
        if !bytes.is_empty() {
            fs::write(dir.join(name), bytes).expect("a place to write");
        }
    }
    // Looks without touching first, as `log verify` does; it looks at damage for longer.
    let looks = data.first().is_some_and(|start| start & 0x40 != 0);
    let looked = looks.then(|| DirLog::verify(dir));
    let Ok(log) = DirLog::open(dir, options()) else {
        return;
    };
    let first = read_all(&log);
    drop(log);
    if let Ok(payloads) = &first {
        assert!(payloads.starts_with(&made.sound), "a whole entry was lost");
        // Where nothing is, opening makes a log; looking does not.
        let fine = looked.as_ref().is_none_or(Result::is_ok);
        assert!(fine || made.segment.is_empty(), "{looked:?}");
    }
    let again = DirLog::open(dir, options()).expect("it opened before");
    let second = read_all(&again);
    assert_eq!(first.is_ok(), second.is_ok());
    if let (Ok(first), Ok(second)) = (first, second) {
        assert_eq!(first, second);
    }
}

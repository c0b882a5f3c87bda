//! Snapshots made of hostile bytes, with checksums that fit: whoever crafts a file makes them fit.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use lz4_flex::frame::FrameEncoder;
use xxhash_rust::xxh3::xxh3_128;

use super::super::digest::Facts;
use super::super::keys::{KEY_BYTES, Key, Value};
use super::{Meta, codec, digest, header, info, list, meta, read, verify, write_pair};
use crate::log::LogId;

/// The first byte chooses how far the rest is helped: not at all, a header, a compressed body,
/// pairs of keys and values.
pub(crate) fn snapshot(data: &[u8], dir: &Path) {
    let Some((&mode, rest)) = data.split_first() else {
        return;
    };
    let about = Meta::new(LogId(7));
    let file = match mode % 4 {
        0 => rest.to_vec(),
        1 => sealed(&about, rest),
        2 => sealed(&about, &compressed(rest)),
        _ => sealed(&about, &compressed(&pairs(rest))),
    };
    let path = dir.join("00000000000000000001.snap");
    fs::write(&path, file).expect("a place to write");
    let listed = list(dir).expect("the directory can be read");
    assert_eq!(listed.len(), 1);
    let sound = verify(&path).is_ok();
    assert!(!sound || info(&path).is_ok());
    let mut facts = Facts::default();
    let looked = read(&path, |key, value| {
        if key == meta::KEY
            && let Ok(stands) = codec::decode::<Meta>(meta::KEY, &value)
        {
            let _ = stands.applied_index();
            let _ = facts.check(&stands);
            let _ = stands.of_log(LogId(8));
        }
        if let Some(key) = Key::from_bytes(&key)
            && let Ok(value) = Value::decode(key, &value)
        {
            value.facts(key, &mut facts);
            let _ = value.weight();
            let encoded = value.encode(key).expect("it was decoded");
            assert!(encoded.is_some());
        }
        Ok(())
    });
    assert_eq!(looked.is_ok(), sound);
}

fn sealed(about: &Meta, body: &[u8]) -> Vec<u8> {
    // The header is as sound as a checksum makes it; what it says is for `info` to doubt.
    let mut file = header(about).to_vec();
    file.extend_from_slice(body);
    file.extend_from_slice(&xxh3_128(body).to_le_bytes());
    debug_assert_eq!(digest::VERSION, 1);
    file
}

fn compressed(body: &[u8]) -> Vec<u8> {
    let mut encoder = FrameEncoder::new(Vec::new());
    encoder.write_all(body).expect("memory");
    encoder.finish().expect("memory")
}

/// A family, a length, the value; its checksum is added.
fn pairs(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let [family, length, after @ ..] = rest {
        let (value, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        let mut key = [0; KEY_BYTES];
        key[0] = family % 11;
        key[9] = family / 11;
        let mut value = value.to_vec();
        let crc = crc32c::crc32c_append(crc32c::crc32c(&key), &value);
        value.extend_from_slice(&crc.to_le_bytes());
        write_pair(&mut body, &key, &value).expect("memory");
    }
    body
}

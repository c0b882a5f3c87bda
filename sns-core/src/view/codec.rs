//! Values as sled keeps them: bincode, then a checksum over key and value. bincode is used here and
//! nowhere else; the values are private to one replica and may be thrown away at any time.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Error, KEY_BYTES};

/// No value is longer. A length inside a value that claims more is damage: memory is given to it
/// before its bytes are looked for.
pub(crate) const VALUE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Encodes a value for `key`.
pub(crate) fn encode<T: Serialize>(key: [u8; KEY_BYTES], value: &T) -> Result<Vec<u8>, Error> {
    let mut bytes = bincode::serde::encode_to_vec(value, bincode::config::standard())
        .map_err(|e| Error::Damaged(format!("a value cannot be encoded: {e}")))?;
    let crc = checksum(key, &bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    Ok(bytes)
}

/// Decodes the value of `key`.
///
/// # Errors
/// `Damaged`: the checksum does not fit, or these bytes are no such value.
pub(crate) fn decode<T: DeserializeOwned>(key: [u8; KEY_BYTES], bytes: &[u8]) -> Result<T, Error> {
    let damaged = |why: &str| Error::Damaged(format!("the value of key {key:02x?} {why}"));
    let Some((value, crc)) = bytes.split_last_chunk::<4>() else {
        return Err(damaged("is too short"));
    };
    if u32::from_le_bytes(*crc) != checksum(key, value) {
        return Err(damaged("has a bad checksum"));
    }
    let bounded = bincode::config::standard().with_limit::<VALUE_BYTES_MAX>();
    match bincode::serde::decode_from_slice(value, bounded) {
        Ok((decoded, used)) if used == value.len() => Ok(decoded),
        _ => Err(damaged("cannot be decoded")),
    }
}

fn checksum(key: [u8; KEY_BYTES], value: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&key), value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_bit_anywhere_and_another_key_are_damage() {
        let key = [1; KEY_BYTES];
        let bytes = encode(key, &(7_u64, "text".to_string())).unwrap();
        assert_eq!(
            decode::<(u64, String)>(key, &bytes).unwrap(),
            (7, "text".to_string())
        );
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode::<(u64, String)>(key, &flipped).is_err(), "bit {bit}");
        }
        assert!(decode::<(u64, String)>([2; KEY_BYTES], &bytes).is_err());
    }

    #[test]
    fn a_length_that_claims_all_memory_is_damage_and_takes_none() {
        let key = [1; KEY_BYTES];
        let mut bytes = vec![253];
        bytes.extend((u64::MAX / 16).to_le_bytes());
        let crc = checksum(key, &bytes);
        bytes.extend(crc.to_le_bytes());
        assert!(decode::<String>(key, &bytes).is_err());
    }
}

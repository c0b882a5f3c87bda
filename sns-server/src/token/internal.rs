//! What processes of one service show each other: the two of a pair, and servers to routers. Short
//! lived, made anew for each stream or call, and good for one purpose and one sender alone.

use std::fmt;
use std::io::Write as _;
use std::path::Path;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use sns_core::own_file;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};

use super::{bearer, keyed};
use crate::failure::{Failure, Result};
use crate::hex;

/// How long one is good; what was overheard is worth nothing soon after. Clocks of several machines
/// may differ by this much.
const GOOD_MS: u64 = 60_000;

/// More than a file with a key has.
const KEY_BYTES: u64 = 1_024;

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// The heartbeat of a pair.
    Pair,
    /// Announcements to routers, and the full list of servers.
    Announce,
}

/// Signs and checks what processes show each other.
#[derive(Clone, PartialEq, Eq)]
pub struct InternalKey([u8; 32]);

impl fmt::Debug for InternalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InternalKey")
    }
}

impl InternalKey {
    /// From `DATA/secret`: knowing this one does not tell the secret, nor the key of another
    /// purpose.
    pub fn derive(secret: [u8; 32], purpose: Purpose) -> Self {
        let mut mac = keyed(secret);
        mac.update(match purpose {
            Purpose::Pair => b"sns pair key\0",
            Purpose::Announce => b"sns announce key\0",
        });
        Self(mac.finalize().into_bytes().into())
    }

    /// Of the data directory at `data`.
    ///
    /// # Errors
    /// `DATA/secret` cannot be read, or is none.
    pub fn of_data(data: &Path, purpose: Purpose) -> Result<Self> {
        let path = data.join("secret");
        let shown = crate::telemetry::escaped(&path.display().to_string());
        let bytes = own_file::read(&path, KEY_BYTES).map_err(|e| Failure::io(shown.clone(), &e))?;
        let secret = bytes.try_into().map_err(|_| {
            let why = format!("{shown} has not 32 bytes");
            Failure::new(sns_core::ErrorKind::Damaged, why)
        })?;
        Ok(Self::derive(secret, purpose))
    }

    /// Writes it to `path`, for its owner alone, unless it is there.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep(&self, path: &Path) -> Result<()> {
        if Self::read(path).is_ok_and(|kept| kept == *self) {
            return Ok(());
        }
        let shown = crate::telemetry::escaped(&path.display().to_string());
        let failed = |e| Failure::io(shown.clone(), &e);
        // A temporary file is its owner's alone from the start.
        let dir = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(dir).map_err(failed)?;
        writeln!(file, "{}", self.to_hex()).map_err(failed)?;
        file.persist(path).map_err(|e| failed(e.error))?;
        Ok(())
    }

    /// Back from [`InternalKey::keep`].
    ///
    /// # Errors
    /// The file cannot be read, or holds no key.
    pub fn read(path: &Path) -> Result<Self> {
        let shown = crate::telemetry::escaped(&path.display().to_string());
        let bytes = own_file::read(path, KEY_BYTES).map_err(|e| Failure::io(shown.clone(), &e))?;
        let text = String::from_utf8_lossy(&bytes);
        Self::from_hex(&text).ok_or_else(|| {
            let why = format!("{shown} holds no key: copy announce.key from a data directory");
            Failure::invalid(why)
        })
    }

    /// As a file holds it.
    pub fn to_hex(&self) -> String {
        hex::encode(&self.0)
    }

    /// Back from [`InternalKey::to_hex`]; blanks around it are left out.
    pub fn from_hex(text: &str) -> Option<Self> {
        hex::decode(text.trim()).map(Self)
    }

    fn mac(&self, sender: &str, until_ms: u64) -> Hmac<Sha256> {
        let mut mac = keyed(self.0);
        mac.update(&until_ms.to_be_bytes());
        mac.update(sender.as_bytes());
        mac
    }

    /// The value of `authorization` for `sender`.
    pub fn sign(&self, sender: &str, now_ms: u64) -> MetadataValue<Ascii> {
        let until_ms = now_ms.saturating_add(GOOD_MS);
        let tag = self.mac(sender, until_ms).finalize().into_bytes();
        let text = format!("Bearer i1.{until_ms:x}.{}", hex::encode(&tag));
        MetadataValue::try_from(text).unwrap_or(MetadataValue::from_static("?"))
    }

    /// Whether the metadata shows that `sender` holds this key.
    pub fn shown_by(&self, sender: &str, metadata: &MetadataMap, now_ms: u64) -> bool {
        let shown = || {
            let token = bearer(metadata).ok()??;
            let (until_ms, tag) = token.strip_prefix("i1.")?.split_once('.')?;
            let until_ms = u64::from_str_radix(until_ms, 16).ok()?;
            let tag: [u8; 32] = hex::decode(tag)?;
            self.mac(sender, until_ms).verify_slice(&tag).ok()?;
            // Nobody signs for longer: a clock that is ahead by hours is none of ours.
            (now_ms < until_ms && until_ms <= now_ms.saturating_add(2 * GOOD_MS)).then_some(())
        };
        shown().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_good_for_one_sender_one_purpose_and_a_minute() {
        let key = InternalKey::derive([1; 32], Purpose::Pair);
        let mut metadata = MetadataMap::new();
        assert!(!key.shown_by("a", &metadata, 0));
        metadata.insert("authorization", key.sign("a", 1_000));
        assert!(key.shown_by("a", &metadata, 1_000));
        assert!(key.shown_by("a", &metadata, 60_999));
        assert!(!key.shown_by("a", &metadata, 61_000));
        assert!(!key.shown_by("b", &metadata, 1_000));
        let other = InternalKey::derive([1; 32], Purpose::Announce);
        assert!(!other.shown_by("a", &metadata, 1_000));
        let other = InternalKey::derive([2; 32], Purpose::Pair);
        assert!(!other.shown_by("a", &metadata, 1_000));
        assert_eq!(
            InternalKey::from_hex(&format!(" {}\n", key.to_hex())),
            Some(key)
        );
        assert_eq!(InternalKey::from_hex("00"), None);
    }

    #[test]
    fn one_that_is_good_for_years_is_not_good() {
        let key = InternalKey::derive([1; 32], Purpose::Pair);
        let mut metadata = MetadataMap::new();
        metadata.insert("authorization", key.sign("a", 1_000_000_000));
        assert!(!key.shown_by("a", &metadata, 1_000));
    }
}

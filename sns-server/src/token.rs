//! The token that `Login` gives: who the caller is, signed with the key of the data.
//!
//! `v1.<username>.<seq>.<mac>`: `seq` (hexadecimal) is the state in which the user exists, so that
//! a server that lags behind waits for it instead of denying that there is such a user; `mac` is
//! the HMAC-SHA256 of all before it and of the `data_id`, so a token of other data is not good.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use sns_core::{Error, Reason, Result, Seq, Username};
use tonic::metadata::MetadataMap;

use crate::hex;

/// Who calls, as a good token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Caller {
    /// The token's user.
    pub user: Username,
    /// A state that includes the user.
    pub since: Seq,
}

/// Signs and checks the tokens of one data directory.
#[derive(Clone)]
pub struct TokenKey {
    mac: Hmac<Sha256>,
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey")
    }
}

impl TokenKey {
    /// From `DATA/secret` and the id of the data.
    pub fn new(secret: [u8; 32], data_id: &str) -> Self {
        // HMAC pads a short key with zeros itself; done here, it cannot fail.
        let mut block = [0; 64];
        block[..32].copy_from_slice(&secret);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        // The purpose comes first: the key may sign other things one day.
        mac.update(b"sns token\0");
        mac.update(data_id.as_bytes());
        mac.update(b"\0");
        Self { mac }
    }

    /// A token for `user`, who exists in the state `since`.
    pub fn sign(&self, user: &Username, since: Seq) -> String {
        let body = format!("v1.{user}.{:x}", since.as_u64());
        let mut mac = self.mac.clone();
        mac.update(body.as_bytes());
        let tag = mac.finalize().into_bytes();
        format!("{body}.{}", hex::encode(&tag))
    }

    /// Who holds this token. The comparison takes the same time wherever the difference is.
    ///
    /// # Errors
    /// `Denied` (`TOKEN_INVALID`): not signed with this key for this data.
    pub fn check(&self, token: &str) -> Result<Caller> {
        self.read(token).ok_or_else(|| {
            Error::new(
                Reason::TokenInvalid,
                "this token is not good for this data: log in again",
            )
        })
    }

    /// The caller of a request, by its metadata `authorization: Bearer <token>`.
    ///
    /// # Errors
    /// `Denied`: `TOKEN_MISSING`, `TOKEN_INVALID`.
    pub fn caller(&self, metadata: &MetadataMap) -> Result<Caller> {
        let Some(value) = metadata.get("authorization") else {
            return Err(Error::new(
                Reason::TokenMissing,
                "this call needs the metadata `authorization: Bearer <token>`: log in first",
            ));
        };
        let text = value.to_str().unwrap_or_default();
        // The scheme of RFC 9110 is matched without regard to case.
        match text.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => self.check(token),
            _ => Err(Error::new(
                Reason::TokenInvalid,
                "`authorization` must be `Bearer <token>`",
            )),
        }
    }

    fn read(&self, token: &str) -> Option<Caller> {
        let (body, tag) = token.rsplit_once('.')?;
        let tag: [u8; 32] = hex::decode(tag)?;
        let mut mac = self.mac.clone();
        mac.update(body.as_bytes());
        mac.verify_slice(&tag).ok()?;
        // Signed, so we wrote it.
        let mut parts = body.strip_prefix("v1.")?.split('.');
        let user = Username::parse(parts.next()?).ok()?;
        let since = u64::from_str_radix(parts.next()?, 16).ok()?;
        Some(Caller {
            user,
            since: Seq::from_u64(since),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> TokenKey {
        TokenKey::new([7; 32], "d1")
    }

    fn alice() -> Username {
        Username::parse("alice").unwrap()
    }

    #[test]
    fn a_token_says_who_holds_it() {
        let token = key().sign(&alice(), Seq::new(9, 3));
        let caller = key().check(&token).unwrap();
        assert_eq!((caller.user, caller.since), (alice(), Seq::new(9, 3)));
    }

    #[test]
    fn a_token_of_other_data_or_another_key_is_not_good() {
        let token = key().sign(&alice(), Seq::ZERO);
        for other in [TokenKey::new([7; 32], "d2"), TokenKey::new([8; 32], "d1")] {
            let refused = other.check(&token).unwrap_err();
            assert_eq!(refused.reason(), Reason::TokenInvalid);
        }
    }

    #[test]
    fn a_token_with_any_byte_changed_is_not_good() {
        let token = key().sign(&alice(), Seq::new(1, 0));
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'b' { b'c' } else { b'b' };
            let forged = String::from_utf8(bytes).unwrap();
            assert!(key().check(&forged).is_err(), "{forged}");
        }
        for cut in 0..token.len() {
            assert!(key().check(&token[..cut]).is_err());
        }
    }

    #[test]
    fn the_metadata_names_the_scheme_in_any_case() {
        let token = key().sign(&alice(), Seq::ZERO);
        let mut metadata = MetadataMap::new();
        assert_eq!(
            key().caller(&metadata).unwrap_err().reason(),
            Reason::TokenMissing
        );
        for (value, good) in [
            (format!("Bearer {token}"), true),
            (format!("bearer {token}"), true),
            (format!("Basic {token}"), false),
            (token.clone(), false),
            (String::new(), false),
        ] {
            metadata.insert("authorization", value.parse().unwrap());
            assert_eq!(key().caller(&metadata).is_ok(), good, "{value}");
        }
    }
}

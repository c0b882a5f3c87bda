//! Tokens: who the caller is and what the caller may, signed with the key of the data.
//!
//! `v2.<username>.<seq>.<scopes>.<origin>.<issued>.<expires>.<mac>`, numbers in hexadecimal: `seq`
//! is a state in which the user exists, so that a server that lags behind waits for it instead of
//! denying that there is such a user; `mac` is the HMAC-SHA256 of all before it and of the
//! `data_id`, so a token of other data is not good. Whether it was revoked stands in the log.

mod internal;
mod scopes;

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use sns_core::{Account, Error, Reason, Result, Seq, Username};
use tonic::metadata::MetadataMap;

pub use internal::{InternalKey, Purpose};
pub use scopes::Scopes;

use crate::hex;

/// What made a token good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Nobody was asked for a password: `--auth open`.
    Open,
    /// The password was given.
    Password,
    /// Whoever runs the servers made it.
    Operator,
}

impl Origin {
    fn letter(self) -> &'static str {
        match self {
            Self::Open => "n",
            Self::Password => "p",
            Self::Operator => "o",
        }
    }

    fn of(letter: &str) -> Option<Self> {
        [Self::Open, Self::Password, Self::Operator]
            .into_iter()
            .find(|origin| origin.letter() == letter)
    }
}

/// Who calls, as a good token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The token's user.
    pub user: Username,
    /// A state that includes the user.
    pub since: Seq,
    /// What the token is good for.
    pub scopes: Scopes,
    /// What made it good.
    pub origin: Origin,
    /// Milliseconds since 1970.
    pub issued_ms: u64,
    /// Milliseconds since 1970; from then on it is void.
    pub expires_ms: u64,
}

impl Caller {
    /// Whether the token still counts for this account.
    ///
    /// # Errors
    /// `Denied` (`TOKEN_INVALID`): revoked since; or made without a password, which there is now.
    pub fn check_against(&self, account: &Account) -> Result<()> {
        // A token for `admin` alone is the operator's, under whatever name: whoever signs up with that
        // name cannot take it away. It ends by itself.
        let lent = self.origin == Origin::Operator && self.scopes == Scopes::ADMIN;
        let revoked = !lent && account.revoked_ms != 0 && self.issued_ms <= account.revoked_ms;
        let taken = self.origin == Origin::Open && account.password.is_some();
        if revoked || taken {
            return Err(refused("this token was revoked: log in again"));
        }
        Ok(())
    }

    /// # Errors
    /// `Denied` (`TOKEN_INVALID`): it has expired.
    pub fn check_time(&self, now_ms: u64) -> Result<()> {
        if now_ms >= self.expires_ms {
            return Err(refused("this token has expired: log in again"));
        }
        Ok(())
    }
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
        // The purpose comes first: the key signs other things, too.
        let mut mac = keyed(secret);
        mac.update(b"sns token\0");
        mac.update(data_id.as_bytes());
        mac.update(b"\0");
        Self { mac }
    }

    /// The token that says so.
    pub fn sign(&self, caller: &Caller) -> String {
        let body = format!(
            "v2.{}.{:x}.{:x}.{}.{:x}.{:x}",
            caller.user,
            caller.since.as_u64(),
            caller.scopes.bits(),
            caller.origin.letter(),
            caller.issued_ms,
            caller.expires_ms,
        );
        let mut mac = self.mac.clone();
        mac.update(body.as_bytes());
        let tag = mac.finalize().into_bytes();
        format!("{body}.{}", hex::encode(&tag))
    }

    /// Who holds this token. The comparison takes the same time wherever the difference is.
    ///
    /// # Errors
    /// `Denied` (`TOKEN_INVALID`): not signed with this key for this data; or it has expired.
    pub fn check(&self, token: &str, now_ms: u64) -> Result<Caller> {
        let caller = self
            .read(token)
            .ok_or_else(|| refused("this token is not good for this data: log in again"))?;
        caller.check_time(now_ms)?;
        Ok(caller)
    }

    /// The caller of a request, by its metadata `authorization: Bearer <token>`.
    ///
    /// # Errors
    /// `Denied`: `TOKEN_MISSING`, `TOKEN_INVALID`.
    pub fn caller(&self, metadata: &MetadataMap, now_ms: u64) -> Result<Caller> {
        let Some(token) = bearer(metadata)? else {
            return Err(Error::new(
                Reason::TokenMissing,
                "this call needs the metadata `authorization: Bearer <token>`: log in first",
            ));
        };
        self.check(token, now_ms)
    }

    fn read(&self, token: &str) -> Option<Caller> {
        let (body, tag) = token.rsplit_once('.')?;
        let tag: [u8; 32] = hex::decode(tag)?;
        let mut mac = self.mac.clone();
        mac.update(body.as_bytes());
        mac.verify_slice(&tag).ok()?;
        // Signed, so we wrote it.
        let mut parts = body.strip_prefix("v2.")?.split('.');
        let number = |text: &str| u64::from_str_radix(text, 16).ok();
        Some(Caller {
            user: Username::parse(parts.next()?).ok()?,
            since: Seq::from_u64(number(parts.next()?)?),
            scopes: Scopes::from_bits(number(parts.next()?)?)?,
            origin: Origin::of(parts.next()?)?,
            issued_ms: number(parts.next()?)?,
            expires_ms: number(parts.next()?)?,
        })
    }
}

/// The token in `authorization: Bearer <token>`; `None` when there is no such metadata.
fn bearer(metadata: &MetadataMap) -> Result<Option<&str>> {
    let Some(value) = metadata.get("authorization") else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    // The scheme of RFC 9110 is matched without regard to case.
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token)),
        _ => Err(refused("`authorization` must be `Bearer <token>`")),
    }
}

fn keyed(secret: [u8; 32]) -> Hmac<Sha256> {
    // HMAC pads a short key with zeros itself; done here, it cannot fail.
    let mut block = [0; 64];
    block[..32].copy_from_slice(&secret);
    Hmac::new(&block.into())
}

fn refused(why: &str) -> Error {
    Error::new(Reason::TokenInvalid, why)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use sns_core::PasswordHash;

    const NOW: u64 = 1_000;

    /// A token that a login gives, for tests.
    pub(crate) fn token_of(key: &TokenKey, user: Username, since: Seq) -> String {
        key.sign(&Caller {
            user,
            since,
            scopes: Scopes::READ | Scopes::POST,
            origin: Origin::Open,
            issued_ms: 1,
            expires_ms: u64::MAX,
        })
    }

    fn key() -> TokenKey {
        TokenKey::new([7; 32], "d1")
    }

    fn alice() -> Caller {
        Caller {
            user: Username::parse("alice").unwrap(),
            since: Seq::new(9, 3),
            scopes: Scopes::READ,
            origin: Origin::Password,
            issued_ms: 500,
            expires_ms: NOW + 1,
        }
    }

    #[test]
    fn a_token_says_who_holds_it_until_it_expires() {
        let token = key().sign(&alice());
        assert_eq!(key().check(&token, NOW).unwrap(), alice());
        let late = key().check(&token, NOW + 1).unwrap_err();
        assert_eq!(late.reason(), Reason::TokenInvalid);
        assert!(late.message().contains("expired"));
    }

    #[test]
    fn a_token_of_other_data_or_another_key_is_not_good() {
        let token = key().sign(&alice());
        for other in [TokenKey::new([7; 32], "d2"), TokenKey::new([8; 32], "d1")] {
            let refused = other.check(&token, NOW).unwrap_err();
            assert_eq!(refused.reason(), Reason::TokenInvalid);
        }
    }

    #[test]
    fn a_token_with_any_byte_changed_is_not_good() {
        let token = key().sign(&alice());
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'b' { b'c' } else { b'b' };
            let forged = String::from_utf8(bytes).unwrap();
            assert!(key().check(&forged, NOW).is_err(), "{forged}");
        }
        for cut in 0..token.len() {
            assert!(key().check(&token[..cut], NOW).is_err());
        }
    }

    #[test]
    fn a_revoked_token_and_an_open_one_of_a_name_that_is_taken_count_no_longer() {
        let mut account = Account::default();
        assert!(alice().check_against(&account).is_ok());
        account.revoked_ms = 499;
        assert!(alice().check_against(&account).is_ok());
        account.revoked_ms = 500;
        assert!(alice().check_against(&account).is_err());

        account.revoked_ms = u64::MAX;
        let lent = Caller {
            scopes: Scopes::ADMIN,
            origin: Origin::Operator,
            ..alice()
        };
        assert!(lent.check_against(&account).is_ok());
        let more = Caller {
            scopes: Scopes::ADMIN | Scopes::READ,
            ..lent
        };
        assert!(more.check_against(&account).is_err());

        let mut account = Account::default();
        account.password = Some(PasswordHash::new("$x").unwrap());
        assert!(alice().check_against(&account).is_ok());
        let open = Caller {
            origin: Origin::Open,
            ..alice()
        };
        assert!(open.check_against(&account).is_err());
    }

    #[test]
    fn the_metadata_names_the_scheme_in_any_case() {
        let token = key().sign(&alice());
        let mut metadata = MetadataMap::new();
        assert_eq!(
            key().caller(&metadata, NOW).unwrap_err().reason(),
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
            assert_eq!(key().caller(&metadata, NOW).is_ok(), good, "{value}");
        }
    }
}

//! Accounts: what proves that a name belongs to somebody, and which tokens still count.
//!
//! The core keeps what it is given and hands it out; how a password becomes a hash and what a token
//! looks like is up to the program around it.

use std::fmt;

use crate::error::{Error, Reason, Result};

/// What a password is checked against: a PHC string (`$argon2id$v=19$…`), opaque to the core.
///
/// It travels in the log and in snapshots; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(Box<str>);

impl PasswordHash {
    /// Bytes of the longest one.
    pub const BYTES: usize = 256;

    /// Takes 1 to 256 visible ASCII characters.
    ///
    /// # Errors
    /// `Invalid`: anything else.
    ///
    /// ```
    /// use sns_core::PasswordHash;
    /// assert!(PasswordHash::new("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA").is_ok());
    /// assert!(PasswordHash::new("two words").is_err());
    /// ```
    pub fn new(phc: &str) -> Result<Self> {
        let fits = (1..=Self::BYTES).contains(&phc.len());
        if fits && phc.bytes().all(|b| b.is_ascii_graphic()) {
            return Ok(Self(phc.into()));
        }
        Err(Error::new(
            Reason::PasswordUnsupported,
            "a password hash is 1 to 256 visible ASCII characters",
        ))
    }

    /// The PHC string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash")
    }
}

/// What is known of a name; see [`Sns::account`](crate::Sns::account).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Account {
    /// There is a user of this name.
    pub exists: bool,
    /// Set once the name belongs to somebody.
    pub password: Option<PasswordHash>,
    /// Tokens issued up to this log time are void; milliseconds since 1970, 0 = none are.
    pub revoked_ms: u64,
}

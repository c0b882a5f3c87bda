//! [`Username`]: parsed once, valid ever after.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Reason, Result};
use crate::limits::USERNAME_BYTES;

/// The name of a user: `[a-z0-9_]{1,32}`, lower case.
///
/// Kept in place, without an allocation; its order is the order of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Username {
    // Padded with zeros, which stand before every byte of a name: the order of the array is the
    // order of the names.
    bytes: [u8; USERNAME_BYTES],
}

impl Username {
    /// Reads a name; ASCII capitals become small letters, nothing is trimmed.
    ///
    /// # Errors
    /// `Invalid` (`USERNAME_INVALID`): empty, longer than 32 bytes, or another character.
    pub fn parse(name: &str) -> Result<Self> {
        let fits = (1..=USERNAME_BYTES).contains(&name.len());
        if !fits || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(Error::new(
                Reason::UsernameInvalid,
                format!(
                    "{} is no username: 1 to {USERNAME_BYTES} of a-z, 0-9 and _ make one",
                    shown(name)
                ),
            ));
        }
        let mut bytes = [0; USERNAME_BYTES];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        bytes.make_ascii_lowercase();
        Ok(Self { bytes })
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        let len = self
            .bytes
            .iter()
            .position(|b| *b == 0)
            .unwrap_or(USERNAME_BYTES);
        // `parse` lets ASCII pass and nothing else.
        std::str::from_utf8(&self.bytes[..len]).unwrap_or_default()
    }
}

/// A foreign name as a message may show it: escaped, and cut when it is long.
fn shown(name: &str) -> String {
    let cut: String = name.chars().take(40).collect();
    let dots = if cut.len() < name.len() { "…" } else { "" };
    format!("{cut:?}{dots}")
}

impl Username {
    /// Two numbers that are in the order of the bytes: compared in place, where the derived order
    /// calls out of line for every step of a search.
    fn halves(&self) -> [u128; 2] {
        let half = |at: usize| {
            self.bytes[at..at + 16]
                .try_into()
                .map_or(0, u128::from_be_bytes)
        };
        [half(0), half(16)]
    }
}

impl Ord for Username {
    fn cmp(&self, other: &Self) -> Ordering {
        self.halves().cmp(&other.halves())
    }
}

impl PartialOrd for Username {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for Username {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::parse(name)
    }
}

impl TryFrom<&str> for Username {
    type Error = Error;

    fn try_from(name: &str) -> Result<Self> {
        Self::parse(name)
    }
}

impl serde::Serialize for Username {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for Username {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(from)?;
        Self::parse(&name).map_err(serde::de::Error::custom)
    }
}

impl AsRef<str> for Username {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hostile_names_are_refused() {
        let long = "a".repeat(33);
        for name in [
            "",
            "../x",
            " a",
            "a ",
            "a b",
            "é",
            "😀",
            "a\0",
            "a-b",
            long.as_str(),
        ] {
            let refused = Username::parse(name).expect_err(name);
            assert_eq!(refused.reason(), Reason::UsernameInvalid);
        }
    }

    proptest! {
        #[test]
        fn a_name_is_kept_in_lower_case(name in "[a-zA-Z0-9_]{1,32}") {
            let parsed = Username::parse(&name).unwrap();
            prop_assert_eq!(parsed.as_str(), name.to_ascii_lowercase());
        }

        #[test]
        fn the_order_is_that_of_the_bytes(a in "[a-z0-9_]{1,32}", b in "[a-z0-9_]{1,32}") {
            let (x, y) = (Username::parse(&a).unwrap(), Username::parse(&b).unwrap());
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
        }
    }
}

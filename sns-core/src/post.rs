//! [`Text`] and [`Post`]: what is written and what is read.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Reason, Result};
use crate::limits::{TEXT_BYTES, TEXT_CHARS};
use crate::seq::Seq;
use crate::user::Username;

/// The text of a post: 1 to 1,000 Unicode scalar values, at most 4,000 bytes, no U+0000; kept byte
/// for byte. Clones share the bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Text(Arc<str>);

impl Text {
    /// Checks a text; nothing is trimmed or normalised.
    ///
    /// # Errors
    /// `Invalid` (`TEXT_INVALID`): empty, too long, or it holds U+0000.
    pub fn parse(text: &str) -> Result<Self> {
        let refused = |why: String| Err(Error::new(Reason::TextInvalid, why));
        if text.is_empty() {
            return refused("a post needs at least one character".into());
        }
        if text.len() > TEXT_BYTES || text.chars().count() > TEXT_CHARS {
            return refused(format!(
                "this post is too long ({} characters, {} bytes): {TEXT_CHARS} characters and \
                 {TEXT_BYTES} bytes are the most",
                text.chars().count(),
                text.len()
            ));
        }
        if text.contains('\0') {
            return refused("a post cannot hold the character U+0000".into());
        }
        Ok(Self(text.into()))
    }

    /// As it was sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl serde::Serialize for Text {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for Text {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One post, as every replica shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Post {
    /// Its seq: unique, and the order of all posts.
    pub id: Seq,
    /// Who wrote it.
    pub author: Username,
    /// As it was sent.
    pub text: Text,
    /// Log time, milliseconds since 1970 (UTC). Never goes back from one seq to the next; order by
    /// [`Post::id`], not by this.
    pub created_at_ms: u64,
}

/// One user, as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct User {
    /// Lower case.
    pub username: Username,
    /// Log time of the first login, milliseconds since 1970 (UTC).
    pub created_at_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_bounds_in_characters_and_in_bytes() {
        for good in ["x", "\n", &"😀".repeat(1_000), &"a".repeat(1_000)] {
            assert_eq!(Text::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "\0", "a\0b", &"😀".repeat(1_001), &"a".repeat(1_001)] {
            assert_eq!(Text::parse(bad).unwrap_err().reason(), Reason::TextInvalid);
        }
    }
}

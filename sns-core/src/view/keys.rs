//! Keys and values of the view: one family a file, each with its layout.
//!
//! ```text
//! byte   0        1      2..6        6..10
//!        family   side   number (BE) number (BE)
//! ```
//!
//! Every key is ten bytes wide, so that its order in sled is the order of its numbers.

pub(crate) mod account;
pub(crate) mod deletion;
pub(crate) mod list;
pub(crate) mod meta;
pub(crate) mod post;
pub(crate) mod request;
pub(crate) mod user;

use std::fmt::Debug;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::digest::Facts;
use super::{Error, codec};

/// Bytes of every key.
pub(crate) const KEY_BYTES: usize = 10;

/// The number of a user inside a view: given out in log order from 1, so the same on all replicas.
/// 0 owns the list of all users.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub(crate) struct UserNo(pub(crate) u32);

/// A key of the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) family: Family,
    pub(crate) side: u8,
    pub(crate) a: u32,
    pub(crate) b: u32,
}

/// What a key holds; the number is its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Family {
    Deletions = 1,
    Edges = 2,
    EdgeChunk = 3,
    Block = 4,
    Requests = 5,
    User = 6,
    Author = 7,
    Names = 8,
    NameChunk = 9,
    Account = 10,
}

/// In one word, where the derived one takes four: the map of all values is asked a dozen times a
/// command.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let numbers = u64::from(self.a) << 32 | u64::from(self.b);
        let kind = u64::from(self.family as u8) << 8 | u64::from(self.side);
        // Spread, so that the values of one user and those of its neighbours stay apart.
        state.write_u64(numbers ^ kind.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    }
}

impl Key {
    /// As sled sees it.
    pub(crate) fn to_bytes(self) -> [u8; KEY_BYTES] {
        let mut bytes = [0; KEY_BYTES];
        bytes[0] = self.family as u8;
        bytes[1] = self.side;
        bytes[2..6].copy_from_slice(&self.a.to_be_bytes());
        bytes[6..].copy_from_slice(&self.b.to_be_bytes());
        bytes
    }

    /// Back from sled's bytes; `None` for anything else.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; KEY_BYTES] = bytes.try_into().ok()?;
        let family = match bytes[0] {
            1 => Family::Deletions,
            2 => Family::Edges,
            3 => Family::EdgeChunk,
            4 => Family::Block,
            5 => Family::Requests,
            6 => Family::User,
            7 => Family::Author,
            8 => Family::Names,
            9 => Family::NameChunk,
            10 => Family::Account,
            _ => return None,
        };
        Some(Self {
            family,
            side: bytes[1],
            a: u32::from_be_bytes([bytes[2], bytes[3], bytes[4], bytes[5]]),
            b: u32::from_be_bytes([bytes[6], bytes[7], bytes[8], bytes[9]]),
        })
    }

    fn numbered(family: Family, number: u64) -> Self {
        let bytes = number.to_be_bytes();
        Self {
            family,
            side: 0,
            a: u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
            b: u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
        }
    }
}

/// A value of one family.
pub(crate) trait Stored: Clone + Debug + Serialize + DeserializeOwned {
    /// Unpacks it; `None` when the value is of another family, which is a bug.
    fn of(value: &Value) -> Option<&Arc<Self>>;
    /// As [`Stored::of`], to change it.
    fn of_mut(value: &mut Value) -> Option<&mut Arc<Self>>;
    /// About how many bytes of memory it takes.
    fn weight(&self) -> usize;
    /// Adds the facts it holds to `facts`.
    fn facts(&self, key: Key, facts: &mut Facts);
}

macro_rules! values {
    ($($family:ident => $value:ty),+ $(,)?) => {
        /// A decoded value; clones share it.
        #[derive(Clone, Debug)]
        pub(crate) enum Value {
            /// Known to be in neither memory nor sled.
            Absent,
            $(#[allow(missing_docs)] $family(Arc<$value>)),+
        }

        impl Value {
            /// Decodes what sled holds under `key`.
            pub(crate) fn decode(key: Key, bytes: &[u8]) -> Result<Self, Error> {
                let raw = key.to_bytes();
                Ok(match key.family {
                    $(Family::$family => Self::$family(Arc::new(codec::decode(raw, bytes)?))),+
                })
            }

            /// Encodes it for sled; `None` removes the key.
            pub(crate) fn encode(&self, key: Key) -> Result<Option<Vec<u8>>, Error> {
                let raw = key.to_bytes();
                Ok(match self {
                    Self::Absent => None,
                    $(Self::$family(value) => Some(codec::encode(raw, &**value)?)),+
                })
            }

            /// About how many bytes of memory it takes.
            pub(crate) fn weight(&self) -> usize {
                match self {
                    Self::Absent => 0,
                    $(Self::$family(value) => value.weight()),+
                }
            }

            /// Adds the facts it holds to `facts`.
            pub(crate) fn facts(&self, key: Key, facts: &mut Facts) {
                match self {
                    Self::Absent => {}
                    $(Self::$family(value) => value.facts(key, facts)),+
                }
            }
        }

        $(impl From<$value> for Value {
            fn from(value: $value) -> Self {
                Self::$family(Arc::new(value))
            }
        })+
    };
}

values! {
    Deletions => deletion::Deletions,
    Edges => list::Edges,
    EdgeChunk => list::EdgeChunk,
    Block => post::Block,
    Requests => request::Requests,
    User => user::UserRecord,
    Author => post::Author,
    Names => list::Names,
    NameChunk => list::NameChunk,
    Account => account::AccountRecord,
}

/// The three conversions that are the same for every family.
macro_rules! stored {
    ($family:ident) => {
        fn of(value: &$crate::view::keys::Value) -> Option<&std::sync::Arc<Self>> {
            match value {
                $crate::view::keys::Value::$family(value) => Some(value),
                _ => None,
            }
        }

        fn of_mut(value: &mut $crate::view::keys::Value) -> Option<&mut std::sync::Arc<Self>> {
            match value {
                $crate::view::keys::Value::$family(value) => Some(value),
                _ => None,
            }
        }
    };
}
pub(crate) use stored;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn keys() -> impl Strategy<Value = Key> {
        (1_u8..=10, any::<u8>(), any::<u32>(), any::<u32>()).prop_map(|(family, side, a, b)| {
            let mut bytes = [0; KEY_BYTES];
            bytes[0] = family;
            bytes[1] = side;
            bytes[2..6].copy_from_slice(&a.to_be_bytes());
            bytes[6..].copy_from_slice(&b.to_be_bytes());
            Key::from_bytes(&bytes).unwrap()
        })
    }

    proptest! {
        #[test]
        fn keys_come_back_and_keep_their_order(x in keys(), y in keys()) {
            prop_assert_eq!(Key::from_bytes(&x.to_bytes()), Some(x));
            prop_assert_eq!(x.cmp(&y), x.to_bytes().cmp(&y.to_bytes()));
        }
    }
}

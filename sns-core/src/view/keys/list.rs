//! Lists of users in the order of their names: who follows whom, both ways, and all users.
//!
//! Keys: family 2 (`Edges`), side, the owner's number, 0: all follows of a small owner, or the
//! directory of its chunks. Family 3 (`EdgeChunk`), side, the owner's number, the number of the
//! chunk. Sides: 1 = whom the owner follows, 2 = who follows the owner. The list of all users is made
//! in the same way, of family 8 (`Names`) and family 9 (`NameChunk`), side 0, owner 0.
//!
//! A chunk holds the names between two, in any order: a follow is added at its end and found by the
//! number of the user, without a look at any name. The names are in the records of the users; they
//! are asked for when a chunk is split in two, and when it is listed. So a follow takes 16 bytes in
//! memory and about ten on disk, where one with a name took three times as much.
//!
//! A chunk holds up to max(128, √n) users, so that neither a chunk nor a directory grows past some
//! ten kB for an owner of millions.

use std::fmt::Debug;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::user::{self, UserRecord};
use super::{Family, Key, Stored, UserNo, Value};
use crate::seq::Seq;
use crate::user::Username;
use crate::view::digest::{Facts, Tally};
use crate::view::memory::{Memory, Miss};

/// Which list of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Side {
    /// Every user; the owner is number 0.
    All = 0,
    /// Whom the owner follows.
    Following = 1,
    /// Who follows the owner.
    Followers = 2,
}

/// What a list says of a user.
pub(crate) trait Item: Copy + Debug + Serialize + DeserializeOwned {
    const ROOT: Family;
    const CHUNK: Family;

    fn no(&self) -> UserNo;

    /// The name of the user.
    fn name<'a>(&'a self, memory: &'a Memory) -> Result<&'a Username, Miss>;

    /// Adds the facts of `items`, which are stored under `key`.
    fn facts(items: &[Self], key: Key, facts: &mut Facts);

    // Between the values of this kind of list and any value: see `Stored`.
    fn root(value: &Value) -> Option<&Arc<Root<Self>>>;
    fn root_mut(value: &mut Value) -> Option<&mut Arc<Root<Self>>>;
    fn root_value(root: Root<Self>) -> Value;
    fn chunk(value: &Value) -> Option<&Arc<Chunk<Self>>>;
    fn chunk_mut(value: &mut Value) -> Option<&mut Arc<Chunk<Self>>>;
    fn chunk_value(chunk: Chunk<Self>) -> Value;
}

/// The conversions of one kind of list.
macro_rules! values {
    ($root:ident, $chunk:ident) => {
        const ROOT: Family = Family::$root;
        const CHUNK: Family = Family::$chunk;

        fn root(value: &Value) -> Option<&Arc<Root<Self>>> {
            match value {
                Value::$root(root) => Some(root),
                _ => None,
            }
        }

        fn root_mut(value: &mut Value) -> Option<&mut Arc<Root<Self>>> {
            match value {
                Value::$root(root) => Some(root),
                _ => None,
            }
        }

        fn root_value(root: Root<Self>) -> Value {
            root.into()
        }

        fn chunk(value: &Value) -> Option<&Arc<Chunk<Self>>> {
            match value {
                Value::$chunk(chunk) => Some(chunk),
                _ => None,
            }
        }

        fn chunk_mut(value: &mut Value) -> Option<&mut Arc<Chunk<Self>>> {
            match value {
                Value::$chunk(chunk) => Some(chunk),
                _ => None,
            }
        }

        fn chunk_value(chunk: Chunk<Self>) -> Value {
            chunk.into()
        }
    };
}

/// One end of a follow, as the other end keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Edge {
    pub(crate) no: UserNo,
    /// The seq of the follow.
    pub(crate) seq: Seq,
}

/// A user, as the list of all users keeps it: where the number of a name is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Named {
    pub(crate) no: UserNo,
    pub(crate) name: Username,
}

/// A short list, or where the parts of a long one are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Root<E> {
    /// All of it, while there is no chunk.
    pub(crate) leaf: Vec<E>,
    /// From which name on a chunk holds, and its number; ascending by name.
    pub(crate) chunks: Vec<(Username, u32)>,
    /// The number that the next chunk takes.
    pub(crate) next_chunk: u32,
}

/// A part of a long list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Chunk<E> {
    pub(crate) items: Vec<E>,
}

pub(crate) type Edges = Root<Edge>;
pub(crate) type EdgeChunk = Chunk<Edge>;
pub(crate) type Names = Root<Named>;
pub(crate) type NameChunk = Chunk<Named>;

impl Item for Edge {
    values!(Edges, EdgeChunk);

    fn no(&self) -> UserNo {
        self.no
    }

    fn name<'a>(&'a self, memory: &'a Memory) -> Result<&'a Username, Miss> {
        Ok(&memory.need::<UserRecord>(user::key(self.no))?.name)
    }

    fn facts(items: &[Self], key: Key, facts: &mut Facts) {
        let owner = UserNo(key.a);
        for edge in items {
            if key.side == Side::Following as u8 {
                facts.follow(owner, edge.no, edge.seq);
            } else {
                facts.mirrored_follow(edge.no, owner, edge.seq);
            }
        }
    }
}

impl Item for Named {
    values!(Names, NameChunk);

    fn no(&self) -> UserNo {
        self.no
    }

    fn name<'a>(&'a self, _: &'a Memory) -> Result<&'a Username, Miss> {
        Ok(&self.name)
    }

    fn facts(items: &[Self], _: Key, facts: &mut Facts) {
        for user in items {
            facts.listed_user(user.no, &user.name);
        }
    }
}

impl<E: Item> Stored for Root<E> {
    fn of(value: &Value) -> Option<&Arc<Self>> {
        E::root(value)
    }

    fn of_mut(value: &mut Value) -> Option<&mut Arc<Self>> {
        E::root_mut(value)
    }

    fn weight(&self) -> usize {
        size_of::<Self>()
            + self.leaf.capacity() * size_of::<E>()
            + self.chunks.capacity() * size_of::<(Username, u32)>()
    }

    fn facts(&self, key: Key, facts: &mut Facts) {
        E::facts(&self.leaf, key, facts);
        for (_, chunk) in &self.chunks {
            facts.promise(Tally::Chunk(key.side, UserNo(key.a), *chunk), 1);
        }
    }
}

impl<E: Item> Stored for Chunk<E> {
    fn of(value: &Value) -> Option<&Arc<Self>> {
        E::chunk(value)
    }

    fn of_mut(value: &mut Value) -> Option<&mut Arc<Self>> {
        E::chunk_mut(value)
    }

    fn weight(&self) -> usize {
        size_of::<Self>() + self.items.capacity() * size_of::<E>()
    }

    fn facts(&self, key: Key, facts: &mut Facts) {
        E::facts(&self.items, key, facts);
        facts.keep(Tally::Chunk(key.side, UserNo(key.a), key.b), 1);
    }
}

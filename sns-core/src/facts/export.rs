//! [`Export`]: all facts at one seq.

use std::collections::HashMap;
use std::fs;

use super::Fact;
use super::sort::Sorter;
use crate::account::PasswordHash;
use crate::backup::Cut;
use crate::error::{Error, Reason, Result};
use crate::new_file::failed;
use crate::post::Text;
use crate::seq::Seq;
use crate::sns::Sns;
use crate::user::Username;
use crate::view::keys::account::AccountRecord;
use crate::view::keys::list::{Edge, EdgeChunk, Edges};
use crate::view::keys::post::{Author, Block, BlockPost};
use crate::view::keys::{Key, Stored, UserNo, account, post, user};
use crate::view::seams::Seams;
use crate::view::store::Store;
use crate::view::{self, lists, snapshot};

/// Names that are kept at hand; when there are more all are forgotten, and looked up again.
const NAMES: usize = 1 << 18;

/// A feed as it stood at one seq, to be read fact by fact.
#[derive(Debug)]
pub struct Export {
    cut: Cut,
}

impl Sns {
    /// Takes hold of all there is: what this replica has applied when the call comes, and perhaps
    /// more. Reads and writes go on meanwhile. Takes room beside the view, for as long as it lives.
    ///
    /// # Errors
    /// `Exhausted`: no room, or too much waits to be written. `Unavailable`: the system refused.
    pub fn export(&self) -> Result<Export> {
        Ok(Export { cut: self.cut()? })
    }
}

impl Export {
    /// The last command that it holds.
    pub fn seq(&self) -> Seq {
        self.cut.meta.applied
    }

    /// The digest of the view at that seq.
    pub fn digest(&self) -> u128 {
        self.cut.snapshot.digest
    }

    /// Log time at that seq, milliseconds since 1970.
    pub fn log_time_ms(&self) -> u64 {
        self.cut.meta.log_time_ms
    }

    /// How many users, follows and posts there are.
    pub fn counts(&self) -> (u64, u64, u64) {
        let meta = &self.cut.meta;
        (meta.users.into(), meta.follows, meta.posts)
    }

    /// Hands out all facts: first the users, in the order in which they were made, then follows and
    /// posts by seq. In memory there is a bounded part of them.
    ///
    /// # Errors
    /// `Damaged`: the copy is. `Exhausted`, `Unavailable`: the disk. Those of `each`.
    pub fn each<E: From<Error>>(
        self,
        each: &mut dyn FnMut(Fact) -> Result<(), E>,
    ) -> Result<(), E> {
        let scratch = self.cut.scratch();
        fs::create_dir(&scratch).map_err(failed("making the directory", &scratch))?;
        let open = || {
            let store = Store::open(&scratch.join("view"), Seams::default())?;
            snapshot::load(self.cut.snapshot(), self.cut.snapshot.log_id, &store)?;
            Ok::<_, view::Error>(store)
        };
        let store = open().map_err(Error::from)?;
        let mut facts = Facts {
            store,
            names: HashMap::new(),
            sorter: Sorter::new(&scratch),
        };
        for no in (1..=self.cut.meta.users).map(UserNo) {
            each(facts.user(no)?)?;
        }
        // What `each` refuses is no error of ours: it is kept until the sorter has let go.
        let mut refused = None;
        let stopped = || Error::new(Reason::Internal, "the reader of an export stopped");
        let ended = facts.sorter.each(&mut |record| {
            let fact = unpack(record).ok_or_else(stopped)?;
            each(fact).map_err(|e| {
                refused = Some(e);
                stopped()
            })
        });
        facts.store.release();
        match refused {
            Some(error) => Err(error),
            None => Ok(ended?),
        }
    }
}

/// What the facts are read from, and where they wait for their turn.
struct Facts {
    store: Store,
    names: HashMap<UserNo, Username>,
    sorter: Sorter,
}

impl Facts {
    /// A user; follows and posts of it go to the sorter.
    fn user(&mut self, no: UserNo) -> Result<Fact> {
        let record: user::UserRecord = self.need(user::key(no))?;
        for edge in self.edges(no)? {
            let followee = self.name(edge.no)?;
            let (user, followee) = (record.name.as_str(), followee.as_str());
            let packed = pack(edge.seq, &[user, followee], None);
            self.sorter.push(edge.seq.as_u64(), packed)?;
        }
        if let Some(author) = self.get::<Author>(post::author_key(no))? {
            for block in 0..author.blocks {
                let block: Block = self.need(post::block_key(no, block))?;
                self.posts(&record.name, &block.posts)?;
            }
            self.posts(&record.name, &author.ring)?;
        }
        let account: Option<AccountRecord> = self.get(account::key(no))?;
        let password = account.filter(|it| !it.password.is_empty());
        Ok(Fact::User {
            username: record.name,
            created_at_ms: record.created_at_ms,
            password: password
                .map(|it| PasswordHash::new(&it.password))
                .transpose()?,
        })
    }

    fn posts(&mut self, author: &Username, posts: &[BlockPost]) -> Result<()> {
        for post in posts {
            let packed = pack(
                post.id,
                &[author.as_str()],
                Some((post.created_at_ms, &post.text)),
            );
            self.sorter.push(post.id.as_u64(), packed)?;
        }
        Ok(())
    }

    /// All whom a user follows: a bounded number.
    fn edges(&self, no: UserNo) -> Result<Vec<Edge>> {
        let list = lists::following(no);
        let Some(root) = self.get::<Edges>(list.root())? else {
            return Ok(Vec::new());
        };
        let mut edges = root.leaf;
        for (_, chunk) in &root.chunks {
            edges.extend(self.need::<EdgeChunk>(list.chunk(*chunk))?.items);
        }
        Ok(edges)
    }

    fn name(&mut self, no: UserNo) -> Result<Username> {
        if let Some(name) = self.names.get(&no) {
            return Ok(*name);
        }
        let name = self.need::<user::UserRecord>(user::key(no))?.name;
        if self.names.len() >= NAMES {
            self.names.clear();
        }
        self.names.insert(no, name);
        Ok(name)
    }

    fn get<T: Stored>(&self, key: Key) -> Result<Option<T>> {
        let value = self.store.get(key)?;
        Ok(T::of(&value).map(|value| T::clone(value)))
    }

    fn need<T: Stored>(&self, key: Key) -> Result<T> {
        let found = self.get(key)?;
        found.ok_or_else(|| Error::new(Reason::Damaged, format!("{key:?} is missing in the copy")))
    }
}

/// A follow (two names) or a post (one name) as bytes.
fn pack(seq: Seq, names: &[&str], post: Option<(u64, &Text)>) -> Vec<u8> {
    let mut bytes = seq.as_u64().to_le_bytes().to_vec();
    bytes.push(u8::try_from(names.len()).unwrap_or_default());
    for name in names {
        bytes.push(u8::try_from(name.len()).unwrap_or_default());
        bytes.extend_from_slice(name.as_bytes());
    }
    if let Some((created_at_ms, text)) = post {
        bytes.extend_from_slice(&created_at_ms.to_le_bytes());
        bytes.extend_from_slice(text.as_str().as_bytes());
    }
    bytes
}

/// What [`pack`] made.
fn unpack(bytes: &[u8]) -> Option<Fact> {
    let (seq, bytes) = bytes.split_first_chunk::<8>()?;
    let seq = Seq::from_u64(u64::from_le_bytes(*seq));
    let (names, bytes) = bytes.split_first()?;
    let (first, bytes) = unpack_name(bytes)?;
    if *names == 2 {
        let (followee, _) = unpack_name(bytes)?;
        return Some(Fact::Follow {
            seq,
            user: first,
            followee,
        });
    }
    let (time, text) = bytes.split_first_chunk::<8>()?;
    Some(Fact::Post {
        id: seq,
        author: first,
        text: Text::parse(std::str::from_utf8(text).ok()?).ok()?,
        created_at_ms: u64::from_le_bytes(*time),
    })
}

fn unpack_name(bytes: &[u8]) -> Option<(Username, &[u8])> {
    let (length, bytes) = bytes.split_first()?;
    let (name, bytes) = bytes.split_at_checked(usize::from(*length))?;
    let name = Username::parse(std::str::from_utf8(name).ok()?).ok()?;
    Some((name, bytes))
}

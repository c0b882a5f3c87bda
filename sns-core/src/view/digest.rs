//! The digest of a view: a sum of the hashes of all its facts, so that it can be kept up to date
//! with every change and checked in any order.
//!
//! Facts are users, accounts, follows, posts and remembered requests. The sum wraps; a fact that goes is
//! subtracted. Equal logic on the same log gives the same digest on every replica.

use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

use super::keys::account::AccountRecord;
use super::keys::meta::Meta;
use super::keys::post::BlockPost;
use super::keys::request::Request;
use super::keys::{UserNo, deletion};
use crate::seq::Seq;
use crate::user::Username;

/// The version of what is hashed, and how. Digests of two versions are not compared.
pub(crate) const VERSION: u32 = 1;

pub(crate) fn user(no: UserNo, name: &Username, created_at_ms: u64) -> u128 {
    hash(
        1,
        &[u64::from(no.0), created_at_ms],
        name.as_str().as_bytes(),
    )
}

pub(crate) fn follow(user: UserNo, followee: UserNo, seq: Seq) -> u128 {
    hash(
        2,
        &[u64::from(user.0), u64::from(followee.0), seq.as_u64()],
        &[],
    )
}

pub(crate) fn post(author: UserNo, post: &BlockPost) -> u128 {
    let numbers = [u64::from(author.0), post.id.as_u64(), post.created_at_ms];
    hash(3, &numbers, post.text.as_str().as_bytes())
}

pub(crate) fn request(request: &Request) -> u128 {
    let (kind, detail) = request.outcome.as_numbers();
    let user = u64::from(request.user.0);
    let numbers = [user, request.content, request.seq.as_u64(), kind, detail];
    hash(4, &numbers, request.id.as_bytes())
}

pub(crate) fn account(user: UserNo, account: &AccountRecord) -> u128 {
    let numbers = [u64::from(user.0), account.revoked_ms];
    hash(5, &numbers, account.password.as_bytes())
}

/// The numbers make the seed of the hash over the bytes: no buffer, whatever the length of a text.
fn hash(kind: u8, numbers: &[u64], bytes: &[u8]) -> u128 {
    let mut packed = [0; 48];
    packed[0] = kind;
    for (place, number) in packed[8..].chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    xxh3_128_with_seed(bytes, xxh3_64(&packed))
}

/// What one stored value says about how much there is in others.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tally {
    /// Posts, blocks and follows of a user.
    Posts(UserNo),
    Blocks(UserNo),
    Following(UserNo),
    Followers(UserNo),
    /// A chunk of a list: side and owner, number of the chunk.
    Chunk(u8, UserNo, u32),
}

impl Tally {
    fn weight(self) -> u128 {
        let numbers = match self {
            Self::Posts(no) => [1, no.0.into(), 0],
            Self::Blocks(no) => [2, no.0.into(), 0],
            Self::Following(no) => [3, no.0.into(), 0],
            Self::Followers(no) => [4, no.0.into(), 0],
            Self::Chunk(side, no, chunk) => [5 + u64::from(side), no.0.into(), chunk.into()],
        };
        hash(0, &numbers, &[])
    }
}

/// Sums over stored values, for the scrub: the digest, and what must mirror it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Users, accounts, posts and requests.
    others: u128,
    /// Follows as followers keep them, and as the followed keep them: the same sum.
    follows: u128,
    mirrored: u128,
    /// Users by their record, and as the list of all users has them: the same sum.
    names: u128,
    listed: u128,
    /// How much there is as records and directories say, and as it is found: the same sum.
    promised: u128,
    kept: u128,
    /// Deletions, counted.
    deletions: u128,
}

impl Facts {
    pub(crate) fn user(&mut self, no: UserNo, name: &Username, created_at_ms: u64) {
        self.others = self.others.wrapping_add(user(no, name, created_at_ms));
        self.names = self.names.wrapping_add(user(no, name, 0));
    }

    pub(crate) fn listed_user(&mut self, no: UserNo, name: &Username) {
        self.listed = self.listed.wrapping_add(user(no, name, 0));
    }

    pub(crate) fn follow(&mut self, user: UserNo, followee: UserNo, seq: Seq) {
        self.follows = self.follows.wrapping_add(follow(user, followee, seq));
        self.keep(Tally::Following(user), 1);
    }

    pub(crate) fn mirrored_follow(&mut self, user: UserNo, followee: UserNo, seq: Seq) {
        self.mirrored = self.mirrored.wrapping_add(follow(user, followee, seq));
        self.keep(Tally::Followers(followee), 1);
    }

    pub(crate) fn post(&mut self, author: UserNo, of: &BlockPost) {
        self.others = self.others.wrapping_add(post(author, of));
        self.keep(Tally::Posts(author), 1);
    }

    pub(crate) fn request(&mut self, of: &Request) {
        self.others = self.others.wrapping_add(request(of));
    }

    pub(crate) fn account(&mut self, user: UserNo, of: &AccountRecord) {
        self.others = self.others.wrapping_add(account(user, of));
    }

    pub(crate) fn deletions(&mut self, count: usize) {
        self.deletions = self.deletions.wrapping_add(count as u128);
    }

    /// A record or a directory says that there are so many.
    pub(crate) fn promise(&mut self, what: Tally, count: u64) {
        let sum = what.weight().wrapping_mul(count.into());
        self.promised = self.promised.wrapping_add(sum);
    }

    /// So many were found.
    pub(crate) fn keep(&mut self, what: Tally, count: u64) {
        let sum = what.weight().wrapping_mul(count.into());
        self.kept = self.kept.wrapping_add(sum);
    }

    /// Adds what `other` holds.
    pub(crate) fn add(&mut self, other: Self) {
        self.each(other, u128::wrapping_add);
    }

    /// Takes away what `other` holds.
    pub(crate) fn subtract(&mut self, other: Self) {
        self.each(other, u128::wrapping_sub);
    }

    fn each(&mut self, other: Self, with: fn(u128, u128) -> u128) {
        self.others = with(self.others, other.others);
        self.follows = with(self.follows, other.follows);
        self.mirrored = with(self.mirrored, other.mirrored);
        self.names = with(self.names, other.names);
        self.listed = with(self.listed, other.listed);
        self.promised = with(self.promised, other.promised);
        self.kept = with(self.kept, other.kept);
        self.deletions = with(self.deletions, other.deletions);
    }

    /// Whether these sums are those of a sound view that stands at `meta`; else what differs.
    pub(crate) fn check(&self, meta: &Meta) -> Result<(), &'static str> {
        let (first, next) = meta.deletions;
        // The oldest chunk goes as a whole.
        let deletions = next.saturating_sub(first / deletion::CHUNK * deletion::CHUNK);
        if self.others.wrapping_add(self.follows) != meta.digest {
            Err("the stored facts do not add up to its digest")
        } else if self.follows != self.mirrored {
            Err("the two ends of the follows differ")
        } else if self.names != self.listed {
            Err("the list of all users differs from the users")
        } else if self.promised != self.kept {
            Err("records and directories differ from what is there")
        } else if self.deletions != u128::from(deletions) {
            Err("deletions are missing")
        } else {
            Ok(())
        }
    }
}

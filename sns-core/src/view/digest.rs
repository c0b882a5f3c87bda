//! The digest of a view: a sum of the hashes of all its facts, so that it can be kept up to date
//! with every change and checked in any order.
//!
//! Facts are users, follows, posts and remembered requests. The sum wraps; a fact that goes is
//! subtracted. Equal logic on the same log gives the same digest on every replica.

use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

use super::keys::UserNo;
use super::keys::post::BlockPost;
use super::keys::request::Request;
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

/// The numbers make the seed of the hash over the bytes: no buffer, whatever the length of a text.
fn hash(kind: u8, numbers: &[u64], bytes: &[u8]) -> u128 {
    let mut packed = [0; 48];
    packed[0] = kind;
    for (place, number) in packed[8..].chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    xxh3_128_with_seed(bytes, xxh3_64(&packed))
}

/// Sums over stored values, for the scrub: the digest, and what must mirror it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Users, posts and requests.
    others: u128,
    /// Follows as followers keep them, and as the followed keep them: the same sum.
    follows: u128,
    mirrored: u128,
    /// Users by their record, and as the list of all users has them: the same sum.
    names: u128,
    listed: u128,
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
    }

    pub(crate) fn mirrored_follow(&mut self, user: UserNo, followee: UserNo, seq: Seq) {
        self.mirrored = self.mirrored.wrapping_add(follow(user, followee, seq));
    }

    pub(crate) fn post(&mut self, author: UserNo, of: &BlockPost) {
        self.others = self.others.wrapping_add(post(author, of));
    }

    pub(crate) fn request(&mut self, of: &Request) {
        self.others = self.others.wrapping_add(request(of));
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
    }

    /// Whether these sums are those of a sound view with `digest`; else what differs.
    pub(crate) fn check(&self, digest: u128) -> Result<(), &'static str> {
        if self.others.wrapping_add(self.follows) != digest {
            Err("the stored facts do not add up to its digest")
        } else if self.follows != self.mirrored {
            Err("the two ends of the follows differ")
        } else if self.names != self.listed {
            Err("the list of all users differs from the users")
        } else {
            Ok(())
        }
    }
}

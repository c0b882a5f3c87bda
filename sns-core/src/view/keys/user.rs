//! `User`: what a view knows of one user.
//!
//! Key: family 6, side 0, the user's number, 0.

use serde::{Deserialize, Serialize};

use super::{Family, Key, Stored, UserNo, stored};
use crate::user::Username;
use crate::view::digest::{Facts, Tally};

/// One user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UserRecord {
    pub(crate) name: Username,
    /// Log time of the command that made the user.
    pub(crate) created_at_ms: u64,
    pub(crate) following: u32,
    pub(crate) followers: u32,
}

pub(crate) fn key(no: UserNo) -> Key {
    Key {
        family: Family::User,
        side: 0,
        a: no.0,
        b: 0,
    }
}

impl Stored for UserRecord {
    stored!(User);

    fn weight(&self) -> usize {
        size_of::<Self>()
    }

    fn facts(&self, key: Key, facts: &mut Facts) {
        let no = UserNo(key.a);
        facts.user(no, &self.name, self.created_at_ms);
        facts.promise(Tally::Following(no), self.following.into());
        facts.promise(Tally::Followers(no), self.followers.into());
    }
}

//! `Account`: what proves that a name belongs to somebody, and which tokens count. Of few users.
//!
//! Key: family 10, side 0, the user's number, 0.

use serde::{Deserialize, Serialize};

use super::{Family, Key, Stored, UserNo, stored};
use crate::view::digest::Facts;

/// The account of one user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AccountRecord {
    /// The PHC string of the password; empty: there is none.
    pub(crate) password: Box<str>,
    /// Tokens issued up to this log time are void.
    pub(crate) revoked_ms: u64,
}

pub(crate) fn key(no: UserNo) -> Key {
    Key {
        family: Family::Account,
        side: 0,
        a: no.0,
        b: 0,
    }
}

impl Stored for AccountRecord {
    stored!(Account);

    fn weight(&self) -> usize {
        size_of::<Self>() + self.password.len()
    }

    fn facts(&self, key: Key, facts: &mut Facts) {
        facts.account(UserNo(key.a), self);
    }
}

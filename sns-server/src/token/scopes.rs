//! What a token is good for.

use std::fmt;
use std::ops::BitOr;

use sns_proto::auth::v1::Scope;

/// A set of scopes, as in `auth.proto`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Scopes(u8);

/// In the order of their bits.
const ALL: [(Scope, &str); 4] = [
    (Scope::Read, "read"),
    (Scope::Post, "post"),
    (Scope::Admin, "admin"),
    (Scope::Claim, "claim"),
];

impl Scopes {
    /// None: any good token will do.
    pub const ANY: Self = Self(0);
    /// Pages, streams, lists.
    pub const READ: Self = Self(1);
    /// Posts, follows and their undoing.
    pub const POST: Self = Self(2);
    /// The operations page and the metrics.
    pub const ADMIN: Self = Self(4);
    /// To sign up with an invitation.
    pub const CLAIM: Self = Self(8);

    /// As a number.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// Back from [`Scopes::bits`].
    pub fn from_bits(bits: u64) -> Option<Self> {
        (bits < 16)
            .then(|| u8::try_from(bits).ok().map(Self))
            .flatten()
    }

    /// All of `wanted` are in it.
    pub fn hold(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }

    /// The set of these; `None` where one has no name.
    pub fn of(scopes: impl IntoIterator<Item = Scope>) -> Option<Self> {
        scopes.into_iter().try_fold(Self::ANY, |all, scope| {
            let bit = ALL.iter().position(|(known, _)| *known == scope)?;
            Some(all | Self(1 << bit))
        })
    }

    fn each(self) -> impl Iterator<Item = &'static (Scope, &'static str)> {
        let held = move |bit: usize| self.0 & (1 << bit) != 0;
        ALL.iter()
            .enumerate()
            .filter(move |(bit, _)| held(*bit))
            .map(|(_, scope)| scope)
    }

    /// As the wire has them.
    pub fn to_wire(self) -> Vec<i32> {
        self.each().map(|(scope, _)| (*scope).into()).collect()
    }
}

impl BitOr for Scopes {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.each().map(|(_, name)| *name).collect();
        f.write_str(&names.join(", "))
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scopes({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_comes_back_from_its_bits_and_names_itself() {
        for bits in 0..16 {
            let scopes = Scopes::from_bits(bits).unwrap();
            assert_eq!(u64::from(scopes.bits()), bits);
            let wire = scopes
                .to_wire()
                .into_iter()
                .map(|n| Scope::try_from(n).unwrap());
            assert_eq!(Scopes::of(wire), Some(scopes));
        }
        assert_eq!(Scopes::from_bits(16), None);
        assert_eq!(Scopes::of([Scope::Unspecified]), None);
        assert_eq!((Scopes::READ | Scopes::POST).to_string(), "read, post");
        assert!(!Scopes::READ.hold(Scopes::READ | Scopes::POST));
        assert!(Scopes::READ.hold(Scopes::ANY));
    }
}

//! Which operations, in which proportions; drawn from the seed.

use std::fmt;
use std::str::FromStr;

use rand::rngs::SmallRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

use crate::TEXT_BYTES;
use crate::op::{Kind, Op};

/// Which operations, in which proportions. Users are drawn uniformly, as `DeathStarBench` does:
/// no user is hotter than another, so caches help less than they would in life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// 60% home page, 30% user page, 10% post.
    /// Source: Gan et al., `DeathStarBench` (ASPLOS 2019), `socialNetwork/wrk2/scripts/social-network/mixed-workload.lua`.
    Dsb,
    /// 40% user page, 25% home page, 30% post, 5% follow.
    /// Source: Jia and Witchel, Nightcore (ASPLOS 2021), section 5.1.
    Nightcore,
    /// Posts alone.
    Post,
    /// 2/3 home page, 1/3 user page.
    Read,
}

impl Mix {
    /// Of every 60 operations, how many are of each kind; in the order of [`Kind::ALL`].
    fn shares(self) -> [u32; 4] {
        match self {
            Self::Dsb => [36, 18, 6, 0],
            Self::Nightcore => [15, 24, 18, 3],
            Self::Post => [0, 0, 60, 0],
            Self::Read => [40, 20, 0, 0],
        }
    }

    /// The share of a kind, from 0 to 1.
    pub fn share(self, kind: Kind) -> f64 {
        f64::from(self.shares()[kind as usize]) / 60.0
    }

    /// Operation number `index` of a run: the same for the same seed, whoever asks and when.
    pub fn op(self, seed: u64, index: u64, users: u32) -> Op {
        let mut rng = rng(seed, index);
        let user = rng.random_range(0..users);
        let mut drawn = rng.random_range(0..60);
        let kind = Kind::ALL.into_iter().find(|kind| {
            let share = self.shares()[*kind as usize];
            let found = drawn < share;
            drawn = drawn.saturating_sub(share);
            found
        });
        match kind {
            Some(Kind::UserPage) => Op::UserPage { user },
            Some(Kind::Post) => Op::Post {
                user,
                text: text_from(&mut rng),
            },
            Some(Kind::Follow) => {
                // Anyone but oneself.
                let other = rng.random_range(0..users.saturating_sub(1).max(1));
                let followee = if other >= user { other + 1 } else { other };
                Op::Follow { user, followee }
            }
            Some(Kind::Home) | None => Op::Home { user },
        }
    }
}

/// A generator for one operation, cheap to make: neighbouring numbers give unlike streams.
fn rng(seed: u64, index: u64) -> SmallRng {
    SmallRng::seed_from_u64(seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// A text for a post, [`TEXT_BYTES`] letters: number `index` of this seed.
pub fn text(seed: u64, index: u64) -> String {
    text_from(&mut rng(seed, index))
}

fn text_from(rng: &mut SmallRng) -> String {
    const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .";
    let mut text = String::with_capacity(TEXT_BYTES);
    while text.len() < TEXT_BYTES {
        // Ten letters of six bits.
        let mut bits = rng.next_u64();
        for _ in 0..10.min(TEXT_BYTES - text.len()) {
            text.push(char::from(LETTERS[(bits & 63) as usize]));
            bits >>= 6;
        }
    }
    text
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dsb => "dsb",
            Self::Nightcore => "nightcore",
            Self::Post => "post",
            Self::Read => "read",
        })
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::Dsb, Self::Nightcore, Self::Post, Self::Read]
            .into_iter()
            .find(|mix| mix.to_string() == name)
            .ok_or_else(|| format!("{name:?} is no mix: write dsb, nightcore, post or read"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixes_have_their_proportions() {
        for mix in [Mix::Dsb, Mix::Nightcore, Mix::Post, Mix::Read] {
            let shares: f64 = Kind::ALL.iter().map(|kind| mix.share(*kind)).sum();
            assert!((shares - 1.0).abs() < 1e-9);
            let mut counts = [0_f64; 4];
            for index in 0..60_000 {
                counts[mix.op(7, index, 1_000).kind() as usize] += 1.0;
            }
            for kind in Kind::ALL {
                let drawn = counts[kind as usize] / 60_000.0;
                assert!(
                    (drawn - mix.share(kind)).abs() < 0.01,
                    "{mix} {kind:?} {drawn}"
                );
            }
            assert_eq!(mix.to_string().parse(), Ok(mix));
        }
        "all".parse::<Mix>().unwrap_err();
    }

    #[test]
    fn users_are_drawn_uniformly_and_nobody_follows_themselves() {
        let mut counts = [0_u32; 10];
        for index in 0..20_000 {
            let op = Mix::Nightcore.op(3, index, 10);
            let (Op::Home { user }
            | Op::UserPage { user }
            | Op::Post { user, .. }
            | Op::Follow { user, .. }) = op;
            counts[user as usize] += 1;
            if let Op::Follow { user, followee } = op {
                assert!(user != followee && followee < 10);
            }
        }
        for count in counts {
            assert!((1_800..2_200).contains(&count), "{counts:?}");
        }
    }

    #[test]
    fn texts_are_long_and_unlike_each_other() {
        let texts: std::collections::HashSet<_> = (0..1_000).map(|i| text(1, i)).collect();
        assert_eq!(texts.len(), 1_000);
        assert!(texts.iter().all(|text| text.len() == TEXT_BYTES));
    }
}

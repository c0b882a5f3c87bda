//! [`Seq`]: the position of a command in the log.

use std::fmt;

/// The position of a command: entry index (48 bits, from 1) and slot within the entry (16 bits).
///
/// Unique and totally ordered over all servers, so it is at once the id of a post, the cursor of a
/// page, the resume token of a stream and the token with which one reads one's own writes.
/// [`Seq::ZERO`] stands before everything.
///
/// Keep it as it is, or as a number ([`Seq::as_u64`]); as text where numbers are not of 64 bits (JavaScript). Seqs have gaps:
/// the difference of two says nothing.
///
/// ```
/// # fn main() -> sns_core::Result<()> {
/// use sns_core::Seq;
/// # let sns = sns_core::Sns::in_memory()?;
/// # let alice = sns.user("alice")?;
/// let (older, newer) = (sns.post(&alice, "1").wait()?, sns.post(&alice, "2").wait()?);
/// assert!(Seq::ZERO < older.id && older.id < newer.id);
/// assert_eq!(Seq::from_u64(newer.id.as_u64()), newer.id);
/// # Ok(())
/// # }
/// ```
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Seq(u64);

impl Seq {
    /// Before the first entry: "none", "from the start".
    pub const ZERO: Self = Self(0);
    /// After everything that can be.
    pub const MAX: Self = Self(u64::MAX);
    /// The highest index there can be.
    pub const INDEX_MAX: u64 = (1 << 48) - 1;

    /// The command at `slot` (from 0) of the entry at `index`.
    ///
    /// # Panics
    /// When `index` is over [`Seq::INDEX_MAX`]: a log of 2^48 entries is a broken invariant.
    pub const fn new(index: u64, slot: u16) -> Self {
        assert!(index <= Self::INDEX_MAX, "an index has 48 bits");
        Self(index << 16 | slot as u64)
    }

    /// The last slot that the entry at `index` could have: after all of its commands.
    pub const fn end_of(index: u64) -> Self {
        Self::new(index, u16::MAX)
    }

    /// From its number, as the wire carries it. Every number is a position.
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// As a number; the order of numbers is the order of positions.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The index of the entry.
    pub const fn index(self) -> u64 {
        self.0 >> 16
    }

    /// The slot within the entry.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the lower 16 bits are the slot"
    )]
    pub const fn slot(self) -> u16 {
        self.0 as u16
    }

    /// The position right after this one; saturates at [`Seq::MAX`].
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index(), self.slot())
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Seq> for u64 {
    fn from(seq: Seq) -> Self {
        seq.0
    }
}

impl From<u64> for Seq {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_by_index_then_slot() {
        assert!(Seq::new(1, 65_535) < Seq::new(2, 0));
        assert!(Seq::new(7, 1) < Seq::new(7, 2));
        let seq = Seq::new(Seq::INDEX_MAX, 3);
        assert_eq!((seq.index(), seq.slot()), (Seq::INDEX_MAX, 3));
        assert_eq!(Seq::from_u64(seq.as_u64()), seq);
    }
}

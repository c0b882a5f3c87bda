//! [`Draw`]: random numbers that cost a nanosecond and repeat with their seed.

/// A generator of random numbers with a seed. Source: Steele et al., `SplitMix64` (OOPSLA 2014).
#[derive(Clone, Debug)]
pub struct Draw(u64);

impl Draw {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, each as likely.
    ///
    /// # Panics
    /// When `end` is 0.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the product's upper half is below `end`"
    )]
    pub fn below(&mut self, end: usize) -> usize {
        assert!(end > 0, "there is no number below 0");
        ((u128::from(self.number()) * end as u128) >> 64) as usize
    }

    /// A number from 0 to 1, without 1.
    #[allow(clippy::cast_precision_loss, reason = "53 bits fit")]
    pub fn unit(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// All numbers below `end` in random order.
    pub fn order(&mut self, end: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..end).collect();
        for last in (1..end).rev() {
            order.swap(last, self.below(last + 1));
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_repeat_with_their_seed_and_stay_in_bounds() {
        let (mut one, mut two) = (Draw::new(7), Draw::new(7));
        for end in 1..1_000 {
            let number = one.below(end);
            assert_eq!(number, two.below(end));
            assert!(number < end);
        }
        assert!((0..1_000).all(|_| (0.0..1.0).contains(&one.unit())));
    }

    #[test]
    fn an_order_has_every_number_once() {
        let mut order = Draw::new(1).order(100);
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
    }
}

//! The only source of chance in a simulated world.

/// SplitMix64: small, quick, and the same numbers on every machine for ever. Not for secrets.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number of `0..bound`; 0 when the bound is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.u64()) * bound as u128) >> 64) as usize
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: u32) -> bool {
        self.below(100) < percent as usize
    }

    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.u64() as u8)
    }

    /// An index, each as likely as its weight says; `None` when all weights are 0.
    pub fn weighted(&mut self, weights: &[u32]) -> Option<usize> {
        let total: u32 = weights.iter().sum();
        let mut at = self.below(total as usize) as u32;
        weights.iter().position(|weight| match at.checked_sub(*weight) {
            Some(rest) => {
                at = rest;
                false
            }
            None => true,
        })
    }

    /// Another generator, so that one part's draws do not shift another's.
    pub fn fork(&mut self) -> Self {
        Self(self.u64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_nothing_are_never_drawn() {
        let mut rng = Rng::new(1);
        assert!((0..500).all(|_| matches!(rng.weighted(&[0, 3, 0, 1]), Some(1 | 3))));
        assert_eq!(rng.weighted(&[0, 0]), None);
    }
}

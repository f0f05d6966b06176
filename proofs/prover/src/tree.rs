//! A whole Merkle tree, as the prover keeps it.

use ves_stark_verifier::backend::merkle::{self, Hash};

/// All levels of a tree, leaves first.
pub struct Tree {
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    /// The tree over `leaves`, a power of two of them.
    pub fn new(leaves: Vec<Hash>) -> Self {
        assert!(leaves.len().is_power_of_two(), "a tree is full");
        let mut levels = vec![leaves];
        while levels[levels.len() - 1].len() > 1 {
            let below = &levels[levels.len() - 1];
            levels.push(
                below.as_chunks::<2>().0.iter().map(|[left, right]| merkle::node(left, right)).collect(),
            );
        }
        Self { levels }
    }

    /// The root.
    pub fn root(&self) -> Hash {
        self.levels[self.levels.len() - 1][0]
    }

    /// The nodes that lead the leaves at `positions` (ascending, distinct) to the root.
    pub fn path(&self, positions: &[usize]) -> impl Iterator<Item = &Hash> {
        merkle::missing(self.levels.len() - 1, positions)
            .into_iter()
            .map(|(level, index)| &self.levels[level][index])
    }
}

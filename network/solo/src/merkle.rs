//! CometBFT's Merkle tree (RFC 6962 with SHA-256): leaf = H(00 ‖ item), inner = H(01 ‖ left ‖ right), split at the largest
//! power of two below the count, no items = hash of nothing.

use sha2::{Digest, Sha256};

pub fn root<I>(items: I) -> [u8; 32]
where
    I: IntoIterator,
    I::Item: AsRef<[u8]>,
{
    of_leaves(&leaves(items))
}

/// That one item stands in a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    pub root: [u8; 32],
    pub leaf: [u8; 32],
    /// Siblings from the leaf up.
    pub aunts: Vec<[u8; 32]>,
}

/// `None` where there is no item `index`.
pub fn prove<I>(items: I, index: usize) -> Option<Proof>
where
    I: IntoIterator,
    I::Item: AsRef<[u8]>,
{
    let leaves = leaves(items);
    let leaf = *leaves.get(index)?;
    let mut aunts = Vec::new();
    let (mut under, mut index) = (&leaves[..], index);
    while under.len() > 1 {
        let (left, right) = halves(under);
        let (aunt, next) = if index < left.len() { (right, left) } else { (left, right) };
        aunts.push(of_leaves(aunt));
        index -= if index < left.len() { 0 } else { left.len() };
        under = next;
    }
    aunts.reverse();
    Some(Proof { root: of_leaves(&leaves), leaf, aunts })
}

fn leaves<I>(items: I) -> Vec<[u8; 32]>
where
    I: IntoIterator,
    I::Item: AsRef<[u8]>,
{
    let leaf = |item: I::Item| Sha256::new().chain_update([0]).chain_update(item).finalize().into();
    items.into_iter().map(leaf).collect()
}

fn halves(leaves: &[[u8; 32]]) -> (&[[u8; 32]], &[[u8; 32]]) {
    leaves.split_at(leaves.len().next_power_of_two() / 2)
}

fn inner(left: [u8; 32], right: [u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

fn of_leaves(leaves: &[[u8; 32]]) -> [u8; 32] {
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = halves(leaves);
            inner(of_leaves(left), of_leaves(right))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors of RFC 6962, as published with certificate transparency.
    #[test]
    fn roots_are_those_of_certificate_transparency() {
        let items: [&[u8]; 8] = [
            &[],
            &[0x00],
            &[0x10],
            &[0x20, 0x21],
            &[0x30, 0x31],
            &[0x40, 0x41, 0x42, 0x43],
            &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
            &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
        ];
        let hex = |bytes: [u8; 32]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let roots = [
            (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
            (2, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
            (3, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
            (7, "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"),
            (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
        ];
        for (count, expected) in roots {
            assert_eq!(hex(root(&items[..count])), expected, "{count} items");
        }
    }

    /// As RFC 9162, section 2.1.3.2, climbs from a leaf to the root.
    #[test]
    fn every_leaf_of_every_size_climbs_to_the_root() {
        for count in 1..40_usize {
            let items: Vec<[u8; 1]> = (0..count as u8).map(|item| [item]).collect();
            assert_eq!(prove(&items, count), None);
            for index in 0..count {
                let proof = prove(&items, index).expect("an item");
                let (mut at, mut last, mut hash) = (index, count - 1, proof.leaf);
                for aunt in &proof.aunts {
                    if at % 2 == 1 || at == last {
                        hash = inner(*aunt, hash);
                        while at % 2 == 0 && at != 0 {
                            (at, last) = (at / 2, last / 2);
                        }
                    } else {
                        hash = inner(hash, *aunt);
                    }
                    (at, last) = (at / 2, last / 2);
                }
                assert_eq!((hash, last), (proof.root, 0), "item {index} of {count}");
                assert_eq!(hash, root(&items));
            }
        }
    }
}

//! CometBFT's Merkle tree (RFC 6962 with SHA-256): leaf = H(00 ‖ item), inner = H(01 ‖ left ‖ right), split at the largest
//! power of two below the count, no items = hash of nothing.

use sha2::{Digest, Sha256};

pub fn root<I>(items: I) -> [u8; 32]
where
    I: IntoIterator,
    I::Item: AsRef<[u8]>,
{
    let leaves: Vec<[u8; 32]> = items
        .into_iter()
        .map(|item| Sha256::new().chain_update([0]).chain_update(item).finalize().into())
        .collect();
    of_leaves(&leaves)
}

fn of_leaves(leaves: &[[u8; 32]]) -> [u8; 32] {
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            let hash = Sha256::new().chain_update([1]).chain_update(of_leaves(left));
            hash.chain_update(of_leaves(right)).finalize().into()
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
}

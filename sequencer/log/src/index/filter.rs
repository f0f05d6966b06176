//! A blocked Bloom filter: one cache line a key, so that asking for an id that was never seen costs one memory access.

use super::key::SearchKey;

/// Filter bits for each key. With [`PROBES`] in a block of 512 bits about one never-seen key in 200 passes.
const BITS_PER_KEY: u64 = 12;
const PROBES: u32 = 7;
const BLOCK_WORDS: usize = 8;
pub(super) const BLOCK_BYTES: usize = BLOCK_WORDS * 8;

/// The filter of one run. Its bytes are stored with the run, so this layout and [`hash`] are part of the format.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Filter {
    blocks: Vec<[u64; BLOCK_WORDS]>,
}

impl Filter {
    /// An empty filter for up to `keys` keys.
    pub fn for_keys(keys: u64) -> Self {
        let blocks = (keys * BITS_PER_KEY).div_ceil(BLOCK_BYTES as u64 * 8).max(1);
        Self { blocks: vec![[0; BLOCK_WORDS]; blocks as usize] }
    }

    /// As many keys as it has bits for.
    pub fn keys_max(&self) -> u64 {
        self.len_bytes() as u64 * 8 / BITS_PER_KEY
    }

    pub fn insert(&mut self, key: &SearchKey) {
        let (block, mut bits) = self.place(key);
        let block = &mut self.blocks[block];
        for _ in 0..PROBES {
            block[(bits >> 6) as usize % BLOCK_WORDS] |= 1 << (bits & 63);
            bits >>= 9;
        }
    }

    /// `false` means that the key was never inserted.
    pub fn may_hold(&self, key: &SearchKey) -> bool {
        let (block, mut bits) = self.place(key);
        let block = &self.blocks[block];
        let mut all = 1;
        for _ in 0..PROBES {
            all &= block[(bits >> 6) as usize % BLOCK_WORDS] >> (bits & 63);
            bits >>= 9;
        }
        all & 1 == 1
    }

    fn place(&self, key: &SearchKey) -> (usize, u64) {
        let (first, second) = hash(key);
        (((u128::from(first) * self.blocks.len() as u128) >> 64) as usize, second)
    }

    pub fn len_bytes(&self) -> usize {
        self.blocks.len() * BLOCK_BYTES
    }

    /// Blocks `from..from + count`, little-endian.
    pub fn bytes(&self, from: usize, count: usize) -> Vec<u8> {
        let end = (from + count).min(self.blocks.len());
        self.blocks[from..end].iter().flatten().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// Appends stored blocks; `None` when the bytes are not whole blocks.
    pub fn extend(&mut self, bytes: &[u8]) -> Option<()> {
        let (words, rest) = bytes.as_chunks::<8>();
        let (blocks, odd) = words.as_chunks::<BLOCK_WORDS>();
        if !rest.is_empty() || !odd.is_empty() {
            return None;
        }
        self.blocks.extend(blocks.iter().map(|block| block.map(u64::from_le_bytes)));
        Some(())
    }

    /// A filter to be filled with [`Filter::extend`].
    pub fn without_blocks() -> Self {
        Self { blocks: Vec::new() }
    }

    pub fn has_blocks(&self) -> bool {
        !self.blocks.is_empty()
    }
}

/// Two 64-bit hashes of a key, by folded multiplication. Ids are chosen by callers; one who finds collisions makes
/// only their own look-ups slower.
fn hash(key: &SearchKey) -> (u64, u64) {
    let (high, low) = ((key.id >> 64) as u64, key.id as u64);
    let first = fold(high ^ 0x9e37_79b9_7f4a_7c15 ^ key.group, low ^ 0xbf58_476d_1ce4_e5b9);
    let second = fold(first ^ 0x94d0_49bb_1331_11eb, low.rotate_left(29) ^ high ^ 0xd6e8_feb8_6659_fd93);
    // A second fold, since the first may cancel where an operand is zero.
    (fold(first ^ second, 0xa076_1d64_78bd_642f), second)
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 ^ product as u64
}

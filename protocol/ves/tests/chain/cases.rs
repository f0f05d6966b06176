//! Streams made of a seed by a rule that Solidity can follow too, so that contracts and this crate meet in the same cases.
//!
//! With H = SHA-256, a tag in ASCII and numbers as `U64`: tenant = first 16 bytes of H(seed ‖ `tenant`), store = those of
//! H(seed ‖ `store`); event n has the signing hash H(seed ‖ `event` ‖ n) and the signature H(seed ‖ `sig0` ‖ n) ‖ H(seed ‖ `sig1` ‖ n);
//! the state root before the batch is H(seed ‖ `state`).

use ves::commitment::{state_root, stream_id};
use ves::hash::Hasher;
use ves::merkle::{self, InclusionProof};
use ves::tiles::{TileMap, batch_inclusion, batch_tiles};
use ves::{Digest, SequenceNumber, StoreId, StreamKey, TenantId};

/// A batch of the stream that `seed` names.
pub struct Case {
    pub stream: StreamKey,
    pub stream_id: Digest,
    pub sequence_start: SequenceNumber,
    pub sequence_end: SequenceNumber,
    pub prev_state_root: Digest,
    pub leaves: Vec<Digest>,
}

impl Case {
    /// `count` events from `start`; `count` is at least 1.
    pub fn new(seed: &Digest, start: u64, count: u32) -> Self {
        let stream = StreamKey {
            tenant_id: TenantId::from_bytes(first_half(&derived(seed, b"tenant", None))),
            store_id: StoreId::from_bytes(first_half(&derived(seed, b"store", None))),
        };
        let end = start + u64::from(count) - 1;
        Self {
            stream,
            stream_id: stream_id(&stream),
            sequence_start: SequenceNumber(start),
            sequence_end: SequenceNumber(end),
            prev_state_root: derived(seed, b"state", None),
            leaves: (start..=end).map(|n| leaf(seed, &stream, n)).collect(),
        }
    }

    pub fn root(&self) -> Digest {
        merkle::root(&self.leaves)
    }

    pub fn new_state_root(&self) -> Digest {
        let (start, end) = (self.sequence_start, self.sequence_end);
        state_root(&self.stream_id, &self.prev_state_root, &self.root(), start, end, self.leaves.len() as u32)
    }

    /// By way of tiles, as the service makes it.
    pub fn proof(&self, index: u64) -> InclusionProof {
        let (_, tiles) = batch_tiles(&self.leaves);
        let tiles: TileMap = tiles.into_iter().collect();
        batch_inclusion(self.leaves.len() as u64, index, &tiles).expect("the index lies in the batch")
    }
}

pub fn signing_hash(seed: &Digest, n: u64) -> Digest {
    derived(seed, b"event", Some(n))
}

pub fn signature(seed: &Digest, n: u64) -> [u8; 64] {
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&derived(seed, b"sig0", Some(n)).0);
    signature[32..].copy_from_slice(&derived(seed, b"sig1", Some(n)).0);
    signature
}

fn leaf(seed: &Digest, stream: &StreamKey, n: u64) -> Digest {
    merkle::leaf_hash(stream, SequenceNumber(n), &signing_hash(seed, n), &signature(seed, n))
}

fn derived(seed: &Digest, tag: &[u8], n: Option<u64>) -> Digest {
    let hasher = Hasher::bare().digest(seed).bytes(tag);
    match n {
        Some(n) => hasher.u64(n).finish(),
        None => hasher.finish(),
    }
}

fn first_half(digest: &Digest) -> [u8; 16] {
    std::array::from_fn(|i| digest.0[i])
}

//! What is read again and again and never changes once it is written: batches and paths of proofs.
//!
//! Who may see an entry is asked of each caller anew, after the look-up; that there is nothing is never remembered.

use std::time::Duration;

use ves::legacy::LegacyCommitment;
use ves::merkle::InclusionProof;
use ves::{BatchId, Commitment, Digest, SequenceNumber};

use crate::cache::{Cache, CacheSize};
use crate::samples::Samples;

/// Sizes of the caches (sequencer API, section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheSizes {
    /// Batches of older streams.
    pub commitment: CacheSize,
    /// Paths of proofs in them.
    pub proof: CacheSize,
    pub ves_commitment: CacheSize,
    pub ves_proof: CacheSize,
}

impl Default for CacheSizes {
    fn default() -> Self {
        let size = |entries_max, seconds| CacheSize { entries_max, age_max: Duration::from_secs(seconds) };
        let (commitment, proof) = (size(1000, 300), size(5000, 600));
        Self { commitment, proof, ves_commitment: commitment, ves_proof: proof }
    }
}

/// An event of a batch.
type InBatch = (BatchId, SequenceNumber);

pub(crate) struct Caches {
    pub commitments: Cache<BatchId, Commitment>,
    /// Leaf and path.
    pub proofs: Cache<InBatch, (Digest, InclusionProof)>,
    pub legacy_commitments: Cache<BatchId, LegacyCommitment>,
    pub legacy_proofs: Cache<InBatch, (Digest, Vec<Digest>)>,
}

impl Caches {
    pub fn new(sizes: &CacheSizes) -> Self {
        Self {
            commitments: Cache::new(sizes.ves_commitment),
            proofs: Cache::new(sizes.ves_proof),
            legacy_commitments: Cache::new(sizes.commitment),
            legacy_proofs: Cache::new(sizes.proof),
        }
    }

    pub fn collect(&self, out: &mut Samples) {
        out.cache("ves_commitment", &self.commitments.counters());
        out.cache("ves_proof", &self.proofs.counters());
        out.cache("commitment", &self.legacy_commitments.counters());
        out.cache("proof", &self.legacy_proofs.counters());
    }
}

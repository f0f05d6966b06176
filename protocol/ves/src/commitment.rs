//! Commitments (section 14): each batch of a stream fixes, through its state root, the whole history before it.

use crate::hash::{Digest, Domain, Hasher};
use crate::ids::{BatchId, SequenceNumber, StreamKey};
use crate::merkle;
use crate::time::TimestampMs;

/// Name of a stream in hashes and checkpoints (14.1).
pub fn stream_id(stream: &StreamKey) -> Digest {
    Hasher::new(Domain::Stream).uuid(&stream.tenant_id.0).uuid(&stream.store_id.0).finish()
}

/// The per-stream lock number: the first 8 bytes of the stream id, signed big-endian (14.1).
pub fn stream_lock_key(stream: &StreamKey) -> i64 {
    let id = stream_id(stream);
    i64::from_be_bytes(id.0[..8].try_into().expect("eight bytes"))
}

/// The state root after a batch (14.2).
pub fn state_root(
    stream_id: &Digest,
    prev_state_root: &Digest,
    merkle_root: &Digest,
    sequence_start: SequenceNumber,
    sequence_end: SequenceNumber,
    leaf_count: u32,
) -> Digest {
    Hasher::new(Domain::StateRoot)
        .digest(stream_id)
        .digest(prev_state_root)
        .digest(merkle_root)
        .u64(sequence_start.get())
        .u64(sequence_end.get())
        .u32(leaf_count)
        .finish()
}

/// A committed batch (14.4), without anchoring data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commitment {
    pub batch_id: BatchId,
    pub stream: StreamKey,
    pub ves_version: u32,
    pub tree_depth: u32,
    pub leaf_count: u32,
    pub padded_leaf_count: u32,
    pub merkle_root: Digest,
    pub prev_state_root: Digest,
    pub new_state_root: Digest,
    pub sequence_start: SequenceNumber,
    /// Inclusive.
    pub sequence_end: SequenceNumber,
    pub committed_at: TimestampMs,
}

/// How a commitment contradicts itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommitmentError {
    #[error("ves_version {found} is not 1")]
    Version { found: u32 },
    #[error("{start}..={end} is not a range of {leaf_count} events")]
    Range { start: SequenceNumber, end: SequenceNumber, leaf_count: u32 },
    #[error("a tree of {leaf_count} leaves has not {padded} padded leaves and depth {depth}")]
    Shape { leaf_count: u32, padded: u32, depth: u32 },
    #[error("new_state_root is not the state root of this batch")]
    StateRoot,
}

/// How a commitment fails to continue the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    #[error("the commitments belong to different streams")]
    OtherStream,
    #[error("the batch starts at {found}, the chain continues at {expected}")]
    Start { expected: SequenceNumber, found: SequenceNumber },
    #[error("prev_state_root is not the state root before this batch")]
    PrevStateRoot,
}

impl Commitment {
    /// The commitment of `leaf_count` events from `start`.
    ///
    /// `leaf_count` is 1 to 2^31 (a padded count must fit `u32`) and the range ends at most at
    /// [`SequenceNumber::MAX`]; the caller has just built the tree, so anything else is its bug and panics.
    pub fn new(
        batch_id: BatchId,
        stream: StreamKey,
        prev_state_root: Digest,
        start: SequenceNumber,
        merkle_root: Digest,
        leaf_count: u32,
        committed_at: TimestampMs,
    ) -> Self {
        let (padded_leaf_count, tree_depth) = shape(leaf_count).expect("a batch has 1 to 2^31 events");
        let end = range_end(start, leaf_count).expect("the range lies in the stream");
        Self {
            batch_id,
            stream,
            ves_version: 1,
            tree_depth,
            leaf_count,
            padded_leaf_count,
            merkle_root,
            prev_state_root,
            new_state_root: state_root(
                &stream_id(&stream),
                &prev_state_root,
                &merkle_root,
                start,
                end,
                leaf_count,
            ),
            sequence_start: start,
            sequence_end: end,
            committed_at,
        }
    }

    /// Whether the members agree with each other: version, range, tree shape, state root.
    ///
    /// # Errors
    /// The first [`CommitmentError`] found.
    pub fn check(&self) -> Result<(), CommitmentError> {
        if self.ves_version != 1 {
            return Err(CommitmentError::Version { found: self.ves_version });
        }
        let (start, leaf_count) = (self.sequence_start, self.leaf_count);
        if leaf_count == 0 || range_end(start, leaf_count) != Some(self.sequence_end) {
            return Err(CommitmentError::Range { start, end: self.sequence_end, leaf_count });
        }
        if shape(leaf_count) != Some((self.padded_leaf_count, self.tree_depth)) {
            let (padded, depth) = (self.padded_leaf_count, self.tree_depth);
            return Err(CommitmentError::Shape { leaf_count, padded, depth });
        }
        let id = stream_id(&self.stream);
        let expected =
            state_root(&id, &self.prev_state_root, &self.merkle_root, start, self.sequence_end, leaf_count);
        if expected == self.new_state_root { Ok(()) } else { Err(CommitmentError::StateRoot) }
    }

    /// Whether this batch continues `previous`, or begins the chain at 1 when there is none (14.2, 14.3).
    ///
    /// # Errors
    /// [`ChainError`] names the link that is broken.
    pub fn follows(&self, previous: Option<&Self>) -> Result<(), ChainError> {
        let (expected, state_root) = match previous {
            None => (Some(SequenceNumber(1)), Digest::ZERO),
            Some(previous) if previous.stream != self.stream => return Err(ChainError::OtherStream),
            Some(previous) => (previous.sequence_end.next(), previous.new_state_root),
        };
        if expected != Some(self.sequence_start) {
            let expected = expected.unwrap_or(SequenceNumber::MAX);
            return Err(ChainError::Start { expected, found: self.sequence_start });
        }
        if self.prev_state_root == state_root { Ok(()) } else { Err(ChainError::PrevStateRoot) }
    }

    /// Whether `n` lies in the batch.
    pub fn covers(&self, n: SequenceNumber) -> bool {
        (self.sequence_start..=self.sequence_end).contains(&n)
    }
}

/// Padded leaf count and depth (13.2); `None` outside 1..=2^31.
fn shape(leaf_count: u32) -> Option<(u32, u32)> {
    let padded = u32::try_from(merkle::padded_count(leaf_count.into())).ok()?;
    (leaf_count > 0).then(|| (padded, merkle::depth(leaf_count.into())))
}

/// Last number of `count` events from `start`; `None` when a number would be 0 or beyond the stream.
fn range_end(start: SequenceNumber, count: u32) -> Option<SequenceNumber> {
    let end = start.get().checked_add(u64::from(count).checked_sub(1)?).map(SequenceNumber)?;
    (start > SequenceNumber::ZERO && end <= SequenceNumber::MAX).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{StoreId, TenantId};

    fn commitment(start: u64, count: u32, prev: Digest) -> Commitment {
        let stream =
            StreamKey { tenant_id: TenantId::from_bytes([1; 16]), store_id: StoreId::from_bytes([2; 16]) };
        let batch = BatchId::from_bytes([3; 16]);
        Commitment::new(batch, stream, prev, SequenceNumber(start), Digest([4; 32]), count, TimestampMs(5))
    }

    #[test]
    fn a_new_commitment_agrees_with_itself() {
        for count in [1, 2, 3, 4, 5, 1023, 1024, 1025, 1 << 31] {
            assert_eq!(commitment(7, count, Digest::ZERO).check(), Ok(()), "{count}");
        }
    }

    #[test]
    fn a_changed_member_is_found() {
        let good = commitment(1, 5, Digest::ZERO);
        let changes: [fn(&mut Commitment); 10] = [
            |c| c.ves_version = 2,
            |c| c.leaf_count = 6,
            |c| c.leaf_count = 0,
            |c| c.sequence_start = SequenceNumber(0),
            |c| c.sequence_end = SequenceNumber(6),
            |c| c.padded_leaf_count = 16,
            |c| c.tree_depth = 4,
            |c| c.merkle_root = Digest([9; 32]),
            |c| c.prev_state_root = Digest([9; 32]),
            |c| c.new_state_root = Digest([9; 32]),
        ];
        for (i, change) in changes.iter().enumerate() {
            let mut bad = good.clone();
            change(&mut bad);
            assert!(bad.check().is_err(), "change {i}");
        }
        let last = Commitment { sequence_start: SequenceNumber::MAX, ..good };
        assert!(last.check().is_err());
    }

    #[test]
    fn the_chain_has_no_gap_and_one_history() {
        let first = commitment(1, 5, Digest::ZERO);
        let second = commitment(6, 2, first.new_state_root);
        assert_eq!(first.follows(None), Ok(()));
        assert_eq!(second.follows(Some(&first)), Ok(()));
        assert!(matches!(second.follows(None), Err(ChainError::Start { .. })));
        assert!(matches!(first.follows(Some(&second)), Err(ChainError::Start { .. })));
        assert_eq!(commitment(6, 2, Digest::ZERO).follows(Some(&first)), Err(ChainError::PrevStateRoot));
        assert_eq!(commitment(1, 2, Digest([1; 32])).follows(None), Err(ChainError::PrevStateRoot));
        let mut foreign = first.clone();
        foreign.stream.store_id = StoreId::from_bytes([9; 16]);
        assert_eq!(second.follows(Some(&foreign)), Err(ChainError::OtherStream));
    }
}

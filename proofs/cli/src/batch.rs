//! Batches ready to be proved, and made-up ones in a chain like a sequencer's.

use ves::merkle;
use ves::{BatchId, Commitment, Digest, SequenceNumber, StoreId, StreamKey, TenantId, TimestampMs};
use ves_stark_batch::{BatchBundle, BatchError, BatchInputs};
use ves_stark_client::system_random;
use ves_stark_primitives::{AmountPolicy, FieldCommitment, Opening, SuiteId};

use crate::commands::prove::unnamed_field;
use crate::failure::Failure;
use crate::random;

/// A made-up stream and where its chain stands.
pub struct Chain {
    stream: StreamKey,
    last: Option<Commitment>,
}

/// One batch, ready to be proved.
pub struct Batch {
    pub inputs: BatchInputs,
    /// Of the events that obey the policy, in their order.
    pub commitments: Vec<FieldCommitment>,
    pub openings: Vec<Opening>,
}

impl Chain {
    pub fn new() -> Result<Self, Failure> {
        let stream = StreamKey {
            tenant_id: TenantId::random(random::bytes()?),
            store_id: StoreId::random(random::bytes()?),
        };
        Ok(Self { stream, last: None })
    }

    /// The next batch, of made-up events with these amounts. Those above the limit are left out and listed.
    ///
    /// # Errors
    /// Where no event is left, or the system gives no randomness.
    pub fn next(&mut self, policy: &AmountPolicy, suite: SuiteId, amounts: &[u64]) -> Result<Batch, Failure> {
        let start = match &self.last {
            Some(last) => last.sequence_end.next(),
            None => Some(SequenceNumber(1)),
        };
        let start = start.ok_or_else(|| Failure::failed("STREAM_FULL", "the stream is full"))?;
        let field = unnamed_field();
        let (mut leaves, mut excluded, mut openings) = (Vec::new(), Vec::new(), Vec::new());
        for (number, amount) in (start.get()..).map(SequenceNumber).zip(amounts) {
            let event_signing_hash = Digest(random::bytes()?);
            leaves.push(merkle::leaf_hash(&self.stream, number, &event_signing_hash, &random::bytes()?));
            if !policy.allows(*amount) {
                excluded.push(number);
                continue;
            }
            openings.push(Opening::draw(*amount, random::fill)?);
        }
        let batch = Commitment::new(
            BatchId::random(random::bytes()?),
            self.stream,
            self.last.as_ref().map_or(Digest::ZERO, |last| last.new_state_root),
            start,
            merkle::root(&leaves),
            leaves.len() as u32,
            TimestampMs(0),
        );
        let commitments: Vec<FieldCommitment> =
            openings.iter().map(|opening| opening.commit(&field)).collect();
        let inputs = BatchInputs {
            suite,
            stream: self.stream,
            batch_root: batch.merkle_root,
            sequence_start: batch.sequence_start,
            sequence_end: batch.sequence_end,
            prev_state_root: batch.prev_state_root,
            new_state_root: batch.new_state_root,
            policy: policy.clone(),
            field,
            excluded,
            commitments_digest: BatchInputs::digest_of(&commitments),
            chain_context: "local".to_owned(),
            valid_until: None,
        };
        self.last = Some(batch);
        Ok(Batch { inputs, commitments, openings })
    }
}

impl Batch {
    /// Proves the batch, and verifies the proofs before anyone relies on them. `progress` is told how many events are done.
    pub fn prove(self, progress: &mut dyn FnMut(usize)) -> Result<BatchBundle, Failure> {
        let Self { inputs, commitments, openings } = self;
        let mut random = system_random().map_err(random::no_randomness)?;
        let proofs = ves_stark_batch::prove(&inputs, &commitments, &openings, &mut random, progress)?;
        let security = ves_stark_batch::verify(&inputs, &commitments, &proofs)
            .map_err(|error| Failure::failed("INTERNAL", error.to_string()))?;
        Ok(BatchBundle { inputs, commitments, bindings: None, proofs, security })
    }
}

impl From<BatchError> for Failure {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::Inputs(_) => Self::input("BAD_INPUTS", error.to_string()),
            _ => Self::failed("NOT_PROVED", error.to_string()),
        }
    }
}

/// Bytes of all proofs of a bundle.
pub fn proof_bytes(bundle: &BatchBundle) -> usize {
    bundle.proofs.iter().map(Vec::len).sum()
}

/// A random amount of at most `largest`.
pub fn random_amount(largest: u64) -> Result<u64, Failure> {
    let drawn = u64::from_le_bytes(random::bytes()?);
    // Not uniform where the range is no power of two, which made-up amounts do not mind.
    Ok(largest.checked_add(1).map_or(drawn, |range| drawn % range))
}

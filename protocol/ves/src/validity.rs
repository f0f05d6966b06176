//! Validity proofs of a batch (section 18): their public inputs and hash.
//!
//! Without a policy the inputs claim `allCompliant` with a zero policy, as the reference does; they say nothing about
//! compliance (section 22). With one they name it, and `allCompliant` is false: a proof may leave events out, which its
//! own statement lists.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::commitment::Commitment;
use crate::compliance::Policy;
use crate::hash::{Digest, Domain, Hasher};
use crate::ids::{BatchId, SequenceNumber, StoreId, TenantId};
use crate::json;

/// `leafCount` is not `sequenceEnd - sequenceStart + 1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the batch {start}..={end} cannot have {leaf_count} leaves")]
pub struct LeafCountMismatch {
    pub start: SequenceNumber,
    pub end: SequenceNumber,
    pub leaf_count: u32,
}

/// Public inputs of a proof about one batch.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PublicInputs {
    batch_id: BatchId,
    tenant_id: TenantId,
    store_id: StoreId,
    ves_version: u32,
    tree_depth: u32,
    leaf_count: u32,
    padded_leaf_count: u32,
    merkle_root: Digest,
    prev_state_root: Digest,
    new_state_root: Digest,
    sequence_start: SequenceNumber,
    sequence_end: SequenceNumber,
    all_compliant: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_params: Option<Box<RawValue>>,
    policy_hash: Digest,
    policy_limit: u64,
}

impl PublicInputs {
    /// The inputs of a stored batch.
    ///
    /// # Errors
    /// [`LeafCountMismatch`].
    pub fn of(batch: &Commitment) -> Result<Self, LeafCountMismatch> {
        let (start, end) = (batch.sequence_start, batch.sequence_end);
        let events = end.get().checked_sub(start.get()).and_then(|span| span.checked_add(1));
        if events != Some(u64::from(batch.leaf_count)) {
            return Err(LeafCountMismatch { start, end, leaf_count: batch.leaf_count });
        }
        Ok(Self {
            batch_id: batch.batch_id,
            tenant_id: batch.stream.tenant_id,
            store_id: batch.stream.store_id,
            ves_version: batch.ves_version,
            tree_depth: batch.tree_depth,
            leaf_count: batch.leaf_count,
            padded_leaf_count: batch.padded_leaf_count,
            merkle_root: batch.merkle_root,
            prev_state_root: batch.prev_state_root,
            new_state_root: batch.new_state_root,
            sequence_start: start,
            sequence_end: end,
            all_compliant: true,
            policy_id: None,
            policy_params: None,
            policy_hash: Digest::ZERO,
            policy_limit: 0,
        })
    }

    /// The same of a proof that events of the batch obey `policy`.
    pub fn under(self, policy: &Policy) -> Self {
        let params = RawValue::from_string(policy.params().to_owned());
        Self {
            all_compliant: false,
            policy_id: Some(policy.id().to_owned()),
            policy_params: Some(params.expect("canonical JSON is JSON")),
            policy_hash: policy.hash(),
            policy_limit: limit_of(policy).unwrap_or(0),
            ..self
        }
    }

    /// Canonical JSON.
    pub fn canonical(&self) -> String {
        json::to_canonical(self).expect("fixed members have a canonical form")
    }

    /// `public_inputs_hash`: SHA-256 of the canonical JSON, no domain.
    pub fn hash(&self) -> Digest {
        Hasher::bare().bytes(self.canonical().as_bytes()).finish()
    }
}

/// The largest amount that a policy about one amount allows; `None` for other policies, and where the number is missing.
fn limit_of(policy: &Policy) -> Option<u64> {
    let params: BTreeMap<String, serde_json::Value> = serde_json::from_str(policy.params()).ok()?;
    let number = |name: &str| params.get(name)?.as_u64();
    match policy.id() {
        "aml.threshold" => number("threshold")?.checked_sub(1),
        "order_total.cap" => number("cap"),
        "agent.authorization.v1" => number("maxTotal"),
        "agent.budget.v1" => number("budgetLimit"),
        _ => None,
    }
}

/// Hash of a validity proof.
pub fn proof_hash(proof: &[u8]) -> Digest {
    Hasher::new(Domain::ValidityProof).bytes(proof).finish()
}

/// A state root as the prover reads it: four little-endian `u64` limbs.
pub fn state_root_limbs(root: &Digest) -> [u64; 4] {
    std::array::from_fn(|limb| u64::from_le_bytes(std::array::from_fn(|byte| root.0[limb * 8 + byte])))
}

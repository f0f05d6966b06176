//! A batch as a sequencer states it, and whether a bundle is about that batch.

use serde::Deserialize;
use serde_json::value::RawValue;
use ves::json;
use ves::{BatchId, Digest, SequenceNumber, StoreId, StreamKey, TenantId};
use ves_stark_primitives::{AmountPolicy, FieldCommitment, FieldDescription, SuiteId};

use crate::bundle::{BatchBundle, BundleError};
use crate::inputs::{BatchInputs, INPUTS_BYTES_MAX, InputsError};

/// A committed batch and a policy, from the sequencer's own public inputs of the batch (VES section 18).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchFacts {
    pub batch_id: BatchId,
    pub stream: StreamKey,
    pub batch_root: Digest,
    pub sequence_start: SequenceNumber,
    /// Inclusive.
    pub sequence_end: SequenceNumber,
    pub prev_state_root: Digest,
    pub new_state_root: Digest,
    /// `None` where the inputs claim no compliance.
    pub policy: Option<AmountPolicy>,
}

/// The members that matter here; what follows from them (depth, number of leaves) is not looked at.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Members {
    batch_id: BatchId,
    tenant_id: TenantId,
    store_id: StoreId,
    merkle_root: Digest,
    prev_state_root: Digest,
    new_state_root: Digest,
    sequence_start: SequenceNumber,
    sequence_end: SequenceNumber,
    #[serde(default)]
    policy_id: Option<String>,
    #[serde(default)]
    policy_params: Option<Box<RawValue>>,
    policy_hash: Digest,
}

/// What a statement about a batch says besides the batch and the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchTerms {
    pub suite: SuiteId,
    /// The field that every event commits to.
    pub field: FieldDescription,
    /// Events that the proof says nothing about, ascending.
    pub excluded: Vec<SequenceNumber>,
    /// Which deployment the proof is for.
    pub chain_context: String,
    /// Seconds since 1970 (UTC), inclusive; `None` does not end.
    pub valid_until: Option<u64>,
}

impl BatchFacts {
    /// Reads the answer of `…/validity/{batch_id}/inputs`, or what a sequencer made for itself.
    ///
    /// # Errors
    /// [`InputsError`] names the member.
    pub fn parse(text: &str) -> Result<Self, InputsError> {
        if text.len() > INPUTS_BYTES_MAX {
            return Err(InputsError::TooLarge { bytes: text.len() });
        }
        json::canonicalize(text).map_err(InputsError::Json)?;
        let members: Members =
            serde_json::from_str(text).map_err(|error| InputsError::Shape(error.to_string()))?;
        let policy = match (&members.policy_id, &members.policy_params) {
            (Some(id), Some(params)) => Some(AmountPolicy::parse(id, params.get())?),
            (None, None) => None,
            _ => return Err(InputsError::Shape("policyId and policyParams belong together".to_owned())),
        };
        if members.policy_hash != policy.as_ref().map_or(Digest::ZERO, AmountPolicy::hash) {
            return Err(InputsError::PolicyHash);
        }
        Ok(Self {
            batch_id: members.batch_id,
            stream: StreamKey { tenant_id: members.tenant_id, store_id: members.store_id },
            batch_root: members.merkle_root,
            sequence_start: members.sequence_start,
            sequence_end: members.sequence_end,
            prev_state_root: members.prev_state_root,
            new_state_root: members.new_state_root,
            policy,
        })
    }

    /// The statement that the events behind `commitments` obey the policy, on these terms.
    ///
    /// # Errors
    /// [`InputsError::NoPolicy`], and whatever [`BatchInputs::check`] finds.
    pub fn statement(
        &self,
        terms: BatchTerms,
        commitments: &[FieldCommitment],
    ) -> Result<BatchInputs, InputsError> {
        let inputs = BatchInputs {
            suite: terms.suite,
            stream: self.stream,
            batch_root: self.batch_root,
            sequence_start: self.sequence_start,
            sequence_end: self.sequence_end,
            prev_state_root: self.prev_state_root,
            new_state_root: self.new_state_root,
            policy: self.policy.clone().ok_or(InputsError::NoPolicy)?,
            field: terms.field,
            excluded: terms.excluded,
            commitments_digest: BatchInputs::digest_of(commitments),
            chain_context: terms.chain_context,
            valid_until: terms.valid_until,
        };
        inputs.check(commitments)?;
        Ok(inputs)
    }
}

impl BatchBundle {
    /// Whether the bundle is about this batch and policy.
    ///
    /// # Errors
    /// [`BundleError::OtherStatement`] names the first member that differs, [`InputsError::NoPolicy`].
    pub fn check_facts(&self, facts: &BatchFacts) -> Result<(), BundleError> {
        let (own, policy) = (&self.inputs, facts.policy.as_ref().ok_or(InputsError::NoPolicy)?);
        let pairs = [
            ("tenantId", own.stream.tenant_id == facts.stream.tenant_id),
            ("storeId", own.stream.store_id == facts.stream.store_id),
            ("sequenceStart", own.sequence_start == facts.sequence_start),
            ("sequenceEnd", own.sequence_end == facts.sequence_end),
            ("batchRoot", own.batch_root == facts.batch_root),
            ("prevStateRoot", own.prev_state_root == facts.prev_state_root),
            ("newStateRoot", own.new_state_root == facts.new_state_root),
            ("policyId", own.policy.id() == policy.id()),
            ("policyParams", own.policy == *policy),
        ];
        match pairs.into_iter().find(|(_, is_same)| !is_same) {
            Some((member, _)) => Err(BundleError::OtherStatement { member }),
            None => Ok(()),
        }
    }
}

//! Validity proofs of a batch (sequencer API, section 3.4; VES section 18). Hashes are bare hex.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;
use ves::{BatchId, Digest, StoreId, TenantId};

use crate::text::Rfc3339;

/// Body of `POST /api/v1/ves/validity/{batch_id}/inputs`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ValidityInputsRequest {
    /// 1 to 64 characters; absent where no compliance is to be claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_id: Option<String>,
    /// A JSON object; absent is `{}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub policy_params: Option<Box<RawValue>>,
}

/// Answer of both forms of `/api/v1/ves/validity/{batch_id}/inputs`.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ValidityInputs {
    pub batch_id: BatchId,
    /// Canonical JSON: its SHA-256 is `public_inputs_hash`.
    #[schema(value_type = Object)]
    pub public_inputs: Box<RawValue>,
    pub public_inputs_hash: Digest,
}

/// Body of `POST /api/v1/ves/validity/{batch_id}/proofs`.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubmitValidityProof {
    /// 1 to 32 characters.
    pub proof_type: String,
    /// From 1 on.
    #[serde(default = "one")]
    pub proof_version: u32,
    /// 1 to 64 characters; absent where the proof claims no compliance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_id: Option<String>,
    /// A JSON object; absent is `{}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub policy_params: Option<Box<RawValue>>,
    /// Base64, standard or url-safe, padded or not; at most 2 MiB decoded.
    #[serde(rename = "proofB64")]
    pub proof_b64: String,
    /// Must be the sequencer's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub public_inputs: Option<Box<RawValue>>,
}

/// One stored proof.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ValidityProofBody {
    pub proof_id: Uuid,
    pub batch_id: BatchId,
    pub tenant_id: TenantId,
    pub store_id: StoreId,
    pub proof_type: String,
    pub proof_version: u32,
    /// Of a proof that claims compliance, as the two after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_id: Option<String>,
    /// Canonical JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub policy_params: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_hash: Option<Digest>,
    pub proof_hash: Digest,
    #[schema(value_type = Object)]
    pub public_inputs: Box<RawValue>,
    pub submitted_at: Rfc3339,
    /// Ours: a verifier accepted the proof before it was stored.
    #[serde(default)]
    pub verified: bool,
    /// Ours, of a verified proof whose statement has an end: its last second, since 1970, as in the bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<u64>,
    /// Ours: the proof that took the place of this one, which no list shows any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_at: Option<Rfc3339>,
    /// Of a verified proof that claims compliance: events of the batch that it says nothing about, and lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events_left_out: Option<u32>,
    /// Standard base64; only where one proof is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof_b64: Option<String>,
}

/// Answer of `GET /api/v1/ves/validity/{batch_id}/proofs`.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ValidityProofList {
    pub batch_id: BatchId,
    pub proofs: Vec<ValidityProofBody>,
    pub count: usize,
}

/// Answer of `GET /api/v1/ves/validity/proofs/{proof_id}/verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ValidityVerification {
    pub proof_id: Uuid,
    pub batch_id: BatchId,
    pub tenant_id: TenantId,
    pub store_id: StoreId,
    pub proof_type: String,
    pub proof_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_hash: Option<Digest>,
    pub proof_hash: Digest,
    /// Events of the batch that the proof says nothing about, as its own statement lists them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events_left_out: Option<u32>,
    #[serde(flatten)]
    pub outcome: VerificationOutcome,
}

/// What was found of a stored proof, now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct VerificationOutcome {
    pub proof_hash_match: bool,
    /// Hash of the inputs stored with the proof.
    pub public_inputs_hash: Digest,
    /// Hash of the inputs made again from the log.
    pub canonical_public_inputs_hash: Digest,
    pub public_inputs_match: bool,
    /// The verifier's word on the proof's bytes, of whatever type; null where none was given.
    pub stark_valid: Option<bool>,
    /// Why the verifier said no, or said nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stark_error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stark_verification_time_ms: Option<u64>,
    /// True only when a verifier accepted the bytes for the inputs made again from the log.
    pub valid: bool,
    /// The first thing that keeps the proof from being valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

pub(crate) fn one() -> u32 {
    1
}

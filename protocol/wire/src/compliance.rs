//! Compliance proofs of an event (sequencer API, section 3.5; VES section 17). Hashes are bare hex.

use std::fmt;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use uuid::Uuid;
use ves::compliance::WitnessCommitment;
use ves::{Digest, EventId, StoreId, TenantId};

use crate::text::Rfc3339;
use crate::validity::{VerificationOutcome, one};

/// Body of `POST /api/v1/ves/compliance/{event_id}/inputs`.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComplianceInputsRequest {
    /// 1 to 64 characters.
    pub policy_id: String,
    /// A JSON object; absent is `{}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub policy_params: Option<Box<RawValue>>,
}

/// Answer of both forms of `/api/v1/ves/compliance/{event_id}/inputs`.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ComplianceInputs {
    pub event_id: EventId,
    /// Canonical JSON: its SHA-256 is `public_inputs_hash`.
    #[schema(value_type = Object)]
    pub public_inputs: Box<RawValue>,
    pub public_inputs_hash: Digest,
}

/// Body of `POST /api/v1/ves/compliance/{event_id}/proofs`.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubmitComplianceProof {
    /// 1 to 32 characters.
    pub proof_type: String,
    /// From 1 on.
    #[serde(default = "one")]
    pub proof_version: u32,
    pub policy_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub policy_params: Option<Box<RawValue>>,
    /// Base64, standard or url-safe, padded or not; at most 2 MiB decoded.
    #[serde(rename = "proofB64")]
    pub proof_b64: String,
    /// Required for types that begin with `stark`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness_commitment: Option<WitnessBody>,
    /// Must be the sequencer's own; a `witnessCommitment` may come on top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub public_inputs: Option<Box<RawValue>>,
}

/// A witness commitment: read as 64 lowercase hex digits or as four numbers, written as four numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WitnessBody(pub WitnessCommitment);

impl utoipa::PartialSchema for WitnessBody {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        use utoipa::openapi::schema::{ArrayBuilder, Object, OneOfBuilder, Type};
        let mut hex = Object::with_type(Type::String);
        hex.pattern = Some("^[0-9a-f]{64}$".to_owned());
        let mut limb = Object::with_type(Type::Integer);
        limb.minimum = Some(0usize.into());
        let limbs = ArrayBuilder::new().items(limb).min_items(Some(4)).max_items(Some(4));
        OneOfBuilder::new().item(hex).item(limbs).into()
    }
}
impl utoipa::ToSchema for WitnessBody {}

impl Serialize for WitnessBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for WitnessBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WitnessVisitor)
    }
}

struct WitnessVisitor;

impl<'de> Visitor<'de> for WitnessVisitor {
    type Value = WitnessBody;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("64 lowercase hex digits or four unsigned 64-bit numbers")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<WitnessBody, E> {
        let commitment = WitnessCommitment::from_hex(text);
        commitment.map(WitnessBody).ok_or_else(|| E::custom("expected 64 lowercase hex digits"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut limbs: A) -> Result<WitnessBody, A::Error> {
        let mut commitment = WitnessCommitment([0; 4]);
        for (n, limb) in commitment.0.iter_mut().enumerate() {
            *limb = limbs.next_element()?.ok_or_else(|| A::Error::invalid_length(n, &self))?;
        }
        match limbs.next_element::<serde::de::IgnoredAny>()? {
            None => Ok(WitnessBody(commitment)),
            Some(_) => Err(A::Error::invalid_length(5, &self)),
        }
    }
}

/// One stored proof.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ComplianceProofBody {
    pub proof_id: Uuid,
    pub event_id: EventId,
    pub tenant_id: TenantId,
    pub store_id: StoreId,
    pub proof_type: String,
    pub proof_version: u32,
    pub policy_id: String,
    /// Canonical JSON.
    #[schema(value_type = Object)]
    pub policy_params: Box<RawValue>,
    pub policy_hash: Digest,
    pub proof_hash: Digest,
    /// Four numbers; those above 2^53 lose digits in JavaScript, the hex form does not.
    pub witness_commitment: Option<WitnessBody>,
    pub witness_commitment_hex: Option<String>,
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
    /// Standard base64; only where one proof is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof_b64: Option<String>,
}

/// Answer of `GET /api/v1/ves/compliance/{event_id}/proofs`.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ComplianceProofList {
    pub event_id: EventId,
    pub proofs: Vec<ComplianceProofBody>,
    pub count: usize,
}

/// Answer of `GET /api/v1/ves/compliance/proofs/{proof_id}/verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ComplianceVerification {
    pub proof_id: Uuid,
    pub event_id: EventId,
    pub tenant_id: TenantId,
    pub store_id: StoreId,
    pub proof_type: String,
    pub proof_version: u32,
    pub policy_id: String,
    pub policy_hash: Digest,
    pub proof_hash: Digest,
    pub witness_commitment: Option<WitnessBody>,
    pub witness_commitment_hex: Option<String>,
    #[serde(flatten)]
    pub outcome: VerificationOutcome,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_witness_commitment_is_read_in_both_forms_and_in_no_other() {
        let commitment = WitnessBody(WitnessCommitment([1, 2, u64::MAX, 4]));
        let numbers = "[1,2,18446744073709551615,4]";
        let hex = format!("\"{}\"", commitment.0.to_hex());
        for text in [numbers, &hex] {
            assert_eq!(serde_json::from_str::<WitnessBody>(text).unwrap(), commitment);
        }
        assert_eq!(serde_json::to_string(&commitment).unwrap(), numbers);
        for bad in ["[1,2,3]", "[1,2,3,4,5]", "[1,2,3,-4]", "[1,2,3,4.5]", "\"00\"", "7", &hex.to_uppercase()]
        {
            assert!(serde_json::from_str::<WitnessBody>(bad).is_err(), "{bad}");
        }
    }
}

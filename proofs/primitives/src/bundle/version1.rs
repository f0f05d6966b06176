//! Bundles of older clients (section 5): read, so that a person can see what is in them. Their proofs have no
//! zero-knowledge and are not verified here.

use base64ct::{Base64, Encoding as _};
use serde::Deserialize;
use serde_json::value::RawValue;
use ves::Digest;
use ves::compliance::{self, WitnessCommitment};

use super::{BundleError, read};
use crate::public_inputs::EventInputs;

/// A version 1 bundle whose members agree with each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    pub proof: Vec<u8>,
    pub witness_commitment: Option<WitnessCommitment>,
    pub inputs: Option<EventInputs>,
    pub policy: Option<PolicyClaim>,
    pub metadata: Option<Metadata>,
}

/// Which policy the prover says it used.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyClaim {
    #[serde(rename = "type")]
    pub kind: String,
    pub limit: u64,
}

/// How the proof was made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    pub proving_time_ms: u64,
    pub num_constraints: u64,
    pub trace_length: u64,
    pub proof_size: u64,
    pub prover_version: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    /// Older clients leave it out; where it stands, it must be 1.
    #[serde(rename = "bundleVersion")]
    bundle_version: Option<u64>,
    proof_b64: Option<String>,
    #[serde(rename = "proofB64")]
    proof_b64_camel: Option<String>,
    proof_hash: Option<Digest>,
    #[serde(rename = "proofHash")]
    proof_hash_camel: Option<Digest>,
    metadata: Option<Metadata>,
    witness_commitment: Option<[u64; 4]>,
    witness_commitment_hex: Option<String>,
    policy: Option<PolicyClaim>,
    #[serde(rename = "publicInputs")]
    public_inputs: Option<Box<RawValue>>,
}

impl Bundle {
    /// # Errors
    /// [`BundleError`]: both spellings of one member are refused even where they agree, since a reader of one of them
    /// alone could be shown another proof.
    pub fn parse(text: &str) -> Result<Self, BundleError> {
        let members: Members = read(text)?;
        if let Some(found) = members.bundle_version.filter(|version| *version != 1) {
            return Err(BundleError::Version { found });
        }
        let proof = one_of(("proof_b64", members.proof_b64), ("proofB64", members.proof_b64_camel))?;
        let hash = one_of(("proof_hash", members.proof_hash), ("proofHash", members.proof_hash_camel))?;
        let proof = proof.ok_or_else(|| BundleError::Shape("missing field `proof_b64`".to_owned()))?;
        let proof = Base64::decode_vec(&proof)
            .map_err(|_| BundleError::Encoding { member: "proof_b64", expected: "standard base64" })?;
        if hash.is_some_and(|hash| hash != compliance::proof_hash(&proof)) {
            return Err(BundleError::ProofHash);
        }
        let inputs = members.public_inputs.as_ref().map(|inputs| EventInputs::parse(inputs.get()));
        Ok(Self {
            proof,
            witness_commitment: witness(members.witness_commitment, members.witness_commitment_hex)?,
            inputs: inputs.transpose()?,
            policy: members.policy,
            metadata: members.metadata,
        })
    }
}

fn one_of<T>(
    (name, value): (&'static str, Option<T>),
    (other_name, other_value): (&'static str, Option<T>),
) -> Result<Option<T>, BundleError> {
    match (value, other_value) {
        (Some(_), Some(_)) => Err(BundleError::Contradiction { one: name, other: other_name }),
        (value, other) => Ok(value.or(other)),
    }
}

/// The hex form is exact everywhere; the integers lose digits in JavaScript, so they must agree where both stand.
fn witness(limbs: Option<[u64; 4]>, hex: Option<String>) -> Result<Option<WitnessCommitment>, BundleError> {
    let from_hex = hex.map(|text| {
        WitnessCommitment::from_hex(&text).ok_or(BundleError::Encoding {
            member: "witness_commitment_hex",
            expected: "64 lowercase hex digits",
        })
    });
    match (limbs.map(WitnessCommitment), from_hex.transpose()?) {
        (Some(limbs), Some(hex)) if limbs != hex => {
            Err(BundleError::Contradiction { one: "witness_commitment", other: "witness_commitment_hex" })
        }
        (limbs, hex) => Ok(hex.or(limbs)),
    }
}

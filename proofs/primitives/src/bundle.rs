//! A proof with everything needed to check it, as one JSON object (section 5).
//!
//! Version 2 is written and read here; [`version1`] reads what older clients wrote. Both refuse members that they do not
//! know and members that stand twice.

pub mod version1;

use base64ct::{Base64, Base64UrlUnpadded, Encoding as _};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use ves::compliance::{self, WitnessCommitment};
use ves::json::{self, JsonError};
use ves::{Digest, KeyId, TimestampMs};

use crate::binding::{BindingError, CommitmentBinding};
use crate::error::ProofError;
use crate::public_inputs::{BindingLevel, EventInputs, InputsError, PublicInputs};
use crate::report::SecurityReport;
use crate::statement::Statement;

/// Longest bundle that is read at all: the largest proof in base64, and its statement.
pub const BUNDLE_BYTES_MAX: usize = 3 << 20;
/// `proofType` under which a service keeps bundles.
pub const PROOF_TYPE: &str = "stark";
/// `proofVersion` of bundles: that of their public inputs.
pub const PROOF_VERSION: u32 = 2;
/// Largest proof in a bundle.
pub const PROOF_BYTES_MAX: usize = compliance::PROOF_BYTES_MAX;

/// Why a bundle is refused. Members are named as in the object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    #[error("the bundle has {bytes} bytes, more than {BUNDLE_BYTES_MAX}")]
    TooLarge { bytes: usize },
    #[error("the bundle is not JSON: {0}")]
    Json(JsonError),
    /// A member is missing, unknown, or of another type.
    #[error("the bundle: {0}")]
    Shape(String),
    #[error("bundleVersion {found} is not known, only 2 is")]
    Version { found: u64 },
    #[error("publicInputs: {0}")]
    Inputs(#[from] InputsError),
    #[error("suite is not the suite of publicInputs")]
    Suite,
    #[error("statementDigest is not the digest of publicInputs")]
    StatementDigest,
    #[error("{member}: expected {expected}")]
    Encoding { member: &'static str, expected: &'static str },
    #[error("proofHash is not the hash of proof")]
    ProofHash,
    /// Of version 1: two spellings of one member, or two forms of one value that differ.
    #[error("{one} and {other} contradict each other")]
    Contradiction { one: &'static str, other: &'static str },
}

/// A version 2 bundle whose members agree with each other. Nothing is proved by that: see [`Bundle::check`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    pub inputs: PublicInputs,
    /// `None` where no agent has signed the commitments. At level `signed` the proof is then tied to no event.
    pub binding: Option<CommitmentBinding>,
    pub proof: Vec<u8>,
    /// As the prover claims it; compared, never believed.
    pub security: SecurityReport,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Members {
    bundle_version: u64,
    suite: String,
    public_inputs: Box<RawValue>,
    statement_digest: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    commitment_binding: Option<BindingMembers>,
    /// Base64url without padding.
    proof: String,
    proof_hash: Digest,
    security: SecurityReport,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BindingMembers {
    agent_key_id: KeyId,
    /// Base64 with padding.
    signature: String,
}

impl Bundle {
    /// Reads a bundle and checks that its members agree with each other.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn parse(text: &str) -> Result<Self, BundleError> {
        let members: Members = read(text)?;
        if members.bundle_version != 2 {
            return Err(BundleError::Version { found: members.bundle_version });
        }
        let inputs = PublicInputs::parse(members.public_inputs.get())?;
        if inputs.suite.text() != members.suite {
            return Err(BundleError::Suite);
        }
        if inputs.statement_digest() != members.statement_digest {
            return Err(BundleError::StatementDigest);
        }
        let proof = Base64UrlUnpadded::decode_vec(&members.proof)
            .map_err(|_| BundleError::Encoding { member: "proof", expected: "base64url without padding" })?;
        if compliance::proof_hash(&proof) != members.proof_hash {
            return Err(BundleError::ProofHash);
        }
        let binding = members.commitment_binding.as_ref().map(binding_of).transpose()?;
        Ok(Self { inputs, binding, proof, security: members.security })
    }

    /// Canonical JSON.
    pub fn to_json(&self) -> String {
        let members = Members {
            bundle_version: 2,
            suite: self.inputs.suite.text().to_owned(),
            public_inputs: RawValue::from_string(self.inputs.canonical()).expect("canonical JSON is JSON"),
            statement_digest: self.inputs.statement_digest(),
            commitment_binding: self.binding.map(|binding| BindingMembers {
                agent_key_id: binding.agent_key_id,
                signature: Base64::encode_string(&binding.signature),
            }),
            proof: Base64UrlUnpadded::encode_string(&self.proof),
            proof_hash: self.proof_hash(),
            security: self.security.clone(),
        };
        json::to_canonical(&members).expect("fixed members have a canonical form")
    }

    pub fn proof_hash(&self) -> Digest {
        compliance::proof_hash(&self.proof)
    }

    /// The first commitment in the form of older records: four big-endian limbs, whose hex is the commitment's own.
    pub fn witness_commitment(&self) -> WitnessCommitment {
        let bytes =
            self.inputs.commitments.first().map_or([0; 32], |committed| *committed.commitment.as_bytes());
        let limb = |n: usize| u64::from_be_bytes(std::array::from_fn(|byte| bytes[n * 8 + byte]));
        WitnessCommitment(std::array::from_fn(limb))
    }

    /// Whether the bundle proves that `expected` holds. `verify` is the proof system's verifier.
    ///
    /// The agent's signature is left to the caller, who knows the agent's keys: [`Bundle::check_binding`].
    ///
    /// # Errors
    /// [`Refusal`], the first thing that is wrong.
    pub fn check(
        &self,
        expected: &EventInputs,
        verify: impl FnOnce(&Statement, &[u8]) -> Result<SecurityReport, ProofError>,
    ) -> Result<SecurityReport, Refusal> {
        if let Some(member) = first_difference(&self.inputs.event, expected) {
            return Err(Refusal::OtherStatement { member });
        }
        let statement = self.inputs.statement()?;
        let report = verify(&statement, &self.proof)?;
        match report == self.security {
            true => Ok(report),
            false => Err(Refusal::SecurityClaim),
        }
    }

    /// Whether the statement is for this deployment and still stands at `now`.
    ///
    /// # Errors
    /// [`Refusal::OtherDeployment`], [`Refusal::Ended`].
    pub fn check_context(&self, chain_context: &str, now: TimestampMs) -> Result<(), Refusal> {
        if self.inputs.chain_context != chain_context {
            return Err(Refusal::OtherDeployment);
        }
        match self.inputs.is_valid_at(now) {
            true => Ok(()),
            false => Err(Refusal::Ended),
        }
    }

    /// Checks what ties the commitments to the event beside the proof. At level `signed` that is the agent's signature,
    /// which `verify` must accept. At level `circuit` the proof reads the payload whose hash the agent signed in the event, so none
    /// is needed; one that is there must be accepted all the same, and without one nobody vouches for a unit.
    ///
    /// # Errors
    /// [`Refusal::NotBound`], [`Refusal::Binding`], [`Refusal::UnitNotSigned`].
    pub fn check_binding(
        &self,
        verify: impl FnOnce(&CommitmentBinding) -> Result<(), BindingError>,
    ) -> Result<(), Refusal> {
        if self.binding.is_some() || self.inputs.binding_level == BindingLevel::Signed {
            return self.check_signature(verify);
        }
        match self.inputs.commitments.iter().any(|committed| committed.field.has_unit()) {
            true => Err(Refusal::UnitNotSigned),
            false => Ok(()),
        }
    }

    /// Checks that an agent signed the commitments and that `verify` accepts it, at either level.
    ///
    /// # Errors
    /// [`Refusal::NotBound`], [`Refusal::Binding`].
    pub fn check_signature(
        &self,
        verify: impl FnOnce(&CommitmentBinding) -> Result<(), BindingError>,
    ) -> Result<(), Refusal> {
        let binding = self.binding.as_ref().ok_or(Refusal::NotBound)?;
        Ok(verify(binding)?)
    }
}

/// Why a well-formed bundle is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("it is about another statement: {member} differs")]
    OtherStatement { member: &'static str },
    #[error(transparent)]
    Inputs(#[from] InputsError),
    #[error(transparent)]
    Proof(#[from] ProofError),
    #[error("its claim about its own security is not what the verifier computes")]
    SecurityClaim,
    #[error("chainContext names another deployment")]
    OtherDeployment,
    #[error("validUntil has passed")]
    Ended,
    #[error("no agent has signed its commitments")]
    NotBound,
    /// Level `circuit` shows the number in the payload, not what it counts.
    #[error(
        "its commitment names a unit, for which only an agent's signature can vouch, and no agent has signed it"
    )]
    UnitNotSigned,
    #[error(transparent)]
    Binding(#[from] BindingError),
}

/// The first member in which two statements about events differ.
fn first_difference(one: &EventInputs, other: &EventInputs) -> Option<&'static str> {
    let (a, b) = (&one.facts, &other.facts);
    let pairs = [
        ("eventId", a.event_id == b.event_id),
        ("tenantId", a.stream.tenant_id == b.stream.tenant_id),
        ("storeId", a.stream.store_id == b.stream.store_id),
        ("sequenceNumber", a.sequence_number == b.sequence_number),
        ("payloadKind", a.payload_kind == b.payload_kind),
        ("payloadPlainHash", a.payload_plain_hash == b.payload_plain_hash),
        ("payloadCipherHash", a.payload_cipher_hash == b.payload_cipher_hash),
        ("eventSigningHash", a.event_signing_hash == b.event_signing_hash),
        ("policyId", one.policy.id() == other.policy.id()),
        ("policyParams", one.policy.params() == other.policy.params()),
        ("amountBindingHash", one.bindings.amount_binding_hash == other.bindings.amount_binding_hash),
        (
            "authorizationReceiptHash",
            one.bindings.authorization_receipt_hash == other.bindings.authorization_receipt_hash,
        ),
    ];
    pairs.into_iter().find(|(_, is_same)| !is_same).map(|(member, _)| member)
}

fn binding_of(members: &BindingMembers) -> Result<CommitmentBinding, BundleError> {
    let mut signature = [0; 64];
    let decoded = Base64::decode(&members.signature, &mut signature);
    match decoded {
        Ok(bytes) if bytes.len() == 64 => {
            Ok(CommitmentBinding { agent_key_id: members.agent_key_id, signature })
        }
        _ => Err(BundleError::Encoding {
            member: "commitmentBinding.signature",
            expected: "64 bytes in base64",
        }),
    }
}

/// Reads an object after checking that it is one JSON text in which no member stands twice.
fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, BundleError> {
    if text.len() > BUNDLE_BYTES_MAX {
        return Err(BundleError::TooLarge { bytes: text.len() });
    }
    json::canonicalize(text).map_err(BundleError::Json)?;
    serde_json::from_str(text).map_err(|error| BundleError::Shape(error.to_string()))
}

#[cfg(test)]
mod tests;

//! A batch's statement, commitments and proofs as one JSON object.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use ves::hash::{Domain, Hasher};
use ves::json::{self, JsonError};
use ves::{Digest, KeyId, SequenceNumber, TimestampMs};
use ves_stark_primitives::{
    BindingError, CommitmentBinding, CommitmentError, CommittedField, FieldCommitment, SecurityReport,
};

use crate::inputs::{BatchInputs, EVENTS_MAX, InputsError};
use crate::shards::{BatchError, verify};

/// Longest bundle that is read at all: commitments of the largest batch and its proofs, in base64.
pub const BUNDLE_BYTES_MAX: usize = 12 << 20;
/// Most proofs of a batch.
const PROOFS_MAX: usize = EVENTS_MAX / ves_stark_verifier::BATCH_EVENTS_MAX;

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
    #[error("bundleVersion must be 2 and kind must be batch")]
    Version,
    #[error("publicInputs: {0}")]
    Inputs(#[from] InputsError),
    #[error("statementDigest is not the digest of publicInputs")]
    StatementDigest,
    #[error("{member}: expected {expected}")]
    Encoding { member: &'static str, expected: &'static str },
    #[error("commitments: {0}")]
    Commitment(#[from] CommitmentError),
    #[error("proofHash is not the hash of proofs")]
    ProofHash,
    #[error(
        "commitmentBindings: expected {expected}, one for each event that is not left out, found {found}"
    )]
    BindingCount { expected: usize, found: usize },
    #[error("no agent has signed the commitments")]
    NotBound,
    #[error("the commitment to event {event}: {problem}")]
    Binding { event: SequenceNumber, problem: BindingError },
    #[error("it is about another statement: {member} differs")]
    OtherStatement { member: &'static str },
    #[error("chainContext names another deployment")]
    OtherDeployment,
    #[error("validUntil has passed")]
    Ended,
    #[error("the claim about its own security is not what the verifier computes")]
    SecurityClaim,
    #[error(transparent)]
    Batch(#[from] BatchError),
}

/// A bundle whose members agree with each other. Nothing is proved by that: see [`BatchBundle::check`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchBundle {
    pub inputs: BatchInputs,
    /// Of the events that are not excluded, in their order.
    pub commitments: Vec<FieldCommitment>,
    /// Signatures of the events' authors, one for each commitment; `None` where nobody has signed them yet. Then the
    /// proofs are not tied to what agents signed.
    pub bindings: Option<Vec<CommitmentBinding>>,
    /// One per 4,096 events.
    pub proofs: Vec<Vec<u8>>,
    /// As the prover claims it; compared, never believed.
    pub security: SecurityReport,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Members {
    bundle_version: u64,
    kind: String,
    public_inputs: Box<RawValue>,
    statement_digest: Digest,
    /// 32 bytes each, one after the other, base64url without padding.
    commitments: String,
    /// 68 bytes each, the key's id (big-endian) and the signature, one after the other, base64url without padding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    commitment_bindings: Option<String>,
    /// Each base64url without padding.
    proofs: Vec<String>,
    proof_hash: Digest,
    security: SecurityReport,
}

impl BatchBundle {
    /// Reads a bundle and checks that its members agree with each other.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn parse(text: &str) -> Result<Self, BundleError> {
        if text.len() > BUNDLE_BYTES_MAX {
            return Err(BundleError::TooLarge { bytes: text.len() });
        }
        json::canonicalize(text).map_err(BundleError::Json)?;
        let members: Members =
            serde_json::from_str(text).map_err(|error| BundleError::Shape(error.to_string()))?;
        if members.bundle_version != 2 || members.kind != "batch" {
            return Err(BundleError::Version);
        }
        let inputs = BatchInputs::parse(members.public_inputs.get())?;
        if inputs.statement_digest() != members.statement_digest {
            return Err(BundleError::StatementDigest);
        }
        let commitments = commitments(&members.commitments)?;
        inputs.check(&commitments)?;
        let bindings = members.commitment_bindings.as_deref().map(bindings).transpose()?;
        if let Some(found) = bindings.as_ref().map(Vec::len).filter(|&found| found != commitments.len()) {
            return Err(BundleError::BindingCount { expected: commitments.len(), found });
        }
        let proofs = proofs(&members.proofs)?;
        if hash_of(&proofs) != members.proof_hash {
            return Err(BundleError::ProofHash);
        }
        Ok(Self { inputs, commitments, bindings, proofs, security: members.security })
    }

    /// Canonical JSON.
    pub fn to_json(&self) -> String {
        let bytes: Vec<u8> = self.commitments.iter().flat_map(|commitment| *commitment.as_bytes()).collect();
        let members = Members {
            bundle_version: 2,
            kind: "batch".to_owned(),
            public_inputs: RawValue::from_string(self.inputs.canonical()).expect("canonical JSON is JSON"),
            statement_digest: self.inputs.statement_digest(),
            commitments: Base64UrlUnpadded::encode_string(&bytes),
            commitment_bindings: self.bindings.as_deref().map(binding_text),
            proofs: self.proofs.iter().map(|proof| Base64UrlUnpadded::encode_string(proof)).collect(),
            proof_hash: self.proof_hash(),
            security: self.security.clone(),
        };
        json::to_canonical(&members).expect("fixed members have a canonical form")
    }

    /// Hash of all proofs with their lengths.
    pub fn proof_hash(&self) -> Digest {
        hash_of(&self.proofs)
    }

    /// Whether the proofs show what the statement says, and are worth what the bundle claims.
    ///
    /// # Errors
    /// [`BundleError::Batch`], [`BundleError::SecurityClaim`].
    pub fn check(&self) -> Result<SecurityReport, BundleError> {
        let report = verify(&self.inputs, &self.commitments, &self.proofs)?;
        match report == self.security {
            true => Ok(report),
            false => Err(BundleError::SecurityClaim),
        }
    }

    /// Whether the statement is for this deployment and still stands at `now`.
    ///
    /// # Errors
    /// [`BundleError::OtherDeployment`], [`BundleError::Ended`].
    pub fn check_context(&self, chain_context: &str, now: TimestampMs) -> Result<(), BundleError> {
        if self.inputs.chain_context != chain_context {
            return Err(BundleError::OtherDeployment);
        }
        match self.inputs.is_valid_at(now) {
            true => Ok(()),
            false => Err(BundleError::Ended),
        }
    }

    /// Checks that every commitment is signed, and that `verify` accepts each signature: it is asked with the number of
    /// the event, the binding, and the list of commitments that the event's author signed, which holds the one.
    ///
    /// # Errors
    /// [`BundleError::NotBound`], [`BundleError::BindingCount`], [`BundleError::Binding`]: the first that is wrong.
    pub fn check_bindings(
        &self,
        mut verify: impl FnMut(SequenceNumber, &CommitmentBinding, &[CommittedField]) -> Result<(), BindingError>,
    ) -> Result<(), BundleError> {
        let bindings = self.bindings.as_deref().ok_or(BundleError::NotBound)?;
        let (expected, found) = (self.commitments.len(), bindings.len());
        if expected != found {
            return Err(BundleError::BindingCount { expected, found });
        }
        let Some(first) = self.commitments.first() else { return Ok(()) };
        let mut list = [CommittedField { field: self.inputs.field.clone(), commitment: *first }];
        let bound = self.inputs.proved_events().zip(&self.commitments).zip(bindings);
        for ((event, commitment), binding) in bound {
            list[0].commitment = *commitment;
            verify(event, binding, &list).map_err(|problem| BundleError::Binding { event, problem })?;
        }
        Ok(())
    }
}

/// Bytes of one binding: key id and signature.
const BINDING_BYTES: usize = 68;

fn bindings(text: &str) -> Result<Vec<CommitmentBinding>, BundleError> {
    let wrong = BundleError::Encoding {
        member: "commitmentBindings",
        expected: "68 bytes each in base64url without padding",
    };
    let bytes = Base64UrlUnpadded::decode_vec(text).map_err(|_| wrong.clone())?;
    let (bindings, rest) = bytes.as_chunks::<BINDING_BYTES>();
    if !rest.is_empty() {
        return Err(wrong);
    }
    let binding = |bytes: &[u8; BINDING_BYTES]| CommitmentBinding {
        agent_key_id: KeyId(u32::from_be_bytes(std::array::from_fn(|byte| bytes[byte]))),
        signature: std::array::from_fn(|byte| bytes[4 + byte]),
    };
    Ok(bindings.iter().map(binding).collect())
}

fn binding_text(bindings: &[CommitmentBinding]) -> String {
    let bytes = |binding: &CommitmentBinding| {
        binding.agent_key_id.0.to_be_bytes().into_iter().chain(binding.signature)
    };
    Base64UrlUnpadded::encode_string(&bindings.iter().flat_map(bytes).collect::<Vec<u8>>())
}

fn commitments(text: &str) -> Result<Vec<FieldCommitment>, BundleError> {
    let wrong = BundleError::Encoding {
        member: "commitments",
        expected: "32 bytes each in base64url without padding",
    };
    let bytes = Base64UrlUnpadded::decode_vec(text).map_err(|_| wrong.clone())?;
    let (commitments, rest) = bytes.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(wrong);
    }
    Ok(commitments.iter().map(|&bytes| FieldCommitment::from_bytes(bytes)).collect::<Result<_, _>>()?)
}

fn proofs(texts: &[String]) -> Result<Vec<Vec<u8>>, BundleError> {
    if texts.len() > PROOFS_MAX {
        return Err(BundleError::Encoding { member: "proofs", expected: "at most 16 proofs" });
    }
    let wrong = |_| BundleError::Encoding { member: "proofs", expected: "base64url without padding" };
    texts.iter().map(|text| Base64UrlUnpadded::decode_vec(text).map_err(wrong)).collect()
}

fn hash_of(proofs: &[Vec<u8>]) -> Digest {
    let hasher = Hasher::new(Domain::BatchProof).u32(proofs.len() as u32);
    proofs.iter().fold(hasher, |hasher, proof| hasher.u64(proof.len() as u64).bytes(proof)).finish()
}

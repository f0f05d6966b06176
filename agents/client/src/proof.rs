//! Everything needed to check one event without any server: one JSON file.

mod verify;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use ves::commitment::Commitment;
use ves::ed25519::PublicKey;
use ves::envelope::{decode_text, encode};
use ves::hex::Format;
use ves::receipt::Receipt;
use ves::{Envelope, SequenceNumber, SequencerId, StreamKey};
use ves_wire::commitments::CommitmentBody;
use ves_wire::proofs::{InclusionProofBody, LogInclusionBody};
use ves_wire::{Hex, ReceiptBody};

use crate::client::query;
use crate::{Client, ClientError, KnownKey, PulledEvent, SigningKeys, Untrue};

pub use verify::{ClaimedPlace, Finding, FindingState, ProofVerdict, Trusted};

/// Value of the member `format`.
const FORMAT: &str = "stateset-event-proof-1";

/// An event with its receipt, the path to its batch root, the batch's commitment, and the checkpoint of the log that
/// ends with the batch. Read from a file it is a claim; [`EventProof::verify`] judges it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventProof {
    format: String,
    /// The envelope (section 5).
    event: Box<RawValue>,
    /// As registered; the verifier may name another.
    agent_public_key: Option<Hex<32>>,
    receipt: ReceiptBody,
    inclusion: InclusionProofBody,
    commitment: CommitmentBody,
    checkpoint: Option<String>,
    /// From the event to the root that the checkpoint signs. Files written before it was known lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log_inclusion: Option<LogInclusionBody>,
    sequencer: SequencerKey,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SequencerKey {
    sequencer_id: SequencerId,
    key_version: u32,
    public_key: Hex<32>,
}

/// Why a text is not a proof file.
#[derive(Debug, thiserror::Error)]
#[error("this is not a proof file: {0}")]
pub struct ProofProblem(String);

/// What a proof file is put together from. Nothing is checked: see [`EventProof::verify`].
pub struct ProofParts<'a> {
    pub event: &'a Envelope<'a>,
    pub agent_key: Option<&'a PublicKey>,
    pub receipt: &'a Receipt,
    pub inclusion: InclusionProofBody,
    pub commitment: &'a Commitment,
    /// The checkpoint of the size at which the batch ends.
    pub checkpoint: Option<String>,
    /// The event in the log of that size.
    pub log_inclusion: Option<LogInclusionBody>,
    /// The key that signed the receipt.
    pub sequencer_key: &'a PublicKey,
}

impl EventProof {
    pub fn new(parts: ProofParts<'_>) -> Self {
        let mut text = String::new();
        encode(parts.event, None, &mut text);
        Self {
            format: FORMAT.to_owned(),
            event: RawValue::from_string(text).expect("an encoded envelope is JSON"),
            agent_public_key: parts.agent_key.map(|key| Hex(*key.as_bytes())),
            receipt: ReceiptBody::from(parts.receipt),
            inclusion: parts.inclusion,
            commitment: CommitmentBody::from(parts.commitment),
            checkpoint: parts.checkpoint,
            log_inclusion: parts.log_inclusion,
            sequencer: SequencerKey {
                sequencer_id: parts.receipt.sequencer_id,
                key_version: parts.receipt.key_version,
                public_key: Hex(*parts.sequencer_key.as_bytes()),
            },
        }
    }

    /// Reads a proof file.
    pub fn parse(text: &str) -> Result<Self, ProofProblem> {
        let proof: Self = serde_json::from_str(text).map_err(|error| ProofProblem(error.to_string()))?;
        if proof.format != FORMAT {
            return Err(ProofProblem(format!("its format is {:?}, expected {FORMAT:?}", proof.format)));
        }
        Ok(proof)
    }

    /// The stream that the event names.
    ///
    /// # Errors
    /// [`ProofProblem`] when the event cannot be read.
    pub fn stream(&self) -> Result<StreamKey, ProofProblem> {
        Ok(self.envelope()?.stream)
    }

    fn envelope(&self) -> Result<Envelope<'_>, ProofProblem> {
        decode_text(self.event.get(), Format::Lenient)
            .map_err(|error| ProofProblem(format!("event: {error}")))
    }

    /// The file's text.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a proof serialises to JSON")
    }
}

impl Client {
    /// Collects the proof of a pulled event and verifies it before handing it over.
    ///
    /// # Errors
    /// [`ClientError::Refused`] 404 when no commitment holds the event yet; [`Untrue::Proof`] when it does not verify.
    pub fn proof_of(&self, event: &PulledEvent, keys: &SigningKeys) -> Result<EventProof, ClientError> {
        let (stream, n) = (event.envelope.stream, event.sequence_number);
        let commitment = self.commitment_of(&stream, n)?.ok_or_else(|| ClientError::Refused {
            status: 404,
            code: "NOT_COMMITTED".to_owned(),
            message: format!("event {n} of {stream} is in no commitment yet"),
            request_id: None,
        })?;
        let inclusion = self.inclusion(&stream, &commitment.batch_id, n)?;
        let size = commitment.sequence_end.get();
        let checkpoint = found(self.checkpoint(&stream, Some(size)))?.map(|(text, _)| text);
        let log_inclusion = match checkpoint {
            Some(_) => found(self.log_inclusion(&stream, n, size))?,
            None => None,
        };
        let identity = self.identity()?;
        let version = event.receipt.key_version;
        let key = identity.keys.get(&version);
        let key = key.ok_or(Untrue::UnknownSequencerKey { event: event.envelope.event_id, version })?;
        // The portable form of a proof has room for an Ed25519 key alone; without one it claims nothing of the agent.
        let known = keys.get(event.envelope.source_agent_id, event.envelope.agent_key_id);
        let agent_key = known.and_then(KnownKey::ed25519_alone);
        let proof = EventProof::new(ProofParts {
            event: &event.envelope,
            agent_key,
            receipt: &event.receipt,
            inclusion,
            commitment: &commitment,
            checkpoint,
            log_inclusion,
            sequencer_key: key,
        });
        let trusted = Trusted {
            sequencer_key: Some(*key.as_bytes()),
            agent_key: agent_key.map(|key| *key.as_bytes()),
            ..Trusted::default()
        };
        let verdict = proof.verify(&trusted).map_err(|problem| Untrue::Proof(problem.to_string()))?;
        match verdict.findings.iter().find(|finding| !finding.holds()) {
            None => Ok(proof),
            Some(finding) => Err(Untrue::Proof(format!("{}: {}", finding.check, finding.detail)).into()),
        }
    }
    /// The path from event `n` to the root of the log of `size` events. Not verified: [`EventProof::verify`] does it.
    fn log_inclusion(
        &self,
        stream: &StreamKey,
        n: SequenceNumber,
        size: u64,
    ) -> Result<LogInclusionBody, ClientError> {
        self.http.get(&format!("/api/v1/ves/proofs/{n}/log?{}&size={size}", query(stream)))
    }
}

/// What a server may not have.
fn found<T>(answer: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

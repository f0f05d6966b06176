//! Everything needed to check one event without any server: one JSON file.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use ves::commitment::Commitment;
use ves::ed25519::PublicKey;
use ves::envelope::{decode_text, encode};
use ves::hex::Format;
use ves::merkle::{InclusionProof, leaf_hash, verify_inclusion};
use ves::receipt::Receipt;
use ves::{Digest, Envelope, SequenceNumber, SequencerId, StreamKey};
use ves_wire::commitments::CommitmentBody;
use ves_wire::proofs::InclusionProofBody;
use ves_wire::{Hex, ReceiptBody};

use crate::client::verified_checkpoint;
use crate::{Client, ClientError, Identity, PulledEvent, SigningKeys, Untrue};

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

/// What the verifier knows from elsewhere. What is missing is taken from the file and reported as such.
#[derive(Debug, Clone, Copy, Default)]
pub struct Trusted {
    pub sequencer_key: Option<[u8; 32]>,
    pub agent_key: Option<[u8; 32]>,
    /// State root after the batch: from a chain, or from another observer.
    pub state_root: Option<Digest>,
}

/// One check and its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub check: &'static str,
    pub holds: bool,
    pub detail: String,
}

/// Every check in order, and what the proof is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProofVerdict {
    pub valid: bool,
    pub event_id: String,
    pub stream: StreamKey,
    pub sequence_number: SequenceNumber,
    pub merkle_root: Digest,
    pub state_root: Digest,
    pub findings: Vec<Finding>,
}

/// What a proof file is put together from. Nothing is checked: see [`EventProof::verify`].
pub struct ProofParts<'a> {
    pub event: &'a Envelope<'a>,
    pub agent_key: Option<&'a PublicKey>,
    pub receipt: &'a Receipt,
    pub inclusion: InclusionProofBody,
    pub commitment: &'a Commitment,
    /// The checkpoint of the size at which the batch ends.
    pub checkpoint: Option<String>,
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

    /// The sequencer that the file says it comes from.
    pub fn sequencer_id(&self) -> SequencerId {
        self.sequencer.sequencer_id
    }

    /// The file's text.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a proof serialises to JSON")
    }

    /// Checks everything, offline. Nothing in the file is believed but what `trusted` lacks.
    ///
    /// # Errors
    /// [`ProofProblem`] when the event cannot be read, so that there is nothing to judge.
    pub fn verify(&self, trusted: &Trusted) -> Result<ProofVerdict, ProofProblem> {
        let event = decode_text(self.event.get(), Format::Lenient)
            .map_err(|error| ProofProblem(format!("event: {error}")))?;
        let signing_hash = event.signing_hash();
        let mut findings = Vec::new();
        let mut find = |check, result: Result<String, String>| {
            let holds = result.is_ok();
            let detail = result.unwrap_or_else(|problem| problem);
            findings.push(Finding { check, holds, detail });
        };
        find(
            "payload hash",
            event.check_payload_hash().map(|()| plain_or_sealed(&event)).map_err(|e| e.to_string()),
        );
        find("agent signature", self.check_agent(trusted, &event, &signing_hash));
        find("receipt", self.check_receipt(trusted, &event, &signing_hash));
        find("inclusion", self.check_inclusion(&event, &signing_hash));
        find("commitment", self.check_commitment(trusted));
        if self.checkpoint.is_some() {
            find("checkpoint", self.check_checkpoint(trusted, &event.stream));
        }
        Ok(ProofVerdict {
            valid: findings.iter().all(|finding| finding.holds),
            event_id: event.event_id.to_string(),
            stream: event.stream,
            sequence_number: self.receipt.sequence_number,
            merkle_root: self.commitment.merkle_root,
            state_root: self.commitment.new_state_root,
            findings,
        })
    }

    fn check_agent(
        &self,
        trusted: &Trusted,
        event: &Envelope<'_>,
        signing_hash: &Digest,
    ) -> Result<String, String> {
        let (bytes, origin) = match (trusted.agent_key, &self.agent_public_key) {
            (Some(key), _) => (key, "the key you trust"),
            (None, Some(Hex(key))) => (*key, "the key in the file, as the sequencer's registry has it"),
            (None, None) => return Err("no public key of the agent is known".to_owned()),
        };
        let key = PublicKey::from_bytes(&bytes).map_err(|problem| format!("the agent's key {problem}"))?;
        if key.verify(signing_hash.as_bytes(), &event.agent_signature) {
            Ok(format!("agent {} signed it, under {origin}", event.source_agent_id))
        } else {
            Err(format!("it does not verify under {origin}"))
        }
    }

    fn sequencer_key(&self, trusted: &Trusted) -> Result<(PublicKey, &'static str), String> {
        let (bytes, origin) = match trusted.sequencer_key {
            Some(key) => (key, "the key you trust"),
            None => (self.sequencer.public_key.0, "the key in the file"),
        };
        Ok((
            PublicKey::from_bytes(&bytes).map_err(|problem| format!("the sequencer's key {problem}"))?,
            origin,
        ))
    }

    fn check_receipt(
        &self,
        trusted: &Trusted,
        event: &Envelope<'_>,
        signing_hash: &Digest,
    ) -> Result<String, String> {
        let (key, origin) = self.sequencer_key(trusted)?;
        let receipt = self.receipt.to_receipt(event.stream).map_err(|error| error.to_string())?;
        if receipt.event_id != event.event_id {
            return Err(format!("it is of event {}", receipt.event_id));
        }
        if (receipt.sequencer_id, receipt.key_version)
            != (self.sequencer.sequencer_id, self.sequencer.key_version)
        {
            return Err("it names another sequencer or key version than the file".to_owned());
        }
        receipt.verify(signing_hash, &key).map_err(|error| format!("{error} ({origin})"))?;
        Ok(format!(
            "sequencer {} gave it number {}, under {origin}",
            receipt.sequencer_id, receipt.sequence_number
        ))
    }

    /// The leaf is computed from the event, the index from the number: neither is taken from the file (13.3).
    fn check_inclusion(&self, event: &Envelope<'_>, signing_hash: &Digest) -> Result<String, String> {
        let (n, commitment) = (self.receipt.sequence_number, Commitment::from(&self.commitment));
        if !commitment.covers(n) {
            return Err(format!(
                "the batch {}..={} does not hold number {n}",
                commitment.sequence_start, commitment.sequence_end
            ));
        }
        if commitment.stream != event.stream {
            return Err("the batch belongs to another stream".to_owned());
        }
        let leaf = leaf_hash(&event.stream, n, signing_hash, &event.agent_signature);
        let leaf_index = n.get() - commitment.sequence_start.get();
        let path = InclusionProof { leaf_index, path: self.inclusion.proof_path.clone() };
        let count = u64::from(commitment.leaf_count);
        let claim = &self.inclusion;
        if (
            claim.sequence_number,
            claim.batch_id,
            claim.merkle_root,
            claim.leaf_hash,
            claim.leaf_index,
            &claim.directions,
        ) != (n, commitment.batch_id, commitment.merkle_root, leaf, leaf_index, &path.directions())
        {
            return Err("the proof is about another leaf or batch".to_owned());
        }
        verify_inclusion(&leaf, &commitment.merkle_root, Some(count), &path)
            .map_err(|error| error.to_string())?;
        Ok(format!("leaf {leaf_index} of {count} under batch root {}", commitment.merkle_root))
    }

    fn check_commitment(&self, trusted: &Trusted) -> Result<String, String> {
        let commitment = Commitment::from(&self.commitment);
        commitment.check().map_err(|error| error.to_string())?;
        match trusted.state_root {
            Some(root) if root != commitment.new_state_root => {
                Err(format!("it leads to state root {}, not to the one you named", commitment.new_state_root))
            }
            Some(root) => Ok(format!("it leads to the state root you named, {root}")),
            None => Ok(format!(
                "state root {}: compare it with an anchor or another observer",
                commitment.new_state_root
            )),
        }
    }

    fn check_checkpoint(&self, trusted: &Trusted, stream: &StreamKey) -> Result<String, String> {
        let (key, origin) = self.sequencer_key(trusted)?;
        let identity = Identity {
            sequencer_id: self.sequencer.sequencer_id,
            key_version: self.sequencer.key_version,
            keys: [(self.sequencer.key_version, key)].into(),
        };
        let text = self.checkpoint.as_deref().unwrap_or_default();
        let says = verified_checkpoint(text, stream, &identity).map_err(|error| error.to_string())?;
        if says.size != self.commitment.sequence_end.get() {
            return Err(format!(
                "it is of size {}, the batch ends at {}",
                says.size, self.commitment.sequence_end
            ));
        }
        Ok(format!("the sequencer signed a log of {} events, under {origin}", says.size))
    }
}

fn plain_or_sealed(event: &Envelope<'_>) -> String {
    match event.payload {
        ves::Payload::Plain(_) => "it is the hash of the payload".to_owned(),
        ves::Payload::Encrypted(_) => "it is the hash of the sealed payload".to_owned(),
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
        let checkpoint = match self.checkpoint(&stream, Some(commitment.sequence_end.get())) {
            Ok((text, _)) => Some(text),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error),
        };
        let identity = self.identity()?;
        let version = event.receipt.key_version;
        let key = identity.keys.get(&version);
        let key = key.ok_or(Untrue::UnknownSequencerKey { event: event.envelope.event_id, version })?;
        let proof = EventProof::new(ProofParts {
            event: &event.envelope,
            agent_key: keys.get(event.envelope.source_agent_id, event.envelope.agent_key_id),
            receipt: &event.receipt,
            inclusion,
            commitment: &commitment,
            checkpoint,
            sequencer_key: key,
        });
        let verdict =
            proof.verify(&Trusted::default()).map_err(|problem| Untrue::Proof(problem.to_string()))?;
        match verdict.findings.iter().find(|finding| !finding.holds) {
            None => Ok(proof),
            Some(finding) => Err(Untrue::Proof(format!("{}: {}", finding.check, finding.detail)).into()),
        }
    }
}

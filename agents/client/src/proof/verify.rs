//! Judges a proof file offline.
//!
//! What is signed is the agent's event, the sequencer's receipt and the checkpoint of its log. A batch is signed by no
//! one: its commitment is at best true to itself, until a state root that the verifier trusts anchors it.

use std::fmt;

use serde::Serialize;
use ves::commitment::Commitment;
use ves::ed25519::PublicKey;
use ves::log::verify_log_inclusion;
use ves::merkle::{InclusionProof, leaf_hash, verify_inclusion};
use ves::{BatchId, Digest, Envelope, SequenceNumber, StreamKey};
use ves_wire::Hex;

use super::{EventProof, ProofProblem};
use crate::Identity;
use crate::client::verified_checkpoint;

/// What the verifier knows from elsewhere.
#[derive(Debug, Clone, Copy, Default)]
pub struct Trusted {
    /// Without it nothing the sequencer signed holds, unless `file_keys`.
    pub sequencer_key: Option<[u8; 32]>,
    /// Without it the key in the file is taken: the sequencer admitted the event under it, or the file lies and then
    /// the signature, which the sequencer's log covers, does not verify.
    pub agent_key: Option<[u8; 32]>,
    /// State root after the batch: from a chain, or from another observer.
    pub state_root: Option<Digest>,
    /// Believe the sequencer's key in the file where `sequencer_key` is missing. Whoever wrote the file chose it.
    pub file_keys: bool,
}

/// One check and its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub check: &'static str,
    pub state: FindingState,
    pub detail: String,
}

impl Finding {
    /// Nothing contradicts it; it may still be anchored in nothing.
    pub fn holds(&self) -> bool {
        self.state != FindingState::Fails
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum FindingState {
    #[serde(rename = "holds")]
    Holds,
    /// Nothing signed or trusted says so: a forger could have written it.
    #[serde(rename = "consistent, not anchored")]
    NotAnchored,
    #[serde(rename = "fails")]
    Fails,
}

impl fmt::Display for FindingState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Holds => "holds",
            Self::NotAnchored => "consistent, not anchored",
            Self::Fails => "FAILS",
        })
    }
}

/// Every check in order, and what the proof is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProofVerdict {
    /// No check fails. The receipt is always among them, so a valid event is tied to what the sequencer signed.
    pub valid: bool,
    pub event_id: String,
    pub stream: StreamKey,
    pub sequence_number: SequenceNumber,
    pub merkle_root: Digest,
    pub state_root: Digest,
    /// The sequencer's key came from the verifier, not from the file.
    pub sequencer_key_trusted: bool,
    /// The same of the agent's key.
    pub agent_key_trusted: bool,
    /// A signed checkpoint covers the event.
    pub event_in_signed_log: bool,
    /// The batch leads to the state root that the verifier trusts.
    pub batch_anchored: bool,
    pub findings: Vec<Finding>,
}

/// The state of a check that does not fail, and its detail; or why it fails.
type Outcome = Result<(FindingState, String), String>;

/// The event as read, with what is computed from it and never taken from the file.
struct Subject<'a> {
    event: Envelope<'a>,
    signing_hash: Digest,
    number: SequenceNumber,
    leaf: Digest,
}

/// Where a proof says its event stands: what a contract is asked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedPlace {
    pub stream: StreamKey,
    pub sequence_number: SequenceNumber,
    pub batch_id: BatchId,
    /// Computed from the event and its number, never taken from the file.
    pub leaf: Digest,
    pub leaf_index: u64,
    /// Siblings from the bottom up.
    pub path: Vec<Digest>,
}

impl EventProof {
    /// The place that the file claims, unproven: whoever holds the batch's root judges it.
    ///
    /// # Errors
    /// [`ProofProblem`] when the event cannot be read.
    pub fn claimed_place(&self) -> Result<ClaimedPlace, ProofProblem> {
        let (event, number) = (self.envelope()?, self.receipt.sequence_number);
        let leaf = leaf_hash(&event.stream, number, &event.signing_hash(), &event.agent_signature);
        let inclusion = &self.inclusion;
        Ok(ClaimedPlace {
            stream: event.stream,
            sequence_number: number,
            batch_id: inclusion.batch_id,
            leaf,
            leaf_index: inclusion.leaf_index,
            path: inclusion.proof_path.clone(),
        })
    }

    /// Checks everything, offline. Nothing in the file is believed but what `trusted` allows.
    ///
    /// # Errors
    /// [`ProofProblem`] when the event cannot be read, so that there is nothing to judge.
    pub fn verify(&self, trusted: &Trusted) -> Result<ProofVerdict, ProofProblem> {
        let event = self.envelope()?;
        let (signing_hash, number) = (event.signing_hash(), self.receipt.sequence_number);
        let leaf = leaf_hash(&event.stream, number, &signing_hash, &event.agent_signature);
        let subject = Subject { event, signing_hash, number, leaf };
        let mut findings = Vec::new();
        let mut find = |check, outcome: Outcome| {
            let (state, detail) = outcome.unwrap_or_else(|problem| (FindingState::Fails, problem));
            findings.push(Finding { check, state, detail });
            state
        };
        find("payload hash", check_payload(&subject.event));
        find("agent signature", self.check_agent(trusted, &subject));
        find("receipt", self.check_receipt(trusted, &subject));
        find("inclusion", self.check_inclusion(&subject));
        let commitment = find("commitment", self.check_commitment(trusted));
        let checkpoint = (self.checkpoint.is_some() || self.log_inclusion.is_some())
            .then(|| find("checkpoint", self.check_checkpoint(trusted, &subject)));
        Ok(ProofVerdict {
            valid: findings.iter().all(Finding::holds),
            event_id: subject.event.event_id.to_string(),
            stream: subject.event.stream,
            sequence_number: number,
            merkle_root: self.commitment.merkle_root,
            state_root: self.commitment.new_state_root,
            sequencer_key_trusted: trusted.sequencer_key.is_some(),
            agent_key_trusted: trusted.agent_key.is_some(),
            event_in_signed_log: checkpoint == Some(FindingState::Holds),
            batch_anchored: commitment == FindingState::Holds,
            findings,
        })
    }

    fn check_agent(&self, trusted: &Trusted, subject: &Subject<'_>) -> Outcome {
        let (bytes, origin) = match (trusted.agent_key, &self.agent_public_key) {
            (Some(key), _) => (key, "the key you trust"),
            (None, Some(Hex(key))) => (*key, "the key in the file, as the sequencer's registry has it"),
            (None, None) => return Err("no public key of the agent is known".to_owned()),
        };
        let key = PublicKey::from_bytes(&bytes).map_err(|problem| format!("the agent's key {problem}"))?;
        if key.verify(subject.signing_hash.as_bytes(), &subject.event.agent_signature) {
            holds(format!("agent {} signed it, under {origin}", subject.event.source_agent_id))
        } else {
            Err(format!("it does not verify under {origin}"))
        }
    }

    fn sequencer_key(&self, trusted: &Trusted) -> Result<(PublicKey, &'static str), String> {
        let (bytes, origin) = match trusted.sequencer_key {
            Some(key) => (key, "the key you trust"),
            None if trusted.file_keys => (self.sequencer.public_key.0, "the key in the file"),
            None => return Err("no trusted key of the sequencer is known".to_owned()),
        };
        Ok((
            PublicKey::from_bytes(&bytes).map_err(|problem| format!("the sequencer's key {problem}"))?,
            origin,
        ))
    }

    fn check_receipt(&self, trusted: &Trusted, subject: &Subject<'_>) -> Outcome {
        let (key, origin) = self.sequencer_key(trusted)?;
        let receipt = self.receipt.to_receipt(subject.event.stream).map_err(|error| error.to_string())?;
        if receipt.event_id != subject.event.event_id {
            return Err(format!("it is of event {}", receipt.event_id));
        }
        if (receipt.sequencer_id, receipt.key_version)
            != (self.sequencer.sequencer_id, self.sequencer.key_version)
        {
            return Err("it names another sequencer or key version than the file".to_owned());
        }
        receipt.verify(&subject.signing_hash, &key).map_err(|error| format!("{error} ({origin})"))?;
        // The key in the file must not pass for the one that was used.
        if key.as_bytes() != &self.sequencer.public_key.0 {
            return Err("the file names another key of the sequencer than the one that signed it".to_owned());
        }
        holds(format!(
            "sequencer {} gave it number {}, under {origin}",
            receipt.sequencer_id, receipt.sequence_number
        ))
    }

    /// The leaf is computed from the event, the index from the number: neither is taken from the file (13.3).
    fn check_inclusion(&self, subject: &Subject<'_>) -> Outcome {
        let (n, commitment) = (subject.number, Commitment::from(&self.commitment));
        if !commitment.covers(n) {
            return Err(format!(
                "the batch {}..={} does not hold number {n}",
                commitment.sequence_start, commitment.sequence_end
            ));
        }
        if commitment.stream != subject.event.stream {
            return Err("the batch belongs to another stream".to_owned());
        }
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
        ) != (n, commitment.batch_id, commitment.merkle_root, subject.leaf, leaf_index, &path.directions())
        {
            return Err("the proof is about another leaf or batch".to_owned());
        }
        verify_inclusion(&subject.leaf, &commitment.merkle_root, Some(count), &path)
            .map_err(|error| error.to_string())?;
        holds(format!("leaf {leaf_index} of {count} under batch root {}", commitment.merkle_root))
    }

    fn check_commitment(&self, trusted: &Trusted) -> Outcome {
        let commitment = Commitment::from(&self.commitment);
        commitment.check().map_err(|error| error.to_string())?;
        let root = commitment.new_state_root;
        match trusted.state_root {
            Some(known) if known != root => {
                Err(format!("it leads to state root {root}, not to the one you named"))
            }
            Some(_) => holds(format!("it leads to the state root you named, {root}")),
            None => Ok((
                FindingState::NotAnchored,
                format!("state root {root}: compare it with a chain or another observer"),
            )),
        }
    }

    /// The sequencer's signature, and the path from the event to the root under it.
    fn check_checkpoint(&self, trusted: &Trusted, subject: &Subject<'_>) -> Outcome {
        let Some(text) = &self.checkpoint else {
            return Err("a path through the log is given, but no checkpoint of it".to_owned());
        };
        let (key, origin) = self.sequencer_key(trusted)?;
        let identity = Identity {
            sequencer_id: self.sequencer.sequencer_id,
            key_version: self.sequencer.key_version,
            keys: [(self.sequencer.key_version, key)].into(),
        };
        let says = verified_checkpoint(text, &subject.event.stream, &identity).map_err(|e| e.to_string())?;
        if says.size != self.commitment.sequence_end.get() {
            return Err(format!(
                "it is of size {}, the batch ends at {}",
                says.size, self.commitment.sequence_end
            ));
        }
        let signed = format!("the sequencer signed a log of {} events, under {origin}", says.size);
        let Some(claim) = &self.log_inclusion else {
            return Ok((
                FindingState::NotAnchored,
                format!("{signed}; the file has no path from the event to it"),
            ));
        };
        if (claim.sequence_number, claim.size, claim.root, claim.leaf_hash)
            != (subject.number, says.size, says.root, subject.leaf)
        {
            return Err("the path through the log is about another leaf or log".to_owned());
        }
        let index = subject.number.get().checked_sub(1).ok_or("numbers begin at 1")?;
        verify_log_inclusion(&subject.leaf, index, says.size, &says.root, &claim.hashes)
            .map_err(|error| format!("the event is not in the signed log: {error}"))?;
        holds(format!("{signed}; the event is number {} of it", subject.number))
    }
}

fn holds(detail: String) -> Outcome {
    Ok((FindingState::Holds, detail))
}

fn check_payload(event: &Envelope<'_>) -> Outcome {
    event.check_payload_hash().map_err(|error| error.to_string())?;
    holds(match event.payload {
        ves::Payload::Plain(_) => "it is the hash of the payload".to_owned(),
        ves::Payload::Encrypted(_) => "it is the hash of the sealed payload".to_owned(),
    })
}

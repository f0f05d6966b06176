//! What a proof is about, and what exactly it has to prove.

use ves::commitment::Commitment;
use ves::compliance::{EventFacts, Policy};
use ves::hash::Hasher;
use ves::validity::{self, PublicInputs};
use ves::{AgentId, BatchId, Digest, EventId, SequenceNumber, StreamKey, TimestampMs, compliance};

use crate::error::ServiceError;

/// What a proof is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProofSubject {
    /// A batch: a validity proof (VES section 18).
    Batch(BatchId),
    /// An event and a policy: a compliance proof (VES section 17).
    Event(EventId),
}

impl ProofSubject {
    /// Hash of a proof's bytes, by the domain of its kind.
    pub fn proof_hash(&self, proof: &[u8]) -> Digest {
        match self {
            Self::Batch(_) => validity::proof_hash(proof),
            Self::Event(_) => compliance::proof_hash(proof),
        }
    }
}

/// A statement about one batch or event, made by the sequencer from what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub subject: ProofSubject,
    pub stream: StreamKey,
    /// Of every statement about an event, and of one about a batch that claims compliance.
    pub policy: Option<Policy>,
    /// Canonical JSON.
    pub public_inputs: String,
    /// Of an event's statement. Not part of what is proved: it says whose keys may vouch for what a proof commits to.
    pub author: Option<Author>,
    /// Of a batch's statement: its first and its last event.
    pub range: Option<(SequenceNumber, SequenceNumber)>,
}

/// Who wrote an event, and when it was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Author {
    pub agent_id: AgentId,
    pub sequenced_at: TimestampMs,
}

impl Statement {
    /// That a batch is what it says (VES section 18) and, with a policy, that those of its events obey it which the
    /// proof does not list as left out.
    pub fn of_batch(batch: &Commitment, policy: Option<Policy>) -> Result<Self, ServiceError> {
        let inputs = PublicInputs::of(batch).map_err(|error| ServiceError::Read(error.to_string()))?;
        let inputs = match &policy {
            Some(policy) => inputs.under(policy),
            None => inputs,
        };
        Ok(Self {
            subject: ProofSubject::Batch(batch.batch_id),
            stream: batch.stream,
            policy,
            public_inputs: inputs.canonical(),
            author: None,
            range: Some((batch.sequence_start, batch.sequence_end)),
        })
    }

    /// That an event obeys a policy (VES section 17.2).
    pub fn of_event(event: &EventFacts, policy: Policy) -> Self {
        Self {
            subject: ProofSubject::Event(event.event_id),
            stream: event.stream,
            public_inputs: event.public_inputs(&policy, &compliance::Bindings::default()),
            policy: Some(policy),
            author: None,
            range: None,
        }
    }

    /// The same, of an event that `agent_id` wrote.
    pub fn by(mut self, agent_id: AgentId, sequenced_at: TimestampMs) -> Self {
        self.author = Some(Author { agent_id, sequenced_at });
        self
    }

    /// `public_inputs_hash`: SHA-256 of the canonical inputs, no domain.
    pub fn hash(&self) -> Digest {
        Hasher::bare().bytes(self.public_inputs.as_bytes()).finish()
    }

    pub fn policy_hash(&self) -> Option<Digest> {
        self.policy.as_ref().map(Policy::hash)
    }
}

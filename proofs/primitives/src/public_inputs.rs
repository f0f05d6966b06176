//! Canonical public inputs (section 3): which event, which policy and, from version 2 on, which commitments.
//!
//! Version 1 is what the event service answers (VES section 17.2); version 2 holds the same members and everything else
//! that a proof depends on. Both are read strictly (every member known, none twice) and compared in their normal form.

mod text;

use serde::Serialize;
use serde_json::value::RawValue;
use ves::compliance::{Bindings, EventFacts, Policy, WitnessCommitment};
use ves::hash::{Domain, Hasher};
use ves::json::{self, JsonError};
use ves::{Digest, TimestampMs};

use crate::clauses::{self, ClauseError, ClausePolicy};
use crate::commitment::{CommitmentError, CommittedField, DECIMAL};
use crate::policy::{AmountPolicy, PolicyError};
use crate::statement::{
    ClausesStatement, EventStatement, PAYLOAD_KEY_BYTES_MAX, PayloadStatement, PayloadTable, Statement,
    is_payload_path,
};
use crate::suite::SuiteId;

pub use text::INPUTS_BYTES_MAX;

/// Most commitments of one statement (section 2.3).
pub const COMMITMENTS_MAX: usize = 64;
/// Largest integer that every reader of JSON takes for itself (RFC 8785, appendix D).
pub(crate) const JSON_INTEGER_MAX: u64 = (1 << 53) - 1;
/// Longest `chainContext`, in bytes.
pub const CHAIN_CONTEXT_BYTES_MAX: usize = 128;

/// Why public inputs are refused. Members are named as in the object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputsError {
    #[error("the public inputs have {bytes} bytes, more than {INPUTS_BYTES_MAX}")]
    TooLarge { bytes: usize },
    #[error("public inputs: {0}")]
    Json(JsonError),
    /// A member is missing, unknown, or of another type.
    #[error("public inputs: {0}")]
    Shape(String),
    #[error("policyHash is not the hash of policyId and policyParams")]
    PolicyHash,
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error("payloadKind must be 0 (plaintext) or 1 (encrypted)")]
    PayloadKind,
    /// A larger number has no exact form in canonical JSON: two events would share a statement.
    #[error("sequenceNumber must be from 1 to 2^53 - 1")]
    SequenceNumber,
    #[error("validUntil must be null or Unix seconds up to 2^53 - 1")]
    ValidUntil,
    #[error("proofVersion must be 2")]
    ProofVersion,
    #[error("suite {0:?} is not known")]
    Suite(String),
    #[error("bindingLevel must be signed or circuit")]
    BindingLevel,
    #[error("commitments: expected 1 to {COMMITMENTS_MAX} with different names")]
    CommitmentCount,
    #[error("commitments[{place}]: {problem}")]
    Commitment { place: usize, problem: CommitmentError },
    #[error("chainContext must be 1 to {CHAIN_CONTEXT_BYTES_MAX} bytes without control characters")]
    ChainContext,
    /// It stands at level `circuit` and nowhere else.
    #[error(
        "payloadBlocksMax must be 2, 6, 14, 30 or 62 at bindingLevel circuit, and is no member at signed"
    )]
    PayloadBlocks,
    #[error(
        "path {path:?} of a commitment: bindingLevel circuit finds a top-level member of the payload, by 1 to {PAYLOAD_KEY_BYTES_MAX} printable ASCII characters without quote, backslash and point"
    )]
    CircuitPath { path: String },
    #[error("type decimal of a commitment: bindingLevel circuit reads whole numbers of minor units")]
    CircuitDecimal,
    #[error("this policy is about one amount, so one commitment is expected, found {found}")]
    OneCommitment { found: usize },
    #[error(transparent)]
    Clauses(#[from] ClauseError),
    #[error("the policy has {inputs} inputs, so as many commitments are expected, found {found}")]
    CommitmentOfEach { inputs: usize, found: usize },
    #[error("bindingLevel circuit is for policies about one amount: a composed policy needs signed")]
    CircuitClauses,
}

/// Version 1: an event and a policy (section 3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventInputs {
    pub facts: EventFacts,
    pub policy: Policy,
    pub bindings: Bindings,
    /// Of version 1 proofs; not part of the sequencer's own hash.
    pub witness_commitment: Option<WitnessCommitment>,
}

impl EventInputs {
    /// # Errors
    /// [`InputsError`] names the member.
    pub fn parse(json: &str) -> Result<Self, InputsError> {
        text::read(json)?.event()
    }

    /// The normal form, without the witness commitment: what the sequencer answers.
    pub fn canonical(&self) -> String {
        self.facts.public_inputs(&self.policy, &self.bindings)
    }

    /// SHA-256 of [`Self::canonical`], no domain.
    pub fn hash(&self) -> Digest {
        Hasher::bare().bytes(self.canonical().as_bytes()).finish()
    }

    /// The normal form with the witness commitment, where there is one.
    pub fn canonical_bound(&self) -> String {
        let Some(witness) = self.witness_commitment else { return self.canonical() };
        // `witnessCommitment` is the last member in canonical order.
        let mut bound = self.canonical();
        bound.truncate(bound.len() - 1);
        bound + &format!(r#","witnessCommitment":"{}"}}"#, witness.to_hex())
    }

    /// SHA-256 of [`Self::canonical_bound`]: the "bound" hash of section 3.1.
    pub fn bound_hash(&self) -> Digest {
        Hasher::bare().bytes(self.canonical_bound().as_bytes()).finish()
    }
}

/// How a commitment is tied to its event (section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum BindingLevel {
    /// The agent signs the commitments; whoever reads the payload can convict it of a lie.
    #[default]
    Signed,
    /// The proof itself shows that the payload of `payloadPlainHash` holds the value.
    Circuit {
        /// `payloadBlocksMax`: all that is told of the payload's length.
        table: PayloadTable,
    },
}

impl BindingLevel {
    pub const fn text(self) -> &'static str {
        match self {
            Self::Signed => "signed",
            Self::Circuit { .. } => "circuit",
        }
    }

    /// What the statement names of the payload's length.
    const fn payload_blocks_max(self) -> Option<u64> {
        match self {
            Self::Signed => None,
            Self::Circuit { table } => Some(table.blocks_max()),
        }
    }

    fn read(level: &str, payload_blocks_max: Option<u64>) -> Result<Self, InputsError> {
        let table = payload_blocks_max
            .map(|blocks| PayloadTable::of_blocks(blocks).ok_or(InputsError::PayloadBlocks));
        match (level, table.transpose()?) {
            ("signed", None) => Ok(Self::Signed),
            ("circuit", Some(table)) => Ok(Self::Circuit { table }),
            ("signed" | "circuit", _) => Err(InputsError::PayloadBlocks),
            _ => Err(InputsError::BindingLevel),
        }
    }
}

/// Version 2: everything a proof depends on (section 3.2). All of it enters the hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicInputs {
    /// Without a witness commitment, whose place `commitments` take.
    pub event: EventInputs,
    pub suite: SuiteId,
    pub commitments: Vec<CommittedField>,
    pub binding_level: BindingLevel,
    /// Which deployment the proof is for, so that it says nothing in another.
    pub chain_context: String,
    /// Seconds since 1970 (UTC), inclusive; `None` does not end.
    pub valid_until: Option<u64>,
}

impl PublicInputs {
    /// # Errors
    /// [`InputsError`] names the member.
    pub fn parse(json: &str) -> Result<Self, InputsError> {
        text::read(json)?.complete()
    }

    /// Checks what [`Self::parse`] would check, for inputs that were put together here.
    ///
    /// # Errors
    /// [`InputsError`].
    pub fn check(&self) -> Result<(), InputsError> {
        let mut names: Vec<&str> = self.commitments.iter().map(|committed| committed.field.name()).collect();
        names.sort_unstable();
        names.dedup();
        if !(1..=COMMITMENTS_MAX).contains(&self.commitments.len()) || names.len() != self.commitments.len() {
            return Err(InputsError::CommitmentCount);
        }
        let context = &self.chain_context;
        if !(1..=CHAIN_CONTEXT_BYTES_MAX).contains(&context.len()) || context.chars().any(char::is_control) {
            return Err(InputsError::ChainContext);
        }
        if !(1..=JSON_INTEGER_MAX).contains(&self.event.facts.sequence_number.get()) {
            return Err(InputsError::SequenceNumber);
        }
        if self.valid_until.is_some_and(|until| until > JSON_INTEGER_MAX) {
            return Err(InputsError::ValidUntil);
        }
        match self.binding_level {
            BindingLevel::Signed => Ok(()),
            BindingLevel::Circuit { .. } => self.check_circuit_paths(),
        }
    }

    fn check_circuit_paths(&self) -> Result<(), InputsError> {
        if self.commitments.iter().any(|committed| committed.field.kind() == DECIMAL) {
            return Err(InputsError::CircuitDecimal);
        }
        let paths = self.commitments.iter().map(|committed| committed.field.path());
        match paths.into_iter().find(|path| !is_payload_path(path)) {
            Some(path) => Err(InputsError::CircuitPath { path: path.to_owned() }),
            None => Ok(()),
        }
    }

    /// Canonical JSON.
    pub fn canonical(&self) -> String {
        text::canonical(self)
    }

    /// `statementDigest` (section 3.2).
    pub fn statement_digest(&self) -> Digest {
        let text = self.canonical();
        Hasher::new(Domain::ProofStatement).u64(text.len() as u64).bytes(text.as_bytes()).finish()
    }

    /// The policy, read.
    ///
    /// # Errors
    /// [`InputsError::Policy`].
    pub fn amount_policy(&self) -> Result<AmountPolicy, InputsError> {
        Ok(AmountPolicy::of(&self.event.policy)?)
    }

    /// What a proof has to show.
    ///
    /// # Errors
    /// [`InputsError::Policy`], [`InputsError::OneCommitment`], [`InputsError::CircuitPath`]; under a composed policy
    /// [`InputsError::Clauses`], [`InputsError::CommitmentOfEach`], [`InputsError::CircuitClauses`].
    pub fn statement(&self) -> Result<Statement, InputsError> {
        if self.event.policy.id() == clauses::POLICY_ID {
            return self.clauses_statement().map(Statement::Clauses);
        }
        let limit = self.amount_policy()?.effective_limit();
        let [committed] = &self.commitments[..] else {
            return Err(InputsError::OneCommitment { found: self.commitments.len() });
        };
        let event = EventStatement {
            suite: self.suite,
            digest: self.statement_digest(),
            limit,
            capacity: committed.field.capacity(),
            commitment: committed.commitment,
        };
        let BindingLevel::Circuit { table } = self.binding_level else {
            return Ok(Statement::Amount(event));
        };
        self.check_circuit_paths()?;
        Ok(Statement::Payload(PayloadStatement {
            event,
            payload_hash: self.event.facts.payload_plain_hash,
            is_salted: self.event.facts.payload_kind != 0,
            key: committed.field.path().to_owned(),
            log_slots: table.log_slots(),
        }))
    }

    fn clauses_statement(&self) -> Result<ClausesStatement, InputsError> {
        let policy = ClausePolicy::parse(self.event.policy.params())?;
        if self.commitments.len() != policy.inputs() {
            return Err(InputsError::CommitmentOfEach {
                inputs: policy.inputs(),
                found: self.commitments.len(),
            });
        }
        if self.binding_level != BindingLevel::Signed {
            return Err(InputsError::CircuitClauses);
        }
        Ok(ClausesStatement {
            suite: self.suite,
            digest: self.statement_digest(),
            policy,
            capacities: self.commitments.iter().map(|committed| committed.field.capacity()).collect(),
            commitments: self.commitments.iter().map(|committed| committed.commitment).collect(),
        })
    }

    /// Whether the statement still stands at `now`.
    pub fn is_valid_at(&self, now: TimestampMs) -> bool {
        self.valid_until
            .is_none_or(|until| now.0.div_euclid(1000) <= i64::try_from(until).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
pub(crate) mod tests;

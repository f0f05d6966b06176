//! What a proof of a batch is about.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use ves::hash::{Domain, Hasher};
use ves::json::{self, JsonError};
use ves::{Digest, SequenceNumber, StoreId, StreamKey, TenantId, TimestampMs};
use ves_stark_primitives::policy::{AmountPolicy, PolicyError};
use ves_stark_primitives::{CommitmentError, FieldCommitment, FieldDescription, SuiteId};
use ves_stark_verifier::BATCH_EVENTS_MAX;

/// Most events of one batch (section 9).
pub const EVENTS_MAX: usize = 1 << 16;
/// Longest `chainContext`, in bytes.
const CHAIN_CONTEXT_BYTES_MAX: usize = 128;
/// Longest public inputs that are read at all: every event of the largest batch listed as left out.
pub(crate) const INPUTS_BYTES_MAX: usize = 2 << 20;

/// Why the statement of a batch is refused. Members are named as in the object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputsError {
    #[error("the public inputs have {bytes} bytes, more than {INPUTS_BYTES_MAX}")]
    TooLarge { bytes: usize },
    #[error("public inputs: {0}")]
    Json(JsonError),
    /// A member is missing, unknown, or of another type.
    #[error("public inputs: {0}")]
    Shape(String),
    #[error("proofVersion must be 2 and kind must be batch")]
    Version,
    #[error("suite {0:?} is not known")]
    Suite(String),
    #[error("policyHash is not the hash of policyId and policyParams")]
    PolicyHash,
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error("field: {0}")]
    Field(CommitmentError),
    #[error("sequenceStart to sequenceEnd must be 1 to {EVENTS_MAX} events from 1 to 2^53 - 1")]
    Range,
    #[error("validUntil must be null or Unix seconds up to 2^53 - 1")]
    ValidUntil,
    #[error("excluded must be ascending numbers from sequenceStart to sequenceEnd, and leave an event")]
    Excluded,
    #[error("eventCount must be {expected}: the range without the excluded events")]
    EventCount { expected: usize },
    #[error("commitments: expected {expected}, found {found}")]
    CommitmentCount { expected: usize, found: usize },
    #[error("commitmentsDigest is not that of the commitments")]
    CommitmentsDigest,
    #[error("a batch bundle is about a policy: name its policyId and policyParams")]
    NoPolicy,
    #[error("chainContext must be 1 to {CHAIN_CONTEXT_BYTES_MAX} bytes without control characters")]
    ChainContext,
}

/// The statement of a batch. All of it enters [`BatchInputs::statement_digest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchInputs {
    pub suite: SuiteId,
    pub stream: StreamKey,
    /// Merkle root of the batch.
    pub batch_root: Digest,
    pub sequence_start: SequenceNumber,
    /// Inclusive.
    pub sequence_end: SequenceNumber,
    pub prev_state_root: Digest,
    pub new_state_root: Digest,
    pub policy: AmountPolicy,
    /// The field that every event commits to, in one unit.
    pub field: FieldDescription,
    /// Events that the proof says nothing about, ascending.
    pub excluded: Vec<SequenceNumber>,
    /// Digest of the commitments of the other events: [`BatchInputs::digest_of`].
    pub commitments_digest: Digest,
    /// Which deployment the proof is for.
    pub chain_context: String,
    /// Seconds since 1970 (UTC), inclusive; `None` does not end.
    pub valid_until: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Members {
    proof_version: u32,
    kind: String,
    suite: String,
    tenant_id: TenantId,
    store_id: StoreId,
    batch_root: Digest,
    sequence_start: SequenceNumber,
    sequence_end: SequenceNumber,
    prev_state_root: Digest,
    new_state_root: Digest,
    policy_id: String,
    policy_params: Box<RawValue>,
    policy_hash: Digest,
    field: FieldMembers,
    event_count: usize,
    excluded: Vec<SequenceNumber>,
    commitments_digest: Digest,
    chain_context: String,
    #[serde(deserialize_with = "Option::deserialize")]
    valid_until: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldMembers {
    name: String,
    path: String,
    #[serde(rename = "type")]
    kind: String,
    unit: String,
    exponent: u8,
}

impl BatchInputs {
    /// Digest of a list of commitments, shard by shard.
    pub fn digest_of(commitments: &[FieldCommitment]) -> Digest {
        let shards = commitments.chunks(BATCH_EVENTS_MAX);
        let hasher = Hasher::new(Domain::BatchCommitments).u64(commitments.len() as u64);
        shards.enumerate().fold(hasher, |hasher, (n, shard)| hasher.digest(&shard_digest(n, shard))).finish()
    }

    /// Events of the range that the proof speaks of.
    ///
    /// # Errors
    /// [`InputsError::Range`], [`InputsError::Excluded`].
    pub fn event_count(&self) -> Result<usize, InputsError> {
        let (start, end) = (self.sequence_start, self.sequence_end);
        let span = end.get().checked_sub(start.get()).and_then(|span| span.checked_add(1));
        let in_stream = start > SequenceNumber::ZERO && end.get() < 1 << 53;
        let span = span.filter(|&span| in_stream && span <= EVENTS_MAX as u64).ok_or(InputsError::Range)?;
        let ascends = self.excluded.windows(2).all(|pair| pair[0] < pair[1]);
        let in_range = self.excluded.iter().all(|number| (start..=end).contains(number));
        match (span as usize).checked_sub(self.excluded.len()) {
            Some(count) if count > 0 && ascends && in_range => Ok(count),
            _ => Err(InputsError::Excluded),
        }
    }

    /// The events that the proof speaks of, in their order.
    pub fn proved_events(&self) -> impl Iterator<Item = SequenceNumber> {
        let range = self.sequence_start.get()..=self.sequence_end.get();
        let mut excluded = self.excluded.iter().peekable();
        range.map(SequenceNumber).filter(move |number| excluded.next_if_eq(&number).is_none())
    }

    /// Whether the statement still stands at `now`.
    pub fn is_valid_at(&self, now: TimestampMs) -> bool {
        self.valid_until
            .is_none_or(|until| now.0.div_euclid(1000) <= i64::try_from(until).unwrap_or(i64::MAX))
    }

    /// Checks what [`Self::parse`] would check, and that `commitments` are the statement's.
    ///
    /// # Errors
    /// [`InputsError`].
    pub fn check(&self, commitments: &[FieldCommitment]) -> Result<(), InputsError> {
        self.check_members()?;
        let expected = self.event_count()?;
        if commitments.len() != expected {
            return Err(InputsError::CommitmentCount { expected, found: commitments.len() });
        }
        match Self::digest_of(commitments) == self.commitments_digest {
            true => Ok(()),
            false => Err(InputsError::CommitmentsDigest),
        }
    }

    fn check_members(&self) -> Result<(), InputsError> {
        self.event_count()?;
        let context = &self.chain_context;
        if !(1..=CHAIN_CONTEXT_BYTES_MAX).contains(&context.len()) || context.chars().any(char::is_control) {
            return Err(InputsError::ChainContext);
        }
        match self.valid_until {
            Some(until) if until >= 1 << 53 => Err(InputsError::ValidUntil),
            _ => Ok(()),
        }
    }

    /// Reads the object: every member there, none besides, none twice.
    ///
    /// # Errors
    /// [`InputsError`] names the member.
    pub fn parse(text: &str) -> Result<Self, InputsError> {
        if text.len() > INPUTS_BYTES_MAX {
            return Err(InputsError::TooLarge { bytes: text.len() });
        }
        json::canonicalize(text).map_err(InputsError::Json)?;
        let members: Members =
            serde_json::from_str(text).map_err(|error| InputsError::Shape(error.to_string()))?;
        if members.proof_version != 2 || members.kind != "batch" {
            return Err(InputsError::Version);
        }
        let policy = AmountPolicy::parse(&members.policy_id, members.policy_params.get())?;
        if policy.policy().hash() != members.policy_hash {
            return Err(InputsError::PolicyHash);
        }
        let FieldMembers { name, path, kind, unit, exponent } = &members.field;
        let inputs = Self {
            suite: SuiteId::from_text(&members.suite).ok_or(InputsError::Suite(members.suite))?,
            stream: StreamKey { tenant_id: members.tenant_id, store_id: members.store_id },
            batch_root: members.batch_root,
            sequence_start: members.sequence_start,
            sequence_end: members.sequence_end,
            prev_state_root: members.prev_state_root,
            new_state_root: members.new_state_root,
            policy,
            field: FieldDescription::new(name, path, kind, unit, *exponent).map_err(InputsError::Field)?,
            excluded: members.excluded,
            commitments_digest: members.commitments_digest,
            chain_context: members.chain_context,
            valid_until: members.valid_until,
        };
        inputs.check_members()?;
        match inputs.event_count()? {
            count if count == members.event_count => Ok(inputs),
            expected => Err(InputsError::EventCount { expected }),
        }
    }

    /// Canonical JSON. The number of events is that of the range, or 0 where [`Self::check`] would refuse it.
    pub fn canonical(&self) -> String {
        let policy = self.policy.policy();
        let members = Members {
            proof_version: 2,
            kind: "batch".to_owned(),
            suite: self.suite.text().to_owned(),
            tenant_id: self.stream.tenant_id,
            store_id: self.stream.store_id,
            batch_root: self.batch_root,
            sequence_start: self.sequence_start,
            sequence_end: self.sequence_end,
            prev_state_root: self.prev_state_root,
            new_state_root: self.new_state_root,
            policy_id: policy.id().to_owned(),
            policy_params: RawValue::from_string(policy.params().to_owned()).expect("params are JSON"),
            policy_hash: policy.hash(),
            field: FieldMembers {
                name: self.field.name().to_owned(),
                path: self.field.path().to_owned(),
                kind: self.field.kind().to_owned(),
                unit: self.field.unit().to_owned(),
                exponent: self.field.exponent(),
            },
            event_count: self.event_count().unwrap_or(0),
            excluded: self.excluded.clone(),
            commitments_digest: self.commitments_digest,
            chain_context: self.chain_context.clone(),
            valid_until: self.valid_until,
        };
        json::to_canonical(&members).expect("fixed members have a canonical form")
    }

    /// `statementDigest` (section 3.2).
    pub fn statement_digest(&self) -> Digest {
        let text = self.canonical();
        Hasher::new(Domain::ProofStatement).u64(text.len() as u64).bytes(text.as_bytes()).finish()
    }
}

/// Digest of the commitments of shard `number`.
pub(crate) fn shard_digest(number: usize, commitments: &[FieldCommitment]) -> Digest {
    let hasher = Hasher::new(Domain::BatchShard).u32(number as u32).u32(commitments.len() as u32);
    commitments.iter().fold(hasher, |hasher, commitment| hasher.bytes(commitment.as_bytes())).finish()
}

//! A stored proof: a record beside what it is about, its bytes by its id.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use stateset_event_log::{Document, DocumentChange, Table};
use ves::compliance::{Policy, WitnessCommitment};
use ves::{BatchId, Digest, EventId, StoreId, StreamKey, TenantId, TimestampMs};

use super::replace::Superseded;
use super::statement::{ProofSubject, Statement};
use super::submit::NewProof;
use super::verifier::Proved;
use crate::error::ServiceError;

/// A proof that was submitted, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofRecord {
    pub proof_id: [u8; 16],
    pub subject: ProofSubject,
    pub stream: StreamKey,
    pub proof_type: String,
    pub proof_version: u32,
    /// Of a proof about an event, and of one about a batch that claims compliance.
    pub policy: Option<Policy>,
    /// As it was computed when the proof came in.
    pub policy_hash: Option<Digest>,
    pub proof_hash: Digest,
    pub witness_commitment: Option<WitnessCommitment>,
    /// Canonical JSON of the statement, as it was when the proof came in.
    pub public_inputs: String,
    pub submitted_at: TimestampMs,
    /// Whether a verifier accepted the proof before it was stored.
    pub verified: bool,
    /// Names the statement of a verified proof, where the verifier names it.
    pub statement_digest: Option<Digest>,
    /// Of a verified proof about a batch: how many of its events the proof says nothing about.
    pub events_left_out: Option<u32>,
    /// Of a verified proof whose statement has an end: the last second that it says something about, since 1970.
    pub valid_until: Option<u64>,
    /// Of a record that has left its place to another one.
    pub superseded: Option<Superseded>,
}

impl ProofRecord {
    pub(super) fn new(
        proof_id: [u8; 16],
        statement: &Statement,
        proof: &NewProof,
        submitted_at: TimestampMs,
        proved: Option<&Proved>,
    ) -> Self {
        Self {
            proof_id,
            subject: statement.subject,
            stream: statement.stream,
            proof_type: proof.proof_type.clone(),
            proof_version: proof.proof_version,
            policy: statement.policy.clone(),
            policy_hash: statement.policy_hash(),
            proof_hash: statement.subject.proof_hash(&proof.bytes),
            witness_commitment: proof.witness_commitment,
            public_inputs: statement.public_inputs.clone(),
            submitted_at,
            verified: proved.is_some(),
            statement_digest: proved.and_then(|proved| proved.statement_digest),
            events_left_out: proved.and_then(|proved| proved.events_left_out),
            valid_until: proved.and_then(|proved| proved.valid_until),
            superseded: None,
        }
    }

    /// The record beside its subject and, by the proof's id, its bytes: apart, so that a list of records reads none.
    pub(super) fn documents(
        &self,
        key: Vec<u8>,
        bytes: Vec<u8>,
    ) -> Result<[DocumentChange; 2], ServiceError> {
        let table = table_of(&self.subject);
        let place = Place { table: table.name().to_owned(), key: ves::hex::encode(&key), sealed: false };
        let record = Document { key, text: json(&Stored::from(self))?, content: Vec::new() };
        let by_id = Document { key: self.proof_id.to_vec(), text: json(&place)?, content: bytes };
        Ok([DocumentChange::Put(table, record), DocumentChange::Put(Table::ProofIds, by_id)])
    }

    pub(super) fn read(document: &Document) -> Result<Self, ServiceError> {
        let stored: Stored = serde_json::from_str(&document.text)
            .map_err(|error| ServiceError::Read(format!("a proof's record: {error}")))?;
        stored.into_record().ok_or_else(|| ServiceError::Read("a proof's record contradicts itself".into()))
    }
}

pub(super) fn table_of(subject: &ProofSubject) -> Table {
    match subject {
        ProofSubject::Batch(_) => Table::ValidityProofs,
        ProofSubject::Event(_) => Table::ComplianceProofs,
    }
}

/// How the keys of a subject's records begin. Event ids are unique in their stream only.
pub(super) fn prefix_of(subject: &ProofSubject, stream: &StreamKey) -> Vec<u8> {
    match subject {
        ProofSubject::Batch(batch) => batch.as_bytes().to_vec(),
        ProofSubject::Event(event) => {
            [&stream.tenant_id.as_bytes()[..], stream.store_id.as_bytes(), event.as_bytes()].concat()
        }
    }
}

/// One proof of a type, a version and a policy, where there is one (decision 18).
pub(super) fn key_of(statement: &Statement, proof: &NewProof) -> Vec<u8> {
    let mut key = prefix_of(&statement.subject, &statement.stream);
    // At most 32 characters, so at most 128 bytes.
    key.push(proof.proof_type.len() as u8);
    key.extend_from_slice(proof.proof_type.as_bytes());
    key.extend_from_slice(&proof.proof_version.to_be_bytes());
    key.extend(statement.policy_hash().iter().flat_map(|hash| hash.0));
    key
}

/// Where the record of a proof lies.
#[derive(Serialize, Deserialize)]
struct Place {
    table: String,
    key: String,
    /// The bytes are sealed at rest (VES section 19). What opens them takes this away.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    sealed: bool,
}

/// The table and key of the record, from the document of its id.
pub(super) fn place_of(by_id: &Document) -> Result<(Table, Vec<u8>), ServiceError> {
    let broken = || ServiceError::Read("a proof's id leads nowhere".into());
    let place: Place = serde_json::from_str(&by_id.text).map_err(|_| broken())?;
    if place.sealed {
        return Err(ServiceError::Sealed("the bytes of a proof are sealed at rest".to_owned()));
    }
    let table = [Table::ValidityProofs, Table::ComplianceProofs];
    let table = table.into_iter().find(|table| table.name() == place.table).ok_or_else(broken)?;
    Ok((table, ves::hex::decode_vec(&place.key).map_err(|_| broken())?))
}

/// The record's text. Members are those of the table that the specification names (section 7).
#[derive(Serialize, Deserialize)]
struct Stored {
    proof_id: uuid::Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_id: Option<BatchId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<EventId>,
    tenant_id: TenantId,
    store_id: StoreId,
    proof_type: String,
    proof_version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_params: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_hash: Option<Digest>,
    proof_hash: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    witness_commitment: Option<String>,
    public_inputs: Box<RawValue>,
    /// Milliseconds since 1970 (UTC).
    submitted_at_ms: i64,
    verified: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    statement_digest: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    events_left_out: Option<u32>,
    /// Seconds since 1970 (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    valid_until: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    superseded_by: Option<uuid::Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    superseded_at_ms: Option<i64>,
}

impl From<&ProofRecord> for Stored {
    fn from(record: &ProofRecord) -> Self {
        let (batch_id, event_id) = match record.subject {
            ProofSubject::Batch(batch) => (Some(batch), None),
            ProofSubject::Event(event) => (None, Some(event)),
        };
        Self {
            proof_id: uuid::Uuid::from_bytes(record.proof_id),
            batch_id,
            event_id,
            tenant_id: record.stream.tenant_id,
            store_id: record.stream.store_id,
            proof_type: record.proof_type.clone(),
            proof_version: record.proof_version,
            policy_id: record.policy.as_ref().map(|policy| policy.id().to_owned()),
            policy_params: record.policy.as_ref().map(|policy| raw(policy.params())),
            policy_hash: record.policy_hash,
            proof_hash: record.proof_hash,
            witness_commitment: record.witness_commitment.map(WitnessCommitment::to_hex),
            public_inputs: raw(&record.public_inputs),
            submitted_at_ms: record.submitted_at.0,
            verified: record.verified,
            statement_digest: record.statement_digest,
            events_left_out: record.events_left_out,
            valid_until: record.valid_until,
            superseded_by: record.superseded.map(|superseded| uuid::Uuid::from_bytes(superseded.by)),
            superseded_at_ms: record.superseded.map(|superseded| superseded.at.0),
        }
    }
}

impl Stored {
    fn into_record(self) -> Option<ProofRecord> {
        let subject = match (self.batch_id, self.event_id) {
            (Some(batch), None) => ProofSubject::Batch(batch),
            (None, Some(event)) => ProofSubject::Event(event),
            _ => return None,
        };
        let policy = match (&self.policy_id, &self.policy_params) {
            (Some(id), params) => Some(Policy::new(id, params.as_ref().map(|params| params.get())).ok()?),
            (None, _) => None,
        };
        let witness_commitment = match &self.witness_commitment {
            Some(text) => Some(WitnessCommitment::from_hex(text)?),
            None => None,
        };
        let superseded = match (self.superseded_by, self.superseded_at_ms) {
            (Some(by), Some(at)) => Some(Superseded { by: by.into_bytes(), at: TimestampMs(at) }),
            (None, None) => None,
            _ => return None,
        };
        Some(ProofRecord {
            proof_id: self.proof_id.into_bytes(),
            subject,
            stream: StreamKey { tenant_id: self.tenant_id, store_id: self.store_id },
            proof_type: self.proof_type,
            proof_version: self.proof_version,
            policy,
            policy_hash: self.policy_hash,
            proof_hash: self.proof_hash,
            witness_commitment,
            public_inputs: self.public_inputs.get().to_owned(),
            submitted_at: TimestampMs(self.submitted_at_ms),
            verified: self.verified,
            statement_digest: self.statement_digest,
            events_left_out: self.events_left_out,
            valid_until: self.valid_until,
            superseded,
        })
    }
}

pub(super) fn json<T: Serialize>(value: &T) -> Result<String, ServiceError> {
    serde_json::to_string(value).map_err(|error| ServiceError::Internal(error.to_string()))
}

fn raw(canonical: &str) -> Box<RawValue> {
    RawValue::from_string(canonical.to_owned()).expect("canonical JSON is JSON")
}

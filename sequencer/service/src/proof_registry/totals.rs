//! Running totals: a committed total goes on to one new total, in one event (section 2.3 of the proof specification).
//!
//! Otherwise two events could both start from the total before either of them, and each stay below a limit that they
//! break together. A total is known by its commitment alone; nothing here learns a number.

use serde::{Deserialize, Serialize};
use stateset_event_log::{Document, DocumentChange, Table};
use ves::{Digest, EventId, StreamKey};

use super::record::{ProofRecord, json};
use super::statement::ProofSubject;
use super::submit::{SubmitProofError, invalid};
use super::verifier::TotalStep;
use crate::error::ServiceError;
use crate::sequencer::Sequencer;

/// Who continued a total, and with which.
#[derive(Serialize, Deserialize)]
struct Continued {
    event_id: EventId,
    /// SHA-256 of the new total's commitment.
    new_total: Digest,
    /// The first proof that said so.
    proof_id: uuid::Uuid,
}

/// Whether a proof's steps are on record as those of its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TotalsTaken {
    /// Also where there are none.
    All,
    /// Such as of a proof that was stored unverified.
    NotAll,
    /// A total went on to another one, or in another event.
    ByAnother,
}

impl Sequencer {
    /// The changes that mark the totals as continued, to be written together with the proof's record. The caller holds
    /// the registry's lock.
    pub(super) async fn continue_totals(
        &self,
        record: &ProofRecord,
        steps: &[TotalStep],
    ) -> Result<Vec<DocumentChange>, SubmitProofError> {
        let ProofSubject::Event(event_id) = record.subject else {
            // Who continues a total is an event; a verifier that says otherwise is mistaken.
            return match steps {
                [] => Ok(Vec::new()),
                _ => Err(invalid("proofB64", "a proof about a batch continues no running total")),
            };
        };
        let mut steps = steps.to_vec();
        steps.sort_unstable();
        steps.dedup();
        if steps.windows(2).any(|pair| pair[0].previous == pair[1].previous) {
            return Err(invalid("policyParams", "two clauses continue one running total differently"));
        }
        let mut changes = Vec::new();
        for step in steps {
            let key = key_of(&record.stream, &step.previous);
            match self.continued(&key).await? {
                // Another proof of the same event, under another policy, may repeat the step that the event made.
                Some(by) if by.event_id == event_id && by.new_total == step.new => {}
                Some(by) => return Err(SubmitProofError::TotalContinued { by: by.event_id }),
                None => {
                    let proof_id = uuid::Uuid::from_bytes(record.proof_id);
                    let text = json(&Continued { event_id, new_total: step.new, proof_id })?;
                    let document = Document { key, text, content: Vec::new() };
                    changes.push(DocumentChange::Put(Table::RunningTotals, document));
                }
            }
        }
        Ok(changes)
    }

    /// Whether the totals that a stored proof continues are recorded as continued by its event.
    pub(super) async fn totals_taken(
        &self,
        record: &ProofRecord,
        steps: &[TotalStep],
    ) -> Result<TotalsTaken, ServiceError> {
        let mut taken = TotalsTaken::All;
        for step in steps {
            match (self.continued(&key_of(&record.stream, &step.previous)).await?, record.subject) {
                (Some(by), ProofSubject::Event(event))
                    if by.event_id == event && by.new_total == step.new => {}
                (Some(_), _) => return Ok(TotalsTaken::ByAnother),
                (None, _) => taken = TotalsTaken::NotAll,
            }
        }
        Ok(taken)
    }

    async fn continued(&self, key: &[u8]) -> Result<Option<Continued>, ServiceError> {
        let Some(document) = self.document(Table::RunningTotals, key).await? else { return Ok(None) };
        let read = serde_json::from_str(&document.text);
        read.map(Some).map_err(|error| ServiceError::Read(format!("the record of a running total: {error}")))
    }
}

/// Totals are those of one store.
fn key_of(stream: &StreamKey, total: &Digest) -> Vec<u8> {
    [&stream.tenant_id.as_bytes()[..], stream.store_id.as_bytes(), &total.0].concat()
}

//! Which stored proof gives its place to another one, and what is kept of it.
//!
//! A place is taken for as long as its proof says something: one that nobody verified, or whose end has passed, gives way
//! to one that a verifier accepts. It stays readable by its id, beside the records that stand and in no list of them.

use stateset_event_log::{DocumentChange, Table};
use ves::{StreamKey, TimestampMs};

use super::record::{self, ProofRecord};
use super::statement::{ProofSubject, Statement};
use super::submit::{NewProof, is_same_proof};
use super::verifier::Proved;
use crate::error::ServiceError;
use crate::sequencer::Sequencer;

/// Follows the subject in the keys of replaced records, where those that stand have the length of their type, which is
/// never 0.
const REPLACED: u8 = 0;

/// Which proof took the place of a stored one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superseded {
    pub by: [u8; 16],
    pub at: TimestampMs,
}

impl ProofRecord {
    /// Whether a proof that a verifier accepts now takes the place of this one.
    pub(super) fn gives_way(&self, now: TimestampMs) -> bool {
        !self.verified || has_passed(self.valid_until, now)
    }
}

impl Proved {
    pub(super) fn stands(&self, now: TimestampMs) -> bool {
        !has_passed(self.valid_until, now)
    }
}

/// Whether there is an end, in seconds since 1970, and its second is over.
fn has_passed(valid_until: Option<u64>, now: TimestampMs) -> bool {
    let second = now.0.div_euclid(1000);
    valid_until.is_some_and(|until| second > i64::try_from(until).unwrap_or(i64::MAX))
}

/// The least key after all those of replaced records of a subject: there the records begin that stand.
pub(super) fn after_replaced(subject: &ProofSubject, stream: &StreamKey) -> Vec<u8> {
    let mut key = record::prefix_of(subject, stream);
    key.push(REPLACED);
    key.extend([0xff; 17]);
    key
}

impl Sequencer {
    /// Whether it is worth verifying this proof although its place is taken by `stored`.
    pub(super) fn may_replace(&self, stored: &ProofRecord, statement: &Statement, proof: &NewProof) -> bool {
        // A proof that has ended does not verify again.
        let is_over = stored.verified && is_same_proof(stored, statement, proof);
        stored.gives_way(self.now()) && !is_over && self.verifies(&statement.subject, proof)
    }

    /// The changes that move the record of `old` away from its place, which `by` takes, with its bytes.
    pub(super) async fn supersede(
        &self,
        old: ProofRecord,
        by: &ProofRecord,
    ) -> Result<[DocumentChange; 2], ServiceError> {
        let bytes = self.document(Table::ProofIds, &old.proof_id).await?;
        let bytes =
            bytes.ok_or_else(|| ServiceError::Read("the bytes of a stored proof are missing".into()))?;
        // Refuses bytes that could not be opened: they must not be sealed once more.
        record::place_of(&bytes)?;
        let mut key = record::prefix_of(&old.subject, &old.stream);
        key.push(REPLACED);
        key.extend(old.proof_id);
        let superseded = Some(Superseded { by: by.proof_id, at: by.submitted_at });
        ProofRecord { superseded, ..old }.documents(key, bytes.content)
    }
}

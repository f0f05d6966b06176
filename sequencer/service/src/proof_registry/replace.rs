//! Which stored proof gives its place to another one, and what is kept of it.
//!
//! A place is taken for as long as its proof says something: one that nobody verified, or whose end has passed, gives way
//! to one that a verifier accepts. It stays readable by its id, beside the records that stand and in no list of them.

use stateset_event_log::{DocumentChange, Table};
use ves::{StreamKey, TimestampMs};

use super::record::{self, ProofRecord};
use super::statement::{ProofSubject, Statement};
use super::submit::{NewProof, PROOFS_MAX, SubmitProofError, is_same_proof};
use super::verifier::Proved;
use crate::error::ServiceError;
use crate::sequencer::Sequencer;

/// Follows the subject in the keys of replaced records, where those that stand have the length of their type, which is
/// never 0.
const REPLACED: u8 = 0;
/// How many verified proofs of one batch or event may have left their places. They are kept for good, and no list of those
/// that stand counts them. Unverified ones are not counted, since whoever sends them must not use up what the author's
/// proofs need: of each place at most one left it, before the first verified one came.
pub(super) const SUPERSEDED_MAX: usize = 100;

/// Which proof took the place of a stored one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superseded {
    pub by: [u8; 16],
    pub at: TimestampMs,
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
    pub(super) async fn may_replace(
        &self,
        stored: &ProofRecord,
        statement: &Statement,
        proof: &NewProof,
    ) -> Result<bool, ServiceError> {
        // A proof that has ended does not verify again.
        let is_over = stored.verified && is_same_proof(stored, statement, proof);
        let is_candidate = !is_over && self.verifies(&statement.subject, proof);
        Ok(is_candidate && self.gives_way(stored, self.now()).await?)
    }

    /// Whether a proof that a verifier accepts now takes the place of `stored`.
    pub(super) async fn gives_way(
        &self,
        stored: &ProofRecord,
        now: TimestampMs,
    ) -> Result<bool, ServiceError> {
        if !stored.verified {
            return Ok(true);
        }
        let valid_until = match stored.valid_until {
            None => self.end_in_bytes(stored).await?,
            named => named,
        };
        Ok(has_passed(valid_until, now))
    }

    /// The end that the stored bytes of a verified proof name. Records did not always say it.
    async fn end_in_bytes(&self, stored: &ProofRecord) -> Result<Option<u64>, ServiceError> {
        let Some(verifier) = self.inner.config.verifier.clone() else { return Ok(None) };
        let (bytes, subject) = (self.bytes_of(stored).await?, stored.subject);
        // Bytes that are no longer those that were accepted say nothing: the place stays taken.
        if subject.proof_hash(&bytes) != stored.proof_hash {
            return Ok(None);
        }
        let end = tokio::task::spawn_blocking(move || verifier.valid_until(&subject, &bytes)).await;
        // Nor does a verifier that panics at them.
        Ok(end.ok().flatten())
    }

    /// Whether one more verified proof of the subject may leave its place.
    pub(super) async fn check_superseded(&self, old: &ProofRecord) -> Result<(), SubmitProofError> {
        if !old.verified {
            return Ok(());
        }
        let mut prefix = record::prefix_of(&old.subject, &old.stream);
        prefix.push(REPLACED);
        // As many as there can be, so that the unverified ones among them hide none.
        let found =
            self.documents(record::table_of(&old.subject), &prefix, None, SUPERSEDED_MAX + PROOFS_MAX);
        let mut verified = 0;
        for document in &found.await? {
            verified += usize::from(ProofRecord::read(document)?.verified);
        }
        match verified >= SUPERSEDED_MAX {
            true => Err(SubmitProofError::TooManySuperseded),
            false => Ok(()),
        }
    }

    async fn bytes_of(&self, stored: &ProofRecord) -> Result<Vec<u8>, ServiceError> {
        let bytes = self.document(Table::ProofIds, &stored.proof_id).await?;
        let bytes =
            bytes.ok_or_else(|| ServiceError::Read("the bytes of a stored proof are missing".into()))?;
        // Refuses bytes that could not be opened: they must not be read as a proof, nor sealed once more.
        record::place_of(&bytes)?;
        Ok(bytes.content)
    }

    /// The changes that move the record of `old` away from its place, which `by` takes, with its bytes.
    pub(super) async fn supersede(
        &self,
        old: ProofRecord,
        by: &ProofRecord,
    ) -> Result<[DocumentChange; 2], ServiceError> {
        let bytes = self.bytes_of(&old).await?;
        let mut key = record::prefix_of(&old.subject, &old.stream);
        key.push(REPLACED);
        key.extend(old.proof_id);
        let superseded = Some(Superseded { by: by.proof_id, at: by.submitted_at });
        ProofRecord { superseded, ..old }.documents(key, bytes)
    }
}

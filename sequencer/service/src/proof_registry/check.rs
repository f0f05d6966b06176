//! Asking about a stored proof: everything that can be checked is checked again, now.

use stateset_event_log::{Document, Table};
use ves::compliance::EventFacts;
use ves::{Digest, compliance};

use super::record::{self, ProofRecord};
use super::statement::{ProofSubject, Statement};
use super::submit::SubmitProofError;
use super::totals::TotalsTaken;
use super::verifier::{Claimed, NoVerdict, Verdict};
use crate::error::ServiceError;
use crate::sequencer::Sequencer;

/// What became of the proof's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verification {
    /// Something before it did not hold.
    NotAsked,
    /// No verifier is joined to this sequencer.
    NoVerifier,
    /// The verifier does not know the type, or verifies another version of it.
    UnknownType,
    /// The verifier could not tell.
    Failed(String),
    Done {
        verdict: Verdict,
        time_ms: u64,
    },
}

/// The state of a stored proof, as found now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofReport {
    pub record: ProofRecord,
    pub proof_hash_match: bool,
    /// Hash of the inputs that are stored.
    pub public_inputs_hash: Digest,
    /// Hash of the inputs made again from the batch or event.
    pub canonical_public_inputs_hash: Digest,
    pub public_inputs_match: bool,
    /// Of a proof under a policy.
    pub policy_hash_match: Option<bool>,
    pub verification: Verification,
    /// Whether the running totals that the proof continues are this event's to continue, where the proof was verified.
    pub totals: TotalsTaken,
}

impl ProofReport {
    /// A verifier accepted the stored bytes for the statement made again, and the running totals that it continues are
    /// on record as this event's: nothing less (decision 19).
    pub fn is_valid(&self) -> bool {
        self.reason().is_none()
    }

    /// The first thing that keeps the proof from being valid.
    pub fn reason(&self) -> Option<&'static str> {
        if !self.proof_hash_match {
            return Some("proof_hash_mismatch");
        }
        if !self.public_inputs_match {
            return Some("public_inputs_mismatch");
        }
        if self.policy_hash_match == Some(false) {
            return Some("policy_hash_mismatch");
        }
        match &self.verification {
            // Otherwise two events that go on from one total would both be valid (section 2.3 of the proof specification).
            Verification::Done { verdict: Verdict::Valid(_), .. } => match self.totals {
                TotalsTaken::All => None,
                TotalsTaken::NotAll => Some("total_not_taken"),
                TotalsTaken::ByAnother => Some("total_continued"),
            },
            Verification::Done { verdict: Verdict::Invalid(_), .. } => Some("stark_invalid"),
            Verification::NotAsked | Verification::NoVerifier => Some("verifier_not_available"),
            Verification::UnknownType => Some("proof_type_not_verifiable"),
            Verification::Failed(_) => Some("verifier_failed"),
        }
    }
}

impl Sequencer {
    /// A stored proof and its bytes, by the proof's id, if it is of `tenant`; `None` asks in every tenant.
    pub async fn proof(
        &self,
        tenant: Option<&ves::TenantId>,
        proof_id: &[u8; 16],
    ) -> Result<Option<(ProofRecord, Vec<u8>)>, ServiceError> {
        let Some(by_id) = self.document(Table::ProofIds, proof_id).await? else { return Ok(None) };
        let (record, bytes) = self.follow(by_id, proof_id).await?;
        match tenant.is_some_and(|tenant| record.stream.tenant_id != *tenant) {
            true => Ok(None),
            false => Ok(Some((record, bytes))),
        }
    }

    /// The record that the document of a proof's id leads to, and the proof's bytes.
    ///
    /// The two are read one after the other, and in between the record may have left its place to another one. Then the
    /// id leads elsewhere by now; only an id that still leads to the wrong record is damaged.
    async fn follow(
        &self,
        mut by_id: Document,
        proof_id: &[u8; 16],
    ) -> Result<(ProofRecord, Vec<u8>), ServiceError> {
        loop {
            let place = record::place_of(&by_id)?;
            let found = self.document(place.0, &place.1).await?;
            let found = found.as_ref().map(ProofRecord::read).transpose()?;
            let damage = match found {
                Some(record) if record.proof_id == *proof_id => return Ok((record, by_id.content)),
                Some(_) => "a proof's id leads to the record of another",
                None => "a proof's record is missing",
            };
            let damaged = || ServiceError::Read(damage.into());
            by_id = self.document(Table::ProofIds, proof_id).await?.ok_or_else(damaged)?;
            if record::place_of(&by_id)? == place {
                return Err(damaged());
            }
        }
    }

    /// Checks a stored proof against its batch or event as it stands in the log.
    ///
    /// # Errors
    /// [`SubmitProofError::Busy`] and [`SubmitProofError::Late`] where the verifier had no slot or took too long.
    pub async fn check_proof(
        &self,
        record: ProofRecord,
        bytes: Vec<u8>,
    ) -> Result<ProofReport, SubmitProofError> {
        let statement = self.statement_again(&record).await?;
        let stored_inputs_hash = compliance::public_inputs_hash(&record.public_inputs)
            .map_err(|error| ServiceError::Read(error.to_string()))?;
        let policy_hash_match = statement.policy_hash().map(|hash| record.policy_hash == Some(hash));
        let mut report = ProofReport {
            proof_hash_match: record.subject.proof_hash(&bytes) == record.proof_hash,
            public_inputs_hash: stored_inputs_hash,
            canonical_public_inputs_hash: statement.hash(),
            public_inputs_match: stored_inputs_hash == statement.hash(),
            policy_hash_match,
            verification: Verification::NotAsked,
            totals: TotalsTaken::All,
            record,
        };
        if report.proof_hash_match && report.public_inputs_match && policy_hash_match != Some(false) {
            report.verification = self.verify_stored(&report.record, bytes, statement).await?;
            if let Verification::Done { verdict: Verdict::Valid(proved), .. } = &report.verification {
                report.totals = self.totals_taken(&report.record, &proved.totals).await?;
            }
        }
        Ok(report)
    }

    /// The statement made from what the log holds, not from what the record says of it.
    async fn statement_again(&self, record: &ProofRecord) -> Result<Statement, ServiceError> {
        let gone = || ServiceError::Read("what a stored proof is about is missing".into());
        match record.subject {
            ProofSubject::Batch(batch) => Statement::of_batch(
                &self.commitment(Some(&record.stream.tenant_id), &batch).await?.ok_or_else(gone)?,
                record.policy.clone(),
            ),
            ProofSubject::Event(event) => {
                let stored = self.event(&record.stream, &event).await?.ok_or_else(gone)?;
                let policy = record.policy.clone().ok_or_else(gone)?;
                let number = stored.sequence_number;
                let record = stored.record().map_err(|error| ServiceError::of_record(number, &error))?;
                let statement = Statement::of_event(&EventFacts::of(&record.head, number), policy);
                Ok(statement.by(record.head.source_agent_id, stored.sequenced_at))
            }
        }
    }

    async fn verify_stored(
        &self,
        record: &ProofRecord,
        bytes: Vec<u8>,
        statement: Statement,
    ) -> Result<Verification, SubmitProofError> {
        let Some(verifier) = &self.inner.config.verifier else { return Ok(Verification::NoVerifier) };
        if verifier.version_of(&record.subject, &record.proof_type) != Some(record.proof_version) {
            return Ok(Verification::UnknownType);
        }
        let claimed = Claimed {
            proof_type: record.proof_type.clone(),
            proof_version: record.proof_version,
            proof: bytes,
            statement,
            witness_commitment: record.witness_commitment,
            submitted_at: record.submitted_at,
        };
        match self.ask_verifier(verifier.clone(), claimed).await {
            Ok(done) => {
                let time_ms = u64::try_from(done.time.as_millis()).unwrap_or(u64::MAX);
                Ok(Verification::Done { verdict: done.verdict, time_ms })
            }
            Err(NoVerdict::Busy) => Err(SubmitProofError::Busy),
            Err(NoVerdict::Late) => Err(SubmitProofError::Late),
            Err(NoVerdict::Failed(why)) => Ok(Verification::Failed(why)),
            Err(NoVerdict::Service(error)) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests;

//! Taking in a proof: its description, its verification, its one place.

use ves::EventId;
use ves::compliance::{self, PROOF_BYTES_MAX, PROOF_TYPE_CHARS_MAX, WitnessCommitment, check_public_inputs};

use super::record::{self, ProofRecord};
use super::replace::{self, SUPERSEDED_MAX};
use super::setting::{BATCH_EVENTS_MAX, count_of};
use super::statement::{ProofSubject, Statement};
use super::verifier::{Claimed, NoVerdict, Proved, Verdict};
use crate::audit::{Act, Action};
use crate::error::{ErrorKind, ServiceError};
use crate::ingest::random_bytes;
use crate::sequencer::{Sequencer, uncancelled};

/// Proofs of one batch or event: they are listed whole.
pub(super) const PROOFS_MAX: usize = 100;
/// How many of them no verifier accepted: any writer can send such proofs, and they must not take the places of the
/// author's, which a verifier accepts.
const UNVERIFIED_MAX: usize = 50;
const _: () = assert!(UNVERIFIED_MAX < PROOFS_MAX);
/// Canonical policy parameters, as long as composed policies may be (section 2.3 of the proof specification). They are
/// repeated in every record and list.
const POLICY_PARAMS_BYTES_MAX: usize = 32 << 10;

/// A proof as it was sent.
#[derive(Debug, Clone)]
pub struct NewProof {
    pub proof_type: String,
    pub proof_version: u32,
    pub bytes: Vec<u8>,
    pub witness_commitment: Option<WitnessCommitment>,
    /// What the sender takes the statement to be; JSON.
    pub public_inputs: Option<String>,
}

/// Why a proof was not stored. Fields are named as on the wire.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SubmitProofError {
    #[error("{field}: {problem}")]
    Invalid { field: &'static str, problem: String },
    #[error(
        "another proof of this type, version and policy is stored, and gives its place only to a verified one: at once \
         where it was never verified itself, else when its validUntil has passed; a proof under other policyParams has a \
         place of its own"
    )]
    Conflict,
    /// A running total goes on to one new total, in one event (section 2.3 of the proof specification).
    #[error(
        "event {by} has already continued the running total that this proof continues; start from the newest total"
    )]
    TotalContinued { by: EventId },
    #[error("there are {PROOFS_MAX} proofs of this already, no more are taken")]
    TooMany,
    #[error("there are {UNVERIFIED_MAX} unverified proofs of this already, only verified ones are taken")]
    TooManyUnverified,
    #[error(
        "{SUPERSEDED_MAX} verified proofs of this have given way to others already, and no more do; a proof under other \
         policyParams has a place of its own"
    )]
    TooManySuperseded,
    #[error(
        "no verifier of STARK proofs is joined to this sequencer, so the proof was not checked and not stored; \
         try again when one is, or have VES_STARK_VERIFY_ON_SUBMIT switched off to store proofs unverified"
    )]
    NoVerifier,
    #[error("proofs are being verified on all slots; try again later")]
    Busy,
    #[error("proofB64: verifying the proof took too long")]
    Late,
    #[error("the verifier could not tell whether the proof is valid, so it was not stored: {0}")]
    VerifierFailed(String),
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl SubmitProofError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid { .. } | Self::Late => ErrorKind::Invalid,
            Self::Conflict | Self::TotalContinued { .. } => ErrorKind::Conflict,
            Self::TooMany | Self::TooManyUnverified | Self::TooManySuperseded => ErrorKind::Conflict,
            Self::NoVerifier | Self::Busy | Self::VerifierFailed(_) => ErrorKind::Unavailable,
            Self::Service(error) => error.kind(),
        }
    }
}

pub(super) fn invalid(field: &'static str, problem: impl ToString) -> SubmitProofError {
    SubmitProofError::Invalid { field, problem: problem.to_string() }
}

impl Sequencer {
    /// Stores a proof of `statement`, verified first where [`crate::Config::verify_on_submit`] asks for it and a
    /// verifier knows its type. The same proof again gives the stored record; so does another proof of what a verifier
    /// calls the same statement, since proofs are randomised. A verified proof takes the place of an unverified one and
    /// of one that has ended.
    ///
    /// A type that begins with `stark`, in any case, must be known to a verifier while submissions are verified.
    ///
    /// # Errors
    /// [`SubmitProofError`].
    pub async fn submit_proof(
        &self,
        statement: Statement,
        proof: NewProof,
    ) -> Result<ProofRecord, SubmitProofError> {
        check_description(&statement, &proof)?;
        let key = record::key_of(&statement, &proof);
        if let Some(stored) = self.stored_proof(&statement.subject, &key).await?
            // What names no statement can only be the same by its bytes, so nothing needs to be verified.
            && (is_same_proof(&stored, &statement, &proof) || stored.statement_digest.is_none())
            && !self.may_replace(&stored, &statement, &proof).await?
        {
            return same_or_conflict(stored, &statement, &proof, None);
        }
        let (proof, proved) = self.verify_new(&statement, proof).await?;
        let service = self.clone();
        uncancelled(async move { service.keep(statement, proof, proved, key).await }).await
    }

    /// Stores what was verified as far as it could be, if it has a place by now.
    async fn keep(
        &self,
        statement: Statement,
        proof: NewProof,
        proved: Option<Proved>,
        key: Vec<u8>,
    ) -> Result<ProofRecord, SubmitProofError> {
        let _one_at_a_time = self.inner.verifying.writing.lock().await;
        let now = self.now();
        let stands = proved.as_ref().is_some_and(|new| new.stands(now));
        let replaced = match self.stored_proof(&statement.subject, &key).await? {
            Some(stored) if stands && self.gives_way(&stored, now).await? => {
                self.check_superseded(&stored).await?;
                Some(stored)
            }
            Some(stored) => return same_or_conflict(stored, &statement, &proof, proved.as_ref()),
            None => {
                check_room(&self.proofs_of(&statement).await?, proved.is_some())?;
                None
            }
        };
        let id = ves::BatchId::random(random_bytes()?);
        let record = ProofRecord::new(*id.as_bytes(), &statement, &proof, now, proved.as_ref());
        let mut changes: Vec<_> = record.documents(key, proof.bytes)?.into();
        let supersedes = replaced.as_ref().map(|old| uuid::Uuid::from_bytes(old.proof_id));
        if let Some(old) = replaced {
            changes.extend(self.supersede(old, &record).await?);
        }
        if let Some(proved) = &proved {
            changes.extend(self.continue_totals(&record, &proved.totals).await?);
        }
        match record.subject {
            ProofSubject::Batch(batch_id) => {
                let act = Act::new(Action::ValidityProofStored)
                    .in_tenant(record.stream.tenant_id)
                    .on("commitment", batch_id)
                    .with(serde_json::json!({
                        "proof_type": record.proof_type, "proof_version": record.proof_version,
                        "policy_hash": record.policy_hash, "proof_hash": record.proof_hash,
                        "verified": record.verified, "supersedes": supersedes,
                    }));
                self.put_documents_by_actor(act, changes).await?;
            }
            // Writers send these; they are no acts of an administrator.
            ProofSubject::Event(_) => self.put_documents(changes).await?,
        }
        Ok(record)
    }

    /// Records of all proofs of the statement's batch or event, whatever their policy; at most 100.
    pub async fn proofs_of(&self, statement: &Statement) -> Result<Vec<ProofRecord>, ServiceError> {
        self.proofs_about(&statement.subject, &statement.stream).await
    }

    /// Records of all proofs about a batch or an event of a stream that stand in their places, in the order in which they
    /// came in; those of one millisecond by their ids. At most 100.
    pub async fn proofs_about(
        &self,
        subject: &ProofSubject,
        stream: &ves::StreamKey,
    ) -> Result<Vec<ProofRecord>, ServiceError> {
        let prefix = record::prefix_of(subject, stream);
        let after = replace::after_replaced(subject, stream);
        let found = self.documents(record::table_of(subject), &prefix, Some(&after), PROOFS_MAX).await?;
        let mut records: Vec<_> = found.iter().map(ProofRecord::read).collect::<Result<_, _>>()?;
        // Their keys begin with their types, which say nothing to who looks for the newest.
        records.sort_by_key(|record| (record.submitted_at, record.proof_id));
        Ok(records)
    }

    async fn stored_proof(
        &self,
        subject: &ProofSubject,
        key: &[u8],
    ) -> Result<Option<ProofRecord>, ServiceError> {
        let stored = self.document(record::table_of(subject), key).await?;
        stored.as_ref().map(ProofRecord::read).transpose()
    }

    /// Whether such a proof would be verified before it is stored.
    pub(super) fn verifies(&self, subject: &ProofSubject, proof: &NewProof) -> bool {
        let config = &self.inner.config;
        let version = config.verifier.as_ref().and_then(|known| known.version_of(subject, &proof.proof_type));
        config.verify_on_submit && version == Some(proof.proof_version)
    }

    /// Whether the proof may be stored; with what it proved where it was verified.
    async fn verify_new(
        &self,
        statement: &Statement,
        proof: NewProof,
    ) -> Result<(NewProof, Option<Proved>), SubmitProofError> {
        let config = &self.inner.config;
        let is_stark = is_stark(&proof.proof_type);
        let Some(verifier) = &config.verifier else {
            return match is_stark && config.verify_on_submit {
                true => Err(SubmitProofError::NoVerifier),
                false => Ok((proof, None)),
            };
        };
        match verifier.version_of(&statement.subject, &proof.proof_type) {
            Some(version) if version != proof.proof_version => {
                return Err(invalid(
                    "proofVersion",
                    format_args!("the verifier of {} takes {version}", proof.proof_type),
                ));
            }
            Some(_) if config.verify_on_submit => {}
            None if is_stark && config.verify_on_submit => {
                let known = verifier.proof_types().join(", ");
                return Err(invalid("proofType", format_args!("no verifier knows it; known are: {known}")));
            }
            _ => return Ok((proof, None)),
        }
        if let Some(count) = statement.range.map(count_of).filter(|&count| count > BATCH_EVENTS_MAX) {
            let problem =
                format!("the batch has {count} events, proofs are about at most {BATCH_EVENTS_MAX}");
            return Err(invalid("batch_id", problem));
        }
        let claimed = Claimed {
            proof_type: proof.proof_type.clone(),
            proof_version: proof.proof_version,
            proof: proof.bytes.clone(),
            statement: statement.clone(),
            witness_commitment: proof.witness_commitment,
            submitted_at: self.now(),
        };
        match self.ask_verifier(verifier.clone(), claimed).await {
            Ok(verified) => match verified.verdict {
                Verdict::Valid(proved) => Ok((proof, Some(proved))),
                Verdict::Invalid(why) => {
                    Err(invalid("proofB64", format_args!("the proof is not valid: {why}")))
                }
            },
            Err(NoVerdict::Busy) => Err(SubmitProofError::Busy),
            Err(NoVerdict::Late) => Err(SubmitProofError::Late),
            Err(NoVerdict::Failed(why)) => Err(SubmitProofError::VerifierFailed(why)),
            Err(NoVerdict::Service(error)) => Err(error.into()),
        }
    }
}

/// Section 3.4: in any case of letters.
fn is_stark(proof_type: &str) -> bool {
    proof_type.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("stark"))
}

/// The rules on what a proof says of itself (VES sections 17.4 and 18), each problem by its field.
fn check_description(statement: &Statement, proof: &NewProof) -> Result<(), SubmitProofError> {
    let characters = proof.proof_type.chars().count();
    if !(1..=PROOF_TYPE_CHARS_MAX).contains(&characters) || proof.proof_type.chars().any(char::is_control) {
        let expected = format_args!("expected 1 to {PROOF_TYPE_CHARS_MAX} characters, no control characters");
        return Err(invalid("proofType", expected));
    }
    // The largest number that every store keeps and every client reads.
    if !(1..=i32::MAX as u32).contains(&proof.proof_version) {
        return Err(invalid("proofVersion", format_args!("expected 1 to {}", i32::MAX)));
    }
    if !(1..=PROOF_BYTES_MAX).contains(&proof.bytes.len()) {
        let found = proof.bytes.len();
        return Err(invalid(
            "proofB64",
            format_args!("expected 1 to {PROOF_BYTES_MAX} bytes, found {found}"),
        ));
    }
    if statement.policy.as_ref().is_some_and(|policy| policy.params().len() > POLICY_PARAMS_BYTES_MAX) {
        return Err(invalid("policyParams", format_args!("larger than {POLICY_PARAMS_BYTES_MAX} bytes")));
    }
    let is_about_event = matches!(statement.subject, ProofSubject::Event(_));
    if is_about_event && is_stark(&proof.proof_type) && proof.witness_commitment.is_none() {
        return Err(invalid("witnessCommitment", "a STARK proof about an event needs it"));
    }
    check_inputs(statement, proof)
}

/// The sender's public inputs must be the sequencer's; those of an event may carry the witness commitment too.
fn check_inputs(statement: &Statement, proof: &NewProof) -> Result<(), SubmitProofError> {
    let Some(sent) = &proof.public_inputs else { return Ok(()) };
    let same = match statement.subject {
        ProofSubject::Batch(_) => match ves::json::canonicalize(sent) {
            Ok(canonical) => canonical == statement.public_inputs,
            Err(error) => return Err(invalid("publicInputs", error)),
        },
        ProofSubject::Event(_) => match check_public_inputs(sent, &statement.public_inputs) {
            Ok(()) => true,
            Err(compliance::ComplianceError::PublicInputsDiffer) => false,
            Err(error) => return Err(invalid("publicInputs", error)),
        },
    };
    match same {
        true => Ok(()),
        false => {
            Err(invalid("publicInputs", "they are not the sequencer's own; the inputs route gives those"))
        }
    }
}

/// Whether one more proof has a place beside those that are stored.
fn check_room(stored: &[ProofRecord], is_verified: bool) -> Result<(), SubmitProofError> {
    if stored.len() >= PROOFS_MAX {
        return Err(SubmitProofError::TooMany);
    }
    let unverified = stored.iter().filter(|record| !record.verified).count();
    match !is_verified && unverified >= UNVERIFIED_MAX {
        true => Err(SubmitProofError::TooManyUnverified),
        false => Ok(()),
    }
}

/// The stored record where it is of the same proof, or of another proof of the same statement.
fn same_or_conflict(
    stored: ProofRecord,
    statement: &Statement,
    proof: &NewProof,
    proved: Option<&Proved>,
) -> Result<ProofRecord, SubmitProofError> {
    let digest = proved.and_then(|proved| proved.statement_digest);
    let is_same_statement = digest.is_some() && digest == stored.statement_digest;
    match is_same_statement || is_same_proof(&stored, statement, proof) {
        true => Ok(stored),
        false => Err(SubmitProofError::Conflict),
    }
}

pub(super) fn is_same_proof(stored: &ProofRecord, statement: &Statement, proof: &NewProof) -> bool {
    stored.proof_hash == statement.subject.proof_hash(&proof.bytes)
        && stored.witness_commitment == proof.witness_commitment
}

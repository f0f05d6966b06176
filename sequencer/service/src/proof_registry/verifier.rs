//! The port to whatever can check the bytes of a proof, and the room that its work may take.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use ves::compliance::WitnessCommitment;
use ves::{AgentKey, Digest, SequenceNumber, SequencerId, TimestampMs};

use super::statement::{Author, ProofSubject, Statement};
use crate::config::Config;
use crate::error::ServiceError;

/// Checks proofs. Joined by [`Config::verifier`]; called on threads that may block.
pub trait ComplianceVerifier: Send + Sync + 'static {
    /// Names of the proof types it knows, for people.
    fn proof_types(&self) -> Vec<String>;

    /// The one version of this type that it verifies about such a subject; `None` for a type it does not know.
    fn version_of(&self, subject: &ProofSubject, proof_type: &str) -> Option<u32>;

    /// Whether the bytes prove the statement. It must end by itself: nobody can stop it.
    ///
    /// # Errors
    /// [`VerifierError`] where it can't tell. A malformed proof is [`Verdict::Invalid`].
    fn verify(&self, claim: &ProofClaim<'_>) -> Result<Verdict, VerifierError>;

    /// The last second, since 1970, at which the statement of a proof stands that it accepted once. Asked of proofs whose
    /// records do not say it; `None`, also where it can't be told, leaves such a proof in its place for good.
    fn valid_until(&self, _subject: &ProofSubject, _proof: &[u8]) -> Option<u64> {
        None
    }
}

/// What a verifier is asked.
#[derive(Debug, Clone, Copy)]
pub struct ProofClaim<'a> {
    pub proof_type: &'a str,
    pub proof_version: u32,
    pub proof: &'a [u8],
    /// Made by the sequencer: it stands for nothing that the sender said.
    pub statement: &'a Statement,
    /// Sent with the proof.
    pub witness_commitment: Option<WitnessCommitment>,
    pub setting: &'a Setting,
}

/// Where and when a proof is judged, by the sequencer's own word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// A proof made for another sequencer says nothing here.
    pub sequencer_id: SequencerId,
    /// Every signing key of the event's author, or of the authors of a batch's events, whatever its state.
    pub author_keys: Vec<AgentKey>,
    /// Of a proof about a batch: its events in their order, none missing. Empty for an event.
    pub batch_events: Vec<BatchEvent>,
    /// When the proof came in.
    pub submitted_at: TimestampMs,
    pub now: TimestampMs,
}

/// What the log holds of one event of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchEvent {
    pub sequence_number: SequenceNumber,
    pub event_signing_hash: Digest,
    pub author: Author,
}

/// A verifier's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Valid(Proved),
    /// With the reason.
    Invalid(String),
}

/// What the registry has to know of a proof that a verifier accepted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proved {
    /// Names what was proved: proofs with one digest prove the same, whatever their bytes. Without it only equal bytes do.
    pub statement_digest: Option<Digest>,
    /// The running totals that the statement continues. Each total is continued once.
    pub totals: Vec<TotalStep>,
    /// Of a proof about a batch: how many of its events the proof says nothing about.
    pub events_left_out: Option<u32>,
    /// The last second, since 1970, at which the statement stands; `None` where it has no end.
    pub valid_until: Option<u64>,
}

/// A statement's step from one committed running total to the next. Both are SHA-256 of the commitment's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TotalStep {
    pub previous: Digest,
    pub new: Digest,
}

/// The verifier could not tell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the verifier failed: {0}")]
pub struct VerifierError(pub String);

/// Why no verdict came.
#[derive(Debug, Clone)]
pub(super) enum NoVerdict {
    /// No slot became free in time.
    Busy,
    /// The verifier is still at it.
    Late,
    Failed(String),
    /// What the verifier needs could not be read.
    Service(ServiceError),
}

/// A verifier's answer with the time it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verified {
    pub verdict: Verdict,
    pub time: Duration,
}

/// A proof and what it is to prove, owned, since the verifier's thread may outlive the request.
pub(super) struct Claimed {
    pub proof_type: String,
    pub proof_version: u32,
    pub proof: Vec<u8>,
    pub statement: Statement,
    pub witness_commitment: Option<WitnessCommitment>,
    pub submitted_at: TimestampMs,
}

/// Slots of the verifier, and the guard of the registry's writes.
pub(crate) struct Verifying {
    slots: Arc<Semaphore>,
    slot_wait_max: Duration,
    time_max: Duration,
    /// Held while a proof is looked up and stored, so that the two are one step.
    pub(super) writing: tokio::sync::Mutex<()>,
}

impl Verifying {
    pub fn new(config: &Config) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(config.verify_concurrency.clamp(1, Semaphore::MAX_PERMITS))),
            slot_wait_max: config.verify_slot_wait_max,
            time_max: config.verify_time_max,
            writing: tokio::sync::Mutex::default(),
        }
    }

    /// The right to run the verifier once, and to read what it needs.
    pub(super) async fn slot(&self) -> Result<OwnedSemaphorePermit, NoVerdict> {
        let slot = tokio::time::timeout(self.slot_wait_max, self.slots.clone().acquire_owned()).await;
        slot.ok().and_then(Result::ok).ok_or(NoVerdict::Busy)
    }

    /// Runs the verifier in a slot. A verification that is late keeps its slot until it ends, so that no caller gets
    /// more threads than there are slots by being impatient.
    pub(super) async fn run(
        &self,
        slot: OwnedSemaphorePermit,
        verifier: Arc<dyn ComplianceVerifier>,
        claimed: Claimed,
        setting: Setting,
    ) -> Result<Verified, NoVerdict> {
        let work = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            let started = Instant::now();
            let claim = ProofClaim {
                proof_type: &claimed.proof_type,
                proof_version: claimed.proof_version,
                proof: &claimed.proof,
                statement: &claimed.statement,
                witness_commitment: claimed.witness_commitment,
                setting: &setting,
            };
            // Proofs come from outside: whatever they make of a verifier ends here.
            let verdict = std::panic::catch_unwind(AssertUnwindSafe(|| verifier.verify(&claim)));
            (verdict, started.elapsed())
        });
        match tokio::time::timeout(self.time_max, work).await {
            Err(_) => Err(NoVerdict::Late),
            Ok(Err(error)) => Err(NoVerdict::Failed(error.to_string())),
            Ok(Ok((Err(_), _))) => Err(NoVerdict::Failed("it panicked".into())),
            Ok(Ok((Ok(Err(error)), _))) => Err(NoVerdict::Failed(error.0)),
            Ok(Ok((Ok(Ok(verdict)), time))) => Ok(Verified { verdict, time }),
        }
    }
}

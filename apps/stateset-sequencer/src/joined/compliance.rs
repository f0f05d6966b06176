//! The verifier of compliance proofs behind the service's port (decisions 19 to 22).

mod batch;
#[cfg(test)]
mod tests;
mod totals;

use stateset_sequencer::{ComplianceVerifier, ProofClaim, ProofSubject, Proved, Verdict, VerifierError};
use ves_stark_batch::BatchBundle;
use ves_stark_primitives::binding::BindingTimes;
use ves_stark_primitives::bundle::{PROOF_TYPE, PROOF_VERSION};
use ves_stark_primitives::{BindingError, Bundle, CommitmentBinding, EventInputs};
use ves_stark_verifier::verify_statement;

/// Verifies bundles of version 2, about events and about committed batches: the agents' signatures over the commitments, and
/// the proofs.
#[derive(Debug, Clone, Copy)]
pub struct StarkVerifier;

impl ComplianceVerifier for StarkVerifier {
    fn proof_types(&self) -> Vec<String> {
        vec![format!("{PROOF_TYPE} (version {PROOF_VERSION}, about events and about batches)")]
    }

    fn version_of(&self, _: &ProofSubject, proof_type: &str) -> Option<u32> {
        (proof_type == PROOF_TYPE).then_some(PROOF_VERSION)
    }

    fn verify(&self, claim: &ProofClaim<'_>) -> Result<Verdict, VerifierError> {
        let judged = match claim.statement.subject {
            ProofSubject::Event(_) => judge(claim),
            ProofSubject::Batch(_) => batch::judge(claim),
        };
        Ok(match judged {
            Ok(proved) => Verdict::Valid(proved),
            Err(reason) => Verdict::Invalid(reason),
        })
    }

    fn valid_until(&self, subject: &ProofSubject, proof: &[u8]) -> Option<u64> {
        let bundle = std::str::from_utf8(proof).ok()?;
        match subject {
            ProofSubject::Event(_) => Bundle::parse(bundle).ok()?.inputs.valid_until,
            ProofSubject::Batch(_) => BatchBundle::parse(bundle).ok()?.inputs.valid_until,
        }
    }
}

/// Everything in order of its price; the reason is for the sender.
fn judge(claim: &ProofClaim<'_>) -> Result<Proved, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let bundle = std::str::from_utf8(claim.proof).map_err(|_| "the bundle is not UTF-8".to_owned())?;
    let bundle = Bundle::parse(bundle).map_err(|error| text(&error))?;
    let own = EventInputs::parse(&claim.statement.public_inputs).map_err(|error| text(&error))?;
    if claim.witness_commitment.is_some_and(|sent| sent != bundle.witness_commitment()) {
        return Err("witnessCommitment is not the commitment in the bundle".to_owned());
    }
    let setting = claim.setting;
    bundle.check_context(&setting.sequencer_id.to_string(), setting.now).map_err(|error| text(&error))?;
    bundle.check_binding(|binding| bound(binding, &bundle, claim)).map_err(|error| text(&error))?;
    let held = bundle.check(&own, |statement, proof| verify_statement(statement, setting.now, proof));
    held.map_err(|error| text(&error))?;
    Ok(Proved {
        statement_digest: Some(bundle.inputs.statement_digest()),
        totals: totals::steps(&bundle.inputs).map_err(|error| text(&error))?,
        valid_until: bundle.inputs.valid_until,
        ..Proved::default()
    })
}

/// The signature is of a key that the event's author had when the event was taken in.
fn bound(binding: &CommitmentBinding, bundle: &Bundle, claim: &ProofClaim<'_>) -> Result<(), BindingError> {
    let (setting, author) = (claim.setting, claim.statement.author);
    let key = setting.author_keys.iter().find(|key| key.key_id == binding.agent_key_id);
    let (Some(author), Some(key)) = (author, key) else { return Err(BindingError::Signature) };
    let times = BindingTimes { event: author.sequenced_at, first_seen: setting.submitted_at };
    let facts = &bundle.inputs.event.facts;
    binding.verify_registered(&facts.event_signing_hash, &bundle.inputs.commitments, key, times)
}

//! `stateset verify`: the proofs about an event, checked here against the event itself.

use std::fmt::Write as _;
use std::time::Instant;

use base64ct::{Base64, Encoding as _};
use clap::Args;
use serde::Serialize;
use stateset_client::{PulledEvent, SigningKeys};
use stateset_sequencer::{Clock as _, SystemClock};
use uuid::Uuid;
use ves::compliance::Policy;
use ves_stark_primitives::{BindingError, Bundle, SecurityReport};
use ves_wire::compliance::ComplianceProofBody;

use super::prove::inputs;
use crate::commands::event::{EventName, fetch};
use crate::context::Context;
use crate::error::{CliError, printable};

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Sequence number or id of the event
    event: EventName,
    /// Only this proof [default: all that the server keeps about the event]
    #[arg(long, value_name = "UUID")]
    proof: Option<Uuid>,
}

#[derive(Serialize)]
struct Verdict {
    proof_id: Uuid,
    policy_id: String,
    policy_params: serde_json::Value,
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    verification_time_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    binding_level: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_signed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    security: Option<SecurityReport>,
}

/// What a proof that holds is worth.
struct Held {
    security: SecurityReport,
    binding_level: &'static str,
    agent_signed: bool,
}

pub fn run(context: &Context, args: &VerifyArgs) -> Result<(), CliError> {
    let (client, stream) = (context.client()?, context.stream()?);
    let keys = client.signing_keys(&stream)?;
    let event = fetch(&client, &stream, &args.event, &keys)?;
    if !event.signer_known {
        return Err(CliError::failure("UNKNOWN_SIGNER", "no registered key of the event's agent is known"));
    }
    let deployment = client.identity()?.sequencer_id.to_string();
    let proofs = context.compliance()?;
    let ids: Vec<Uuid> = match args.proof {
        Some(id) => vec![id],
        None => proofs.list(&event.envelope.event_id)?.proofs.iter().map(|proof| proof.proof_id).collect(),
    };
    if ids.is_empty() {
        return Err(CliError::failure("NO_PROOFS", "there is no proof about this event"));
    }
    let mut verdicts = Vec::new();
    for id in &ids {
        let record = proofs.proof(id)?;
        let started = Instant::now();
        let outcome = check(&record, &event, &keys, &deployment);
        verdicts.push(verdict(record, outcome, started.elapsed().as_secs_f64() * 1000.0));
    }
    let invalid = verdicts.iter().filter(|verdict| !verdict.valid).count();
    context.out.result(&verdicts, &text(&event, &verdicts));
    match invalid {
        0 => Ok(()),
        _ => Err(CliError::failure(
            "PROOF_INVALID",
            format!("{invalid} of {} proofs do not hold", verdicts.len()),
        )),
    }
}

/// Nothing but the proof's bytes and its policy is taken from the record.
fn check(
    record: &ComplianceProofBody,
    event: &PulledEvent,
    keys: &SigningKeys,
    deployment: &str,
) -> Result<Held, String> {
    let problem = |error: &dyn std::fmt::Display| error.to_string();
    let policy = Policy::new(&record.policy_id, Some(record.policy_params.get())).map_err(|e| problem(&e))?;
    let encoded = record.proof_b64.as_deref().ok_or("the server left the proof out")?;
    let bytes = Base64::decode_vec(encoded).map_err(|e| problem(&e))?;
    let bundle = std::str::from_utf8(&bytes).map_err(|_| "the proof is no bundle".to_owned())?;
    let bundle = Bundle::parse(bundle).map_err(|e| problem(&e))?;
    bundle.check_context(deployment, SystemClock.now()).map_err(|e| problem(&e))?;
    let (signing_hash, agent) = (event.envelope.signing_hash(), event.envelope.source_agent_id);
    let bound = bundle.check_binding(|binding| {
        let key = keys.get(agent, binding.agent_key_id).and_then(|key| key.ed25519_alone());
        let key = key.ok_or(BindingError::NoEd25519Key)?;
        binding.verify(&signing_hash, &bundle.inputs.commitments, key)
    });
    bound.map_err(|e| problem(&e))?;
    let security = ves_stark_client::check(&bundle, &inputs(event, policy), SystemClock.now())
        .map_err(|e| problem(&e))?;
    let binding_level = bundle.inputs.binding_level.text();
    Ok(Held { security, binding_level, agent_signed: bundle.binding.is_some() })
}

fn verdict(record: ComplianceProofBody, outcome: Result<Held, String>, time_ms: f64) -> Verdict {
    let (held, reason) = match outcome {
        Ok(held) => (Some(held), None),
        Err(reason) => (None, Some(printable(&reason))),
    };
    Verdict {
        proof_id: record.proof_id,
        policy_id: record.policy_id,
        policy_params: serde_json::from_str(record.policy_params.get()).unwrap_or_default(),
        valid: reason.is_none(),
        reason,
        verification_time_ms: time_ms,
        binding_level: held.as_ref().map(|held| held.binding_level),
        agent_signed: held.as_ref().map(|held| held.agent_signed),
        security: held.map(|held| held.security),
    }
}

fn text(event: &PulledEvent, verdicts: &[Verdict]) -> String {
    let mut text = format!("event {}, number {}\n", event.envelope.event_id, event.sequence_number);
    for verdict in verdicts {
        let Verdict { policy_id, policy_params, verification_time_ms, .. } = verdict;
        let signed = match verdict.agent_signed {
            Some(true) => "signed by the agent",
            _ => "no agent's signature, and none needed",
        };
        let outcome = match (&verdict.security, &verdict.reason) {
            (Some(security), None) => format!(
                "Proof VALID (verified in {verification_time_ms:.3}ms): {} bits conjectured, {} proven; binding {}; {signed}",
                security.conjectured_bits,
                security.proven_bits,
                verdict.binding_level.unwrap_or("unknown"),
            ),
            (_, reason) => format!("Proof INVALID: {}", reason.as_deref().unwrap_or("no reason")),
        };
        let _ = writeln!(text, "  {} {policy_params}\n    {outcome}", printable(policy_id));
    }
    text
}

//! `stateset verify`: the proofs about an event, checked here against the event itself.

use std::fmt::Write as _;
use std::time::Instant;

use base64ct::{Base64, Encoding as _};
use clap::Args;
use serde::Serialize;
use stateset_client::PulledEvent;
use stateset_sequencer::{Clock as _, SystemClock};
use uuid::Uuid;
use ves::compliance::Policy;
use ves::reject::KeyProblem;
use ves::{AgentKey, KeyAlgorithm, KeyId, KeyStatus};
use ves_stark_cli::proved;
use ves_stark_primitives::binding::BindingTimes;
use ves_stark_primitives::bundle::{PROOF_TYPE, PROOF_VERSION, Refusal};
use ves_stark_primitives::{BindingError, Bundle, FieldDescription, SecurityReport};
use ves_wire::compliance::ComplianceProofBody;
use ves_wire::keys::AgentKeyBody;

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
    proof_type: String,
    proof_version: u32,
    policy_id: String,
    policy_params: serde_json::Value,
    /// `None`: a record of another kind, which nothing here can verify.
    valid: Option<bool>,
    /// It would hold, had its `validUntil` not passed.
    ended: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    verification_time_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    binding_level: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_signed: Option<bool>,
    /// What was proved about: name, path, type, unit and exponent of each number.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    numbers: Vec<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    security: Option<SecurityReport>,
    /// The numbers for a person.
    #[serde(skip)]
    shown: Vec<String>,
}

/// What a proof that holds is worth.
struct Held {
    security: SecurityReport,
    binding_level: &'static str,
    agent_signed: bool,
    fields: Vec<FieldDescription>,
}

/// Why a proof does not hold now.
#[derive(Debug)]
enum NotHeld {
    /// Its `validUntil` has passed, and nothing else is wrong with it.
    Ended,
    Invalid(String),
}

impl From<String> for NotHeld {
    fn from(reason: String) -> Self {
        Self::Invalid(reason)
    }
}

/// What decides about the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Valid,
    Ended,
    Invalid,
    /// A record of another kind.
    NotVerifiable,
}

impl Verdict {
    fn outcome(&self) -> Outcome {
        match (self.valid, self.ended) {
            (None, _) => Outcome::NotVerifiable,
            (Some(true), _) => Outcome::Valid,
            (Some(false), true) => Outcome::Ended,
            (Some(false), false) => Outcome::Invalid,
        }
    }
}

pub fn run(context: &Context, args: &VerifyArgs) -> Result<(), CliError> {
    let (client, stream) = (context.client()?, context.stream()?);
    let keys = client.signing_keys(&stream)?;
    let event = fetch(&client, &stream, &args.event, &keys)?;
    if !event.signer_known {
        return Err(CliError::failure("UNKNOWN_SIGNER", "no registered key of the event's agent is known"));
    }
    let keys = client.keys(&stream.tenant_id, Some(&event.envelope.source_agent_id))?;
    let keys: Vec<AgentKey> = keys.iter().filter_map(signing_key).collect();
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
        let outcome = is_verifiable(&record).then(|| check(&record, &event, &keys, &deployment));
        verdicts.push(verdict(record, outcome, started.elapsed().as_secs_f64() * 1000.0));
    }
    context.out.result(&verdicts, &text(&event, &verdicts));
    let all: Vec<Outcome> = verdicts.iter().map(Verdict::outcome).collect();
    conclusion(&all)
}

/// Anyone who may write can store a record of a kind that no verifier knows, and every proof with an end comes to it:
/// neither must spoil the proofs beside it, nor pass for one that holds.
fn conclusion(outcomes: &[Outcome]) -> Result<(), CliError> {
    let count = |asked| outcomes.iter().filter(|outcome| **outcome == asked).count();
    let (valid, ended, invalid) = (count(Outcome::Valid), count(Outcome::Ended), count(Outcome::Invalid));
    match (valid, ended, invalid) {
        (0, 0, 0) => Err(CliError::failure(
            "NOT_VERIFIABLE",
            format!("none of {} records is a proof that can be verified here", outcomes.len()),
        )),
        (0, ended, 0) => Err(CliError::failure(
            "PROOF_ENDED",
            format!("the validUntil of every proof has passed ({ended} of {ended})"),
        )),
        (_, _, 0) => Ok(()),
        (valid, ended, invalid) => Err(CliError::failure(
            "PROOF_INVALID",
            format!("{invalid} of {} proofs do not hold", valid + ended + invalid),
        )),
    }
}

fn is_verifiable(record: &ComplianceProofBody) -> bool {
    (record.proof_type.as_str(), record.proof_version) == (PROOF_TYPE, PROOF_VERSION)
}

/// A key as the server lists it, for the rule of registered keys; `None` for one that signs nothing. Encryption keys are
/// in the same list, under numbers of their own.
fn signing_key(body: &AgentKeyBody) -> Option<AgentKey> {
    let algorithm = KeyAlgorithm::from_number(body.key_algorithm.into()).filter(|known| known.signs())?;
    Some(AgentKey {
        tenant_id: body.tenant_id,
        agent_id: body.agent_id,
        key_id: KeyId(body.key_id),
        public_key: body.public_key.0,
        algorithm,
        // Commitments are signed with Ed25519 alone.
        ml_dsa_65: None,
        status: KeyStatus::from_text(&body.status)?,
        valid_from: body.valid_from.map(|time| time.0),
        valid_to: body.valid_to.map(|time| time.0),
        revoked_at: body.revoked_at.map(|time| time.0),
        created_at: body.created_at.0,
        metadata: None,
    })
}

/// Nothing but the proof's bytes, its policy and when it came in is taken from the record.
fn check(
    record: &ComplianceProofBody,
    event: &PulledEvent,
    keys: &[AgentKey],
    deployment: &str,
) -> Result<Held, NotHeld> {
    let problem = |error: &dyn std::fmt::Display| error.to_string();
    let policy = Policy::new(&record.policy_id, Some(record.policy_params.get())).map_err(|e| problem(&e))?;
    let encoded = record.proof_b64.as_deref().ok_or_else(|| "the server left the proof out".to_owned())?;
    let bytes = Base64::decode_vec(encoded).map_err(|e| problem(&e))?;
    let bundle = std::str::from_utf8(&bytes).map_err(|_| "the proof is no bundle".to_owned())?;
    let bundle = Bundle::parse(bundle).map_err(|e| problem(&e))?;
    let now = SystemClock.now();
    let has_ended = match bundle.check_context(deployment, now) {
        // Told only of a proof that all else is right with.
        Err(Refusal::Ended) => true,
        checked => checked.map(|()| false).map_err(|e| problem(&e))?,
    };
    let (signing_hash, agent) = (event.envelope.signing_hash(), event.envelope.source_agent_id);
    let times = BindingTimes { event: event.sequenced_at, first_seen: record.submitted_at.0 };
    let bound = bundle.check_binding(|binding| {
        let mut of_agent = keys.iter().filter(|key| key.agent_id == agent);
        let key = of_agent.find(|key| key.key_id == binding.agent_key_id);
        let key = key.ok_or(BindingError::KeyNotValid(KeyProblem::NotFound))?;
        binding.verify_registered(&signing_hash, &bundle.inputs.commitments, key, times)
    });
    bound.map_err(|e| problem(&e))?;
    let security = ves_stark_client::check(&bundle, &inputs(event, policy), now).map_err(|e| problem(&e))?;
    if has_ended {
        return Err(NotHeld::Ended);
    }
    let binding_level = bundle.inputs.binding_level.text();
    let agent_signed = bundle.binding.is_some();
    let fields = bundle.inputs.commitments.into_iter().map(|committed| committed.field).collect();
    Ok(Held { security, binding_level, agent_signed, fields })
}

/// `None` for a record of another kind.
fn verdict(record: ComplianceProofBody, outcome: Option<Result<Held, NotHeld>>, time_ms: f64) -> Verdict {
    let valid = outcome.as_ref().map(Result::is_ok);
    let ended = matches!(outcome, Some(Err(NotHeld::Ended)));
    let (held, reason) = match outcome {
        Some(Ok(held)) => (Some(held), None),
        Some(Err(NotHeld::Ended)) => (None, Some(Refusal::Ended.to_string())),
        Some(Err(NotHeld::Invalid(reason))) => (None, Some(printable(&reason))),
        None => (None, Some("not verifiable here".to_owned())),
    };
    let fields: &[FieldDescription] = held.as_ref().map_or(&[], |held| &held.fields);
    Verdict {
        proof_id: record.proof_id,
        proof_type: record.proof_type,
        proof_version: record.proof_version,
        policy_id: record.policy_id,
        policy_params: serde_json::from_str(record.policy_params.get()).unwrap_or_default(),
        valid,
        ended,
        reason,
        verification_time_ms: time_ms,
        binding_level: held.as_ref().map(|held| held.binding_level),
        agent_signed: held.as_ref().map(|held| held.agent_signed),
        numbers: fields.iter().map(proved::number_json).collect(),
        shown: fields.iter().map(|field| printable(&proved::number(field))).collect(),
        security: held.map(|held| held.security),
    }
}

fn text(event: &PulledEvent, verdicts: &[Verdict]) -> String {
    let mut text = format!("event {}, number {}\n", event.envelope.event_id, event.sequence_number);
    for verdict in verdicts {
        let Verdict { proof_id, policy_id, policy_params, verification_time_ms, .. } = verdict;
        let signed = match verdict.agent_signed {
            Some(true) => "signed by the agent",
            _ => "no agent's signature, and none needed",
        };
        let outcome = match (&verdict.security, &verdict.reason) {
            _ if verdict.valid.is_none() => {
                let kind = printable(&verdict.proof_type);
                format!("not verifiable here: type {kind}, version {}", verdict.proof_version)
            }
            (Some(security), None) => format!(
                "Proof VALID (verified in {verification_time_ms:.3}ms): {} bits conjectured, {} proven; binding {}; {signed}",
                security.conjectured_bits,
                security.proven_bits,
                verdict.binding_level.unwrap_or("unknown"),
            ),
            _ if verdict.ended => {
                "Proof ENDED: its validUntil has passed, and all else in it holds".to_owned()
            }
            (_, reason) => format!("Proof INVALID: {}", reason.as_deref().unwrap_or("no reason")),
        };
        let _ = writeln!(text, "  proof {proof_id}: {} {policy_params}\n    {outcome}", printable(policy_id));
        for number in &verdict.shown {
            let _ = writeln!(text, "    number: {number}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use ves::{Digest, SigningKey, TimestampMs};
    use ves_stark_primitives::CommitmentBinding;

    #[test]
    fn records_of_other_kinds_neither_spoil_a_verdict_nor_make_one() {
        use Outcome::{Invalid, NotVerifiable, Valid};
        assert_eq!(code(&[Valid, NotVerifiable]), None);
        assert_eq!(code(&[NotVerifiable, NotVerifiable]), failure("NOT_VERIFIABLE"));
        assert_eq!(code(&[NotVerifiable, Valid, Invalid]), failure("PROOF_INVALID"));
    }

    #[test]
    fn a_proof_that_has_ended_neither_spoils_a_verdict_nor_makes_one() {
        use Outcome::{Ended, Invalid, NotVerifiable, Valid};
        assert_eq!(code(&[Ended, Valid]), None);
        assert_eq!(code(&[Ended, NotVerifiable, Ended]), failure("PROOF_ENDED"));
        assert_eq!(code(&[Ended, Valid, Invalid]), failure("PROOF_INVALID"));
    }

    fn code(all: &[Outcome]) -> Option<(u8, String)> {
        conclusion(all).err().map(|error| (error.exit, error.code))
    }

    fn failure(code: &str) -> Option<(u8, String)> {
        Some((1, code.to_owned()))
    }

    /// By the list of the server: revoked before the binding came in, after it, and at a time that is not told.
    #[test]
    fn a_listed_key_binds_nothing_once_it_is_revoked() {
        let signer = SigningKey::from_seed([7; 32]);
        let hash = Digest([9; 32]);
        let binding = CommitmentBinding::sign(&hash, KeyId(3), &[], &signer).unwrap();
        let time = |second: i64| TimestampMs(second * 1000);
        let mut listed = json!({
            "tenantId": "11111111-1111-1111-1111-111111111111",
            "agentId": "22222222-2222-2222-2222-222222222222",
            "keyId": 3, "keyAlgorithm": 1, "status": "active", "createdAt": time(0).to_string(),
            "publicKey": ves::hex::encode(&signer.public_key()),
        });
        let bound = |listed: &serde_json::Value| {
            let body: AgentKeyBody = serde_json::from_value(listed.clone()).unwrap();
            let times = BindingTimes { event: time(10), first_seen: time(20) };
            binding.verify_registered(&hash, &[], &signing_key(&body).unwrap(), times)
        };
        assert_eq!(bound(&listed), Ok(()));
        listed["status"] = "revoked".into();
        let revoked = Err(BindingError::KeyNotValid(KeyProblem::Revoked));
        assert_eq!(bound(&listed), revoked);
        for (second, expected) in [(30, Ok(())), (20, revoked.clone()), (15, revoked)] {
            listed["revokedAt"] = time(second).to_string().into();
            assert_eq!(bound(&listed), expected, "{second}");
        }
        // An encryption key of the same number signs nothing, and a status that is not known says nothing.
        for (name, value) in
            [("keyAlgorithm", json!(KeyAlgorithm::X25519.number())), ("status", json!("new"))]
        {
            let mut other = listed.clone();
            other[name] = value;
            assert!(signing_key(&serde_json::from_value(other).unwrap()).is_none(), "{name}");
        }
    }
}

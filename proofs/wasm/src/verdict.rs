//! From a request to a verdict, both JSON.

use serde::{Deserialize, Serialize};
use ves::ed25519::PublicKey;
use ves::{Digest, TimestampMs, hex};
use ves_stark_primitives::bundle::Refusal;
use ves_stark_primitives::{BindingLevel, Bundle, EventInputs, InputsError, PublicInputs, SecurityReport};
use ves_stark_verifier::verify_statement;

/// What a caller asks.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Request {
    /// Text of the bundle, as its prover gave it.
    bundle: String,
    /// Text of the public inputs that the proof must be about, of either version: from the event service, not from the
    /// prover.
    inputs: String,
    /// Public key of the agent that must have signed the commitment, 64 hex digits.
    #[serde(default)]
    agent_key: Option<String>,
    /// Milliseconds since 1970.
    now: i64,
    /// The deployment that the proof must be for.
    chain_context: String,
}

/// What it is told. Untagged: a verdict has `valid`, a request that cannot be read has `error`.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    #[serde(rename_all = "camelCase")]
    Valid {
        valid: bool,
        security: SecurityReport,
        /// `verified`, `not_checked` or `absent`.
        agent_signature: &'static str,
        /// `signed` or `circuit`.
        binding_level: &'static str,
        policy_id: String,
        policy_hash: Digest,
        statement_digest: Digest,
    },
    Invalid {
        valid: bool,
        reason: String,
    },
    Unreadable {
        error: String,
    },
}

/// The event and policy asked for, and the whole statement where the inputs hold one.
struct Expected {
    event: EventInputs,
    statement: Option<Digest>,
}

/// Answers one request. Total: bytes that are no request get an answer that says why.
pub fn answer(request: &[u8]) -> String {
    let answer = match read(request) {
        Ok((request, expected, key)) => match check(&request, &expected, key.as_ref()) {
            Ok(valid) => valid,
            Err(reason) => Answer::Invalid { valid: false, reason },
        },
        Err(error) => Answer::Unreadable { error },
    };
    serde_json::to_string(&answer).expect("an answer is JSON")
}

/// The caller's own part of the request; what the prover wrote is judged by [`check`].
fn read(request: &[u8]) -> Result<(Request, Expected, Option<PublicKey>), String> {
    let request: Request = serde_json::from_slice(request).map_err(|error| error.to_string())?;
    let expected = expected(&request.inputs).map_err(|error| format!("inputs: {error}"))?;
    let key = request.agent_key.as_deref().map(agent_key).transpose()?;
    Ok((request, expected, key))
}

fn expected(text: &str) -> Result<Expected, InputsError> {
    match PublicInputs::parse(text) {
        Ok(inputs) => Ok(Expected { statement: Some(inputs.statement_digest()), event: inputs.event }),
        Err(_) => Ok(Expected { statement: None, event: EventInputs::parse(text)? }),
    }
}

fn agent_key(text: &str) -> Result<PublicKey, String> {
    let bytes = hex::decode_lenient::<32>(text).map_err(|error| format!("agentKey: {error}"))?;
    PublicKey::from_bytes(&bytes).map_err(|problem| format!("agentKey: the key {problem}"))
}

fn check(request: &Request, expected: &Expected, key: Option<&PublicKey>) -> Result<Answer, String> {
    let bundle = Bundle::parse(request.bundle.trim_end()).map_err(|error| error.to_string())?;
    let security = judge(&bundle, request, expected, key).map_err(|refusal| refusal.to_string())?;
    let statement_digest = bundle.inputs.statement_digest();
    if expected.statement.is_some_and(|digest| digest != statement_digest) {
        return Err("it is of another statement than the inputs".to_owned());
    }
    let agent_signature = match (key, &bundle.binding) {
        (Some(_), _) => "verified",
        (None, Some(_)) => "not_checked",
        (None, None) => "absent",
    };
    let policy = &bundle.inputs.event.policy;
    Ok(Answer::Valid {
        valid: true,
        security,
        agent_signature,
        binding_level: bundle.inputs.binding_level.text(),
        policy_id: policy.id().to_owned(),
        policy_hash: policy.hash(),
        statement_digest,
    })
}

fn judge(
    bundle: &Bundle,
    request: &Request,
    expected: &Expected,
    key: Option<&PublicKey>,
) -> Result<SecurityReport, Refusal> {
    // The cheap checks come first: a bundle of another deployment costs no proof.
    let now = TimestampMs(request.now);
    bundle.check_context(&request.chain_context, now)?;
    let security =
        bundle.check(&expected.event, |statement, proof| verify_statement(statement, now, proof))?;
    if let Some(key) = key {
        let signing_hash = bundle.inputs.event.facts.event_signing_hash;
        bundle.check_signature(|binding| binding.verify(&signing_hash, &bundle.inputs.commitments, key))?;
    } else if bundle.inputs.binding_level != BindingLevel::Signed {
        // What an unsigned commitment counts is nobody's word.
        bundle.check_binding(|_| Ok(()))?;
    }
    Ok(security)
}

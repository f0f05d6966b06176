//! `ves-stark prove-submit`

use std::path::PathBuf;

use clap::Args;
use ves::{Digest, EventId, StoreId, StreamKey, TenantId};
use ves_stark_client::{ClientError, ComplianceClient, Submitted};
use ves_stark_primitives::Bundle;
use ves_wire::compliance::ComplianceVerification;
use ves_wire::validity::VerificationOutcome;

use crate::commands::prove::{AmountArgs, SuiteName};
use crate::composed::ComposedArgs;
use crate::evidence::BindingArgs;
use crate::failure::Failure;
use crate::files;
use crate::output::Output;
use crate::policy::PolicyArgs;
use crate::signing_key::SigningArgs;
use crate::subject::{Subject, Terms};

#[derive(Debug, Args)]
pub struct ProveSubmitArgs {
    /// Address of the service; its API key comes from STATESET_API_KEY
    #[arg(long, value_name = "URL", env = "STATESET_URL", hide_env_values = true)]
    sequencer_url: String,
    /// Tenant of the event, where the API key is of no tenant of its own
    #[arg(long, value_name = "UUID", env = "STATESET_TENANT", hide_env_values = true, requires = "store")]
    tenant: Option<TenantId>,
    /// Store of the event, where the event id alone does not name it
    #[arg(long, value_name = "UUID", env = "STATESET_STORE", hide_env_values = true, requires = "tenant")]
    store: Option<StoreId>,
    /// The event, which the agent signed
    #[arg(long, value_name = "UUID")]
    event_id: EventId,
    #[command(flatten)]
    amount: AmountArgs,
    #[command(flatten)]
    composed: ComposedArgs,
    #[command(flatten)]
    policy: PolicyArgs,
    /// Hash of the delegated intent, for agent.authorization.v1
    #[arg(long, value_name = "HEX")]
    intent_hash: Option<Digest>,
    /// Parameters of the proof
    #[arg(long, value_enum, default_value = "standard")]
    suite: SuiteName,
    #[command(flatten)]
    binding: BindingArgs,
    /// Unix time in seconds after which the proof says nothing [default: it does not end]
    #[arg(long, value_name = "SECONDS")]
    valid_until: Option<u64>,
    #[command(flatten)]
    signing: SigningArgs,
    /// Keep the amount, or the openings, with the randomness of the commitments here; the file is secret
    #[arg(long, value_name = "FILE")]
    keep_opening: Option<PathBuf>,
    /// Have the service verify what it stored
    #[arg(long)]
    verify: bool,
}

pub fn run(out: &Output, args: &ProveSubmitArgs) -> Result<(), Failure> {
    args.keep_opening.as_deref().map_or(Ok(()), files::check_new)?;
    let named = args.policy.read(args.intent_hash)?;
    let key = args.signing.read()?;
    if key.is_none() && !args.binding.is_circuit() {
        return Err(Failure::input(
            "NO_KEY",
            "a service takes only proofs whose commitment the agent signed",
        )
        .hint("put the seed of the agent's key into VES_AGENT_KEY, 64 hex digits"));
    }
    let subject = Subject::read(&named, &args.amount, &args.binding, &args.composed)?;
    let api_key = std::env::var("STATESET_API_KEY").ok();
    let stream = args.tenant.zip(args.store).map(|(tenant_id, store_id)| StreamKey { tenant_id, store_id });
    let client = ComplianceClient::new(&args.sequencer_url, api_key, stream)?;
    let terms = Terms {
        event: client.inputs(&args.event_id, &named.policy()).map_err(no_inputs)?,
        suite: args.suite.into(),
        chain_context: client.chain_context()?,
        valid_until: args.valid_until,
    };
    let bundle = subject.prove(terms, key.as_ref())?;
    if let Some(file) = &args.keep_opening {
        files::write_new(file, &format!("{}\n", *subject.to_json()))?;
    }
    let submitted = client.submit(&bundle)?;
    let verification = match args.verify {
        true => Some(client.verify(&submitted.record.proof_id)?),
        false => None,
    };
    let text = told(&submitted, &bundle, verification.as_ref());
    let value = serde_json::json!({
        "proof": submitted.record,
        "earlierProof": submitted.is_earlier_proof,
        "bindingLevel": bundle.inputs.binding_level.text(),
        "verification": verification,
    });
    out.result(&value, &text);
    match verification {
        Some(found) if !found.outcome.valid => {
            Err(Failure::failed("PROOF_INVALID", "the service does not find the stored proof valid"))
        }
        _ => Ok(()),
    }
}

/// A key that is of no tenant, such as the first administrator's, leaves it to the caller to name the event's.
fn no_inputs(error: ClientError) -> Failure {
    match error {
        ClientError::Refused { status: 400, ref code, .. } if code == "MISSING_REQUIRED_FIELD" => {
            Failure { exit: 2, code: "NO_TENANT", ..error.into() }
                .hint("the API key is of no tenant: name the event's with --tenant and --store")
        }
        error => error.into(),
    }
}

/// What happened, for a person.
fn told(submitted: &Submitted, bundle: &Bundle, verification: Option<&ComplianceVerification>) -> String {
    // Not the server's words: they must not steer the terminal.
    let (record, policy) = (&submitted.record, bundle.inputs.event.policy.id());
    let mut text = match submitted.is_earlier_proof {
        true => format!(
            "The service already holds another proof of this statement and keeps that one: {}, {} of event {}.",
            record.proof_id, policy, record.event_id
        ),
        false => format!(
            "Stored as {}: {} of event {}, binding {}, {} bytes of proof, verified on submission: {}.",
            record.proof_id,
            policy,
            record.event_id,
            bundle.inputs.binding_level.text(),
            bundle.proof.len(),
            record.verified
        ),
    };
    if let Some(found) = verification {
        text += &verified(&found.outcome);
    }
    text
}

/// What the service found of a stored proof, as a line after others.
pub fn verified(outcome: &VerificationOutcome) -> String {
    let time = outcome.stark_verification_time_ms.unwrap_or_default();
    match (outcome.valid, &outcome.reason) {
        (true, _) => format!("\nProof VALID (verified by the service in {time}ms)"),
        (false, reason) => {
            format!("\nProof INVALID: {}", reason.as_deref().unwrap_or("no reason given").escape_debug())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The admin key of `stateset up` is of no tenant; the service's own words name no option.
    #[test]
    fn a_key_without_a_tenant_is_told_which_options_name_one() {
        let refused = |code: &str| {
            no_inputs(ClientError::Refused { status: 400, code: code.to_owned(), message: "no".to_owned() })
        };
        let missing = refused("MISSING_REQUIRED_FIELD");
        assert_eq!((missing.exit, missing.code), (2, "NO_TENANT"));
        assert!(missing.hint.is_some_and(|hint| hint.contains("--tenant and --store")));
        assert_eq!(refused("INVALID_FIELD_VALUE").code, "REFUSED");
    }
}

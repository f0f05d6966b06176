//! `ves-stark batch-verify`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use serde::Deserialize;
use serde::de::IgnoredAny;
use ves::Digest;
use ves_stark_batch::{BUNDLE_BYTES_MAX, BatchBundle, BatchFacts, BatchInputs, InputsError};
use ves_stark_primitives::{AmountPolicy, SecurityReport};

use crate::clock::now;
use crate::failure::Failure;
use crate::output::Output;
use crate::proved::{self, printable};
use crate::{files, inputs_file};

#[derive(Debug, Args)]
pub struct BatchVerifyArgs {
    /// Proof file; `-` is stdin
    #[arg(long, value_name = "FILE")]
    proof: PathBuf,
    /// Public inputs that the proof must be about, those of a proof or of a batch, also as a service answers them
    /// [default: those in the proof file]
    #[arg(long, value_name = "FILE")]
    inputs: Option<PathBuf>,
    /// The number of the policy that the proof must be about, in minor units [default: any, and it is told]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// That policy: aml.threshold, order_total.cap, agent.authorization.v1 or agent.budget.v1
    #[arg(long, value_name = "POLICY", default_value = "aml.threshold", requires = "limit")]
    policy: String,
    /// Path where the proved numbers must stand in the payloads
    #[arg(long, value_name = "PATH")]
    field: Option<String>,
    /// Deployment that the proof must be for, such as the sequencer's id [default: any, and it is told]
    #[arg(long, value_name = "TEXT")]
    chain_context: Option<String>,
}

/// What the options ask for, read before the clock starts.
struct Asked<'a> {
    args: &'a BatchVerifyArgs,
    inputs: Option<Expected>,
    policy: Option<AmountPolicy>,
}

/// Inputs of a proof, or of a batch alone.
enum Expected {
    Statement(Digest),
    Batch(Box<BatchFacts>),
}

/// What was checked, of a proof that holds.
struct Held {
    bundle: BatchBundle,
    security: SecurityReport,
}

pub fn run(out: &Output, args: &BatchVerifyArgs) -> Result<ExitCode, Failure> {
    let asked = Asked::read(args)?;
    let text = files::read(&args.proof, BUNDLE_BYTES_MAX)?;
    let started = Instant::now();
    let verdict = verify(text.trim_end(), &asked);
    let took = started.elapsed();
    let time_ms = took.as_secs_f64() * 1000.0;
    match &verdict {
        Ok(Held { bundle, security }) => {
            let (proved, left_out) = (bundle.commitments.len(), bundle.inputs.excluded.len());
            // Whose keys they are made with, only a service knows that holds the events.
            let signed = match bundle.bindings {
                Some(_) => "signatures of agents NOT checked",
                None => "NOT signed by agents",
            };
            let (inputs, policy) = (&bundle.inputs, bundle.inputs.policy.policy());
            let text = format!(
                "Proof VALID (verified in {took:?}): {proved} events, {left_out} left out; {} bits conjectured, {} proven; {signed}{}",
                security.conjectured_bits,
                security.proven_bits,
                proved::lines(
                    &proved::policy(&policy),
                    &[&inputs.field],
                    &inputs.chain_context,
                    inputs.valid_until
                ),
            );
            let value = serde_json::json!({
                "valid": true, "verificationTimeMs": time_ms, "events": proved, "leftOut": inputs.excluded,
                "policyId": policy.id(), "policyHash": policy.hash(),
                "policyParams": serde_json::from_str::<serde_json::Value>(policy.params()).ok(),
                "numbers": [proved::number_json(&inputs.field)],
                "chainContext": inputs.chain_context, "validUntil": inputs.valid_until, "security": security,
            });
            out.result(&value, &text);
            Ok(ExitCode::SUCCESS)
        }
        Err(reason) => {
            let value = serde_json::json!({"valid": false, "verificationTimeMs": time_ms, "reason": reason});
            out.result(&value, &format!("Proof INVALID (verified in {took:?}): {}", printable(reason)));
            Ok(ExitCode::from(1))
        }
    }
}

impl<'a> Asked<'a> {
    fn read(args: &'a BatchVerifyArgs) -> Result<Self, Failure> {
        // Of an intent the options say nothing: the proof's own is told.
        let intent = (args.policy == "agent.authorization.v1").then_some(Digest::ZERO);
        let policy =
            args.limit.map(|limit| AmountPolicy::with_limit(&args.policy, limit, intent)).transpose()?;
        let inputs = match &args.inputs {
            Some(file) => Some(expected(&inputs_file::read(file, BUNDLE_BYTES_MAX)?)?),
            None => None,
        };
        Ok(Self { args, inputs, policy })
    }
}

/// Inputs of either kind, told apart by `proofVersion`, which those of a batch have not.
fn expected(text: &str) -> Result<Expected, Failure> {
    #[derive(Deserialize)]
    struct Version {
        #[serde(rename = "proofVersion")]
        proof_version: Option<IgnoredAny>,
    }
    let bad = |error: InputsError| Failure::input("BAD_INPUTS", error.to_string());
    if let Ok(Version { proof_version: None }) = serde_json::from_str(text) {
        let facts = BatchFacts::parse(text).map_err(bad)?;
        return match facts.policy {
            Some(_) => Ok(Expected::Batch(Box::new(facts))),
            None => {
                Err(bad(InputsError::NoPolicy)
                    .hint("ask the service for them with policyId and policyParams"))
            }
        };
    }
    BatchInputs::parse(text).map(|inputs| Expected::Statement(inputs.statement_digest())).map_err(bad)
}

fn verify(text: &str, asked: &Asked<'_>) -> Result<Held, String> {
    let bundle = BatchBundle::parse(text).map_err(|error| error.to_string())?;
    let own = &bundle.inputs;
    match &asked.inputs {
        Some(Expected::Statement(digest)) if *digest != own.statement_digest() => {
            return Err("it is of another statement than the inputs".to_owned());
        }
        Some(Expected::Batch(facts)) => bundle.check_facts(facts).map_err(|error| error.to_string())?,
        _ => (),
    }
    if let Some(policy) = &asked.policy
        && (policy.id(), policy.limit()) != (own.policy.id(), own.policy.limit())
    {
        let found = own.policy.policy();
        return Err(format!("its policy is {}, another than the options name", proved::policy(&found)));
    }
    match &asked.args.field {
        Some(path) if path != own.field.path() => {
            return Err(format!("it is about another number: {}", proved::number(&own.field)));
        }
        _ => (),
    }
    let deployment = asked.args.chain_context.as_deref().unwrap_or(&own.chain_context);
    bundle.check_context(deployment, now()).map_err(|error| error.to_string())?;
    let security = bundle.check().map_err(|error| error.to_string())?;
    Ok(Held { bundle, security })
}

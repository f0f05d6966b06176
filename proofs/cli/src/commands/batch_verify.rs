//! `ves-stark batch-verify`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use ves_stark_batch::{BUNDLE_BYTES_MAX, BatchBundle, BatchInputs};
use ves_stark_primitives::SecurityReport;

use crate::failure::Failure;
use crate::files;
use crate::output::Output;

#[derive(Debug, Args)]
pub struct BatchVerifyArgs {
    /// Proof file; `-` is stdin
    #[arg(long, value_name = "FILE")]
    proof: PathBuf,
    /// Public inputs that the proof must be about [default: those in the proof file]
    #[arg(long, value_name = "FILE")]
    inputs: Option<PathBuf>,
}

/// What was checked, of a proof that holds.
struct Held {
    bundle: BatchBundle,
    security: SecurityReport,
}

pub fn run(out: &Output, args: &BatchVerifyArgs) -> Result<ExitCode, Failure> {
    let expected = match &args.inputs {
        Some(file) => {
            let text = files::read(file, BUNDLE_BYTES_MAX)?;
            let inputs = BatchInputs::parse(text.trim_end());
            Some(inputs.map_err(|error| Failure::input("BAD_INPUTS", error.to_string()))?)
        }
        None => None,
    };
    let text = files::read(&args.proof, BUNDLE_BYTES_MAX)?;
    let started = Instant::now();
    let verdict = verify(text.trim_end(), expected.as_ref());
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
            let text = format!(
                "Proof VALID (verified in {took:?}): {proved} events, {left_out} left out; {} bits conjectured, {} proven; {signed}",
                security.conjectured_bits, security.proven_bits
            );
            let value = serde_json::json!({
                "valid": true, "verificationTimeMs": time_ms, "events": proved, "leftOut": bundle.inputs.excluded,
                "policyId": bundle.inputs.policy.id(), "policyHash": bundle.inputs.policy.hash(), "security": security,
            });
            out.result(&value, &text);
            Ok(ExitCode::SUCCESS)
        }
        Err(reason) => {
            let value = serde_json::json!({"valid": false, "verificationTimeMs": time_ms, "reason": reason});
            let shown: String = reason.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
            out.result(&value, &format!("Proof INVALID (verified in {took:?}): {shown}"));
            Ok(ExitCode::from(1))
        }
    }
}

fn verify(text: &str, expected: Option<&BatchInputs>) -> Result<Held, String> {
    let bundle = BatchBundle::parse(text).map_err(|error| error.to_string())?;
    if expected.is_some_and(|expected| expected.statement_digest() != bundle.inputs.statement_digest()) {
        return Err("it is of another statement than the inputs".to_owned());
    }
    let security = bundle.check().map_err(|error| error.to_string())?;
    Ok(Held { bundle, security })
}

//! `ves-stark batch-prove`

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use ves::Digest;
use ves_stark_batch::EVENTS_MAX;
use ves_stark_primitives::AmountPolicy;
use zeroize::Zeroizing;

use crate::batch::{Chain, proof_bytes, random_amount};
use crate::commands::prove::SuiteName;
use crate::failure::Failure;
use crate::files;
use crate::output::Output;

/// Longest file of amounts: 65,536 numbers of twenty digits.
const AMOUNTS_BYTES_MAX: usize = 2 << 20;

#[derive(Debug, Args)]
pub struct BatchProveArgs {
    /// Events with random amounts that obey the policy
    #[arg(short = 'n', long = "count", value_name = "N", required_unless_present = "events", value_parser = clap::value_parser!(u32).range(1..=EVENTS_MAX as i64))]
    count: Option<u32>,
    /// The policy's number, in minor units
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    limit: u64,
    /// aml.threshold, order_total.cap, agent.authorization.v1 or agent.budget.v1
    #[arg(long, value_name = "POLICY", default_value = "aml.threshold")]
    policy: String,
    /// Hash of the delegated intent, for agent.authorization.v1
    #[arg(long, value_name = "HEX")]
    intent_hash: Option<Digest>,
    /// File of amounts in minor units, one a line, `-` is stdin; those above the limit are left out and listed
    #[arg(long, value_name = "FILE", conflicts_with = "count")]
    events: Option<PathBuf>,
    /// Parameters of the proof
    #[arg(long, value_enum, default_value = "standard")]
    suite: SuiteName,
    /// Deployment that the proof is for
    #[arg(long, value_name = "TEXT", default_value = "local")]
    chain_context: String,
    /// Unix time in seconds after which the proof says nothing [default: it does not end]
    #[arg(long, value_name = "SECONDS")]
    valid_until: Option<u64>,
    /// Where to write the proof; `-` is stdout
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    output: PathBuf,
}

pub fn run(out: &Output, args: &BatchProveArgs) -> Result<(), Failure> {
    let policy = AmountPolicy::with_limit(&args.policy, args.limit, args.intent_hash)?;
    let amounts = match &args.events {
        Some(file) => amounts(file)?,
        None => {
            let count = args.count.unwrap_or_default();
            let amounts = (0..count).map(|_| random_amount(policy.effective_limit()));
            Zeroizing::new(amounts.collect::<Result<_, _>>()?)
        }
    };
    if !amounts.iter().any(|amount| policy.allows(*amount)) {
        return Err(Failure::failed("POLICY_NOT_SATISFIED", "no amount satisfies the policy"));
    }
    let mut batch = Chain::new()?.next(&policy, args.suite.into(), &amounts)?;
    batch.inputs.chain_context.clone_from(&args.chain_context);
    batch.inputs.valid_until = args.valid_until;
    let bar = out.progress(amounts.len() as u64, "events");
    let started = Instant::now();
    let bundle = batch.prove(&mut |done| bar.set_position(done as u64))?;
    let took = started.elapsed();
    bar.finish_and_clear();
    files::write(&args.output, &format!("{}\n", bundle.to_json()))?;
    if args.output.as_os_str() != "-" {
        let (proved, left_out) = (bundle.commitments.len(), bundle.inputs.excluded.len());
        let bytes = proof_bytes(&bundle);
        let text = format!(
            "Wrote {}: {bytes} bytes of proof about {proved} events, made in {took:.1?}; {left_out} left out.",
            args.output.display()
        );
        let value = serde_json::json!({
            "file": args.output,
            "events": proved,
            "leftOut": left_out,
            "proofBytes": bytes,
            "proofHash": bundle.proof_hash(),
            "provingTimeMs": took.as_secs_f64() * 1000.0,
            "security": bundle.security,
        });
        out.result(&value, &text);
    }
    Ok(())
}

fn amounts(file: &std::path::Path) -> Result<Zeroizing<Vec<u64>>, Failure> {
    let text = files::read(file, AMOUNTS_BYTES_MAX)?;
    let amounts: Option<Vec<u64>> = text.lines().map(crate::commands::prove::amount).collect();
    match amounts.map(Zeroizing::new) {
        Some(amounts) if (1..=EVENTS_MAX).contains(&amounts.len()) => Ok(amounts),
        Some(amounts) => Err(Failure::input(
            "BAD_EVENTS",
            format!("{} holds {} amounts, expected 1 to {EVENTS_MAX}", file.display(), amounts.len()),
        )),
        None => Err(Failure::input(
            "BAD_EVENTS",
            format!("{} holds a line that is no whole number of minor units", file.display()),
        )),
    }
}

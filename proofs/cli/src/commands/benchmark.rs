//! `ves-stark benchmark`

use std::time::{Duration, Instant};

use clap::Args;
use ves::Digest;
use ves_stark_client::{Proposal, check, prove, system_random};
use ves_stark_primitives::{AmountPolicy, FieldOpening, Opening};

use crate::clock::now;
use crate::commands::prove::{SuiteName, unnamed_field};
use crate::failure::Failure;
use crate::output::Output;
use crate::{random, sample};

#[derive(Debug, Args)]
pub struct BenchmarkArgs {
    /// Proofs to make
    #[arg(short = 'n', long = "count", value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    count: u64,
    /// Largest amount; amounts are random and obey the policy [default: what the policy allows]
    #[arg(long, value_name = "N")]
    max_amount: Option<u64>,
    /// The policy's number, in minor units
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    limit: u64,
    /// aml.threshold, order_total.cap, agent.authorization.v1 or agent.budget.v1
    #[arg(long, value_name = "POLICY", default_value = "aml.threshold")]
    policy: String,
    /// Hash of the delegated intent, for agent.authorization.v1
    #[arg(long, value_name = "HEX")]
    intent_hash: Option<Digest>,
    /// Parameters of the proofs
    #[arg(long, value_enum, default_value = "standard")]
    suite: SuiteName,
}

/// The middle of each, which a few slow runs do not move.
struct Medians {
    prove: Duration,
    verify: Duration,
    bytes: usize,
}

pub fn run(out: &Output, args: &BenchmarkArgs) -> Result<(), Failure> {
    let policy = AmountPolicy::with_limit(&args.policy, args.limit, args.intent_hash)?;
    let largest = args.max_amount.unwrap_or(u64::MAX).min(policy.effective_limit());
    let mut random = system_random().map_err(random::no_randomness)?;
    let bar = out.progress(args.count, "proofs");
    let (mut proving, mut verifying, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
    for number in 1..=args.count {
        let event = sample::inputs(&policy.policy(), number)?;
        // Not uniform where the range is no power of two, which a benchmark does not mind.
        let amount = match largest.checked_add(1) {
            Some(range) => u64::from_le_bytes(random::bytes()?) % range,
            None => u64::from_le_bytes(random::bytes()?),
        };
        let opening = FieldOpening { field: unnamed_field(), opening: Opening::draw(amount, random::fill)? };
        let proposal = Proposal {
            event: event.clone(),
            suite: args.suite.into(),
            chain_context: "benchmark".to_owned(),
            valid_until: None,
            opening: &opening,
        };
        let started = Instant::now();
        let bundle = prove(proposal, None, &mut random)?;
        let proved = Instant::now();
        check(&bundle, &event, now()).map_err(|refusal| Failure::failed("INTERNAL", refusal.to_string()))?;
        let verified = proved.elapsed();
        // Making a bundle verifies it once: that is no part of proving.
        proving.push((proved - started).saturating_sub(verified));
        verifying.push(verified);
        bytes.push(bundle.proof.len());
        bar.inc(1);
    }
    bar.finish_and_clear();
    report(out, args, Medians { prove: median(proving), verify: median(verifying), bytes: median(bytes) });
    Ok(())
}

fn report(out: &Output, args: &BenchmarkArgs, medians: Medians) {
    let Medians { prove, verify, bytes } = medians;
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let text = format!(
        "{} proofs of {}, medians: prove {prove:.1?}, verify {verify:.1?}, {bytes} bytes",
        args.count, args.policy
    );
    let value = serde_json::json!({
        "count": args.count, "policy": args.policy, "proveMs": ms(prove), "verifyMs": ms(verify), "proofBytes": bytes,
    });
    out.result(&value, &text);
}

fn median<T: Ord + Copy>(mut values: Vec<T>) -> T {
    values.sort_unstable();
    values[values.len() / 2]
}

//! `ves-stark sequencer`: a rehearsal of proofs about a chain of batches. It opens no port and no log.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use ves_stark_batch::{BatchInputs, EVENTS_MAX, check_chain};
use ves_stark_primitives::AmountPolicy;

use crate::batch::{Chain, proof_bytes, random_amount};
use crate::commands::prove::SuiteName;
use crate::failure::Failure;
use crate::files;
use crate::output::Output;

#[derive(Debug, Args)]
pub struct SequencerArgs {
    /// Made-up events
    #[arg(short = 'n', long = "count", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// Events of a batch
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=EVENTS_MAX as i64))]
    batch_size: u32,
    /// What every amount has to be below, in minor units
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    limit: u64,
    /// Let about every eighth amount reach the limit; such events are left out and listed
    #[arg(long)]
    include_violations: bool,
    /// Parameters of the proofs
    #[arg(long, value_enum, default_value = "standard")]
    suite: SuiteName,
    /// Folder for one proof file of each batch; made where it is missing. One that holds batches already is refused
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
    /// Remove the batch files of an earlier run from the folder
    #[arg(long, requires = "output_dir")]
    overwrite: bool,
}

pub fn run(out: &Output, args: &SequencerArgs) -> Result<(), Failure> {
    let policy = AmountPolicy::with_limit("aml.threshold", args.limit, None)?;
    if let Some(folder) = &args.output_dir {
        make_room(folder, args.overwrite)?;
    }
    let (mut chain, mut inputs): (Chain, Vec<BatchInputs>) = (Chain::new()?, Vec::new());
    let (mut batches, mut proved, mut left_out, mut bytes) = (0u32, 0, 0, 0);
    let (started, bar) = (Instant::now(), out.progress(args.count.into(), "events"));
    let mut missing = args.count;
    while missing > 0 {
        let size = missing.min(args.batch_size);
        let amounts = amounts(&policy, size, args.include_violations)?;
        let batch = chain.next(&policy, args.suite.into(), &amounts)?;
        let bundle = batch.prove(&mut |_| ())?;
        batches += 1;
        if let Some(folder) = &args.output_dir {
            files::write(&folder.join(file_name(batches)), &format!("{}\n", bundle.to_json()))?;
        }
        proved += bundle.commitments.len();
        left_out += bundle.inputs.excluded.len();
        bytes += proof_bytes(&bundle);
        inputs.push(bundle.inputs);
        missing -= size;
        bar.inc(size.into());
    }
    check_chain(&inputs).map_err(|error| Failure::failed("INTERNAL", error.to_string()))?;
    bar.finish_and_clear();
    let took = started.elapsed();
    let text = format!(
        "{batches} batches, each proved, verified and chained to the one before: {proved} events obey the policy, {left_out} left out; {bytes} bytes of proofs in {took:.1?}"
    );
    let value = serde_json::json!({
        "batches": batches, "events": args.count, "proved": proved, "leftOut": left_out, "proofBytes": bytes,
        "timeMs": took.as_secs_f64() * 1000.0, "outputDir": args.output_dir,
    });
    out.result(&value, &text);
    Ok(())
}

fn file_name(batch: u32) -> String {
    format!("batch_{batch:05}.json")
}

/// Whether a file is named as [`file_name`] names them.
fn is_batch_file(name: &OsStr) -> bool {
    let number = name
        .to_str()
        .and_then(|name| name.strip_prefix("batch_"))
        .and_then(|name| name.strip_suffix(".json"))
        .and_then(|digits| digits.parse().ok());
    number.is_some_and(|number| OsStr::new(&file_name(number)) == name)
}

/// A folder without batches. Streams, events and openings are drawn anew in every run, so batches of two runs are no
/// chain, and those of an earlier, longer run would pass for the end of this one.
fn make_room(folder: &Path, overwrite: bool) -> Result<(), Failure> {
    let failed = |doing: &str, path: &Path, error: std::io::Error| {
        Failure::failed("IO", format!("cannot {doing} {}: {error}", path.display()))
    };
    std::fs::create_dir_all(folder).map_err(|error| failed("make", folder, error))?;
    let mut earlier = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| failed("read", folder, error))? {
        let entry = entry.map_err(|error| failed("read", folder, error))?;
        if is_batch_file(&entry.file_name()) {
            earlier.push(entry.path());
        }
    }
    if !earlier.is_empty() && !overwrite {
        let message = format!("{} holds {} batch files of an earlier run", folder.display(), earlier.len());
        return Err(Failure::input("EXISTS", message)
            .hint("name another folder with --output-dir, or have them removed with --overwrite"));
    }
    for file in earlier {
        std::fs::remove_file(&file).map_err(|error| failed("remove", &file, error))?;
    }
    Ok(())
}

/// Random amounts below the limit. Of each batch the first obeys, so that there is something to prove; of the others
/// about every eighth reaches the limit where that is asked for.
fn amounts(policy: &AmountPolicy, count: u32, include_violations: bool) -> Result<Vec<u64>, Failure> {
    let mut amounts = Vec::new();
    for place in 0..count {
        let below = random_amount(policy.effective_limit())?;
        let violates = include_violations && place > 0 && random_amount(7)? == 0;
        amounts.push(if violates { policy.limit().saturating_add(below) } else { below });
    }
    Ok(amounts)
}

//! The command line (section 10).

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::commands::{
    batch_prove, batch_submit, batch_verify, benchmark, completions, gen_inputs, inspect, list, prove,
    prove_submit, sequencer, verify,
};

/// Zero-knowledge compliance proofs: show that an amount obeys a policy, and nothing else about it.
#[derive(Debug, Parser)]
#[command(
    name = "ves-stark",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 done, or the proof holds; 1 it could not be done, or the proof does not hold; 2 wrong usage or input."
)]
pub struct Cli {
    /// Write one JSON document to stdout, and errors as JSON to stderr
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write public inputs of a made-up event, to try things out with
    GenInputs(gen_inputs::GenInputsArgs),
    /// Make a proof that an amount, or several numbers, obey a policy
    Prove(prove::ProveArgs),
    /// Make a proof about an event of a running service, and submit it
    ProveSubmit(prove_submit::ProveSubmitArgs),
    /// Check a proof: exit 0 if it holds, 1 if not
    Verify(verify::VerifyArgs),
    /// Print the root of a published list, as a composed policy names it
    List(list::ListArgs),
    /// Show what is in a proof file, without checking the proof
    Inspect(inspect::InspectArgs),
    /// Make and check proofs of random amounts, and tell how long it took
    Benchmark(benchmark::BenchmarkArgs),
    /// Prove that the amounts of many events obey a policy
    BatchProve(batch_prove::BatchProveArgs),
    /// Make a proof about a committed batch of a running service, and submit it
    BatchSubmit(batch_submit::BatchSubmitArgs),
    /// Check a proof about a batch: exit 0 if it holds, 1 if not
    BatchVerify(batch_verify::BatchVerifyArgs),
    /// Play a sequencer: made-up events in chained batches, one proof for each
    Sequencer(sequencer::SequencerArgs),
    /// Print the completions of a shell
    Completions(completions::CompletionsArgs),
}

/// The command line as clap knows it.
pub fn command() -> clap::Command {
    Cli::command()
}

//! The commands, one file each.

pub mod batch_prove;
pub mod batch_submit;
pub mod batch_verify;
pub mod benchmark;
pub mod completions;
pub mod gen_inputs;
pub mod inspect;
pub mod list;
pub mod prove;
pub mod prove_submit;
pub mod sequencer;
pub mod verify;

use std::process::ExitCode;

use crate::args::Command;
use crate::failure::Failure;
use crate::output::Output;

/// Runs one command to its end.
pub fn run(out: &Output, command: Command) -> Result<ExitCode, Failure> {
    let done = match command {
        Command::Verify(args) => return verify::run(out, &args),
        Command::BatchVerify(args) => return batch_verify::run(out, &args),
        Command::BatchProve(args) => batch_prove::run(out, &args),
        Command::BatchSubmit(args) => batch_submit::run(out, &args),
        Command::Sequencer(args) => sequencer::run(out, &args),
        Command::GenInputs(args) => gen_inputs::run(out, &args),
        Command::Prove(args) => prove::run(out, &args),
        Command::ProveSubmit(args) => prove_submit::run(out, &args),
        Command::List(args) => list::run(out, &args),
        Command::Inspect(args) => inspect::run(out, &args),
        Command::Benchmark(args) => benchmark::run(out, &args),
        Command::Completions(args) => {
            completions::run(&args);
            Ok(())
        }
    };
    done.map(|()| ExitCode::SUCCESS)
}

//! Runs a target within bounds and keeps what broke it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::{Mutator, Target};

/// When a run ends: the first bound reached.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub inputs_max: u64,
    pub time_max: Duration,
    /// Chooses the inputs; the same number gives the same inputs.
    pub round: u64,
}

/// What a run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    pub inputs: u64,
    pub accepted: u64,
}

/// The input that broke the property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub input: Vec<u8>,
    /// What the target said as it broke.
    pub problem: String,
}

/// Runs the seeds, the files of `corpus` (a folder that may be missing), then mutations of both.
///
/// # Errors
/// [`Failure`] with the first input that broke the property.
pub fn run_bounded(target: &Target, corpus: &Path, bounds: Bounds) -> Result<Summary, Failure> {
    let started = Instant::now();
    let mut seeds = (target.seeds)();
    seeds.extend(files_of(corpus));
    let mut summary = Summary { inputs: 0, accepted: 0 };
    for seed in &seeds {
        summary.inputs += 1;
        summary.accepted += u64::from(attempt(target, seed)?);
    }
    let mut mutator = Mutator::new(target.name, bounds.round, seeds);
    while summary.inputs < bounds.inputs_max && started.elapsed() < bounds.time_max {
        let input = mutator.next_input();
        summary.inputs += 1;
        if attempt(target, &input)? {
            summary.accepted += 1;
            mutator.keep(input);
        }
    }
    Ok(summary)
}

fn attempt(target: &Target, input: &[u8]) -> Result<bool, Failure> {
    catch_unwind(AssertUnwindSafe(|| (target.run)(input))).map_err(|panic| {
        let problem = panic.downcast_ref::<String>().cloned();
        let problem = problem.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Failure {
            input: input.to_vec(),
            problem: problem.unwrap_or_else(|| "a panic without text".to_owned()),
        }
    })
}

/// Contents of the folder's files, ordered by name.
fn files_of(folder: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().filter_map(|path| std::fs::read(path).ok()).collect()
}

//! A benchmark that lies beside the crate it is about.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::options::verdict;
use crate::report::{Report, Row};

pub use crate::options::Options;

#[derive(Parser)]
struct Asked {
    #[command(flatten)]
    options: Options,
    /// Cargo says so to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// Measures, tells, and fails where it could not be measured or a goal is missed. Files are made in `--data`, else in
/// `BENCH_DATA`, else below cargo's target.
pub fn main(measure: impl FnOnce(&Options, &mut Vec<String>) -> Result<Vec<Row>>) -> ExitCode {
    let Asked { options, .. } = Asked::parse();
    verdict(tell(&options, measure))
}

/// How many goals are missed.
fn tell(
    options: &Options,
    measure: impl FnOnce(&Options, &mut Vec<String>) -> Result<Vec<Row>>,
) -> Result<usize> {
    options.make_data()?;
    let mut notes = Vec::new();
    let rows = measure(options, &mut notes)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    options.tell(Report::now(options.quick, cores, rows, notes))
}

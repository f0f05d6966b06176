//! `cargo xtask bench ledger`: measures the shared ledger end to end.
//!
//! Requests are real, with real signatures, and go the way of the product: into the pool of a node, and from there into
//! durable blocks.
//!
//! - what is sent: [`requests`]; at which pace, and what became of it: [`load`];
//! - one process, on a state of a million notarisations: [`solo`], [`filled`];
//! - four validators under CometBFT, beside CometBFT's own application: [`comet`].

mod comet;
mod filled;
mod load;
mod requests;
mod solo;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use stateset_bench_report::machine;
use stateset_bench_report::options::{Options, verdict};
use stateset_bench_report::report::{Report, Row, progress};

/// As in the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the shared ledger end to end and prints one table.
#[derive(Parser)]
#[command(name = "stateset-ledger-bench")]
struct Args {
    #[command(flatten)]
    options: Options,
    /// What to measure; everything when none is named.
    #[arg(value_name = "FIGURE")]
    figures: Vec<Figure>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Figure {
    /// One process: notarisations a second, latency, growth of the state, certificates.
    Ledger,
    /// Four validators under CometBFT beside its own application.
    Comet,
}

/// What a run carries from figure to figure.
struct Bench {
    folder: PathBuf,
    quick: bool,
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Bench {
    /// `full`, or `quick` in a quick run.
    fn count<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    verdict(run(&args).and_then(|report| args.options.tell(report)))
}

fn run(args: &Args) -> Result<Report> {
    let wanted = |figure| args.figures.is_empty() || args.figures.contains(&figure);
    if wanted(Figure::Comet) {
        comet::check()?;
    }
    let cores = machine::pin()?;
    let folder = std::path::absolute(args.options.data.join(format!("ledger-{}", std::process::id())))?;
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let notes = vec![format!("nodes and load on the same {cores} cores")];
    let quick = args.options.quick;
    let mut bench = Bench { folder, quick, rows: Vec::new(), notes };
    let measured = measure(&mut bench, &wanted);
    std::fs::remove_dir_all(&bench.folder).with_context(|| format!("removing {}", bench.folder.display()))?;
    measured?;
    Ok(Report::now(quick, cores, bench.rows, bench.notes))
}

fn measure(bench: &mut Bench, wanted: &dyn Fn(Figure) -> bool) -> Result<()> {
    for figure in Figure::value_variants() {
        if !wanted(*figure) {
            continue;
        }
        let (told, busy, begun) = (bench.rows.len(), machine::machine_busy()?, std::time::Instant::now());
        match figure {
            Figure::Ledger => solo::measure(bench)?,
            Figure::Comet => comet::measure(bench)?,
        }
        let share = (machine::machine_busy()? - busy).as_secs_f64() / begun.elapsed().as_secs_f64();
        bench
            .notes
            .push(format!("{figure:?}: the machine was busy with {share:.1} cores, this run included"));
        // A run that is stopped later has said at least this much.
        for row in &bench.rows[told..] {
            progress(&format!("  {}: {:.2} {}", row.figure, row.measured, row.unit));
        }
    }
    Ok(())
}

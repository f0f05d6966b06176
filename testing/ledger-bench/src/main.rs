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

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use stateset_bench_report::machine;
use stateset_bench_report::report::{Report, Row, progress};

/// As in the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the shared ledger end to end and prints one table.
#[derive(Parser)]
#[command(name = "stateset-ledger-bench")]
struct Args {
    /// Print JSON and append it as one line to the history.
    #[arg(long)]
    json: bool,
    /// Small counts, to see that everything runs; goals are not judged.
    #[arg(long)]
    quick: bool,
    /// Where --json keeps its lines.
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Where stores are made and removed again; should lie on the disk that is to be measured.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
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
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let data = args.data.clone().unwrap_or_else(|| target.join("bench-data"));
    let done = run(&args, &data).and_then(|report| match args.json {
        true => report.print_json(&args.history.unwrap_or_else(|| target.join("bench-history.jsonl"))),
        false => {
            report.print_table();
            Ok(())
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress(&format!("failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args, data: &Path) -> Result<Report> {
    let wanted = |figure| args.figures.is_empty() || args.figures.contains(&figure);
    if wanted(Figure::Comet) {
        comet::check()?;
    }
    let cores = machine::pin()?;
    let folder = std::path::absolute(data.join(format!("ledger-{}", std::process::id())))?;
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let notes = vec![format!("nodes and load on the same {cores} cores")];
    let mut bench = Bench { folder, quick: args.quick, rows: Vec::new(), notes };
    let measured = measure(&mut bench, &wanted);
    std::fs::remove_dir_all(&bench.folder).with_context(|| format!("removing {}", bench.folder.display()))?;
    measured?;
    if args.quick {
        bench.notes.push("a quick run: counts are too small to judge".into());
    }
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Ok(Report { at, quick: args.quick, cores, notes: bench.notes, rows: bench.rows })
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

//! `cargo xtask bench`: measures the event service against its floors.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use stateset_bench::{report, run, server};

/// As in the product, since the measured server is this binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the event service against the floors of its own parts and prints one table.
#[derive(Parser)]
#[command(name = "stateset-bench", args_conflicts_with_subcommands = true)]
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
    figures: Vec<run::Figure>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serves one run's requests; what the benchmark starts for itself.
    #[command(hide = true)]
    Serve {
        /// Folder of the store; without it every request is answered with nothing.
        #[arg(long)]
        data: Option<PathBuf>,
        /// PostgreSQL database instead of a store in a folder.
        #[arg(long, conflicts_with = "data")]
        database: Option<String>,
        /// Runs the projections beside the service.
        #[arg(long)]
        projections: bool,
        /// Collector of traces.
        #[arg(long)]
        traces: Option<String>,
        /// Part of the requests that are traced.
        #[arg(long, default_value_t = 1.0)]
        sample_rate: f64,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.command {
        Some(Command::Serve { data, database, projections, traces, sample_rate }) => {
            let traces = server::traces(traces, sample_rate);
            server::serve(server::Store::of(data, database), projections, &traces)
        }
        None => measure(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::progress(&format!("failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn measure(args: Args) -> anyhow::Result<()> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let data = args.data.unwrap_or_else(|| target.join("bench-data"));
    let report = run::run(&data, args.quick, &args.figures)?;
    match args.json {
        true => report.print_json(&args.history.unwrap_or_else(|| target.join("bench-history.jsonl"))),
        false => {
            report.print_table();
            Ok(())
        }
    }
}

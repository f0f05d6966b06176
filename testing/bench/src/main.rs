//! `cargo xtask bench`: measures the event service against its floors.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use stateset_bench::{run, server};
use stateset_bench_report::options::{Options, verdict};

/// As in the product, since the measured server is this binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the event service against the floors of its own parts and prints one table.
#[derive(Parser)]
#[command(name = "stateset-bench", args_conflicts_with_subcommands = true)]
struct Args {
    #[command(flatten)]
    options: Options,
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
    let Args { options, figures, command } = Args::parse();
    verdict(match command {
        Some(Command::Serve { data, database, projections, traces, sample_rate }) => {
            let traces = server::traces(traces, sample_rate);
            server::serve(server::Store::of(data, database), projections, &traces).map(|()| 0)
        }
        None => run::run(&options.data, options.quick, &figures).and_then(|report| options.tell(report)),
    })
}

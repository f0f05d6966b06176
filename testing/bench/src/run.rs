//! One run: which figures, in which order, on which data.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use crate::events::Plan;
use crate::figures;
use crate::floor::{self, Effort, Floor};
use crate::load::{self, Round};
use crate::machine;
use crate::report::{Report, Row, progress};
use crate::server::Server;

/// A group of figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Figure {
    /// The parts of one event, each alone.
    Floor,
    /// 100 events a request, 16 clients: on 16 streams and on one.
    Batch,
    /// 1 event a request: 64 in flight, and 32 clients against sync time and CPU.
    Single,
    /// 1 payment intent a request beside 1 event a request.
    Payments,
    /// Verifying payments of the public x402 protocol, beside bare recoveries of signers.
    Facilitator,
    /// Batches anchored a second on a local chain, and the time from a batch's close to its confirmed anchor.
    Anchor,
    /// 1,000 listeners to the live feed: what they cost, and how soon all of them have an event.
    Feed,
    /// 64 connections that send events with unknown keys: what the other callers feel of them.
    Flood,
    /// 100 events a request on PostgreSQL: what an event costs the service and the database.
    Postgres,
    /// 100 events a request, with and without projections beside: what they cost, and how late they are.
    Projection,
    /// A stream of 10^6 events: proofs, throughput, start, memory.
    Long,
    /// `log verify` against raw verification.
    Verify,
    /// What traces and a scraper of metrics cost the service.
    Telemetry,
    /// Checking a payload against its schema.
    Schema,
    /// Compliance proofs: time and size of each kind, beside Bulletproofs.
    Proofs,
}

/// What a run carries from figure to figure.
pub struct Bench {
    pub folder: PathBuf,
    pub quick: bool,
    pub cores: usize,
    /// First event number not used yet.
    pub next: u64,
    pub rows: Vec<Row>,
    /// Largest share of the cores that other programs took in a round.
    others_max: f64,
    floor: Option<Floor>,
    /// The filled store, once it was made.
    long: Option<PathBuf>,
}

/// Event numbers below are for filling stores.
const FIRST_SENT: u64 = 10_000_000;

/// Measures `wanted`, or everything when it is empty, with stores below `data`.
pub fn run(data: &Path, quick: bool, wanted: &[Figure]) -> Result<Report> {
    if wanted.is_empty() || wanted.contains(&Figure::Anchor) {
        figures::anchor::check()?;
    }
    let cores = machine::pin()?;
    // A store left behind by a run that was stopped would change the figures of this one.
    let folder = data.join(format!("run-{}", std::process::id()));
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let mut bench = Bench {
        folder,
        quick,
        cores,
        next: FIRST_SENT,
        rows: Vec::new(),
        others_max: 0.0,
        floor: None,
        long: None,
    };
    let measured = measure(&mut bench, wanted);
    std::fs::remove_dir_all(&bench.folder).with_context(|| format!("removing {}", bench.folder.display()))?;
    measured?;
    let notes = bench.notes();
    Ok(Report::now(quick, cores, bench.rows, notes))
}

fn measure(bench: &mut Bench, wanted: &[Figure]) -> Result<()> {
    for figure in Figure::value_variants() {
        if !wanted.is_empty() && !wanted.contains(figure) {
            continue;
        }
        let told = bench.rows.len();
        match figure {
            Figure::Floor => figures::floor(bench)?,
            Figure::Batch => figures::batch::measure(bench)?,
            Figure::Single => figures::single::measure(bench)?,
            Figure::Payments => figures::payments::measure(bench)?,
            Figure::Facilitator => figures::facilitator::measure(bench)?,
            Figure::Anchor => figures::anchor::measure(bench)?,
            Figure::Feed => figures::feed::measure(bench)?,
            Figure::Flood => figures::flood::measure(bench)?,
            Figure::Postgres => figures::postgres::measure(bench)?,
            Figure::Projection => figures::projection::measure(bench)?,
            Figure::Long => figures::long::measure(bench)?,
            Figure::Verify => figures::verify::measure(bench)?,
            Figure::Telemetry => figures::telemetry::measure(bench)?,
            Figure::Schema => figures::schema::measure(bench)?,
            Figure::Proofs => figures::proofs::measure(bench)?,
        }
        // A run that is stopped later has said at least this much.
        for row in &bench.rows[told..] {
            let ratio = row.ratio().map_or(String::new(), |ratio| format!(" (ratio {ratio:.2})"));
            progress(&format!("  {}: {:.2} {}{ratio}", row.figure, row.measured, row.unit));
        }
    }
    Ok(())
}

impl Bench {
    /// `full`, or `quick` in a quick run.
    pub fn count(&self, full: u64, quick: u64) -> u64 {
        if self.quick { quick } else { full }
    }

    /// The floor, measured once a run.
    pub fn floor(&mut self) -> Result<Floor> {
        if let Some(floor) = &self.floor {
            return Ok(floor.clone());
        }
        progress("the floor of one event");
        let effort = match self.quick {
            true => Effort { rounds: 3, round: Duration::from_millis(4), appends: 40 },
            false => Effort { rounds: 11, round: Duration::from_millis(40), appends: 800 },
        };
        let floor = floor::measure(&self.folder, effort)?;
        self.floor = Some(floor.clone());
        Ok(floor)
    }

    /// One round of `plan` against `server`.
    pub fn round(&mut self, server: &Server, plan: Plan) -> Result<Round> {
        let requests = plan.build(&mut self.next);
        self.send(server, requests, load::all_accepted)
    }

    /// One round of ready-made requests against `server`.
    pub fn send(
        &mut self,
        server: &Server,
        requests: Vec<Vec<Box<[u8]>>>,
        check: load::Check,
    ) -> Result<Round> {
        let round = load::run(server.address, server.pid(), requests, check)?;
        self.others_max = self.others_max.max(round.others(self.cores));
        Ok(round)
    }

    /// The store that holds the long stream, and how many events it was filled with.
    pub fn long_store(&mut self) -> Result<(PathBuf, u64)> {
        let events = self.count(1_000_000, 20_000);
        if let Some(folder) = &self.long {
            return Ok((folder.clone(), events));
        }
        progress(&format!("filling a stream with {events} events"));
        let folder = self.folder.join("long");
        crate::fill::fill(&folder, 1, events)?;
        self.long = Some(folder.clone());
        Ok((folder, events))
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec![format!(
            "server and load on the same {} cores; CPU times by the kernel's count",
            self.cores
        )];
        if self.others_max > 0.05 {
            let percent = self.others_max * 100.0;
            notes.push(format!("other programs took up to {percent:.0} % of these cores in a round: rates are too low, ratios rough"));
        }
        notes
    }
}

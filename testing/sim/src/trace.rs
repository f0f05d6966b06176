//! What happened in a run: as text for people, as one hash for "the same again".

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ves::{Digest, Hasher};

/// Lines kept of a run that fails without having been asked for its lines.
const TAIL_LINES: usize = 12;

/// The record of one run. Two runs of a world with one seed have the same hash.
#[derive(Debug, Clone)]
pub struct Trace {
    pub world: String,
    pub seed: u64,
    /// Chained over all lines.
    pub hash: Digest,
    pub steps: u64,
    pub starts: u64,
    pub turns_failed: u64,
    /// Operations on the disk that failed.
    pub faults: u64,
    /// Events that were answered with a receipt.
    pub acknowledged: u64,
    /// Landmarks: what a set of runs must have met somewhere, or it proves little.
    pub reached: BTreeSet<&'static str>,
    /// Attacks of submitters that were refused as the rules say, and how many of each.
    pub attacks: BTreeMap<&'static str, u64>,
    pub lines: Vec<String>,
    keeps_lines: bool,
}

impl Trace {
    pub(crate) fn new(world: &str, seed: u64, keeps_lines: bool) -> Self {
        Self {
            world: world.to_owned(),
            seed,
            hash: Digest::ZERO,
            steps: 0,
            starts: 0,
            turns_failed: 0,
            faults: 0,
            acknowledged: 0,
            reached: BTreeSet::new(),
            attacks: BTreeMap::new(),
            lines: Vec::new(),
            keeps_lines,
        }
    }

    pub(crate) fn reach(&mut self, landmark: &'static str) {
        self.reached.insert(landmark);
    }

    pub(crate) fn line(&mut self, line: impl FnOnce() -> String) {
        let line = format!("{:>4} {}", self.steps, line());
        self.hash = Hasher::bare().digest(&self.hash).str(&line).finish();
        if !self.keeps_lines && self.lines.len() >= 2 * TAIL_LINES {
            self.lines.drain(..TAIL_LINES);
        }
        self.lines.push(line);
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}: {} steps, {} starts, {} failed operations, {} failed turns, {} receipts, trace {}",
            self.world,
            self.seed,
            self.steps,
            self.starts,
            self.faults,
            self.turns_failed,
            self.acknowledged,
            self.hash
        )
    }
}

/// A broken promise, and how to see it again.
#[derive(Debug, Clone)]
pub struct Failure {
    pub problem: String,
    pub trace: Trace,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Trace { world, seed, steps, lines, keeps_lines, .. } = &self.trace;
        let tail = if *keeps_lines { 0 } else { lines.len().saturating_sub(TAIL_LINES) };
        for line in &lines[tail..] {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "world {world}, seed {seed}, step {steps}: {}", self.problem)?;
        write!(f, "again: cargo xtask sim {world} {seed}")
    }
}

impl std::error::Error for Failure {}

//! Whether everything in a log is as it was written.

use ves::SequenceNumber;
use ves::checkpoint::{SignedCheckpoint, origin};
use ves::commitment::Commitment;
use ves::tiles::Tile;
use ves::{Digest, StreamKey};

use crate::document::Table;
use crate::error::LogError;
use crate::event_log::{LogReader, StoredEvent};
use crate::transfer::{RESTORING, unfinished};
use crate::walk::{Found, place, walk};

/// Problems that are named; of more only the number is told.
const PROBLEMS_NAMED_MAX: usize = 100;
/// Documents read at once.
pub(crate) const DOCUMENTS_AT_ONCE: usize = 256;

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    pub streams: u64,
    pub events: u64,
    /// Those among them whose payload is sealed at rest and was not opened; all else of them was checked.
    pub events_sealed: u64,
    pub commitments: u64,
    /// Tiles that were compared with the trees over the events.
    pub tiles: u64,
    pub keys: u64,
    pub documents: u64,
    /// The first problems, at most 100.
    pub problems: Vec<CheckProblem>,
    pub problems_total: u64,
}

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckProblem {
    pub place: String,
    pub problem: String,
}

impl CheckReport {
    pub fn is_sound(&self) -> bool {
        self.problems_total == 0
    }

    fn problem(&mut self, place: impl Into<String>, problem: impl Into<String>) {
        self.problems_total += 1;
        if self.problems.len() < PROBLEMS_NAMED_MAX {
            self.problems.push(CheckProblem { place: place.into(), problem: problem.into() });
        }
    }
}

/// How far a long call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub events_done: u64,
    pub events_total: u64,
}

/// Reads the whole log: numbers without gaps, events that decode to their stream and signing hash, trees and tiles over
/// them, commitments and checkpoints, keys, documents. The derived index is not read.
///
/// # Errors
/// Only what keeps the log from being read at all; damage is part of the report.
pub fn check(reader: &dyn LogReader, progress: &mut dyn FnMut(Progress)) -> Result<CheckReport, LogError> {
    if reader.meta(RESTORING)?.is_some() {
        return Err(unfinished("the log"));
    }
    let mut report = CheckReport::default();
    let streams = reader.streams()?;
    let events_total = streams.iter().map(|summary| summary.head.0).sum();
    for summary in &streams {
        report.streams += 1;
        let walked = walk(reader, summary, &mut |found| {
            match found {
                Found::Events { events, tiles } => {
                    check_events(&summary.stream, &events, &mut report);
                    check_log_tiles(reader, &summary.stream, &tiles, &mut report)?;
                    progress(Progress { events_done: report.events, events_total });
                }
                Found::Batch { commitment, tiles, log_root } => {
                    check_batch(reader, &commitment, &tiles, &log_root, &mut report)?;
                }
                Found::Problem { place, problem } => report.problem(place, problem),
            }
            Ok(())
        });
        note_damage(walked, &mut report)?;
    }
    for number in reader.nameless_streams()? {
        report
            .problem(format!("stream number {number}"), "it has events or batches, and its name is missing");
    }
    let rest = check_keys(reader, &mut report).and_then(|()| check_documents(reader, &mut report));
    note_damage(rest, &mut report)?;
    Ok(report)
}

/// Damage that a reader itself met ends the reading of its place, not the check.
fn note_damage(result: Result<(), LogError>, report: &mut CheckReport) -> Result<(), LogError> {
    match result {
        Err(LogError::Corrupt { place, problem }) => {
            report.problem(place, problem);
            Ok(())
        }
        other => other,
    }
}

fn check_events(stream: &StreamKey, events: &[StoredEvent], report: &mut CheckReport) {
    for event in events {
        report.events += 1;
        let number = event.sequence_number.0;
        match event.record() {
            Ok(record) if record.head.stream != *stream => {
                report.problem(place(stream, number), format!("it is of stream {}", record.head.stream));
            }
            // The hashes of the payload are part of it, the payload is not.
            Ok(record) if record.head.signing_hash() != record.signing_hash => {
                report.problem(place(stream, number), "its signing hash is that of another event");
            }
            Ok(record) if record.is_sealed() => report.events_sealed += 1,
            Ok(record) => {
                if let Err(error) = record.clear() {
                    report.problem(place(stream, number), error.to_string());
                }
            }
            Err(error) => report.problem(place(stream, number), error.to_string()),
        }
    }
}

fn check_log_tiles(
    reader: &dyn LogReader,
    stream: &StreamKey,
    tiles: &[Tile],
    report: &mut CheckReport,
) -> Result<(), LogError> {
    for tile in tiles {
        let stored = reader.log_tile(stream, tile.id)?;
        compare(tile, stored, &format!("the log of stream {stream}"), report);
    }
    Ok(())
}

fn compare(tile: &Tile, stored: Option<Vec<Digest>>, tree: &str, report: &mut CheckReport) {
    report.tiles += 1;
    let place = || format!("tile {} of level {} of {tree}", tile.id.index, tile.id.level);
    match stored {
        None => report.problem(place(), "it is missing"),
        Some(nodes) if nodes != tile.nodes => report.problem(place(), "it is not that of the events"),
        Some(_) => {}
    }
}

fn check_batch(
    reader: &dyn LogReader,
    commitment: &Commitment,
    tiles: &[Tile],
    log_root: &Digest,
    report: &mut CheckReport,
) -> Result<(), LogError> {
    report.commitments += 1;
    let tree = format!("batch {}", commitment.batch_id);
    for tile in tiles {
        compare(tile, reader.batch_tile(&commitment.batch_id, tile.id)?, &tree, report);
    }
    let size = commitment.sequence_end.0;
    let place = format!("the checkpoint of size {size} of stream {}", commitment.stream);
    let Some(text) = reader.checkpoint(&commitment.stream, Some(size))? else {
        report.problem(place, "it is missing");
        return Ok(());
    };
    match SignedCheckpoint::parse(&text) {
        Err(error) => report.problem(place, error.to_string()),
        Ok(note) => {
            let checkpoint = note.checkpoint();
            let is_of_log = checkpoint.size == size
                && checkpoint.root == *log_root
                && checkpoint.origin == origin(&commitment.stream);
            if !is_of_log {
                report.problem(place, "it is not that of the events");
            }
        }
    }
    Ok(())
}

fn check_keys(reader: &dyn LogReader, report: &mut CheckReport) -> Result<(), LogError> {
    let counts = [
        reader.agent_keys()?.len(),
        reader.encryption_keys()?.len(),
        reader.api_keys()?.len(),
        reader.sequencer_keys()?.len(),
    ];
    report.keys = counts.iter().map(|count| *count as u64).sum();
    let signers: Vec<u32> = reader.sequencer_keys()?.iter().map(|key| key.key_version).collect();
    for summary in reader.streams()? {
        // Receipts are checked with the key that signed them: it must be on record.
        let last = reader.read(&summary.stream, SequenceNumber(summary.head.0), 1, usize::MAX)?;
        let Some(event) = last.first().filter(|event| event.receipt_signature.is_some()) else { continue };
        if !signers.contains(&event.key_version) {
            let problem = format!("no key of version {} of the sequencer is on record", event.key_version);
            report.problem(place(&summary.stream, summary.head.0), problem);
        }
    }
    Ok(())
}

fn check_documents(reader: &dyn LogReader, report: &mut CheckReport) -> Result<(), LogError> {
    for table in Table::ALL {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = reader.documents(table, b"", after.as_deref(), DOCUMENTS_AT_ONCE)?;
            report.documents += page.len() as u64;
            match page.last() {
                Some(last) if page.len() == DOCUMENTS_AT_ONCE => after = Some(last.key.clone()),
                _ => break,
            }
        }
    }
    Ok(())
}

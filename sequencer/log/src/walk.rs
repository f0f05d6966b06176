//! A stream read from its first event to its head, with the trees over it computed again.

use std::collections::VecDeque;

use ves::commitment::Commitment;
use ves::log::LogTree;
use ves::tiles::{Tile, batch_tiles};
use ves::{Digest, SequenceNumber, StreamKey};

use crate::error::LogError;
use crate::event_log::{LogReader, StoredEvent, StreamSummary};

/// Events read at once, and bytes of their bodies.
const EVENTS_AT_ONCE: usize = 1_024;
const BYTES_AT_ONCE_MAX: usize = 16 << 20;
/// Commitments read at once.
const COMMITMENTS_AT_ONCE: usize = 256;

/// What lies in a stream, in the order it was written.
pub(crate) enum Found {
    /// Events in a row, and the tiles of the log that they complete.
    Events { events: Vec<StoredEvent>, tiles: Vec<Tile> },
    /// A batch whose events were found before it, the tiles of its tree, and the root of the log at its end.
    Batch { commitment: Commitment, tiles: Vec<Tile>, log_root: Digest },
    /// Something that is not as it was written.
    Problem { place: String, problem: String },
}

/// Tells of everything in a stream up to the head that `summary` names.
pub(crate) fn walk(
    reader: &dyn LogReader,
    summary: &StreamSummary,
    tell: &mut dyn FnMut(Found) -> Result<(), LogError>,
) -> Result<(), LogError> {
    let stream = summary.stream;
    let mut trees =
        Trees { reader, stream, log: LogTree::new(), leaves: Vec::new(), next: VecDeque::new(), last: None };
    trees.look_for_batches()?;
    let mut next = 1;
    while next <= summary.head.0 {
        let limit = EVENTS_AT_ONCE.min((summary.head.0 - next + 1) as usize);
        let events = reader.read(&stream, SequenceNumber(next), limit, BYTES_AT_ONCE_MAX)?;
        let mut told = Told::default();
        for event in &events {
            if event.sequence_number.0 != next {
                break;
            }
            match event.leaf_hash() {
                Ok(leaf) => trees.push(next, &leaf, &mut told)?,
                Err(error) => {
                    // No tree over this stream can be computed from here on.
                    return tell(Found::Problem { place: place(&stream, next), problem: error.to_string() });
                }
            }
            next += 1;
        }
        if told.events == 0 {
            let problem = format!("it is missing, the head is {}", summary.head);
            return tell(Found::Problem { place: place(&stream, next), problem });
        }
        let events = events.into_iter().take(told.events).collect();
        tell(Found::Events { events, tiles: told.tiles })?;
        told.batches.into_iter().try_for_each(&mut *tell)?;
    }
    // A commitment of events that are not there.
    trees
        .next
        .into_iter()
        .filter(|batch| batch.sequence_end > reader.head(&stream).unwrap_or_default())
        .try_for_each(|batch| {
            let place = format!("batch {} of stream {stream}", batch.batch_id);
            tell(Found::Problem {
                place,
                problem: format!("it ends at {}, beyond the head", batch.sequence_end),
            })
        })
}

pub(crate) fn place(stream: &StreamKey, number: u64) -> String {
    format!("event {number} of stream {stream}")
}

/// What one portion of events brought.
#[derive(Default)]
struct Told {
    events: usize,
    tiles: Vec<Tile>,
    batches: Vec<Found>,
}

struct Trees<'a> {
    reader: &'a dyn LogReader,
    stream: StreamKey,
    log: LogTree,
    /// Of the batch that comes next.
    leaves: Vec<Digest>,
    next: VecDeque<Commitment>,
    last: Option<Commitment>,
}

impl Trees<'_> {
    fn push(&mut self, number: u64, leaf: &Digest, told: &mut Told) -> Result<(), LogError> {
        told.tiles.extend(self.log.push(leaf));
        told.events += 1;
        let Some(batch) = self.next.front() else { return Ok(()) };
        self.leaves.push(*leaf);
        if batch.sequence_end.0 == number {
            let batch = self.next.pop_front().expect("it is the first");
            told.batches.push(self.batch(batch));
            if self.next.is_empty() {
                self.look_for_batches()?;
            }
        }
        Ok(())
    }

    fn batch(&mut self, commitment: Commitment) -> Found {
        let leaves = std::mem::take(&mut self.leaves);
        let (root, tiles) = batch_tiles(&leaves);
        let problem = match (commitment.check(), commitment.follows(self.last.as_ref())) {
            (Err(error), _) => Some(error.to_string()),
            (_, Err(error)) => Some(error.to_string()),
            _ if root != commitment.merkle_root => {
                Some(format!("its root is {}, that of its events {root}", commitment.merkle_root))
            }
            _ => None,
        };
        let place = format!("batch {} of stream {}", commitment.batch_id, self.stream);
        self.last = Some(commitment.clone());
        match problem {
            Some(problem) => Found::Problem { place, problem },
            None => Found::Batch { commitment, tiles, log_root: self.log.root() },
        }
    }

    fn look_for_batches(&mut self) -> Result<(), LogError> {
        let from = self.last.as_ref().map_or(0, |batch| batch.sequence_end.0) + 1;
        self.next = self.reader.commitments(&self.stream, SequenceNumber(from), COMMITMENTS_AT_ONCE)?.into();
        Ok(())
    }
}

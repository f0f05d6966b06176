//! `backfill-ves-state-roots`: the chain of state roots, computed again from what is stored.
//!
//! A state root is fixed when its batch is committed, in the same transaction, and is given out in proofs and on chains.
//! So there is none to fill in, and one that differs is damage: to write another in its place would contradict every
//! proof that was given. This command computes, compares, says what it found, and never writes.

use clap::Args;
use serde::Serialize;
use stateset_event_log::LogReader;
use stateset_sequencer_app::failure::Failure;
use ves::commitment::Commitment;
use ves::{Digest, SequenceNumber, StoreId, StreamKey, TenantId, merkle};

use super::Context;
use crate::reading::{damaged, each_event, streams};

/// Commitments read at once.
const COMMITMENTS_PER_READ: usize = 1_000;
/// Differences that are listed; the others are counted.
const SHOWN_MAX: usize = 20;

#[derive(Debug, Args)]
pub struct BackfillArgs {
    /// One tenant alone
    #[arg(long, value_name = "UUID")]
    pub tenant_id: Option<TenantId>,
    /// One of its stores alone
    #[arg(long, value_name = "UUID", requires = "tenant_id")]
    pub store_id: Option<StoreId>,
    /// Only report: what this command does in any case
    #[arg(long)]
    pub dry_run: bool,
    /// Compute the Merkle roots again too, from every event
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Default, Serialize)]
struct Found {
    streams: u64,
    commitments: u64,
    /// Events whose leaves were computed again; 0 without `--force`.
    events: u64,
    differences_count: u64,
    differences: Vec<Difference>,
    /// Always 0: see the module.
    written: u64,
}

#[derive(Debug, Serialize)]
struct Difference {
    stream: StreamKey,
    batch_id: ves::BatchId,
    sequence_start: SequenceNumber,
    sequence_end: SequenceNumber,
    problem: String,
}

impl Found {
    fn differs(&mut self, commitment: &Commitment, problem: String) {
        self.differences_count += 1;
        if self.differences.len() < SHOWN_MAX {
            self.differences.push(Difference {
                stream: commitment.stream,
                batch_id: commitment.batch_id,
                sequence_start: commitment.sequence_start,
                sequence_end: commitment.sequence_end,
                problem,
            });
        }
    }
}

pub fn run(context: &Context, args: &BackfillArgs) -> Result<(), Failure> {
    let reader = context.target()?.reader()?;
    let mut found = Found::default();
    let bar = context.out.progress(0, "events");
    for stream in streams(reader.as_ref(), args.tenant_id, args.store_id)? {
        if args.force {
            bar.inc_length(reader.last_commitment(&stream)?.map_or(0, |last| last.sequence_end.get()));
        }
        check_stream(reader.as_ref(), &stream, args.force, &mut found, &|events| bar.inc(events))?;
    }
    bar.finish_and_clear();
    context.out.result(&found, &text(&found, args));
    match found.differences_count {
        0 => Ok(()),
        n => Err(damaged(format!("{n} stored roots are not what the log says"))),
    }
}

fn check_stream(
    reader: &dyn LogReader,
    stream: &StreamKey,
    from_events: bool,
    found: &mut Found,
    progress: &dyn Fn(u64),
) -> Result<(), Failure> {
    found.streams += 1;
    let mut previous: Option<Commitment> = None;
    loop {
        let from = previous.as_ref().map_or(1, |previous| previous.sequence_end.get() + 1);
        let page = reader.commitments(stream, SequenceNumber(from), COMMITMENTS_PER_READ)?;
        let more = page.len() == COMMITMENTS_PER_READ;
        for commitment in page {
            found.commitments += 1;
            if let Err(problem) = commitment.follows(previous.as_ref()) {
                found.differs(&commitment, problem.to_string());
            }
            if let Err(problem) = commitment.check() {
                found.differs(&commitment, problem.to_string());
            }
            if from_events {
                let root = root_of_events(reader, &commitment)?;
                if root != commitment.merkle_root {
                    found.differs(&commitment, format!("the events have the Merkle root {}", root.to_0x()));
                }
                found.events += u64::from(commitment.leaf_count);
                progress(commitment.leaf_count.into());
            }
            previous = Some(commitment);
        }
        if !more {
            return Ok(());
        }
    }
}

fn root_of_events(reader: &dyn LogReader, commitment: &Commitment) -> Result<Digest, Failure> {
    let mut leaves = Vec::with_capacity(commitment.leaf_count as usize);
    let (from, to) = (commitment.sequence_start.get(), commitment.sequence_end.get());
    each_event(reader, &commitment.stream, from, to, |event| {
        let leaf = event
            .leaf_hash()
            .map_err(|error| damaged(format!("event {}: {error}", event.sequence_number)))?;
        leaves.push(leaf);
        Ok(())
    })?;
    Ok(merkle::root(&leaves))
}

fn text(found: &Found, args: &BackfillArgs) -> String {
    let Found { streams, commitments, events, differences_count, .. } = found;
    let depth = if args.force { format!(", and the Merkle roots of {events} events") } else { String::new() };
    let mut text = format!(
        "Computed again: the state roots of {commitments} commitments in {streams} streams{depth}.\n"
    );
    for Difference { stream, batch_id, sequence_start, sequence_end, problem } in &found.differences {
        text.push_str(&format!(
            "  {stream} batch {batch_id} ({sequence_start}..={sequence_end}): {problem}\n"
        ));
    }
    text.push_str(&match differences_count {
        0 => "Every one is as stored: nothing is missing, and nothing was written.".to_owned(),
        n => format!("{n} differ. Nothing was written: proofs over the stored roots were given out."),
    });
    text
}

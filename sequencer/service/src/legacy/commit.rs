//! Batches of older events: a tree over their leaves, and the state root over the entities (VES section 15).

use std::collections::BTreeMap;
use std::time::Instant;

use stateset_event_log::{Document, DocumentChange, LogReader, Table};
use stateset_sequencer_engine::{
    CommitError, CommitPlan, Planned, plan_legacy_commit, settle_legacy_committed,
};
use ves::legacy::{LegacyCommitment, StateRoot, tiles};
use ves::{BatchId, Digest, SequenceNumber, StreamKey, TimestampMs};

use super::read::{batches_from, events_from, head_to_change};
use super::stored::{
    CommitmentText, EntityText, HeadText, batch_key, document, number_key, read, stream_key, tile_key,
    unreadable,
};
use super::{ATTEMPTS_MAX, Legacy, contended};
use crate::error::{CommitFailure, ServiceError};
use crate::ingest::random_bytes;
use crate::metrics::Metrics;
use crate::sequencer::{Sequencer, blocking, uncancelled};
use crate::unchanged::Unchanged;

/// Events read at once while leaves are collected; each read is also bounded in bytes.
const READ_EVENTS: usize = 1_024;
/// Entities read at once for the state root: a few hundred bytes each.
const READ_ENTITIES: usize = 1_024;

impl Legacy<'_> {
    /// Commits a range: all its events are present, it starts after the last committed one. Asking again for a
    /// committed range returns the stored batch. Finished also when the caller goes away.
    ///
    /// Costs the range, every entity of the stream and the events after the range: the state root is over all
    /// versions as they were after `end`. Other writes of the stream wait.
    pub async fn commit(
        &self,
        stream: &StreamKey,
        start: SequenceNumber,
        end: SequenceNumber,
    ) -> Result<LegacyCommitment, CommitFailure> {
        let (service, stream) = (self.service.clone(), *stream);
        let gate = service.shared().legacy.enter(&stream).await;
        uncancelled(async move {
            let _gate = gate;
            commit(&service, stream, start, end).await
        })
        .await
    }
}

async fn commit(
    service: &Sequencer,
    stream: StreamKey,
    start: SequenceNumber,
    end: SequenceNumber,
) -> Result<LegacyCommitment, CommitFailure> {
    let (started, batch_id) = (Instant::now(), BatchId::random(random_bytes()?));
    for _ in 0..ATTEMPTS_MAX {
        let (reader, now) = (service.inner.reader.clone(), service.now());
        let built = blocking(move || build(reader.as_ref(), stream, start, end, batch_id, now)).await?;
        let Built { batch, write } = built.map_err(CommitFailure::Refused)?;
        let Some((unchanged, changes)) = write else { return Ok(batch) };
        if service.put_documents_if(unchanged, changes).await? {
            let metrics = &service.shared().metrics;
            Metrics::add(&metrics.commitments_created, 1);
            metrics.timings.commit.observe_time(started.elapsed());
            return Ok(batch);
        }
    }
    Err(contended().into())
}

/// The batch, and what has to be written for it on an unchanged head: nothing where it is stored already.
struct Built {
    batch: LegacyCommitment,
    write: Option<(Unchanged, Vec<DocumentChange>)>,
}

fn build(
    reader: &dyn LogReader,
    stream: StreamKey,
    start: SequenceNumber,
    end: SequenceNumber,
    batch_id: BatchId,
    now: TimestampMs,
) -> Result<Result<Built, CommitError>, ServiceError> {
    let (head, unchanged) = head_to_change(reader, &stream)?;
    let last = head.latest_commitment.as_ref().map(LegacyCommitment::from);
    let plan = match plan_legacy_commit(head.head_sequence, last.as_ref(), start, end) {
        Ok(Planned::New(plan)) => plan,
        Ok(Planned::AlreadyCommitted) => {
            let stored = batches_from(reader, &stream, start, 1)?.pop();
            let last_end = last.map_or(SequenceNumber::ZERO, |batch| batch.sequence_end);
            let settled = settle_legacy_committed(start, end, stored, last_end);
            return Ok(settled.map(|batch| Built { batch, write: None }));
        }
        Err(error) => return Ok(Err(error)),
    };
    let (events_root, tiles) = tiles::tiles(&leaves(reader, &stream, &plan)?);
    let batch = LegacyCommitment {
        batch_id,
        stream,
        prev_state_root: plan.prev_state_root,
        new_state_root: state_root(reader, &stream, plan.end, head.head_sequence)?,
        events_root,
        sequence_start: plan.start,
        sequence_end: plan.end,
        committed_at: now,
    };
    let text = CommitmentText::from(&batch);
    let mut changes = vec![
        put(Table::LegacyCommitments, document(number_key(&stream, plan.end.0), &text)?),
        put(Table::LegacyCommitmentIds, document(batch_key(&batch_id), &text)?),
    ];
    changes.extend(tiles.into_iter().map(|tile| {
        let content = tile.nodes.iter().flat_map(|node| node.0).collect();
        let key = tile_key(&batch_id, tile.id);
        put(Table::LegacyCommitmentIds, Document { key, text: "{}".to_owned(), content })
    }));
    let head = HeadText { latest_commitment: Some(text), ..head };
    changes.push(put(Table::LegacyEvents, document(stream_key(&stream), &head)?));
    Ok(Ok(Built { batch, write: Some((unchanged, changes)) }))
}

fn put(table: Table, document: Document) -> DocumentChange {
    DocumentChange::Put(table, document)
}

fn leaves(
    reader: &dyn LogReader,
    stream: &StreamKey,
    plan: &CommitPlan,
) -> Result<Vec<Digest>, ServiceError> {
    let mut leaves = Vec::with_capacity((plan.end.0 - plan.start.0 + 1) as usize);
    let mut next = plan.start.0;
    while next <= plan.end.0 {
        let wanted = READ_EVENTS.min((plan.end.0 - next + 1) as usize);
        let events = events_from(reader, stream, SequenceNumber(next), wanted)?;
        if events.is_empty() {
            return Err(unreadable(&format_args!("event {next} is missing")));
        }
        for stored in events {
            if stored.sequence_number.0 != next {
                return Err(unreadable(&format_args!("event {next} is missing")));
            }
            leaves.push(stored.event.leaf_hash(stored.sequence_number));
            next += 1;
        }
    }
    Ok(leaves)
}

/// The root over all entities as they were after event `end`. By its definition it reads every entity of the stream.
fn state_root(
    reader: &dyn LogReader,
    stream: &StreamKey,
    end: SequenceNumber,
    head: SequenceNumber,
) -> Result<Digest, ServiceError> {
    let later = later_events(reader, stream, end, head)?;
    let prefix = stream_key(stream);
    let (mut root, mut after) = (StateRoot::new(stream), None);
    loop {
        let entities = reader.documents(Table::LegacyEntities, &prefix, after.as_deref(), READ_ENTITIES)?;
        for document in &entities {
            let entity: EntityText = read(document)?;
            let id = (entity.entity_type, entity.entity_id);
            let then = entity.version.saturating_sub(later.get(&id).copied().unwrap_or(0));
            let then = i64::try_from(then).map_err(|error| unreadable(&error))?;
            // An entity without events was not there.
            if then > 0 {
                root.entity(&id.0, &id.1, then);
            }
        }
        match entities.last() {
            Some(last) if entities.len() == READ_ENTITIES => after = Some(last.key.clone()),
            _ => return Ok(root.finish()),
        }
    }
}

/// How many events each entity has after `end`.
fn later_events(
    reader: &dyn LogReader,
    stream: &StreamKey,
    end: SequenceNumber,
    head: SequenceNumber,
) -> Result<BTreeMap<(String, String), u64>, ServiceError> {
    let mut later = BTreeMap::new();
    let mut next = end.0 + 1;
    while next <= head.0 {
        let wanted = READ_EVENTS.min((head.0 - next + 1) as usize);
        let events = events_from(reader, stream, SequenceNumber(next), wanted)?;
        let Some(last) = events.last() else {
            return Err(unreadable(&format_args!("event {next} is missing")));
        };
        next = last.sequence_number.0 + 1;
        for stored in events {
            *later.entry((stored.event.entity_type, stored.event.entity_id)).or_insert(0) += 1;
        }
    }
    Ok(later)
}

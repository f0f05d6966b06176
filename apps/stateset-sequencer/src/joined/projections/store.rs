//! Documents of the service as the store of projections; its dead letters are where refused events go.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stateset_projection::{
    Batch, Checkpoint, EntityName, Letter, PortError, ProjectionStore, Reason, Record, Refused, Resolution,
};
use stateset_sequencer::{
    DeadLetter, DeadLetterReason, DeadLetterStatus, DocumentChange, RefusedEvent, Sequencer, Table,
};
use ves::{SequenceNumber, StreamKey};

use super::port;
use super::stored::{
    checkpoint_document, read, read_record, read_resolution, record_change, resolution_changes,
    resolution_key, snapshot_key, state_key, stream_key, unchanged,
};

/// Retries that succeeded, read at once.
const RESOLUTIONS_AT_ONCE: usize = 1_000;

pub(super) struct DocumentStore {
    sequencer: Sequencer,
    due: Mutex<Due>,
    /// Numbers of the retries that succeeded, of the stream whose states are built from nothing.
    applied: Mutex<Option<Applied>>,
}

/// Numbers of events that a retry applied, as one building from nothing finds them.
struct Applied {
    stream: StreamKey,
    generation: u32,
    sequences: Arc<HashSet<u64>>,
}

/// Letters that were given out as due.
#[derive(Default)]
struct Due {
    letters: HashMap<Letter, DeadLetter>,
    /// The last one, where there are more: they come next, so that those that can't be tried now stand before nobody.
    after: Option<DeadLetter>,
}

impl DocumentStore {
    pub fn new(sequencer: Sequencer) -> Self {
        Self { sequencer, due: Mutex::default(), applied: Mutex::default() }
    }

    fn due_now(&self) -> MutexGuard<'_, Due> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, stream: &StreamKey, sequence: u64) -> Option<DeadLetter> {
        self.due_now().letters.remove(&Letter { stream: *stream, sequence })
    }

    /// What becomes of letters while states are built from nothing.
    async fn letters_met_again(&self, batch: &Batch) -> Result<Vec<DocumentChange>, PortError> {
        let (from, through) = (batch.before.sequence + 1, batch.checkpoint.sequence);
        let (from, through) = (SequenceNumber(from), SequenceNumber(through));
        let letters = self.sequencer.dead_letters_among(&batch.stream, from, through).await.map_err(port)?;
        let passed: HashSet<u64> = batch.passed_before.iter().copied().collect();
        let waits = |letter: &&DeadLetter| {
            letter.status != DeadLetterStatus::Resolved && passed.contains(&letter.sequence_number.get())
        };
        let mut changes: Vec<DocumentChange> = letters
            .iter()
            .filter(waits)
            .flat_map(|letter| self.sequencer.dead_letter_resolved(letter))
            .collect();
        let known: HashSet<u64> = letters.iter().map(|letter| letter.sequence_number.get()).collect();
        let mut left_out: Vec<&Refused> =
            batch.refused_before.iter().filter(|refused| !known.contains(&refused.sequence)).collect();
        if !left_out.is_empty() {
            let applied = self.applied_retries(&batch.stream, batch.checkpoint.generation).await?;
            left_out.retain(|refused| !applied.contains(&refused.sequence));
            let refused: Vec<_> = left_out.into_iter().map(|refused| event(&batch.stream, refused)).collect();
            changes.extend(self.sequencer.dead_letters_met_again(&refused));
        }
        Ok(changes)
    }

    /// Numbers of the events that a retry applied. None is added while states are built from nothing, so they are read
    /// once.
    async fn applied_retries(
        &self,
        stream: &StreamKey,
        generation: u32,
    ) -> Result<Arc<HashSet<u64>>, PortError> {
        let is_this = |known: &&Applied| known.stream == *stream && known.generation == generation;
        if let Some(known) = self.applied_known().as_ref().filter(is_this) {
            return Ok(known.sequences.clone());
        }
        let (mut applied, mut ordinal) = (HashSet::new(), 0);
        loop {
            let page = self.resolutions(stream, ordinal, RESOLUTIONS_AT_ONCE).await?;
            applied.extend(page.iter().map(|resolution| resolution.sequence));
            match page.last() {
                Some(last) if page.len() == RESOLUTIONS_AT_ONCE => ordinal = last.ordinal,
                _ => break,
            }
        }
        let sequences = Arc::new(applied);
        *self.applied_known() = Some(Applied { stream: *stream, generation, sequences: sequences.clone() });
        Ok(sequences)
    }

    fn applied_known(&self) -> MutexGuard<'_, Option<Applied>> {
        self.applied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a batch changes besides its checkpoint.
    async fn changes(&self, batch: &Batch) -> Result<Vec<DocumentChange>, PortError> {
        let (stream, generation) = (&batch.stream, batch.checkpoint.generation);
        let mut changes = Vec::with_capacity(batch.states.len() + 8);
        for (name, record) in &batch.states {
            let key = state_key(stream, generation, name);
            changes.push(record_change(Table::ProjectionStates, key, record)?);
        }
        for (name, record) in &batch.snapshots {
            let key = snapshot_key(stream, generation, name, record.version);
            changes.push(record_change(Table::ProjectionSnapshots, key, record)?);
        }
        for resolution in &batch.resolutions {
            changes.extend(resolution_changes(stream, generation, resolution)?);
        }
        if !batch.refused.is_empty() {
            let refused: Vec<_> = batch.refused.iter().map(|refused| event(stream, refused)).collect();
            changes.extend(self.sequencer.dead_letters_refused(&refused).await.map_err(port)?);
        }
        if !batch.refused_before.is_empty() || !batch.passed_before.is_empty() {
            changes.extend(self.letters_met_again(batch).await?);
        }
        for sequence in &batch.resolved {
            let letter = self.take(stream, *sequence);
            changes.extend(letter.iter().flat_map(|letter| self.sequencer.dead_letter_resolved(letter)));
        }
        for refused in &batch.refused_again {
            let letter = self.take(stream, refused.sequence);
            let again = |letter| self.sequencer.dead_letter_refused_again(letter, &event(stream, refused));
            changes.extend(letter.iter().flat_map(again));
        }
        for (sequence, problem) in &batch.unread {
            let letter = self.take(stream, *sequence);
            changes
                .extend(letter.iter().flat_map(|letter| self.sequencer.dead_letter_unread(letter, problem)));
        }
        Ok(changes)
    }
}

impl DocumentStore {
    /// A record that can't be read back, since no key opens it or it is damaged, is derived: it is made again from the events,
    /// with all of its stream. What is to be told to whoever wanted it.
    async fn derived_anew(
        &self,
        stream: &StreamKey,
        generation: u32,
        error: &PortError,
    ) -> Result<PortError, PortError> {
        let before = checkpoint(&self.sequencer, stream).await?;
        if before.generation == generation {
            self.begin_anew(stream, &before).await?;
        }
        Ok(PortError::passing(format!("the states of stream {stream} are built from nothing: {error}")))
    }
}

impl ProjectionStore for DocumentStore {
    async fn checkpoint(&self, stream: &StreamKey) -> Result<Checkpoint, PortError> {
        checkpoint(&self.sequencer, stream).await
    }

    async fn load(
        &self,
        stream: &StreamKey,
        generation: u32,
        names: &[EntityName],
    ) -> Result<Vec<Option<Record>>, PortError> {
        let keys = names.iter().map(|name| state_key(stream, generation, name)).collect();
        let found = self.sequencer.documents_at(Table::ProjectionStates, keys).await.map_err(port)?;
        let records: Result<Vec<_>, PortError> =
            found.iter().map(|document| document.as_ref().map(read_record).transpose()).collect();
        match records {
            Err(error) if error.is_lasting => Err(self.derived_anew(stream, generation, &error).await?),
            records => records,
        }
    }

    async fn resolutions(
        &self,
        stream: &StreamKey,
        ordinal: u64,
        limit: usize,
    ) -> Result<Vec<Resolution>, PortError> {
        let (prefix, after) = (stream_key(stream), resolution_key(stream, ordinal));
        let found =
            self.sequencer.documents(Table::ProjectionCheckpoints, &prefix, Some(&after), limit).await;
        found.map_err(port)?.iter().map(read_resolution).collect()
    }

    async fn begin_anew(&self, stream: &StreamKey, before: &Checkpoint) -> Result<(), PortError> {
        let after = checkpoint_document(stream, &before.rebuilt())?;
        let changes = vec![DocumentChange::Put(Table::ProjectionCheckpoints, after)];
        self.sequencer.put_documents_if(unchanged(stream, before)?, changes).await.map(drop).map_err(port)
    }

    async fn due(&self, limit: usize) -> Result<Vec<Letter>, PortError> {
        let after = self.due_now().after.take();
        let due = self.sequencer.dead_letters_due_after(after.as_ref(), limit).await.map_err(port)?;
        let place =
            |letter: &DeadLetter| Letter { stream: letter.stream, sequence: letter.sequence_number.get() };
        let places = due.iter().map(place).collect();
        let after = due.last().filter(|_| due.len() == limit).cloned();
        *self.due_now() =
            Due { letters: due.into_iter().map(|letter| (place(&letter), letter)).collect(), after };
        Ok(places)
    }

    async fn commit(&self, batch: Batch) -> Result<(), PortError> {
        let unchanged = unchanged(&batch.stream, &batch.before)?;
        let mut changes = self.changes(&batch).await?;
        let after = checkpoint_document(&batch.stream, &batch.checkpoint)?;
        changes.push(DocumentChange::Put(Table::ProjectionCheckpoints, after));
        match self.sequencer.put_documents_if(unchanged, changes).await.map_err(port)? {
            true => Ok(()),
            false => Err(PortError::passing("another pass has moved the checkpoint")),
        }
    }
}

pub(super) async fn checkpoint(sequencer: &Sequencer, stream: &StreamKey) -> Result<Checkpoint, PortError> {
    let found = sequencer.document(Table::ProjectionCheckpoints, &stream_key(stream)).await.map_err(port)?;
    found.as_ref().map_or(Ok(Checkpoint::default()), read)
}

fn event(stream: &StreamKey, refused: &Refused) -> RefusedEvent {
    RefusedEvent {
        stream: *stream,
        sequence_number: SequenceNumber(refused.sequence),
        event_id: refused.event_id,
        entity_type: refused.entity.entity_type().to_owned(),
        entity_id: refused.entity.entity_id().to_owned(),
        event_type: refused.event_type.clone(),
        reason: match refused.refusal.reason {
            Reason::SchemaValidation => DeadLetterReason::SchemaValidation,
            Reason::InvariantViolation => DeadLetterReason::InvariantViolation,
            Reason::InvalidStateTransition => DeadLetterReason::InvalidStateTransition,
            Reason::VersionConflict => DeadLetterReason::VersionConflict,
            Reason::HandlerError => DeadLetterReason::HandlerError,
            Reason::Unknown => DeadLetterReason::Unknown,
        },
        message: refused.refusal.message.clone(),
        expected_version: refused.refusal.expected_version,
        actual_version: refused.refusal.actual_version,
    }
}

//! Documents of the service as the store of projections; its dead letters are where refused events go.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use stateset_projection::{
    Batch, Checkpoint, EntityName, Letter, PortError, ProjectionStore, Reason, Record, Refused, Resolution,
};
use stateset_sequencer::{
    DeadLetter, DeadLetterReason, DocumentChange, RefusedEvent, Sequencer, Table, Unchanged,
};
use ves::{SequenceNumber, StreamKey};

use super::port;
use super::stored::{
    checkpoint_document, read, read_resolution, record_change, resolution_changes, resolution_key,
    snapshot_key, state_key, stream_key,
};

pub(super) struct DocumentStore {
    sequencer: Sequencer,
    /// Letters that were given out as due, by their places.
    due: Mutex<HashMap<Letter, DeadLetter>>,
}

impl DocumentStore {
    pub fn new(sequencer: Sequencer) -> Self {
        Self { sequencer, due: Mutex::default() }
    }

    fn letters(&self) -> MutexGuard<'_, HashMap<Letter, DeadLetter>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
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
        for sequence in &batch.resolved {
            let letter = self.letters().remove(&Letter { stream: *stream, sequence: *sequence });
            changes.extend(letter.iter().flat_map(|letter| self.sequencer.dead_letter_resolved(letter)));
        }
        for refused in &batch.refused_again {
            let letter = self.letters().remove(&Letter { stream: *stream, sequence: refused.sequence });
            let again = |letter| self.sequencer.dead_letter_refused_again(letter, &event(stream, refused));
            changes.extend(letter.iter().flat_map(again));
        }
        Ok(changes)
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
        found.iter().map(|document| document.as_ref().map(read).transpose()).collect()
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

    async fn due(&self, limit: usize) -> Result<Vec<Letter>, PortError> {
        let due = self.sequencer.dead_letters_due(limit).await.map_err(port)?;
        let place =
            |letter: &DeadLetter| Letter { stream: letter.stream, sequence: letter.sequence_number.get() };
        let places = due.iter().map(place).collect();
        *self.letters() = due.into_iter().map(|letter| (place(&letter), letter)).collect();
        Ok(places)
    }

    async fn commit(&self, batch: Batch) -> Result<(), PortError> {
        let before = checkpoint_document(&batch.stream, &batch.before)?;
        let unchanged = Unchanged {
            table: Table::ProjectionCheckpoints,
            key: before.key.clone(),
            found: (batch.before != Checkpoint::default()).then_some(before),
        };
        let mut changes = self.changes(&batch).await?;
        let after = checkpoint_document(&batch.stream, &batch.checkpoint)?;
        changes.push(DocumentChange::Put(Table::ProjectionCheckpoints, after));
        match self.sequencer.put_documents_if(unchanged, changes).await.map_err(port)? {
            true => Ok(()),
            false => Err(PortError("another pass has moved the checkpoint".to_owned())),
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

//! States as the doors read them: present ones from the store, earlier ones folded from the entity's own events.

use stateset_projection::{
    Checkpoint, EntityName, Fact, Fold, HISTORY_SNAPSHOT_EVENTS, Machine, PortError, Record, STATE_BYTES_MAX,
    machine,
};
use stateset_sequencer::{Document, Sequencer, ServiceError, StoredEvent, Table};
use stateset_sequencer_api::{EntitiesFound, EntitiesWanted, EntityState, ReadModels, Reading};
use ves::{SequenceNumber, StreamKey};

use super::feed::{Own, fact};
use super::store::checkpoint;
use super::stored::{self, generation_key, name_of, retries_key, retry_place, snapshot_key, state_key};

/// Documents looked at for one page, those of other states included.
const LOOKED_AT_MAX: usize = 2_000;
/// Few: what is read before a page is seen to be full is at most as much again.
const READ_AT_ONCE: usize = PAGE_BYTES_MAX / STATE_BYTES_MAX;
/// A page ends with the state that reaches this many bytes.
const PAGE_BYTES_MAX: usize = 4 << 20;
/// Retries of one entity that one read goes through.
const RETRIES_MAX: usize = 1_000;

/// The states that [`super::Projections`] keeps.
#[derive(Debug)]
pub struct States;

impl ReadModels for States {
    fn projected<'a>(
        &'a self,
        sequencer: &'a Sequencer,
        stream: &'a StreamKey,
    ) -> Reading<'a, SequenceNumber> {
        Box::pin(async move {
            let checkpoint = checkpoint(sequencer, stream).await.map_err(unread)?;
            Ok(SequenceNumber(checkpoint.sequence))
        })
    }

    fn entity<'a>(
        &'a self,
        sequencer: &'a Sequencer,
        stream: &'a StreamKey,
        (entity_type, entity_id): (&'a str, &'a str),
        at: Option<SequenceNumber>,
    ) -> Reading<'a, Option<EntityState>> {
        Box::pin(async move {
            let (Some(machine), Some(name)) = (machine(entity_type), EntityName::new(entity_type, entity_id))
            else {
                return Ok(None);
            };
            let checkpoint = checkpoint(sequencer, stream).await.map_err(unread)?;
            let entity = Entity { sequencer, stream, machine, name, checkpoint };
            let record = match at {
                None => entity.present().await?,
                Some(at) => Some(entity.at(at.get()).await?).filter(|record| record.version > 0),
            };
            Ok(record.map(|record| state_of(&entity.name, record)))
        })
    }

    fn entities<'a>(
        &'a self,
        sequencer: &'a Sequencer,
        stream: &'a StreamKey,
        wanted: EntitiesWanted<'a>,
    ) -> Reading<'a, EntitiesFound> {
        Box::pin(async move {
            let checkpoint = checkpoint(sequencer, stream).await.map_err(unread)?;
            entities(sequencer, stream, checkpoint.generation, wanted).await
        })
    }
}

async fn entities(
    sequencer: &Sequencer,
    stream: &StreamKey,
    generation: u32,
    wanted: EntitiesWanted<'_>,
) -> Result<EntitiesFound, ServiceError> {
    let mut prefix = generation_key(stream, generation);
    prefix.extend(wanted.entity_type.as_bytes());
    prefix.push(0);
    let mut after = wanted.after.map(|after| [&prefix, after.as_bytes()].concat());
    let (mut found, mut looked_at, mut bytes) = (EntitiesFound::default(), 0, 0);
    loop {
        let page =
            sequencer.documents(Table::ProjectionStates, &prefix, after.as_deref(), READ_AT_ONCE).await?;
        let is_last = page.len() < READ_AT_ONCE;
        let mut page = page.into_iter();
        while let Some(document) = page.next() {
            let name =
                name_of(&document.key).ok_or_else(|| unread(PortError::lasting("a key names no entity")))?;
            let record = read_record(&document)?;
            looked_at += 1;
            let fits = record
                .state
                .as_ref()
                .is_some_and(|state| wanted.status.is_none_or(|status| status == state.status()));
            if fits {
                bytes += document.text.len();
                found.entities.push(state_of(&name, record));
            }
            let is_full = found.entities.len() >= wanted.limit || bytes >= PAGE_BYTES_MAX;
            if is_full || looked_at >= LOOKED_AT_MAX {
                let is_followed = !is_last || !page.as_slice().is_empty();
                found.next_after = is_followed.then(|| name.entity_id().to_owned());
                return Ok(found);
            }
            after = Some(document.key);
        }
        if is_last {
            return Ok(found);
        }
    }
}

/// One entity that is asked about.
struct Entity<'a> {
    sequencer: &'a Sequencer,
    stream: &'a StreamKey,
    machine: &'static Machine,
    name: EntityName,
    checkpoint: Checkpoint,
}

impl Entity<'_> {
    async fn present(&self) -> Result<Option<Record>, ServiceError> {
        self.record(Table::ProjectionStates, state_key(self.stream, self.checkpoint.generation, &self.name))
            .await
    }

    async fn record(&self, table: Table, key: Vec<u8>) -> Result<Option<Record>, ServiceError> {
        let found = self.sequencer.document(table, &key).await?;
        found.as_ref().map(read_record).transpose()
    }

    /// The record after event `at`, which may lie before or after the checkpoint.
    async fn at(&self, at: u64) -> Result<Record, ServiceError> {
        if at >= self.checkpoint.sequence {
            // The present state, and what has not been projected yet. It may be newer than the checkpoint that was read.
            let present = self.present().await?.unwrap_or_default();
            if present.sequence <= at {
                return self.fold(present, at, &[]).await;
            }
        }
        let version = self.version_at(at).await?;
        let kept = version / HISTORY_SNAPSHOT_EVENTS * HISTORY_SNAPSHOT_EVENTS;
        let key = snapshot_key(self.stream, self.checkpoint.generation, &self.name, kept);
        let base = match kept {
            0 => None,
            _ => self.record(Table::ProjectionSnapshots, key).await?,
        };
        let base = base.unwrap_or_default();
        let retries = self.retries(base.sequence, at).await?;
        self.fold(base, at, &retries).await
    }

    /// How many events the entity had after event `at`.
    async fn version_at(&self, at: u64) -> Result<u64, ServiceError> {
        let history = self.events(1, 1).await?;
        let (mut low, mut high) = (0, history.current_version);
        // Version `low` is at or before `at`; those above `high` are behind it.
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            let event = self.events(middle, 1).await?.events.into_iter().next();
            match event.is_some_and(|event| event.sequence_number.get() <= at) {
                true => low = middle,
                false => high = middle - 1,
            }
        }
        Ok(low)
    }

    async fn events(
        &self,
        from_version: u64,
        limit: usize,
    ) -> Result<stateset_sequencer::EntityHistory, ServiceError> {
        let (entity_type, entity_id) = (self.name.entity_type(), self.name.entity_id());
        self.sequencer.entity_history(self.stream, entity_type, entity_id, from_version, limit).await
    }

    /// Retries of this entity that came after event `from` or later, up to `at`, with what they followed.
    async fn retries(&self, from: u64, at: u64) -> Result<Vec<(u64, StoredEvent)>, ServiceError> {
        let prefix = retries_key(self.stream, self.checkpoint.generation, &self.name);
        let start = [prefix.as_slice(), &from.to_be_bytes()].concat();
        let found =
            self.sequencer.documents(Table::ProjectionSnapshots, &prefix, Some(&start), RETRIES_MAX).await?;
        let mut retries = Vec::new();
        for document in found {
            let Some((after, sequence)) = retry_place(&document.key).filter(|(after, _)| *after <= at) else {
                break;
            };
            let events = self.sequencer.events(self.stream, SequenceNumber(sequence), 1).await?;
            retries.extend(events.into_iter().map(|event| (after, event)));
        }
        Ok(retries)
    }

    /// Folds from `base` on. The events of one page are few: they end at the next snapshot, or at the head.
    async fn fold(
        &self,
        base: Record,
        at: u64,
        retries: &[(u64, StoredEvent)],
    ) -> Result<Record, ServiceError> {
        let mut events = Vec::new();
        loop {
            let from = base.version + events.len() as u64 + 1;
            let page = self.events(from, HISTORY_SNAPSHOT_EVENTS as usize).await?.events;
            let is_last = page.last().is_none_or(|event| event.sequence_number.get() >= at);
            events.extend(page);
            if is_last {
                break;
            }
        }
        let own = Own::Running(self.sequencer.clone());
        let facts = events.iter().map(|event| fact(event, &own));
        let facts = facts.collect::<Result<Vec<Fact<'_>>, _>>().map_err(unread)?;
        let retries = retries.iter().map(|(after, event)| Ok((*after, fact(event, &own)?)));
        let retries = retries.collect::<Result<Vec<_>, PortError>>().map_err(unread)?;
        let mut fold = Fold::new(self.machine, base, at);
        fold.run(&facts, &retries);
        Ok(fold.record)
    }
}

fn state_of(name: &EntityName, record: Record) -> EntityState {
    EntityState {
        entity_id: name.entity_id().to_owned(),
        version: record.version,
        unreadable: record.unreadable,
        sequence: SequenceNumber(record.sequence),
        state: record.state.map(|state| serde_json::Value::Object(state.members().clone())),
    }
}

fn read_record(document: &Document) -> Result<Record, ServiceError> {
    let is_sealed = !document.content.is_empty();
    stored::read_record(document).map_err(|error| match is_sealed {
        true => ServiceError::Sealed(error.problem),
        false => unread(error),
    })
}

fn unread(error: PortError) -> ServiceError {
    ServiceError::Read(error.problem)
}

//! Reads of letters, and what whoever applies events asks for.

use std::collections::BTreeSet;

use stateset_event_log::{DocumentChange, LogReader, Table};
use ves::{EventId, SequenceNumber, StoreId, StreamKey, TenantId, TimestampMs};

use super::schedule::{HORIZON_MS, brought_back, met_again, refused, refused_again, resolved};
use super::stored::{
    DUE, Tally, due_from, due_key, event_prefix, place_key, place_of_event, put_letter, put_rejection,
    read_due, read_letter, read_rejection, rejection_key,
};
use super::{
    DeadLetter, DeadLetterCounts, DeadLetterFilter, DeadLetterPage, DeadLetterPlace, DeadLetterReason,
    RefusedEvent, RejectedEvent,
};
use crate::error::ServiceError;
use crate::sequencer::{Sequencer, blocking};

/// Letters read at once while a list is made.
const PAGE: usize = 256;
/// Letters given out as due at once.
const DUE_MAX: usize = 1_024;
/// Letters of one event that are looked at: stores that hold it.
const SAME_EVENT_MAX: usize = 64;

impl Sequencer {
    /// Letters whose time for a retry has come, the longest waiting first, at most `limit`. Costs no read while there is
    /// none. The same letters are given out until what became of them is written.
    ///
    /// Clock steps: after one ahead, letters come due early, each once. After one back, a letter that seems to be planned
    /// further ahead than any is, is planned anew with its whole delay; one within that range waits at most 76 minutes.
    pub async fn dead_letters_due(&self, limit: usize) -> Result<Vec<DeadLetter>, ServiceError> {
        self.dead_letters_due_after(None, limit).await
    }

    /// As [`Self::dead_letters_due`], from the one after `after` on, which is one that was given out: so that letters that
    /// can't be tried now do not stand before the others.
    pub async fn dead_letters_due_after(
        &self,
        after: Option<&DeadLetter>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, ServiceError> {
        let (kept, now) = (&self.shared().dead_letters, self.now());
        if kept.lies_too_far(now) {
            self.decided(move |reader| bring_back(reader, now)).await?;
        }
        if limit == 0 || !kept.may_be_due(now) {
            return Ok(Vec::new());
        }
        let reader = self.inner.reader.clone();
        let after = after.and_then(|letter| {
            Some(due_key(letter.next_retry_at?, &place_key(&letter.stream, letter.sequence_number)))
        });
        let (due, astray) =
            blocking(move || due(reader.as_ref(), now, after.as_deref(), limit.min(DUE_MAX))).await?;
        if !astray.is_empty() {
            tracing::warn!(
                entries = astray.len(),
                "retries were planned for dead letters that are not there"
            );
            self.put_documents(astray).await?;
        }
        Ok(due)
    }

    /// What to write, with the checkpoint that passes them, for events that were refused: a letter for each, and an entry
    /// of the log of rejections. An event that has a letter keeps it as it is.
    pub async fn dead_letters_refused(
        &self,
        refused_events: &[RefusedEvent],
    ) -> Result<Vec<DocumentChange>, ServiceError> {
        let now = self.now();
        let changes = refused_events
            .iter()
            .flat_map(|event| [put_letter(&refused(event, now)), put_rejection(event, now)]);
        Ok(changes.collect())
    }

    /// What to write, with the checkpoint that passes them, for events that are refused at their places once more while
    /// states are built from nothing: a letter for each that has none. They stand in the log of rejections already.
    pub fn dead_letters_met_again(&self, refused_events: &[RefusedEvent]) -> Vec<DocumentChange> {
        let now = self.now();
        refused_events.iter().map(|event| put_letter(&met_again(event, now))).collect()
    }

    /// What to write for a due letter whose event can't be read: it is tried later, as after any other refusal.
    pub fn dead_letter_unread(&self, letter: &DeadLetter, problem: &str) -> Vec<DocumentChange> {
        let refused = RefusedEvent {
            stream: letter.stream,
            sequence_number: letter.sequence_number,
            event_id: letter.event_id,
            entity_type: letter.entity_type.clone(),
            entity_id: letter.entity_id.clone(),
            event_type: letter.event_type.clone(),
            reason: DeadLetterReason::HandlerError,
            message: format!("the event can't be read: {problem}"),
            expected_version: None,
            actual_version: None,
        };
        self.dead_letter_refused_again(letter, &refused)
    }

    /// The letters of a stream from number `from` to `through`, ascending.
    pub async fn dead_letters_among(
        &self,
        stream: &StreamKey,
        from: SequenceNumber,
        through: SequenceNumber,
    ) -> Result<Vec<DeadLetter>, ServiceError> {
        let stream = *stream;
        self.read_much(move |reader| among(reader, &stream, from, through)).await
    }

    /// What to write, with the states that changed, for a due letter whose event was applied.
    pub fn dead_letter_resolved(&self, letter: &DeadLetter) -> Vec<DocumentChange> {
        vec![put_letter(&resolved(letter, self.now()))]
    }

    /// What to write for a due letter whose event was refused again, for a reason that may be another.
    pub fn dead_letter_refused_again(
        &self,
        letter: &DeadLetter,
        refused: &RefusedEvent,
    ) -> Vec<DocumentChange> {
        let now = self.now();
        vec![put_letter(&refused_again(letter, refused, now)), put_rejection(refused, now)]
    }

    /// What to write where the projections of a stream are made anew from its first event: its letters go, since each of
    /// their events is met again.
    pub async fn dead_letters_forgotten(
        &self,
        stream: &StreamKey,
    ) -> Result<Vec<DocumentChange>, ServiceError> {
        let stream = *stream;
        self.read_much(move |reader| forgotten(reader, &stream)).await
    }

    /// The letters of an event in a tenant's stores: one, but for an id that several stores hold.
    pub async fn dead_letters_of(
        &self,
        tenant: &TenantId,
        store: Option<&StoreId>,
        event: &EventId,
    ) -> Result<Vec<DeadLetter>, ServiceError> {
        let (tenant, store, event) = (*tenant, store.copied(), *event);
        self.read_much(move |reader| find(reader, &tenant, store.as_ref(), &event)).await
    }

    /// The letters that a filter fits, ascending by place, at most `limit`.
    pub async fn dead_letters(
        &self,
        filter: DeadLetterFilter,
        after: Option<DeadLetterPlace>,
        limit: usize,
    ) -> Result<DeadLetterPage, ServiceError> {
        self.read_much(move |reader| list(reader, &filter, after, limit)).await
    }

    /// The newest rejections of a tenant that the log keeps, from `number` on, at most `limit`.
    pub async fn rejected_events(
        &self,
        tenant: &TenantId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<RejectedEvent>, ServiceError> {
        self.rejected_events_of(tenant, &[], from, limit).await
    }

    /// The same of some stores alone; of every store where none is named.
    pub async fn rejected_events_of(
        &self,
        tenant: &TenantId,
        stores: &[StoreId],
        from: u64,
        limit: usize,
    ) -> Result<Vec<RejectedEvent>, ServiceError> {
        let (tenant, stores) = (*tenant, stores.to_vec());
        self.read_much(move |reader| rejections(reader, &tenant, &stores, from, limit)).await
    }

    /// How many letters some stores of a tenant have. Looks through the letters of these stores.
    pub async fn dead_letter_counts_of(
        &self,
        tenant: &TenantId,
        stores: &[StoreId],
    ) -> Result<DeadLetterCounts, ServiceError> {
        let (tenant, stores, now) = (*tenant, stores.to_vec(), self.now());
        let counted = self.read_much(move |reader| counted(reader, &tenant, &stores)).await?;
        Ok(counted.counts(now))
    }

    /// How many tenants had letters left out for want of room, and have none still.
    pub fn dead_letter_tenants_full(&self) -> u64 {
        self.shared().dead_letters.tenants_full()
    }

    /// How many letters there are, of one tenant or of all. Costs no read.
    pub fn dead_letter_counts(&self, tenant: Option<&TenantId>) -> DeadLetterCounts {
        self.shared().dead_letters.counts(tenant, self.now())
    }
}

/// Due letters, and entries that lead to none.
fn due(
    reader: &dyn LogReader,
    now: TimestampMs,
    after: Option<&[u8]>,
    limit: usize,
) -> Result<(Vec<DeadLetter>, Vec<DocumentChange>), ServiceError> {
    let (mut letters, mut astray) = (Vec::new(), Vec::new());
    for entry in reader.documents(Table::DeadLetterIds, DUE, after, limit)? {
        let Some((at, place)) = read_due(&entry.key) else {
            astray.push(DocumentChange::Remove(Table::DeadLetterIds, entry.key));
            continue;
        };
        if at > now {
            break;
        }
        let stored = reader.document(Table::DeadLetters, &place)?;
        // One changed between the two reads has another time, and another entry.
        match stored.as_ref().and_then(read_letter).filter(|letter| letter.next_retry_at == Some(at)) {
            Some(letter) => letters.push(letter),
            None => astray.push(DocumentChange::Remove(Table::DeadLetterIds, entry.key)),
        }
    }
    Ok((letters, astray))
}

/// Letters planned further ahead than any can be, planned anew; a page of them at a time.
fn bring_back(reader: &dyn LogReader, now: TimestampMs) -> Result<Vec<DocumentChange>, ServiceError> {
    let beyond = due_from(TimestampMs(now.0.saturating_add(HORIZON_MS + 1)));
    let mut changes = Vec::new();
    for entry in reader.documents(Table::DeadLetterIds, DUE, Some(&beyond), PAGE)? {
        let Some((_, place)) = read_due(&entry.key) else { continue };
        let stored = reader.document(Table::DeadLetters, &place)?;
        let letter = stored.as_ref().and_then(read_letter);
        changes
            .extend(letter.and_then(|letter| brought_back(&letter, now)).map(|letter| put_letter(&letter)));
    }
    Ok(changes)
}

fn among(
    reader: &dyn LogReader,
    stream: &StreamKey,
    from: SequenceNumber,
    through: SequenceNumber,
) -> Result<Vec<DeadLetter>, ServiceError> {
    let prefix = [&stream.tenant_id.as_bytes()[..], stream.store_id.as_bytes()].concat();
    let mut after = place_key(stream, SequenceNumber(from.0.saturating_sub(1)));
    let mut letters = Vec::new();
    loop {
        let page = reader.documents(Table::DeadLetters, &prefix, Some(&after), PAGE)?;
        for letter in page.iter().filter_map(read_letter) {
            if letter.sequence_number > through {
                return Ok(letters);
            }
            letters.push(letter);
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after.clone_from(&last.key),
            _ => return Ok(letters),
        }
    }
}

/// A tenant's letters are bounded, so this is too.
fn counted(reader: &dyn LogReader, tenant: &TenantId, stores: &[StoreId]) -> Result<Tally, ServiceError> {
    let stores: BTreeSet<&StoreId> = stores.iter().collect();
    let mut tally = Tally::default();
    for store in stores {
        let stream = StreamKey { tenant_id: *tenant, store_id: *store };
        let letters = among(reader, &stream, SequenceNumber(0), SequenceNumber(u64::MAX))?;
        letters.iter().for_each(|letter| tally.add(letter));
    }
    Ok(tally)
}

fn forgotten(reader: &dyn LogReader, stream: &StreamKey) -> Result<Vec<DocumentChange>, ServiceError> {
    let prefix = [&stream.tenant_id.as_bytes()[..], stream.store_id.as_bytes()].concat();
    let (mut changes, mut after) = (Vec::new(), None::<Vec<u8>>);
    loop {
        let page = reader.documents(Table::DeadLetters, &prefix, after.as_deref(), PAGE)?;
        after = page.last().map(|last| last.key.clone());
        let is_end = page.len() < PAGE;
        changes.extend(page.into_iter().map(|letter| DocumentChange::Remove(Table::DeadLetters, letter.key)));
        if is_end {
            return Ok(changes);
        }
    }
}

/// The letters of an event in a tenant's stores, or in one of them.
pub fn find(
    reader: &dyn LogReader,
    tenant: &TenantId,
    store: Option<&StoreId>,
    event: &EventId,
) -> Result<Vec<DeadLetter>, ServiceError> {
    let mut letters = Vec::new();
    for entry in reader.documents(Table::DeadLetterIds, &event_prefix(tenant, event), None, SAME_EVENT_MAX)? {
        let Some(place) = place_of_event(tenant, &entry.key) else { continue };
        let letter = reader.document(Table::DeadLetters, &place)?.as_ref().and_then(read_letter);
        letters.extend(letter.filter(|letter| store.is_none_or(|store| *store == letter.stream.store_id)));
    }
    Ok(letters)
}

/// The letters that a filter fits, ascending by place, at most `limit`, from the one after `after` on.
pub fn list(
    reader: &dyn LogReader,
    filter: &DeadLetterFilter,
    after: Option<DeadLetterPlace>,
    limit: usize,
) -> Result<DeadLetterPage, ServiceError> {
    let mut letters: Vec<DeadLetter> = Vec::new();
    let mut after = after.map(|place| key_of(filter, place));
    // A tenant's letters are bounded, so one that fits few of them still ends.
    loop {
        let page = reader.documents(Table::DeadLetters, &prefix_of(filter), after.as_deref(), PAGE)?;
        for letter in page.iter().filter_map(read_letter).filter(|letter| filter.fits(letter)) {
            if letters.len() == limit {
                let next = letters.last().map(DeadLetter::place);
                return Ok(DeadLetterPage { letters, next });
            }
            letters.push(letter);
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.key.clone()),
            _ => return Ok(DeadLetterPage { letters, next: None }),
        }
    }
}

/// Rejections of a tenant from `from` on, ascending by number, of some of its stores or of all where none is named.
pub fn rejections(
    reader: &dyn LogReader,
    tenant: &TenantId,
    stores: &[StoreId],
    from: u64,
    limit: usize,
) -> Result<Vec<RejectedEvent>, ServiceError> {
    let mut after = from.checked_sub(1).map(|before| rejection_key(tenant, before));
    let mut rejected = Vec::new();
    // The log of a tenant is bounded, so one in which few fit still ends.
    loop {
        let page = reader.documents(Table::RejectedEvents, tenant.as_bytes(), after.as_deref(), PAGE)?;
        for found in page.iter().filter_map(read_rejection) {
            if rejected.len() == limit {
                return Ok(rejected);
            }
            if stores.is_empty() || stores.contains(&found.refused.stream.store_id) {
                rejected.push(found);
            }
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.key.clone()),
            _ => return Ok(rejected),
        }
    }
}

/// What the keys begin with of all letters that a filter can fit.
pub(super) fn prefix_of(filter: &DeadLetterFilter) -> Vec<u8> {
    let mut prefix = filter.tenant_id.as_bytes().to_vec();
    if let [store] = filter.store_ids.as_slice() {
        prefix.extend_from_slice(store.as_bytes());
    }
    prefix
}

pub(super) fn key_of(filter: &DeadLetterFilter, place: DeadLetterPlace) -> Vec<u8> {
    let stream = StreamKey { tenant_id: filter.tenant_id, store_id: place.store_id };
    place_key(&stream, place.sequence_number)
}

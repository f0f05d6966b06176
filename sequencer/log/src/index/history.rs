//! The events of one entity, in order: a range of each run.
//!
//! A run holds one entry for each event, ordered by entity and number, and a count for each entity (kind
//! [`IndexKind::Entity`]). The counts say which run holds the version asked for; inside it the entries lie side by
//! side in full pages, so a version's place is arithmetic. An answer costs a few pages, however long the history is.

use std::cmp::Reverse;
use std::ops::Range;
use std::sync::Arc;

use ves::{SequenceNumber, StreamKey};

use super::key::{EntityRange, IndexKind, SearchKey};
use super::page::{self, ENTRIES_PER_PAGE};
use super::run::{Found, Interrupted, Run};
use super::{IdIndex, IndexSnapshot, Shared, View};
use crate::error::LogError;
use crate::event_log::LogReader;

/// What the published runs know of an entity, all of one state of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityEvents {
    /// The runs hold the events up to here; later ones are in memory, or to be read from the log.
    pub covered: SequenceNumber,
    /// How many events of the entity there are up to `covered`: its version there.
    pub version: u64,
    /// The versions asked for, in order, as far as they are covered.
    pub events: Vec<SequenceNumber>,
}

impl IdIndex {
    /// Events of an entity from version `from_version` on (1 is its first event), at most `limit`.
    ///
    /// `entity`: 16 bytes that stand for the entity's type and id, as in [`super::IndexKey::entity`].
    pub fn entity_events(
        &self,
        stream: &StreamKey,
        entity: [u8; 16],
        from_version: u64,
        limit: usize,
    ) -> Result<EntityEvents, LogError> {
        entity_events(&self.0, self.0.view.load_full(), stream, entity, from_version, limit)
    }
}

impl IndexSnapshot {
    /// As [`IdIndex::entity_events`], in this state, or a later one where a merge removed this one's pages: the
    /// answer says what it covers.
    pub fn entity_events(
        &self,
        stream: &StreamKey,
        entity: [u8; 16],
        from_version: u64,
        limit: usize,
    ) -> Result<EntityEvents, LogError> {
        entity_events(&self.shared, Arc::clone(&self.view), stream, entity, from_version, limit)
    }
}

fn entity_events(
    shared: &Shared,
    mut view: Arc<View>,
    stream: &StreamKey,
    entity: [u8; 16],
    from_version: u64,
    limit: usize,
) -> Result<EntityEvents, LogError> {
    loop {
        match of_view(shared, &view, stream, entity, from_version, limit) {
            Ok(events) => return Ok(events),
            Err(Interrupted::Log(error)) => return Err(error),
            // A merge took the page away while it was asked for: ask the newer state for the whole answer.
            Err(Interrupted::Replaced(gone)) => {
                view = shared.view.load_full();
                if view.runs.iter().any(|run| run.info.run == gone) {
                    return Err(LogError::corrupt(format!("index run {gone}"), "a page is missing"));
                }
            }
        }
    }
}

fn of_view(
    shared: &Shared,
    view: &View,
    stream: &StreamKey,
    entity: [u8; 16],
    from_version: u64,
    limit: usize,
) -> Result<EntityEvents, Interrupted> {
    let mut found = EntityEvents { covered: view.covered(stream), version: 0, events: Vec::new() };
    let Some((number, _)) = view.streams.get(stream) else { return Ok(found) };
    let count_key = SearchKey::new(*number, IndexKind::Entity, entity);
    let entries = EntityRange::of(*number, entity);
    let mut skip = from_version.max(1) - 1;
    for run in view.oldest_first() {
        let count = match run.find(&*shared.reader, &count_key)? {
            Found::Value(count) => count,
            Found::Nothing => continue,
            Found::Replaced => return Err(Interrupted::Replaced(run.info.run)),
        };
        found.version += count;
        let wanted = limit - found.events.len();
        if skip >= count || wanted == 0 {
            skip = skip.saturating_sub(count);
            continue;
        }
        let before = found.events.len();
        found.events.extend(run.events_of(&*shared.reader, &entries, count, skip, wanted)?);
        let is_whole = (found.events.len() - before) as u64 == (count - skip).min(wanted as u64);
        if !is_whole || !found.events[before.saturating_sub(1)..].is_sorted() {
            let problem = "an entity's events are not as many, or not in the order, that its count says";
            return Err(LogError::corrupt(format!("index run {}", run.info.run), problem).into());
        }
        skip = 0;
    }
    Ok(found)
}

impl View {
    /// Runs in the order of the events they hold. Flushes make the newest run, of tier 0, and a merge takes the
    /// oldest runs of one tier; so every run is older than all runs of lower tiers, and than later ones of its own.
    /// The number alone is not enough: a merge ends in a high number and holds old events.
    fn oldest_first(&self) -> Vec<&Run> {
        let mut runs: Vec<&Run> = self.runs.iter().map(Arc::as_ref).collect();
        runs.sort_by_key(|run| (Reverse(run.info.tier), run.info.run));
        runs
    }
}

impl Run {
    /// Numbers of an entity's events in this run: leaves out the first `skip` of its `count`, at most `limit`.
    fn events_of(
        &self,
        reader: &dyn LogReader,
        entity: &EntityRange,
        count: u64,
        skip: u64,
        limit: usize,
    ) -> Result<Vec<SequenceNumber>, Interrupted> {
        let places = self.place(reader, &entity.first)?..self.place(reader, &entity.end)?;
        let mut events = Vec::new();
        let is_alone = places.end - places.start == count;
        let (places, mut skip) = match is_alone {
            true => {
                (places.start + skip..places.end.min((places.start + skip).saturating_add(limit as u64)), 0)
            }
            // Another entity shares the first half of the key, and their events are mixed: each entry says whose it is.
            false => (places, skip),
        };
        self.each(reader, places, |key, owner| {
            if owner != entity.owner {
                return true;
            }
            match skip {
                0 => events.push(SequenceNumber(key.id as u64)),
                _ => skip -= 1,
            }
            events.len() < limit
        })?;
        Ok(events)
    }

    /// How many entries of the run are less than `key`. Reads at most one page.
    fn place(&self, reader: &dyn LogReader, key: &SearchKey) -> Result<u64, Interrupted> {
        let Some(page) = self.fences.partition_point(|fence| fence < key).checked_sub(1) else {
            return Ok(0);
        };
        let entries = self.data_page(reader, page as u32)?;
        let below = entries.entries().partition_below(key);
        Ok(page as u64 * ENTRIES_PER_PAGE as u64 + below as u64)
    }

    /// Gives the entries at `places` to `take`, until it answers `false`. All pages but the last are full.
    fn each(
        &self,
        reader: &dyn LogReader,
        places: Range<u64>,
        mut take: impl FnMut(SearchKey, u64) -> bool,
    ) -> Result<(), Interrupted> {
        let per_page = ENTRIES_PER_PAGE as u64;
        let mut next = places.start;
        while next < places.end {
            let page = next / per_page;
            let content = self.data_page(reader, page as u32)?;
            for place in next..places.end.min((page + 1) * per_page) {
                let Some((key, value)) = content.entries().get((place % per_page) as usize) else {
                    return Err(page::damaged(self.info.run, page as u32, "it is not full").into());
                };
                if !take(key, value) {
                    return Ok(());
                }
            }
            next = (page + 1) * per_page;
        }
        Ok(())
    }
}

//! The memory of one stream: its head, its recent ids in sequence order, its uncommitted tail.

use std::collections::VecDeque;

use indexmap::IndexMap;
use indexmap::map::Entry;
use ves::{CommandId, Digest, EventId, SequenceNumber, TimestampMs};

use crate::candidate::{ColdFacts, EntityKey};

/// What the engine remembers of one recent event; the derived index takes it over before it is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecentEntry {
    pub sequence: SequenceNumber,
    pub event_id: EventId,
    pub command_id: Option<CommandId>,
    pub entity: EntityKey,
}

#[derive(Debug, Clone, Copy)]
struct Recent {
    event_id: EventId,
    command_id: Option<CommandId>,
    entity: EntityKey,
    /// Number of the entity's event before this one; of no meaning where that is forgotten, or there is none.
    previous: u64,
}

/// The recent events of an entity.
#[derive(Debug, Clone, Copy)]
struct EntityTail {
    count: u64,
    /// Number of the last; the others follow by [`Recent::previous`].
    last: u64,
}

/// When a run of events was given its numbers; it ends where the next mark begins.
#[derive(Debug, Clone, Copy)]
struct AgeMark {
    first: u64,
    at: TimestampMs,
}

/// State of one stream. Recent entries cover `forgotten + 1 ..= given`, without holes.
///
/// The maps find an id's place and are never iterated, so their order is of no consequence; they are keyed with a
/// random SipHash because callers choose the ids. Order lives in `recent`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stream {
    /// Last number given, provisional ones included.
    given: u64,
    /// Last durable number.
    durable: u64,
    /// The derived index answers for `1..=forgotten`.
    forgotten: u64,
    recent: VecDeque<Recent>,
    events: IndexMap<EventId, u64>,
    commands: IndexMap<CommandId, u64>,
    /// Recent events by entity.
    entities: IndexMap<EntityKey, EntityTail>,
    /// Head that recovery still has to reach through [`Stream::remember`].
    refill_to: u64,
    pub(crate) committed_end: u64,
    pub(crate) last_state_root: Digest,
    /// Last number of the batch being built, if any.
    pub(crate) in_flight: Option<u64>,
    /// Ages of the uncommitted events, oldest first.
    ages: VecDeque<AgeMark>,
    /// Where this stream stands in the engine's queue of deadlines.
    pub(crate) queued_at: Option<TimestampMs>,
}

impl Stream {
    /// A stream found in the log: recent entries of `covered + 1 ..= head` follow through [`Stream::remember`].
    pub fn opened(
        head: u64,
        covered: u64,
        committed_end: u64,
        root: Digest,
        uncommitted_since: TimestampMs,
    ) -> Self {
        let mut stream = Self {
            given: covered,
            durable: covered,
            forgotten: covered,
            refill_to: head,
            committed_end,
            last_state_root: root,
            ..Self::default()
        };
        if committed_end < head {
            stream.ages.push_back(AgeMark { first: committed_end + 1, at: uncommitted_since });
        }
        stream
    }

    pub fn given(&self) -> u64 {
        self.given
    }
    /// The durable head; during recovery already that of the log.
    pub fn durable(&self) -> u64 {
        self.durable.max(self.refill_to)
    }
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }
    pub fn recent_len(&self) -> usize {
        self.recent.len()
    }
    /// Whether recovery has brought back every event that the index does not cover.
    pub fn is_refilled(&self) -> bool {
        self.given >= self.refill_to
    }

    /// Durable entries in sequence order.
    pub fn durable_entries(&self) -> impl Iterator<Item = RecentEntry> + '_ {
        let durable = usize::try_from(self.durable - self.forgotten).unwrap_or(usize::MAX);
        (self.forgotten + 1..).zip(&self.recent).take(durable).map(|(n, e)| RecentEntry {
            sequence: SequenceNumber(n),
            event_id: e.event_id,
            command_id: e.command_id,
            entity: e.entity,
        })
    }

    /// Where `id` stands, by memory or by the facts.
    pub fn place_of(&self, id: &EventId, cold: &ColdFacts) -> Option<SequenceNumber> {
        self.events.get(id).map(|n| SequenceNumber(*n)).or_else(|| cold.events.get(id).copied())
    }

    /// Whether an event of the stream carries `command`.
    pub fn command_is_used(&self, command: &CommandId, cold: &ColdFacts) -> bool {
        self.commands.contains_key(command) || cold.commands.contains_key(command)
    }

    /// Events of `entity` so far: those the facts count, and those since.
    pub fn version_of(&self, entity: &EntityKey, cold: &ColdFacts) -> u64 {
        let counted = cold.versions.get(entity).copied().unwrap_or(0);
        let recent = self.entities.get(entity).map_or(0, |tail| tail.count);
        // Between a run's publication and `forget_through` both know the events in between; count them once.
        let overlap = usize::try_from(cold.through.0 - self.forgotten).unwrap_or(usize::MAX);
        let twice = match recent {
            0 => 0,
            _ => self.recent.iter().take(overlap).filter(|e| e.entity == *entity).count() as u64,
        };
        counted + recent - twice
    }

    /// Numbers of the durable recent events of `entity`, ascending; one step for each.
    pub fn events_of(&self, entity: &EntityKey) -> Vec<SequenceNumber> {
        let Some(tail) = self.entities.get(entity) else { return Vec::new() };
        let mut events = Vec::with_capacity(usize::try_from(tail.count).unwrap_or(0));
        let mut number = tail.last;
        for _ in 0..tail.count {
            let entry = &self.recent[(number - self.forgotten - 1) as usize];
            events.push(SequenceNumber(number));
            number = entry.previous;
        }
        events.retain(|number| number.0 <= self.durable);
        events.reverse();
        events
    }

    /// Gives the next number.
    pub fn give(
        &mut self,
        event_id: EventId,
        command_id: Option<CommandId>,
        entity: EntityKey,
    ) -> SequenceNumber {
        self.given += 1;
        let n = self.given;
        let before = self.events.insert(event_id, n);
        assert!(before.is_none(), "event {event_id} has a number already");
        if let Some(command) = command_id {
            let before = self.commands.insert(command, n);
            assert!(before.is_none(), "command {command} is in use already");
        }
        let tail = self.entities.entry(entity).or_insert(EntityTail { count: 0, last: 0 });
        let previous = tail.last;
        *tail = EntityTail { count: tail.count + 1, last: n };
        self.recent.push_back(Recent { event_id, command_id, entity, previous });
        SequenceNumber(n)
    }

    /// Brings back one durable event at start; `false` when it is not the next one awaited.
    pub fn remember(&mut self, n: u64, id: EventId, command: Option<CommandId>, entity: EntityKey) -> bool {
        let taken = self.events.contains_key(&id) || command.is_some_and(|c| self.commands.contains_key(&c));
        if n != self.given + 1 || n > self.refill_to || taken {
            return false;
        }
        self.give(id, command, entity);
        self.durable = n;
        true
    }

    /// The numbers up to `n` are durable.
    pub fn settle(&mut self, n: u64) {
        assert!(self.durable <= n && n <= self.given, "durable {} to {n} of {}", self.durable, self.given);
        self.durable = n;
    }

    /// Takes back every provisional number and all that came with it.
    pub fn take_back(&mut self) {
        while self.given > self.durable {
            let entry = self.recent.pop_back().expect("recent entries reach the last number given");
            self.drop_ids(&entry);
            // The newest goes, so the one before is the last again.
            if let Some(tail) = self.entities.get_mut(&entry.entity) {
                tail.last = entry.previous;
            }
            self.given -= 1;
        }
        while self.ages.back().is_some_and(|mark| mark.first > self.durable) {
            self.ages.pop_back();
        }
        self.drop_spent_ages();
    }

    /// Leaves `1..=n` to the derived index; provisional entries stay.
    pub fn forget_through(&mut self, n: u64) {
        while self.forgotten < n.min(self.durable) {
            let entry = self.recent.pop_front().expect("recent entries begin after the forgotten ones");
            self.drop_ids(&entry);
            self.forgotten += 1;
        }
        self.recent.shrink_to(2 * self.recent.len());
        self.events.shrink_to(2 * self.events.len());
        self.commands.shrink_to(2 * self.commands.len());
        self.entities.shrink_to(2 * self.entities.len());
    }

    fn drop_ids(&mut self, entry: &Recent) {
        self.events.swap_remove(&entry.event_id);
        if let Some(command) = &entry.command_id {
            self.commands.swap_remove(command);
        }
        if let Entry::Occupied(mut tail) = self.entities.entry(entry.entity) {
            match tail.get().count {
                1 => _ = tail.swap_remove(),
                _ => tail.get_mut().count -= 1,
            }
        }
    }

    /// Notes that the events from `first` on got their numbers at `at`; marks closer than `grain_ms` are one, so
    /// the list stays short when nobody commits.
    pub fn note_age(&mut self, first: u64, at: TimestampMs, grain_ms: i64) {
        if self.ages.back().is_none_or(|mark| at.0.saturating_sub(mark.at.0) >= grain_ms.max(1)) {
            self.ages.push_back(AgeMark { first, at });
        }
    }

    /// No event got its number later than `now`.
    pub fn age_from(&mut self, now: TimestampMs) {
        for mark in &mut self.ages {
            mark.at = mark.at.min(now);
        }
    }

    /// When the oldest uncommitted durable event got its number; `None` when there is no such event.
    pub fn uncommitted_since(&self) -> Option<TimestampMs> {
        let oldest = self.ages.front().filter(|_| self.committed_end < self.durable())?;
        Some(oldest.at)
    }

    /// The batch that ends at `end` is stored.
    pub fn committed(&mut self, end: u64, root: Digest) {
        self.committed_end = end;
        self.last_state_root = root;
        self.in_flight = None;
        self.drop_spent_ages();
    }

    /// Drops the marks of committed events.
    fn drop_spent_ages(&mut self) {
        while self.ages.get(1).is_some_and(|next| next.first <= self.committed_end + 1) {
            self.ages.pop_front();
        }
        if self.given.max(self.refill_to) == self.committed_end {
            self.ages.clear();
        }
    }
}

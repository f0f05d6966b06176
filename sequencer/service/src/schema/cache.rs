//! Compiled schemas, held while they are used: bounded by number, size and age.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ves::{TenantId, TimestampMs};

use super::compiled::Compiled;

/// Bytes of schema text whose compiled forms are held at once; a compiled form is several times as large.
const BYTES_MAX: usize = 32 << 20;
/// What an entry without a schema counts for.
const EMPTY_BYTES: usize = 256;

type Key = (TenantId, String);

/// What is known of an event type.
#[derive(Debug, Clone)]
pub(super) enum Known {
    /// It has no schema in force.
    None,
    Schema(Arc<Compiled>),
    /// Its schema was admitted by another release, and is not by this one.
    Unusable(Arc<str>),
}

/// One reading of a cache's counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheCounts {
    pub hits: u64,
    pub misses: u64,
    pub evictions: u64,
    /// Entries now.
    pub size: u64,
}

struct Slot {
    known: Known,
    bytes: usize,
    filled_at: TimestampMs,
    used: u64,
}

#[derive(Default)]
struct State {
    slots: BTreeMap<Key, Slot>,
    /// Keys by their last use.
    order: BTreeMap<u64, Key>,
    bytes: usize,
    uses: u64,
    /// Rises with every change of a schema.
    changes: u64,
    counts: CacheCounts,
}

/// The cache of one sequencer.
pub(super) struct Cache {
    entries_max: usize,
    age_ms_max: i64,
    state: Mutex<State>,
}

/// The moment at which a reading began; what was read before a change is not kept after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(u64);

impl Cache {
    pub fn new(entries_max: usize, age_ms_max: i64) -> Self {
        Self { entries_max: entries_max.max(1), age_ms_max, state: Mutex::default() }
    }

    /// What is known, or the moment from which it has to be read.
    pub fn get(&self, tenant: &TenantId, event_type: &str, now: TimestampMs) -> Result<Known, Moment> {
        let mut state = self.state();
        let key = (*tenant, event_type.to_owned());
        let age_max = self.age_ms_max;
        // A clock that was set back makes nothing older, so it is read anew as well.
        let fresh = |slot: &Slot| (0..age_max).contains(&(now.0 - slot.filled_at.0));
        match state.slots.get(&key).map(fresh) {
            Some(true) => {
                state.counts.hits += 1;
                state.touch(&key).ok_or(Moment(state.changes))
            }
            Some(false) => {
                state.remove(&key);
                state.counts.evictions += 1;
                state.counts.misses += 1;
                Err(Moment(state.changes))
            }
            None => {
                state.counts.misses += 1;
                Err(Moment(state.changes))
            }
        }
    }

    /// Keeps what was read since `moment`, unless a schema was changed meanwhile.
    pub fn put(&self, tenant: &TenantId, event_type: &str, known: Known, moment: Moment, now: TimestampMs) {
        let mut state = self.state();
        if state.changes != moment.0 {
            return;
        }
        let key = (*tenant, event_type.to_owned());
        let bytes = match &known {
            Known::Schema(compiled) => compiled.bytes(),
            Known::None | Known::Unusable(_) => EMPTY_BYTES,
        };
        state.remove(&key);
        state.insert(key, Slot { known, bytes, filled_at: now, used: 0 });
        while state.slots.len() > self.entries_max || (state.bytes > BYTES_MAX && state.slots.len() > 1) {
            state.evict();
        }
    }

    /// A schema of this type was changed.
    pub fn forget(&self, tenant: &TenantId, event_type: &str) {
        let mut state = self.state();
        state.changes += 1;
        state.remove(&(*tenant, event_type.to_owned()));
    }

    pub fn counts(&self) -> CacheCounts {
        let state = self.state();
        CacheCounts { size: state.slots.len() as u64, ..state.counts }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn touch(&mut self, key: &Key) -> Option<Known> {
        self.uses += 1;
        let slot = self.slots.get_mut(key)?;
        let before = std::mem::replace(&mut slot.used, self.uses);
        let known = slot.known.clone();
        if let Some(key) = self.order.remove(&before) {
            self.order.insert(self.uses, key);
        }
        Some(known)
    }

    fn insert(&mut self, key: Key, mut slot: Slot) {
        self.uses += 1;
        slot.used = self.uses;
        self.bytes += slot.bytes;
        self.order.insert(self.uses, key.clone());
        self.slots.insert(key, slot);
    }

    fn remove(&mut self, key: &Key) {
        if let Some(slot) = self.slots.remove(key) {
            self.order.remove(&slot.used);
            self.bytes -= slot.bytes;
        }
    }

    /// Drops what was used longest ago.
    fn evict(&mut self) {
        if let Some((_, key)) = self.order.first_key_value() {
            let key = key.clone();
            self.remove(&key);
            self.counts.evictions += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimestampMs = TimestampMs(1_000_000);

    fn fill(cache: &Cache, tenant: &TenantId, event_type: &str) {
        let moment = cache.get(tenant, event_type, NOW).expect_err("not known yet");
        cache.put(tenant, event_type, Known::None, moment, NOW);
    }

    #[test]
    fn the_one_used_longest_ago_goes_first_and_everything_is_counted() {
        let (cache, tenant) = (Cache::new(2, 1_000), TenantId::from_bytes([1; 16]));
        fill(&cache, &tenant, "a");
        fill(&cache, &tenant, "b");
        assert!(cache.get(&tenant, "a", NOW).is_ok());
        fill(&cache, &tenant, "c");
        assert!(cache.get(&tenant, "a", NOW).is_ok());
        assert!(cache.get(&tenant, "b", NOW).is_err());
        assert_eq!(cache.counts(), CacheCounts { hits: 2, misses: 4, evictions: 1, size: 2 });
        assert!(cache.get(&TenantId::from_bytes([2; 16]), "a", NOW).is_err());
    }

    #[test]
    fn an_entry_ends_with_its_age_and_after_a_clock_was_set_back() {
        let (cache, tenant) = (Cache::new(2, 1_000), TenantId::from_bytes([1; 16]));
        fill(&cache, &tenant, "a");
        assert!(cache.get(&tenant, "a", TimestampMs(NOW.0 + 999)).is_ok());
        assert!(cache.get(&tenant, "a", TimestampMs(NOW.0 + 1_000)).is_err());
        fill(&cache, &tenant, "b");
        assert!(cache.get(&tenant, "b", TimestampMs(NOW.0 - 1)).is_err());
    }

    #[test]
    fn what_was_read_before_a_change_is_not_kept_after_it() {
        let (cache, tenant) = (Cache::new(2, 1_000), TenantId::from_bytes([1; 16]));
        let moment = cache.get(&tenant, "a", NOW).expect_err("not known yet");
        cache.forget(&tenant, "a");
        cache.put(&tenant, "a", Known::None, moment, NOW);
        assert!(cache.get(&tenant, "a", NOW).is_err(), "it was read before the change");
        fill(&cache, &tenant, "b");
        cache.forget(&tenant, "b");
        assert!(cache.get(&tenant, "b", NOW).is_err());
    }
}

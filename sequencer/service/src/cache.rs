//! A bounded store of what was read before: so many entries, so many bytes, each so old at most.
//!
//! It never makes an answer wrong as long as its users keep two rules: what never changes may be put by anybody; what
//! may change is put with the [`Ticket`] taken before it was read, and removed by whoever changed it.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How much a cache holds, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheSize {
    /// Most entries; 0 turns the cache off.
    pub entries_max: usize,
    /// An older entry is read again.
    pub age_max: Duration,
}

/// Values by key. The one that was asked for least recently makes room.
pub struct Cache<K, V> {
    size: CacheSize,
    /// Most bytes of all values together, as `weigh` counts them; one value alone may be larger.
    bytes_max: usize,
    weigh: fn(&V) -> usize,
    state: Mutex<State<K, V>>,
    hits: AtomicU64,
    misses: AtomicU64,
    evictions: AtomicU64,
}

struct State<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// Keys by the time of their last use, the oldest first.
    order: BTreeMap<u64, K>,
    /// Of all entries.
    bytes: usize,
    /// Rises with each use.
    uses: u64,
    /// Rises with each removal.
    removals: u64,
}

struct Entry<V> {
    value: V,
    bytes: usize,
    since: Instant,
    used: u64,
}

/// Taken before a value is read, shown when it is put: what was read before a removal is not put after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(u64);

/// One reading of a cache's counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheCounters {
    pub hits: u64,
    pub misses: u64,
    /// Entries that made room or grew too old.
    pub evictions: u64,
    /// Entries held now.
    pub size: u64,
}

impl<K: Hash + Eq + Clone, V: Clone> Cache<K, V> {
    /// For values of much the same size: only their number is bounded.
    pub fn new(size: CacheSize) -> Self {
        Self::weighed(size, usize::MAX, |_| 0)
    }

    /// For values that differ in size: `weigh` tells the bytes of one, of which all have at most `bytes_max` together.
    pub fn weighed(size: CacheSize, bytes_max: usize, weigh: fn(&V) -> usize) -> Self {
        let (entries, order) = (HashMap::new(), BTreeMap::new());
        let state = State { entries, order, bytes: 0, uses: 0, removals: 0 };
        Self {
            size,
            bytes_max,
            weigh,
            state: Mutex::new(state),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
        }
    }

    /// The value of a key, if it is held and young enough.
    pub fn get(&self, key: &K) -> Option<V> {
        self.get_at(key, Instant::now())
    }

    /// Holds a value that never changes.
    pub fn put(&self, key: K, value: V) {
        self.put_at(key, value, Instant::now());
    }

    /// To be taken before a value that may change is read.
    pub fn ticket(&self) -> Ticket {
        Ticket(self.state().removals)
    }

    /// Holds a value that was read after `ticket` was taken, unless something was removed since: then it may be stale.
    pub fn put_read(&self, ticket: Ticket, key: K, value: V) {
        let mut state = self.state();
        if state.removals == ticket.0 {
            self.hold(&mut state, key, value, Instant::now());
        }
    }

    /// To be called after the value of a key was changed.
    pub fn remove(&self, key: &K) {
        let mut state = self.state();
        state.removals += 1;
        state.drop_entry(key);
    }

    /// Forgets everything.
    pub fn clear(&self) {
        let mut state = self.state();
        state.removals += 1;
        state.entries.clear();
        state.order.clear();
        state.bytes = 0;
    }

    pub fn counters(&self) -> CacheCounters {
        CacheCounters {
            hits: self.hits.load(Relaxed),
            misses: self.misses.load(Relaxed),
            evictions: self.evictions.load(Relaxed),
            size: self.state().entries.len() as u64,
        }
    }

    fn get_at(&self, key: &K, now: Instant) -> Option<V> {
        let mut state = self.state();
        let found = state.touch(key, |entry| now.saturating_duration_since(entry.since) < self.size.age_max);
        drop(state);
        match found {
            Touched::Young(value) => {
                self.hits.fetch_add(1, Relaxed);
                return Some(value);
            }
            Touched::Old => drop(self.evictions.fetch_add(1, Relaxed)),
            Touched::Missing => {}
        }
        self.misses.fetch_add(1, Relaxed);
        None
    }

    fn put_at(&self, key: K, value: V, now: Instant) {
        let mut state = self.state();
        self.hold(&mut state, key, value, now);
    }

    fn hold(&self, state: &mut State<K, V>, key: K, value: V, now: Instant) {
        if self.size.entries_max == 0 {
            return;
        }
        let bytes = (self.weigh)(&value);
        state.drop_entry(&key);
        state.uses += 1;
        let used = state.uses;
        state.bytes += bytes;
        state.entries.insert(key.clone(), Entry { value, bytes, since: now, used });
        state.order.insert(used, key);
        while (state.entries.len() > self.size.entries_max
            || state.bytes > self.bytes_max && state.entries.len() > 1)
            && let Some((_, oldest)) = state.order.first_key_value().map(|(used, key)| (*used, key.clone()))
        {
            state.drop_entry(&oldest);
            self.evictions.fetch_add(1, Relaxed);
        }
    }

    fn state(&self) -> MutexGuard<'_, State<K, V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Touched<V> {
    Young(V),
    /// It was held and is not any more.
    Old,
    Missing,
}

impl<K: Hash + Eq + Clone, V: Clone> State<K, V> {
    fn drop_entry(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.order.remove(&entry.used);
            self.bytes -= entry.bytes;
        }
    }

    fn touch(&mut self, key: &K, is_young: impl FnOnce(&Entry<V>) -> bool) -> Touched<V> {
        let Some(entry) = self.entries.get_mut(key) else { return Touched::Missing };
        let before = entry.used;
        if !is_young(entry) {
            self.drop_entry(key);
            return Touched::Old;
        }
        self.uses += 1;
        entry.used = self.uses;
        let value = entry.value.clone();
        if let Some(key) = self.order.remove(&before) {
            self.order.insert(self.uses, key);
        }
        Touched::Young(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(entries_max: usize) -> Cache<u32, u32> {
        Cache::new(CacheSize { entries_max, age_max: Duration::from_secs(10) })
    }

    #[test]
    fn the_entry_that_was_used_least_recently_makes_room() {
        let cache = cache(2);
        cache.put(1, 10);
        cache.put(2, 20);
        assert_eq!(cache.get(&1), Some(10));
        cache.put(3, 30);
        assert_eq!([cache.get(&1), cache.get(&2), cache.get(&3)], [Some(10), None, Some(30)]);
        assert_eq!(cache.counters(), CacheCounters { hits: 3, misses: 1, evictions: 1, size: 2 });
        for n in 0..1000 {
            cache.put(n, n);
        }
        let state = cache.state();
        assert_eq!((state.entries.len(), state.order.len()), (2, 2));
    }

    #[test]
    fn values_make_room_by_their_bytes_and_a_single_large_one_is_held() {
        let size = CacheSize { entries_max: 100, age_max: Duration::from_secs(10) };
        let cache: Cache<u32, Vec<u8>> = Cache::weighed(size, 10, Vec::len);
        let held = || {
            let bytes = cache.state().bytes;
            (bytes, cache.counters().size)
        };
        cache.put(1, vec![0; 4]);
        cache.put(2, vec![0; 4]);
        cache.put(1, vec![0; 5]);
        assert_eq!(held(), (9, 2), "a replaced value counts once");
        cache.put(3, vec![0; 4]);
        assert!(cache.get(&2).is_none() && cache.get(&1).is_some(), "the oldest goes");
        cache.put(4, vec![0; 40]);
        assert_eq!(held(), (40, 1));
        cache.remove(&4);
        assert_eq!(held(), (0, 0));
    }

    #[test]
    fn an_entry_is_read_again_once_it_is_old_however_often_it_was_used() {
        let cache = cache(2);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        cache.put_at(1, 10, at(0));
        assert_eq!((cache.get_at(&1, at(5)), cache.get_at(&1, at(9))), (Some(10), Some(10)));
        assert_eq!(cache.get_at(&1, at(10)), None);
        assert_eq!(cache.counters(), CacheCounters { hits: 2, misses: 1, evictions: 1, size: 0 });
    }

    #[test]
    fn what_was_read_before_a_removal_is_not_put_after_it() {
        let cache = cache(2);
        let ticket = cache.ticket();
        cache.remove(&1);
        cache.put_read(ticket, 1, 10);
        assert_eq!(cache.get(&1), None);
        cache.put_read(cache.ticket(), 1, 11);
        assert_eq!(cache.get(&1), Some(11));
        cache.clear();
        assert_eq!(cache.get(&1), None);
    }

    #[test]
    fn a_cache_of_no_entries_holds_nothing() {
        let cache = cache(0);
        cache.put(1, 10);
        assert_eq!(cache.get(&1), None);
        assert_eq!(cache.counters(), CacheCounters { misses: 1, ..CacheCounters::default() });
    }
}

//! Records in memory: those used last, a bounded number.

use std::collections::HashMap;

use ves::StreamKey;

use crate::record::{EntityName, Record};

/// Two halves: when the young one is full, the old one is forgotten and the young one becomes old. What is used moves
/// to the young half, so what is used often stays, at the cost of one look-up.
pub(crate) struct Cache {
    half_max: usize,
    young: HashMap<StreamKey, HashMap<EntityName, Record>>,
    young_len: usize,
    old: HashMap<StreamKey, HashMap<EntityName, Record>>,
}

impl Cache {
    /// - `records_max`: of both halves.
    pub fn new(records_max: usize) -> Self {
        Self { half_max: (records_max / 2).max(1), young: HashMap::new(), young_len: 0, old: HashMap::new() }
    }

    /// Takes a record out: what is being changed is not here until it is durable.
    pub fn take(&mut self, stream: &StreamKey, name: &EntityName) -> Option<Record> {
        if let Some(record) = self.young.get_mut(stream).and_then(|records| records.remove(name)) {
            self.young_len -= 1;
            return Some(record);
        }
        self.old.get_mut(stream)?.remove(name)
    }

    pub fn put(&mut self, stream: StreamKey, records: impl IntoIterator<Item = (EntityName, Record)>) {
        for (name, record) in records {
            if self.young_len >= self.half_max {
                self.old = std::mem::take(&mut self.young);
                self.young_len = 0;
            }
            let there = self.young.entry(stream).or_default().insert(name, record);
            self.young_len += usize::from(there.is_none());
        }
    }

    pub fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
        self.young_len = 0;
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        [&self.young, &self.old].into_iter().flat_map(HashMap::values).map(HashMap::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(n: u64) -> EntityName {
        EntityName::new("order", &n.to_string()).unwrap()
    }

    #[test]
    fn it_never_holds_more_than_its_bound_and_keeps_what_is_used() {
        let stream = StreamKey {
            tenant_id: ves::TenantId::from_bytes([1; 16]),
            store_id: ves::StoreId::from_bytes([2; 16]),
        };
        let mut cache = Cache::new(100);
        cache.put(stream, [(name(0), Record { version: 7, ..Record::default() })]);
        for n in 1..1000 {
            cache.put(stream, [(name(n), Record::default())]);
            assert!(cache.len() <= 100);
            let used = cache.take(&stream, &name(0)).expect("it is used all the time");
            assert_eq!(used.version, 7);
            cache.put(stream, [(name(0), used)]);
        }
        assert_eq!(cache.take(&stream, &name(1)), None);
        cache.clear();
        assert_eq!(cache.len(), 0);
    }
}

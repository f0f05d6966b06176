//! A small deterministic world: random blocks of writes, and the state they should leave.

use std::collections::BTreeMap;

use stateset_ledger_store::{RecordBatch, Store, Substore, Writes};

/// SplitMix64: the seed is the whole test.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

pub type Model = BTreeMap<(Substore, Vec<u8>), Vec<u8>>;

/// Writes of one block: new keys, changes, deletions, repetitions, over the keys of `model`. Some of the notary's keys have their
/// value in the leaf, as long as it is small.
pub fn random_writes(random: &mut Random, model: &Model, count: u64) -> Writes {
    let mut writes = Writes::new();
    let held: Vec<_> = model.keys().cloned().collect();
    for _ in 0..count {
        let (substore, kind) = match random.below(6) {
            4 => (Substore::Notary, "tx"),
            5 => (Substore::Notary, "spent"),
            n => (Substore::ALL[n as usize * 3], "k"),
        };
        let place = match random.below(3) {
            0 if !held.is_empty() => held[random.below(held.len() as u64) as usize].clone(),
            _ => (substore, format!("{kind}/{:x}", random.below(5_000)).into_bytes()),
        };
        let value = match random.below(4) {
            0 => None,
            1 => model.get(&place).cloned(),
            _ if kind == "tx" && random.below(4) == 0 => Some(vec![random.below(256) as u8; 300]),
            _ => Some(random.next().to_be_bytes()[..1 + random.below(8) as usize].to_vec()),
        };
        writes.insert(place, value);
    }
    writes
}

pub fn follow(model: &mut Model, writes: &Writes) {
    for (place, value) in writes {
        match value {
            Some(value) => model.insert(place.clone(), value.clone()),
            None => model.remove(place),
        };
    }
}

/// A store whose genesis holds nothing but the first keys.
pub fn begun() -> Store {
    let store = Store::in_memory().expect("memory");
    let genesis = store.prepare_genesis(0, &Writes::new()).expect("an empty genesis");
    store.commit(genesis, RecordBatch::default()).expect("commit of genesis");
    store
}

/// Commits one block and gives its app hash.
pub fn commit(store: &Store, height: u64, writes: &Writes) -> [u8; 32] {
    let prepared = store.prepare(height, writes).expect("writes are valid");
    let app_hash = prepared.app_hash();
    store.commit(prepared, RecordBatch::default()).expect("commit");
    app_hash
}

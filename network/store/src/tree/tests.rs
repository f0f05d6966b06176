//! Roots are those of the tree library, whatever is in memory.

use std::cell::RefCell;
use std::collections::BTreeMap;

use jmt::storage::{LeafNode, Node, NodeKey, TreeReader};
use jmt::{KeyHash, OwnedValue, Sha256Jmt, Version};
use sha2::{Digest, Sha256};
use stateset_ledger_app::Writes;
use stateset_ledger_types::Substore;

use crate::{RecordBatch, Store};

/// The tree library by itself.
#[derive(Default)]
struct Library(RefCell<BTreeMap<NodeKey, Node>>);

impl TreeReader for Library {
    fn get_node_option(&self, key: &NodeKey) -> anyhow::Result<Option<Node>> {
        Ok(self.0.borrow().get(key).cloned())
    }
    fn get_value_option(&self, _: Version, _: KeyHash) -> anyhow::Result<Option<OwnedValue>> {
        Ok(None)
    }
    fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
        Ok(None)
    }
}

impl Library {
    fn apply(&self, version: Version, writes: &Writes) -> [u8; 32] {
        let hashed = |((_, key), value): (&(Substore, Vec<u8>), &Option<Vec<u8>>)| {
            (KeyHash(Sha256::digest(key).into()), value.clone())
        };
        let put = Sha256Jmt::new(self).put_value_set(writes.iter().map(hashed), version);
        let (root, batch) = put.expect("its own nodes");
        let nodes = batch.node_batch.nodes().iter().map(|(key, node)| (key.clone(), node.clone()));
        self.0.borrow_mut().extend(nodes);
        root.0
    }
}

/// Blocks of few keys that share long and short paths: put, changed, put again as they are, deleted.
fn blocks() -> Vec<Writes> {
    let mut state = 7u64;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 33) % below
    };
    let block = |count: u64| {
        let write = |_| {
            let key = format!("k{}", random(300)).into_bytes();
            ((Substore::Notary, key), (random(3) > 0).then(|| vec![random(3) as u8 + 1]))
        };
        (0..count).map(write).collect()
    };
    [1, 1, 2, 3, 200, 1, 40, 90, 5].into_iter().cycle().take(60).map(block).collect()
}

#[test]
fn what_is_in_memory_changes_no_root_and_roots_are_those_of_the_library() {
    let library = Library::default();
    // Tops of several depths, and a store that holds none.
    let stores: Vec<Store> = (0..4).map(|_| Store::in_memory().expect("memory")).collect();
    for (depth, store) in stores.iter().enumerate() {
        store.hold(depth);
    }
    for store in &stores {
        let genesis = store.prepare_genesis(0, &Writes::new()).expect("empty");
        store.commit(genesis, RecordBatch::default()).expect("memory");
    }
    let first = (Substore::Notary, Substore::FIRST_KEY.to_vec());
    library.apply(0, &Writes::from([(first, Some(Substore::Notary.name().into()))]));
    for (height, writes) in (1..).zip(blocks()) {
        let root = library.apply(height, &writes);
        for (kept, store) in stores.iter().enumerate() {
            let prepared = store.prepare(height, &writes).expect("valid");
            store.commit(prepared, RecordBatch::default()).expect("memory");
            let view = store.view().expect("the state");
            assert_eq!(view.substore_root(Substore::Notary), root, "height {height}, store {kept}");
            view.verify().expect("whole");
            if kept == 3 {
                store.hold(0);
            }
        }
    }
}

//! A key's leaf, found by way of its tree: how values are read that stand in leaves.

use stateset_ledger_types::Substore;

use crate::branch::{Branch, Child, Kind, Leaf};
use crate::rows::node_row_at;
use crate::tree::nibble;
use crate::{StoreError, View};

impl View {
    /// The leaf of the key with this hash, `None` when the substore does not hold it. Reads the file only below what is in memory.
    pub(crate) fn leaf(&self, substore: Substore, key_hash: &[u8; 32]) -> Result<Option<Leaf>, StoreError> {
        let (number, root) = (substore as u8, &self.roots.substores[substore as usize]);
        let missing = || StoreError::bad_node(number, "a node is missing or malformed");
        let row =
            |version, path: &[u8]| self.tables.node(&node_row_at(number, version, path))?.ok_or_else(missing);
        let own = |row: Vec<u8>| {
            let leaf = Leaf::from_row(&row).ok_or_else(missing)?;
            Ok((leaf.key_hash == *key_hash).then_some(leaf))
        };
        let (mut version, mut path) = (root.version, Vec::with_capacity(8));
        let top = self.tops.of(number, version);
        let mut held = top.as_deref();
        while let Some(branch) = held {
            match child(branch, key_hash, &mut path) {
                None => return Ok(None),
                Some(Child { version, kind: Kind::Leaf, .. }) => return own(row(*version, &path)?),
                Some(Child { version: next, kind: Kind::Branch { held: below, .. }, .. }) => {
                    (version, held) = (*next, below.as_deref());
                }
            }
        }
        loop {
            let node = row(version, &path)?;
            // A tree of one key is its leaf.
            let Some(branch) = Branch::from_row(&node) else { return own(node) };
            match child(&branch, key_hash, &mut path) {
                None => return Ok(None),
                Some(Child { version, kind: Kind::Leaf, .. }) => return own(row(*version, &path)?),
                Some(Child { version: next, .. }) => version = *next,
            }
        }
    }
}

/// One step down from the branch at `path`.
fn child<'a>(branch: &'a Branch, key_hash: &[u8; 32], path: &mut Vec<u8>) -> Option<&'a Child> {
    let at = nibble(key_hash, path.len());
    path.push(at);
    branch.children[usize::from(at)].as_ref()
}

#[cfg(test)]
mod tests {
    use redb::{Database, ReadableTable};
    use stateset_ledger_app::Writes;
    use stateset_ledger_types::Substore;

    use crate::branch::Leaf;
    use crate::packs;
    use crate::rows::{ALL_VALUES, NODES, VALUES, value_prefix, with_height};
    use crate::{RecordBatch, Store, View};

    const LARGE: usize = 300;

    fn commit(store: &Store, height: u64, writes: &[(&str, Option<Vec<u8>>)]) {
        let place = |key: &str| (Substore::Notary, key.as_bytes().to_vec());
        let writes: Writes = writes.iter().map(|(key, value)| (place(key), value.clone())).collect();
        let prepared = store.prepare(height, &writes).expect("valid");
        store.commit(prepared, RecordBatch::default()).expect("memory");
    }

    fn get(view: &View, key: &str) -> Option<Vec<u8>> {
        view.get(Substore::Notary, key.as_bytes()).expect("memory")
    }

    fn begun() -> Store {
        let store = Store::in_memory().expect("memory");
        let genesis = store.prepare_genesis(0, &Writes::new()).expect("empty");
        store.commit(genesis, RecordBatch::default()).expect("memory");
        store
    }

    /// Rows of values that the file has for the notary.
    fn listed(store: &Store) -> usize {
        let tables = store.tables().expect("memory");
        let table = tables.transaction.open_table(VALUES).expect("a table");
        let rows = table.iter().expect("rows");
        rows.filter(|row| row.as_ref().expect("a row").0.value().starts_with(&[Substore::Notary as u8]))
            .count()
    }

    /// The file as older programs wrote it: every value in one table. Heights are versions here: each block changes the tree.
    fn as_older(store: Store) -> Database {
        let transaction = store.database.begin_write().expect("memory");
        {
            let (mut nodes, mut values) = (
                transaction.open_table(NODES).expect("a table"),
                transaction.open_table(VALUES).expect("a table"),
            );
            let rows: Vec<_> = nodes
                .iter()
                .expect("rows")
                .map(|row| {
                    row.map(|(row, pack)| (row.value().to_vec(), pack.value().to_vec())).expect("a row")
                })
                .collect();
            for (row, value) in rows {
                let mut older = Vec::new();
                for (rest, node) in packs::all(&row, &value).expect("whole") {
                    let name = [&row[..9], &rest].concat();
                    let Some(Leaf { value: Some(value), .. }) = Leaf::from_row(&node) else {
                        older.push((name, node));
                        continue;
                    };
                    let leaf = Leaf::from_row(&node).expect("a leaf");
                    let height = u64::from_be_bytes(std::array::from_fn(|at| row[1 + at]));
                    let place = with_height(value_prefix(Substore::Notary, &leaf.key), height);
                    values.insert(place.as_slice(), value.as_slice()).expect("memory");
                    older.push((name, Leaf { value: None, ..leaf }.to_row()));
                }
                nodes.remove(row.as_slice()).expect("memory");
                for (row, pack) in packs::pack(&older) {
                    nodes.insert(row, pack.as_slice()).expect("memory");
                }
            }
        }
        transaction.rename_table(VALUES, ALL_VALUES).expect("a table");
        transaction.commit().expect("memory");
        store.database
    }

    #[test]
    fn values_in_leaves_are_read_at_every_height_and_pruned_with_them() {
        let store = begun();
        let (small, large) = (vec![7; 32], vec![8; LARGE]);
        commit(&store, 1, &[("tx/1", Some(small.clone())), ("tx/2", Some(large.clone()))]);
        commit(
            &store,
            2,
            &[("tx/1", Some(large.clone())), ("tx/2", Some(small.clone())), ("k", Some(vec![1]))],
        );
        commit(&store, 3, &[("tx/1", Some(small.clone())), ("tx/2", None), ("tx/3", Some(vec![3]))]);
        commit(&store, 4, &[("tx/1", None), ("tx/2", Some(large.clone()))]);
        let (s, l) = (Some(small), Some(large));
        let expected = [(&s, &l), (&l, &s), (&s, &None), (&None, &l)];
        let told = |from: u64| {
            for (height, (one, two)) in (1..).zip(expected).filter(|(height, _)| *height >= from) {
                let view = store.view_at(height).expect("kept");
                assert_eq!((&get(&view, "tx/1"), &get(&view, "tx/2")), (one, two), "height {height}");
                assert_eq!(get(&view, "tx/3").is_some(), height >= 3);
                assert_eq!(get(&view, "tx/4"), None);
                view.verify().expect("whole");
            }
        };
        told(1);
        // The first key, `k`, and what is large: twice `tx/2`, once `tx/1`.
        assert_eq!(listed(&store), 5);
        store.hold(0);
        told(1);
        store.prune(4, 10).expect("memory");
        told(4);
        assert_eq!(listed(&store), 3);
    }

    #[test]
    fn a_file_of_an_older_program_is_read_and_goes_on() {
        let (plain, mut store) = (begun(), begun());
        let block = |height: u8| -> Vec<(String, Option<Vec<u8>>)> {
            let key = |n: u32| format!("{}/{n}", if n.is_multiple_of(2) { "tx" } else { "spent" });
            let place = |n: u8| key(u32::from(n) * u32::from(height) % 90);
            (0..40).map(|n| (place(n), (n % 7 > 0).then(|| vec![n, height]))).collect()
        };
        for height in 1..=12u8 {
            let writes = block(height);
            let writes: Vec<_> = writes.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
            commit(&plain, height.into(), &writes);
            commit(&store, height.into(), &writes);
            if height == 6 {
                assert_eq!(listed(&store), 1);
                store = Store::start(as_older(store)).expect("an older file");
                assert!(listed(&store) > 40, "{} rows", listed(&store));
            }
        }
        let told = |from: u64| {
            for height in from..=12 {
                let (view, expected) =
                    (store.view_at(height).expect("kept"), plain.view_at(height).expect("kept"));
                assert_eq!(view.app_hash(), expected.app_hash());
                view.verify().expect("whole");
                for key in (0..90).flat_map(|n| [format!("tx/{n}"), format!("spent/{n}")]) {
                    assert_eq!(get(&view, &key), get(&expected, &key), "{key} at {height}");
                    let proof = view.prove(Substore::Notary, key.as_bytes()).expect("a proof");
                    assert_eq!(proof, expected.prove(Substore::Notary, key.as_bytes()).expect("a proof"));
                }
                let range = |view: &View| view.range(Substore::Notary, b"a", b"z", usize::MAX).expect("rows");
                assert_eq!(range(&view), range(&expected));
            }
        };
        told(1);
        store.prune(10, 100).expect("memory");
        told(10);
    }
}

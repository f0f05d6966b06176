//! Nodes of one version of a tree lie together in rows of about a page, so that a block adds few rows.
//!
//! A pack has the row key of its first node, and the nodes in order: `ff`, then for each u8 length ‖ rest of its row key after
//! tree and version ‖ u16 length ‖ node. A row that does not begin with `ff` is one node by itself.

use std::collections::BTreeSet;

use redb::{ReadableTable, Table};

use crate::StoreError;

/// What fits into one page of the file, with its key.
const PACK_BYTES_MAX: usize = 3_900;
const PACK_TAG: u8 = 0xff;
/// Tree and version at the beginning of a row key.
const VERSION_BYTES: usize = 9;

/// The rest of a node's row key, and the node.
type Entry<'a> = (&'a [u8], &'a [u8]);

/// Packs of sorted rows of nodes.
pub(crate) fn pack(nodes: &[(Vec<u8>, Vec<u8>)]) -> Vec<(&[u8], Vec<u8>)> {
    let mut packs: Vec<(&[u8], Vec<u8>)> = Vec::new();
    for (row, node) in nodes {
        let length = 3 + row.len() - VERSION_BYTES + node.len();
        let fits = |(first, pack): &&mut (&[u8], Vec<u8>)| {
            first[..VERSION_BYTES] == row[..VERSION_BYTES] && pack.len() + length <= PACK_BYTES_MAX
        };
        match packs.last_mut().filter(fits) {
            Some((_, pack)) => push(pack, &row[VERSION_BYTES..], node),
            None => {
                let mut pack = Vec::with_capacity(PACK_BYTES_MAX);
                pack.push(PACK_TAG);
                push(&mut pack, &row[VERSION_BYTES..], node);
                packs.push((row, pack));
            }
        }
    }
    packs
}

fn push(pack: &mut Vec<u8>, rest: &[u8], node: &[u8]) {
    let length = u16::try_from(node.len()).expect("keys are bounded by KEY_BYTES_MAX");
    pack.push(rest.len() as u8);
    pack.extend_from_slice(rest);
    pack.extend_from_slice(&length.to_be_bytes());
    pack.extend_from_slice(node);
}

/// The nodes of a row.
fn entries<'a>(row: &'a [u8], value: &'a [u8]) -> impl Iterator<Item = Result<Entry<'a>, StoreError>> {
    let (alone, mut rest) = match value.split_first() {
        Some((&PACK_TAG, rest)) => (None, rest),
        _ => (Some((&row[VERSION_BYTES..], value)), &[][..]),
    };
    let in_pack = std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut take = || {
            let (&length, left) = rest.split_first()?;
            let (path, left) = left.split_at_checked(usize::from(length))?;
            let (length, left) = left.split_first_chunk::<2>()?;
            let (node, left) = left.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            rest = left;
            Some((path, node))
        };
        let taken = take();
        if taken.is_none() {
            rest = &[];
        }
        Some(taken.ok_or_else(|| StoreError::Corrupt("a pack of nodes is cut".into())))
    });
    alone.into_iter().map(Ok).chain(in_pack)
}

/// An [`Entry`] by itself.
#[cfg(test)]
type Owned = (Vec<u8>, Vec<u8>);

/// All nodes of a row.
#[cfg(test)]
pub(crate) fn all(row: &[u8], value: &[u8]) -> Result<Vec<Owned>, StoreError> {
    entries(row, value).map(|entry| entry.map(|(rest, node)| (rest.to_vec(), node.to_vec()))).collect()
}

/// The node that has row key `row`.
pub(crate) fn find(
    nodes: &impl ReadableTable<&'static [u8], &'static [u8]>,
    row: &[u8],
) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(found) = nodes.range(&row[..VERSION_BYTES]..=row)?.next_back() else { return Ok(None) };
    let (first, value) = found?;
    for entry in entries(first.value(), value.value()) {
        let (rest, node) = entry?;
        if rest == &row[VERSION_BYTES..] {
            return Ok(Some(node.to_vec()));
        }
    }
    Ok(None)
}

/// Removes the nodes of `stale`, and says how many there were.
pub(crate) fn remove(
    nodes: &mut Table<'_, &'static [u8], &'static [u8]>,
    stale: &BTreeSet<&[u8]>,
) -> Result<usize, StoreError> {
    let mut removed = 0;
    let mut left = stale.iter().copied().peekable();
    while let Some(row) = left.next() {
        let version = &row[..VERSION_BYTES];
        let found = nodes.range(version..=row)?.next_back().transpose()?;
        let found = found.map(|(first, value)| (first.value().to_vec(), value.value().to_vec()));
        let Some((first, value)) = found else { continue };
        let entries = entries(&first, &value).collect::<Result<Vec<_>, _>>()?;
        let name = |rest: &[u8]| [version, rest].concat();
        let last = entries.last().map(|(rest, _)| name(rest));
        let kept: Vec<_> =
            entries.iter().filter(|(rest, _)| !stale.contains(name(rest).as_slice())).collect();
        removed += entries.len() - kept.len();
        if kept.is_empty() {
            nodes.remove(first.as_slice())?;
        } else if kept.len() < entries.len() {
            let mut pack = vec![PACK_TAG];
            kept.iter().for_each(|(rest, node)| push(&mut pack, rest, node));
            // Under its first key as before: what follows the node of that key is still found there.
            nodes.insert(first.as_slice(), pack.as_slice())?;
        }
        while left.next_if(|next| last.as_ref().is_some_and(|last| *next <= last.as_slice())).is_some() {}
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;
    use redb::{Database, ReadableDatabase};

    use super::*;
    use crate::rows::{NODES, node_row_at};

    /// Nodes of many sizes in two versions of two trees, and one row of an older store.
    fn nodes() -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut nodes = Vec::new();
        for (tree, version) in [(3, 7), (3, 8), (4, 7)] {
            for n in 0..300u16 {
                let path: Vec<u8> =
                    (0..n % 5 + 3).map(|at| ((n >> at) & 15) as u8).chain([n as u8 & 15]).collect();
                let length = if n == 40 { 4_200 } else { usize::from(n) % 97 * 8 + 2 };
                nodes.push((node_row_at(tree, version, &path), vec![n as u8 | 1; length]));
            }
        }
        nodes.sort();
        nodes.dedup_by(|a, b| a.0 == b.0);
        nodes
    }

    #[test]
    fn every_node_is_found_until_it_is_removed() {
        let nodes = nodes();
        let database = Database::builder().create_with_backend(InMemoryBackend::new()).expect("memory");
        let old = (node_row_at(5, 1, &[2]), vec![1, 2, 3]);
        let transaction = database.begin_write().expect("memory");
        {
            let mut table = transaction.open_table(NODES).expect("a table");
            let packs = pack(&nodes);
            assert!(packs.len() < nodes.len() / 5, "{} packs", packs.len());
            for (row, pack) in &packs {
                table.insert(*row, pack.as_slice()).expect("a row");
            }
            table.insert(old.0.as_slice(), old.1.as_slice()).expect("a row");
        }
        transaction.commit().expect("memory");
        let all: Vec<_> = nodes.iter().chain([&old]).collect();
        // A third at a time, and what is not there at all.
        for third in 0..=3 {
            let table = database.begin_read().expect("memory").open_table(NODES).expect("a table");
            for (at, (row, node)) in all.iter().enumerate() {
                let expected = (at % 3 >= third).then(|| node.clone());
                assert_eq!(find(&table, row).expect("whole"), expected, "{at} after {third}");
            }
            assert_eq!(find(&table, &node_row_at(3, 7, &[9; 30])).expect("whole"), None);
            drop(table);
            let stale: BTreeSet<&[u8]> = all
                .iter()
                .enumerate()
                .filter(|(at, _)| at % 3 == third)
                .map(|(_, (row, _))| row.as_slice())
                .collect();
            let transaction = database.begin_write().expect("memory");
            let mut table = transaction.open_table(NODES).expect("a table");
            assert_eq!(remove(&mut table, &stale).expect("whole"), stale.len());
            drop(table);
            transaction.commit().expect("memory");
        }
        let table = database.begin_read().expect("memory").open_table(NODES).expect("a table");
        assert!(redb::ReadableTableMetadata::is_empty(&table).expect("a number"));
    }
}

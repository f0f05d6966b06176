//! The state as a block sees it: what was committed, what the block changed so far, what the transaction changed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use stateset_ledger_types::{Decode, Encode, Refusal, StateKey, Substore};

use crate::application::Fault;
use crate::state::{StateReader, Writes};

/// Why something did not go through: for good reason, or because this node can't tell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Rows that [`Overlay::visit`] reads at once.
const VISITED_ROWS: usize = 64;

type Layer = BTreeMap<StateKey, Option<Vec<u8>>>;

/// Layers of writes over a reader. Reads see the newest; a transaction's layer is kept or discarded as a whole.
pub struct Overlay<'a> {
    base: &'a dyn StateReader,
    /// What was read of `base`, so that nothing is read twice and writes that change nothing are known.
    read: RefCell<Layer>,
    block: Layer,
    tx: Layer,
}

impl<'a> Overlay<'a> {
    pub fn new(base: &'a dyn StateReader) -> Self {
        Self { base, read: RefCell::default(), block: Layer::new(), tx: Layer::new() }
    }

    /// # Errors
    /// [`Fault::Read`].
    pub fn get_raw(&self, key: &StateKey) -> Result<Option<Vec<u8>>, Fault> {
        if let Some(value) = self.tx.get(key).or_else(|| self.block.get(key)) {
            return Ok(value.clone());
        }
        self.committed(key)
    }

    fn committed(&self, key: &StateKey) -> Result<Option<Vec<u8>>, Fault> {
        if let Some(value) = self.read.borrow().get(key) {
            return Ok(value.clone());
        }
        let value = self.base.get(key.substore, &key.path)?;
        self.read.borrow_mut().insert(key.clone(), value.clone());
        Ok(value)
    }

    /// # Errors
    /// [`Fault::Read`], and [`Fault::Corrupt`] for a value that is not a `T`.
    pub fn get<T: Decode>(&self, key: &StateKey) -> Result<Option<T>, Fault> {
        self.get_raw(key)?.map(|bytes| decode(key, &bytes)).transpose()
    }

    /// A value that every state of this chain has.
    ///
    /// # Errors
    /// As of [`get`](Self::get), and [`Fault::Corrupt`] when it is missing.
    pub fn expect<T: Decode>(&self, key: &StateKey) -> Result<T, Fault> {
        self.get(key)?.ok_or_else(|| Fault::Corrupt { place: key.to_string(), problem: "missing".to_owned() })
    }

    pub fn put(&mut self, key: StateKey, value: &impl Encode) {
        self.put_raw(key, value.to_sce());
    }

    pub fn put_raw(&mut self, key: StateKey, bytes: Vec<u8>) {
        assert!(!bytes.is_empty(), "a value is never empty (6.1): {key}");
        self.tx.insert(key, Some(bytes));
    }

    pub fn delete(&mut self, key: StateKey) {
        self.tx.insert(key, None);
    }

    /// Rows of a substore with `from <= key < to` as they stand now.
    ///
    /// # Errors
    /// [`Fault::Read`].
    pub fn range(&self, from: &StateKey, to: &[u8], limit: usize) -> Result<Vec<(StateKey, Vec<u8>)>, Fault> {
        let substore = from.substore;
        let end = StateKey { substore, path: to.to_vec() };
        if *from >= end {
            return Ok(Vec::new());
        }
        let mut changed: Layer = Layer::new();
        for layer in [&self.block, &self.tx] {
            changed.extend(
                layer.range(from.clone()..end.clone()).map(|(key, value)| (key.clone(), value.clone())),
            );
        }
        let committed = self.base.range(substore, &from.path, to, limit.saturating_add(changed.len()))?;
        let mut rows: Layer =
            committed.into_iter().map(|(path, value)| (StateKey { substore, path }, Some(value))).collect();
        rows.extend(changed);
        let present = rows.into_iter().filter_map(|(key, value)| value.map(|value| (key, value)));
        Ok(present.take(limit).collect())
    }

    /// Rows whose keys begin with `prefix`.
    ///
    /// # Errors
    /// [`Fault::Read`].
    pub fn prefix(
        &self,
        substore: Substore,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<(StateKey, Vec<u8>)>, Fault> {
        let from = StateKey { substore, path: prefix.as_bytes().to_vec() };
        // Keys are ASCII.
        let to = [prefix.as_bytes(), &[0xff]].concat();
        self.range(&from, &to, limit)
    }

    /// Visits rows from `from` on whose keys begin with `prefix`, some at a time, until `visit` breaks.
    ///
    /// # Errors
    /// [`Fault::Read`], and what `visit` fails with.
    pub fn visit(
        &self,
        mut from: StateKey,
        prefix: &str,
        mut visit: impl FnMut(StateKey, Vec<u8>) -> Result<ControlFlow<()>, Fault>,
    ) -> Result<(), Fault> {
        // Keys are ASCII.
        let to = [prefix.as_bytes(), &[0xff]].concat();
        loop {
            let rows = self.range(&from, &to, VISITED_ROWS)?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            from.path = [&last.path, &b"\0"[..]].concat();
            for (key, value) in rows {
                if visit(key, value)?.is_break() {
                    return Ok(());
                }
            }
        }
    }

    /// Takes the transaction's writes into the block.
    pub fn keep(&mut self) {
        // Not `append`, which would rebuild the whole block's layer for every transaction.
        self.block.extend(std::mem::take(&mut self.tx));
    }

    /// Forgets the transaction's writes.
    pub fn discard(&mut self) {
        self.tx.clear();
    }

    /// Runs `work` so that it writes everything or nothing.
    ///
    /// # Errors
    /// Of `work`.
    pub fn attempt<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Stop>) -> Result<T, Stop> {
        let before = self.tx.clone();
        let done = work(self);
        if done.is_err() {
            self.tx = before;
        }
        done
    }

    /// What the block changes: without writes that leave a value as it was.
    ///
    /// # Errors
    /// [`Fault::Read`].
    pub fn into_writes(mut self) -> Result<Writes, Fault> {
        self.keep();
        let block = std::mem::take(&mut self.block);
        let mut writes = Writes::new();
        for (key, value) in block {
            if self.committed(&key)? != value {
                writes.insert((key.substore, key.path), value);
            }
        }
        Ok(writes)
    }
}

/// Reads a stored value.
///
/// # Errors
/// [`Fault::Corrupt`].
pub fn decode<T: Decode>(key: &StateKey, bytes: &[u8]) -> Result<T, Fault> {
    T::from_sce(bytes).map_err(|error| Fault::Corrupt { place: key.to_string(), problem: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::MemoryState;

    fn key(path: &str) -> StateKey {
        StateKey { substore: Substore::Bank, path: path.as_bytes().to_vec() }
    }

    #[test]
    fn the_newest_layer_is_seen_and_only_changes_are_written() {
        let state = MemoryState::default();
        let mut overlay = Overlay::new(&state);
        overlay.put(key("a"), &1u8);
        overlay.put(key("b"), &2u8);
        state.apply(&overlay.into_writes().unwrap());

        let mut overlay = Overlay::new(&state);
        overlay.put(key("a"), &1u8);
        overlay.put(key("c"), &3u8);
        overlay.keep();
        overlay.put(key("b"), &9u8);
        overlay.delete(key("c"));
        assert_eq!(overlay.prefix(Substore::Bank, "", 9).unwrap().len(), 2);
        overlay.discard();
        let rows: Vec<_> = overlay.prefix(Substore::Bank, "", 2).unwrap();
        assert_eq!(rows, [(key("a"), vec![1]), (key("b"), vec![2])]);
        let writes = overlay.into_writes().unwrap();
        assert_eq!(writes.into_keys().collect::<Vec<_>>(), [(Substore::Bank, b"c".to_vec())]);
    }
}

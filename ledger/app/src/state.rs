//! How the state machine sees its state: reads of one committed height, and writes that an engine hands to its store.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use stateset_ledger_types::Substore;

/// Place of a value: substore and key. Keys are never empty.
pub type Place = (Substore, Vec<u8>);

/// A key with its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// What a block changes, in the order in which it is committed (section 6.3, step 7). `None` deletes.
///
/// Values are never empty, and a write that changes nothing is left out, so that a block that changes nothing leaves
/// the app hash as it was (section 6.1).
pub type Writes = BTreeMap<Place, Option<Vec<u8>>>;

/// The store could not answer. Never part of a result: the node halts, since other nodes could answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the state could not be read: {0}")]
pub struct ReadFault(pub String);

/// Reads of the state as committed at one height.
pub trait StateReader: Send + Sync {
    /// The value at `key`; `None` when the key is absent.
    ///
    /// # Errors
    /// [`ReadFault`] when the store cannot tell.
    fn get(&self, substore: Substore, key: &[u8]) -> Result<Option<Vec<u8>>, ReadFault>;

    /// Rows with `from <= key < to`, by ascending bytes of the key, the first `limit` of them.
    ///
    /// # Errors
    /// [`ReadFault`] when the store cannot tell.
    fn range(&self, substore: Substore, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Row>, ReadFault>;

    /// The app hash of this state, where the reader knows it: what was made of a state with the same one holds here too.
    fn app_hash(&self) -> Option<[u8; 32]> {
        None
    }
}

/// A state in memory, for tests and simulations.
#[derive(Debug, Default)]
pub struct MemoryState(Mutex<BTreeMap<Place, Vec<u8>>>);

impl MemoryState {
    /// Takes over what a block or genesis wrote.
    pub fn apply(&self, writes: &Writes) {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (place, value) in writes {
            assert!(!place.1.is_empty(), "a key is never empty");
            match value {
                Some(value) => {
                    assert!(!value.is_empty(), "a value is never empty: {place:?}");
                    rows.insert(place.clone(), value.clone());
                }
                None => {
                    rows.remove(place);
                }
            }
        }
    }

    /// All rows, by place.
    pub fn rows(&self) -> BTreeMap<Place, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl StateReader for MemoryState {
    fn get(&self, substore: Substore, key: &[u8]) -> Result<Option<Vec<u8>>, ReadFault> {
        let rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(rows.get(&(substore, key.to_vec())).cloned())
    }

    fn range(&self, substore: Substore, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Row>, ReadFault> {
        let rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (from, to) = ((substore, from.to_vec()), (substore, to.to_vec()));
        if from >= to {
            return Ok(Vec::new());
        }
        let found = rows.range(from..to).take(limit);
        Ok(found.map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }
}

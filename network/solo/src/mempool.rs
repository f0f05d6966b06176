//! Transactions that wait for a block, in order of arrival, within bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};

/// SHA-256 of a transaction's bytes.
pub type TxHash = [u8; 32];

/// Bounds of the pool. At them a transaction is refused, and its sender may try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MempoolBounds {
    pub transactions_max: usize,
    pub bytes_max: usize,
    /// A transaction that was offered to so many blocks and taken by none is dropped.
    pub offers_max: u32,
}

impl Default for MempoolBounds {
    fn default() -> Self {
        Self { transactions_max: 50_000, bytes_max: 128 << 20, offers_max: 100 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MempoolError {
    #[error("the transaction waits in the pool already")]
    Known,
    #[error("the pool is full ({transactions} transactions, {bytes} bytes); try again after the next block")]
    Full { transactions: usize, bytes: usize },
}

#[derive(Debug)]
struct Waiting {
    bytes: Arc<[u8]>,
    hash: TxHash,
    offers: u32,
}

/// A place in the pool: arrival number.
pub type Arrival = u64;

#[derive(Debug)]
pub struct Mempool {
    bounds: MempoolBounds,
    waiting: BTreeMap<Arrival, Waiting>,
    /// In a block that is not stored yet: known and counted, but offered to no other.
    taken: BTreeMap<Arrival, Waiting>,
    hashes: BTreeSet<TxHash>,
    /// Of both.
    bytes: usize,
    next: Arrival,
}

impl Mempool {
    pub fn new(bounds: MempoolBounds) -> Self {
        let (waiting, taken) = (BTreeMap::new(), BTreeMap::new());
        Self { bounds, waiting, taken, hashes: BTreeSet::new(), bytes: 0, next: 0 }
    }

    /// How many may be offered to a block.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Bytes of all that are known.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a transaction of this hash and length could enter.
    ///
    /// # Errors
    /// [`MempoolError`].
    pub fn admits(&self, hash: &TxHash, length: usize) -> Result<(), MempoolError> {
        if self.hashes.contains(hash) {
            return Err(MempoolError::Known);
        }
        let transactions = self.waiting.len() + self.taken.len();
        if transactions >= self.bounds.transactions_max || self.bytes + length > self.bounds.bytes_max {
            return Err(MempoolError::Full { transactions, bytes: self.bytes });
        }
        Ok(())
    }

    /// Adds a transaction that the application accepted.
    ///
    /// # Errors
    /// [`MempoolError`].
    pub fn add(&mut self, transaction: &[u8]) -> Result<TxHash, MempoolError> {
        let hash = Sha256::digest(transaction).into();
        self.admits(&hash, transaction.len())?;
        self.hashes.insert(hash);
        self.bytes += transaction.len();
        self.waiting.insert(self.next, Waiting { bytes: transaction.into(), hash, offers: 0 });
        self.next += 1;
        Ok(hash)
    }

    /// The transactions to offer to the next block, oldest first, whose sizes with `overhead` bytes each stay within
    /// `bytes_max`. Each is counted as offered; so is one that no block of this size takes, which holds up no other.
    pub fn offer(&mut self, bytes_max: usize, overhead: usize) -> Vec<(Arrival, Arc<[u8]>)> {
        let mut room = bytes_max;
        let mut offered = Vec::new();
        for (arrival, waiting) in &mut self.waiting {
            let bytes = waiting.bytes.len() + overhead;
            if bytes > bytes_max {
                waiting.offers += 1;
                continue;
            }
            let Some(left) = room.checked_sub(bytes) else { break };
            room = left;
            waiting.offers += 1;
            offered.push((*arrival, Arc::clone(&waiting.bytes)));
        }
        offered
    }

    /// Offers what a block holds to no other one.
    pub fn take(&mut self, arrivals: impl IntoIterator<Item = Arrival>) {
        let taken =
            arrivals.into_iter().filter_map(|arrival| Some((arrival, self.waiting.remove(&arrival)?)));
        self.taken.extend(taken);
    }

    /// Takes out what a stored block holds.
    pub fn remove(&mut self, arrivals: impl IntoIterator<Item = Arrival>) {
        for arrival in arrivals {
            if let Some(gone) = self.waiting.remove(&arrival).or_else(|| self.taken.remove(&arrival)) {
                self.hashes.remove(&gone.hash);
                self.bytes -= gone.bytes.len();
            }
        }
    }

    /// Takes out what was offered too often, and returns how many that were.
    pub fn drop_stale(&mut self) -> usize {
        let stale: Vec<_> = self
            .waiting
            .iter()
            .filter(|(_, w)| w.offers >= self.bounds.offers_max)
            .map(|(a, _)| *a)
            .collect();
        let count = stale.len();
        self.remove(stale);
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_keeps_its_bounds_and_its_order() {
        let bounds = MempoolBounds { transactions_max: 3, bytes_max: 10, offers_max: 2 };
        let mut pool = Mempool::new(bounds);
        pool.add(b"aaaa").expect("room");
        assert_eq!(pool.add(b"aaaa"), Err(MempoolError::Known));
        pool.add(b"bbbb").expect("room");
        assert_eq!(pool.add(b"ccc"), Err(MempoolError::Full { transactions: 2, bytes: 8 }));
        pool.add(b"c").expect("room");
        assert_eq!(pool.add(b"d"), Err(MempoolError::Full { transactions: 3, bytes: 9 }));

        let offered = pool.offer(12, 2);
        assert_eq!(offered.iter().map(|(_, bytes)| &bytes[..]).collect::<Vec<_>>(), [b"aaaa", b"bbbb"]);
        pool.take([offered[0].0]);
        // In a block, but not stored: it keeps its room and its name.
        assert_eq!((pool.len(), pool.bytes()), (2, 9));
        assert_eq!(pool.admits(&Sha256::digest(b"aaaa").into(), 4), Err(MempoolError::Known));
        assert_eq!(pool.add(b"d"), Err(MempoolError::Full { transactions: 3, bytes: 9 }));
        pool.remove([offered[0].0]);
        assert_eq!((pool.len(), pool.bytes()), (2, 5));
        assert_eq!(pool.drop_stale(), 0);
        pool.offer(100, 0);
        assert_eq!(pool.drop_stale(), 1, "bbbb was offered twice");
        pool.add(b"aaaa").expect("it is gone");
        assert_eq!(pool.offer(100, 0).len(), 2);
    }

    /// Where blocks became smaller than it, one transaction stopped the chain.
    #[test]
    fn what_fits_no_block_holds_up_nothing_and_leaves() {
        let bounds = MempoolBounds { offers_max: 2, ..MempoolBounds::default() };
        let mut pool = Mempool::new(bounds);
        pool.add(b"much too large").expect("room");
        pool.add(b"small").expect("room");
        let offered = pool.offer(8, 1);
        assert_eq!(offered.iter().map(|(_, bytes)| &bytes[..]).collect::<Vec<_>>(), [b"small"]);
        pool.remove([offered[0].0]);
        assert!(pool.offer(8, 1).is_empty());
        assert_eq!(pool.drop_stale(), 1);
    }
}

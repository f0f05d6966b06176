//! What others may ask of the vault (8.3): a transaction is served to those who take part in it or in a descendant,
//! and to attesters that were asked about one.

use std::collections::{BTreeSet, VecDeque};

use stateset_ledger_types::ids::{EntityId, TxId};
use stateset_peer::message::TRANSACTIONS_MAX;

use super::Vault;
use crate::error::NodeError;

/// Most descendants that are looked at for one answer.
const DESCENDANTS_MAX: usize = 10_000;

/// A transaction that another entity takes part in too, in its canonical encoding.
pub struct Shared {
    /// Height, and place in the block.
    pub place: (u64, u32),
    pub tx_id: TxId,
    pub signed: Vec<u8>,
}

impl Vault {
    /// Transactions of this entity.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn own_transactions(&self) -> Result<Vec<TxId>, NodeError> {
        let sql = "SELECT tx_id FROM transactions WHERE own = 1 ORDER BY tx_id";
        self.rows("reading transactions", sql, [], |row| row.get(0).map(TxId))
    }

    /// Transactions of this entity in which `other` takes part too, behind the place `after` of the chain, in its order:
    /// a page, and one more where there is a next one.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn shared_with(
        &self,
        other: &EntityId,
        from_ms: u64,
        until_ms: Option<u64>,
        after: (u64, u32),
    ) -> Result<Vec<Shared>, NodeError> {
        let sql = "SELECT height, position, tx_id, signed FROM transactions WHERE own = 1
                   AND (height, position) > (?1, ?2) AND time_ms >= ?3 AND (?4 IS NULL OR time_ms < ?4)
                   AND EXISTS (SELECT 1 FROM members WHERE members.tx_id = transactions.tx_id AND entity = ?5)
                   ORDER BY height, position LIMIT ?6";
        // SQLite counts to 2^63 - 1.
        let (from_ms, until_ms) =
            (from_ms.min(i64::MAX as u64), until_ms.map(|until| until.min(i64::MAX as u64)));
        let (height, position) = (after.0.min(i64::MAX as u64), after.1);
        let values = (height, position, from_ms, until_ms, other.0, TRANSACTIONS_MAX + 1);
        self.rows("reading transactions", sql, values, |row| {
            Ok(Shared { place: (row.get(0)?, row.get(1)?), tx_id: TxId(row.get(2)?), signed: row.get(3)? })
        })
    }

    /// Whether `asker` takes part in `tx_id` or in a descendant of it, or was asked to attest one, those included that this node has signed and that
    /// are not notarised yet.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn may_see(&self, asker: &EntityId, tx_id: &TxId) -> Result<bool, NodeError> {
        let (mut seen, mut next) = (BTreeSet::from([*tx_id]), VecDeque::from([*tx_id]));
        while let Some(at) = next.pop_front() {
            let found = self.connection.query_row(
                "SELECT 1 FROM members WHERE tx_id = ?1 AND entity = ?2
                 UNION ALL SELECT 1 FROM readers WHERE tx_id = ?1 AND entity = ?2 LIMIT 1",
                (at.0, asker.0),
                |_| Ok(()),
            );
            if self.optional("reading members", found)?.is_some() {
                return Ok(true);
            }
            let sql = "SELECT DISTINCT consumer FROM inputs WHERE tx_id = ?1 ORDER BY consumer";
            for child in self.rows("reading descendants", sql, [at.0], |row| row.get(0).map(TxId))? {
                if seen.len() < DESCENDANTS_MAX && seen.insert(child) {
                    next.push_back(child);
                }
            }
        }
        Ok(false)
    }
}

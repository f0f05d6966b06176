//! Capsules in a file of SQLite: what a notary keeps for others (8.4), and what a ledger of one process keeps for all.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use stateset_ledger_types::ids::TxId;
use ves::Digest;
use ves::hash::Hasher;

use crate::error::{ChainError, NodeError};
use crate::file;
use crate::ports::CapsuleStore;

/// Most sealed signatures that are kept beside one transaction: no more than it may have recipients.
const SIGNATURES_MAX: u32 = 64;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS capsules (
    hash       BLOB PRIMARY KEY CHECK (length(hash) = 32),
    ciphertext BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS signatures (
    position INTEGER PRIMARY KEY,
    tx_id    BLOB NOT NULL CHECK (length(tx_id) = 32),
    sealed   BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS signatures_by_tx ON signatures (tx_id, position);
";

/// [`CapsuleStore`] in one file.
pub struct CapsuleFile(Mutex<Connection>);

impl CapsuleFile {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// [`NodeError::File`], [`NodeError::Vault`].
    pub fn open(path: &Path) -> Result<Self, NodeError> {
        Ok(Self(Mutex::new(file::with_tables(path, SCHEMA)?)))
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(problem: rusqlite::Error) -> ChainError {
    ChainError::Unreachable(format!("the store of capsules: {problem}"))
}

impl CapsuleStore for CapsuleFile {
    fn put(&self, ciphertext: &[u8]) -> Result<(), ChainError> {
        let hash = Hasher::bare().bytes(ciphertext).finish();
        let sql = "INSERT OR IGNORE INTO capsules VALUES (?1, ?2)";
        self.connection().execute(sql, (hash.0, ciphertext)).map_err(failed)?;
        Ok(())
    }

    fn get(&self, hash: &Digest) -> Result<Option<Vec<u8>>, ChainError> {
        let sql = "SELECT ciphertext FROM capsules WHERE hash = ?1";
        match self.connection().query_row(sql, [hash.0], |row| row.get(0)) {
            Ok(ciphertext) => Ok(Some(ciphertext)),
            Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
            Err(problem) => Err(failed(problem)),
        }
    }

    fn put_signatures(&self, tx_id: &TxId, sealed: &[u8]) -> Result<(), ChainError> {
        let sql = "INSERT INTO signatures (tx_id, sealed)
                   SELECT ?1, ?2 WHERE (SELECT count(*) FROM signatures WHERE tx_id = ?1) < ?3";
        self.connection().execute(sql, (tx_id.0, sealed, SIGNATURES_MAX)).map_err(failed)?;
        Ok(())
    }

    fn signatures(&self, tx_id: &TxId) -> Result<Vec<Vec<u8>>, ChainError> {
        let connection = self.connection();
        let sql = "SELECT sealed FROM signatures WHERE tx_id = ?1 ORDER BY position";
        let mut statement = connection.prepare_cached(sql).map_err(failed)?;
        let rows = statement.query_map([tx_id.0], |row| row.get(0)).map_err(failed)?;
        rows.collect::<rusqlite::Result<_>>().map_err(failed)
    }
}

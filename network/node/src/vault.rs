//! What one entity knows of the ledger, in one SQLite file: transactions, states, flows with their journal, what is still
//! to do, messages that arrived. A step of a flow is one SQLite transaction, durable before anything follows from it.

mod flows;
mod open;
mod query;
mod serve;
mod states;

use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};
use stateset_ledger_types::codec::Decode;
use stateset_ledger_types::ids::{ChainId, EntityId};

use crate::error::NodeError;

pub use flows::{Done, Letter, Step, Todo};
pub use query::{FlowView, HistoryItem, Page, StateFilter, StateView, TransactionView};
pub use serve::Shared;
pub use states::{Change, Description, Recorded, describe, entities, members};

/// Most rows of a page (14).
pub const ROWS_MAX: usize = 500;

/// The vault of one entity on one chain. One owner writes; every method is one SQLite transaction.
pub struct Vault {
    connection: Connection,
    path: PathBuf,
    entity: EntityId,
}

impl Vault {
    /// Opens the file of `entity` on `chain_id`, or makes it, readable by its owner only.
    ///
    /// # Errors
    /// [`NodeError::OtherOwner`], [`NodeError::NewerSchema`], and those of the file.
    pub fn open(path: &Path, entity: EntityId, chain_id: &ChainId) -> Result<Self, NodeError> {
        let connection = open::open(path)?;
        let mut vault = Self { connection, path: path.to_owned(), entity };
        vault.belongs("entity", entity.to_string())?;
        vault.belongs("chain", chain_id.to_string())?;
        Ok(vault)
    }

    pub fn entity(&self) -> EntityId {
        self.entity
    }

    fn belongs(&mut self, what: &'static str, asked: String) -> Result<(), NodeError> {
        match self.setting(what)? {
            None => self.set(what, asked.as_bytes()),
            Some(found) if found == asked.as_bytes() => Ok(()),
            Some(found) => {
                let found = String::from_utf8_lossy(&found).into_owned();
                Err(NodeError::OtherOwner { path: self.path.clone(), what, found, asked })
            }
        }
    }

    pub(crate) fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, NodeError> {
        let found =
            self.connection.query_row("SELECT value FROM settings WHERE name = ?1", [name], |row| row.get(0));
        self.optional("reading a setting", found)
    }

    /// Whatever is kept under a name that begins like this.
    pub(crate) fn settings_like(&self, beginning: &str) -> Result<Vec<Vec<u8>>, NodeError> {
        let sql = "SELECT value FROM settings WHERE substr(name, 1, length(?1)) = ?1";
        self.rows("reading settings", sql, [beginning], |row| row.get(0))
    }

    pub(crate) fn set(&mut self, name: &str, value: &[u8]) -> Result<(), NodeError> {
        let sql =
            "INSERT INTO settings VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.connection
            .execute(sql, (name, value))
            .map_err(|problem| self.failed("writing a setting", problem))?;
        Ok(())
    }

    /// A number that only rises, kept under `name`: at least `floor`, and more than at any time before.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn next_number(&mut self, name: &str, floor: u64) -> Result<u64, NodeError> {
        let next = self.number(name)?.map_or(floor, |last| floor.max(last + 1));
        self.set(name, &next.to_be_bytes())?;
        Ok(next)
    }

    /// The number kept under `name`.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn number(&self, name: &str) -> Result<Option<u64>, NodeError> {
        let bytes = self.setting(name)?;
        Ok(bytes.and_then(|bytes| Some(u64::from_be_bytes(*bytes.first_chunk()?))))
    }

    /// # Errors
    /// [`NodeError`].
    pub fn set_number(&mut self, name: &str, number: u64) -> Result<(), NodeError> {
        self.set(name, &number.to_be_bytes())
    }

    /// Forgets what was kept under `name`.
    pub(crate) fn forget(&mut self, name: &str) -> Result<(), NodeError> {
        let gone = self.connection.execute("DELETE FROM settings WHERE name = ?1", [name]);
        gone.map(|_| ()).map_err(|problem| self.failed("forgetting a setting", problem))
    }

    fn failed(&self, doing: &'static str, problem: rusqlite::Error) -> NodeError {
        NodeError::Vault { path: self.path.clone(), doing, problem }
    }

    fn optional<T>(&self, doing: &'static str, found: rusqlite::Result<T>) -> Result<Option<T>, NodeError> {
        match found {
            Ok(value) => Ok(Some(value)),
            Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
            Err(problem) => Err(self.failed(doing, problem)),
        }
    }

    /// Runs `write` in one durable transaction.
    fn write<T>(
        &mut self,
        doing: &'static str,
        write: impl FnOnce(&rusqlite::Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, NodeError> {
        let path = &self.path;
        let failed = |problem| NodeError::Vault { path: path.clone(), doing, problem };
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let value = write(&transaction).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Ok(value)
    }

    /// Rows of a query, each read by `read`.
    fn rows<T, P: rusqlite::Params>(
        &self,
        doing: &'static str,
        sql: &str,
        params: P,
        read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, NodeError> {
        let failed = |problem| self.failed(doing, problem);
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        let rows = statement.query_map(params, read).map_err(failed)?;
        rows.collect::<rusqlite::Result<Vec<T>>>().map_err(failed)
    }
}

/// Reads what this program wrote.
fn decode<T: Decode>(what: &'static str, bytes: &[u8]) -> Result<T, NodeError> {
    T::from_sce(bytes).map_err(|problem| NodeError::Damaged { what, problem })
}

//! Capsules in a file of SQLite: what a notary keeps for others (8.4), and what a program of one process keeps for all.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior};
use stateset_ledger_types::envelope::BlobReceipt;
use stateset_ledger_types::ids::{EntityId, TxId};
use ves::Digest;
use ves::hash::Hasher;

use crate::error::{ChainError, NodeError};
use crate::file;
use crate::ports::CapsuleStore;

/// Most pieces that one entity may lay beside the capsules of one transaction: no more than it may have recipients. Each has
/// places of its own, so that nobody can keep another's out.
const BESIDE_OF_ENTITY_MAX: u32 = 64;
/// Most bytes that one entity may leave here on one day.
pub const DAY_BYTES_MAX: u64 = 1 << 30;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS capsules (
    hash       BLOB PRIMARY KEY CHECK (length(hash) = 32),
    ciphertext BLOB NOT NULL
) STRICT, WITHOUT ROWID;
-- What lies beside the capsules of a transaction, and who laid it there: nobody, where it was this machine.
CREATE TABLE IF NOT EXISTS beside (
    position INTEGER PRIMARY KEY,
    tx_id    BLOB NOT NULL CHECK (length(tx_id) = 32),
    entity   BLOB NOT NULL CHECK (length(entity) = 20),
    sealed   BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS beside_by_tx ON beside (tx_id, entity, position);
-- Bytes that an entity left here on its last day.
CREATE TABLE IF NOT EXISTS used (
    entity BLOB    PRIMARY KEY CHECK (length(entity) = 20),
    day    INTEGER NOT NULL,
    bytes  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";
/// Where it lay before each entity had places of its own.
const MOVE: &str =
    "INSERT INTO beside (tx_id, entity, sealed) SELECT tx_id, zeroblob(20), sealed FROM signatures;
                    DROP TABLE signatures;";
/// This machine itself.
const NOBODY: EntityId = EntityId([0; 20]);

/// Why something is not kept.
#[derive(Debug, thiserror::Error)]
pub enum NotKept {
    #[error("the store of capsules: {0}")]
    Failed(#[from] rusqlite::Error),
    #[error("an entity may leave {DAY_BYTES_MAX} bytes here a day")]
    TooMuch,
    #[error("an entity may lay {BESIDE_OF_ENTITY_MAX} pieces beside a transaction")]
    TooMany,
}

/// What lies beside the capsules of a transaction, in pages.
pub struct BesidePage {
    pub sealed: Vec<Vec<u8>>,
    pub more: bool,
}

/// [`CapsuleStore`] in one file.
pub struct CapsuleFile(Mutex<Connection>);

impl CapsuleFile {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// [`NodeError::File`], [`NodeError::Vault`].
    pub fn open(path: &Path) -> Result<Self, NodeError> {
        let mut connection = file::with_tables(path, SCHEMA)?;
        let moved = move_old(&mut connection);
        moved.map_err(|problem| NodeError::Vault { path: path.to_owned(), doing: "opening", problem })?;
        Ok(Self(Mutex::new(connection)))
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, work: impl FnOnce(&Transaction<'_>) -> Result<(), NotKept>) -> Result<(), NotKept> {
        let mut connection = self.connection();
        let sql = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        work(&sql)?;
        Ok(sql.commit()?)
    }

    /// Keeps a ciphertext that `by` leaves on `day`, counted from 1970; once, however often it is left. Returns its hash.
    ///
    /// # Errors
    /// [`NotKept`].
    pub fn store(&self, by: &EntityId, day: u64, ciphertext: &[u8]) -> Result<Digest, NotKept> {
        let hash = Hasher::bare().bytes(ciphertext).finish();
        self.write(|sql| {
            let insert = "INSERT OR IGNORE INTO capsules VALUES (?1, ?2)";
            match sql.execute(insert, (hash.0, ciphertext))? {
                0 => Ok(()),
                _ => charge(sql, by, day, ciphertext.len()),
            }
        })?;
        Ok(hash)
    }

    /// Keeps what `by` lays beside the capsules of a transaction; once, however often it is laid there.
    ///
    /// # Errors
    /// [`NotKept`].
    pub fn lay(&self, by: &EntityId, day: u64, tx_id: &TxId, sealed: &[u8]) -> Result<(), NotKept> {
        self.write(|sql| {
            let known =
                "SELECT count(*), coalesce(sum(sealed = ?3), 0) FROM beside WHERE tx_id = ?1 AND entity = ?2";
            let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, u32>(0)?, row.get::<_, u32>(1)?));
            let (count, same) = sql.query_row(known, (tx_id.0, by.0, sealed), read)?;
            match (same, count) {
                (1.., _) => return Ok(()),
                (0, BESIDE_OF_ENTITY_MAX..) => return Err(NotKept::TooMany),
                (0, _) => {}
            }
            let insert = "INSERT INTO beside (tx_id, entity, sealed) VALUES (?1, ?2, ?3)";
            sql.execute(insert, (tx_id.0, by.0, sealed))?;
            charge(sql, by, day, sealed.len())
        })
    }

    /// What lies beside the capsules of a transaction, behind the first `after`: what `asker` laid there, then what
    /// others did, in the order in which it came. One piece at least, and no more than `bytes_max` bytes else.
    ///
    /// # Errors
    /// Those of the file.
    pub fn beside(
        &self,
        asker: &EntityId,
        tx_id: &TxId,
        after: u32,
        page: usize,
        bytes_max: usize,
    ) -> Result<BesidePage, rusqlite::Error> {
        let connection = self.connection();
        let sql =
            "SELECT sealed FROM beside WHERE tx_id = ?1 ORDER BY entity <> ?2, position LIMIT ?3 OFFSET ?4";
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query((tx_id.0, asker.0, page + 1, after))?;
        let (mut sealed, mut bytes) = (Vec::<Vec<u8>>::new(), 0);
        while let Some(row) = rows.next()? {
            let piece: Vec<u8> = row.get(0)?;
            bytes += piece.len();
            if sealed.len() == page || (bytes > bytes_max && !sealed.is_empty()) {
                return Ok(BesidePage { sealed, more: true });
            }
            sealed.push(piece);
        }
        Ok(BesidePage { sealed, more: false })
    }
}

fn move_old(connection: &mut Connection) -> rusqlite::Result<()> {
    let sql = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let old = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'signatures'";
    if sql.query_row(old, [], |_| Ok(())).optional()?.is_some() {
        sql.execute_batch(MOVE)?;
    }
    sql.commit()
}

/// Counts what an entity leaves here, against its day.
fn charge(sql: &Transaction<'_>, by: &EntityId, day: u64, bytes: usize) -> Result<(), NotKept> {
    if *by == NOBODY {
        return Ok(());
    }
    let used = "SELECT bytes FROM used WHERE entity = ?1 AND day = ?2";
    let used: Option<u64> = sql.query_row(used, (by.0, day), |row| row.get(0)).optional()?;
    let total = used.unwrap_or_default().saturating_add(bytes as u64);
    if total > DAY_BYTES_MAX {
        return Err(NotKept::TooMuch);
    }
    let write = "INSERT INTO used VALUES (?1, ?2, ?3)
                 ON CONFLICT (entity) DO UPDATE SET day = excluded.day, bytes = excluded.bytes";
    sql.execute(write, (by.0, day, total))?;
    Ok(())
}

fn failed(problem: impl std::fmt::Display) -> ChainError {
    ChainError::Unreachable(format!("the store of capsules: {problem}"))
}

impl CapsuleStore for CapsuleFile {
    /// A file signs no receipts.
    fn put(&self, ciphertext: &[u8]) -> Result<Vec<BlobReceipt>, ChainError> {
        self.store(&NOBODY, 0, ciphertext).map_err(failed)?;
        Ok(Vec::new())
    }

    fn get(&self, hash: &Digest) -> Result<Option<Vec<u8>>, ChainError> {
        let sql = "SELECT ciphertext FROM capsules WHERE hash = ?1";
        self.connection().query_row(sql, [hash.0], |row| row.get(0)).optional().map_err(failed)
    }

    fn lay_beside(&self, tx_id: &TxId, sealed: &[u8]) -> Result<(), ChainError> {
        match self.lay(&NOBODY, 0, tx_id, sealed) {
            Err(NotKept::TooMany) => Ok(()),
            other => other.map_err(failed),
        }
    }

    fn beside(&self, tx_id: &TxId) -> Result<Vec<Vec<u8>>, ChainError> {
        let all = i64::MAX as usize - 1;
        CapsuleFile::beside(self, &NOBODY, tx_id, 0, all, usize::MAX).map(|page| page.sealed).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: usize = 1_000;

    fn open() -> (tempfile::TempDir, CapsuleFile) {
        let folder = tempfile::tempdir().unwrap();
        let file = CapsuleFile::open(&folder.path().join("capsules.db")).unwrap();
        (folder, file)
    }

    #[test]
    fn nobody_keeps_out_what_others_lay_beside_a_transaction() {
        let (_folder, file) = open();
        let (tx_id, loud, quiet) = (TxId([1; 32]), EntityId([1; 20]), EntityId([2; 20]));
        for n in 0..BESIDE_OF_ENTITY_MAX {
            file.lay(&loud, 0, &tx_id, &n.to_be_bytes()).unwrap();
        }
        assert!(matches!(file.lay(&loud, 0, &tx_id, b"one more"), Err(NotKept::TooMany)));
        file.lay(&loud, 0, &tx_id, &3u32.to_be_bytes()).expect("what lies there is laid there once");
        file.lay(&quiet, 0, &tx_id, b"mine").unwrap();
        let found = file.beside(&quiet, &tx_id, 0, MANY, MANY).unwrap();
        assert_eq!(found.sealed.len(), 65);
        assert_eq!(found.sealed[0], b"mine", "the asker's own come first");
        let page = file.beside(&quiet, &tx_id, 1, 10, MANY).unwrap();
        assert_eq!((page.sealed.len(), page.more), (10, true));
        let small = file.beside(&quiet, &tx_id, 0, MANY, 7).unwrap();
        assert_eq!((small.sealed.len(), small.more), (1, true), "no more bytes than there is room for");
    }

    #[test]
    fn an_entity_leaves_so_many_bytes_a_day() {
        let (_folder, file) = open();
        let one = EntityId([1; 20]);
        file.store(&one, 5, b"first").unwrap();
        let full = "UPDATE used SET bytes = ?1 WHERE day = 5";
        file.connection().execute(full, [DAY_BYTES_MAX - 3]).unwrap();
        assert!(matches!(file.store(&one, 5, b"more"), Err(NotKept::TooMuch)));
        assert_eq!(file.get(&Hasher::bare().bytes(b"more").finish()), Ok(None), "it is not kept");
        file.store(&one, 5, b"first").expect("what is kept costs nothing");
        file.store(&EntityId([2; 20]), 5, b"more").expect("another entity");
        file.store(&one, 6, b"later").expect("another day");
    }

    #[test]
    fn what_lay_in_an_older_file_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("capsules.db");
        let old = "CREATE TABLE signatures (position INTEGER PRIMARY KEY, tx_id BLOB NOT NULL, sealed BLOB NOT NULL) STRICT;
                   INSERT INTO signatures (tx_id, sealed) VALUES (zeroblob(32), x'0102');";
        drop(file::with_tables(&path, old).unwrap());
        for _ in 0..2 {
            let file = CapsuleFile::open(&path).unwrap();
            assert_eq!(CapsuleStore::beside(&file, &TxId([0; 32])), Ok(vec![vec![1, 2]]));
        }
    }
}

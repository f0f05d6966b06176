//! Documents in a database file: a table each, all of one form.

use rusqlite::{Connection, Row, params};

use crate::document::{Document, DocumentChange, Table, after_prefix};

pub(super) fn change(connection: &Connection, changes: &[DocumentChange]) -> rusqlite::Result<()> {
    for change in changes {
        match change {
            DocumentChange::Put(table, Document { key, text, content }) => connection
                .prepare_cached(&format!("INSERT OR REPLACE INTO {} VALUES (?, ?, ?)", table.name()))?
                .execute(params![key, text, content])?,
            DocumentChange::Remove(table, key) => connection
                .prepare_cached(&format!("DELETE FROM {} WHERE key = ?", table.name()))?
                .execute([key])?,
        };
    }
    Ok(())
}

pub(super) fn one_of(table: Table) -> String {
    format!("SELECT key, text, content FROM {} WHERE key = ?", table.name())
}

/// Documents of a range of keys, as SQL and its bounds.
pub(super) fn range_of(table: Table, prefix: &[u8], after: Option<&[u8]>) -> (String, Vec<u8>, Vec<u8>) {
    let (beyond, from) = match after {
        Some(after) if after >= prefix => (">", after),
        _ => (">=", prefix),
    };
    let end = after_prefix(prefix);
    // The bound stays a parameter where no key follows the prefix, so that the statement has one form.
    let below = if end.is_some() { "key < ?2" } else { "?2 IS NOT NULL" };
    let sql = format!(
        "SELECT key, text, content FROM {} WHERE key {beyond} ?1 AND {below} ORDER BY key LIMIT ?3",
        table.name()
    );
    (sql, from.to_vec(), end.unwrap_or_default())
}

pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Document> {
    Ok(Document { key: row.get(0)?, text: row.get(1)?, content: row.get(2)? })
}

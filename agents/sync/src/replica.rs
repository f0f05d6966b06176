//! The verified beginning of the stream, and its log tree.

mod entities;

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use ves::envelope::{decode_text, encode};
use ves::hex::Format;
use ves::log::{LogTree, root_at};
use ves::receipt::Receipt;
use ves::tiles::{TILE_WIDTH, Tile, TileId, TileSource};
use ves::{Digest, Envelope, EventId, SequenceNumber};

use crate::conflict::Written;
use crate::outbox::{database, receipt_from, receipt_text};
use crate::store::set;
use crate::verify::Checked;
use crate::{Fault, Store, SyncError};

/// One event of the replica.
#[derive(Debug, Clone)]
pub struct Replicated {
    pub envelope: Envelope<'static>,
    pub receipt: Receipt,
    /// Version of the entity after this event.
    pub version: u64,
    pub leaf: Digest,
}

/// What [`read`] reads, in its order.
const COLUMNS: &str = "sequence_number, version, envelope, receipt, leaf";
/// How far the replica has ever reached, written with each page: rows that are gone from its end leave no gap.
const REACHED: &str = "replica_head";

impl Store {
    /// The last number of the replica; all before it are there.
    ///
    /// # Errors
    /// [`SyncError::File`].
    pub fn replica_head(&self) -> Result<SequenceNumber, SyncError> {
        self.connection
            .prepare_cached("SELECT coalesce(max(sequence_number), 0) FROM events")
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .map(SequenceNumber)
            .map_err(self.failed("reading"))
    }

    /// Whether the replica still has what it had: its end may have been cut off.
    pub(crate) fn check_tail(&self) -> Result<(), SyncError> {
        let text = self.setting(REACHED)?.unwrap_or_else(|| "0".to_owned());
        let reached: u64 =
            text.parse().map_err(|_| SyncError::damaged(&self.path, format!("{REACHED} is {text:?}")))?;
        let head = self.replica_head()?.get();
        if head >= reached {
            return Ok(());
        }
        let problem = format!("the replica reached {reached}, and now ends at {head}: its end was cut off");
        Err(SyncError::damaged(&self.path, problem))
    }

    /// Events of the replica from `from` on, at most `limit`.
    ///
    /// # Errors
    /// [`SyncError::Damaged`].
    pub fn replicated(&self, from: SequenceNumber, limit: usize) -> Result<Vec<Replicated>, SyncError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM events WHERE sequence_number >= ? ORDER BY sequence_number LIMIT ?"
        );
        self.read_events(&sql, params![from.get(), i64::try_from(limit).unwrap_or(i64::MAX)])
    }

    /// The events of one entity, the newest `limit` of them, in order.
    ///
    /// # Errors
    /// [`SyncError::Damaged`].
    pub fn replicated_of_entity(
        &self,
        entity_type: &str,
        entity_id: &str,
        limit: usize,
    ) -> Result<Vec<Replicated>, SyncError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM (SELECT * FROM events WHERE entity_type = ? AND entity_id = ?
             ORDER BY version DESC LIMIT ?) ORDER BY version"
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read_events(&sql, params![entity_type, entity_id, limit])
    }

    /// One event by its id; `None` when it is not in the replica.
    ///
    /// # Errors
    /// [`SyncError::Damaged`].
    pub fn replicated_by_id(&self, event: &EventId) -> Result<Option<Replicated>, SyncError> {
        let sql = format!("SELECT {COLUMNS} FROM events WHERE event_id = ?");
        Ok(self.read_events(&sql, params![event.as_bytes()])?.pop())
    }

    /// The version of an entity as far as the replica goes; 0 when it has none.
    ///
    /// # Errors
    /// [`SyncError::File`].
    pub fn entity_version(&self, entity_type: &str, entity_id: &str) -> Result<u64, SyncError> {
        version_of(&self.connection, entity_type, entity_id).map_err(self.failed("reading"))
    }

    /// Who wrote last to an entity.
    pub(crate) fn last_written(
        &self,
        entity_type: &str,
        entity_id: &str,
    ) -> Result<Option<Written>, SyncError> {
        let last = self.replicated_of_entity(entity_type, entity_id, 1)?.pop();
        Ok(last.and_then(|event| Written::new(&event.envelope.created_at, event.envelope.event_id)))
    }

    fn read_events(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
    ) -> Result<Vec<Replicated>, SyncError> {
        let failed = self.failed("reading");
        let mut statement = self.connection.prepare_cached(sql).map_err(&failed)?;
        let mut rows = statement.query(parameters).map_err(&failed)?;
        let mut events = Vec::new();
        while let Some(row) = rows.next().map_err(&failed)? {
            events.push(self.read(row)?);
        }
        Ok(events)
    }

    fn read(&self, row: &Row<'_>) -> Result<Replicated, SyncError> {
        let failed = self.failed("reading");
        let number: u64 = row.get(0).map_err(&failed)?;
        let damaged = |problem: String| SyncError::damaged(&self.path, format!("event {number}: {problem}"));
        let text: String = row.get(2).map_err(&failed)?;
        let envelope = decode_text(&text, Format::Lenient).map_err(|error| damaged(error.to_string()))?;
        let receipt: String = row.get(3).map_err(&failed)?;
        let receipt = receipt_from(&receipt, self.stream).map_err(damaged)?;
        let leaf: [u8; 32] = row.get(4).map_err(&failed)?;
        Ok(Replicated {
            envelope: envelope.into_owned(),
            receipt,
            version: row.get(1).map_err(&failed)?,
            leaf: Digest(leaf),
        })
    }

    /// The right edge of the log as far as the replica goes.
    pub(crate) fn tree(&self) -> Result<LogTree, SyncError> {
        self.check_tail()?;
        let size = self.replica_head()?.get();
        let from = size - size % TILE_WIDTH as u64;
        let failed = self.failed("reading");
        let mut statement = self
            .connection
            .prepare_cached("SELECT leaf FROM events WHERE sequence_number > ? ORDER BY sequence_number")
            .map_err(&failed)?;
        let leaves: Vec<Digest> = statement
            .query_map([from], |row| row.get::<_, [u8; 32]>(0).map(Digest))
            .and_then(|rows| rows.collect())
            .map_err(&failed)?;
        LogTree::open(size, &leaves, &Tiles(&self.connection))
            .map_err(|problem| SyncError::damaged(&self.path, format!("the log tree: {problem}")))
    }
}

pub(crate) fn version_of(
    connection: &Connection,
    entity_type: &str,
    entity_id: &str,
) -> rusqlite::Result<u64> {
    connection
        .prepare_cached(
            "SELECT coalesce(max(version), 0) FROM events WHERE entity_type = ? AND entity_id = ?",
        )?
        .query_row((entity_type, entity_id), |row| row.get(0))
}

/// Adds one checked event to the replica and to `tree`, in the transaction of `connection`.
pub(crate) fn apply(
    connection: &Connection,
    tree: &mut LogTree,
    event: &Checked,
    text: &mut String,
) -> Result<Result<(), Fault>, SyncError> {
    let Checked { envelope, receipt, leaf } = event;
    let version = version_of(connection, &envelope.entity_type, &envelope.entity_id).map_err(database)? + 1;
    text.clear();
    encode(envelope, None, text);
    let inserted = connection
        .prepare_cached(
            "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (event_id) DO NOTHING",
        )
        .and_then(|mut statement| {
            statement.execute(params![
                receipt.sequence_number.get(),
                envelope.event_id.as_bytes(),
                envelope.entity_type,
                envelope.entity_id,
                version,
                envelope.event_type,
                text.as_str(),
                receipt_text(receipt),
                leaf.0,
            ])
        })
        .map_err(database)?;
    if inserted == 0 {
        let first: u64 = connection
            .query_row(
                "SELECT sequence_number FROM events WHERE event_id = ?",
                [envelope.event_id.as_bytes()],
                |row| row.get(0),
            )
            .map_err(database)?;
        let (event, first) = (envelope.event_id, SequenceNumber(first));
        return Ok(Err(Fault::EventRepeated { event, first, second: receipt.sequence_number }));
    }
    for Tile { id, nodes } in tree.push(leaf) {
        let bytes: Vec<u8> = nodes.iter().flat_map(|node| node.0).collect();
        connection
            .prepare_cached("INSERT INTO tiles VALUES (?, ?, ?)")
            .and_then(|mut statement| statement.execute(params![id.level, id.index, bytes]))
            .map_err(database)?;
    }
    Ok(Ok(()))
}

/// Notes how far the replica reaches, in the transaction of `connection`.
pub(crate) fn reached(connection: &Connection, tree: &LogTree) -> Result<(), SyncError> {
    set(connection, REACHED, &tree.size().to_string()).map_err(database)
}

/// The root of the first `size` events, with what the transaction of `connection` has added.
pub(crate) fn root(connection: &Connection, tree: &LogTree, size: u64) -> Result<Digest, SyncError> {
    root_at(tree, size, &Tiles(connection)).map_err(|problem| {
        SyncError::damaged(std::path::Path::new("the sync file"), format!("the log tree: {problem}"))
    })
}

struct Tiles<'a>(&'a Connection);

impl TileSource for Tiles<'_> {
    type Error = rusqlite::Error;

    fn tile(&self, id: TileId) -> Result<Option<Vec<Digest>>, rusqlite::Error> {
        let bytes: Option<Vec<u8>> = self
            .0
            .prepare_cached("SELECT nodes FROM tiles WHERE level = ? AND place = ?")?
            .query_row(params![id.level, id.index], |row| row.get(0))
            .optional()?;
        // A tile of another length is told by whoever reads it.
        Ok(bytes.map(|bytes| bytes.as_chunks::<32>().0.iter().map(|chunk| Digest(*chunk)).collect()))
    }
}

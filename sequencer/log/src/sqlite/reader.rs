//! Reads over a pool of read-only connections.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, Params, Row};
use ves::commitment::Commitment;
use ves::keys::{AgentKey, EncryptionKey};
use ves::tiles::{TILE_NODES, TileId};
use ves::{BatchId, Digest, SequenceNumber, StreamKey, TimestampMs};

use super::documents;
use super::errors::Doing;
use super::rows::{self, sequence, signed};
use super::streams::{EXTENTS_FROM, StreamState, Streams};
use super::{open, run_page_key};
use crate::document::{Document, Table};
use crate::error::LogError;
use crate::event_log::{ApiKeyRecord, LogReader, RunInfo, SequencerKeyRecord, StoredEvent, StreamSummary};
use crate::tiles::{batch_tile_place, digests, log_tile_nodes, tile_completed_by};

/// Idle connections that are kept; more may be open while more calls run at once.
const IDLE_CONNECTIONS_MAX: usize = 8;

/// The readers' side of a [`crate::SqliteLog`], or of a file that another process may be writing.
pub struct SqliteReader {
    path: PathBuf,
    streams: Arc<Streams>,
    idle: Mutex<Vec<Connection>>,
    /// Everything is read here where it is: inside one transaction, which sees the file as it was at one moment.
    snapshot: Option<Mutex<Connection>>,
}

impl SqliteReader {
    /// Opens a file to read only, also while another process writes it. Heads stay as they are now.
    ///
    /// # Errors
    /// [`LogError::NewerSchema`]; what the system says.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, LogError> {
        let path = path.as_ref();
        let connection = open::reader(path)?;
        open::refuse_newer(&connection, path)?;
        let streams = Arc::new(Streams::load(&connection)?);
        Ok(Self { path: path.to_owned(), streams, idle: Mutex::new(vec![connection]), snapshot: None })
    }

    /// Opens a file to read it as it is now, all of it at one moment, whatever another process writes meanwhile: for a
    /// check of the whole. What is written stays in the file's log until this is dropped.
    ///
    /// # Errors
    /// Those of [`SqliteReader::open`].
    pub fn snapshot(path: impl AsRef<Path>) -> Result<Self, LogError> {
        let path = path.as_ref();
        let connection = open::reader(path)?;
        // The moment is that of the first read.
        connection.execute_batch("BEGIN").doing("opening the database to read")?;
        open::refuse_newer(&connection, path)?;
        let streams = Arc::new(Streams::load(&connection)?);
        let (idle, snapshot) = (Mutex::default(), Some(Mutex::new(connection)));
        Ok(Self { path: path.to_owned(), streams, idle, snapshot })
    }

    pub(super) fn beside(path: &Path, streams: Arc<Streams>) -> Self {
        Self { path: path.to_owned(), streams, idle: Mutex::new(Vec::new()), snapshot: None }
    }

    fn with<T>(&self, work: impl FnOnce(&Connection) -> Result<T, LogError>) -> Result<T, LogError> {
        if let Some(snapshot) = &self.snapshot {
            return work(&snapshot.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => open::reader(&self.path)?,
        };
        let result = work(&connection);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_CONNECTIONS_MAX {
            idle.push(connection);
        }
        result
    }

    fn list<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, LogError> {
        self.with(|connection| {
            let mut select = connection.prepare_cached(sql).doing("reading")?;
            select.query_map(params, read).and_then(Iterator::collect).doing("reading")
        })
    }

    fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, LogError> {
        self.with(|connection| {
            connection
                .prepare_cached(sql)
                .and_then(|mut s| s.query_row(params, read).optional())
                .doing("reading")
        })
    }

    /// Where these events of a stream lie.
    pub(super) fn positions(
        &self,
        stream: &StreamKey,
        numbers: impl Iterator<Item = SequenceNumber>,
    ) -> Result<Vec<i64>, LogError> {
        let Some(StreamState { number: of, .. }) = self.streams.get(stream) else { return Ok(Vec::new()) };
        self.with(|connection| {
            let one = |number| {
                let position = position_of(connection, &self.streams, of, number).doing("reading events")?;
                position.ok_or_else(|| missing(stream, number))
            };
            numbers.map(one).collect()
        })
    }

    fn number(&self, stream: &StreamKey) -> i64 {
        self.streams.get(stream).map_or(-1, |state| i64::from(state.number))
    }

    fn commitment_where(&self, condition: &str, params: impl Params) -> Result<Option<Commitment>, LogError> {
        self.one(&format!("{} WHERE {condition}", rows::COMMITMENTS), params, rows::commitment)
    }
}

/// Where event `number` of a stream lies, if it is stored.
fn position_of(
    connection: &Connection,
    streams: &Streams,
    stream: u32,
    number: SequenceNumber,
) -> rusqlite::Result<Option<i64>> {
    if let Some(position) = streams.recent_position(stream, signed(number)) {
        return Ok(Some(position));
    }
    connection
        .prepare_cached(
            "SELECT position + (?2 - sequence_number) FROM ves_event_extents \
             WHERE stream = ?1 AND sequence_number <= ?2 ORDER BY sequence_number DESC LIMIT 1",
        )?
        .query_row((stream, signed(number)), |row| row.get(0))
        .optional()
}

/// Reads the events of one extent from `next` on, while they are this stream's and fit.
fn read_extent(
    connection: &Connection,
    stream: u32,
    position: i64,
    events: &mut Vec<StoredEvent>,
    mut take: impl FnMut(SequenceNumber, usize) -> bool,
) -> rusqlite::Result<()> {
    let mut select = connection.prepare_cached(
        "SELECT stream, sequence_number, sequenced_at, key_version, receipt_signature, body FROM ves_events \
         WHERE position >= ? ORDER BY position",
    )?;
    let mut found = select.query([position])?;
    while let Some(row) = found.next()? {
        let number = sequence(row, 1)?;
        if row.get::<_, u32>(0)? != stream {
            break;
        }
        let body = row.get_ref(5)?.as_blob()?;
        if !take(number, body.len()) {
            break;
        }
        events.push(StoredEvent {
            sequence_number: number,
            sequenced_at: TimestampMs(row.get(2)?),
            key_version: row.get(3)?,
            receipt_signature: row.get(4)?,
            body: body.to_vec(),
        });
    }
    Ok(())
}

fn missing(stream: &StreamKey, number: SequenceNumber) -> LogError {
    LogError::corrupt(format!("stream {stream}"), format!("event {number} is missing"))
}

impl LogReader for SqliteReader {
    fn streams(&self) -> Result<Vec<StreamSummary>, LogError> {
        Ok(self.streams.all())
    }

    fn head(&self, stream: &StreamKey) -> Result<SequenceNumber, LogError> {
        Ok(self.streams.head(stream))
    }

    fn read(
        &self,
        stream: &StreamKey,
        from: SequenceNumber,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<StoredEvent>, LogError> {
        let Some(StreamState { number, head }) = self.streams.get(stream) else { return Ok(Vec::new()) };
        let mut next = from.max(SequenceNumber(1));
        let last = SequenceNumber(next.0.saturating_add(limit as u64).saturating_sub(1)).min(head);
        let mut events = Vec::with_capacity(limit.min(1024));
        let (mut bytes, mut is_full) = (0, false);
        self.with(|connection| {
            while next <= last && limit > 0 && !is_full {
                let begin = next;
                let position =
                    position_of(connection, &self.streams, number, next).doing("reading events")?;
                let position = position.ok_or_else(|| missing(stream, next))?;
                read_extent(connection, number, position, &mut events, |found, body_bytes| {
                    if found != next || found > last {
                        return false;
                    }
                    bytes += body_bytes;
                    is_full = bytes > bytes_max && bytes != body_bytes;
                    next.0 += u64::from(!is_full);
                    !is_full
                })
                .doing("reading events")?;
                if next == begin && !is_full {
                    return Err(missing(stream, next));
                }
            }
            Ok(())
        })?;
        StoredEvent::check_streams(stream, &events)?;
        Ok(events)
    }

    fn log_tile(&self, stream: &StreamKey, id: TileId) -> Result<Option<Vec<Digest>>, LogError> {
        let Some(StreamState { number, head }) = self.streams.get(stream) else { return Ok(None) };
        // The tile lies with the event that completed it.
        let Some(completed_by) = tile_completed_by(id).filter(|n| *n <= head) else { return Ok(None) };
        let tile_bytes = TILE_NODES as i64 * 32;
        let offset = 1 + i64::from(id.level) * tile_bytes;
        let tile: Option<Option<Vec<u8>>> = self.with(|connection| {
            let position = position_of(connection, &self.streams, number, completed_by);
            let select = |position: i64| {
                connection
                    .prepare_cached(
                        "SELECT substr(tiles, ?, ?) FROM ves_events \
                         WHERE position = ? AND stream = ? AND sequence_number = ?",
                    )?
                    .query_row((offset, tile_bytes, position, number, signed(completed_by)), |row| row.get(0))
                    .optional()
            };
            position.and_then(|position| position.map_or(Ok(None), select)).doing("reading a tile")
        })?;
        let tile = tile.ok_or_else(|| missing(stream, completed_by))?;
        log_tile_nodes(tile.as_deref())
    }

    fn batch_tile(&self, batch: &BatchId, id: TileId) -> Result<Option<Vec<Digest>>, LogError> {
        let Some(place) = batch_tile_place(id) else { return Ok(None) };
        let nodes: Option<Vec<u8>> = self.one(
            "SELECT nodes FROM ves_batch_tiles \
             WHERE tile = ((SELECT batch FROM ves_commitments WHERE batch_id = ?) << 32) + ?",
            (batch.as_bytes(), place),
            |row| row.get(0),
        )?;
        let Some(nodes) = nodes else { return Ok(None) };
        let damaged = || LogError::corrupt("a tile", "its length is not a multiple of 32");
        digests(&nodes).map(Some).ok_or_else(damaged)
    }

    fn commitment(&self, batch: &BatchId) -> Result<Option<Commitment>, LogError> {
        self.commitment_where("batch_id = ?", [batch.as_bytes()])
    }

    fn commitments(
        &self,
        stream: &StreamKey,
        from: SequenceNumber,
        limit: usize,
    ) -> Result<Vec<Commitment>, LogError> {
        let sql = format!(
            "{} WHERE stream = ? AND sequence_end >= ? ORDER BY sequence_end LIMIT ?",
            rows::COMMITMENTS
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.list(&sql, (self.number(stream), signed(from), limit), rows::commitment)
    }

    fn last_commitment(&self, stream: &StreamKey) -> Result<Option<Commitment>, LogError> {
        self.commitment_where("stream = ? ORDER BY sequence_end DESC LIMIT 1", [self.number(stream)])
    }

    fn commitment_of(
        &self,
        stream: &StreamKey,
        number: SequenceNumber,
    ) -> Result<Option<Commitment>, LogError> {
        let condition = "stream = ? AND sequence_end >= ? ORDER BY sequence_end LIMIT 1";
        let first = self.commitment_where(condition, (self.number(stream), signed(number)))?;
        Ok(first.filter(|commitment| commitment.sequence_start <= number))
    }

    fn checkpoint(&self, stream: &StreamKey, size: Option<u64>) -> Result<Option<String>, LogError> {
        let number = self.number(stream);
        match size {
            Some(size) => self.one(
                "SELECT checkpoint FROM ves_commitments WHERE stream = ? AND sequence_end = ?",
                (number, signed(SequenceNumber(size))),
                |row| row.get(0),
            ),
            None => self.one(
                "SELECT checkpoint FROM ves_commitments WHERE stream = ? ORDER BY sequence_end DESC LIMIT 1",
                [number],
                |row| row.get(0),
            ),
        }
    }

    fn agent_keys(&self) -> Result<Vec<AgentKey>, LogError> {
        self.list(rows::AGENT_KEYS, [], rows::agent_key)
    }
    fn encryption_keys(&self) -> Result<Vec<EncryptionKey>, LogError> {
        self.list(rows::ENCRYPTION_KEYS, [], rows::encryption_key)
    }
    fn api_keys(&self) -> Result<Vec<ApiKeyRecord>, LogError> {
        self.list(rows::API_KEYS, [], rows::api_key)
    }
    fn sequencer_keys(&self) -> Result<Vec<SequencerKeyRecord>, LogError> {
        self.list(rows::SEQUENCER_KEYS, [], rows::sequencer_key)
    }
    fn meta(&self, name: &str) -> Result<Option<Vec<u8>>, LogError> {
        self.one("SELECT value FROM settings WHERE name = ?", [name], |row| row.get(0))
    }
    fn settings(&self) -> Result<Vec<(String, Vec<u8>)>, LogError> {
        // All but the one that is the store's own.
        self.list("SELECT name, value FROM settings WHERE name <> ? ORDER BY name", [EXTENTS_FROM], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
    }

    fn document(&self, table: Table, key: &[u8]) -> Result<Option<Document>, LogError> {
        self.one(&documents::one_of(table), [key], documents::read)
    }
    fn documents(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Document>, LogError> {
        let (sql, from, end) = documents::range_of(table, prefix, after);
        self.list(&sql, (from, end, limit as i64), documents::read)
    }

    fn runs(&self) -> Result<Vec<RunInfo>, LogError> {
        self.list(&format!("{} ORDER BY run", rows::RUNS), [], rows::run)
    }
    fn next_run(&self) -> Result<u64, LogError> {
        let last =
            self.one("SELECT coalesce(max(run), 0) FROM ves_index_runs", [], |row| row.get::<_, i64>(0))?;
        Ok(last.unwrap_or(0) as u64 + 1)
    }
    fn run_page(&self, run: u64, page: u32) -> Result<Option<Vec<u8>>, LogError> {
        self.one("SELECT content FROM ves_index_pages WHERE page = ?", [run_page_key(run, page)], |row| {
            row.get(0)
        })
    }
    fn covered(&self) -> Result<Vec<(StreamKey, SequenceNumber)>, LogError> {
        let covered: std::collections::HashMap<u32, SequenceNumber> = self
            .list("SELECT stream, sequence_number FROM ves_index_covered", [], |row| {
                Ok((row.get(0)?, sequence(row, 1)?))
            })?
            .into_iter()
            .collect();
        let streams = self.streams.all();
        Ok(streams
            .iter()
            .filter_map(|s| covered.get(&s.number).map(|through| (s.stream, *through)))
            .collect())
    }
    fn nameless_streams(&self) -> Result<Vec<u32>, LogError> {
        self.list(rows::NAMELESS_STREAMS, [], |row| row.get(0))
    }
}

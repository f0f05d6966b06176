//! The embedded default: one SQLite file, one writer, readers beside it (decision 33).
//!
//! Events lie in the order they arrived, whatever their stream, so that an append touches the end of one table and
//! nothing else; extents say where a stream continues. This halves the cost of a table ordered by stream and number:
//! there every stream has its own edge, and every full page of an edge is split in the middle of the tree.

mod backup;
mod checkpoints;
mod documents;
mod errors;
mod open;
mod reader;
mod rows;
mod status;
mod streams;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, params};
use ves::commitment::Commitment;
use ves::keys::{AgentKey, EncryptionKey};
use ves::tiles::Tile;
use ves::{SequenceNumber, StreamKey};

use self::checkpoints::Checkpoints;
use self::errors::Doing;
use self::rows::signed;
use self::streams::{StreamState, Streams};
use crate::document::DocumentChange;
use crate::error::LogError;
use crate::event_log::{
    ApiKeyRecord, BodyChange, EventLog, KeyChange, LogReader, NewEvent, RunInfo, SequencerKeyRecord,
    StreamAppend, check_batch, check_changes, check_turn,
};
use crate::tenure::Tenure;
use crate::tiles::{batch_tile_place, node_bytes, tiles_by_event};

pub use backup::{SqliteBackup, backup as backup_sqlite, hash_file, restore as restore_sqlite};
pub use reader::SqliteReader;
pub use status::{SqliteStatus, status as sqlite_status};

/// Extents kept in memory before some are written. Extents of many streams in turn are scattered over their table, so
/// each alone would dirty a page in the turn that all wait for; together they share pages and wait for nobody.
const EXTENTS_HELD_MAX: usize = 16_384;

/// Events that a start after a crash may have to look at for extents that were only in memory.
const EXTENT_TAIL_MAX: i64 = 131_072;

/// Extents that one step writes.
const EXTENTS_PER_STEP: usize = 512;

/// Pages of replaced runs that one call of `maintenance` removes.
const REMOVED_PAGES_MAX: u32 = 64;

/// See the module.
pub struct SqliteLog {
    // Dropped first, so that no checkpoint runs when the writer's connection closes.
    checkpoints: Checkpoints,
    connection: Connection,
    reader: Arc<SqliteReader>,
    streams: Arc<Streams>,
    /// Where the next event goes.
    position: i64,
    /// Position directly after the last event of each stream, where this process wrote it.
    ends: HashMap<u32, i64>,
    /// Positions of extents that are not in their table yet, with their streams: the oldest is written first.
    pending: BTreeMap<i64, u32>,
    /// Runs whose pages are to be removed.
    replaced_runs: VecDeque<i64>,
    /// Set when the outcome of a write is unknown.
    broken: Option<String>,
    /// Held while the log is open.
    _lock: File,
}

/// Whether a transaction is synced when it commits, or with the next one that is.
#[derive(Clone, Copy, PartialEq)]
enum Sync {
    Now,
    WithNext,
}

impl SqliteLog {
    /// Opens the database file `path`, creates it when it is missing; its folder must exist. Beside it lie `path`-wal,
    /// `path`-shm and `path`.lock.
    ///
    /// # Errors
    /// [`LogError::Locked`] when another process has it, [`LogError::NewerSchema`], [`LogError::Corrupt`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, LogError> {
        let path: PathBuf = path.as_ref().to_owned();
        let lock = open::lock(&path)?;
        let mut connection = open::writer(&path)?;
        open::refuse_unfinished(&connection, &path)?;
        let streams = Arc::new(Streams::load(&connection)?);
        let position: i64 = connection
            .query_row("SELECT coalesce(max(position), 0) + 1 FROM ves_events", [], |row| row.get(0))
            .doing("reading the events")?;
        // A run that was being written when the process ended will never be published.
        connection
            .execute("UPDATE ves_index_runs SET state = 2 WHERE state = 0", [])
            .doing("opening the index")?;
        let replaced_runs = connection
            .prepare("SELECT run FROM ves_index_runs WHERE state = 2")
            .and_then(|mut s| s.query_map([], |row| row.get(0))?.collect())
            .doing("opening the index")?;
        let checkpoints = Checkpoints::start(&mut connection, &path)?;
        let reader = Arc::new(SqliteReader::beside(&path, Arc::clone(&streams)));
        let (ends, broken) = (HashMap::new(), None);
        let recent = streams.recent_from(0, usize::MAX);
        let pending = recent.into_iter().map(|((stream, _), position)| (position, stream)).collect();
        Ok(Self {
            checkpoints,
            connection,
            reader,
            streams,
            position,
            ends,
            pending,
            replaced_runs,
            broken,
            _lock: lock,
        })
    }

    /// Runs `work` in one transaction. Nothing of it remains when it fails.
    fn transaction<T>(
        &mut self,
        doing: &str,
        sync: Sync,
        work: impl FnOnce(&Connection) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        self.check(doing)?;
        if sync == Sync::WithNext {
            self.synchronous("NORMAL").doing(doing)?;
        }
        let result = run(&self.connection, "BEGIN IMMEDIATE")
            .doing(doing)
            .and_then(|()| work(&self.connection))
            .and_then(|value| run(&self.connection, "COMMIT").doing(doing).map(|()| value));
        let mut is_known = result.as_ref().err().is_none_or(LogError::changed_nothing);
        if result.is_err() && !self.connection.is_autocommit() {
            is_known &= run(&self.connection, "ROLLBACK").is_ok();
        }
        if sync == Sync::WithNext {
            is_known &= self.synchronous("FULL").is_ok();
        }
        if !is_known {
            self.broken = Some(
                result.as_ref().err().map_or_else(|| "a setting failed".to_owned(), LogError::to_string),
            );
        }
        self.checkpoints.committed();
        result
    }

    fn synchronous(&self, level: &str) -> rusqlite::Result<()> {
        self.connection.pragma_update(None, "synchronous", level)
    }

    /// Writes extents from memory to their table while too many are held, or all of them. Durable with the next turn:
    /// until then a start finds them by the events.
    fn write_extents(&mut self, all: bool) -> Result<(), LogError> {
        while let Some((&oldest, &stream)) = self.pending.first_key_value() {
            let is_much = self.pending.len() > EXTENTS_HELD_MAX || self.position - oldest > EXTENT_TAIL_MAX;
            if !all && !is_much {
                break;
            }
            let extents = self.streams.recent_from(stream, EXTENTS_PER_STEP);
            for (_, position) in &extents {
                self.pending.remove(position);
            }
            let from = self.pending.first_key_value().map_or(self.position, |(oldest, _)| *oldest);
            let written = self.transaction("writing extents", Sync::WithNext, |connection| {
                rows::insert_extents(connection, &extents, from).doing("writing extents")
            });
            if let Err(error) = written {
                self.pending.extend(extents.iter().map(|((stream, _), position)| (*position, *stream)));
                return Err(error);
            }
            self.streams.drop_recent(&extents);
        }
        Ok(())
    }

    fn check(&self, doing: &str) -> Result<(), LogError> {
        match &self.broken {
            None => Ok(()),
            Some(why) => Err(LogError::Io {
                doing: doing.to_owned(),
                problem: format!("an earlier write failed ({why}); open the log again"),
            }),
        }
    }
}

fn run(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(|_| ())
}

/// One turn while its transaction runs; becomes the log's state when it commits.
struct Turn {
    position: i64,
    touched: HashMap<StreamKey, StreamState>,
    ends: Vec<(u32, i64)>,
    /// (stream, first number) and position of each extent that begins in this turn.
    extents: Vec<((u32, i64), i64)>,
    new_streams: usize,
}

impl Turn {
    fn append(
        &mut self,
        connection: &Connection,
        log: &Shared<'_>,
        append: &StreamAppend,
    ) -> rusqlite::Result<()> {
        let (Some(first), Some(last)) = (append.events.first(), append.events.last()) else { return Ok(()) };
        let known = self.touched.get(&append.stream).copied().or_else(|| log.streams.get(&append.stream));
        let number = match known {
            Some(state) => state.number,
            None => {
                self.new_streams += 1;
                let number = log.streams.count() + self.new_streams;
                insert_stream(connection, number as u32, &append.stream)?;
                number as u32
            }
        };
        let is_touched = self.touched.contains_key(&append.stream);
        if is_touched || log.ends.get(&number) != Some(&self.position) {
            self.extents.push(((number, signed(first.sequence_number)), self.position));
        }
        self.position = insert_events(connection, number, self.position, append)?;
        self.ends.push((number, self.position));
        self.touched.insert(append.stream, StreamState { number, head: last.sequence_number });
        Ok(())
    }
}

/// What a turn reads of the log.
struct Shared<'a> {
    streams: &'a Streams,
    ends: &'a HashMap<u32, i64>,
}

fn insert_stream(connection: &Connection, number: u32, stream: &StreamKey) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO ves_streams (stream, tenant_id, store_id) VALUES (?, ?, ?)")?
        .execute((number, stream.tenant_id.as_bytes(), stream.store_id.as_bytes()))
        .map(|_| ())
}

/// Returns the position after the last event.
fn insert_events(
    connection: &Connection,
    stream: u32,
    mut position: i64,
    append: &StreamAppend,
) -> rusqlite::Result<i64> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO ves_events (position, stream, sequence_number, sequenced_at, key_version, receipt_signature, body, \
         tiles) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    let mut tiles = tiles_by_event(append);
    for event in &append.events {
        let NewEvent { sequence_number, sequenced_at, receipt_signature, key_version, body } = event;
        let tiles = tiles.remove(sequence_number);
        insert.execute(params![
            position,
            stream,
            signed(*sequence_number),
            sequenced_at.0,
            key_version,
            receipt_signature.as_ref().map(<[u8; 64]>::as_slice),
            &body[..],
            tiles,
        ])?;
        position += 1;
    }
    assert!(tiles.is_empty(), "a tile of the log tree is stored with the event that completes it");
    Ok(position)
}

fn run_page_key(run: u64, page: u32) -> i64 {
    assert!(run < 1 << 31, "fewer than 2^31 runs are ever written");
    (run as i64) << 32 | i64::from(page)
}

impl EventLog for SqliteLog {
    fn append(&mut self, turn: &[StreamAppend]) -> Result<(), LogError> {
        check_turn(turn, |stream| self.streams.head(stream))?;
        let streams = Arc::clone(&self.streams);
        let ends = std::mem::take(&mut self.ends);
        let position = self.position;
        let result = self.transaction("appending events", Sync::Now, |connection| {
            let shared = Shared { streams: &streams, ends: &ends };
            let mut work = Turn {
                position,
                touched: HashMap::new(),
                ends: Vec::new(),
                extents: Vec::new(),
                new_streams: 0,
            };
            turn.iter()
                .try_for_each(|append| work.append(connection, &shared, append))
                .doing("appending events")
                .map(|()| work)
        });
        self.ends = ends;
        let done = result?;
        self.position = done.position;
        self.ends.extend(done.ends);
        self.pending.extend(done.extents.iter().map(|((stream, _), position)| (*position, *stream)));
        // Readers learn of the place before they learn of the event.
        self.streams.add_recent(done.extents);
        self.streams.set(done.touched);
        Ok(())
    }

    fn put_commitment(
        &mut self,
        commitment: &Commitment,
        tiles: &[Tile],
        checkpoint: &str,
    ) -> Result<(), LogError> {
        let stream = &commitment.stream;
        let last = self.reader.last_commitment(stream)?;
        let head = self.streams.head(stream);
        check_batch(commitment, last.map(|last| last.sequence_end), head)?;
        let number = self.streams.get(stream).map_or(0, |state| state.number);
        self.transaction("storing a commitment", Sync::Now, |connection| {
            let insert = || -> rusqlite::Result<()> {
                let batch = rows::insert_commitment(connection, number, commitment, checkpoint)?;
                let mut insert =
                    connection.prepare_cached("INSERT INTO ves_batch_tiles (tile, nodes) VALUES (?, ?)")?;
                let mut sorted: Vec<&Tile> = tiles.iter().collect();
                sorted.sort_unstable_by_key(|tile| tile.id);
                for tile in sorted {
                    let place = batch_tile_place(tile.id).expect("a batch has at most 2^31 events");
                    insert.execute(((batch << 32) + place, node_bytes(tile)))?;
                }
                Ok(())
            };
            insert().doing("storing a commitment")
        })
    }

    fn put_agent_key(&mut self, key: &AgentKey) -> Result<(), LogError> {
        self.transaction("storing a key", Sync::Now, |c| {
            rows::put_agent_key(c, key).map(|_| ()).doing("storing a key")
        })
    }
    fn put_encryption_key(&mut self, key: &EncryptionKey) -> Result<(), LogError> {
        let put = |c: &Connection| rows::put_encryption_key(c, key).map(|_| ()).doing("storing a key");
        self.transaction("storing a key", Sync::Now, put)
    }
    fn put_api_key(&mut self, key: &ApiKeyRecord) -> Result<(), LogError> {
        self.transaction("storing a key", Sync::Now, |c| {
            rows::put_api_key(c, key).map(|_| ()).doing("storing a key")
        })
    }
    fn put_key(&mut self, key: &KeyChange, beside: &[DocumentChange]) -> Result<(), LogError> {
        let doing = "storing a key";
        self.transaction(doing, Sync::Now, |connection| {
            let put = match key {
                KeyChange::Agent(key) => rows::put_agent_key(connection, key),
                KeyChange::Encryption(key) => rows::put_encryption_key(connection, key),
                KeyChange::Api(key) => rows::put_api_key(connection, key),
            };
            put.and_then(|_| documents::change(connection, beside)).doing(doing)
        })
    }
    fn put_sequencer_key(&mut self, key: &SequencerKeyRecord) -> Result<(), LogError> {
        let put = |c: &Connection| rows::put_sequencer_key(c, key).map(|_| ()).doing("storing a key");
        self.transaction("storing a key", Sync::Now, put)
    }
    fn set_meta(&mut self, name: &str, value: &[u8]) -> Result<(), LogError> {
        self.transaction("storing a setting", Sync::Now, |connection| {
            connection
                .execute("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", (name, value))
                .map(|_| ())
                .doing("storing a setting")
        })
    }
    fn remove_meta(&mut self, name: &str) -> Result<(), LogError> {
        let doing = "removing a setting";
        self.transaction(doing, Sync::Now, |connection| {
            connection.execute("DELETE FROM settings WHERE name = ?", [name]).map(|_| ()).doing(doing)
        })
    }

    fn replace_bodies(&mut self, stream: &StreamKey, changes: &[BodyChange]) -> Result<(), LogError> {
        let doing = "replacing records";
        self.check(doing)?;
        let reader = Arc::clone(&self.reader);
        check_changes(stream, changes, |number| {
            Ok(reader.read(stream, number, 1, usize::MAX)?.pop().map(|event| event.body))
        })?;
        let positions = self.reader.positions(stream, changes.iter().map(|change| change.sequence_number))?;
        self.transaction(doing, Sync::Now, |connection| {
            let replace = || -> rusqlite::Result<()> {
                let mut update =
                    connection.prepare_cached("UPDATE ves_events SET body = ? WHERE position = ?")?;
                for (change, position) in changes.iter().zip(&positions) {
                    update.execute(params![&change.new[..], position])?;
                }
                Ok(())
            };
            replace().doing(doing)
        })
    }

    fn put_documents(&mut self, changes: &[DocumentChange]) -> Result<(), LogError> {
        let doing = "storing documents";
        self.transaction(doing, Sync::Now, |connection| documents::change(connection, changes).doing(doing))
    }

    fn put_run_pages(&mut self, run: u64, first_page: u32, pages: &[Vec<u8>]) -> Result<(), LogError> {
        self.transaction("writing the index", Sync::WithNext, |connection| {
            let insert = || -> rusqlite::Result<()> {
                connection
                    .prepare_cached("INSERT OR IGNORE INTO ves_index_runs VALUES (?, 0, 0, 0, 0, 0, 0)")?
                    .execute([run as i64])?;
                let mut insert =
                    connection.prepare_cached("INSERT INTO ves_index_pages (page, content) VALUES (?, ?)")?;
                for (page, content) in (first_page..).zip(pages) {
                    insert.execute((run_page_key(run, page), content))?;
                }
                Ok(())
            };
            insert().doing("writing the index")
        })
    }

    fn publish_run(
        &mut self,
        run: &RunInfo,
        replaces: &[u64],
        covered: &[(StreamKey, SequenceNumber)],
    ) -> Result<(), LogError> {
        let streams = Arc::clone(&self.streams);
        self.transaction("writing the index", Sync::Now, |connection| {
            let publish = || -> rusqlite::Result<()> {
                let RunInfo { run, tier, entries, data_pages, fence_pages, filter_pages } = *run;
                connection
                    .prepare_cached("INSERT OR REPLACE INTO ves_index_runs VALUES (?, 1, ?, ?, ?, ?, ?)")?
                    .execute((run as i64, tier, entries as i64, data_pages, fence_pages, filter_pages))?;
                let mut replace =
                    connection.prepare_cached("UPDATE ves_index_runs SET state = 2 WHERE run = ?")?;
                for run in replaces {
                    replace.execute([*run as i64])?;
                }
                let mut cover =
                    connection.prepare_cached("INSERT OR REPLACE INTO ves_index_covered VALUES (?, ?)")?;
                for (stream, through) in covered {
                    if let Some(state) = streams.get(stream) {
                        cover.execute((state.number, signed(*through)))?;
                    }
                }
                Ok(())
            };
            publish().doing("writing the index")
        })?;
        self.replaced_runs.extend(replaces.iter().map(|run| *run as i64));
        Ok(())
    }

    fn drop_run(&mut self, run: u64) -> Result<(), LogError> {
        self.transaction("writing the index", Sync::WithNext, |connection| {
            let drop = connection.execute("UPDATE ves_index_runs SET state = 2 WHERE run = ?", [run as i64]);
            drop.map(|_| ()).doing("writing the index")
        })?;
        self.replaced_runs.push_back(run as i64);
        Ok(())
    }

    fn maintenance(&mut self) -> Result<(), LogError> {
        self.check("housekeeping")?;
        self.write_extents(false)?;
        if let Some(run) = self.replaced_runs.front().copied() {
            let removed_all = self.transaction("housekeeping", Sync::WithNext, |connection| {
                let remove = || -> rusqlite::Result<bool> {
                    let removed = connection
                        .prepare_cached(
                            "DELETE FROM ves_index_pages WHERE page IN (SELECT page FROM ves_index_pages \
                             WHERE page BETWEEN ?1 << 32 AND (?1 << 32) + 4294967295 LIMIT ?2)",
                        )?
                        .execute((run, REMOVED_PAGES_MAX))?;
                    if removed > 0 {
                        return Ok(false);
                    }
                    connection.prepare_cached("DELETE FROM ves_index_runs WHERE run = ?")?.execute([run])?;
                    Ok(true)
                };
                remove().doing("housekeeping")
            })?;
            if removed_all {
                self.replaced_runs.pop_front();
            }
        }
        self.checkpoints.finish_when_long(&self.connection)
    }

    fn reader(&self) -> Arc<dyn LogReader> {
        Arc::clone(&self.reader) as Arc<dyn LogReader>
    }

    /// One process has the file.
    fn tenure(&self) -> Option<Tenure> {
        None
    }

    fn close(mut self: Box<Self>) -> Result<(), LogError> {
        self.check("closing")?;
        self.write_extents(true)?;
        self.checkpoints.close(&self.connection)
    }
}

#[cfg(test)]
mod tests;

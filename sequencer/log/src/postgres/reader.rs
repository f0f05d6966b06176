//! Reads over a pool of connections, and over those to a replica.
//!
//! Rows of events, tiles, batches and pages never change, so whatever a replica shows is true. Only what it does not
//! show may be there by now: then the primary is asked. That is what makes a caller find its own writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use deadpool_postgres::{Object, Pool};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};
use ves::commitment::Commitment;
use ves::keys::{AgentKey, EncryptionKey};
use ves::tiles::{TILE_NODES, TileId};
use ves::{BatchId, Digest, SequenceNumber, StreamKey};

use super::errors::{no_answer, no_connection, read_failed};
use super::heads::{Heads, StreamState};
use super::rows::{self, sequence, signed};
use super::runtime::Driver;
use super::session::Session;
use crate::breaker::{Breaker, BreakerConfig, Breakers};
use crate::document::{Document, Table, after_prefix};
use crate::error::LogError;
use crate::event_log::{
    Acquisitions, ApiKeyRecord, LogReader, PoolStatus, RunInfo, SequencerKeyRecord, StoredEvent,
    StreamSummary,
};
use crate::tiles::{batch_tile_place, digests, log_tile_nodes, tile_completed_by};

/// Events asked for at first, before their size is known.
const FIRST_EVENTS: usize = 128;
/// Events asked for at once at most.
const EVENTS_AT_ONCE_MAX: usize = 8_192;

type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// The readers' side of a PostgreSQL log, of its writer's process or of another.
pub struct PostgresReader {
    servers: Arc<Servers>,
    heads: Arc<Heads>,
}

/// The servers of a store.
pub(super) struct Servers {
    pub driver: Arc<Driver>,
    pub primary: Pool,
    pub answer_timeout: Duration,
    pub replica: Option<Replica>,
    /// Everything is read from here where it is, and from nowhere else.
    pub snapshot: Option<Snapshot>,
    pub waits: Waits,
}

/// How long reads waited for connections.
#[derive(Debug, Default)]
pub(super) struct Waits {
    count: AtomicU64,
    total_us: AtomicU64,
    slow: AtomicU64,
    given_up: AtomicU64,
}

/// An acquisition that takes longer is slow (sequencer API, section 9).
const SLOW: Duration = Duration::from_millis(100);

impl Waits {
    fn note(&self, took: Duration, came: bool) {
        self.count.fetch_add(1, Relaxed);
        self.total_us.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
        self.slow.fetch_add(u64::from(took > SLOW), Relaxed);
        self.given_up.fetch_add(u64::from(!came), Relaxed);
    }

    fn read(&self) -> Acquisitions {
        Acquisitions {
            count: self.count.load(Relaxed),
            total_us: self.total_us.load(Relaxed),
            slow: self.slow.load(Relaxed),
            given_up: self.given_up.load(Relaxed),
        }
    }
}

/// One transaction that sees the database as it was at one moment. Where its session ends, so do the reads: another
/// session would see another moment.
pub(super) struct Snapshot(tokio::sync::Mutex<Session>);

impl Snapshot {
    const BEGIN: &str = "SET idle_in_transaction_session_timeout = 0; \
        BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

    /// The moment is that of the first question.
    pub async fn begin(session: Session) -> Result<Self, Error> {
        session.client().batch_execute(Self::BEGIN).await?;
        Ok(Self(tokio::sync::Mutex::new(session)))
    }

    /// Nobody else has it yet.
    pub fn session(&mut self) -> &Session {
        self.0.get_mut()
    }
}

pub(super) struct Replica {
    pool: Pool,
    answer_timeout: Duration,
    breaker: Arc<Breaker>,
}

/// The primary answers as well: one failure is enough to leave a replica alone, and one answer to go back to it.
/// An answer that took half of its time is a warning that was worth heeding.
fn breaker(answer_timeout: Duration) -> BreakerConfig {
    let half_ms = u64::try_from(answer_timeout.as_millis() / 2).unwrap_or(u64::MAX);
    BreakerConfig { slow_ms: Some(half_ms), ..BREAKER }
}

const BREAKER: BreakerConfig = BreakerConfig {
    failures_max: 1,
    window_ms: 60_000,
    open_ms: 5_000,
    open_ms_max: 60_000,
    trials_max: 1,
    successes_to_close: 1,
    slow_ms: None,
};

impl Replica {
    pub fn new(pool: Pool, answer_timeout: Duration, breakers: &Breakers) -> Self {
        Self { pool, answer_timeout, breaker: breakers.of("read_replica", breaker(answer_timeout)) }
    }
}

impl Servers {
    fn rows(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, LogError> {
        if let Some(snapshot) = &self.snapshot {
            return self.ask_snapshot(snapshot, sql, params);
        }
        self.ask(&self.primary, self.answer_timeout, sql, params)
    }

    /// Rows of the replica if it has some that are `enough`, else those of the primary.
    fn lasting_rows(
        &self,
        sql: &str,
        params: Params<'_>,
        enough: impl Fn(&[Row]) -> bool,
    ) -> Result<Vec<Row>, LogError> {
        let asked = self.replica.as_ref().and_then(|replica| Some((replica, replica.breaker.ask().ok()?)));
        if let Some((replica, call)) = asked {
            let answer = self.ask(&replica.pool, replica.answer_timeout, sql, params);
            call.end(answer.is_ok());
            match answer {
                Ok(rows) if enough(&rows) => return Ok(rows),
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "the replica for reads failed; the primary is asked for some seconds")
                }
            }
        }
        self.rows(sql, params)
    }

    fn ask_snapshot(&self, snapshot: &Snapshot, sql: &str, params: Params<'_>) -> Result<Vec<Row>, LogError> {
        let answer = self.driver.wait(self.answer_timeout, async {
            let mut session = snapshot.0.lock().await;
            let statement = session.statement(sql).await?;
            session.client().query(&statement, params).await
        });
        match answer {
            Ok(answer) => answer.map_err(|error| read_failed("reading", &error)),
            Err(_) => Err(no_answer("reading", self.answer_timeout.as_secs_f64())),
        }
    }

    fn ask(
        &self,
        pool: &Pool,
        timeout: Duration,
        sql: &str,
        params: Params<'_>,
    ) -> Result<Vec<Row>, LogError> {
        let doing = "reading";
        let answer = self.driver.wait(timeout, async {
            let deadline = tokio::time::Instant::now() + timeout.mul_f32(0.95);
            let asked = Instant::now();
            let client = pool.get().await;
            self.waits.note(asked.elapsed(), client.is_ok());
            let client = client.map_err(|error| no_connection(doing, &error))?;
            let answer = async {
                let statement = client.prepare_cached(sql).await?;
                client.query(&statement, params).await
            };
            match tokio::time::timeout_at(deadline, answer).await {
                Ok(answer) => answer.map_err(|error| read_failed(doing, &error)),
                Err(_) => {
                    // Whoever came next would wait for this answer, too.
                    drop(Object::take(client));
                    Err(no_answer(doing, timeout.as_secs_f64()))
                }
            }
        });
        answer.unwrap_or_else(|_| Err(no_answer(doing, timeout.as_secs_f64())))
    }
}

fn read_all<T>(rows: &[Row], read: impl Fn(&Row) -> Result<T, Error>) -> Result<Vec<T>, LogError> {
    rows.iter().map(read).collect::<Result<_, _>>().map_err(|error| read_failed("reading", &error))
}

fn read_one<T>(rows: &[Row], read: impl Fn(&Row) -> Result<T, Error>) -> Result<Option<T>, LogError> {
    rows.first().map(read).transpose().map_err(|error| read_failed("reading", &error))
}

fn is_found(rows: &[Row]) -> bool {
    !rows.is_empty()
}

fn missing(stream: &StreamKey, number: SequenceNumber) -> LogError {
    LogError::corrupt(format!("stream {stream}"), format!("event {number} is missing"))
}

impl PostgresReader {
    pub(super) fn new(servers: Arc<Servers>, heads: Arc<Heads>) -> Self {
        Self { servers, heads }
    }

    pub(super) fn heads(&self) -> Arc<Heads> {
        Arc::clone(&self.heads)
    }

    fn list<T>(
        &self,
        sql: &str,
        params: Params<'_>,
        read: impl Fn(&Row) -> Result<T, Error>,
    ) -> Result<Vec<T>, LogError> {
        read_all(&self.servers.rows(sql, params)?, read)
    }

    fn number(&self, stream: &StreamKey) -> i32 {
        self.heads.get(stream).map_or(-1, |state| state.number)
    }

    fn lasting_commitment(
        &self,
        condition: &str,
        params: Params<'_>,
    ) -> Result<Option<Commitment>, LogError> {
        let sql = format!("{} WHERE {condition}", rows::COMMITMENTS);
        read_one(&self.servers.lasting_rows(&sql, params, is_found)?, rows::commitment)
    }

    /// Events `from..=last`, at most `limit`. Their numbers follow one another.
    fn events(
        &self,
        stream: &StreamKey,
        number: i32,
        from: SequenceNumber,
        count: usize,
    ) -> Result<Vec<StoredEvent>, LogError> {
        let sql = format!(
            "{} WHERE stream = $1 AND sequence_number BETWEEN $2 AND $3 ORDER BY sequence_number",
            rows::EVENTS
        );
        let last = SequenceNumber(from.0 + count as u64 - 1);
        let params: Params<'_> = &[&number, &signed(from), &signed(last)];
        let rows = self.servers.lasting_rows(&sql, params, |rows| rows.len() == count)?;
        let events = read_all(&rows, rows::event)?;
        StoredEvent::check_streams(stream, &events)?;
        for (expected, event) in (from.0..).zip(&events) {
            if event.sequence_number.0 != expected {
                return Err(missing(stream, SequenceNumber(expected)));
            }
        }
        if events.len() < count {
            return Err(missing(stream, SequenceNumber(from.0 + events.len() as u64)));
        }
        Ok(events)
    }
}

impl LogReader for PostgresReader {
    fn is_local(&self) -> bool {
        false
    }

    fn acquisitions(&self) -> Option<Acquisitions> {
        Some(self.servers.waits.read())
    }

    /// That of the primary, which every read may need.
    fn pool(&self) -> Option<PoolStatus> {
        let status = self.servers.primary.status();
        let number = |n: usize| n as u64;
        Some(PoolStatus {
            max: number(status.max_size),
            size: number(status.size),
            idle: number(status.available),
            waiting: number(status.waiting),
        })
    }

    fn streams(&self) -> Result<Vec<StreamSummary>, LogError> {
        Ok(self.heads.all())
    }

    fn head(&self, stream: &StreamKey) -> Result<SequenceNumber, LogError> {
        Ok(self.heads.head(stream))
    }

    fn read(
        &self,
        stream: &StreamKey,
        from: SequenceNumber,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<StoredEvent>, LogError> {
        let Some(StreamState { number, head }) = self.heads.get(stream) else { return Ok(Vec::new()) };
        let mut next = from.max(SequenceNumber(1));
        let last = SequenceNumber(next.0.saturating_add(limit as u64).saturating_sub(1)).min(head);
        let (mut events, mut bytes) = (Vec::new(), 0_usize);
        let mut at_once = FIRST_EVENTS;
        while next <= last && limit > 0 {
            let count = at_once.min((last.0 - next.0 + 1) as usize);
            for event in self.events(stream, number, next, count)? {
                let with_this = bytes + event.body.len();
                if with_this > bytes_max && !events.is_empty() {
                    return Ok(events);
                }
                bytes = with_this;
                next.0 += 1;
                events.push(event);
            }
            // As many more as are likely to fit.
            let bytes_each = (bytes / events.len()).max(1);
            at_once = (bytes_max.saturating_sub(bytes) / bytes_each + 1).min(EVENTS_AT_ONCE_MAX);
        }
        Ok(events)
    }

    fn log_tile(&self, stream: &StreamKey, id: TileId) -> Result<Option<Vec<Digest>>, LogError> {
        let Some(StreamState { number, head }) = self.heads.get(stream) else { return Ok(None) };
        // The tile lies with the event that completed it.
        let Some(completed_by) = tile_completed_by(id).filter(|n| *n <= head) else { return Ok(None) };
        let tile_bytes = TILE_NODES as i32 * 32;
        let offset = 1 + i32::from(id.level) * tile_bytes;
        let rows = self.servers.lasting_rows(
            "SELECT substring(tiles FROM $3 FOR $4) FROM ves_events WHERE stream = $1 AND sequence_number = $2",
            &[&number, &signed(completed_by), &offset, &tile_bytes],
            is_found,
        )?;
        let tile: Option<Option<Vec<u8>>> = read_one(&rows, |row| row.try_get(0))?;
        log_tile_nodes(tile.ok_or_else(|| missing(stream, completed_by))?.as_deref())
    }

    fn batch_tile(&self, batch: &BatchId, id: TileId) -> Result<Option<Vec<Digest>>, LogError> {
        let Some(place) = batch_tile_place(id) else { return Ok(None) };
        let rows = self.servers.lasting_rows(
            "SELECT nodes FROM ves_batch_tiles WHERE tile = $2 \
             AND batch = (SELECT batch FROM ves_commitments WHERE batch_id = $1)",
            &[&batch.0, &place],
            is_found,
        )?;
        let nodes: Option<Vec<u8>> = read_one(&rows, |row| row.try_get(0))?;
        let Some(nodes) = nodes else { return Ok(None) };
        let damaged = || LogError::corrupt("a tile", "its length is not a multiple of 32");
        digests(&nodes).map(Some).ok_or_else(damaged)
    }

    fn commitment(&self, batch: &BatchId) -> Result<Option<Commitment>, LogError> {
        self.lasting_commitment("batch_id = $1", &[&batch.0])
    }

    fn commitments(
        &self,
        stream: &StreamKey,
        from: SequenceNumber,
        limit: usize,
    ) -> Result<Vec<Commitment>, LogError> {
        let sql = format!(
            "{} WHERE stream = $1 AND sequence_end >= $2 ORDER BY sequence_end LIMIT $3",
            rows::COMMITMENTS
        );
        let rows_max = i64::try_from(limit).unwrap_or(i64::MAX);
        // A replica shows the first ones or none: it may lack the last, never one between.
        let params: Params<'_> = &[&self.number(stream), &signed(from), &rows_max];
        read_all(&self.servers.lasting_rows(&sql, params, |rows| rows.len() >= limit)?, rows::commitment)
    }

    fn last_commitment(&self, stream: &StreamKey) -> Result<Option<Commitment>, LogError> {
        let sql = format!("{} WHERE stream = $1 ORDER BY sequence_end DESC LIMIT 1", rows::COMMITMENTS);
        read_one(&self.servers.rows(&sql, &[&self.number(stream)])?, rows::commitment)
    }

    fn commitment_of(
        &self,
        stream: &StreamKey,
        number: SequenceNumber,
    ) -> Result<Option<Commitment>, LogError> {
        let condition = "stream = $1 AND sequence_end >= $2 ORDER BY sequence_end LIMIT 1";
        let first = self.lasting_commitment(condition, &[&self.number(stream), &signed(number)])?;
        Ok(first.filter(|commitment| commitment.sequence_start <= number))
    }

    fn checkpoint(&self, stream: &StreamKey, size: Option<u64>) -> Result<Option<String>, LogError> {
        let number = self.number(stream);
        let rows = match size {
            Some(size) => self.servers.lasting_rows(
                "SELECT checkpoint FROM ves_commitments WHERE stream = $1 AND sequence_end = $2",
                &[&number, &signed(SequenceNumber(size))],
                is_found,
            )?,
            None => self.servers.rows(
                "SELECT checkpoint FROM ves_commitments WHERE stream = $1 ORDER BY sequence_end DESC LIMIT 1",
                &[&number],
            )?,
        };
        read_one(&rows, |row| row.try_get(0))
    }

    fn agent_keys(&self) -> Result<Vec<AgentKey>, LogError> {
        self.list(rows::AGENT_KEYS, &[], rows::agent_key)
    }
    fn encryption_keys(&self) -> Result<Vec<EncryptionKey>, LogError> {
        self.list(rows::ENCRYPTION_KEYS, &[], rows::encryption_key)
    }
    fn api_keys(&self) -> Result<Vec<ApiKeyRecord>, LogError> {
        self.list(rows::API_KEYS, &[], rows::api_key)
    }
    fn sequencer_keys(&self) -> Result<Vec<SequencerKeyRecord>, LogError> {
        self.list(rows::SEQUENCER_KEYS, &[], rows::sequencer_key)
    }
    fn meta(&self, name: &str) -> Result<Option<Vec<u8>>, LogError> {
        let rows = self.servers.rows("SELECT value FROM settings WHERE name = $1", &[&name])?;
        read_one(&rows, |row| row.try_get(0))
    }
    fn settings(&self) -> Result<Vec<(String, Vec<u8>)>, LogError> {
        self.list("SELECT name, value FROM settings ORDER BY name COLLATE \"C\"", &[], |row| {
            Ok((row.try_get(0)?, row.try_get(1)?))
        })
    }

    fn document(&self, table: Table, key: &[u8]) -> Result<Option<Document>, LogError> {
        let sql = format!("SELECT key, text, content FROM {} WHERE key = $1", table.name());
        read_one(&self.servers.rows(&sql, &[&key])?, rows::document)
    }
    fn documents(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Document>, LogError> {
        let (beyond, from) = match after {
            Some(after) if after >= prefix => (">", after),
            _ => (">=", prefix),
        };
        let end = after_prefix(prefix);
        let sql = format!(
            "SELECT key, text, content FROM {} WHERE key {beyond} $1 AND ($2::bytea IS NULL OR key < $2) \
             ORDER BY key LIMIT $3",
            table.name()
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.list(&sql, &[&from, &end, &limit], rows::document)
    }

    fn runs(&self) -> Result<Vec<RunInfo>, LogError> {
        self.list(rows::RUNS, &[], rows::run)
    }
    fn next_run(&self) -> Result<u64, LogError> {
        let rows = self.servers.rows("SELECT coalesce(max(run), 0) FROM ves_index_runs", &[])?;
        let last: Option<i64> = read_one(&rows, |row| row.try_get(0))?;
        Ok(last.unwrap_or(0) as u64 + 1)
    }
    fn run_page(&self, run: u64, page: u32) -> Result<Option<Vec<u8>>, LogError> {
        let rows = self.servers.lasting_rows(
            "SELECT content FROM ves_index_pages WHERE run = $1 AND page = $2",
            &[&(run as i64), &i64::from(page)],
            is_found,
        )?;
        read_one(&rows, |row| row.try_get(0))
    }
    fn covered(&self) -> Result<Vec<(StreamKey, SequenceNumber)>, LogError> {
        let covered: std::collections::HashMap<i32, SequenceNumber> = self
            .list("SELECT stream, sequence_number FROM ves_index_covered", &[], |row| {
                Ok((row.try_get(0)?, sequence(row, 1)?))
            })?
            .into_iter()
            .collect();
        let streams = self.heads.all();
        let place = |s: &StreamSummary| covered.get(&(s.number as i32)).map(|through| (s.stream, *through));
        Ok(streams.iter().filter_map(place).collect())
    }
    fn nameless_streams(&self) -> Result<Vec<u32>, LogError> {
        self.list(rows::NAMELESS_STREAMS, &[], |row| row.try_get::<_, i32>(0).map(|number| number as u32))
    }
}

//! The one writer of a PostgreSQL log, for as long as its epoch lasts.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};
use ves::commitment::Commitment;
use ves::keys::{AgentKey, EncryptionKey};
use ves::tiles::Tile;
use ves::{SequenceNumber, StreamKey};

use super::append;
use super::errors::{read_failed, timed_out, write_failed};
use super::heads::Heads;
use super::lease::{self, Hold};
use super::reader::PostgresReader;
use super::rows::{self, sequence, signed};
use super::runtime::Driver;
use super::session::{Durable, Failed, Session, Step};
use crate::document::{Document, DocumentChange};
use crate::error::LogError;
use crate::event_log::{
    ApiKeyRecord, BodyChange, EventLog, KeyChange, LogReader, RunInfo, SequencerKeyRecord, StreamAppend,
    check_batch, check_changes, check_turn,
};
use crate::tenure::Tenure;
use crate::tiles::{batch_tile_place, node_bytes};

/// How often the hold is renewed, in parts of the lease.
const RENEWALS_PER_LEASE: u32 = 5;
/// Pages of replaced runs that one call of `maintenance` removes.
const REMOVED_PAGES_MAX: i64 = 64;
/// What a server writes at least: a turn much larger than usual is given the time for it.
const BYTES_PER_SECOND_MIN: usize = 2 << 20;
/// What leaving may take; after that the server finds out by itself.
const LEAVE_MAX: Duration = Duration::from_secs(2);

/// See [`crate::PostgresStore`].
pub struct PostgresLog {
    driver: Arc<Driver>,
    /// `None` once it has ended.
    session: Option<Session>,
    hold: Hold,
    heads: Arc<Heads>,
    reader: Arc<PostgresReader>,
    /// Number of the last batch.
    last_batch: i64,
    /// Runs whose pages are to be removed.
    replaced_runs: VecDeque<i64>,
    answer_timeout: Duration,
    lease: Duration,
    renewed_at: Instant,
    tenure: Tenure,
    /// Set when the writer is over: fenced, or after a write with an unknown outcome.
    over: Option<LogError>,
}

/// What a writer knows of the database when its epoch has begun.
pub(super) struct Found {
    pub last_batch: i64,
    pub replaced_runs: VecDeque<i64>,
}

impl Found {
    /// Reads what is there. Runs that an earlier writer did not publish never will be.
    pub async fn read(client: &Client) -> Result<Self, tokio_postgres::Error> {
        let last = client.query_one("SELECT coalesce(max(batch), 0) FROM ves_commitments", &[]).await?;
        let replaced =
            client.query("SELECT run FROM ves_index_runs WHERE state <> 1 ORDER BY run", &[]).await?;
        let replaced_runs = replaced.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        Ok(Self { last_batch: last.try_get(0)?, replaced_runs })
    }
}

impl PostgresLog {
    pub(super) fn new(
        driver: Arc<Driver>,
        session: Session,
        hold: Hold,
        found: Found,
        reader: Arc<PostgresReader>,
        answer_timeout: Duration,
        lease: Duration,
    ) -> Self {
        let Found { last_batch, replaced_runs } = found;
        Self {
            driver,
            session: Some(session),
            hold,
            heads: reader.heads(),
            reader,
            last_batch,
            replaced_runs,
            answer_timeout,
            lease,
            renewed_at: hold.taken_at,
            tenure: Tenure::until(hold.taken_at + sure_part(lease)),
            over: None,
        }
    }

    /// The epoch this writer writes in; each take-over raises it.
    pub fn epoch(&self) -> u64 {
        self.hold.epoch as u64
    }

    fn check(&self, doing: &str) -> Result<(), LogError> {
        match &self.over {
            None => Ok(()),
            Some(LogError::Fenced { .. }) => Err(LogError::Fenced { doing: doing.to_owned() }),
            Some(why) => Err(LogError::Io {
                doing: doing.to_owned(),
                problem: format!("an earlier write failed ({why}); open the log again"),
            }),
        }
    }

    /// Runs all steps under the fence, or none of them.
    fn transaction(&mut self, doing: &str, durable: Durable, steps: Vec<Step<'_>>) -> Result<(), LogError> {
        self.transaction_within(self.answer_timeout, doing, durable, steps)
    }

    /// The same, with a time-out of its own. Renews the hold as well when it is time.
    fn transaction_within(
        &mut self,
        timeout: Duration,
        doing: &str,
        durable: Durable,
        mut steps: Vec<Step<'_>>,
    ) -> Result<(), LogError> {
        self.check(doing)?;
        let renews = self.is_renewal_due();
        if renews {
            steps.push(renewal(self.hold));
        }
        let started = Instant::now();
        let session = self.session.as_mut().expect("a writer that is not over has its session");
        let answer = self.driver.wait(timeout, session.transaction(self.hold.epoch, durable, steps));
        let result = match answer {
            Ok(result) => result.map_err(|failed| write_failed(doing, &failed)),
            Err(_) => Err(timed_out(doing, timeout.as_secs_f64())),
        };
        match &result {
            // Counted from before it was asked: the server's own time began later.
            Ok(()) if renews => {
                self.renewed_at = started;
                self.tenure.extend(started + sure_part(self.lease));
            }
            Err(error) if error.ends_writer() => self.end_with(error.clone()),
            _ => {}
        }
        result
    }

    /// After this nothing is written any more. The connection is cut, not closed: it may be stuck.
    fn end_with(&mut self, why: LogError) {
        tracing::warn!(epoch = self.hold.epoch, %why, "the writer of the log is over");
        self.over = Some(why);
        self.tenure.end();
        self.session = None;
    }

    /// A question to the writer's own connection, beside no transaction.
    fn ask(&mut self, doing: &str, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, LogError> {
        self.check(doing)?;
        let session = self.session.as_mut().expect("a writer that is not over has its session");
        let answer = self.driver.wait(self.answer_timeout, async {
            let statement = session.statement(sql).await?;
            session.client().query(&statement, params).await
        });
        let error = match answer {
            Ok(Ok(rows)) => return Ok(rows),
            Ok(Err(error)) if !session.client().is_closed() => return Err(read_failed(doing, &error)),
            Ok(Err(error)) => write_failed(doing, &Failed { error, is_undone: false }),
            Err(_) => timed_out(doing, self.answer_timeout.as_secs_f64()),
        };
        self.end_with(error.clone());
        Err(error)
    }

    /// Where the session before would not end, its lock becomes free later.
    fn try_lock(&mut self) {
        let Some(session) = self.session.as_ref().filter(|_| !self.hold.holds_lock) else { return };
        if let Ok(Ok(true)) = self.driver.wait(self.answer_timeout, lease::try_lock(session.client())) {
            self.hold.holds_lock = true;
        }
    }

    fn remove_pages(&mut self) -> Result<(), LogError> {
        let Some(run) = self.replaced_runs.front().copied() else { return Ok(()) };
        let remove = Step::new(
            "DELETE FROM ves_index_pages WHERE run = $1 AND page IN \
             (SELECT page FROM ves_index_pages WHERE run = $1 ORDER BY page LIMIT $2)",
            vec![Box::new(run), Box::new(REMOVED_PAGES_MAX)],
        );
        let forget = Step::new(
            "DELETE FROM ves_index_runs WHERE run = $1 \
             AND NOT EXISTS (SELECT 1 FROM ves_index_pages WHERE run = $1)",
            vec![Box::new(run)],
        );
        self.transaction("housekeeping", Durable::WithNext, vec![remove, forget])?;
        if self.ask("housekeeping", "SELECT 1 FROM ves_index_runs WHERE run = $1", &[&run])?.is_empty() {
            self.replaced_runs.pop_front();
        }
        Ok(())
    }

    fn is_renewal_due(&self) -> bool {
        self.renewed_at.elapsed() >= self.lease / RENEWALS_PER_LEASE
    }

    /// Gives the log up, so that the next writer need not wait for it.
    fn leave(&mut self) {
        if self.session.is_none() {
            return;
        }
        self.tenure.end();
        let release = Step::new(lease::RELEASE, vec![Box::new(self.hold.epoch)]);
        let released = self.transaction("closing", Durable::WithNext, vec![release]);
        if let (Ok(()), Some(session)) = (released, self.session.take()) {
            let _ = self.driver.wait(LEAVE_MAX, session.end());
        }
    }
}

impl Drop for PostgresLog {
    fn drop(&mut self) {
        // Where one cannot wait the server notices the end of the connection by itself.
        if Driver::may_wait() {
            self.leave();
        }
    }
}

/// The part of a lease in which the hold counts as sure. The rest allows for clocks that run apart, and for a caller
/// that is between the question and its answer.
fn sure_part(lease: Duration) -> Duration {
    lease - lease / RENEWALS_PER_LEASE
}

fn renewal(hold: Hold) -> Step<'static> {
    Step::new(lease::RENEW, vec![Box::new(hold.epoch), Box::new(hold.holds_lock)])
}

fn change(change: &DocumentChange) -> Step<'_> {
    match change {
        DocumentChange::Put(table, Document { key, text, content }) => Step::new(
            format!(
                "INSERT INTO {} (key, text, content) VALUES ($1, $2, $3) \
                 ON CONFLICT (key) DO UPDATE SET text = excluded.text, content = excluded.content",
                table.name()
            ),
            vec![Box::new(key.as_slice()), Box::new(text.as_str()), Box::new(content.as_slice())],
        ),
        DocumentChange::Remove(table, key) => {
            Step::new(format!("DELETE FROM {} WHERE key = $1", table.name()), vec![Box::new(key.as_slice())])
        }
    }
}

impl EventLog for PostgresLog {
    fn append(&mut self, turn: &[StreamAppend]) -> Result<(), LogError> {
        check_turn(turn, |stream| self.heads.head(stream))?;
        let (steps, touched) = append::steps(turn, &self.heads);
        if steps.is_empty() {
            return self.check("appending events");
        }
        let bytes: usize = turn.iter().flat_map(|append| &append.events).map(|event| event.body.len()).sum();
        let timeout = self.answer_timeout + Duration::from_secs((bytes / BYTES_PER_SECOND_MIN) as u64);
        self.transaction_within(timeout, "appending events", Durable::Now, steps)?;
        self.heads.set(touched);
        Ok(())
    }

    fn put_commitment(
        &mut self,
        commitment: &Commitment,
        tiles: &[Tile],
        checkpoint: &str,
    ) -> Result<(), LogError> {
        let state = self.heads.get(&commitment.stream);
        let number = state.map_or(0, |state| state.number);
        let last = self.ask(
            "reading the last commitment",
            "SELECT sequence_end FROM ves_commitments WHERE stream = $1 ORDER BY sequence_end DESC LIMIT 1",
            &[&number],
        )?;
        let last_end = last.first().map(|row| sequence(row, 0)).transpose();
        let last_end = last_end.map_err(|error| read_failed("reading the last commitment", &error))?;
        check_batch(commitment, last_end, state.map_or(SequenceNumber::ZERO, |state| state.head))?;
        let batch = self.last_batch + 1;
        let mut steps = vec![rows::insert_commitment(batch, number, commitment, checkpoint)];
        if !tiles.is_empty() {
            let place = |tile: &Tile| batch_tile_place(tile.id).expect("a batch has at most 2^31 events");
            let places: Vec<i64> = tiles.iter().map(place).collect();
            let nodes: Vec<Vec<u8>> = tiles.iter().map(node_bytes).collect();
            steps.push(Step::new(
                "INSERT INTO ves_batch_tiles (batch, tile, nodes) \
                 SELECT $1::int8, unnest($2::int8[]), unnest($3::bytea[])",
                vec![Box::new(batch), Box::new(places), Box::new(nodes)],
            ));
        }
        self.transaction("storing a commitment", Durable::Now, steps)?;
        self.last_batch = batch;
        Ok(())
    }

    fn put_agent_key(&mut self, key: &AgentKey) -> Result<(), LogError> {
        self.transaction("storing a key", Durable::Now, vec![rows::put_agent_key(key)])
    }
    fn put_encryption_key(&mut self, key: &EncryptionKey) -> Result<(), LogError> {
        self.transaction("storing a key", Durable::Now, vec![rows::put_encryption_key(key)])
    }
    fn put_api_key(&mut self, key: &ApiKeyRecord) -> Result<(), LogError> {
        self.transaction("storing a key", Durable::Now, vec![rows::put_api_key(key)])
    }
    fn put_key(&mut self, key: &KeyChange, beside: &[DocumentChange]) -> Result<(), LogError> {
        let put = match key {
            KeyChange::Agent(key) => rows::put_agent_key(key),
            KeyChange::Encryption(key) => rows::put_encryption_key(key),
            KeyChange::Api(key) => rows::put_api_key(key),
        };
        let steps = std::iter::once(put).chain(beside.iter().map(change)).collect();
        self.transaction("storing a key", Durable::Now, steps)
    }
    fn put_sequencer_key(&mut self, key: &SequencerKeyRecord) -> Result<(), LogError> {
        self.transaction("storing a key", Durable::Now, vec![rows::put_sequencer_key(key)])
    }
    fn set_meta(&mut self, name: &str, value: &[u8]) -> Result<(), LogError> {
        let set = Step::new(
            "INSERT INTO settings (name, value) VALUES ($1, $2) \
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            vec![Box::new(name), Box::new(value)],
        );
        self.transaction("storing a setting", Durable::Now, vec![set])
    }
    fn remove_meta(&mut self, name: &str) -> Result<(), LogError> {
        let remove = Step::new("DELETE FROM settings WHERE name = $1", vec![Box::new(name)]);
        self.transaction("removing a setting", Durable::Now, vec![remove])
    }
    fn replace_bodies(&mut self, stream: &StreamKey, changes: &[BodyChange]) -> Result<(), LogError> {
        let doing = "replacing records";
        let number = self.heads.get(stream).map_or(0, |state| state.number);
        let numbers: Vec<i64> = changes.iter().map(|change| signed(change.sequence_number)).collect();
        // Nobody else writes: the transaction that follows is fenced, and finds what this finds.
        let rows = self.ask(
            doing,
            "SELECT sequence_number, body FROM ves_events WHERE stream = $1 AND sequence_number = ANY($2)",
            &[&number, &numbers],
        )?;
        let stored = rows.iter().map(|row| Ok((sequence(row, 0)?, row.try_get(1)?)));
        let mut stored: BTreeMap<SequenceNumber, Vec<u8>> =
            stored.collect::<Result<_, _>>().map_err(|error| read_failed(doing, &error))?;
        check_changes(stream, changes, |number| Ok(stored.remove(&number)))?;
        let bodies: Vec<&[u8]> = changes.iter().map(|change| &change.new[..]).collect();
        let bytes: usize = bodies.iter().map(|body| body.len()).sum();
        let replace = Step::new(
            "UPDATE ves_events SET body = new.body \
             FROM (SELECT unnest($2::int8[]) AS n, unnest($3::bytea[]) AS body) AS new \
             WHERE stream = $1 AND sequence_number = new.n",
            vec![Box::new(number), Box::new(numbers), Box::new(bodies)],
        );
        let timeout = self.answer_timeout + Duration::from_secs((bytes / BYTES_PER_SECOND_MIN) as u64);
        self.transaction_within(timeout, doing, Durable::Now, vec![replace])
    }

    fn put_documents(&mut self, changes: &[DocumentChange]) -> Result<(), LogError> {
        self.transaction("storing documents", Durable::Now, changes.iter().map(change).collect())
    }

    fn put_run_pages(&mut self, run: u64, first_page: u32, pages: &[Vec<u8>]) -> Result<(), LogError> {
        let open = Step::new(
            "INSERT INTO ves_index_runs VALUES ($1, 0, 0, 0, 0, 0, 0) ON CONFLICT (run) DO NOTHING",
            vec![Box::new(run as i64)],
        );
        let numbers: Vec<i64> = (i64::from(first_page)..).take(pages.len()).collect();
        let contents: Vec<&[u8]> = pages.iter().map(Vec::as_slice).collect();
        let put = Step::new(
            "INSERT INTO ves_index_pages (run, page, content) \
             SELECT $1::int8, unnest($2::int8[]), unnest($3::bytea[])",
            vec![Box::new(run as i64), Box::new(numbers), Box::new(contents)],
        );
        self.transaction("writing the index", Durable::WithNext, vec![open, put])
    }

    fn publish_run(
        &mut self,
        run: &RunInfo,
        replaces: &[u64],
        covered: &[(StreamKey, SequenceNumber)],
    ) -> Result<(), LogError> {
        let RunInfo { run, tier, entries, data_pages, fence_pages, filter_pages } = *run;
        let publish = Step::new(
            "INSERT INTO ves_index_runs VALUES ($1, 1, $2, $3, $4, $5, $6) ON CONFLICT (run) DO UPDATE SET state = 1, \
             tier = excluded.tier, entries = excluded.entries, data_pages = excluded.data_pages, \
             fence_pages = excluded.fence_pages, filter_pages = excluded.filter_pages",
            vec![
                Box::new(run as i64),
                Box::new(i64::from(tier)),
                Box::new(entries as i64),
                Box::new(i64::from(data_pages)),
                Box::new(i64::from(fence_pages)),
                Box::new(i64::from(filter_pages)),
            ],
        );
        let replaced: Vec<i64> = replaces.iter().map(|run| *run as i64).collect();
        let replace = Step::new(
            "UPDATE ves_index_runs SET state = 2 WHERE run = ANY($1)",
            vec![Box::new(replaced.clone())],
        );
        let known = |(stream, through): &(StreamKey, SequenceNumber)| {
            self.heads.get(stream).map(|state| (state.number, signed(*through)))
        };
        let (streams, numbers): (Vec<i32>, Vec<i64>) = covered.iter().filter_map(known).unzip();
        let cover = Step::new(
            "INSERT INTO ves_index_covered SELECT unnest($1::int4[]), unnest($2::int8[]) \
             ON CONFLICT (stream) DO UPDATE SET sequence_number = excluded.sequence_number",
            vec![Box::new(streams), Box::new(numbers)],
        );
        self.transaction("writing the index", Durable::Now, vec![publish, replace, cover])?;
        self.replaced_runs.extend(replaced);
        Ok(())
    }

    fn drop_run(&mut self, run: u64) -> Result<(), LogError> {
        let drop =
            Step::new("UPDATE ves_index_runs SET state = 2 WHERE run = $1", vec![Box::new(run as i64)]);
        self.transaction("writing the index", Durable::WithNext, vec![drop])?;
        self.replaced_runs.push_back(run as i64);
        Ok(())
    }

    fn maintenance(&mut self) -> Result<(), LogError> {
        self.check("housekeeping")?;
        self.remove_pages()?;
        if self.is_renewal_due() {
            self.try_lock();
            // The transaction itself renews.
            self.transaction("renewing the hold of the log", Durable::WithNext, Vec::new())?;
        }
        Ok(())
    }

    fn reader(&self) -> Arc<dyn LogReader> {
        Arc::clone(&self.reader) as Arc<dyn LogReader>
    }

    fn tenure(&self) -> Option<Tenure> {
        Some(self.tenure.clone())
    }

    fn close(mut self: Box<Self>) -> Result<(), LogError> {
        self.check("closing")?;
        self.leave();
        self.check("closing")
    }
}

//! What writer and readers of one process share: each stream's number and durable head.

use std::collections::{BTreeMap, HashMap};
use std::sync::{PoisonError, RwLock};

use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;
use ves::{SequenceNumber, StoreId, StreamKey, TenantId};

use super::errors::Doing;
use crate::error::LogError;
use crate::event_log::StreamSummary;

#[derive(Debug, Clone, Copy)]
pub(super) struct StreamState {
    pub number: u32,
    pub head: SequenceNumber,
}

#[derive(Debug, Default)]
pub(super) struct Streams {
    states: RwLock<HashMap<StreamKey, StreamState>>,
    /// Extents that are not in their table yet: (stream, first number) to position. They follow those of the table.
    recent: RwLock<RecentExtents>,
}

/// By stream and first number: the position of that event.
pub(super) type RecentExtents = BTreeMap<(u32, i64), i64>;

impl Streams {
    /// Where event `number` lies, when an extent that holds it is not in the table yet.
    ///
    /// Asked before the table: an extent leaves memory only after it was committed there.
    pub fn recent_position(&self, stream: u32, number: i64) -> Option<i64> {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        let ((_, first), position) = recent.range((stream, i64::MIN)..=(stream, number)).next_back()?;
        Some(position + (number - first))
    }
    /// The next extents from `stream` on, in the order of their table.
    pub fn recent_from(&self, stream: u32, limit: usize) -> Vec<((u32, i64), i64)> {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        recent.range((stream, i64::MIN)..).take(limit).map(|(key, position)| (*key, *position)).collect()
    }
    pub fn add_recent(&self, extents: impl IntoIterator<Item = ((u32, i64), i64)>) {
        self.recent.write().unwrap_or_else(PoisonError::into_inner).extend(extents);
    }
    /// Once they are in the table.
    pub fn drop_recent(&self, extents: &[((u32, i64), i64)]) {
        let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
        for (key, _) in extents {
            recent.remove(key);
        }
    }

    pub fn get(&self, stream: &StreamKey) -> Option<StreamState> {
        self.states.read().unwrap_or_else(PoisonError::into_inner).get(stream).copied()
    }
    pub fn head(&self, stream: &StreamKey) -> SequenceNumber {
        self.get(stream).map_or(SequenceNumber::ZERO, |state| state.head)
    }
    /// After a commit.
    pub fn set(&self, changed: impl IntoIterator<Item = (StreamKey, StreamState)>) {
        self.states.write().unwrap_or_else(PoisonError::into_inner).extend(changed);
    }
    pub fn count(&self) -> usize {
        self.states.read().unwrap_or_else(PoisonError::into_inner).len()
    }
    /// In the order of their numbers.
    pub fn all(&self) -> Vec<StreamSummary> {
        let streams = self.states.read().unwrap_or_else(PoisonError::into_inner);
        let summary = |(stream, s): (&StreamKey, &StreamState)| StreamSummary {
            stream: *stream,
            number: s.number,
            head: s.head,
        };
        let mut all: Vec<_> = streams.iter().map(summary).collect();
        all.sort_unstable_by_key(|summary| summary.number);
        all
    }

    /// Reads every stream of the file and finds its head; extents that the table lacks come from the last events.
    pub fn load(connection: &Connection) -> Result<Self, LogError> {
        let tail = Tail::read(connection).doing("reading the last events")?;
        let rows: Vec<(u32, Uuid, Uuid)> = {
            let mut select = connection
                .prepare("SELECT stream, tenant_id, store_id FROM ves_streams ORDER BY stream")
                .doing("reading the streams")?;
            let rows = select.query_map([], |row| {
                Ok((row.get(0)?, Uuid::from_bytes(row.get(1)?), Uuid::from_bytes(row.get(2)?)))
            });
            rows.and_then(Iterator::collect).doing("reading the streams")?
        };
        let mut streams = HashMap::with_capacity(rows.len());
        for (number, tenant, store) in rows {
            let head = match tail.heads.get(&number) {
                Some(head) => SequenceNumber(*head as u64),
                None => head_of(connection, number)?,
            };
            let stream = StreamKey { tenant_id: TenantId(tenant), store_id: StoreId(store) };
            streams.insert(stream, StreamState { number, head });
        }
        Ok(Self { states: RwLock::new(streams), recent: RwLock::new(tail.extents) })
    }
}

/// Name of the setting: every extent that begins below this position is in the table.
pub(super) const EXTENTS_FROM: &str = "extents_from";

/// What the last events say of extents and heads.
struct Tail {
    extents: RecentExtents,
    heads: HashMap<u32, i64>,
}

impl Tail {
    fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let from: Option<[u8; 8]> = connection
            .prepare_cached("SELECT value FROM settings WHERE name = ?")?
            .query_row([EXTENTS_FROM], |row| row.get(0))
            .optional()?;
        let mut select = connection.prepare_cached(
            "SELECT position, stream, sequence_number FROM ves_events WHERE position >= ? ORDER BY position",
        )?;
        let mut rows = select.query([from.map_or(0, i64::from_be_bytes)])?;
        let mut tail = Self { extents: BTreeMap::new(), heads: HashMap::new() };
        let mut expected = None;
        while let Some(row) = rows.next()? {
            let (position, stream, number): (i64, u32, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            if expected != Some((position, stream, number)) {
                tail.extents.insert((stream, number), position);
            }
            tail.heads.insert(stream, number);
            expected = Some((position + 1, stream, number + 1));
        }
        Ok(tail)
    }
}

/// The head of a stream: the end of its last extent, which reaches to the last row in a row that is the stream's.
/// Found by doubling steps and halving, since extents of a lone stream are long.
fn head_of(connection: &Connection, number: u32) -> Result<SequenceNumber, LogError> {
    let mut last_extent = connection
        .prepare_cached(
            "SELECT sequence_number, position FROM ves_event_extents WHERE stream = ? ORDER BY sequence_number DESC LIMIT 1",
        )
        .doing("reading the streams")?;
    let mut row = connection
        .prepare_cached("SELECT 1 FROM ves_events WHERE position = ? AND stream = ? AND sequence_number = ?")
        .doing("reading the streams")?;
    let extent: Option<(i64, i64)> = last_extent
        .query_row([number], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
        .doing("reading the streams")?;
    let Some((first, position)) = extent else { return Ok(SequenceNumber::ZERO) };
    let mut holds = |offset: i64| {
        let found = row.query_row((position + offset, number, first + offset), |_| Ok(())).optional();
        found.doing("reading the streams").map(|found| found.is_some())
    };
    if !holds(0)? {
        return Err(LogError::corrupt(
            format!("the last extent of stream {number}"),
            "its first event is missing",
        ));
    }
    let mut end = 1;
    while holds(end)? {
        end *= 2;
    }
    let mut start = end / 2;
    while start + 1 < end {
        let middle = start + (end - start) / 2;
        if holds(middle)? { start = middle } else { end = middle }
    }
    Ok(SequenceNumber((first + start) as u64))
}

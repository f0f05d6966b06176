//! What writer and readers of one process share: each stream's number and durable head.

use std::collections::HashMap;
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
pub(super) struct Streams(RwLock<HashMap<StreamKey, StreamState>>);

impl Streams {
    pub fn get(&self, stream: &StreamKey) -> Option<StreamState> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(stream).copied()
    }
    pub fn head(&self, stream: &StreamKey) -> SequenceNumber {
        self.get(stream).map_or(SequenceNumber::ZERO, |state| state.head)
    }
    /// After a commit.
    pub fn set(&self, changed: impl IntoIterator<Item = (StreamKey, StreamState)>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).extend(changed);
    }
    pub fn count(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len()
    }
    /// In the order of their numbers.
    pub fn all(&self) -> Vec<StreamSummary> {
        let streams = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let summary = |(stream, s): (&StreamKey, &StreamState)| StreamSummary {
            stream: *stream,
            number: s.number,
            head: s.head,
        };
        let mut all: Vec<_> = streams.iter().map(summary).collect();
        all.sort_unstable_by_key(|summary| summary.number);
        all
    }

    /// Reads every stream of the file and finds its head.
    pub fn load(connection: &Connection) -> Result<Self, LogError> {
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
            let head = head_of(connection, number)?;
            let stream = StreamKey { tenant_id: TenantId(tenant), store_id: StoreId(store) };
            streams.insert(stream, StreamState { number, head });
        }
        Ok(Self(RwLock::new(streams)))
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

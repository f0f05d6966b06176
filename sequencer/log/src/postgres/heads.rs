//! What writer and readers of one process share: each stream's number and durable head.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use tokio_postgres::{Client, Error};
use ves::{SequenceNumber, StoreId, StreamKey, TenantId};

use super::rows::sequence;
use crate::event_log::StreamSummary;

/// The last numbers by one step down the index of each stream.
const STREAMS: &str = "SELECT stream, tenant_id, store_id, coalesce((SELECT max(e.sequence_number) FROM ves_events e \
    WHERE e.stream = s.stream), 0) FROM ves_streams s ORDER BY stream";

#[derive(Debug, Clone, Copy)]
pub(super) struct StreamState {
    pub number: i32,
    pub head: SequenceNumber,
}

#[derive(Debug, Default)]
pub(super) struct Heads {
    states: RwLock<HashMap<StreamKey, StreamState>>,
}

impl Heads {
    /// Reads every stream and its head.
    pub async fn load(client: &Client) -> Result<Self, Error> {
        let mut states = HashMap::new();
        for row in client.query(STREAMS, &[]).await? {
            let stream =
                StreamKey { tenant_id: TenantId(row.try_get(1)?), store_id: StoreId(row.try_get(2)?) };
            states.insert(stream, StreamState { number: row.try_get(0)?, head: sequence(&row, 3)? });
        }
        Ok(Self { states: RwLock::new(states) })
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
        let states = self.states.read().unwrap_or_else(PoisonError::into_inner);
        let summary = |(stream, s): (&StreamKey, &StreamState)| StreamSummary {
            stream: *stream,
            number: s.number as u32,
            head: s.head,
        };
        let mut all: Vec<_> = states.iter().map(summary).collect();
        all.sort_unstable_by_key(|summary| summary.number);
        all
    }
}

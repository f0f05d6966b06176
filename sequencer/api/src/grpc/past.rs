//! The past of one entity, read from its history a page at a time.

use std::collections::VecDeque;

use stateset_sequencer::StoredEvent;
use ves::{SequenceNumber, StreamKey};

use crate::error::ApiError;
use crate::feed::{PAGE_EVENTS_FIRST, events_wanted};
use crate::router::App;

/// The past of one entity, by its versions, up to a number of the stream.
pub(super) struct Past {
    stream: StreamKey,
    entity_type: String,
    entity_id: String,
    /// The last number that is past.
    until: SequenceNumber,
    version: u64,
    page: VecDeque<StoredEvent>,
    page_events: usize,
}

impl Past {
    pub fn new(stream: StreamKey, entity_type: String, entity_id: String, until: SequenceNumber) -> Self {
        let (page, page_events) = (VecDeque::new(), PAGE_EVENTS_FIRST);
        Self { stream, entity_type, entity_id, until, version: 1, page, page_events }
    }

    /// The next version; `None` when the past is over.
    pub async fn take(&mut self, app: &App) -> Result<Option<StoredEvent>, ApiError> {
        if self.page.is_empty() {
            let (entity_type, entity_id) = (&self.entity_type, &self.entity_id);
            let read = app
                .sequencer
                .entity_history(&self.stream, entity_type, entity_id, self.version, self.page_events)
                .await?
                .events;
            self.page_events = events_wanted(&read);
            self.page = read.into();
        }
        match self.page.pop_front().filter(|event| event.sequence_number <= self.until) {
            Some(event) => {
                self.version += 1;
                Ok(Some(event))
            }
            None => Ok(None),
        }
    }
}

//! Events in the order of their numbers, read from the log a page at a time. What a slow reader has not taken stays in
//! the log: a feed holds one page, however far behind it is.

use std::collections::VecDeque;

use stateset_sequencer::StoredEvent;
use ves::{SequenceNumber, StreamKey};

use crate::error::ApiError;
use crate::router::App;

/// Bytes of bodies that one page should have; a single event may be larger.
const PAGE_BYTES_WANTED: usize = 256 << 10;
const PAGE_EVENTS_MAX: usize = 256;
/// Of the first page, when the size of the events is not known yet.
pub(crate) const PAGE_EVENTS_FIRST: usize = 16;

/// A place in a stream, and the page read there.
pub(crate) struct Feed {
    stream: StreamKey,
    /// Number of the next event to give.
    next: u64,
    page: VecDeque<StoredEvent>,
    page_events: usize,
}

impl Feed {
    pub fn new(stream: StreamKey, next: SequenceNumber) -> Self {
        Self { stream, next: next.get(), page: VecDeque::new(), page_events: PAGE_EVENTS_FIRST }
    }

    /// Whether the next call reads a page.
    pub fn is_page_done(&self) -> bool {
        self.page.is_empty()
    }

    pub fn stream(&self) -> StreamKey {
        self.stream
    }

    /// The next event, if the log has it. Dropping the call half-way loses nothing.
    pub async fn take(&mut self, app: &App) -> Result<Option<StoredEvent>, ApiError> {
        if self.page.is_empty() {
            if app.sequencer.head(&self.stream).head_sequence.get() < self.next {
                return Ok(None);
            }
            let from = SequenceNumber(self.next);
            let read = app.sequencer.events(&self.stream, from, self.page_events).await?;
            self.page_events = events_wanted(&read);
            self.page = read.into();
        }
        let Some(event) = self.page.pop_front() else {
            return Err(ApiError::internal(format_args!(
                "event {} of {} is missing",
                self.next, self.stream
            )));
        };
        if event.sequence_number.get() != self.next {
            let (stream, found) = (self.stream, event.sequence_number);
            return Err(ApiError::internal(format_args!("{stream} has {found} in place of {}", self.next)));
        }
        self.next += 1;
        Ok(Some(event))
    }
}

/// Events of the size of these that make a page.
pub(crate) fn events_wanted(read: &[StoredEvent]) -> usize {
    let bytes: usize = read.iter().map(|event| event.body.len()).sum();
    let each = (bytes / read.len().max(1)).max(1);
    (PAGE_BYTES_WANTED / each).clamp(1, PAGE_EVENTS_MAX)
}

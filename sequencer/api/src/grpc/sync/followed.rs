//! The streams whose events a session is told of: those that its credential may read, from the moment it began.

use stateset_sequencer::StoredEvent;
use ves::{SequenceNumber, StreamKey};

use crate::caller::{Caller, Permission};
use crate::error::ApiError;
use crate::feed::Feed;
use crate::grpc::live::after_head;
use crate::router::App;

/// Most streams of a session. A credential that may read more is told only of those that its messages name, the first
/// as many.
pub(super) const STREAMS_MAX: usize = 1000;

pub(super) struct Followed {
    feeds: Vec<Feed>,
    /// The feed that is asked first, so that a busy stream does not hide the others.
    turn: usize,
    /// All readable streams are followed, new ones too.
    all: bool,
}

impl Followed {
    pub fn new(app: &App, caller: &Caller) -> Self {
        let streams = readable(app, caller);
        let all = streams.len() <= STREAMS_MAX;
        let begun = if all { streams } else { Vec::new() };
        let feeds = begun.into_iter().map(|stream| Feed::new(stream, after_head(app, &stream))).collect();
        Self { feeds, turn: 0, all }
    }

    /// Follows a stream from now on, if it is not followed already. False when there are too many: each costs a look at
    /// every event and holds a page.
    pub fn follow(&mut self, app: &App, stream: StreamKey) -> bool {
        if self.follows(&stream) {
            return true;
        }
        let has_room = self.feeds.len() < STREAMS_MAX;
        if has_room {
            self.feeds.push(Feed::new(stream, after_head(app, &stream)));
        }
        has_room
    }

    fn follows(&self, stream: &StreamKey) -> bool {
        self.feeds.iter().any(|feed| feed.stream() == *stream)
    }

    /// The one stream that is followed.
    pub fn only(&self) -> Option<StreamKey> {
        match &self.feeds[..] {
            [feed] => Some(feed.stream()),
            _ => None,
        }
    }

    /// Leaves what the caller may no longer read, and takes up streams that came into being since.
    pub fn refresh(&mut self, app: &App, caller: &Caller) {
        self.feeds.retain(|feed| caller.require(Permission::Read, &feed.stream()).is_ok());
        if !self.all {
            return;
        }
        let fresh: Vec<StreamKey> =
            readable(app, caller).into_iter().filter(|stream| !self.follows(stream)).collect();
        if self.feeds.len() + fresh.len() > STREAMS_MAX {
            self.all = false;
            return;
        }
        // None of its events was there when the session began.
        self.feeds.extend(fresh.into_iter().map(|stream| Feed::new(stream, SequenceNumber(1))));
    }

    /// The next event of any of them, if the log has one.
    pub async fn take(&mut self, app: &App) -> Result<Option<(StreamKey, StoredEvent)>, ApiError> {
        for _ in 0..self.feeds.len() {
            self.turn = (self.turn + 1) % self.feeds.len();
            let feed = &mut self.feeds[self.turn];
            if let Some(event) = feed.take(app).await? {
                return Ok(Some((feed.stream(), event)));
            }
        }
        Ok(None)
    }
}

fn readable(app: &App, caller: &Caller) -> Vec<StreamKey> {
    let mut streams = app.sequencer.streams();
    streams.retain(|stream| caller.require(Permission::Read, stream).is_ok());
    streams
}

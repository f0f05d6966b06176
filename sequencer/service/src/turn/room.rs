//! How much one turn takes in: bounds its transaction, and how long what is behind it waits.

use super::Command;
use crate::config::Config;

/// Bytes of bodies in one turn, the first submission aside: bounds a transaction and the memory it holds.
const TURN_BYTES_MAX: usize = 16 << 20;

/// Writes beside events in one pass, each with a sync of its own.
const TURN_OTHERS_MAX: usize = 16;

/// What still fits into this turn.
pub(super) struct TurnRoom {
    events: usize,
    bytes: usize,
    others: usize,
}

impl Default for TurnRoom {
    fn default() -> Self {
        Self { events: Config::TURN_EVENTS_MAX, bytes: TURN_BYTES_MAX, others: TURN_OTHERS_MAX }
    }
}

impl TurnRoom {
    pub fn fits(&mut self, command: &Command) -> bool {
        let (events, bytes, others) = match command {
            Command::Ingest(submission) => {
                let bodies: usize =
                    submission.bodies.iter().flatten().map(|prepared| prepared.body.len()).sum();
                (submission.candidates.len(), bodies, 0)
            }
            Command::Payment(submission) => (1, submission.size(), 0),
            _ => (0, 0, 1),
        };
        let fits = events <= self.events && bytes <= self.bytes && others <= self.others;
        self.events = self.events.saturating_sub(events);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.others = self.others.saturating_sub(others);
        fits
    }
}

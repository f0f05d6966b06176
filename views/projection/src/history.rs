//! The state of one entity at any place of its stream.

use crate::machine::Machine;
use crate::pass::{Fact, Turn, pass};
use crate::record::Record;

/// A record is kept each time an entity has had so many more events: a state at any place costs so many steps at most.
pub const HISTORY_SNAPSHOT_EVENTS: u64 = 256;

/// Folds the events of one entity, and the retries among them, up to a place.
pub struct Fold {
    machine: &'static Machine,
    at: u64,
    pub record: Record,
}

impl Fold {
    /// - `record`: where to begin: nothing, or a record of a lower version;
    /// - `at`: number of the last event that counts.
    pub fn new(machine: &'static Machine, record: Record, at: u64) -> Self {
        Self { machine, at, record }
    }

    /// Passes `events` in order, each retry directly after the event it followed.
    ///
    /// - `events`: of this entity, ascending;
    /// - `retries`: with the number they followed, ascending by it; those before the first event have passed.
    pub fn run(&mut self, events: &[Fact<'_>], retries: &[(u64, Fact<'_>)]) {
        let mut retries = retries.iter().filter(|(after, _)| *after <= self.at).peekable();
        for event in events.iter().filter(|event| event.sequence <= self.at) {
            while let Some((_, retry)) = retries.next_if(|(after, _)| *after < event.sequence) {
                pass(self.machine, &mut self.record, retry, Turn::Again);
            }
            pass(self.machine, &mut self.record, event, Turn::InOrder);
        }
        for (_, retry) in retries {
            pass(self.machine, &mut self.record, retry, Turn::Again);
        }
    }
}

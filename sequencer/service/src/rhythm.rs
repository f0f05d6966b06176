//! When a turn begins: at once for a lone caller, a moment later when others are known to be on their way.
//!
//! Callers that wait for one answer before they send again fall into two halves: one half is being synced while the
//! other arrives, and each waits for two syncs. A short pause, small against the sync it saves, lets them meet.

use std::time::Duration;

use crate::queue::Gather;

/// The pause is at most this part of a usual append.
const PAUSE_PART: u32 = 8;
/// And never longer than this.
const PAUSE_MAX: Duration = Duration::from_millis(1);

/// What recent turns looked like.
#[derive(Debug, Default)]
pub(crate) struct Rhythm {
    /// Usual time of an append, sync included: a moving average.
    append: Duration,
    /// Requests under way when the last turn ended: those it served and those that waited by then.
    under_way: usize,
}

impl Rhythm {
    pub fn note_append(&mut self, took: Duration) {
        self.append = (self.append * 7 + took) / 8;
    }

    pub fn note_turn(&mut self, served: usize, waiting: usize) {
        if served > 0 {
            self.under_way = served + waiting;
        }
    }

    /// A turn may begin with as many requests as were under way, or after the pause.
    pub fn gather(&self) -> Gather {
        Gather { items: self.under_way, wait: (self.append / PAUSE_PART).min(PAUSE_MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_caller_never_waits_for_company() {
        let mut rhythm = Rhythm::default();
        rhythm.note_append(Duration::from_millis(8));
        rhythm.note_turn(1, 0);
        assert_eq!(rhythm.gather().items, 1);
    }

    #[test]
    fn two_halves_wait_for_one_another_but_briefly() {
        let mut rhythm = Rhythm::default();
        for _ in 0..100 {
            rhythm.note_append(Duration::from_millis(4));
        }
        rhythm.note_turn(16, 16);
        let gather = rhythm.gather();
        assert_eq!(gather.items, 32);
        assert!(gather.wait <= Duration::from_micros(500));
    }
}

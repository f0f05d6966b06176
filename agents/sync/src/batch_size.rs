//! How much goes over a link at a time.

/// How many events the next request may carry, or the answer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchSize {
    pub events: usize,
    events_max: usize,
    /// Whether something was lost on the way since this push or pull began.
    is_weak: bool,
}

impl BatchSize {
    pub fn new(events_max: usize) -> Self {
        Self { events: events_max, events_max, is_weak: false }
    }

    /// On a weak link half of what was lost may arrive.
    pub fn was_cut(&mut self, lost: usize) {
        *self = Self { events: (lost / 2).max(1), is_weak: true, ..*self };
    }

    /// What was too much is gone.
    pub fn begin_anew(&mut self) {
        if !self.is_weak {
            self.events = self.events_max;
        }
    }

    /// After a cut it grows slowly: twice as many would be cut again.
    pub fn arrived(&mut self) {
        let grown = if self.is_weak { self.events + self.events.div_ceil(8) } else { 2 * self.events };
        self.events = grown.min(self.events_max);
    }
}

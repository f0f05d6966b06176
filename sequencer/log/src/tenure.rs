//! Until when a writer surely is the only one.
//!
//! The fence of the store keeps a writer that is over from writing. It cannot keep it from answering reads out of what
//! it remembers: that takes a time after which it holds its tongue, and that ends before another may take over.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The time a writer has the log for sure. Clones share it.
#[derive(Debug, Clone)]
pub struct Tenure {
    /// Times are counted from here, since a clock of the machine's may be set.
    since: Instant,
    /// Microseconds after `since`; 0 once it is over for good.
    until_us: Arc<AtomicU64>,
}

impl Tenure {
    pub fn until(until: Instant) -> Self {
        let tenure = Self { since: Instant::now(), until_us: Arc::new(AtomicU64::new(1)) };
        tenure.extend(until);
        tenure
    }

    /// Moves the end on. One that is over for good stays over.
    pub fn extend(&self, until: Instant) {
        let us = u64::try_from(until.saturating_duration_since(self.since).as_micros()).unwrap_or(u64::MAX);
        // Never the mark of the end.
        let us = us.max(1);
        let later = |now: u64| (now != 0).then_some(us.max(now));
        let _ = self.until_us.fetch_update(Ordering::AcqRel, Ordering::Acquire, later);
    }

    /// Ends it for good.
    pub fn end(&self) {
        self.until_us.store(0, Ordering::Release);
    }

    /// Whether nobody else can have taken the log over yet.
    pub fn is_sure(&self) -> bool {
        let until = Duration::from_micros(self.until_us.load(Ordering::Acquire));
        self.since.elapsed() < until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenure_is_sure_until_its_time_and_can_be_renewed_until_it_is_ended() {
        let tenure = Tenure::until(Instant::now() + Duration::from_secs(60));
        assert!(tenure.is_sure());
        let over = Tenure::until(Instant::now());
        std::thread::sleep(Duration::from_millis(2));
        assert!(!over.is_sure());
        over.extend(Instant::now() + Duration::from_secs(60));
        assert!(over.is_sure(), "a renewal that came late still holds");
        over.extend(Instant::now());
        assert!(over.is_sure(), "an earlier renewal that is noted late takes nothing away");
        over.end();
        over.extend(Instant::now() + Duration::from_secs(60));
        assert!(!over.is_sure(), "what is over for good stays over");
    }
}

//! The one place where the service asks what time it is.

use std::time::{SystemTime, UNIX_EPOCH};

use ves::TimestampMs;

/// The sequencer's clock: `sequenced_at`, key validity and batch age are read from it.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> TimestampMs;
}

/// The machine's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> TimestampMs {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        TimestampMs(since_epoch.as_millis() as i64)
    }
}

//! The system's clock.

use std::time::{SystemTime, UNIX_EPOCH};

use ves::TimestampMs;

pub fn now() -> TimestampMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimestampMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

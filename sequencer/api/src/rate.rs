//! Requests a minute, by tenant and by key (section 1.7): a sliding window of two halves.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use ves::{Digest, TenantId, TimestampMs};
use ves_wire::error::ErrorCode;

use crate::error::ApiError;

const WINDOW_MS: i64 = 60_000;
/// Most buckets held; beyond it the ones that are idle for two windows go first, then nothing new is limited.
const BUCKETS_MAX: usize = 10_000;

/// Who is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Counted {
    Tenant(TenantId),
    Key(Digest),
}

/// Requests of the window `number` and of the one before it.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    number: i64,
    current: u32,
    previous: u32,
}

/// The limits in force and what was used of them. Free of cost while no limit is set.
pub(crate) struct Rates {
    tenant_per_minute: Option<u32>,
    buckets: Mutex<HashMap<Counted, Bucket>>,
}

impl Rates {
    pub fn new(tenant_per_minute: Option<u32>) -> Self {
        Self { tenant_per_minute, buckets: Mutex::default() }
    }

    /// Counts one request.
    ///
    /// # Errors
    /// 429 with the seconds until a request fits again.
    pub fn admit(
        &self,
        tenant_id: &TenantId,
        key_hash: &Digest,
        key_per_minute: Option<u32>,
        now: TimestampMs,
    ) -> Result<(), ApiError> {
        if let Some(limit) = self.tenant_per_minute {
            self.count(Counted::Tenant(*tenant_id), limit, now)?;
        }
        match key_per_minute {
            Some(limit) => self.count(Counted::Key(*key_hash), limit, now),
            None => Ok(()),
        }
    }

    fn count(&self, who: Counted, limit: u32, now: TimestampMs) -> Result<(), ApiError> {
        let (number, elapsed) = (now.0.div_euclid(WINDOW_MS), now.0.rem_euclid(WINDOW_MS));
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS_MAX && !buckets.contains_key(&who) {
            buckets.retain(|_, bucket| bucket.number >= number - 1);
            if buckets.len() >= BUCKETS_MAX {
                return Ok(());
            }
        }
        let bucket = buckets.entry(who).or_insert(Bucket { number, current: 0, previous: 0 });
        if bucket.number != number {
            let previous = if bucket.number == number - 1 { bucket.current } else { 0 };
            *bucket = Bucket { number, current: 0, previous };
        }
        // The previous window counts by the part of it that the sliding minute still covers.
        let carried = i64::from(bucket.previous) * (WINDOW_MS - elapsed) / WINDOW_MS;
        if carried + i64::from(bucket.current) < i64::from(limit) {
            bucket.current += 1;
            return Ok(());
        }
        let seconds = u32::try_from((WINDOW_MS - elapsed + 999) / 1000).unwrap_or(60);
        let message = format!("more than {limit} requests a minute");
        Err(ApiError::new(ErrorCode::RateLimitExceeded, message).retry_after(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_holds_the_limit_and_no_more() {
        let rates = Rates::new(None);
        let (tenant, key) = (TenantId::from_bytes([1; 16]), Digest([2; 32]));
        let at = |seconds: i64| TimestampMs(600_000 + seconds * 1000);
        let used =
            |second| (0..10).filter(|_| rates.admit(&tenant, &key, Some(4), at(second)).is_ok()).count();
        assert_eq!(used(10), 4);
        assert_eq!(used(50), 0);
        assert_eq!(used(90), 2, "half a window later half of the old requests still count");
        assert_eq!(used(240), 4);
        assert!((0..100).all(|_| rates.admit(&tenant, &key, None, at(0)).is_ok()));
    }
}

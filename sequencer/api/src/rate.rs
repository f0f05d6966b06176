//! Requests a minute, by tenant and by credential (section 1.7): a sliding window of two halves.

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderMap, HeaderValue};
use ves::{AgentId, Digest, TenantId, TimestampMs};
use ves_wire::error::ErrorCode;

use crate::error::ApiError;

const WINDOW_MS: i64 = 60_000;
/// Most callers counted one by one in a window; the ones beyond it share [`SHARED_COUNTS`] counts.
const COUNTED_MAX: usize = 10_000;
const SHARED_COUNTS: u64 = 1024;

/// Who is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Counted {
    Tenant(TenantId),
    /// All keys of an agent together, so that minting does not widen what the agent may do.
    Agent(TenantId, AgentId),
    /// A key of no agent.
    Key(Digest),
    /// Callers that came when the table was full: limited together, never unlimited.
    Shared(u64),
}

/// Where a caller stands: the headers `ratelimit-*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    limit: u32,
    remaining: u32,
    /// Seconds to the end of the window.
    reset_s: u32,
}

tokio::task_local! {
    /// Where the caller of this request stands, once it is known; the outermost layer reads it.
    pub(crate) static STANDING: Cell<Option<Standing>>;
}

impl Standing {
    pub fn write(self, headers: &mut HeaderMap) {
        headers.insert("ratelimit-limit", HeaderValue::from(self.limit));
        headers.insert("ratelimit-remaining", HeaderValue::from(self.remaining));
        headers.insert("ratelimit-reset", HeaderValue::from(self.reset_s));
    }

    /// Makes this the standing of the request, unless a tighter one is known.
    fn announce(self) {
        // Outside a request, in tests, nobody listens.
        let _ = STANDING.try_with(|known| {
            known.set(Some(match known.get() {
                Some(other) if other.remaining <= self.remaining => other,
                _ => self,
            }));
        });
    }
}

/// Requests of the window `number` and of the one before it. A window that ends is dropped whole: no request looks
/// through the callers.
#[derive(Default)]
struct Windows {
    number: i64,
    current: HashMap<Counted, u32>,
    previous: HashMap<Counted, u32>,
}

impl Windows {
    fn turn_to(&mut self, number: i64) {
        if number == self.number {
            return;
        }
        let ended = std::mem::take(&mut self.current);
        self.previous = if number == self.number + 1 { ended } else { HashMap::new() };
        self.number = number;
    }
}

/// The limits in force and what was used of them. Free of cost while no limit is set.
pub(crate) struct Rates {
    tenant_per_minute: Option<u32>,
    windows: Mutex<Windows>,
    hasher: RandomState,
}

impl Rates {
    pub fn new(tenant_per_minute: Option<u32>) -> Self {
        Self { tenant_per_minute, windows: Mutex::default(), hasher: RandomState::new() }
    }

    /// Counts one request, for the tenant and for `who` holds the credential.
    ///
    /// # Errors
    /// 429 with the seconds until a request fits again.
    pub fn admit(
        &self,
        tenant_id: &TenantId,
        who: Counted,
        credential_per_minute: Option<u32>,
        now: TimestampMs,
    ) -> Result<(), ApiError> {
        if let Some(limit) = self.tenant_per_minute {
            self.count(Counted::Tenant(*tenant_id), limit, now)?;
        }
        match credential_per_minute {
            Some(limit) => self.count(who, limit, now),
            None => Ok(()),
        }
    }

    fn count(&self, who: Counted, limit: u32, now: TimestampMs) -> Result<(), ApiError> {
        let (number, elapsed) = (now.0.div_euclid(WINDOW_MS), now.0.rem_euclid(WINDOW_MS));
        let reset_s = u32::try_from((WINDOW_MS - elapsed + 999) / 1000).unwrap_or(60);
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.turn_to(number);
        let who = if windows.current.len() >= COUNTED_MAX && !windows.current.contains_key(&who) {
            Counted::Shared(self.hasher.hash_one(who) % SHARED_COUNTS)
        } else {
            who
        };
        // The previous window counts by the part of it that the sliding minute still covers.
        let before = windows.previous.get(&who).copied().unwrap_or(0);
        let carried = i64::from(before) * (WINDOW_MS - elapsed) / WINDOW_MS;
        let current = windows.current.entry(who).or_insert(0);
        let room = i64::from(limit) - carried - i64::from(*current);
        let remaining = u32::try_from(room - 1).unwrap_or(0);
        Standing { limit, remaining, reset_s }.announce();
        if room > 0 {
            *current += 1;
            return Ok(());
        }
        let message = format!("more than {limit} requests a minute");
        Err(ApiError::new(ErrorCode::RateLimitExceeded, message).retry_after(reset_s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_holds_the_limit_and_no_more() {
        let rates = Rates::new(None);
        let (tenant, key) = (TenantId::from_bytes([1; 16]), Counted::Key(Digest([2; 32])));
        let at = |seconds: i64| TimestampMs(600_000 + seconds * 1000);
        let used =
            |second| (0..10).filter(|_| rates.admit(&tenant, key, Some(4), at(second)).is_ok()).count();
        assert_eq!(used(10), 4);
        assert_eq!(used(50), 0);
        assert_eq!(used(90), 2, "half a window later half of the old requests still count");
        assert_eq!(used(240), 4);
        assert!((0..100).all(|_| rates.admit(&tenant, key, None, at(0)).is_ok()));
    }

    #[test]
    fn a_full_table_limits_new_callers_and_stays_bounded() {
        let rates = Rates::new(None);
        let (tenant, now) = (TenantId::from_bytes([1; 16]), TimestampMs(600_000));
        let key = |n: u64| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&n.to_be_bytes());
            Counted::Key(Digest(bytes))
        };
        for n in 0..2 * COUNTED_MAX as u64 {
            let _ = rates.admit(&tenant, key(n), Some(4), now);
        }
        let held = rates.windows.lock().unwrap().current.len();
        assert!(held <= COUNTED_MAX + SHARED_COUNTS as usize, "{held}");
        let late = (0..10).filter(|_| rates.admit(&tenant, key(1 << 40), Some(4), now).is_ok()).count();
        assert!(late <= 4, "a caller beyond the table got {late} requests");
        let early = (0..10).filter(|_| rates.admit(&tenant, key(0), Some(4), now).is_ok()).count();
        assert_eq!(early, 3, "a counted caller keeps its own count");
    }
}

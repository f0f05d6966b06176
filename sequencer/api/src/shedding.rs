//! Load shedding (section 1.7): while the pool is critical, work that can wait is refused before anything is done for it,
//! so that events still get through. Reads of many rows go first, then every read; events are refused last, by the
//! queue itself when it has no room.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::Method;
use stateset_sequencer::{PoolMonitor, PoolReading, PoolState, Sequencer};
use ves_wire::error::ErrorCode;

use crate::error::ApiError;

/// A reading is good for so long.
const READ_EVERY: Duration = Duration::from_millis(500);
/// What the log says of a pool that is not healthy, at most so often.
const TELL_EVERY: Duration = Duration::from_secs(15);
/// Reads of single rows are refused, too, when the pool stayed critical for so long without the others.
const DEEPER_AFTER: Duration = Duration::from_secs(5);
/// When a caller that was refused may come again.
const RETRY_AFTER_S: u32 = 5;

/// The monitor of one term and what it lets through.
pub(crate) struct Shedding {
    began: Instant,
    /// Milliseconds after `began` of the next reading.
    read_at: AtomicU64,
    /// The depth that holds now.
    depth: AtomicU64,
    shed: AtomicU64,
    watched: Mutex<Watched>,
}

#[derive(Default)]
struct Watched {
    monitor: PoolMonitor,
    critical_since: Option<u64>,
    told_at: Option<u64>,
}

/// What a request asks of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    /// Events, changes of administrators, health: never refused here.
    Never,
    /// A read of a row or two.
    Light,
    /// A read of many rows, or one that computes.
    Heavy,
}

impl Weight {
    /// By method and path: it is asked before the route is known, and before the caller is.
    pub fn of(method: &Method, path: &str) -> Self {
        if !path.starts_with("/api/") || path.starts_with("/api/v1/admin/") {
            // An operator must see what is going on.
            return Self::Never;
        }
        let computes = ["/verify", "/proofs", "/compliance", "/validity"];
        if method != Method::GET {
            return match computes.iter().any(|part| path.contains(part)) && method == Method::POST {
                true => Self::Heavy,
                false => Self::Never,
            };
        }
        const LIGHT: [&str; 4] = ["/head", "/ves/sequencer", "/agents/", "/health"];
        match LIGHT.iter().any(|part| path.contains(part)) {
            true => Self::Light,
            false => Self::Heavy,
        }
    }
}

impl Default for Shedding {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            read_at: AtomicU64::new(0),
            depth: AtomicU64::new(0),
            shed: AtomicU64::new(0),
            watched: Mutex::default(),
        }
    }
}

impl Shedding {
    /// Lets a request pass, or refuses it.
    ///
    /// # Errors
    /// 503 with the seconds until it is worth another try.
    pub fn admit(&self, weight: Weight, sequencer: &Sequencer) -> Result<(), ApiError> {
        if weight == Weight::Never {
            return Ok(());
        }
        self.refresh(|| sequencer.pool_reading());
        let refused = match self.depth.load(Relaxed) {
            0 => false,
            1 => weight == Weight::Heavy,
            _ => true,
        };
        if !refused {
            return Ok(());
        }
        self.shed.fetch_add(1, Relaxed);
        let message = "the store is at its limit and serves events first; nothing was changed";
        Err(ApiError::new(ErrorCode::ServiceUnavailable, message).retry_after(RETRY_AFTER_S))
    }

    /// Requests that were refused here.
    pub fn shed(&self) -> u64 {
        self.shed.load(Relaxed)
    }

    /// The state that holds now.
    pub fn state(&self, sequencer: &Sequencer) -> PoolState {
        self.refresh(|| sequencer.pool_reading());
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).monitor.state()
    }

    fn refresh(&self, read: impl FnOnce() -> PoolReading) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let at = self.read_at.load(Relaxed);
        let next = now.saturating_add(READ_EVERY.as_millis() as u64);
        // One of those who come at once reads; the others go by what it read before.
        if now < at || self.read_at.compare_exchange(at, next, Relaxed, Relaxed).is_err() {
            return;
        }
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let depth = watched.observe(now, read());
        self.depth.store(depth, Relaxed);
    }
}

impl Watched {
    /// Takes a reading; how much is refused from now on.
    fn observe(&mut self, now: u64, reading: PoolReading) -> u64 {
        let before = self.monitor.state();
        let state = self.monitor.observe(now, reading);
        self.critical_since = match state {
            PoolState::Critical => Some(self.critical_since.unwrap_or(now)),
            _ => None,
        };
        let is_due = self.told_at.is_none_or(|at| now.saturating_sub(at) >= TELL_EVERY.as_millis() as u64);
        if state != before || (state > PoolState::Moderate && is_due) {
            self.told_at = Some(now);
            let used = reading.used_permille / 10;
            if state > PoolState::Moderate {
                tracing::warn!(state = state.text(), used_percent = used, "the pool is filling up");
            } else {
                tracing::info!(state = state.text(), used_percent = used, "the pool");
            }
        }
        match self.critical_since {
            None => 0,
            Some(since) if now - since < DEEPER_AFTER.as_millis() as u64 => 1,
            Some(_) => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heavy_reads_go_first_then_all_reads_and_both_come_back_by_themselves() {
        let mut watched = Watched::default();
        let full = PoolReading { used_permille: 1000, ..PoolReading::default() };
        let depths = [
            (0, PoolReading::default()),
            (500, full),
            (5_000, full),
            (5_500, full),
            // The others made room; it has to last.
            (6_000, PoolReading::default()),
            (10_400, PoolReading::default()),
            (10_500, PoolReading::default()),
        ]
        .map(|(now, reading)| watched.observe(now, reading));
        assert_eq!(depths, [0, 1, 1, 2, 2, 2, 0]);
    }

    #[test]
    fn events_changes_and_the_operators_view_are_never_shed_here() {
        let of = |method: Method, path: &str| Weight::of(&method, path);
        for (method, path) in [
            (Method::POST, "/api/v1/ves/events/ingest"),
            (Method::POST, "/api/v1/agents/keys"),
            (Method::DELETE, "/api/v1/encryption-groups/x"),
            (Method::GET, "/api/v1/admin/audit"),
            (Method::GET, "/metrics"),
            (Method::GET, "/health/detailed"),
            (Method::GET, "/ready"),
        ] {
            assert_eq!(of(method, path), Weight::Never, "{path}");
        }
        assert_eq!(of(Method::GET, "/api/v1/head"), Weight::Light);
        assert_eq!(of(Method::GET, "/api/v1/ves/events"), Weight::Heavy);
        assert_eq!(of(Method::POST, "/api/v1/ves/proofs/verify"), Weight::Heavy);
        for kind in ["compliance", "validity"] {
            assert_eq!(of(Method::POST, &format!("/api/v1/ves/{kind}/x/inputs")), Weight::Heavy, "{kind}");
        }
    }
}

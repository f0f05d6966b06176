//! The pool monitor (section 9): how full the store's connections and this process's queues are, and whether reads get
//! their connections in time. Doors refuse work by it before a full pool refuses it for them.
//!
//! [`PoolMonitor`] is pure: readings and time come in as values.

use std::collections::VecDeque;

use crate::sequencer::Sequencer;

/// Readings count for the rate of slow acquisitions for so long.
const WINDOW_MS: u64 = 60_000;
/// Slow or given-up acquisitions in the window that stress a pool.
const SLOW_MAX: u64 = 10;
/// A state lasts so long after the last reading that called for it: the pool would else empty and fill in turns.
const HOLD_MS: u64 = 5_000;

/// How full it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PoolState {
    Healthy,
    /// From 50 %.
    Moderate,
    /// From 80 %, or with ten slow acquisitions in a minute.
    Stressed,
    /// From 95 %, or with ten acquisitions in a minute that were given up.
    Critical,
}

impl PoolState {
    pub const fn text(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Moderate => "moderate",
            Self::Stressed => "stressed",
            Self::Critical => "critical",
        }
    }

    /// By its fullness alone, in thousandths.
    pub fn of_permille(used: u64) -> Self {
        match used {
            0..500 => Self::Healthy,
            500..800 => Self::Moderate,
            800..950 => Self::Stressed,
            _ => Self::Critical,
        }
    }
}

/// What a monitor looks at, at one moment. The counts only rise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolReading {
    /// In thousandths, of whatever is fullest.
    pub used_permille: u64,
    /// Acquisitions that took longer than 100 ms, ever.
    pub slow: u64,
    /// Acquisitions that were given up, ever.
    pub given_up: u64,
}

/// Judges readings. Times are milliseconds of any one clock.
#[derive(Debug)]
pub struct PoolMonitor {
    state: PoolState,
    /// When the present state was last called for.
    called_for_at: u64,
    readings: VecDeque<(u64, PoolReading)>,
}

impl Default for PoolMonitor {
    fn default() -> Self {
        Self { state: PoolState::Healthy, called_for_at: 0, readings: VecDeque::new() }
    }
}

impl PoolMonitor {
    pub fn state(&self) -> PoolState {
        self.state
    }

    /// Takes a reading; the state that holds from now on.
    pub fn observe(&mut self, now: u64, reading: PoolReading) -> PoolState {
        self.readings.push_back((now, reading));
        // The oldest that is kept lies at the beginning of the window or before it.
        while self.readings.get(1).is_some_and(|(at, _)| now.saturating_sub(*at) >= WINDOW_MS) {
            self.readings.pop_front();
        }
        let called_for = self.called_for(reading);
        if called_for >= self.state || now.saturating_sub(self.called_for_at) >= HOLD_MS {
            (self.state, self.called_for_at) = (called_for, now);
        }
        self.state
    }

    fn called_for(&self, reading: PoolReading) -> PoolState {
        let oldest = self.readings.front().map_or(reading, |(_, reading)| *reading);
        let by_fullness = PoolState::of_permille(reading.used_permille);
        if reading.given_up.saturating_sub(oldest.given_up) >= SLOW_MAX {
            by_fullness.max(PoolState::Critical)
        } else if reading.slow.saturating_sub(oldest.slow) >= SLOW_MAX {
            by_fullness.max(PoolState::Stressed)
        } else {
            by_fullness
        }
    }
}

impl Sequencer {
    /// What a monitor looks at: the fullest of the database's connections, the write queue and the threads that read.
    pub fn pool_reading(&self) -> PoolReading {
        let queue = self.metrics().queue_events;
        let mut used = permille(queue, u64::from(self.shared().queue_events_max));
        used = used.max(permille(self.reads_under_way(), Self::READS_MAX));
        if let Some(pool) = self.database_pool() {
            used = used.max(permille(pool.active() + pool.waiting, pool.max));
        }
        let acquisitions = self.database_acquisitions().unwrap_or_default();
        PoolReading { used_permille: used, slow: acquisitions.slow, given_up: acquisitions.given_up }
    }
}

fn permille(taken: u64, max: u64) -> u64 {
    taken.saturating_mul(1000) / max.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(used_permille: u64) -> PoolReading {
        PoolReading { used_permille, ..PoolReading::default() }
    }

    #[test]
    fn a_state_rises_at_once_and_falls_when_it_was_not_called_for_for_a_while() {
        let mut monitor = PoolMonitor::default();
        let states: Vec<PoolState> = [
            (0, 499),
            (1, 500),
            (2, 800),
            (3, 950),
            (4, 100),
            (5_002, 940),
            (5_003, 940),
            (5_004, 0),
            (10_003, 0),
        ]
        .map(|(now, used)| monitor.observe(now, full(used)))
        .to_vec();
        use PoolState::{Critical, Healthy, Moderate, Stressed};
        assert_eq!(
            states,
            [Healthy, Moderate, Stressed, Critical, Critical, Critical, Stressed, Stressed, Healthy]
        );
    }

    #[test]
    fn a_pool_that_swings_around_a_bound_does_not_swing_its_state() {
        let mut monitor = PoolMonitor::default();
        let mut changes = 0;
        let mut before = monitor.state();
        for n in 0..1000 {
            let now = monitor.observe(n * 500, full(if n % 2 == 0 { 951 } else { 949 }));
            changes += usize::from(now != before);
            before = now;
        }
        assert_eq!((changes, before), (1, PoolState::Critical));
    }

    #[test]
    fn slow_acquisitions_stress_a_pool_that_is_not_full_until_a_minute_has_passed() {
        let mut monitor = PoolMonitor::default();
        let slow = |slow, given_up| PoolReading { used_permille: 100, slow, given_up };
        assert_eq!(monitor.observe(0, slow(40, 0)), PoolState::Healthy, "from before this monitor");
        assert_eq!(monitor.observe(1_000, slow(49, 0)), PoolState::Healthy);
        assert_eq!(monitor.observe(2_000, slow(50, 0)), PoolState::Stressed);
        assert_eq!(monitor.observe(3_000, slow(60, 10)), PoolState::Critical);
        assert_eq!(monitor.observe(62_999, slow(60, 10)), PoolState::Critical);
        assert_eq!(monitor.observe(70_000, slow(60, 10)), PoolState::Healthy);
    }
}

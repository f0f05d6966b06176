//! When an endpoint that fails is left alone for a while. Pure: time comes in as milliseconds.

use std::collections::VecDeque;

/// Bounds of a [`Breaker`] (anchoring, section 4, point 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Failures within `window_ms` that open it.
    pub failures: usize,
    pub window_ms: i64,
    /// How long it stays open the first time; it doubles with each probe that fails.
    pub open_ms: i64,
    pub open_ms_max: i64,
    /// Good probes that close it.
    pub probes: u32,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { failures: 5, window_ms: 120_000, open_ms: 60_000, open_ms_max: 300_000, probes: 3 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    Closed,
    /// Nothing is asked until then.
    Open {
        until_ms: i64,
        for_ms: i64,
    },
    /// One question at a time; so many were answered.
    HalfOpen {
        good: u32,
        for_ms: i64,
    },
}

#[derive(Debug, Clone)]
pub struct Breaker {
    settings: BreakerSettings,
    state: BreakerState,
    /// Times of recent failures.
    failures: VecDeque<i64>,
}

impl Breaker {
    pub fn new(settings: BreakerSettings) -> Self {
        Self { settings, state: BreakerState::Closed, failures: VecDeque::new() }
    }

    pub fn state(&self) -> BreakerState {
        self.state
    }

    /// Whether the endpoint may be asked now; else how many milliseconds are left.
    pub fn may_ask(&mut self, now_ms: i64) -> Result<(), i64> {
        if let BreakerState::Open { until_ms, for_ms } = self.state {
            if now_ms < until_ms {
                return Err(until_ms - now_ms);
            }
            self.state = BreakerState::HalfOpen { good: 0, for_ms };
        }
        Ok(())
    }

    pub fn succeeded(&mut self) {
        if let BreakerState::HalfOpen { good, for_ms } = self.state {
            self.state = match good + 1 >= self.settings.probes {
                true => BreakerState::Closed,
                false => BreakerState::HalfOpen { good: good + 1, for_ms },
            };
            self.failures.clear();
        }
    }

    pub fn failed(&mut self, now_ms: i64) {
        if let BreakerState::HalfOpen { for_ms, .. } = self.state {
            return self.open(now_ms, (for_ms * 2).min(self.settings.open_ms_max));
        }
        self.failures.push_back(now_ms);
        while self.failures.front().is_some_and(|first| now_ms - first > self.settings.window_ms) {
            self.failures.pop_front();
        }
        if self.failures.len() >= self.settings.failures {
            self.open(now_ms, self.settings.open_ms);
        }
    }

    fn open(&mut self, now_ms: i64, for_ms: i64) {
        self.failures.clear();
        self.state = BreakerState::Open { until_ms: now_ms + for_ms, for_ms };
    }
}

/// Longest pause between two tries of what fails.
const PAUSE_MS_MAX: u64 = 300_000;

/// Milliseconds before the next try: anything from 0 to a bound that doubles from `first_ms` up to five minutes. `random`
/// is any number; so many clients that failed together do not come back together.
pub fn pause_ms(failures_in_a_row: u32, first_ms: u64, random: u64) -> u64 {
    let doubled = first_ms.saturating_mul(1u64 << failures_in_a_row.saturating_sub(1).min(20));
    random % (doubled.clamp(1, PAUSE_MS_MAX) + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn broken(at: i64) -> Breaker {
        let mut breaker = Breaker::new(BreakerSettings::default());
        for n in 0..5 {
            assert_eq!(breaker.may_ask(at + n), Ok(()));
            breaker.failed(at + n);
        }
        breaker
    }

    #[test]
    fn five_failures_in_two_minutes_open_it() {
        let mut breaker = broken(0);
        assert_eq!(breaker.may_ask(30_004), Err(30_000));
        let mut slow = Breaker::new(BreakerSettings::default());
        for n in 0..50 {
            slow.failed(n * 31_000);
        }
        assert_eq!(slow.may_ask(0), Ok(()), "never five within two minutes");
    }

    #[test]
    fn three_good_probes_close_it_and_a_bad_one_doubles_the_pause() {
        let mut breaker = broken(0);
        assert_eq!(breaker.may_ask(60_004), Ok(()));
        breaker.failed(60_004);
        assert_eq!(breaker.may_ask(60_005), Err(119_999));
        assert_eq!(breaker.may_ask(180_004), Ok(()));
        for _ in 0..3 {
            assert_ne!(breaker.state(), BreakerState::Closed);
            breaker.succeeded();
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn the_pause_has_an_end() {
        let mut breaker = broken(0);
        let mut now = 60_004;
        for _ in 0..10 {
            assert_eq!(breaker.may_ask(now), Ok(()));
            breaker.failed(now);
            let BreakerState::Open { until_ms, for_ms } = breaker.state() else { panic!("closed") };
            assert!(for_ms <= 300_000);
            now = until_ms;
        }
    }

    proptest! {
        #[test]
        fn pauses_are_spread_below_a_doubling_bound(failures in 1u32..100, first in 1u64..10_000, random: u64) {
            let pause = pause_ms(failures, first, random);
            prop_assert!(pause <= PAUSE_MS_MAX);
            prop_assert!(pause <= first.saturating_mul(1 << (failures - 1).min(20)));
        }
    }
}

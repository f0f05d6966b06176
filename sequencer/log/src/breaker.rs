//! Circuit breakers around what lies outside this process (sequencer API, section 9): a service that fails is left alone for a while,
//! so that its callers are refused at once instead of waiting for it, and it gets time to recover.
//!
//! ```text
//! closed ── 5 failures in 60 s ──► open ── 30 s, then twice as long, at most 300 s ──► half-open
//!   ▲                               ▲                                                   │ │
//!   └──────────── 3 successes ──────┼───────────────────────────────────────────────────┘ │
//!                                   └──────────── 1 failure ───────────────────────────────┘
//! ```
//!
//! [`Machine`] is pure: time and jitter come in as values. [`Breaker`] gives it a clock and a lock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerConfig {
    /// Failures within `window_ms` that open it.
    pub failures_max: usize,
    pub window_ms: u64,
    /// How long it stays open the first time; doubled each time that the trial fails.
    pub open_ms: u64,
    pub open_ms_max: u64,
    /// Calls that may be under way while it is half-open.
    pub trials_max: u32,
    /// Successes in a row that close it then.
    pub successes_to_close: u32,
    /// A call that takes longer counts as a failure, whatever it answers; `None` looks at answers alone. Calls are often made one
    /// after the other: less than `window_ms` over `failures_max`, or slow ones never add up.
    pub slow_ms: Option<u64>,
}

impl Default for BreakerConfig {
    /// The numbers of section 9, which leaves the slow call to whoever knows the service.
    fn default() -> Self {
        Self {
            failures_max: 5,
            window_ms: 60_000,
            open_ms: 30_000,
            open_ms_max: 300_000,
            trials_max: 3,
            successes_to_close: 3,
            slow_ms: None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    Closed,
    Open,
    HalfOpen,
}

impl BreakerState {
    pub const fn text(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// Leave to make one call. Its outcome belongs to the period in which it was given: an answer that comes after the
/// breaker moved on says nothing of the service as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leave {
    period: u64,
}

/// The state machine. Times are milliseconds of any one clock.
#[derive(Debug, Clone)]
pub struct Machine {
    config: BreakerConfig,
    state: BreakerState,
    /// Rises with each change of state.
    period: u64,
    /// Of failures in the window, while closed.
    failures: VecDeque<u64>,
    open_until: u64,
    /// How often it opened in a row without closing.
    openings: u32,
    trials: u32,
    successes: u32,
}

/// Doublings after which the longest pause is reached for sure.
const OPENINGS_MAX: u32 = 16;
/// Part of a pause by which jitter moves it.
const JITTER: f64 = 0.1;

impl Machine {
    pub fn new(config: BreakerConfig) -> Self {
        Self {
            config,
            state: BreakerState::Closed,
            period: 0,
            failures: VecDeque::new(),
            open_until: 0,
            openings: 0,
            trials: 0,
            successes: 0,
        }
    }

    pub fn state(&self) -> BreakerState {
        self.state
    }

    /// Asks for leave; `Err` is the time in milliseconds until it is worth another try.
    pub fn ask(&mut self, now: u64) -> Result<Leave, u64> {
        if self.state == BreakerState::Open {
            if now < self.open_until {
                return Err(self.open_until - now);
            }
            self.enter(BreakerState::HalfOpen);
        }
        if self.state == BreakerState::HalfOpen {
            if self.trials >= self.config.trials_max {
                // A trial that never ends must not keep the others out for ever.
                return Err(self.config.open_ms.min(1_000));
            }
            self.trials += 1;
        }
        Ok(Leave { period: self.period })
    }

    /// A call ended well or not after `took` milliseconds; says whether it counts as a success. `jitter` is between -1 and 1.
    pub fn end(&mut self, leave: Leave, now: u64, took: u64, is_good: bool, jitter: f64) -> bool {
        let is_good = is_good && self.config.slow_ms.is_none_or(|slow| took <= slow);
        if leave.period == self.period {
            self.count(now, is_good, jitter);
        }
        is_good
    }

    fn count(&mut self, now: u64, is_good: bool, jitter: f64) {
        match (self.state, is_good) {
            (BreakerState::Closed, true) | (BreakerState::Open, _) => {}
            (BreakerState::Closed, false) => {
                self.failures.push_back(now);
                let since = now.saturating_sub(self.config.window_ms);
                while self.failures.front().is_some_and(|at| *at < since) {
                    self.failures.pop_front();
                }
                if self.failures.len() >= self.config.failures_max {
                    self.open(now, jitter);
                }
            }
            (BreakerState::HalfOpen, false) => self.open(now, jitter),
            (BreakerState::HalfOpen, true) => {
                self.trials = self.trials.saturating_sub(1);
                self.successes += 1;
                if self.successes >= self.config.successes_to_close {
                    self.openings = 0;
                    self.enter(BreakerState::Closed);
                }
            }
        }
    }

    /// A call was given up without an outcome: its place is free again.
    pub fn give_up(&mut self, leave: Leave) {
        if leave.period == self.period && self.state == BreakerState::HalfOpen {
            self.trials = self.trials.saturating_sub(1);
        }
    }

    fn open(&mut self, now: u64, jitter: f64) {
        let doubled = self.config.open_ms.saturating_mul(1 << self.openings.min(OPENINGS_MAX));
        let pause = doubled.min(self.config.open_ms_max);
        self.openings = self.openings.saturating_add(1);
        self.open_until = now.saturating_add(moved(pause, jitter));
        self.enter(BreakerState::Open);
    }

    fn enter(&mut self, state: BreakerState) {
        self.state = state;
        self.period += 1;
        self.failures.clear();
        (self.trials, self.successes) = (0, 0);
    }
}

/// `pause` moved by at most a tenth: breakers that opened together do not try again together.
fn moved(pause: u64, jitter: f64) -> u64 {
    let factor = 1.0 + JITTER * jitter.clamp(-1.0, 1.0);
    (pause as f64 * factor) as u64
}

/// What a breaker shows of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerReading {
    pub state: BreakerState,
    pub successes: u64,
    pub failures: u64,
    /// Calls that were refused without being made.
    pub rejected: u64,
}

/// The service behind a breaker is left alone now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it failed again and again and is left alone for {} s more", retry_after.as_secs().max(1))]
pub struct LeftAlone {
    pub retry_after: Duration,
}

/// A breaker with a clock.
pub struct Breaker {
    name: &'static str,
    began: Instant,
    held: Mutex<Held>,
}

struct Held {
    machine: Machine,
    reading: (u64, u64, u64),
}

impl Breaker {
    pub fn new(name: &'static str, config: BreakerConfig) -> Self {
        let held = Held { machine: Machine::new(config), reading: (0, 0, 0) };
        Self { name, began: Instant::now(), held: Mutex::new(held) }
    }

    /// Leave to make one call, whose outcome is told to it.
    ///
    /// # Errors
    /// [`LeftAlone`], at once.
    pub fn ask(self: &Arc<Self>) -> Result<Call, LeftAlone> {
        let now = self.now();
        let mut held = self.held();
        match held.machine.ask(now) {
            Ok(leave) => Ok(Call { breaker: self.clone(), leave, started: now, is_ended: false }),
            Err(wait) => {
                held.reading.2 += 1;
                Err(LeftAlone { retry_after: Duration::from_millis(wait) })
            }
        }
    }

    pub fn reading(&self) -> BreakerReading {
        let held = self.held();
        let (successes, failures, rejected) = held.reading;
        BreakerReading { state: held.machine.state(), successes, failures, rejected }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One call under way. Dropped without an outcome it counts as neither.
pub struct Call {
    breaker: Arc<Breaker>,
    leave: Leave,
    started: u64,
    is_ended: bool,
}

impl Call {
    /// How the call ended. What the service refused by its own rules is no failure of the service.
    pub fn end(mut self, is_good: bool) {
        self.is_ended = true;
        let now = self.breaker.now();
        let mut held = self.breaker.held();
        let before = held.machine.state();
        let is_good = held.machine.end(self.leave, now, now - self.started, is_good, jitter());
        let counter = if is_good { &mut held.reading.0 } else { &mut held.reading.1 };
        *counter += 1;
        let after = held.machine.state();
        drop(held);
        if before != after {
            let service = self.breaker.name;
            tracing::warn!(
                service,
                from = before.text(),
                to = after.text(),
                "a circuit breaker changed its state"
            );
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.is_ended {
            self.breaker.held().machine.give_up(self.leave);
        }
    }
}

/// Between -1 and 1; without random bytes 0.
pub fn jitter() -> f64 {
    let mut byte = [128];
    let _ = getrandom::fill(&mut byte);
    (f64::from(byte[0]) - 127.5) / 127.5
}

/// The breakers of this process, by the service that each guards. Clones share them.
#[derive(Clone, Default)]
pub struct Breakers(Arc<Mutex<BTreeMap<&'static str, Arc<Breaker>>>>);

impl Breakers {
    /// The breaker of a service, made with `config` where it is new.
    pub fn of(&self, service: &'static str, config: BreakerConfig) -> Arc<Breaker> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(service).or_insert_with(|| Arc::new(Breaker::new(service, config))).clone()
    }

    /// Puts a new breaker in the place of one whose service is another one now.
    pub fn renewed(&self, service: &'static str, config: BreakerConfig) -> Arc<Breaker> {
        let breaker = Arc::new(Breaker::new(service, config));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(service, breaker.clone());
        breaker
    }

    /// Every breaker, by name.
    pub fn readings(&self) -> Vec<(&'static str, BreakerReading)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(name, breaker)| (*name, breaker.reading())).collect()
    }
}

#[cfg(test)]
mod tests;

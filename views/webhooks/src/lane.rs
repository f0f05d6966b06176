//! One stream to one receiver: its events one after the other, each until it is taken or given up.
//!
//! An event is never passed while it fails, so what a receiver gets is in the order of the stream. The place moves on with
//! an answer and with nothing else, so an event that was taken is not sent again, however often the process stops between;
//! only an answer that was lost on its way is followed by the same delivery with the same id.

use crate::schedule::{GIVE_UP_AFTER_MS, wait_ms};

/// The place of a lane, and how the event there fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lane {
    /// Sequence number of the next event to look at.
    pub next: u64,
    /// `None` while nothing failed at `next`.
    pub failing: Option<Failing>,
}

/// An event that was not taken yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failing {
    /// Failures so far, one at least.
    pub failures: u32,
    /// When the first one was, in Unix milliseconds.
    pub since_ms: i64,
    /// When it is tried again.
    pub retry_at_ms: i64,
}

/// What became of one delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// An answer of 2xx.
    Taken,
    /// Anything else. `wait_ms_min`: what the receiver itself asks for, 0 where it asks for nothing.
    Failed { wait_ms_min: i64 },
}

/// What follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The lane goes on with the next event.
    Delivered { attempts: u32 },
    /// The same event again, then.
    RetryAt { ms: i64, attempts: u32 },
    /// It failed for three days: it is a dead letter, and the lane goes on with the next event.
    GivenUp { attempts: u32 },
    /// The lane was moved meanwhile: nothing follows.
    Stale,
}

impl Lane {
    /// A lane that begins with event `next`.
    pub fn new(next: u64) -> Self {
        Self { next: next.max(1), failing: None }
    }

    /// When event `next` may be sent: at once, or after a failure.
    pub fn ready_at_ms(&self) -> i64 {
        self.failing.map_or(i64::MIN, |failing| failing.retry_at_ms)
    }

    /// The receiver does not want the events before `next`: it never did, or no longer does and one of them failed.
    pub fn pass_to(&mut self, next: u64) {
        assert!(next >= self.next, "a lane does not go back by itself");
        *self = Self::new(next);
    }

    /// The receiver is another one now, or hears again: what failed is tried at once, and has three days anew.
    pub fn begin_again(&mut self) {
        self.failing = None;
    }

    /// Event `number` was sent; `spread` is random.
    pub fn answered(&mut self, number: u64, verdict: Verdict, now_ms: i64, spread: u16) -> Outcome {
        if number != self.next {
            return Outcome::Stale;
        }
        let failures = self.failing.map_or(0, |failing| failing.failures);
        let attempts = failures.saturating_add(1);
        let Verdict::Failed { wait_ms_min } = verdict else {
            *self = Self::new(number + 1);
            return Outcome::Delivered { attempts };
        };
        // A clock that was set back neither shortens nor lengthens three days by more than that.
        let since_ms = self.failing.map_or(now_ms, |failing| failing.since_ms.min(now_ms));
        if now_ms.saturating_sub(since_ms) >= GIVE_UP_AFTER_MS {
            *self = Self::new(number + 1);
            return Outcome::GivenUp { attempts };
        }
        let last_chance = since_ms.saturating_add(GIVE_UP_AFTER_MS);
        let wait_ms = wait_ms(attempts, spread).max(wait_ms_min);
        let retry_at_ms = now_ms.saturating_add(wait_ms).min(last_chance);
        self.failing = Some(Failing { failures: attempts, since_ms, retry_at_ms });
        Outcome::RetryAt { ms: retry_at_ms, attempts }
    }

    /// Somebody asks for everything from event `from` on once more; or, where that is `next`, for a try at once.
    pub fn replay(&mut self, from: u64) {
        *self = Self::new(from);
    }
}

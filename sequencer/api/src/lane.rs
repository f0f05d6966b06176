//! A narrow lane for callers whose events are refused for their keys or signatures.
//!
//! Such events cost as much to check as good ones and can be made up without end, so whoever keeps sending them is
//! served one request at a time, all such callers together. Everyone else does not notice them. A caller leaves the
//! lane with the first requests that hold good events. All doors share it.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::Duration;

use stateset_sequencer::EventResult;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use ves::Rejection;

use crate::error::{ApiError, unavailable};
use crate::rate::Counted;

/// Callers are told apart by a hash of this many values: two that share one share their lane.
const SLOTS: usize = 4096;
/// Requests in a row that lead into the lane; some are anyone's mistake.
const DEBT_OF_LANE: u8 = 4;
/// Good requests that lead out of it, less the ones above.
const DEBT_MAX: u8 = 8;
/// Longest wait in the lane.
const WAIT_MAX: Duration = Duration::from_secs(10);

pub(crate) struct Lanes {
    /// Requests that ended badly, less those that ended well, by caller.
    debts: Arc<[AtomicU8]>,
    hasher: RandomState,
    narrow: Arc<Semaphore>,
}

/// One request's way through.
pub(crate) struct Way {
    debts: Arc<[AtomicU8]>,
    /// The caller's place among them.
    slot: usize,
    _narrow: Option<OwnedSemaphorePermit>,
}

impl Default for Lanes {
    fn default() -> Self {
        Self {
            debts: (0..SLOTS).map(|_| AtomicU8::new(0)).collect(),
            hasher: RandomState::new(),
            narrow: Arc::new(Semaphore::new(1)),
        }
    }
}

impl Lanes {
    /// Lets a caller in at once, or through the narrow lane. Called after the body is read, so that nobody has the
    /// lane that has yet to send; the memory held there is of the caller's own share.
    pub async fn enter(&self, caller: Counted) -> Result<Way, ApiError> {
        let slot = self.hasher.hash_one(caller) as usize % SLOTS;
        let narrow = match self.debts[slot].load(Relaxed) >= DEBT_OF_LANE {
            false => None,
            true => {
                let waited = tokio::time::timeout(WAIT_MAX, self.narrow.clone().acquire_owned()).await;
                let Ok(Ok(narrow)) = waited else {
                    let message = "too many events with bad keys are being checked; nothing was changed";
                    return Err(unavailable(message.to_owned()));
                };
                Some(narrow)
            }
        };
        Ok(Way { debts: self.debts.clone(), slot, _narrow: narrow })
    }
}

impl Way {
    /// Notes how a request ended.
    pub fn note(&self, results: &[EventResult]) {
        let bad = results.iter().filter(|result| is_bad(result)).count();
        let debt = &self.debts[self.slot];
        let (was, is_good) = (debt.load(Relaxed), bad * 2 <= results.len());
        // Requests at the same time may miss one another's count: the lane is no exact one.
        match is_good {
            true if was > 0 => debt.store(was - 1, Relaxed),
            false if was < DEBT_MAX => debt.store(was + 1, Relaxed),
            _ => {}
        }
    }
}

fn is_bad(result: &EventResult) -> bool {
    let EventResult::Rejected { rejection, .. } = result else { return false };
    matches!(rejection, Rejection::AgentKeyInvalid(_) | Rejection::InvalidSignature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ves::{Digest, KeyProblem};

    fn bad() -> EventResult {
        EventResult::Rejected { event_id: None, rejection: Rejection::AgentKeyInvalid(KeyProblem::NotFound) }
    }

    fn other() -> EventResult {
        EventResult::Rejected { event_id: None, rejection: Rejection::DuplicateEventId }
    }

    #[tokio::test(start_paused = true)]
    async fn only_callers_whose_keys_are_refused_wait_for_one_another() {
        let lanes = Lanes::default();
        let caller = |n| Counted::Key(Digest([n; 32]));
        for n in [1, 2] {
            for _ in 0..DEBT_OF_LANE {
                lanes.enter(caller(n)).await.unwrap().note(&[bad(), bad(), other()]);
            }
        }
        // Refused for what they say, not for who they are.
        for _ in 0..20 {
            lanes.enter(caller(3)).await.unwrap().note(&[bad(), other()]);
        }
        let first = lanes.enter(caller(1)).await.unwrap();
        assert!(lanes.enter(caller(2)).await.is_err(), "the lane is taken");
        let (third, again) = (lanes.enter(caller(3)).await.unwrap(), lanes.enter(caller(3)).await.unwrap());
        drop((third, again));
        // A request with good events leads out.
        first.note(&[other()]);
        let _second = lanes.enter(caller(1)).await.unwrap();
        drop(first);
        assert!(lanes.enter(caller(2)).await.is_ok(), "the lane is free again");
    }
}

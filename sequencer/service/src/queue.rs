//! The queue in front of the turn loop: many callers put, one thread takes all there is.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Unbounded in itself: its users hold a permit for each event they put (see `ingest`).
pub(crate) struct Queue<T> {
    items: Mutex<State<T>>,
    filled: Condvar,
}

struct State<T> {
    waiting: VecDeque<T>,
    closed: bool,
    /// Items at which the sleeping taker has to be woken; [`AWAKE`] while it does not sleep.
    wake_at: usize,
}

const AWAKE: usize = usize::MAX;

/// How long a taker that has something waits for company.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Gather {
    /// Enough items to go on at once.
    pub items: usize,
    pub wait: Duration,
}

impl<T> Queue<T> {
    pub fn new() -> Self {
        let state = State { waiting: VecDeque::new(), closed: false, wake_at: AWAKE };
        Self { items: Mutex::new(state), filled: Condvar::new() }
    }

    /// Gives the item back when the queue is closed.
    pub fn put(&self, item: T) -> Result<(), T> {
        let mut state = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return Err(item);
        }
        state.waiting.push_back(item);
        if state.waiting.len() >= state.wake_at {
            state.wake_at = AWAKE;
            drop(state);
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Takes items in order while `fits` says so (the first always fits).
    ///
    /// Waits up to `wait` for a first item, then as `gather` says for more.
    pub fn take(&self, wait: Duration, gather: Gather, mut fits: impl FnMut(&T) -> bool) -> Vec<T> {
        let state = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self.sleep(state, 1, wait);
        let mut state = match state.waiting.is_empty() {
            true => state,
            false => self.sleep(state, gather.items, gather.wait),
        };
        let mut taken = Vec::new();
        while let Some(item) = state.waiting.front() {
            if !fits(item) && !taken.is_empty() {
                break;
            }
            taken.extend(state.waiting.pop_front());
        }
        taken
    }

    /// Sleeps until `items` wait, the queue is closed, or the time is over.
    fn sleep<'a>(
        &'a self,
        mut state: MutexGuard<'a, State<T>>,
        items: usize,
        wait: Duration,
    ) -> MutexGuard<'a, State<T>> {
        if state.waiting.len() >= items || state.closed || wait.is_zero() {
            return state;
        }
        state.wake_at = items;
        let waited = self.filled.wait_timeout_while(state, wait, |s| s.waiting.len() < items && !s.closed);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.wake_at = AWAKE;
        state
    }

    /// Items that wait now.
    pub fn len(&self) -> usize {
        self.items.lock().unwrap_or_else(PoisonError::into_inner).waiting.len()
    }

    /// Refuses further puts; what waits is still taken.
    pub fn close(&self) {
        self.items.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.filled.notify_one();
    }

    /// Closes and empties: whoever waits for an answer to what is dropped here learns that none will come.
    pub fn abandon(&self) {
        let mut state = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed = true;
        let dropped = std::mem::take(&mut state.waiting);
        drop(state);
        drop(dropped);
    }

    /// Closed and empty.
    pub fn is_finished(&self) -> bool {
        let state = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed && state.waiting.is_empty()
    }
}

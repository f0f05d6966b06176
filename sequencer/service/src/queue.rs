//! The queue in front of the turn loop: many callers put, one thread takes all there is.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Unbounded in itself: its users hold a permit for each event they put (see `ingest`).
pub(crate) struct Queue<T> {
    items: Mutex<State<T>>,
    filled: Condvar,
}

struct State<T> {
    waiting: VecDeque<T>,
    closed: bool,
    /// The taker sleeps: only then does a put have to wake it.
    idle: bool,
}

impl<T> Queue<T> {
    pub fn new() -> Self {
        let state = State { waiting: VecDeque::new(), closed: false, idle: false };
        Self { items: Mutex::new(state), filled: Condvar::new() }
    }

    /// Gives the item back when the queue is closed.
    pub fn put(&self, item: T) -> Result<(), T> {
        let mut state = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return Err(item);
        }
        state.waiting.push_back(item);
        if std::mem::take(&mut state.idle) {
            drop(state);
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Takes items in order while `fits` says so (the first always fits); waits up to `wait` for one.
    pub fn take(&self, wait: Duration, mut fits: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut state = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        if state.waiting.is_empty() && !state.closed {
            state.idle = true;
            let waited = self.filled.wait_timeout_while(state, wait, |s| s.waiting.is_empty() && !s.closed);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.idle = false;
        }
        let mut taken = Vec::new();
        while let Some(item) = state.waiting.front() {
            if !fits(item) && !taken.is_empty() {
                break;
            }
            taken.extend(state.waiting.pop_front());
        }
        taken
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

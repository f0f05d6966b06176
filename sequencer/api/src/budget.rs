//! The bytes that requests may hold at once: one shared count for bodies on their way in and pages on their way out.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use ves_wire::error::ErrorCode;

use crate::error::ApiError;

/// Bytes held at once by default.
pub(crate) const BYTES_IN_FLIGHT_MAX: usize = 64 << 20;

/// Bytes not yet given out. Whoever wants more than is left waits, in order, within its request's time.
pub(crate) struct Budget {
    left: Arc<Semaphore>,
    max: u32,
}

/// Bytes taken from the budget, given back when this is dropped. `None`: nothing was asked for.
pub(crate) struct Room(Option<OwnedSemaphorePermit>);

impl Budget {
    pub fn new(bytes_max: usize) -> Self {
        let max = u32::try_from(bytes_max.clamp(1, Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        Self { left: Arc::new(Semaphore::new(max as usize)), max }
    }

    /// Takes `bytes` at once, or waits until they are there. A request takes room once, so that no two wait for
    /// each other; one that asks for more than the whole budget gets all of it.
    pub async fn take(&self, bytes: usize) -> Result<Room, ApiError> {
        if bytes == 0 {
            return Ok(Room(None));
        }
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.max);
        let permit = match self.left.clone().try_acquire_many_owned(bytes) {
            Ok(permit) => permit,
            Err(_) => self.left.clone().acquire_many_owned(bytes).await.map_err(|_| closed())?,
        };
        Ok(Room(Some(permit)))
    }
}

/// The budget is never closed; were it, requests would be refused.
fn closed() -> ApiError {
    ApiError::new(ErrorCode::ServiceUnavailable, "the service is stopping")
}

impl Room {
    #[cfg(test)]
    pub fn none() -> Self {
        Self(None)
    }

    /// Gives back all but `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        if let Some(permit) = &mut self.0
            && let Some(surplus) = permit.num_permits().checked_sub(bytes)
        {
            drop(permit.split(surplus));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn room_is_waited_for_and_given_back() {
        let budget = Budget::new(100);
        let mut first = budget.take(80).await.unwrap();
        let waiting = tokio::time::timeout(std::time::Duration::from_millis(5), budget.take(60));
        assert!(waiting.await.is_err(), "80 of 100 bytes are held");
        first.shrink_to(40);
        let second = budget.take(60).await.unwrap();
        drop((first, second));
        drop(budget.take(1000).await.unwrap());
        assert_eq!(budget.left.available_permits(), 100);
    }
}

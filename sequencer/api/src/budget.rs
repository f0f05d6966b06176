//! The bytes that requests may hold at once: one shared count for bodies on their way in and pages on their way out.
//! No tenant gets more than half of them, so that one that fills its share stands in nobody else's way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::body::{Body, Bytes};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use ves::TenantId;
use ves_wire::error::ErrorCode;

use crate::error::{ApiError, unavailable};

/// Bytes held at once by default.
pub(crate) const BYTES_IN_FLIGHT_MAX: usize = 64 << 20;
/// Longest wait of a body for its next bytes. It holds what came before, so that many such bodies could wait for one
/// another for ever.
const GROWTH_TIME_MAX: Duration = Duration::from_secs(2);
/// Shares that are remembered before those that nobody uses are forgotten.
const SHARES_KEPT: usize = 1000;

/// Bytes not yet given out. Whoever wants more than is left waits, in order, within its request's time.
pub(crate) struct Budget {
    whole: Arc<Semaphore>,
    share_max: u32,
    shares: Mutex<HashMap<TenantId, Weak<Semaphore>>>,
}

/// Bytes taken from the budget, given back when this is dropped.
pub(crate) struct Room {
    /// Of the tenant's share and of the whole: as many of both.
    share: OwnedSemaphorePermit,
    whole: OwnedSemaphorePermit,
    max: usize,
}

impl Budget {
    pub fn new(bytes_max: usize) -> Self {
        let max = u32::try_from(bytes_max.clamp(2, Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        Self { whole: Arc::new(Semaphore::new(max as usize)), share_max: max / 2, shares: Mutex::default() }
    }

    /// Room for nothing yet, in the share of a tenant; callers without credential have that of the nil tenant.
    pub fn empty(&self, tenant_id: &TenantId) -> Result<Room, ApiError> {
        let share = self.share(tenant_id).try_acquire_many_owned(0).map_err(|_| closed())?;
        let whole = self.whole.clone().try_acquire_many_owned(0).map_err(|_| closed())?;
        Ok(Room { share, whole, max: self.share_max as usize })
    }

    /// Takes `bytes` at once, or waits until they are there. One that asks for more than its share gets all of that.
    pub async fn take(&self, tenant_id: &TenantId, bytes: usize) -> Result<Room, ApiError> {
        let mut room = self.empty(tenant_id)?;
        room.add(bytes).await?;
        Ok(room)
    }

    fn share(&self, tenant_id: &TenantId) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(tenant_id).and_then(Weak::upgrade) {
            return share;
        }
        if shares.len() >= SHARES_KEPT {
            shares.retain(|_, share| share.strong_count() > 0);
        }
        let share = Arc::new(Semaphore::new(self.share_max as usize));
        shares.insert(*tenant_id, Arc::downgrade(&share));
        share
    }
}

/// The budget is never closed; were it, requests would be refused.
fn closed() -> ApiError {
    ApiError::new(ErrorCode::ServiceUnavailable, "the service is stopping")
}

impl Room {
    pub fn bytes(&self) -> usize {
        self.whole.num_permits()
    }

    /// Grows to `bytes`, for one that already holds some: refused when that takes long.
    pub async fn grow_to(&mut self, bytes: usize) -> Result<(), ApiError> {
        let more = bytes.saturating_sub(self.bytes());
        match tokio::time::timeout(GROWTH_TIME_MAX, self.add(more)).await {
            Ok(grown) => grown,
            Err(_) => {
                let message = "too many bytes are being sent and read at once; nothing was changed";
                Err(unavailable(message.to_owned()))
            }
        }
    }

    /// Dropping the call half-way takes nothing.
    async fn add(&mut self, bytes: usize) -> Result<(), ApiError> {
        let bytes = bytes.min(self.max - self.bytes());
        if bytes == 0 {
            return Ok(());
        }
        // Not more than the share, which is a u32.
        let bytes = bytes as u32;
        let of_share = self.share.semaphore().clone();
        let share = of_share.acquire_many_owned(bytes).await.map_err(|_| closed())?;
        let of_whole = self.whole.semaphore().clone();
        let whole = of_whole.acquire_many_owned(bytes).await.map_err(|_| closed())?;
        self.share.merge(share);
        self.whole.merge(whole);
        Ok(())
    }

    /// Gives back all but `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        if let Some(surplus) = self.bytes().checked_sub(bytes) {
            drop((self.share.split(surplus), self.whole.split(surplus)));
        }
    }

    /// A text that holds its room until the last of it is sent or the connection is gone, however slowly it is read.
    pub fn body(mut self, text: String) -> Body {
        self.shrink_to(text.len());
        Body::from(self.bytes_of(text.into_bytes()))
    }

    fn bytes_of(self, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(Roomed { bytes, _room: self })
    }
}

struct Roomed {
    bytes: Vec<u8>,
    _room: Room,
}

impl AsRef<[u8]> for Roomed {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Bytes that are coming in, with room for those that are there: what is announced and not sent costs nothing.
pub(crate) struct Gathered {
    pub bytes: Vec<u8>,
    pub room: Room,
}

impl Gathered {
    pub fn new(room: Room) -> Self {
        Self { bytes: Vec::new(), room }
    }

    /// Adds bytes of `bytes_max` in all. Dropping the call half-way adds nothing.
    pub async fn push(&mut self, data: &[u8], bytes_max: usize) -> Result<(), ApiError> {
        let needed = self.bytes.len() + data.len();
        if needed > self.bytes.capacity() {
            // Half as much again as was sent: few steps, and little that is not filled.
            let wanted = (needed + self.bytes.len() / 2).min(bytes_max.max(needed));
            self.room.grow_to(wanted).await?;
            self.bytes.reserve_exact(wanted - self.bytes.len());
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(n: u8) -> TenantId {
        TenantId::from_bytes([n; 16])
    }

    async fn waits(budget: &Budget, bytes: usize) -> bool {
        tokio::time::timeout(Duration::from_millis(5), budget.take(&tenant(1), bytes)).await.is_err()
    }

    #[tokio::test]
    async fn room_is_waited_for_and_given_back() {
        let budget = Budget::new(200);
        let mut first = budget.take(&tenant(1), 80).await.unwrap();
        assert!(waits(&budget, 60).await, "80 of 100 bytes are held");
        first.shrink_to(40);
        let second = budget.take(&tenant(1), 60).await.unwrap();
        drop((first, second));
        drop(budget.take(&tenant(1), 1000).await.unwrap());
        assert_eq!(budget.whole.available_permits(), 200);
    }

    #[tokio::test]
    async fn a_tenant_with_its_whole_share_stands_in_nobody_elses_way() {
        let budget = Budget::new(200);
        let _all = budget.take(&tenant(1), 1000).await.unwrap();
        assert!(waits(&budget, 1).await);
        assert_eq!(budget.take(&tenant(2), 1000).await.unwrap().bytes(), 100);
        (0..3000u32).for_each(|n| {
            let id = [n.to_be_bytes(), [1; 4], [1; 4], [1; 4]].concat();
            drop(budget.empty(&TenantId::from_bytes(id.try_into().unwrap())));
        });
        assert!(budget.shares.lock().unwrap().len() <= SHARES_KEPT, "unused shares are forgotten");
        assert!(waits(&budget, 1).await, "a share in use is not");
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_that_fill_the_share_together_are_refused_and_not_stuck() {
        let budget = Budget::new(200);
        let mut bodies = Vec::new();
        for _ in 0..2 {
            let mut body = Gathered::new(budget.empty(&tenant(1)).unwrap());
            body.push(&[0; 50], 1000).await.unwrap();
            bodies.push(body);
        }
        let error = bodies[0].push(&[0; 30], 1000).await.unwrap_err();
        assert_eq!(
            (error.code(), error.message().contains("nothing was changed")),
            (ErrorCode::ServiceUnavailable, true)
        );
        let mut left = bodies.pop().unwrap();
        drop(bodies);
        left.push(&[0; 30], 1000).await.unwrap();
        assert_eq!((left.bytes.len(), left.room.bytes()), (80, 100));
    }

    #[tokio::test]
    async fn an_answer_holds_its_room_until_its_bytes_are_gone() {
        let budget = Budget::new(200);
        let body = budget.take(&tenant(1), 100).await.unwrap().body("x".repeat(70));
        assert_eq!(budget.whole.available_permits(), 130);
        let bytes = axum::body::to_bytes(body, 1000).await.unwrap();
        assert_eq!((bytes.len(), budget.whole.available_permits()), (70, 130), "read, but not sent");
        drop(bytes);
        assert_eq!(budget.whole.available_permits(), 200);
    }
}

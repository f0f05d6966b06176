//! One writer at a time in each older stream.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};
use ves::StreamKey;

/// Streams share a fixed number of gates, so that streams nobody writes any more cost nothing.
const GATES: usize = 64;

/// Who holds the gate of a stream looks up what it wants to write about, and writes, before the next one does. A write
/// that was given up on may still come after its gate was passed on: the head says so (`put_documents_if`).
pub(crate) struct Gates([Arc<Mutex<()>>; GATES]);

impl Default for Gates {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Arc::default()))
    }
}

impl Gates {
    /// Waits for the stream's turn. The guard goes with the write, which may outlive its caller.
    pub async fn enter(&self, stream: &StreamKey) -> OwnedMutexGuard<()> {
        let ids = stream.tenant_id.as_bytes().iter().chain(stream.store_id.as_bytes());
        let at = ids.fold(0usize, |at, byte| at.wrapping_mul(31).wrapping_add(usize::from(*byte)));
        self.0[at % GATES].clone().lock_owned().await
    }
}

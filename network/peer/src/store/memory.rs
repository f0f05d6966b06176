//! A store that ends with its process, for tests and for nodes without flows.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use stateset_ledger_types::ids::EntityId;

use super::{
    INBOX_MESSAGES_MAX, Kept, OUTBOX_BYTES_MAX, OUTBOX_MESSAGES_MAX, SessionStore, StoreError, Stored,
};
use crate::frame::{MessageType, SessionId};

/// Sessions in memory.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    last_place: u64,
    peers: BTreeMap<EntityId, Peer>,
}

#[derive(Debug, Default)]
struct Peer {
    outbox: BTreeMap<u64, Stored>,
    outbox_bytes: usize,
    inbox: BTreeMap<u64, Stored>,
    /// Last sequence sent, by session.
    sent: BTreeMap<SessionId, u32>,
    /// Last sequence received, by session.
    received: BTreeMap<SessionId, u32>,
}

impl MemoryStore {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing here panics between two writes.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn next_place(&mut self) -> u64 {
        self.last_place += 1;
        self.last_place
    }
}

impl SessionStore for MemoryStore {
    fn push(
        &self,
        peer: &EntityId,
        session: SessionId,
        kind: MessageType,
        payload: &[u8],
    ) -> Result<u32, StoreError> {
        let mut inner = self.inner();
        let place = inner.next_place();
        let peer = inner.peers.entry(*peer).or_default();
        let (messages, bytes) = (peer.outbox.len(), peer.outbox_bytes);
        if messages >= OUTBOX_MESSAGES_MAX || bytes + payload.len() > OUTBOX_BYTES_MAX {
            return Err(StoreError::OutboxFull { messages, bytes });
        }
        let sent = peer.sent.entry(session).or_default();
        let sequence = sent.checked_add(1).ok_or(StoreError::SessionSpent(session))?;
        *sent = sequence;
        peer.outbox_bytes += payload.len();
        peer.outbox.insert(place, Stored { place, session, sequence, kind, payload: payload.to_vec() });
        Ok(sequence)
    }

    fn outbox(&self, peer: &EntityId, after: u64, limit: usize) -> Result<Vec<Stored>, StoreError> {
        let inner = self.inner();
        let Some(peer) = inner.peers.get(peer) else { return Ok(Vec::new()) };
        Ok(peer.outbox.range(after + 1..).take(limit).map(|(_, stored)| stored.clone()).collect())
    }

    fn acknowledge(&self, peer: &EntityId, session: SessionId, sequence: u32) -> Result<(), StoreError> {
        let mut inner = self.inner();
        let peer = inner.peers.entry(*peer).or_default();
        let sent = peer.sent.get(&session).copied().unwrap_or(0);
        if sequence > sent {
            let mut last = sequence;
            for stored in peer.outbox.values_mut().filter(|stored| stored.session == session) {
                last = last.checked_add(1).ok_or(StoreError::SessionSpent(session))?;
                stored.sequence = last;
            }
            peer.sent.insert(session, last);
            return Err(StoreError::Ahead { session, received: sequence, sent });
        }
        peer.outbox.retain(|_, stored| stored.session != session || stored.sequence > sequence);
        peer.outbox_bytes = peer.outbox.values().map(|stored| stored.payload.len()).sum();
        Ok(())
    }

    fn keep(
        &self,
        peer: &EntityId,
        session: SessionId,
        sequence: u32,
        kind: MessageType,
        payload: &[u8],
    ) -> Result<Kept, StoreError> {
        let mut inner = self.inner();
        let place = inner.next_place();
        let peer = inner.peers.entry(*peer).or_default();
        let received = peer.received.entry(session).or_default();
        if sequence <= *received {
            return Ok(Kept::Duplicate { last: *received });
        }
        if peer.inbox.len() >= INBOX_MESSAGES_MAX {
            return Ok(Kept::Full);
        }
        *received = sequence;
        peer.inbox.insert(place, Stored { place, session, sequence, kind, payload: payload.to_vec() });
        Ok(Kept::New)
    }

    fn inbox(&self, peer: &EntityId, limit: usize) -> Result<Vec<Stored>, StoreError> {
        let inner = self.inner();
        let Some(peer) = inner.peers.get(peer) else { return Ok(Vec::new()) };
        Ok(peer.inbox.values().take(limit).cloned().collect())
    }

    fn handled(&self, peer: &EntityId, place: u64) -> Result<(), StoreError> {
        if let Some(peer) = self.inner().peers.get_mut(peer) {
            peer.inbox.remove(&place);
        }
        Ok(())
    }

    fn peers(&self) -> Result<Vec<EntityId>, StoreError> {
        let inner = self.inner();
        let waiting =
            inner.peers.iter().filter(|(_, peer)| !peer.outbox.is_empty() || !peer.inbox.is_empty());
        Ok(waiting.map(|(id, _)| *id).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::check_session_store;
    use super::*;

    #[test]
    fn memory_means_what_a_store_of_sessions_means() {
        let memory = Arc::new(MemoryStore::default());
        check_session_store(|| memory.clone());
    }
}

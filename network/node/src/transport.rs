//! The node on the transport of peers (8.1): what it sends goes into the sessions' store, what arrives goes into the vault
//! before it is acknowledged.

use std::sync::{Arc, PoisonError, RwLock};

use stateset_ledger_types::ids::EntityId;
use stateset_peer::frame::SessionId;
use stateset_peer::message::{Answer, Message, Question, Reject, RejectCode};
use stateset_peer::{Delivery, Handler};
use tokio::runtime::Handle;

use crate::error::PeerError;
use crate::node::Node;
use crate::ports::Peers;

/// [`Peers`] over the real transport, which is started after the node that it serves. To be called from threads that may
/// block.
pub struct Transport {
    runtime: Handle,
    peers: RwLock<Option<stateset_peer::Peers>>,
}

impl Transport {
    pub fn new(runtime: Handle) -> Self {
        Self { runtime, peers: RwLock::new(None) }
    }

    /// From now on peers can be reached. What a node sent before waits in its vault.
    pub fn join(&self, peers: stateset_peer::Peers) {
        let before = self.peers.write().unwrap_or_else(PoisonError::into_inner).replace(peers);
        // A second transport for one node is a mistake of the program.
        assert!(before.is_none(), "a node has one transport");
    }

    /// From now on they can't. The transport serves the node that holds this, so without it neither is ever closed.
    pub fn leave(&self) {
        self.peers.write().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn peers(&self) -> Result<stateset_peer::Peers, PeerError> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner).clone();
        peers.ok_or_else(|| PeerError("the transport is not started yet, or has ended".to_owned()))
    }
}

impl Peers for Transport {
    fn send(&self, to: &EntityId, session: SessionId, message: &Message) -> Result<(), PeerError> {
        let sent = self.runtime.block_on(self.peers()?.send(*to, session, message));
        sent.map(drop).map_err(|error| PeerError(error.to_string()))
    }

    fn ask(&self, to: &EntityId, question: &Question) -> Result<Answer, PeerError> {
        let asked = self.runtime.block_on(self.peers()?.ask(*to, question.clone()));
        match asked {
            // An answer like any other: another peer may be asked.
            Err(stateset_peer::AskError::Refused(reject)) => Ok(Answer::Reject(reject)),
            asked => asked.map_err(|error| PeerError(error.to_string())),
        }
    }
}

/// What arrives, for a node.
pub struct Receiver(pub Arc<Node>);

impl Handler for Receiver {
    async fn deliver(&self, delivery: Delivery) -> Result<(), String> {
        let node = Arc::clone(&self.0);
        let keep = move || node.receive(&delivery.from, delivery.session, &delivery.message);
        let kept = tokio::task::spawn_blocking(keep).await.map_err(|error| error.to_string())?;
        kept.map_err(|error| error.to_string())
    }

    async fn answer(&self, from: EntityId, question: Question) -> Answer {
        let node = Arc::clone(&self.0);
        let answered = tokio::task::spawn_blocking(move || node.answer(&from, &question)).await;
        answered.unwrap_or_else(|_| Answer::Reject(Reject::new(RejectCode::Internal, "the node failed")))
    }
}

//! Peers in one process: messages go straight into the other node's vault, as the transport would put them there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use stateset_ledger_types::ids::EntityId;
use stateset_node::ports::Peers;
use stateset_node::{Node, Notary, PeerError};
use stateset_peer::frame::SessionId;
use stateset_peer::message::{Answer, Message, Question};

#[derive(Default)]
pub struct Wire {
    nodes: Mutex<BTreeMap<EntityId, Arc<Node>>>,
    down: Mutex<BTreeSet<EntityId>>,
    notary: Mutex<Option<Arc<Notary>>>,
    /// Kinds of messages that never arrive.
    lost: Mutex<BTreeSet<u16>>,
    pub sent: Mutex<Vec<(EntityId, EntityId, u16)>>,
}

impl Wire {
    pub fn join(&self, node: &Arc<Node>) {
        self.nodes.lock().unwrap().insert(node.entity(), Arc::clone(node));
    }

    /// From now on there is a notary that stores capsules.
    pub fn join_notary(&self, notary: Notary) {
        *self.notary.lock().unwrap() = Some(Arc::new(notary));
    }

    fn notary(&self, entity: &EntityId) -> Option<Arc<Notary>> {
        let down = self.down.lock().unwrap().contains(entity);
        self.notary.lock().unwrap().clone().filter(|notary| notary.entity() == *entity && !down)
    }

    pub fn leave(&self, entity: &EntityId) {
        self.nodes.lock().unwrap().remove(entity);
    }

    pub fn set_down(&self, entity: EntityId, down: bool) {
        let mut set = self.down.lock().unwrap();
        if down {
            set.insert(entity)
        } else {
            set.remove(&entity)
        };
    }

    pub fn lose(&self, kind: stateset_peer::frame::MessageType) {
        self.lost.lock().unwrap().insert(kind.code());
    }

    fn find(&self, entity: &EntityId) -> Result<Arc<Node>, PeerError> {
        let down = self.down.lock().unwrap().contains(entity);
        let found = self.nodes.lock().unwrap().get(entity).filter(|_| !down).cloned();
        found.ok_or_else(|| PeerError(format!("{entity} cannot be reached")))
    }
}

/// The end of the wire at one node.
pub struct End {
    pub wire: Arc<Wire>,
    pub me: EntityId,
}

impl Peers for End {
    fn send(&self, to: &EntityId, session: SessionId, message: &Message) -> Result<(), PeerError> {
        let kind = message.kind().code();
        self.wire.sent.lock().unwrap().push((self.me, *to, kind));
        let node = self.wire.find(to)?;
        if self.wire.lost.lock().unwrap().contains(&kind) {
            return Ok(());
        }
        node.receive(&self.me, session, message).map_err(|error| PeerError(error.to_string()))
    }

    fn ask(&self, to: &EntityId, question: &Question) -> Result<Answer, PeerError> {
        match self.wire.notary(to) {
            Some(notary) => Ok(notary.answer(&self.me, question)),
            None => Ok(self.wire.find(to)?.answer(&self.me, question)),
        }
    }
}

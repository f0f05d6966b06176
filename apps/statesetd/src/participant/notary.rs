//! The capsule store of the notary of this machine (network.md 8.4): companies' nodes reach it as they would one elsewhere,
//! over mutual TLS, and keep no capsule of their own.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use stateset_ledger_types::entity::Role;
use stateset_ledger_types::ids::EntityId;
use stateset_ledger_types::keys::Signature;
use stateset_node::{CapsuleFile, Notary, NotaryReceiver};
use stateset_peer::{Config, Identity, Members as _, MemoryStore, Peers};
use tokio::runtime::Handle;
use ves::Signer;

use super::{Network, ProvenMembers, SystemClock, failed};
use crate::genesis::now;
use crate::output::Failure;

/// What a notary stands and signs with.
#[derive(Clone)]
pub struct NotarySeat {
    pub entity: EntityId,
    /// DER: of its node, and of the entity.
    pub certificates: Vec<Vec<u8>>,
    /// Key of the first certificate.
    pub node: Arc<dyn Signer>,
    /// The entity's ledger key, which signs receipts.
    pub ledger: Arc<dyn Signer>,
}

/// Where the notaries are that store capsules.
#[derive(Debug, Default)]
pub struct NotaryBook(RwLock<BTreeMap<EntityId, SocketAddr>>);

impl NotaryBook {
    pub fn all(&self) -> Vec<(EntityId, SocketAddr)> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().map(|(entity, address)| (*entity, *address)).collect()
    }

    /// Those that the ledger has as notaries now.
    pub fn live(&self, members: &ProvenMembers) -> Vec<EntityId> {
        let is_notary = |id: &EntityId| {
            let found = members.entity(id);
            found.is_some_and(|entity| entity.is_active(now()) && entity.roles.has(Role::Notary))
        };
        self.all().into_iter().map(|(entity, _)| entity).filter(is_notary).collect()
    }

    fn set(&self, entity: EntityId, address: SocketAddr) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(entity, address);
    }
}

/// A running notary. To be dropped from a thread that may block.
pub struct NotaryNode {
    peers: Peers,
    runtime: Handle,
}

impl NotaryNode {
    /// Starts the notary with its capsules in the file `store`, at a free port of this machine, and enters it into the book.
    ///
    /// # Errors
    /// A file that can't be opened, certificates that peers would refuse.
    pub fn start(network: &Network, seat: &NotarySeat, store: &Path) -> Result<Self, Failure> {
        let (chain_id, clock) = (network.chain_id.clone(), Arc::new(SystemClock));
        let store = CapsuleFile::open(store).map_err(failed)?;
        let notary = Notary::new(seat.entity, chain_id.clone(), Arc::clone(&seat.ledger), store, clock);
        let key = Arc::clone(&seat.node);
        let identity = Identity {
            chain: seat.certificates.clone(),
            sign: Arc::new(move |message| {
                key.sign(message).map(Signature).map_err(|error| error.to_string())
            }),
        };
        let listen = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let config = Config { listen, ..Config::new(chain_id, seat.entity) };
        let (members, receiver) = (Arc::clone(&network.members), Arc::new(NotaryReceiver(Arc::new(notary))));
        // A notary is asked and answers: no message of a session waits for it.
        let sessions = Arc::new(MemoryStore::default());
        let started = Peers::start(config, identity, members, sessions, receiver);
        let peers = network.runtime.block_on(started).map_err(failed)?;
        let address = peers.address().ok_or_else(|| failed("the notary listens nowhere"))?;
        network.notaries.set(seat.entity, address);
        Ok(Self { peers, runtime: network.runtime.clone() })
    }

    pub fn peers(&self) -> &Peers {
        &self.peers
    }
}

impl Drop for NotaryNode {
    fn drop(&mut self) {
        self.runtime.block_on(self.peers.close());
    }
}

//! The capsule store of a notary (network.md 8.4): companies' nodes reach it over mutual TLS, those of its own machine as those
//! of others, and keep no capsule of their own.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use stateset_ledger_types::ids::EntityId;
use stateset_ledger_types::keys::Signature;
use stateset_node::{CapsuleFile, Notary, NotaryReceiver};
use stateset_peer::{Config, Identity, MemoryStore, Peers, StartError};
use tokio::runtime::Handle;
use ves::Signer;

use super::{Network, SystemClock, failed};
use crate::output::Failure;

/// Code of the failure of a notary whose entity is suspended or revoked, or whose certificates have expired.
pub const NOT_A_MEMBER: &str = "NOT_A_MEMBER";

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

/// A running notary. To be dropped from a thread that may block.
pub struct NotaryNode {
    peers: Peers,
    runtime: Handle,
}

impl NotaryNode {
    /// Starts the notary with its capsules in the file `store`, listening at `listen`, and enters it into the book.
    ///
    /// # Errors
    /// A file that can't be opened, an address that is taken; [`NOT_A_MEMBER`] for certificates that peers would refuse.
    pub fn start(
        network: &Network,
        seat: &NotarySeat,
        store: &Path,
        listen: SocketAddr,
    ) -> Result<Self, Failure> {
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
        let config = Config { listen: Some(listen), ..Config::new(chain_id, seat.entity) };
        let (members, receiver) = (Arc::clone(&network.members), Arc::new(NotaryReceiver(Arc::new(notary))));
        // A notary is asked and answers: no message of a session waits for it.
        let sessions = Arc::new(MemoryStore::default());
        let started = Peers::start(config, identity, members, sessions, receiver);
        let peers = network.runtime.block_on(started).map_err(|error| match error {
            StartError::Certificate(_) => Failure::failed(NOT_A_MEMBER, error),
            other => failed(other),
        })?;
        let address = peers.address().ok_or_else(|| failed("the notary listens nowhere"))?;
        network.addresses.set(seat.entity, address.to_string());
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

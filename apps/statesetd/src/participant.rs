//! A company's node, running: its vault, its flows on a thread of their own, its peers over mutual TLS (network.md 8).
//!
//! - one of them: [`Participant`]; all that one process holds, and how programs reach them: [`Hosted`];
//! - who is a member: [`ProvenMembers`]; what is signed without a person: [`Careful`].

mod addresses;
mod api;
mod consent;
mod hosted;
mod members;
mod notary;
mod org;
mod trusted;

use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use stateset_abci::comet::Rpc;
use stateset_ledger_types::ids::ChainId;
use stateset_node::ports::{CapsuleStore, Clock};
use stateset_node::probe::Always;
use stateset_node::rpc::RpcChain;
use stateset_node::{Node, NodeConfig, NotaryCapsules, Ports, Receiver, SessionFile, Transport};
use stateset_peer::{Config, Peers};
use tokio::runtime::Handle;

use crate::genesis::now;
use crate::output::Failure;

pub use addresses::AddressBook;
pub use consent::Careful;
pub use hosted::{Hosted, HostedConfig, Unlock};
pub use members::ProvenMembers;
pub use notary::{NOT_A_MEMBER, NotaryNode, NotarySeat};
pub use org::{HexBytes, OrgKeys, OrgRecord, node_certificate};
pub use trusted::{Trusted, keep};

/// After an answer of the ledger that did not come, or did not hold.
const RECOVERY_RETRY: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(100);

/// The clock of this machine.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        now()
    }
}

/// What nodes of one process share.
#[derive(Clone)]
pub struct Network {
    pub chain_id: ChainId,
    pub chain: Arc<RpcChain<SystemClock>>,
    pub members: Arc<ProvenMembers>,
    /// Where other members' nodes are, and the notaries that store the capsules.
    pub addresses: Arc<AddressBook>,
    pub runtime: Handle,
}

impl Network {
    /// The ledger whose nodes are at `rpc`, which is believed as far as what is trusted proves its answers.
    pub fn of(rpc: Rpc, trusted: &Trusted, runtime: Handle) -> Self {
        let call =
            move |method: &str, params: &Value| rpc.call(method, params).map_err(|error| error.to_string());
        let chain = RpcChain::new(Box::new(call), trusted.state.clone(), trusted.terms, SystemClock);
        Self {
            chain_id: trusted.state.chain_id.clone(),
            chain: Arc::new(chain),
            members: Arc::default(),
            addresses: Arc::default(),
            runtime,
        }
    }
}

/// What a node does with its vault before anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Books {
    /// Takes in what the ledger and the capsules hold and the vault does not, as after its loss or a restored copy.
    CatchUp,
    /// Nothing, as a company would that wants to spend a state again.
    AsTheyAre,
}

/// A running node. To be made, called and dropped from threads that may block.
pub struct Participant {
    pub record: OrgRecord,
    /// Where peers reach it.
    pub address: SocketAddr,
    node: Arc<Node>,
    peers: Peers,
    transport: Arc<Transport>,
    runtime: Handle,
    stop: Arc<AtomicBool>,
    worker: Option<JoinHandle<()>>,
    failure: Arc<OnceLock<String>>,
    ready: Arc<AtomicBool>,
}

fn failed(problem: impl ToString) -> Failure {
    Failure::failed("CANNOT_START", problem)
}

impl Participant {
    /// Starts the node of `record` with its files in `folder`, listening at `listen`.
    ///
    /// # Errors
    /// Files that can't be opened, certificates that peers would refuse, an address that is taken.
    pub fn start(
        network: &Network,
        record: OrgRecord,
        keys: OrgKeys,
        folder: &Path,
        listen: SocketAddr,
        books: Books,
    ) -> Result<Self, Failure> {
        // Everything in it is the company's alone.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| Failure::io("make", folder, &error))?;
        let vault = folder.join("vault.db");
        let transport = Arc::new(Transport::new(network.runtime.clone()));
        let ports = Ports {
            chain: Arc::<RpcChain<SystemClock>>::clone(&network.chain),
            capsules: capsules(network, &transport),
            peers: Arc::<Transport>::clone(&transport),
            consent: Arc::new(Careful),
            clock: Arc::new(SystemClock),
            probe: Arc::new(Always),
        };
        let config = NodeConfig { poll_ms: 100, ..NodeConfig::new(vault, network.chain_id.clone()) };
        let node = Arc::new(Node::open(config, keys.node, ports).map_err(failed)?);
        node.set_resolutions(record.resolutions.clone()).map_err(failed)?;
        let sessions = Arc::new(SessionFile::open(&folder.join("sessions.db")).map_err(failed)?);
        let config =
            Config { listen: Some(listen), ..Config::new(network.chain_id.clone(), record.entity_id) };
        let (members, handler) = (Arc::clone(&network.members), Arc::new(Receiver(Arc::clone(&node))));
        let started = Peers::start(config, keys.identity, members, sessions, handler);
        let peers = network.runtime.block_on(started).map_err(failed)?;
        let entity = record.entity_id;
        for (other, address) in network.addresses.all().into_iter().filter(|(other, _)| *other != entity) {
            peers.know(other, vec![address]);
        }
        transport.join(peers.clone());
        let address = peers.address().ok_or_else(|| failed("it listens nowhere"))?;
        let mut participant = Self {
            record,
            address,
            node,
            peers,
            transport,
            runtime: network.runtime.clone(),
            stop: Arc::default(),
            worker: None,
            failure: Arc::default(),
            ready: Arc::default(),
        };
        participant.worker = Some(participant.work(books));
        Ok(participant)
    }

    fn work(&self, books: Books) -> JoinHandle<()> {
        let (node, stop) = (Arc::clone(&self.node), Arc::clone(&self.stop));
        let (failure, org) = (Arc::clone(&self.failure), self.record.org.clone());
        let ready = Arc::clone(&self.ready);
        std::thread::spawn(move || {
            if books == Books::CatchUp {
                caught_up(&node, &stop, &org);
            }
            ready.store(true, Ordering::SeqCst);
            if let Err(error) = node.run(&stop) {
                tracing::error!(%org, %error, "the company's node has stopped");
                // The first reason is the one that counts.
                let _ = failure.set(error.to_string());
            }
        })
    }

    pub fn node(&self) -> &Node {
        &self.node
    }

    pub fn peers(&self) -> &Peers {
        &self.peers
    }

    /// Whether its vault is abreast of the ledger as it was at the start.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::SeqCst)
    }

    /// Why it stopped by itself, if it did.
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }
}

/// The capsules of a node: with the notaries, over its own transport.
fn capsules(network: &Network, transport: &Arc<Transport>) -> Arc<dyn CapsuleStore> {
    let (book, members) = (Arc::clone(&network.addresses), Arc::clone(&network.members));
    let peers = Arc::<Transport>::clone(transport);
    let live = Box::new(move || book.notaries(&members));
    Arc::new(NotaryCapsules::new(network.chain_id.clone(), peers, live))
}

/// Takes in what the ledger and the capsules hold of the company and its vault does not.
fn caught_up(node: &Node, stop: &AtomicBool, org: &str) {
    while !stop.load(Ordering::SeqCst) {
        match node.recover() {
            Ok(found) if found.recorded.is_empty() && found.refused.is_empty() => return,
            Ok(found) => {
                tracing::warn!(%org, transactions = found.recorded.len(), refused = found.refused.len(),
                    unspent = found.unspent, "the vault did not know these");
                return;
            }
            Err(error) => {
                tracing::warn!(%org, %error, "the vault is not recovered yet");
                let until = std::time::Instant::now() + RECOVERY_RETRY;
                while std::time::Instant::now() < until && !stop.load(Ordering::SeqCst) {
                    std::thread::sleep(LOOK);
                }
            }
        }
    }
}

impl Drop for Participant {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.runtime.block_on(self.peers.close());
        if let Some(worker) = self.worker.take() {
            // A panic there was reported when it happened.
            let _ = worker.join();
        }
        self.transport.leave();
    }
}

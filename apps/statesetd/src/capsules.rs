//! The capsule store of a node that `statesetd start` runs (network.md 8.4): companies' nodes leave sealed transactions here, from
//! other machines too, and come back for them when a vault is lost.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use stateset_abci::comet::Rpc;
use tokio::runtime::Runtime;

use crate::home::Home;
use crate::output::Failure;
use crate::participant::{NOT_A_MEMBER, Network, NotaryNode, NotarySeat, Trusted};
use crate::trust::genesis_of;

/// How often the ledger is asked who is a member.
const LOOK: Duration = Duration::from_secs(1);
/// Longest sleep of a thread that is to notice its end.
const NAP: Duration = Duration::from_millis(50);

/// Runs until it is dropped. To be made and dropped from a thread that may block.
pub struct CapsuleStore {
    /// Where companies' nodes reach it.
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    worker: Option<JoinHandle<()>>,
    failure: Arc<OnceLock<String>>,
    /// Last: what runs on it has ended.
    _runtime: Runtime,
}

fn failed(problem: impl ToString) -> Failure {
    Failure::failed("CANNOT_START", problem)
}

/// What is asked on this machine, where a server listens at every address.
pub fn of_this_machine(listens: SocketAddr) -> SocketAddr {
    let ip = match listens.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listens.port())
}

impl CapsuleStore {
    /// Starts the store of `home` at `listen`, for the members that the node with its RPC at `rpc` proves. It serves once that
    /// node has a block.
    ///
    /// # Errors
    /// A home without the notary's certificates, an address that is taken.
    pub fn start(home: &Home, listen: SocketAddr, rpc: SocketAddr) -> Result<Self, Failure> {
        let genesis = genesis_of(&home.file("genesis.json"))?;
        let seat = home.seat(&genesis)?.ok_or_else(|| {
            let said = "statesetd.toml names an address under `capsules`, and this home has no certificates of a \
                        notary (node.pem): take the line out";
            Failure::input("SETTINGS", said)
        })?;
        // A port that is taken is said at once, and a free one is known before the first block.
        let taken = |error: std::io::Error| failed(format!("the capsule store at {listen}: {error}"));
        let address = TcpListener::bind(listen).and_then(|probe| probe.local_addr()).map_err(taken)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(failed)?;
        let rpc = Rpc::new(&format!("http://{}", of_this_machine(rpc)));
        let network = Network::of(rpc.clone(), &Trusted::own(&genesis)?, runtime.handle().clone());
        let mut store =
            Self { address, stop: Arc::default(), worker: None, failure: Arc::default(), _runtime: runtime };
        let work = Work { network, seat, rpc, home: home.clone(), address };
        let (stop, failure) = (Arc::clone(&store.stop), Arc::clone(&store.failure));
        store.worker = Some(std::thread::spawn(move || {
            if let Err(problem) = work.until_stopped(&stop) {
                // The first reason is the one that counts.
                let _ = failure.set(problem.message);
            }
        }));
        Ok(store)
    }

    /// Why it stopped by itself, if it did.
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }
}

impl Drop for CapsuleStore {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(worker) = self.worker.take() {
            // A panic there was reported when it happened.
            let _ = worker.join();
        }
    }
}

struct Work {
    network: Network,
    seat: NotarySeat,
    rpc: Rpc,
    home: Home,
    address: SocketAddr,
}

impl Work {
    /// Serves from the first proof of who is a member, and judges connections anew whenever that changes. A notary who is
    /// suspended serves nobody, and orders on: what readmits it has to come into a block.
    fn until_stopped(&self, stop: &AtomicBool) -> Result<(), Failure> {
        let mut notary = None;
        let mut refused = String::new();
        while !stop.load(Ordering::SeqCst) {
            match (self.network.members.refresh(&*self.network.chain, &self.rpc), &notary) {
                (Ok(true), Some(notary)) => NotaryNode::peers(notary).recheck(),
                (Ok(changed), None) if changed || refused.is_empty() => match self.serve() {
                    Ok(started) => notary = Some(started),
                    Err(problem) if problem.code == NOT_A_MEMBER => {
                        if problem.message != refused {
                            tracing::warn!("{}; it is tried again", problem.message);
                        }
                        refused = problem.message;
                    }
                    Err(problem) => return Err(problem),
                },
                (Ok(_), _) => {}
                // The node is starting, or catches up.
                (Err(error), _) => tracing::debug!(%error, "members are not read"),
            }
            let until = Instant::now() + LOOK;
            while Instant::now() < until && !stop.load(Ordering::SeqCst) {
                std::thread::sleep(NAP);
            }
        }
        Ok(())
    }

    fn serve(&self) -> Result<NotaryNode, Failure> {
        let file = self.home.file("capsules.db");
        let started = NotaryNode::start(&self.network, &self.seat, &file, self.address);
        let started = started.map_err(|problem| Failure {
            message: format!("the capsule store: {}", problem.message),
            ..problem
        })?;
        tracing::info!(address = %self.address, "capsules are stored");
        Ok(started)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_listens_everywhere_is_asked_on_this_machine() {
        for (listens, asked) in
            [("0.0.0.0:7", "127.0.0.1:7"), ("[::]:7", "[::1]:7"), ("192.0.2.1:7", "192.0.2.1:7")]
        {
            assert_eq!(of_this_machine(listens.parse().expect("one")), asked.parse().expect("one"));
        }
    }
}

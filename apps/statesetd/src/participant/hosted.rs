//! The companies that have their node in this process, each with its own files, peers and flows; and the address at which
//! programs of this machine reach them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use stateset_abci::comet::Rpc;
use stateset_node_client::files::{HostedAt, PeersFile};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::{Books, Network, NotaryNode, NotarySeat, OrgKeys, OrgRecord, Participant, Trusted, api, keep};
use crate::output::Failure;

/// How often members and the folder of companies are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Longest sleep of a thread that is to notice its end.
const NAP: Duration = Duration::from_millis(50);
/// How long a call waits for a company that was made just now.
const START_TIME_MAX: Duration = Duration::from_secs(20);
/// How often the newest block that was followed is kept.
const KEEP: Duration = Duration::from_secs(60);
/// Where a node listens that is for this machine alone.
const ANYWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Unlocks the keys of a company.
pub type Unlock = dyn Fn(&OrgRecord) -> Result<OrgKeys, Failure> + Send + Sync;

/// What the nodes of a machine run on.
pub struct HostedConfig {
    /// Of the ledger: `orgs/` is in it, and `node.json` is written there.
    pub folder: PathBuf,
    /// RPC of a node of the ledger.
    pub rpc: Rpc,
    pub trusted: Trusted,
    pub unlock: Box<Unlock>,
    /// Of the notary that stores the companies' capsules here, where one of this machine does.
    pub notary: Option<NotarySeat>,
}

/// What the API, the thread that looks, and the caller share.
pub(super) struct Parts {
    pub network: Network,
    folder: PathBuf,
    rpc: Rpc,
    unlock: Box<Unlock>,
    seat: Option<NotarySeat>,
    /// Where the newest block that was followed is kept.
    kept: Option<PathBuf>,
    /// The address book's file as it was read last.
    peers: Mutex<PeersFile>,
    /// Starts before the companies' nodes and ends after them.
    notary: Mutex<Option<NotaryNode>>,
    running: RwLock<BTreeMap<String, Arc<Participant>>>,
    /// Why a company's node does not run.
    problems: Mutex<BTreeMap<String, String>>,
    /// Why nothing is known of the ledger.
    unproven: Mutex<Option<String>>,
    stop: AtomicBool,
}

/// The running nodes of this machine. To be made and dropped from a thread that may block; dropping ends them.
pub struct Hosted {
    pub at: HostedAt,
    parts: Arc<Parts>,
    looker: Option<JoinHandle<()>>,
    end: Option<oneshot::Sender<()>>,
    served: Arc<OnceLock<String>>,
}

fn failed(problem: impl ToString) -> Failure {
    Failure::failed("CANNOT_START", problem)
}

impl Hosted {
    /// Starts the API at once, and each company's node once the ledger proves who is a member.
    ///
    /// # Errors
    /// Files that can't be written.
    pub fn start(config: HostedConfig, runtime: Handle) -> Result<Self, Failure> {
        let HostedConfig { folder, rpc, trusted, unlock, notary } = config;
        let network = Network::of(rpc.clone(), &trusted, runtime.clone());
        let parts = Arc::new(Parts {
            network,
            folder: folder.clone(),
            rpc,
            unlock,
            seat: notary,
            kept: trusted.kept,
            peers: Mutex::default(),
            notary: Mutex::default(),
            running: RwLock::default(),
            problems: Mutex::default(),
            unproven: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let (at, listener) = runtime.block_on(listen())?;
        at.write(&folder)?;
        let (end, ended) = oneshot::channel();
        let served = Arc::new(OnceLock::new());
        let (routes, noted) = (api::routes(Arc::clone(&parts), at.token.clone()), Arc::clone(&served));
        runtime.spawn(async move {
            let serving = axum::serve(listener, routes).with_graceful_shutdown(async {
                // An error: nobody is left who could end it, so it ends.
                let _ = ended.await;
            });
            if let Err(error) = serving.await {
                drop(noted.set(error.to_string()));
            }
        });
        let looking = Arc::clone(&parts);
        let looker = std::thread::spawn(move || looking.look_until_stopped());
        Ok(Self { at, parts, looker: Some(looker), end: Some(end), served })
    }

    /// What the nodes run on, for one more of them.
    pub fn network(&self) -> &Network {
        &self.parts.network
    }

    /// Says, from any thread, what is wrong with one of the nodes, if anything is.
    pub fn watch(&self) -> impl Fn() -> Option<String> + Send + Sync + use<> {
        let (parts, served) = (Arc::clone(&self.parts), Arc::clone(&self.served));
        move || {
            let of_node = |one: &Arc<Participant>| {
                one.failure().map(|why| format!("the node of {} has stopped: {why}", one.record.org))
            };
            served.get().cloned().or_else(|| parts.all().iter().find_map(of_node))
        }
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        self.parts.stop.store(true, Ordering::SeqCst);
        if let Some(end) = self.end.take() {
            // No receiver: the server has ended.
            let _ = end.send(());
        }
        if let Some(looker) = self.looker.take() {
            // A panic there was reported when it happened.
            let _ = looker.join();
        }
        self.parts.keep();
        let running =
            std::mem::take(&mut *self.parts.running.write().unwrap_or_else(PoisonError::into_inner));
        drop(running);
        drop(self.parts.notary().take());
    }
}

async fn listen() -> Result<(HostedAt, TcpListener), Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let mut token = [0; 32];
    getrandom::fill(&mut token).map_err(failed)?;
    Ok((HostedAt { url: format!("http://{address}"), token: ves::hex::encode(&token) }, listener))
}

impl Parts {
    pub fn all(&self) -> Vec<Arc<Participant>> {
        self.running.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn get(&self, org: &str) -> Option<Arc<Participant>> {
        self.running.read().unwrap_or_else(PoisonError::into_inner).get(org).cloned()
    }

    /// The node of `org`, waiting for it where the company was made just now.
    ///
    /// # Errors
    /// NO_SUCH_ORG, or why it does not run.
    pub fn participant(&self, org: &str) -> Result<Arc<Participant>, Failure> {
        let begun = Instant::now();
        loop {
            let found = self.get(org);
            if let Some(found) = found.as_ref().filter(|found| found.is_ready() || found.failure().is_some())
            {
                return Ok(Arc::clone(found));
            }
            let made = self.records().is_ok_and(|records| records.iter().any(|record| record.org == org));
            if !made {
                return Err(Failure::input("NO_SUCH_ORG", format!("there is no company {org} here")));
            }
            if begun.elapsed() > START_TIME_MAX || self.stop.load(Ordering::SeqCst) {
                let problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
                let unproven = self.unproven().clone();
                let default = match &unproven {
                    _ if found.is_some() => "its vault is being recovered",
                    Some(why) => why,
                    None => "it is being started",
                };
                let why = problems.get(org).map_or(default, String::as_str);
                return Err(Failure::failed("NODE_NOT_RUNNING", format!("the node of {org}: {why}")));
            }
            std::thread::sleep(NAP);
        }
    }

    fn look_until_stopped(&self) {
        let mut kept = Instant::now();
        while !self.stop.load(Ordering::SeqCst) {
            match self.network.members.refresh(&*self.network.chain, &self.rpc) {
                Ok(changed) => {
                    *self.unproven() = None;
                    if changed {
                        self.all().iter().for_each(|one| one.peers().recheck());
                        self.notary().iter().for_each(|notary| notary.peers().recheck());
                    }
                    self.read_peers();
                    self.start_new();
                    if kept.elapsed() > KEEP {
                        self.keep();
                        kept = Instant::now();
                    }
                }
                Err(error) => {
                    // Once, not every second.
                    let text = error.to_string();
                    let before = self.unproven().replace(text.clone());
                    if before.as_ref() != Some(&text) {
                        // A ledger of this machine is only starting; one of others has to be seen to.
                        match self.kept.is_some() {
                            true => tracing::warn!(%error, "the ledger says nothing that is proven"),
                            false => tracing::debug!(%error, "members are not read"),
                        }
                    }
                }
            }
            let until = Instant::now() + LOOK;
            while Instant::now() < until && !self.stop.load(Ordering::SeqCst) {
                std::thread::sleep(NAP);
            }
        }
    }

    /// What was followed counts at the next start, when the genesis may be too old to follow from.
    fn keep(&self) {
        let (Some(file), trusted) = (&self.kept, self.network.chain.trusted()) else { return };
        if let Err(failure) = keep(file, &trusted) {
            tracing::warn!(problem = %failure.message, "the newest block is not kept");
        }
    }

    /// Tells the running nodes what is new in the address book.
    fn read_peers(&self) {
        let mut before = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match PeersFile::read(&self.folder) {
            Ok(file) if file == *before => return,
            Ok(file) => file,
            Err(problem) => {
                tracing::warn!(%problem, "the address book stays as it was");
                return;
            }
        };
        let (changed, all) = (self.network.addresses.follow(&before, &file), self.all());
        for (entity, address) in changed {
            for one in all.iter().filter(|one| one.record.entity_id != entity) {
                let addresses = Some(address.clone()).filter(|address| !address.is_empty());
                one.peers().know(entity, addresses.into_iter().collect());
            }
        }
        *before = file;
    }

    fn records(&self) -> Result<Vec<OrgRecord>, Failure> {
        let orgs = self.orgs();
        if !orgs.is_dir() {
            return Ok(Vec::new());
        }
        let io = |error: std::io::Error| Failure::io("read", &orgs, &error);
        let mut records = Vec::new();
        for entry in std::fs::read_dir(&orgs).map_err(io)? {
            let file = entry.map_err(io)?.path();
            if file.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let text = std::fs::read_to_string(&file).map_err(io)?;
            let bad =
                |error| Failure::failed("BAD_ORG", format!("{} cannot be read: {error}", file.display()));
            records.push(serde_json::from_str::<OrgRecord>(&text).map_err(bad)?);
        }
        Ok(records)
    }

    fn start_new(&self) {
        let records = match self.records() {
            Ok(records) => records,
            Err(failure) => {
                tracing::warn!(problem = %failure.message, "companies are not read");
                return;
            }
        };
        let running = self.all();
        running.iter().for_each(|one| trust_anew(one, &records));
        let running: BTreeSet<String> = running.iter().map(|one| one.record.org.clone()).collect();
        for record in records.into_iter().filter(|record| !running.contains(&record.org)) {
            let org = record.org.clone();
            let started = self.start(record);
            let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
            match started {
                Ok(()) => drop(problems.remove(&org)),
                Err(failure) => {
                    if problems.insert(org.clone(), failure.message.clone()).as_ref()
                        != Some(&failure.message)
                    {
                        tracing::warn!(%org, problem = %failure.message, "the company's node does not start");
                    }
                }
            }
        }
    }

    fn unproven(&self) -> MutexGuard<'_, Option<String>> {
        self.unproven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notary(&self) -> MutexGuard<'_, Option<NotaryNode>> {
        self.notary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn orgs(&self) -> PathBuf {
        self.folder.join("orgs")
    }

    /// The notary comes first: without it no company's node could be recovered.
    fn start_notary(&self) -> Result<(), Failure> {
        let mut notary = self.notary();
        if notary.is_none()
            && let Some(seat) = &self.seat
        {
            *notary =
                Some(NotaryNode::start(&self.network, seat, &self.folder.join("capsules.db"), ANYWHERE)?);
        }
        Ok(())
    }

    fn start(&self, record: OrgRecord) -> Result<(), Failure> {
        self.start_notary()?;
        let folder = self.orgs().join(&record.org);
        let keys = (self.unlock)(&record)?;
        let listen = record.listen.unwrap_or(ANYWHERE);
        let started = Participant::start(&self.network, record, keys, &folder, listen, Books::CatchUp)?;
        for other in self.all() {
            other.peers().know(started.record.entity_id, vec![started.address.to_string()]);
            started.peers().know(other.record.entity_id, vec![other.address.to_string()]);
        }
        let mut running = self.running.write().unwrap_or_else(PoisonError::into_inner);
        running.insert(started.record.org.clone(), Arc::new(started));
        Ok(())
    }
}

/// Whom a company trusts may change while its node runs.
fn trust_anew(one: &Participant, records: &[OrgRecord]) {
    let Some(record) = records.iter().find(|record| record.org == one.record.org) else { return };
    if record.resolutions == one.node().resolutions() {
        return;
    }
    match one.node().set_resolutions(record.resolutions.clone()) {
        Ok(()) => tracing::info!(org = %record.org, "the company trusts other attesters from now on"),
        Err(refusal) => tracing::warn!(org = %record.org, %refusal, "whom it trusts stays as it was"),
    }
}

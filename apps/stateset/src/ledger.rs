//! The shared ledger of `up`: one process orders it, in `ledger/` of the data directory, and runs the nodes of the companies
//! that were made there.

pub mod acting;
mod anchors;
pub mod money;
pub mod nodes;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde::Serialize;
use stateset_keystore::Keystore;
use stateset_sequencer::{AnchorTarget, ReadyCheck, Sequencer};
use statesetd_app::{
    Failure, Held, Hosted, HostedConfig, Joined, LocalHome, LocalLedger, Network, OrgKeys, Rpc, Trusted,
    Unlock, UpgradeArgs,
};
use tokio::runtime::Handle;

use self::anchors::{Anchorer, LedgerTarget};
use crate::context::Context;
use crate::data_dir::DataDir;
use crate::error::CliError;

/// The ledger of a data directory, whether it runs or not.
pub fn home(data: &DataDir) -> Result<LocalHome, CliError> {
    LocalHome::at(&data.ledger()).map_err(CliError::from)
}

/// A node of the ledger of a data directory: its own, or one of a ledger that was joined.
///
/// # Errors
/// NO_LEDGER where there is neither.
pub fn rpc(data: &DataDir) -> Result<Rpc, CliError> {
    if let Some(joined) = Joined::of(&data.ledger())? {
        return Ok(joined.rpc());
    }
    let home = home(data)?;
    if home.exists() {
        return Ok(Rpc::new(&home.url()?));
    }
    Err(CliError::input("NO_LEDGER", format!("there is no ledger in {}", data.path().display()))
        .hint("run `stateset up` there, or name a node with --node URL"))
}

/// What is believed of that ledger; `None` where there is none.
///
/// # Errors
/// Files that can't be read.
pub fn held(data: &DataDir) -> Result<Option<Held>, CliError> {
    if Joined::of(&data.ledger())?.is_some() {
        return Ok(Some(Joined::held(&data.ledger())?));
    }
    let home = home(data)?;
    if home.exists() { Ok(Some(home.trust()?)) } else { Ok(None) }
}

/// What a person and a program are told of it at the start.
#[derive(Debug, Clone, Serialize)]
pub struct LedgerRecord {
    pub chain_id: String,
    pub rpc_url: String,
    pub genesis_file: String,
    /// Whether batches are anchored on it.
    pub anchors: bool,
}

/// What keeps the ledger from doing its part: of the batch that it refuses, for `/ready`.
type Problem = Arc<Mutex<Option<String>>>;

/// The ledger, running, and where it is asked for what anchors batches on it.
pub struct Ledger {
    running: Option<LocalLedger>,
    /// The companies' nodes; they end before it.
    nodes: Option<Hosted>,
    pub record: LedgerRecord,
    target: Option<Arc<LedgerTarget>>,
    anchorer: Option<Anchorer>,
    problem: Problem,
}

impl Ledger {
    /// Starts it with the companies' nodes; takes a moment, so it is done aside.
    pub async fn start(
        context: &Context,
        rpc: SocketAddr,
        anchors: bool,
        upgrade: UpgradeArgs,
    ) -> Result<Self, CliError> {
        if let Some(joined) = Joined::of(&context.data.ledger())? {
            let said =
                format!("the companies of this directory are on {}, which others run", joined.chain_id);
            return Err(CliError::input("LEDGER_ELSEWHERE", said)
                .hint("start the event service with --no-ledger, and the companies' nodes with `stateset org start`"));
        }
        let (data, folder, runtime) = (&context.data, context.data.ledger(), Handle::current());
        let unlock = unlock(Context::new(context.global.clone()));
        let started = tokio::task::spawn_blocking(move || {
            crate::files::make_private_folder(&folder)
                .map_err(|error| CliError::io("make", &folder, &error))?;
            let running = LocalLedger::start(&folder, rpc, upgrade)?;
            let target = if anchors { Some(Arc::new(LedgerTarget::of(&running.home)?)) } else { None };
            let nodes = Hosted::start(
                HostedConfig {
                    folder,
                    rpc: Rpc::new(&running.url),
                    trusted: Trusted::own(&running.home.genesis()?)?,
                    unlock,
                    notary: running.home.notary()?,
                },
                runtime,
            )?;
            Ok::<_, CliError>((running, target, nodes))
        });
        let started = started.await.map_err(|error| CliError::failure("CANNOT_START", error.to_string()))?;
        let (running, target, nodes) = started?;
        let record = LedgerRecord {
            chain_id: running.home.genesis()?.chain_id.to_string(),
            rpc_url: running.url.clone(),
            genesis_file: data.ledger().join("genesis.json").display().to_string(),
            anchors,
        };
        Ok(Self {
            running: Some(running),
            nodes: Some(nodes),
            record,
            target,
            anchorer: None,
            problem: Problem::default(),
        })
    }

    /// Its folder, keys and genesis.
    ///
    /// # Errors
    /// NOT_RUNNING after its end.
    pub fn home(&self) -> Result<&LocalHome, CliError> {
        let ended = || CliError::failure("NOT_RUNNING", "the ledger has ended");
        self.running.as_ref().map(|running| &running.home).ok_or_else(ended)
    }

    /// What the companies' nodes run on.
    ///
    /// # Errors
    /// As of [`home`](Self::home).
    pub fn network(&self) -> Result<&Network, CliError> {
        let ended = || CliError::failure("NOT_RUNNING", "the ledger has ended");
        self.nodes.as_ref().map(Hosted::network).ok_or_else(ended)
    }

    /// Where batches are anchored, where they are anchored here.
    pub fn target(&self) -> Option<Arc<dyn AnchorTarget>> {
        self.target.clone().map(|target| target as Arc<dyn AnchorTarget>)
    }

    /// Not ready once it has stopped by itself, or refuses a batch.
    pub fn ready_check(&self) -> ReadyCheck {
        let watch = self.running.as_ref().map(LocalLedger::watch);
        let nodes = self.nodes.as_ref().map(Hosted::watch);
        let problem = Arc::clone(&self.problem);
        Arc::new(move || {
            if let Some(why) = watch.as_ref().and_then(|watch| watch()) {
                return Err(format!("the ledger has stopped, start `up` again: {why}"));
            }
            if let Some(why) = nodes.as_ref().and_then(|watch| watch()) {
                return Err(why);
            }
            match &*problem.lock().unwrap_or_else(PoisonError::into_inner) {
                Some(problem) => Err(problem.clone()),
                None => Ok(()),
            }
        })
    }

    /// Begins to anchor what `sequencer` closes, after log and ledger were made to agree. Returns how many batches that were
    /// recorded as anchored are not on the ledger, and are anchored again.
    pub async fn begin_anchoring(&mut self, sequencer: Sequencer) -> Result<usize, CliError> {
        let Some(target) = self.target.clone() else { return Ok(0) };
        let (runtime, problem) = (Handle::current(), Arc::clone(&self.problem));
        let begun = tokio::task::spawn_blocking(move || {
            let lost = anchors::agree(&target, &sequencer, &runtime)?;
            Ok::<_, CliError>((lost, Anchorer::start(sequencer, runtime, problem)?))
        });
        let begun = begun.await.map_err(|error| CliError::failure("CANNOT_START", error.to_string()))?;
        let (lost, anchorer) = begun?;
        self.anchorer = Some(anchorer);
        Ok(lost)
    }

    /// Ends what anchors, before the event service ends.
    pub async fn stop_anchoring(&mut self) -> Result<(), CliError> {
        let Some(anchorer) = self.anchorer.take() else { return Ok(()) };
        ended(tokio::task::spawn_blocking(move || anchorer.stop()).await)
    }

    /// Ends the ledger after the block at hand.
    pub async fn stop(mut self) -> Result<(), CliError> {
        self.stop_anchoring().await?;
        let (nodes, running) = (self.nodes.take(), self.running.take());
        let ending = move || {
            drop(nodes);
            drop(running);
        };
        ended(tokio::task::spawn_blocking(ending).await)
    }
}

/// Opens the keystore for the first company: without companies there may be nothing to open it with.
pub fn unlock(context: Context) -> Box<Unlock> {
    let opened: OnceLock<Box<dyn Keystore>> = OnceLock::new();
    Box::new(move |record| {
        let keystore = match opened.get() {
            Some(keystore) => keystore,
            None => {
                let keystore = context.keystore();
                let keystore = keystore.map_err(|error| Failure::failed(&error.code, error.message))?;
                opened.get_or_init(|| keystore)
            }
        };
        OrgKeys::open(&**keystore, record)
    })
}

fn ended(result: Result<(), tokio::task::JoinError>) -> Result<(), CliError> {
    result.map_err(|error| CliError::failure("NOT_DRAINED", error.to_string()))
}

impl Drop for Ledger {
    /// After a failure of the start: its end blocks, which tasks may not.
    fn drop(&mut self) {
        let (anchorer, nodes, running) = (self.anchorer.take(), self.nodes.take(), self.running.take());
        if anchorer.is_none() && nodes.is_none() && running.is_none() {
            return;
        }
        let ending = std::thread::spawn(move || {
            anchorer.into_iter().for_each(Anchorer::stop);
            drop(nodes);
            drop(running);
        });
        // A panic there was reported when it happened.
        let _ = ending.join();
    }
}

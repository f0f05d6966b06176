//! A running node: the state machine under the engine of its home.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::json;
use stateset_abci::comet::{Process, Program};
use stateset_abci::{Abci, EngineError, Instance, Node, Server};
use stateset_ledger_app::{Fault, Ledger};
use stateset_ledger_store::Store;
use stateset_solo::NodeConfig;

use crate::args::{CometArgs, Engine};
use crate::capsules::CapsuleStore;
use crate::home::{Home, Settings};
use crate::output::Failure;
use crate::solo::{Listen, Solo};

/// What puts the transactions in order, with all that stands on it.
enum Parts {
    Comet(Instance),
    Solo(Solo),
}

pub struct Running {
    /// Before the rest: it asks the ledger for its members.
    capsules: Option<CapsuleStore>,
    parts: Parts,
    home: Home,
    pub settings: Settings,
}

/// The CometBFT to start.
pub fn program(args: &CometArgs) -> Result<Program, Failure> {
    Program::find(args.cometbft.as_deref(), |name| std::env::var_os(name))
        .map_err(|missing| Failure::failed("COMETBFT_MISSING", missing))
}

impl Running {
    /// Starts the node of `home`. Under CometBFT without `program`: the application alone.
    pub fn start(home: Home, program: Option<&Program>) -> Result<Self, Failure> {
        let settings = home.settings()?;
        let store = Store::open(&home.file("state.redb")).map_err(|error| Failure::failed("STATE", error))?;
        let mut rpc = settings.rpc;
        let parts = match settings.engine {
            Engine::Comet => Parts::Comet(comet(&home, &settings, store, program)?),
            Engine::Solo => {
                let at = Listen { rpc: settings.rpc, else_free: false };
                let solo = Solo::start(&home, at, NodeConfig::default(), store)?;
                rpc = solo.rpc;
                Parts::Solo(solo)
            }
        };
        let listen = settings.capsules;
        let capsules = listen.map(|listen| CapsuleStore::start(&home, listen, rpc)).transpose()?;
        Ok(Self { capsules, parts, home, settings })
    }

    /// Where companies' nodes reach the capsule store, where one runs.
    pub fn capsules(&self) -> Option<SocketAddr> {
        self.capsules.as_ref().map(|store| store.address)
    }

    pub fn cometbft_pid(&self) -> Option<u32> {
        match &self.parts {
            Parts::Comet(instance) => instance.process().map(Process::id),
            Parts::Solo(_) => None,
        }
    }

    /// Whether all parts still run.
    ///
    /// # Errors
    /// What ended one of them.
    pub fn check(&mut self) -> Result<(), Failure> {
        if let Some(problem) = self.capsules.as_ref().and_then(CapsuleStore::failure) {
            return Err(Failure::failed("CAPSULES", problem));
        }
        match &mut self.parts {
            Parts::Comet(instance) => check_comet(instance, &self.home),
            Parts::Solo(solo) => match solo.failure() {
                Some(problem) => Err(Failure::failed("ENGINE", problem)),
                None => Ok(()),
            },
        }
    }
}

fn comet(
    home: &Home,
    settings: &Settings,
    store: Store,
    program: Option<&Program>,
) -> Result<Instance, Failure> {
    let node = Node::new(Arc::new(Ledger::new()), Arc::new(store), home.options(settings));
    let abci = Abci::new(node.map_err(|error| Failure::failed("STATE", error))?);
    let server = Server::start(abci.clone(), &home.comet.socket())
        .map_err(|error| Failure::failed("CANNOT_START", error))?;
    let process = program.map(|program| Process::start(program, &home.comet)).transpose();
    let process = process.map_err(|error| Failure::failed("CANNOT_START", format!("cometbft: {error}")))?;
    Ok(Instance::new(abci, server, process))
}

fn check_comet(instance: &mut Instance, home: &Home) -> Result<(), Failure> {
    if let Some(problem) = instance.failure() {
        if let EngineError::Application(Fault::UpgradeNeeded { name, height, info }) = problem {
            let needed = json!({"name": name, "height": height, "info": info});
            let file = home.file("upgrade-needed.json");
            std::fs::write(&file, needed.to_string()).map_err(|error| Failure::io("write", &file, &error))?;
            return Err(Failure::failed("UPGRADE_NEEDED", problem));
        }
        return Err(Failure::failed("APPLICATION", problem));
    }
    let how = match instance.ended() {
        Ok(None) => return Ok(()),
        Ok(Some(status)) => status.to_string(),
        Err(error) => error.to_string(),
    };
    let words = instance.process().map(Process::last_words).unwrap_or_default();
    let log = home.comet.log();
    Err(Failure::failed("COMETBFT", format!("cometbft ended: {how}; {} says:\n{words}", log.display())))
}

//! A running node: the state machine under the engine of its home.

use std::net::SocketAddr;
use std::sync::Arc;

use stateset_abci::comet::{Process, Program};
use stateset_abci::{Abci, EngineError, Instance, Node, Server};
use stateset_ledger_store::Store;

use crate::args::{CometArgs, Engine, UpgradeArgs};
use crate::capsules::CapsuleStore;
use crate::home::{Home, Settings};
use crate::output::Failure;
use crate::solo::{Listen, Solo, SoloConfig};
use crate::upgrade;

/// What puts the transactions in order, with all that stands on it.
enum Parts {
    Comet(Instance),
    Solo(Solo),
}

/// What an operator says at a start, and not in the settings, since it is of this once.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// Engine solo: sign on although the record of the last signed block is missing.
    pub trust_stored_height: bool,
    pub upgrade: UpgradeArgs,
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
    pub fn start(home: Home, program: Option<&Program>, said: &Said) -> Result<Self, Failure> {
        let settings = home.settings()?;
        if said.trust_stored_height && settings.engine == Engine::Comet {
            let message = "--trust-stored-height is of the engine solo: CometBFT keeps its own record of what was signed";
            return Err(Failure::input("USAGE", message));
        }
        upgrade::forget(&home)?;
        let store = home.store()?;
        let mut rpc = settings.rpc;
        let parts = match settings.engine {
            Engine::Comet => Parts::Comet(comet(&home, &settings, store, program, &said.upgrade)?),
            Engine::Solo => {
                let at = Listen { rpc: settings.rpc, else_free: false };
                let config = SoloConfig { empty_block_interval: None, said: said.clone() };
                let solo = Solo::start(&home, at, config, store)?;
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
                Some(failure) => Err(failure.clone()),
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
    upgrade: &UpgradeArgs,
) -> Result<Instance, Failure> {
    let node = Node::new(Arc::new(upgrade::ledger(upgrade)), Arc::new(store), home.options(settings));
    let node = node.map_err(|error| match &error {
        EngineError::Application(fault) => upgrade::stopped(home, fault),
        _ => Failure::failed("STATE", error),
    })?;
    let abci = Abci::new(node);
    let server = Server::start(abci.clone(), &home.comet.socket())
        .map_err(|error| Failure::failed("CANNOT_START", error))?;
    let process = program.map(|program| Process::start(program, &home.comet)).transpose();
    let process = process.map_err(|error| Failure::failed("CANNOT_START", format!("cometbft: {error}")))?;
    Ok(Instance::new(abci, server, process))
}

fn check_comet(instance: &mut Instance, home: &Home) -> Result<(), Failure> {
    if let Some(problem) = instance.failure() {
        return Err(match problem {
            EngineError::Application(fault) => upgrade::stopped(home, fault),
            other => Failure::failed("APPLICATION", other),
        });
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

//! A running node: the application on its socket, and CometBFT beside it.

use std::sync::Arc;

use serde_json::json;
use stateset_abci::comet::{Process, Program};
use stateset_abci::{Abci, EngineError, Instance, Node, Server};
use stateset_ledger_app::{Fault, Ledger};
use stateset_ledger_store::Store;

use crate::args::CometArgs;
use crate::home::{Home, Settings};
use crate::output::Failure;

pub struct Running {
    instance: Instance,
    home: Home,
    pub settings: Settings,
}

/// The CometBFT to start.
pub fn program(args: &CometArgs) -> Result<Program, Failure> {
    Program::find(args.cometbft.as_deref(), |name| std::env::var_os(name))
        .map_err(|missing| Failure::failed("COMETBFT_MISSING", missing))
}

impl Running {
    /// Starts the node of `home`; without `program`, the application alone.
    pub fn start(home: Home, program: Option<&Program>) -> Result<Self, Failure> {
        let settings = home.settings()?;
        let store = Store::open(&home.file("state.redb")).map_err(|error| Failure::failed("STATE", error))?;
        let node = Node::new(Arc::new(Ledger::new()), Arc::new(store), home.options(&settings));
        let abci = Abci::new(node.map_err(|error| Failure::failed("STATE", error))?);
        let server = Server::start(abci.clone(), &home.comet.socket())
            .map_err(|error| Failure::failed("CANNOT_START", error))?;
        let process = match program {
            Some(program) => Some(
                Process::start(program, &home.comet)
                    .map_err(|error| Failure::failed("CANNOT_START", format!("cometbft: {error}")))?,
            ),
            None => None,
        };
        Ok(Self { instance: Instance::new(abci, server, process), home, settings })
    }

    pub fn cometbft_pid(&self) -> Option<u32> {
        self.instance.process().map(Process::id)
    }

    /// Whether both parts still run.
    ///
    /// # Errors
    /// What ended one of them.
    pub fn check(&mut self) -> Result<(), Failure> {
        if let Some(problem) = self.instance.failure() {
            if let EngineError::Application(Fault::UpgradeNeeded { name, height, info }) = problem {
                let needed = json!({"name": name, "height": height, "info": info});
                let file = self.home.file("upgrade-needed.json");
                std::fs::write(&file, needed.to_string())
                    .map_err(|error| Failure::io("write", &file, &error))?;
                return Err(Failure::failed("UPGRADE_NEEDED", problem));
            }
            return Err(Failure::failed("APPLICATION", problem));
        }
        match self.instance.ended() {
            Ok(None) => Ok(()),
            ended => {
                let how = ended.map_or_else(
                    |error| error.to_string(),
                    |status| status.map(|status| status.to_string()).unwrap_or_default(),
                );
                let (log, words) = (
                    self.home.comet.log(),
                    self.instance.process().map(Process::last_words).unwrap_or_default(),
                );
                Err(Failure::failed(
                    "COMETBFT",
                    format!("cometbft ended: {how}; {} says:\n{words}", log.display()),
                ))
            }
        }
    }
}

//! A ledger of one company inside another program: the engine `solo` in a folder of its own.

mod admission;
mod attesters;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use stateset_abci::comet::{Rpc, Timing};
use stateset_ledger_types::Genesis;

use crate::args::{BeginArgs, Engine, UpgradeArgs};
use crate::capsules::of_this_machine;
use crate::certificates::{ROOT_SEED, certify};
use crate::genesis::{begun, founded, now};
use crate::home::{Home, MEMBER_SEED, Settings};
use crate::member::Member;
use crate::node::Said;
use crate::output::Failure;
use crate::participant::NotarySeat;
use crate::solo::{Listen, Solo, SoloConfig};
use crate::trust::{Held, genesis_of};

pub use admission::{Admitted, Newcomer};

/// The chain of every such ledger.
pub const CHAIN_ID: &str = "stateset-local-1";
/// Its first member, which orders and admits others.
const FOUNDER: &str = "local";
/// Nothing happens for long on a machine of one: an idle ledger costs few blocks.
const EMPTY_BLOCK_INTERVAL: Duration = Duration::from_secs(60);

/// Denominations that the founder may mint, with their decimal places.
const MONEY: [(&str, u8); 2] = [("eur", 2), ("usd", 2)];

/// The folder of such a ledger, whether it runs or not.
#[derive(Debug, Clone)]
pub struct LocalHome(Home);

impl LocalHome {
    pub fn at(folder: &Path) -> Result<Self, Failure> {
        Home::at(folder).map(Self)
    }

    pub fn exists(&self) -> bool {
        self.0.exists()
    }

    /// Makes keys and genesis where there are none. Returns whether it did.
    fn make(&self, rpc: SocketAddr) -> Result<bool, Failure> {
        if self.0.exists() {
            return Ok(false);
        }
        let mut genesis = founded(CHAIN_ID, now(), &[self.0.founder(FOUNDER, Engine::Solo)?])?;
        certify(&mut genesis, &self.0.seed(ROOT_SEED)?, &[&self.0])?;
        let denoms = MONEY.iter().map(|(name, places)| ((*name).to_owned(), *places)).collect();
        begun(&mut genesis, Engine::Solo, &BeginArgs { denoms, ..BeginArgs::default() })?;
        let settings = Settings {
            engine: Engine::Solo,
            chain_id: genesis.chain_id.to_string(),
            rpc,
            p2p: rpc,
            // Of the companies' nodes of this process, which start it (`Hosted`).
            capsules: None,
            keep_states: None,
            keep_blocks: None,
            snapshot_interval: None,
        };
        self.0.write(FOUNDER, &settings, &genesis, Vec::new(), Timing::default())?;
        Ok(true)
    }

    /// Where its RPC was at the last start, or is by its settings.
    pub fn url(&self) -> Result<String, Failure> {
        let file = self.0.file("rpc");
        match std::fs::read_to_string(&file) {
            Ok(text) => Ok(text.trim().to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok(format!("http://{}", of_this_machine(self.0.settings()?.rpc)))
            }
            Err(error) => Err(Failure::io("read", &file, &error)),
        }
    }

    pub fn genesis(&self) -> Result<Genesis, Failure> {
        genesis_of(&self.0.file("genesis.json"))
    }

    /// What this machine believes of its own ledger.
    pub fn trust(&self) -> Result<Held, Failure> {
        let from = self.0.file("genesis.json").display().to_string();
        Held::validators_of(&self.genesis()?, from)
    }

    /// What the founder, as the notary of this ledger, stores capsules with; `None` where it has no certificate.
    pub fn notary(&self) -> Result<Option<NotarySeat>, Failure> {
        self.0.seat(&self.genesis()?)
    }

    /// The founder whose home it is, at the ledger where it runs.
    pub fn founder(&self) -> Result<Member, Failure> {
        let genesis = self.genesis()?;
        let entity = self.0.member(&genesis)?.ok_or_else(|| {
            let folder = self.0.folder().display();
            Failure::input(
                "NO_MEMBER",
                format!("{folder} has the key of no member of the genesis ({MEMBER_SEED})"),
            )
        })?;
        let key = self.0.seed(MEMBER_SEED)?;
        Ok(Member { rpc: Rpc::new(&self.url()?), chain_id: genesis.chain_id, entity, key: Arc::new(key) })
    }
}

/// A running ledger; dropping it ends it after the block at hand. Both block: not to be done where tasks run.
pub struct LocalLedger {
    solo: Solo,
    pub home: LocalHome,
    /// Of its RPC.
    pub url: String,
    /// Whether this start made it.
    pub is_new: bool,
}

impl LocalLedger {
    /// Starts the ledger in `folder`, with its RPC at `rpc`, or at a free port of that address where the port is taken.
    pub fn start(folder: &Path, rpc: SocketAddr, upgrade: UpgradeArgs) -> Result<Self, Failure> {
        let home = LocalHome::at(folder)?;
        let is_new = home.make(rpc)?;
        let store = home.0.store()?;
        let said = Said { upgrade, ..Said::default() };
        let config = SoloConfig { empty_block_interval: Some(EMPTY_BLOCK_INTERVAL), said };
        let solo = Solo::start(&home.0, Listen { rpc, else_free: true }, config, store)?;
        let url = format!("http://{}", solo.rpc);
        let file = home.0.file("rpc");
        std::fs::write(&file, format!("{url}\n")).map_err(|error| Failure::io("write", &file, &error))?;
        Ok(Self { solo, home, url, is_new })
    }

    /// Says, from any thread, why it stopped by itself, if it did.
    pub fn watch(&self) -> impl Fn() -> Option<String> + Send + Sync + use<> {
        self.solo.watch()
    }
}

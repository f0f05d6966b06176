//! A ledger of one company inside another program: the engine `solo` in a folder of its own.

mod admission;
mod attesters;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use stateset_abci::comet::{Rpc, Timing};
use stateset_ledger_store::Store;
use stateset_ledger_types::Genesis;
use stateset_ledger_types::bank::DenomRecord;
use stateset_ledger_types::codec::{List, Set};
use stateset_ledger_types::ids::Denom;
use stateset_solo::NodeConfig;

use crate::args::Engine;
use crate::certificates::{NODE_CERTIFICATES, NODE_SEED, ROOT_SEED, certificates_of, certify};
use crate::genesis::{founded, now};
use crate::home::{Home, Settings};
use crate::member::Member;
use crate::output::Failure;
use crate::participant::NotarySeat;
use crate::solo::{Listen, Solo};
use crate::trust::{Held, genesis_of};

pub use admission::{Admitted, Newcomer};

/// The chain of every such ledger.
pub const CHAIN_ID: &str = "stateset-local-1";
/// Its first member, which orders and admits others.
const FOUNDER: &str = "local";
/// Nothing happens for long on a machine of one: an idle ledger costs few blocks.
const EMPTY_BLOCK_INTERVAL: Duration = Duration::from_secs(60);
/// The founder decides alone, so votes need not be waited for. Enough blocks for a vote to come in.
const PARAMS: [(&str, u64); 3] = [("voting_blocks", 10), ("activation_delay_blocks", 1), ("min_sponsors", 1)];

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
        money(&mut genesis)?;
        for (name, value) in PARAMS {
            genesis.params.set(name, value).map_err(|problem| Failure::failed("GENESIS", problem))?;
        }
        let settings = Settings {
            engine: Engine::Solo,
            chain_id: genesis.chain_id.to_string(),
            rpc,
            p2p: rpc,
            keep_states: None,
            keep_blocks: None,
            snapshot_interval: None,
        };
        self.0.write(FOUNDER, &settings, &genesis, Vec::new(), Timing::default())?;
        Ok(true)
    }

    /// Where its RPC was at the last start.
    pub fn url(&self) -> Result<String, Failure> {
        let file = self.0.file("rpc");
        let text = std::fs::read_to_string(&file).map_err(|error| Failure::io("read", &file, &error))?;
        Ok(text.trim().to_owned())
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
        let (genesis, file) = (self.genesis()?, self.0.file(NODE_CERTIFICATES));
        let Some(founder) = genesis.entities.first().filter(|_| file.exists()) else { return Ok(None) };
        Ok(Some(NotarySeat {
            entity: founder.entity_id,
            certificates: certificates_of(&file)?,
            node: Arc::new(self.0.seed(NODE_SEED)?),
            ledger: Arc::new(self.0.seed("member.seed")?),
        }))
    }

    /// The founder, at the ledger where it runs.
    pub fn founder(&self) -> Result<Member, Failure> {
        let (genesis, key) = (self.genesis()?, self.0.seed("member.seed")?);
        let entity = genesis.entities.first().map(|entity| entity.entity_id);
        let entity = entity.ok_or_else(|| Failure::failed("GENESIS", "the genesis has no member"))?;
        Ok(Member { rpc: Rpc::new(&self.url()?), chain_id: genesis.chain_id, entity, key: Arc::new(key) })
    }
}

/// Makes the first member the issuer of [`MONEY`], of which there is nothing yet.
fn money(genesis: &mut Genesis) -> Result<(), Failure> {
    let failed = |problem: &dyn ToString| Failure::failed("GENESIS", problem.to_string());
    let denom = |name| Denom::new(name).map_err(|problem| failed(&problem));
    let records = MONEY.map(|(name, exponent)| Ok(DenomRecord { denom: denom(name)?, exponent }));
    let records = records.into_iter().collect::<Result<Vec<_>, Failure>>()?;
    let mut entities = genesis.entities.to_vec();
    if let Some(founder) = entities.first_mut() {
        let all = records.iter().map(|record| record.denom.clone());
        founder.issuer_of = Set::new(all).map_err(|problem| failed(&problem))?;
    }
    genesis.entities = List::new(entities).map_err(|problem| failed(&problem))?;
    genesis.denoms = List::new(records).map_err(|problem| failed(&problem))?;
    Ok(())
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
    pub fn start(folder: &Path, rpc: SocketAddr) -> Result<Self, Failure> {
        let home = LocalHome::at(folder)?;
        let is_new = home.make(rpc)?;
        let store = home.0.file("state.redb");
        let store = Store::open(&store).map_err(|error| Failure::failed("STATE", error))?;
        let config = NodeConfig { empty_block_interval: EMPTY_BLOCK_INTERVAL, ..NodeConfig::default() };
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

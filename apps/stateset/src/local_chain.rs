//! The local chain of `up`: one anvil, for what anchors and for what sells.
//!
//! It lies in the data directory (`chain/`), with all that belongs to it, so that a later start goes on with it. Its
//! accounts are known to everybody: it is for development.
//!
//! ```text
//! chain/
//!   anvil.json       the chain; anvil.lock is held by the anvil that runs on it
//!   devnet.json      where it is, and which contracts are on it
//!   journal-…/       batches on their way to the registry at that address
//!   payments         what the paid demo was paid
//! ```

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use set_registry::abi::{Eip3009Token, TestDollar};
use set_registry::artifact::Contract;
use set_registry::devnet::{
    ACCOUNT_KEYS, Anvil, AnvilError, AnvilSettings, DEVNET_CHAIN_ID, SendError, Wallet,
};
use set_registry::{Address, BlockAt, ChainKey, Node, Registry, RpcSettings, U256};
use stateset_sequencer::ReadyCheck;

use crate::data_dir::DataDir;
use crate::error::CliError;
use crate::files;

/// Of anvil's accounts: who owns the contracts, who anchors and is paid, who pays for gas of payments, who buys.
pub const OWNER: usize = 0;
pub const WRITER: usize = 1;
pub const SELLER: usize = 1;
pub const SETTLER: usize = 2;
pub const BUYER: usize = 3;

/// What the buyer has at each start: a thousand dollars, in the smallest unit.
const FUNDS: u64 = 1_000_000_000;
/// How long anvil may take to say that it is there.
const READY_TIMEOUT: Duration = Duration::from_secs(1);
/// Well below the ten minutes by which buyers date their authorizations back, which the chain judges by its newest block.
const IDLE_BLOCK: Duration = Duration::from_secs(60);
const STATE: &str = "anvil.json";
const DAMAGED: &str = "anvil.damaged.json";
const RECORD: &str = "devnet.json";
const JOURNAL: &str = "journal-";
const PAYMENTS: &str = "payments";

/// Where the local chain is, for other commands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainRecord {
    pub rpc_url: String,
    pub chain_id: u64,
    /// `SetRegistry`, where batches are or were anchored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<Address>,
    /// The dollar of the paid demo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dollar: Option<Address>,
}

impl ChainRecord {
    /// `None` where no local chain was ever started on the data directory.
    pub fn read(data: &DataDir) -> Result<Option<Self>, CliError> {
        let file = folder(data).join(RECORD);
        if !file.exists() {
            return Ok(None);
        }
        let text = files::read_text(&file)?;
        serde_json::from_str(&text).map(Some).map_err(|problem| {
            CliError::failure("BAD_FILE", format!("{}: {problem}", file.display())).hint(
                "start `stateset up --anchor anvil` again: it writes the file anew, with a new registry",
            )
        })
    }
}

fn folder(data: &DataDir) -> PathBuf {
    data.path().join("chain")
}

/// A running local chain, ended in good order when it is dropped.
pub struct LocalChain {
    pub record: ChainRecord,
    /// What a person has to know of its start.
    pub said: Vec<String>,
    folder: PathBuf,
    anvil: Option<Anvil>,
    owner: Wallet,
}

impl LocalChain {
    /// Starts anvil on the chain of before; on a new one where that is gone or damaged. Blocks for a moment.
    ///
    /// # Errors
    /// What a person has to do before.
    pub fn start(data: &DataDir) -> Result<Self, CliError> {
        let folder = folder(data);
        std::fs::create_dir_all(&folder).map_err(|error| CliError::io("create", &folder, &error))?;
        let mut said = Vec::new();
        // Without it the chain is another address, and its contracts are deployed anew.
        let known = ChainRecord::read(data).unwrap_or_else(|error| {
            said.push(format!("{}. It is written anew.", error.message));
            None
        });
        let anvil = started(&folder, known.as_ref(), &mut said)?;
        let (node, no_chain) = (anvil.node(), |error: set_registry::RpcError| unavailable(&error));
        let newest = node.block(BlockAt::Latest).map_err(no_chain)?;
        let is_new = newest.is_none_or(|block| block.number == 0);
        if is_new {
            remove_what_is_of_another_chain(&folder)?;
        }
        if !is_new {
            // Its clock stood still while it did not run.
            node.request::<serde_json::Value>("evm_mine", &serde_json::json!([])).map_err(no_chain)?;
        }
        let known = known.filter(|_| !is_new);
        let record = ChainRecord {
            rpc_url: anvil.url(),
            chain_id: DEVNET_CHAIN_ID,
            registry: known.as_ref().and_then(|known| known.registry),
            dollar: known.as_ref().and_then(|known| known.dollar),
        };
        let owner = Wallet::new(node, key(OWNER)).map_err(no_chain)?;
        let chain = Self { record, said, folder, anvil: Some(anvil), owner };
        chain.write_record()?;
        Ok(chain)
    }

    fn write_record(&self) -> Result<(), CliError> {
        let text = serde_json::to_string_pretty(&self.record).expect("a record is JSON");
        let file = self.folder.join(RECORD);
        files::replace(&file, (text + "\n").as_bytes()).map_err(|error| CliError::io("write", &file, &error))
    }

    pub fn node(&self) -> Node {
        self.anvil.as_ref().expect("it runs until it is dropped").node()
    }

    /// Whether anvil still answers: who asks `/ready` is not to find out by batches that wait.
    ///
    /// # Errors
    /// Where its address is none.
    pub fn ready_check(&self) -> Result<ReadyCheck, CliError> {
        let limits = RpcSettings { connect_timeout: READY_TIMEOUT, timeout: READY_TIMEOUT };
        let node = Node::new(&self.record.rpc_url, limits).map_err(|error| unavailable(&error))?;
        Ok(Arc::new(move || {
            let answered = node.chain_id().map(drop);
            answered.map_err(|error| format!("the local chain does not answer, start `up` again: {error}"))
        }))
    }

    /// An account that sends without care; it owns the contracts.
    ///
    /// # Errors
    /// Where the chain does not answer.
    pub fn owner(&self) -> Result<Wallet, CliError> {
        Wallet::new(self.node(), key(OWNER)).map_err(|error| unavailable(&error))
    }

    /// The registry of before, where the chain still has it; else a new one.
    ///
    /// # Errors
    /// Where it can't be deployed.
    pub fn registry(&mut self) -> Result<Address, CliError> {
        match self.record.registry {
            Some(known) if Registry::new(self.node(), known).check_interface().is_ok() => Ok(known),
            _ => self.new_registry(),
        }
    }

    /// A registry that holds nothing.
    ///
    /// # Errors
    /// Where it can't be deployed.
    pub fn new_registry(&mut self) -> Result<Address, CliError> {
        let made = self.deploy(Contract::SetRegistry, "the registry")?;
        self.record.registry = Some(made);
        self.write_record()?;
        Ok(made)
    }

    /// The test dollar of before, where the chain still has it; else a new one. The buyer has some.
    ///
    /// # Errors
    /// Where it can't be deployed or handed out.
    pub fn dollar(&mut self) -> Result<Address, CliError> {
        let dollar = match self.record.dollar {
            Some(known) if self.balance(known).is_ok() => known,
            _ => {
                let made = self.deploy(Contract::TestDollar, "the test dollar")?;
                self.record.dollar = Some(made);
                self.write_record()?;
                made
            }
        };
        let missing = U256::from(FUNDS).saturating_sub(self.balance(dollar)?);
        if !missing.is_zero() {
            let mint = TestDollar::mintCall { to: key(BUYER).address(), value: missing };
            self.owner.call(dollar, &mint).map_err(|error| not_deployed("the buyer's dollars", &error))?;
        }
        Ok(dollar)
    }

    fn balance(&self, dollar: Address) -> Result<U256, CliError> {
        let asked = Eip3009Token::balanceOfCall { account: key(BUYER).address() };
        self.node().view(dollar, &asked, BlockAt::Latest).map_err(|error| unavailable(&error))
    }

    fn deploy(&self, contract: Contract, name: &str) -> Result<Address, CliError> {
        self.owner.deploy(contract).map_err(|error| not_deployed(name, &error))
    }

    /// Where the service that anchors in a registry writes down what it sends.
    pub fn journal(&self, registry: Address) -> PathBuf {
        self.folder.join(format!("{JOURNAL}{registry}"))
    }

    /// Where the facilitator writes down what it settles.
    pub fn payments(&self) -> PathBuf {
        self.folder.join(PAYMENTS)
    }
}

impl Drop for LocalChain {
    /// The chain writes itself down.
    fn drop(&mut self) {
        if let Some(anvil) = self.anvil.take() {
            anvil.stop();
        }
    }
}

/// Anvil on the chain's file. A file that it can't read is kept beside a new one.
fn started(folder: &Path, known: Option<&ChainRecord>, said: &mut Vec<String>) -> Result<Anvil, CliError> {
    let state = folder.join(STATE);
    let settings = |port| AnvilSettings {
        port,
        state: Some(state.clone()),
        idle_block: Some(IDLE_BLOCK),
        ..AnvilSettings::default()
    };
    let no_chain = |error: AnvilError| CliError::failure("NO_ANVIL", format!("no local chain: {error}"));
    // At the address of before, so that what was told to others still holds.
    let port = known.and_then(|known| known.rpc_url.rsplit(':').next()?.parse().ok()).filter(is_free);
    if let Some(port) = port
        && let Ok(anvil) = Anvil::start(&settings(Some(port)))
    {
        return Ok(anvil);
    }
    match Anvil::start(&settings(None)) {
        Err(AnvilError::EndedOnState { .. }) => {
            let kept = folder.join(DAMAGED);
            std::fs::rename(&state, &kept).map_err(|error| CliError::io("move", &state, &error))?;
            said.push(format!(
                "The local chain's file can't be read by anvil; it is kept as {}, and a new chain begins.",
                kept.display()
            ));
            Anvil::start(&settings(None)).map_err(no_chain)
        }
        started => started.map_err(no_chain),
    }
}

fn is_free(port: &u16) -> bool {
    TcpListener::bind(("127.0.0.1", *port)).is_ok()
}

/// Records beside a chain that has no block yet tell of a chain that is gone.
fn remove_what_is_of_another_chain(folder: &Path) -> Result<(), CliError> {
    let failed = |path: &Path, error| CliError::io("remove", path, &error);
    let entries = std::fs::read_dir(folder).map_err(|error| failed(folder, error))?;
    for entry in entries {
        let path = entry.map_err(|error| failed(folder, error))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with(JOURNAL) {
            std::fs::remove_dir_all(&path).map_err(|error| failed(&path, error))?;
        } else if name == RECORD || name.starts_with(PAYMENTS) {
            std::fs::remove_file(&path).map_err(|error| failed(&path, error))?;
        }
    }
    Ok(())
}

/// The key of one of anvil's accounts.
pub fn key(account: usize) -> ChainKey {
    ChainKey::from_hex(ACCOUNT_KEYS[account]).expect("a key of anvil is a key")
}

fn unavailable(error: &dyn std::fmt::Display) -> CliError {
    CliError::failure("CHAIN_UNAVAILABLE", error.to_string())
}

fn not_deployed(what: &str, error: &SendError) -> CliError {
    CliError::failure("NOT_DEPLOYED", format!("{what}: {error}"))
}

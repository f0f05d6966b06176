//! A home folder of CometBFT: `config/{config.toml, genesis.json, node_key.json, priv_validator_key.json}`, `data/`.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use tendermint::Time;

use super::keys::{self, PublicKeys};
use crate::server::address;

/// A transaction of the largest size that governance may allow, in base 64 within JSON.
const RPC_BODY_BYTES_MAX: u32 = 2_000_000;
/// The largest transaction that governance may allow.
const TX_BYTES_MAX: u32 = 1 << 20;
/// Transactions that wait in a node's pool, at most; the application remembers the checks of as many. At CometBFT's 5,000 a
/// node that has fallen behind may turn one away that its peers keep, and the next of its member may overtake it.
const POOL_MAX: u32 = 16_000;
/// Their bytes.
const POOL_BYTES_MAX: u32 = 256 << 20;

/// A folder that CometBFT takes as `--home`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home(PathBuf);

/// How long CometBFT waits. Steps of a round that fails get longer each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// For a proposal.
    pub propose: Duration,
    /// For more votes, once two thirds came but disagree; for prevotes and precommits alike.
    pub vote: Duration,
    /// Between a commit and the next height: also the least time between blocks.
    pub commit: Duration,
    /// Without transactions, until an empty block.
    pub empty_block_interval: Duration,
}

impl Default for Timing {
    /// CometBFT's own, and an empty block every 5 s (network.md 7.3).
    fn default() -> Self {
        Self {
            propose: Duration::from_secs(3),
            vote: Duration::from_secs(1),
            commit: Duration::from_secs(1),
            empty_block_interval: Duration::from_secs(5),
        }
    }
}

/// A node to stay connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    pub node_id: String,
    pub address: SocketAddr,
}

/// How a new node begins from a snapshot: what its operator trusts, and who proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateSync {
    /// At least two; one may be named twice.
    pub rpc_servers: Vec<String>,
    pub trust_height: u64,
    /// Hash of the block at that height, hexadecimal.
    pub trust_hash: String,
}

/// What `config.toml` says; the rest is as CometBFT has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub moniker: String,
    pub rpc: SocketAddr,
    pub p2p: SocketAddr,
    pub peers: Vec<Peer>,
    pub timing: Timing,
    pub state_sync: Option<StateSync>,
}

/// What `genesis.json` says. Validators are left to the state machine, which names them at InitChain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Genesis<'a> {
    pub chain_id: &'a str,
    /// Unix milliseconds.
    pub time_ms: u64,
    pub initial_height: u64,
    /// The genesis of the state machine, JSON.
    pub app_state: &'a str,
}

impl Home {
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Where the application listens.
    pub fn socket(&self) -> PathBuf {
        self.0.join("app.sock")
    }

    /// Which process was started last.
    pub(super) fn pid(&self) -> PathBuf {
        self.0.join("cometbft.pid")
    }

    /// What CometBFT says.
    pub fn log(&self) -> PathBuf {
        self.0.join("cometbft.log")
    }

    fn config(&self, name: &str) -> PathBuf {
        self.0.join("config").join(name)
    }

    /// The keys of this home, made where they are missing.
    ///
    /// # Errors
    /// When a file cannot be read or written, or holds another kind of key.
    pub fn keys(&self) -> io::Result<PublicKeys> {
        fs::create_dir_all(self.0.join("config"))?;
        fs::create_dir_all(self.0.join("data"))?;
        let node = keys::read_or_make(&self.config("node_key.json"), keys::node_key)?;
        let validator = keys::read_or_make(&self.config("priv_validator_key.json"), keys::validator_key)?;
        // What was signed last: never replaced, or the validator would sign a height twice.
        let signed = self.0.join("data/priv_validator_state.json");
        if !signed.exists() {
            fs::write(signed, json!({"height": "0", "round": 0, "step": 0}).to_string())?;
        }
        Ok(PublicKeys { node_id: keys::address(&node), validator })
    }

    /// # Errors
    /// When the file cannot be written, or the home's path is relative.
    pub fn write_config(&self, config: &Config) -> io::Result<()> {
        if !self.0.is_absolute() {
            return Err(io::Error::other(format!("{}: a home has an absolute path", self.0.display())));
        }
        fs::write(self.config("config.toml"), config_text(config, &address(&self.socket())))
    }

    /// # Errors
    /// When the file cannot be written, the time is out of range, or `app_state` is not JSON.
    pub fn write_genesis(&self, genesis: &Genesis<'_>) -> io::Result<()> {
        let (seconds, rest) = (genesis.time_ms / 1000, genesis.time_ms % 1000);
        let time = i64::try_from(seconds).ok().and_then(|seconds| {
            Time::from_unix_timestamp(seconds, u32::try_from(rest).ok()? * 1_000_000).ok()
        });
        let time = time.ok_or_else(|| io::Error::other("the time of genesis is out of range"))?;
        // Checked and then written as it stands: its numbers may be larger than our JSON reader keeps.
        let app_state: &RawValue = serde_json::from_str(genesis.app_state).map_err(io::Error::other)?;
        let mut text = String::new();
        let chain_id = Value::from(genesis.chain_id);
        let _ =
            writeln!(text, "{{\n  \"genesis_time\": \"{}\",\n  \"chain_id\": {chain_id},", time.to_rfc3339());
        let _ =
            writeln!(text, "  \"initial_height\": \"{}\",\n  \"app_hash\": \"\",", genesis.initial_height);
        let _ = writeln!(text, "  \"app_state\": {}\n}}", app_state.get());
        fs::write(self.config("genesis.json"), text)
    }
}

/// JSON's strings are strings of TOML too.
fn quoted(text: &str) -> Value {
    Value::from(text)
}

fn milliseconds(time: Duration) -> String {
    format!("\"{}ms\"", time.as_millis())
}

fn config_text(config: &Config, application: &str) -> String {
    let peers: Vec<String> =
        config.peers.iter().map(|peer| format!("{}@{}", peer.node_id, peer.address)).collect();
    // Several nodes on one machine share its address, which CometBFT otherwise takes for an attack.
    let is_local = config.p2p.ip().is_loopback();
    let timing = &config.timing;
    let mut text = format!(
        "# Written by statesetd. What is not named here is as CometBFT 0.38 has it.\n\
         proxy_app = {application}\nmoniker = {moniker}\nlog_level = \"info\"\n\n\
         [rpc]\nladdr = \"tcp://{rpc}\"\nmax_body_bytes = {RPC_BODY_BYTES_MAX}\n\n\
         [p2p]\nladdr = \"tcp://{p2p}\"\npersistent_peers = {peers}\npex = {pex}\n\
         addr_book_strict = {pex}\nallow_duplicate_ip = {is_local}\n\n\
         [mempool]\nsize = {POOL_MAX}\ncache_size = {cache}\nmax_txs_bytes = {POOL_BYTES_MAX}\n\
         max_tx_bytes = {TX_BYTES_MAX}\n\n\
         [consensus]\ntimeout_propose = {propose}\ntimeout_prevote = {vote}\ntimeout_precommit = {vote}\n\
         timeout_commit = {commit}\ncreate_empty_blocks = true\ncreate_empty_blocks_interval = {empty}\n\n\
         [tx_index]\nindexer = \"kv\"\n",
        application = quoted(application),
        moniker = quoted(&config.moniker),
        cache = 2 * POOL_MAX,
        rpc = config.rpc,
        p2p = config.p2p,
        peers = quoted(&peers.join(",")),
        pex = !is_local,
        propose = milliseconds(timing.propose),
        vote = milliseconds(timing.vote),
        commit = milliseconds(timing.commit),
        empty = milliseconds(timing.empty_block_interval),
    );
    if let Some(sync) = &config.state_sync {
        let _ = write!(
            text,
            "\n[statesync]\nenable = true\nrpc_servers = {}\ntrust_height = {}\ntrust_hash = {}\n\
             discovery_time = \"5s\"\n",
            quoted(&sync.rpc_servers.join(",")),
            sync.trust_height,
            quoted(&sync.trust_hash),
        );
    }
    text
}

//! CometBFT processes on loopback, each with an application: the ledger in this process, or CometBFT's own in its.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use base64ct::{Base64, Encoding as _};
use serde_json::json;
use stateset_abci::comet::{Config, Genesis, Home, Peer, Process, Program, Rpc, Timing};
use stateset_abci::{Abci, Instance, Node, Options, Server};
use stateset_fixtures::ledger::chain;
use stateset_ledger_app::Ledger;
use stateset_ledger_store::Store;

use crate::requests;

const VALIDATORS: usize = 4;
const START_TIME_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Ledger,
    KeyValue,
}

/// Dropping it ends the processes.
pub struct Network {
    pub nodes: Vec<Rpc>,
    instances: Vec<Instance>,
    _processes: Vec<Process>,
}

impl Network {
    /// A network that has made its first blocks.
    pub fn start(folder: &Path, program: &Program, kind: Kind, timing: Timing) -> Result<Self> {
        let homes: Vec<Home> = (0..VALIDATORS).map(|at| Home::at(folder.join(at.to_string()))).collect();
        let keys = homes.iter().map(Home::keys).collect::<Result<Vec<_>, _>>()?;
        let validators: Vec<[u8; 32]> = keys.iter().map(|keys| keys.validator).collect();
        let addresses = free(2 * VALIDATORS);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let time_ms = u64::try_from(now.as_millis())?;
        let peer = |at: usize| Peer { node_id: keys[at].node_id.clone(), address: addresses[at] };
        let mut network = Self { nodes: Vec::new(), instances: Vec::new(), _processes: Vec::new() };
        for (at, home) in homes.iter().enumerate() {
            let rpc = addresses[VALIDATORS + at];
            home.write_config(&Config {
                moniker: format!("validator {at}"),
                rpc,
                p2p: addresses[at],
                peers: (0..VALIDATORS).filter(|other| *other != at).map(peer).collect(),
                timing,
                state_sync: None,
            })?;
            match kind {
                Kind::Ledger => {
                    let app_state = requests::genesis(&validators, time_ms).to_json();
                    let (chain_id, app_state) = (chain(), app_state.as_str());
                    let chain_id = &chain_id.to_string();
                    home.write_genesis(&Genesis { chain_id, time_ms, initial_height: 1, app_state })?;
                    let store = Store::open(&home.folder().join("state.redb"))?;
                    let node = Node::new(Arc::new(Ledger::new()), Arc::new(store), Options::default())?;
                    let abci = Abci::new(node);
                    let server = Server::start(abci.clone(), &home.socket())?;
                    let process = Process::start(program, home)?;
                    network.instances.push(Instance::new(abci, server, Some(process)));
                }
                Kind::KeyValue => {
                    key_value(home, &validators, time_ms)?;
                    network._processes.push(Process::start(program, home)?);
                }
            }
            network.nodes.push(Rpc::new(&format!("http://{rpc}")));
        }
        network.wait()?;
        Ok(network)
    }

    /// Until every node shows a second block.
    fn wait(&self) -> Result<()> {
        let begun = Instant::now();
        let has_begun = |node: &Rpc| {
            let status = node.call("status", &json!({})).ok()?;
            let height = status["sync_info"]["latest_block_height"].as_str()?.parse::<u64>().ok()?;
            (height >= 2).then_some(())
        };
        while !self.nodes.iter().all(|node| has_begun(node).is_some()) {
            if let Some(problem) = self.instances.iter().find_map(Instance::failure) {
                bail!("an application has stopped: {problem}");
            }
            ensure!(begun.elapsed() < START_TIME_MAX, "the validators make no blocks");
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

/// Makes a home one of CometBFT's own application, which names no validators: they stand in its genesis.
fn key_value(home: &Home, validators: &[[u8; 32]], time_ms: u64) -> Result<()> {
    home.write_genesis(&Genesis { chain_id: "kvstore-1", time_ms, initial_height: 1, app_state: "{}" })?;
    let folder = home.folder().join("config");
    let listed: Vec<_> = validators
        .iter()
        .map(|key| {
            let key = json!({"type": "tendermint/PubKeyEd25519", "value": Base64::encode_string(key)});
            json!({"pub_key": key, "power": "10", "name": ""})
        })
        .collect();
    let file = folder.join("genesis.json");
    let mut genesis: serde_json::Value = serde_json::from_slice(&fs::read(&file)?)?;
    genesis["validators"] = json!(listed);
    fs::write(&file, genesis.to_string())?;
    let file = folder.join("config.toml");
    let text = fs::read_to_string(&file)?;
    let line = text.lines().find(|line| line.starts_with("proxy_app")).context("no proxy_app")?;
    fs::write(&file, text.replacen(line, "proxy_app = \"kvstore\"", 1))?;
    Ok(())
}

/// Addresses on loopback that are free now, all different.
fn free(count: usize) -> Vec<SocketAddr> {
    (0..count).map(|_| SocketAddr::from(([127, 0, 0, 1], stateset_fixtures::free_port()))).collect()
}

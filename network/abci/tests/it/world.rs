//! A network of CometBFT processes on loopback, each with an application of this process.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use base64ct::{Base64, Encoding as _};
use serde_json::{Value, json};
use stateset_abci::comet::{Config, Genesis, Home, Peer, Process, Program, Rpc, StateSync, Timing};
use stateset_abci::{Abci, Instance, Node, Options, Server};
use stateset_fixtures::cometbft;
use stateset_ledger_app::Application;
use stateset_ledger_store::{Store, Substore};

use crate::checked::{Checked, History};

pub const TIMING: Timing = Timing {
    propose: Duration::from_millis(500),
    vote: Duration::from_millis(200),
    commit: Duration::from_millis(100),
    empty_block_interval: Duration::from_millis(200),
};
/// Generous, since machines that test are busy; a run takes a small part of it.
pub const PATIENCE: Duration = Duration::from_secs(40);
/// Worlds run one after the other: their clocks are short, and their processes many.
static TURN: Mutex<()> = Mutex::new(());

/// The state machine that a world's nodes run.
#[derive(Clone, Copy)]
pub struct App {
    pub chain: &'static str,
    pub start: fn() -> Arc<dyn Application>,
    /// Its genesis, JSON, of validators with these keys at a time in Unix milliseconds.
    pub genesis: fn(&[[u8; 32]], u64) -> String,
}

pub struct Validator {
    pub home: Home,
    pub rpc: Rpc,
    pub history: Arc<History>,
    address: SocketAddr,
    options: Options,
    running: Option<Instance>,
}

pub struct World {
    pub validators: Vec<Validator>,
    app: App,
    program: Program,
    genesis: (u64, String),
    timing: Timing,
    folder: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// An address that is free now.
fn free() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], stateset_fixtures::free_port()))
}

/// Asks again and again until there is an answer; then the test fails, naming `what`.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: not in {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl World {
    /// A running chain of `count` validators that keep all. `None` where CometBFT is not installed.
    pub fn start(app: App, count: usize) -> Option<Self> {
        Self::start_with(app, count, TIMING, |_| Options::default())
    }

    pub fn start_with(
        app: App,
        count: usize,
        timing: Timing,
        options: impl Fn(&Home) -> Options,
    ) -> Option<Self> {
        let program = cometbft::program()?;
        let program = Program::find(Some(&program), |_| None).expect("a CometBFT of the right line");
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let homes: Vec<Home> = (0..count).map(|at| Home::at(folder.path().join(at.to_string()))).collect();
        let keys: Vec<_> = homes.iter().map(|home| home.keys().unwrap()).collect();
        let time = u64::try_from(now.as_millis()).unwrap();
        let validators: Vec<_> = keys.iter().map(|keys| keys.validator).collect();
        let mut world = Self {
            validators: Vec::new(),
            app,
            program,
            genesis: (time, (app.genesis)(&validators, time)),
            timing,
            folder,
            _turn: turn,
        };
        for home in homes {
            let options = options(&home);
            world.validators.push(Validator::new(home, options));
        }
        for at in 0..count {
            world.configure(at, None);
            world.start_one(at);
        }
        world.wait_for(&(0..count).collect::<Vec<_>>(), 1);
        Some(world)
    }

    /// Adds a node that does not vote and begins from a snapshot; not started.
    pub fn add_follower(&mut self, sync: StateSync, options: impl Fn(&Home) -> Options) -> usize {
        let at = self.validators.len();
        let home = Home::at(self.folder.path().join(at.to_string()));
        home.keys().unwrap();
        let options = options(&home);
        self.validators.push(Validator::new(home, options));
        self.configure(at, Some(sync));
        at
    }

    fn configure(&self, at: usize, state_sync: Option<StateSync>) {
        let validator = &self.validators[at];
        let peers = self.validators.iter().filter(|peer| peer.address != validator.address);
        let peers =
            peers.map(|peer| Peer { node_id: peer.home.keys().unwrap().node_id, address: peer.address });
        let config = Config {
            moniker: format!("validator {at}"),
            rpc: validator.rpc.url().strip_prefix("http://").unwrap().parse().unwrap(),
            p2p: validator.address,
            peers: peers.collect(),
            timing: self.timing,
            state_sync,
        };
        validator.home.write_config(&config).unwrap();
        let (time_ms, app_state) = &self.genesis;
        let genesis = Genesis { chain_id: self.app.chain, time_ms: *time_ms, initial_height: 1, app_state };
        validator.home.write_genesis(&genesis).unwrap();
    }

    /// CometBFT alone.
    pub fn start_comet(&self, at: usize) -> Process {
        Process::start(&self.program, &self.validators[at].home).unwrap()
    }

    pub fn start_one(&mut self, at: usize) {
        let validator = &self.validators[at];
        assert!(validator.running.is_none());
        let store = Store::open(&validator.home.folder().join("state.redb")).unwrap();
        let node = Node::new((self.app.start)(), Arc::new(store), validator.options.clone()).unwrap();
        let abci = Abci::new(node);
        let checked = Checked::new(abci.clone(), Arc::clone(&validator.history));
        let server = Server::start(checked, &validator.home.socket()).unwrap();
        let process = self.start_comet(at);
        let validator = &mut self.validators[at];
        validator.running = Some(Instance::new(abci, server, Some(process)));
    }

    /// Waits until the state of `height` is committed at each of `validators`.
    pub fn wait_for(&self, validators: &[usize], height: u64) {
        for at in validators {
            self.validators[*at].until(&format!("height {height} at validator {at}"), |validator| {
                validator.height().filter(|reached| *reached >= height)
            });
        }
    }

    /// No checker complained, and all applications said the same app hash wherever two spoke of one height. Returns how many
    /// heights at least `agreeing` of them spoke of.
    pub fn agreed_heights(&self, agreeing: usize) -> usize {
        let mut said: std::collections::BTreeMap<u64, Vec<String>> = Default::default();
        for (at, validator) in self.validators.iter().enumerate() {
            let violations = validator.history.violations.lock().unwrap();
            assert!(violations.is_empty(), "validator {at}: {violations:?}");
            for (height, hash) in &*validator.history.app_hashes.lock().unwrap() {
                said.entry(*height).or_default().push(hash.clone());
            }
        }
        for (height, hashes) in &said {
            assert!(hashes.iter().all(|hash| *hash == hashes[0]), "height {height}: {hashes:?}");
        }
        said.values().filter(|hashes| hashes.len() >= agreeing).count()
    }
}

impl Validator {
    fn new(home: Home, options: Options) -> Self {
        let rpc = Rpc::new(&format!("http://{}", free()));
        Self { home, rpc, history: Arc::default(), address: free(), options, running: None }
    }

    /// Ends CometBFT and then the application.
    pub fn stop(&mut self) {
        self.running = None;
    }

    /// Ends both at once.
    pub fn crash(&mut self) {
        if let Some(running) = self.running.take() {
            running.crash();
        }
    }

    /// As [`until`], with what this node says of itself when it takes too long.
    pub fn until<T>(&self, what: &str, mut ask: impl FnMut(&Self) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(answer) = ask(self) {
                return answer;
            }
            if begun.elapsed() > PATIENCE {
                panic!(
                    "{what}: not in {PATIENCE:?}; {:?}; CometBFT says:\n{}",
                    self.failure(),
                    self.last_words()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn failure(&self) -> Option<String> {
        self.running.as_ref()?.failure().map(ToString::to_string)
    }

    fn last_words(&self) -> String {
        self.running.as_ref().and_then(Instance::process).map(Process::last_words).unwrap_or_default()
    }

    /// Height of the newest block; `None` while there is no answer.
    pub fn height(&self) -> Option<u64> {
        let status = self.rpc.call("status", &json!({})).ok()?;
        status["sync_info"]["latest_block_height"].as_str()?.parse().ok()
    }

    /// Hands a transaction to this node; the code of CheckTx.
    pub fn send(&self, transaction: &[u8]) -> u64 {
        let params = json!({"tx": Base64::encode_string(transaction)});
        let answer = self.rpc.call("broadcast_tx_sync", &params).unwrap();
        answer["code"].as_u64().unwrap()
    }

    /// Bytes at a key of the newest state; `None` while there are none, or there is no answer.
    pub fn state(&self, substore: Substore, key: &[u8]) -> Option<Vec<u8>> {
        let answer = self.try_query(substore, key, 0, false)?;
        let value = answer["value"].as_str().filter(|value| !value.is_empty())?;
        Some(Base64::decode_vec(value).unwrap())
    }

    /// Value and height of `key` of the key-value machine, from this node's application; `None` while it has none, or does not answer.
    pub fn get(&self, key: &str) -> Option<(String, u64)> {
        let answer = self.try_query(Substore::Bank, key.as_bytes(), 0, false)?;
        let value = answer["value"].as_str().filter(|value| !value.is_empty())?;
        let value = String::from_utf8(Base64::decode_vec(value).unwrap()).unwrap();
        Some((value, answer["height"].as_str()?.parse().ok()?))
    }

    pub fn query(&self, key: &str, height: u64, prove: bool) -> Value {
        self.try_query(Substore::Bank, key.as_bytes(), height, prove).expect("the node answers")
    }

    fn try_query(&self, substore: Substore, key: &[u8], height: u64, prove: bool) -> Option<Value> {
        let data: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = format!("/store/{}/key", substore.name());
        let params = json!({"path": path, "data": data, "height": height.to_string(), "prove": prove});
        Some(self.rpc.call("abci_query", &params).ok()?["response"].clone())
    }
}

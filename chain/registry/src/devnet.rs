//! A local chain of anvil, and sending without care, for development and tests.
//!
//! Never for a chain where something is at stake: the accounts are known to everybody, nothing is written down, and
//! whoever waits is told only that it did not work.

use std::fs::{File, TryLockError};
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall;
use serde_json::{Value, json};
use ves::StreamKey;

use crate::artifact::Contract;
use crate::key::ChainKey;
use crate::node::{BlockAt, Call, Node, Receipt, ViewError};
use crate::registry::Registry;
use crate::rpc::{RpcError, RpcSettings};
use crate::transaction::Eip1559;

/// Keys of anvil's first accounts, each with 10,000 ether of its own chain. Known to everybody.
pub const ACCOUNT_KEYS: [&str; 4] = [
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
];
/// Chain id of Set L2's devnet (anchoring, section 5).
pub const DEVNET_CHAIN_ID: u64 = 84_532_001;

/// Where npm puts anvil for `cargo xtask contracts`.
const NPM_FOLDER: &str = "chain/contracts/node_modules/@foundry-rs";
const START_TIMEOUT: Duration = Duration::from_secs(20);
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long another anvil is waited for that still writes its state down.
const STATE_TIMEOUT: Duration = Duration::from_secs(10);
/// Runs a program until the pipe on standard input closes, which it does however the process at its other end ends, by
/// `kill -9` too. The program and who watches the pipe are one process group, so that the signal can mean nobody else. Standard
/// output is the program's alone, so that it ends with it.
const GUARDED: &str = r#"exec 3<&0 </dev/null; (read -r _; kill -TERM 0) <&3 >/dev/null & exec "$@" 3<&-"#;
const RECEIPT_TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
/// Above what an estimate says, since the state may change before the transaction runs.
const GAS_MARGIN_PERCENT: u64 = 30;
const PRIORITY_FEE: u128 = 1_000_000_000;

/// Why there is no local chain.
#[derive(Debug, thiserror::Error)]
pub enum AnvilError {
    #[error(
        "anvil is not installed: `cargo xtask contracts` installs it by npm, or put a program named anvil on PATH"
    )]
    NotInstalled,
    #[error("{program} does not start: {problem}")]
    NotStarted { program: String, problem: std::io::Error },
    #[error("anvil ended at once{}", port.map(|port| format!(": is port {port} taken?")).unwrap_or_default())]
    Ended { port: Option<u16> },
    #[error(
        "anvil ended at once: {} is damaged{}",
        file.display(), port.map(|port| format!(", or port {port} is taken")).unwrap_or_default()
    )]
    EndedOnState { port: Option<u16>, file: PathBuf },
    #[error("another anvil holds {}: end it first", file.display())]
    StateInUse { file: PathBuf },
    #[error("{} can't be locked: {problem}", file.display())]
    NotLocked { file: PathBuf, problem: std::io::Error },
    #[error("anvil did not answer within {seconds} s", seconds = START_TIMEOUT.as_secs())]
    Silent,
}

/// What kind of local chain.
#[derive(Debug, Clone, Default)]
pub struct AnvilSettings {
    /// `None` takes one that is free.
    pub port: Option<u16>,
    /// A block in every interval; `None` makes one for each transaction.
    pub block_time: Option<Duration>,
    /// A block for each transaction, and one in every interval: without it the chain's clock stands still while nobody sends.
    pub idle_block: Option<Duration>,
    /// Blocks only when asked for.
    pub no_mining: bool,
    /// [`DEVNET_CHAIN_ID`] when left out.
    pub chain_id: Option<u64>,
    /// A file that keeps the chain between two runs, written each second. One anvil at a time holds it, by a lock beside it.
    pub state: Option<PathBuf>,
}

/// A running anvil on 127.0.0.1. It ends when it is dropped, and when this process ends, in whatever way.
pub struct Anvil {
    child: Child,
    port: u16,
}

/// The program of npm's package, else one on PATH. npm's is looked for from the current folder upwards.
pub fn find_anvil() -> Option<PathBuf> {
    let current = std::env::current_dir().unwrap_or_default();
    let of_npm = current.ancestors().find_map(|folder| program_in(&folder.join(NPM_FOLDER)));
    let on_path = || {
        let folders = std::env::var_os("PATH")?;
        std::env::split_paths(&folders).map(|folder| folder.join("anvil")).find(|file| file.is_file())
    };
    of_npm.or_else(on_path)
}

/// The program itself; the script beside it would leave it running when it is ended.
fn program_in(folder: &Path) -> Option<PathBuf> {
    let packages = std::fs::read_dir(folder).ok()?.flatten();
    packages.map(|package| package.path().join("bin/anvil")).find(|program| program.is_file())
}

impl Anvil {
    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// [`AnvilError`].
    pub fn start(settings: &AnvilSettings) -> Result<Self, AnvilError> {
        let program = find_anvil().ok_or(AnvilError::NotInstalled)?;
        let mut command = guarded(&program);
        // Its own word on where it listens: what was free a moment ago may be another's by now, and answer in its place.
        command.args(["--host", "127.0.0.1", "--port", &settings.port.unwrap_or(0).to_string()]);
        command.args(["--chain-id", &settings.chain_id.unwrap_or(DEVNET_CHAIN_ID).to_string()]);
        if let Some(time) = settings.block_time {
            command.args(["--block-time", &time.as_secs_f64().to_string()]);
        }
        if let Some(time) = settings.idle_block {
            command.args(["--mixed-mining", "--block-time", &time.as_secs_f64().to_string()]);
        }
        if settings.no_mining {
            command.arg("--no-mining");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        if let Some(file) = &settings.state {
            command.arg("--state").arg(file).args(["--state-interval", "1"]);
            // Held by anvil itself: it may write its state after the process that started it is gone.
            command.stderr(held(file)?);
        }
        let mut child = command
            .spawn()
            .map_err(|problem| AnvilError::NotStarted { program: program.display().to_string(), problem })?;
        let ports = child.stdout.take().map(ports_in).expect("its output is a pipe");
        let mut anvil = Self { child, port: 0 };
        match (anvil.wait_until_it_answers(&ports, settings.port), &settings.state) {
            (Err(AnvilError::Ended { port }), Some(file)) if file.exists() => {
                Err(AnvilError::EndedOnState { port, file: file.clone() })
            }
            (answer, _) => answer.map(|()| anvil),
        }
    }

    fn wait_until_it_answers(&mut self, ports: &Receiver<u16>, port: Option<u16>) -> Result<(), AnvilError> {
        let started = Instant::now();
        self.port = ports.recv_timeout(START_TIMEOUT).map_err(|problem| match problem {
            RecvTimeoutError::Timeout => AnvilError::Silent,
            RecvTimeoutError::Disconnected => AnvilError::Ended { port },
        })?;
        let node = self.node();
        while started.elapsed() < START_TIMEOUT {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return Err(AnvilError::Ended { port });
            }
            // It needs no voice any more.
            if node.request::<Value>("anvil_setLoggingEnabled", &json!([false])).is_ok() {
                return Ok(());
            }
            thread::sleep(POLL);
        }
        Err(AnvilError::Silent)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn node(&self) -> Node {
        Node::new(&self.url(), RpcSettings::default()).expect("the address of a local port")
    }

    /// Ends it as a power failure would.
    pub fn kill(self) {
        drop(self);
    }

    /// Lets it write its state, then ends it.
    pub fn stop(mut self) {
        let Some(id) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) else { return };
        // It may have ended by itself.
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        let started = Instant::now();
        while started.elapsed() < STOP_TIMEOUT && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(POLL);
        }
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command to which only arguments of `program` are to be added; its standard input has to be a pipe.
fn guarded(program: &Path) -> Command {
    let mut command = Command::new("/bin/sh");
    // A group of its own: Ctrl-C in the terminal is for the process that started it, which may have work for the chain yet.
    command.args(["-c", GUARDED, "anvil"]).arg(program).process_group(0);
    command
}

/// The lock of a chain's file. It lives as long as any process that has it.
fn held(state: &Path) -> Result<File, AnvilError> {
    let file = state.with_extension("lock");
    let failed = |problem| AnvilError::NotLocked { file: file.clone(), problem };
    let lock = File::options().create(true).truncate(false).write(true).open(&file).map_err(failed)?;
    let started = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::Error(problem)) => return Err(failed(problem)),
            Err(TryLockError::WouldBlock) if started.elapsed() < STATE_TIMEOUT => thread::sleep(POLL),
            Err(TryLockError::WouldBlock) => return Err(AnvilError::StateInUse { file: state.to_owned() }),
        }
    }
}

/// Where anvil says that it listens. What it says is read until it ends, so that it never waits for a reader.
fn ports_in(output: ChildStdout) -> Receiver<u16> {
    let (tell, told) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let port = line.strip_prefix("Listening on ").and_then(|at| at.rsplit(':').next()?.parse().ok());
            if let Some(port) = port {
                // Whoever has heard one waits for no other.
                let _ = tell.send(port);
            }
        }
    });
    told
}

/// Why a transaction of a [`Wallet`] did not work.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error(transparent)]
    View(#[from] ViewError),
    #[error("transaction {0} was reverted")]
    Reverted(B256),
    #[error("transaction {0} is in no block after {seconds} s", seconds = RECEIPT_TIMEOUT.as_secs())]
    Waiting(B256),
    #[error("transaction {0} deployed nothing")]
    NoContract(B256),
}

impl From<RpcError> for SendError {
    fn from(error: RpcError) -> Self {
        Self::View(error.into())
    }
}

/// An account that sends and waits. One at a time: it asks the node for its nonce.
pub struct Wallet {
    node: Node,
    key: ChainKey,
    chain_id: u64,
}

impl Wallet {
    /// # Errors
    /// [`RpcError`] of the question for the chain's id.
    pub fn new(node: Node, key: ChainKey) -> Result<Self, RpcError> {
        let chain_id = node.chain_id()?;
        Ok(Self { node, key, chain_id })
    }

    pub fn address(&self) -> Address {
        self.key.address()
    }

    pub fn key(&self) -> &ChainKey {
        &self.key
    }

    /// Calls a contract and waits for the block.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn call<C: SolCall>(&self, to: Address, call: &C) -> Result<Receipt, SendError> {
        self.send(Some(to), call.abi_encode().into(), U256::ZERO)
    }

    /// Sends, and waits for the block. `None` deploys `input`; `value` is in wei.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn send(&self, to: Option<Address>, input: Bytes, value: U256) -> Result<Receipt, SendError> {
        let fees = self.node.fee_history(1)?;
        let base_fee = fees.base_fees.last().copied().unwrap_or(0);
        let transaction = Eip1559 {
            chain_id: self.chain_id,
            nonce: self.node.nonce(self.address(), BlockAt::Pending)?,
            max_priority_fee_per_gas: PRIORITY_FEE,
            max_fee_per_gas: base_fee * 2 + PRIORITY_FEE,
            gas_limit: self.gas_limit(to, &input)?,
            to,
            value,
            input,
        };
        let signed = transaction.sign(&self.key);
        self.node.send(&signed.raw)?;
        let receipt = self.wait(&signed.hash, transaction.nonce)?;
        if receipt.succeeded { Ok(receipt) } else { Err(SendError::Reverted(signed.hash)) }
    }

    fn gas_limit(&self, to: Option<Address>, input: &Bytes) -> Result<u64, SendError> {
        let Some(to) = to else {
            // 200 for each byte that is kept, 16 for each that is sent, and the constructor.
            return Ok(input.len() as u64 * 240 + 500_000);
        };
        let call = Call { from: self.address(), to, input: input.clone() };
        Ok(self.node.estimate_gas(&call)? * (100 + GAS_MARGIN_PERCENT) / 100)
    }

    fn wait(&self, transaction: &B256, nonce: u64) -> Result<Receipt, SendError> {
        let started = Instant::now();
        while started.elapsed() < RECEIPT_TIMEOUT {
            // A busy node tells of the block a moment before it tells of the account; the next one needs the account.
            if let Some(receipt) = self.node.receipt(transaction)?
                && self.node.nonce(self.address(), BlockAt::Latest)? > nonce
            {
                return Ok(receipt);
            }
            thread::sleep(POLL);
        }
        Err(SendError::Waiting(*transaction))
    }

    /// Deploys a contract whose owner is this account, and that nobody else can pause.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn deploy(&self, contract: Contract) -> Result<Address, SendError> {
        let input = contract.creation(self.address(), Address::ZERO);
        let receipt = self.send(None, input, U256::ZERO)?;
        receipt.contract.ok_or(SendError::NoContract(receipt.transaction_hash))
    }

    /// Opens a stream whose first number is 1; this account is its admin.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn open_stream(
        &self,
        registry: Address,
        stream: &StreamKey,
        writers: Vec<Address>,
    ) -> Result<Receipt, SendError> {
        self.send(Some(registry), Registry::open_input(stream, 1, self.address(), writers), U256::ZERO)
    }
}

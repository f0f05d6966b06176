//! The shape of ABCI 2.0, without its transport: what an ordering engine asks of the state machine (section 7).
//!
//! The engine owns the store. Each call gets a reader of the last committed height; calls that change state return
//! [`Writes`], from which the store makes the app hash. So one durable transaction of the engine holds block, state and
//! commit together, and the state machine can't tell which engine runs it.

use stateset_ledger_types::governance::SoftwareUpgrade;
use ves::Digest;

use crate::state::{ReadFault, StateReader, Writes};

/// A transaction's bytes, as ordered.
pub type TxBytes<'a> = &'a [u8];

/// Who the state machine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Name of the application, constant.
    pub data: &'static str,
    /// Version of this build, for people.
    pub version: &'static str,
    /// Version of the rules that a chain begins with; [`Application::app_version`] says which hold now.
    pub app_version: u64,
}

/// A validator's key and weight; power 0 removes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ValidatorUpdate {
    /// Ed25519.
    pub public_key: [u8; 32],
    pub power: u64,
}

/// Bounds of blocks that enter the header's consensus hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockBounds {
    pub bytes_max: u64,
    pub gas_max: u64,
}

/// What genesis sets up. The store commits `writes` as the version below `initial_height`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initial {
    pub chain_id: String,
    /// Unix milliseconds; time of the first header.
    pub genesis_time_ms: u64,
    pub initial_height: u64,
    /// SHA-256 of the genesis in its canonical form, to be logged at start.
    pub genesis_hash: [u8; 32],
    pub writes: Writes,
    pub validators: Vec<ValidatorUpdate>,
    pub bounds: BlockBounds,
}

/// A block as ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block<'a> {
    pub height: u64,
    /// Unix milliseconds, rounded down; of the header.
    pub time_ms: u64,
    pub transactions: Vec<TxBytes<'a>>,
}

/// One attribute of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    pub key: String,
    pub value: String,
    pub index: bool,
}

/// What happened, for indexes and subscribers; never part of consensus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub kind: String,
    pub attributes: Vec<Attribute>,
}

/// Result of one transaction. `code`, `data`, `gas_wanted` and `gas_used` enter the results hash.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TxResult {
    /// 0, or a code of section 15 in the codespace `ssn`.
    pub code: u32,
    pub data: Vec<u8>,
    pub gas_wanted: i64,
    pub gas_used: i64,
    /// For people; not deterministic.
    pub log: String,
    pub events: Vec<Event>,
}

/// What a block did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// One per transaction, in block order.
    pub results: Vec<TxResult>,
    pub writes: Writes,
    /// Validators that change; they sign from two heights on.
    pub validators: Vec<ValidatorUpdate>,
    /// Set when they change.
    pub bounds: Option<BlockBounds>,
    /// Set when an upgrade changed the rules: that of the next header (section 12.3). `bounds` is then set too.
    pub app_version: Option<u64>,
    pub events: Vec<Event>,
    /// Transactions that panicked, by place in the block, for the node's log.
    pub panicked: Vec<usize>,
    /// What else an operator has to read in the node's log.
    pub notes: Vec<String>,
}

/// What a proposer starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal<'a> {
    pub height: u64,
    pub time_ms: u64,
    /// In order of arrival.
    pub transactions: Vec<TxBytes<'a>>,
    /// The engine's own bound on the sum of their sizes.
    pub bytes_max: u64,
}

/// Answer to a query of section 14.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueryAnswer {
    /// 0, or a code of section 15.
    pub code: u32,
    pub log: String,
    pub value: Vec<u8>,
    /// The tree key that the answer rests on, where there is one: what to prove, and whether it is present.
    pub place: Option<crate::state::Place>,
}

/// Why a node must stop rather than go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error(transparent)]
    Read(#[from] ReadFault),
    #[error("the state at {place} is not what this program writes: {problem}")]
    Corrupt { place: String, problem: String },
    #[error(
        "the network decided on the upgrade {:?}, which block {} begins with and this program ({}) lacks: install a program that has \
         it{} and start it on the same state",
        .0.name.as_str(), .0.height, env!("CARGO_PKG_VERSION"), told(.0)
    )]
    UpgradeNeeded(Box<SoftwareUpgrade>),
    #[error(
        "the state is of version {app_version} of the rules, since the upgrade {upgrade:?}, and this program ({}) lacks it: \
         install a program that has it",
        env!("CARGO_PKG_VERSION")
    )]
    RulesUnknown { app_version: u64, upgrade: String },
}

/// What a plan says of the program to install.
fn told(plan: &SoftwareUpgrade) -> String {
    let hash = (plan.binary_hash != Digest::ZERO).then(|| format!("SHA-256 {}", plan.binary_hash));
    let info = Some(plan.info.to_string()).filter(|info| !info.is_empty());
    let said: Vec<String> = info.into_iter().chain(hash).collect();
    if said.is_empty() { String::new() } else { format!(" ({})", said.join("; ")) }
}

/// The state machine as engines see it.
pub trait Application: Send + Sync {
    /// What this program is.
    fn info(&self) -> Info;

    /// Version of the rules that hold after the block of `state`: it goes into the next header, and rises with an upgrade
    /// (section 12.3).
    ///
    /// # Errors
    /// [`Fault`] when the node must stop: the state is of rules that this program lacks, or cannot be read.
    fn app_version(&self, _state: &dyn StateReader) -> Result<u64, Fault> {
        Ok(self.info().app_version)
    }

    /// Reads a genesis file and makes the first state.
    ///
    /// # Errors
    /// A sentence for a person: which part of the genesis is wrong.
    fn init_chain(&self, genesis_json: &[u8]) -> Result<Initial, String>;

    /// Told at a start what was committed last: its height, and the time of its block in Unix milliseconds. Until then, or
    /// until a first block, [`check_tx`](Self::check_tx) judges keys at the time 0.
    fn resume(&self, _height: u64, _time_ms: u64) {}

    /// Whether `tx` may enter the pool: section 4.1, and steps 1 and 2 of section 5.1 as far as `state` tells.
    ///
    /// # Errors
    /// [`Fault`] when the node must stop.
    fn check_tx(&self, state: &dyn StateReader, tx: TxBytes<'_>) -> Result<TxResult, Fault>;

    /// The transactions to propose: places in `proposal.transactions`, in block order (section 6.4).
    ///
    /// # Errors
    /// [`Fault`] when the node must stop.
    fn prepare_proposal(&self, state: &dyn StateReader, proposal: &Proposal<'_>)
    -> Result<Vec<usize>, Fault>;

    /// Whether a proposed block may be voted for (section 6.4).
    ///
    /// # Errors
    /// [`Fault`] when the node must stop.
    fn process_proposal(&self, state: &dyn StateReader, block: &Block<'_>) -> Result<bool, Fault>;

    /// Executes a block on `state`, the state of the height before, and changes nothing by itself.
    ///
    /// # Errors
    /// [`Fault`] when the node must stop.
    fn finalize_block(&self, state: &dyn StateReader, block: &Block<'_>) -> Result<Outcome, Fault>;

    /// Told once the writes of `height` are durable; what is held in memory may follow.
    fn commit(&self, height: u64);

    /// Answers a path of section 14 from `state`, which stands at `height`.
    ///
    /// # Errors
    /// [`Fault`] when the store cannot answer.
    fn query(
        &self,
        state: &dyn StateReader,
        height: u64,
        path: &str,
        data: &[u8],
    ) -> Result<QueryAnswer, Fault>;
}

//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

use stateset_ledger_types::bank::DenomRecord;
use stateset_ledger_types::ids::EntityId;

use crate::proposals::{Choice, ProposeArgs};
use crate::trust::TrustArgs;

/// A node of the shared ledger
#[derive(Debug, Parser)]
#[command(name = "statesetd", version)]
pub struct Cli {
    /// Write results and failures as JSON
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

/// The command line, for completions and documentation.
pub fn command() -> clap::Command {
    Cli::command()
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the home of a node: keys, configuration, and the genesis of a new chain or a given one
    Init(InitArgs),
    /// Run the node of a home, until a signal ends it
    Start(StartArgs),
    /// Make a network of validators on this machine and run it
    Testnet(TestnetArgs),
    /// Say where a node stands
    Status(NodeArgs),
    /// Hand a signed request to a node
    Tx(TxArgs),
    /// Ask a node for a path of its state
    Query(QueryArgs),
    /// Companies that ask to be members
    #[command(subcommand)]
    Org(OrgCommand),
    /// Propose what members decide on, as the member whose home this is
    Propose(HomeProposeArgs),
    /// List the proposals, or show one
    Proposals(ProposalsArgs),
    /// Sponsor or vote on a proposal, as the member whose home this is
    Vote(VoteArgs),
    /// Mint money of a denomination that the member whose home this is may issue
    Mint(MintArgs),
}

/// What puts transactions in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// CometBFT, beside this program: validators of several operators
    Comet,
    /// This program alone, with one validator key
    Solo,
}

#[derive(Debug, Args)]
pub struct InitArgs {
    /// Folder of the node
    #[arg(long, env = "STATESETD_HOME", value_name = "DIR")]
    pub home: PathBuf,
    #[arg(long, value_enum, default_value = "comet")]
    pub engine: Engine,
    /// Name of the node among its peers, and of the company in a new genesis
    #[arg(long, default_value = "company-1")]
    pub name: String,
    /// Chain of a new genesis, with its revision: NAME-1
    #[arg(long, default_value = "stateset-1", conflicts_with = "genesis")]
    pub chain_id: String,
    /// Genesis of a chain that exists
    #[arg(long, value_name = "FILE")]
    pub genesis: Option<PathBuf>,
    /// Address of the RPC
    #[arg(long, default_value = "127.0.0.1:26657")]
    pub rpc: SocketAddr,
    /// Address for peers
    #[arg(long, default_value = "127.0.0.1:26656")]
    pub p2p: SocketAddr,
    /// Address of the capsule store, for companies' nodes; of a new chain
    #[arg(long, default_value = "127.0.0.1:26655")]
    pub capsules: SocketAddr,
    /// A peer to stay connected to, NODE_ID@ADDRESS; may be given again
    #[arg(long = "peer", value_name = "PEER")]
    pub peers: Vec<String>,
    #[command(flatten)]
    pub begin: BeginArgs,
}

/// What a new genesis says besides its members.
#[derive(Debug, Clone, Default, Args)]
pub struct BeginArgs {
    /// A parameter of a new genesis, such as voting_blocks=100; may be given again
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = param)]
    pub params: Vec<(String, u64)>,
    /// Money of a new genesis that its first company may mint, with its decimal places, such as usd:2; may be given again
    #[arg(long = "denom", value_name = "DENOM:PLACES", value_parser = denom)]
    pub denoms: Vec<(String, u8)>,
    /// Company of a new genesis that gets the fees of payments; the first by default. What is taken say the parameter
    /// default_fee_bps, which is 0, and rates of merchants
    #[arg(long, value_name = "NAME")]
    pub fee_collector: Option<String>,
}

pub fn param(text: &str) -> Result<(String, u64), String> {
    let parsed = text.split_once('=').and_then(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
    parsed.ok_or_else(|| "it is NAME=VALUE, the value a whole number".to_owned())
}

fn denom(text: &str) -> Result<(String, u8), String> {
    let parsed =
        text.rsplit_once(':').and_then(|(name, places)| Some((name.to_owned(), places.parse().ok()?)));
    let max = DenomRecord::EXPONENT_MAX;
    parsed
        .filter(|(_, places)| *places <= max)
        .ok_or_else(|| format!("it is DENOM:PLACES, such as usd:2, with at most {max} places"))
}

#[derive(Debug, Args)]
pub struct StartArgs {
    /// Folder of the node
    #[arg(long, env = "STATESETD_HOME", value_name = "DIR")]
    pub home: PathBuf,
    #[command(flatten)]
    pub comet: CometArgs,
    /// Run the application alone: CometBFT is started by others
    #[arg(long)]
    pub application_only: bool,
    /// Engine solo, once: sign on although the record of the last signed block is missing. Only if this key signed nothing above
    /// the state's height
    #[arg(long)]
    pub trust_stored_height: bool,
    #[command(flatten)]
    pub upgrade: UpgradeArgs,
}

/// What the operator says of upgrades that the network decided on.
#[derive(Debug, Clone, Default, Args)]
pub struct UpgradeArgs {
    /// Go on with the old rules at the height of an upgrade; only if all who order the chain do so. May be given again
    #[arg(long, value_name = "HEIGHT")]
    pub unsafe_skip_upgrade: Vec<u64>,
}

#[derive(Debug, Args)]
pub struct CometArgs {
    /// The program cometbft; else STATESET_COMETBFT, the search path, and where Go installs programs
    #[arg(long, value_name = "FILE")]
    pub cometbft: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct TestnetArgs {
    /// Folder of the homes; an existing network in it is started again as it is
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=32))]
    pub validators: u16,
    /// Chain of a new network, with its revision: NAME-1
    #[arg(long, default_value = "localnet-1")]
    pub chain_id: String,
    #[command(flatten)]
    pub begin: BeginArgs,
    /// Least time between blocks of a new network
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    pub timeout_commit: u64,
    /// Write the homes and end
    #[arg(long)]
    pub no_start: bool,
    /// End after this time instead of at Ctrl-C
    #[arg(long = "for", value_name = "SECONDS")]
    pub seconds: Option<u64>,
    #[command(flatten)]
    pub comet: CometArgs,
    #[command(flatten)]
    pub upgrade: UpgradeArgs,
}

#[derive(Debug, Args)]
pub struct NodeArgs {
    /// RPC of the node
    #[arg(long, env = "STATESETD_NODE", value_name = "URL", default_value = "http://127.0.0.1:26657")]
    pub node: String,
}

#[derive(Debug, Args)]
pub struct TxArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    /// The request's bytes, in hexadecimal
    #[arg(long, conflicts_with = "file", required_unless_present = "file")]
    pub hex: Option<String>,
    /// A file with the request's bytes
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Wait until it stands in a block, and say what became of it
    #[arg(long)]
    pub wait: bool,
}

#[derive(Debug, Subcommand)]
pub enum OrgCommand {
    /// Sign a company's certificate, propose it as a member, and vote for it
    Admit(AdmitArgs),
}

#[derive(Debug, Args)]
pub struct AdmitArgs {
    /// What the company wrote with `stateset org request`
    #[arg(value_name = "FILE")]
    pub request: PathBuf,
    /// Home of a member that may vote; its node runs
    #[arg(long, env = "STATESETD_HOME", value_name = "DIR")]
    pub home: PathBuf,
    /// Seed of the root's key [default: root.seed in the home, or in the folder around it]
    #[arg(long, value_name = "FILE")]
    pub root: Option<PathBuf>,
    /// Where other machines reach the home's capsule store [default: as it is configured]
    #[arg(long, value_name = "HOST:PORT")]
    pub capsules_at: Option<String>,
    /// Where the admission goes, for `stateset org join`
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
    /// Seconds to wait for the votes of other members
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub wait: u64,
}

#[derive(Debug, Args)]
pub struct HomeProposeArgs {
    /// Home of the member; its node runs
    #[arg(long, env = "STATESETD_HOME", value_name = "DIR", global = true)]
    pub home: Option<PathBuf>,
    #[command(flatten)]
    pub what: ProposeArgs,
}

#[derive(Debug, Args)]
pub struct ProposalsArgs {
    /// The proposal's number [default: all]
    pub proposal: Option<u64>,
    /// Only those that are not decided or carried out yet
    #[arg(long, conflicts_with = "proposal")]
    pub open: bool,
    #[command(flatten)]
    pub node: NodeArgs,
}

#[derive(Debug, Args)]
pub struct VoteArgs {
    /// The proposal's number
    pub proposal: u64,
    /// What the member says; a vote before it is replaced
    #[arg(value_enum, default_value = "yes")]
    pub choice: Choice,
    /// Home of the member; its node runs
    #[arg(long, env = "STATESETD_HOME", value_name = "DIR")]
    pub home: PathBuf,
}

#[derive(Debug, Args)]
pub struct MintArgs {
    /// Id of the member who gets it
    #[arg(value_name = "ENTITY")]
    pub to: EntityId,
    /// How much, in minor units
    pub units: u128,
    /// Of which money
    pub denom: String,
    /// Home of the issuer; its node runs
    #[arg(long, env = "STATESETD_HOME", value_name = "DIR")]
    pub home: PathBuf,
}

#[derive(Debug, Args)]
pub struct QueryArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    /// Such as /ssn/status, /ssn/entities or /ssn/notary/tx/ID; a path that is none is answered by the list of all
    pub path: String,
    /// Data of the query, in hexadecimal
    #[arg(long, default_value = "")]
    pub data: String,
    /// State after this block; the newest by default
    #[arg(long, default_value_t = 0)]
    pub height: u64,
    /// Show the value in hexadecimal alone, not as what it says
    #[arg(long)]
    pub raw: bool,
    /// Ask for the proof, and show nothing that it does not prove to whoever trusts what is named
    #[arg(long)]
    pub prove: bool,
    /// With --prove: write the certificate here, to be verified by others, offline
    #[arg(long, short, value_name = "FILE", requires = "prove")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub trust: TrustArgs,
}

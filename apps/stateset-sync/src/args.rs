//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};
use stateset_sync::conflict::Strategy;
use ves::{AgentId, EventId, StoreId, TenantId};

/// Capture events offline, and synchronise them with a sequencer
#[derive(Debug, Parser)]
#[command(name = "stateset-sync", version, subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// The command line, for tests of its help.
pub fn command() -> clap::Command {
    Cli::command()
}

#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Write one JSON document to stdout, and errors as JSON to stderr
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub json: bool,
    /// No progress, no remarks
    #[arg(long, short, global = true, help_heading = "Everywhere")]
    pub quiet: bool,
    /// Where configuration, keys, outbox and replica lie
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "STATESET_SYNC_DIR",
        hide_env_values = true,
        default_value = "./stateset-sync",
        help_heading = "Everywhere"
    )]
    pub dir: PathBuf,
    /// File whose first line opens the keys; else STATESET_PASSPHRASE, else keys/passphrase. KEYSTORE=pkcs11 takes a
    /// token instead
    #[arg(long, global = true, value_name = "FILE", help_heading = "Everywhere")]
    pub passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write the configuration: which server, stream and agent
    Init(InitArgs),
    /// Make the agent's keys: one that signs, one that opens what is sealed for it
    #[command(name = "keys:generate")]
    KeysGenerate(OfflineArgs),
    /// Register the agent's keys with the server; needs an admin API key
    #[command(name = "keys:register")]
    KeysRegister,
    /// Make new keys and use them from now on; the old ones stay to open what they can
    #[command(name = "keys:rotate")]
    KeysRotate(OfflineArgs),
    /// Revoke one of the agent's keys at the server; needs an admin API key
    #[command(name = "keys:revoke")]
    KeysRevoke(RevokeArgs),
    /// List the keys that are here, and with --agent those that a server signed for an agent
    #[command(name = "keys:list")]
    KeysList(ListArgs),
    /// Fetch the keys of an agent or group, to seal for it offline
    Recipients(RecipientsArgs),
    /// Sign events and keep them in the outbox; no server is needed
    Append(AppendArgs),
    /// Send what waits, and check every receipt
    Push(PushArgs),
    /// Fetch the stream, and check every event
    Pull,
    /// Push and pull again and again
    Watch(WatchArgs),
    /// Say how much waits, how far the replica is, and what was caught
    Status,
    /// List the conflicts, or decide one
    Conflicts(ConflictsArgs),
    /// List the events of the replica, or of the outbox
    Log(LogArgs),
    /// Show one event, opened where a key allows
    Show(ShowArgs),
    /// Take an event back that was not sent
    Discard(EventArgs),
    /// Take acknowledged events out of the outbox that the replica holds as well
    Prune(PruneArgs),
    /// Believe another key of the sequencer, after it was rotated
    Trust(TrustArgs),
    /// Check every event and receipt that is here again, without a server
    Verify,
    /// Look at this installation and say what is wrong
    Doctor,
}

#[derive(Debug, Args)]
pub struct InitArgs {
    /// Take server, stream, sequencer key and API key from the data directory of a `stateset up` on this machine
    #[arg(long, value_name = "DIR", conflicts_with_all = ["server", "tenant", "store"])]
    pub up: Option<PathBuf>,
    /// The server, such as http://127.0.0.1:8080
    #[arg(long, value_name = "URL", required_unless_present = "up")]
    pub server: Option<String>,
    #[arg(long, value_name = "UUID", required_unless_present = "up")]
    pub tenant: Option<TenantId>,
    #[arg(long, value_name = "UUID", required_unless_present = "up")]
    pub store: Option<StoreId>,
    /// How events are pushed and pulled
    #[arg(long, value_enum, default_value_t = TransportName::Rest)]
    pub transport: TransportName,
    /// Where gRPC is, such as grpc://127.0.0.1:8081 or grpcs://NAME [default: as --up says, else the port after that of --server]
    #[arg(long, value_name = "URL")]
    pub grpc_server: Option<String>,
    /// The agent that writes [default: a new one]
    #[arg(long, value_name = "UUID")]
    pub agent: Option<AgentId>,
    /// File whose first line is the API key; else STATESET_API_KEY
    #[arg(long, value_name = "FILE")]
    pub api_key_file: Option<PathBuf>,
    /// Public key that signs receipts, as hex [default: the one that the server names now, and no other later]
    #[arg(long, value_name = "HEX")]
    pub sequencer_key: Option<String>,
    /// What to do when an entity is at another version than an event expects
    #[arg(long, value_name = "STRATEGY", value_parser = strategy, default_value = "ask")]
    pub strategy: Strategy,
}

/// How events are pushed and pulled. What is signed by itself, such as key directories, comes over REST either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum TransportName {
    /// A request for each batch and page
    #[default]
    Rest,
    /// One stream that is kept open, on which the server tells of new events at once
    Grpc,
}

fn strategy(text: &str) -> Result<Strategy, String> {
    text.parse().map_err(|problem: stateset_sync::conflict::UnknownStrategy| problem.to_string())
}

#[derive(Debug, Args)]
pub struct OfflineArgs {
    /// Do not register the keys now
    #[arg(long)]
    pub offline: bool,
}

#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// Number of the key
    pub key_id: u32,
    /// A key that opens, rather than one that signs
    #[arg(long)]
    pub encryption: bool,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// The agent whose signed directory is fetched
    #[arg(long, value_name = "UUID")]
    pub agent: Option<AgentId>,
}

#[derive(Debug, Args)]
pub struct RecipientsArgs {
    /// Ids of agents, or ids or names of groups
    #[arg(required = true, value_name = "RECIPIENT")]
    pub who: Vec<String>,
}

#[derive(Debug, Args)]
pub struct AppendArgs {
    /// Drafts {entity_type, entity_id, event_type, payload, …}: one, an array, or one a line; `-` is stdin
    #[arg(conflicts_with_all = ["entity_type", "entity_id", "event_type", "payload"], required_unless_present_any = ["entity_type", "entity_id", "event_type", "payload"])]
    pub drafts: Option<PathBuf>,
    /// For example order
    #[arg(long, value_name = "TEXT", requires = "payload")]
    pub entity_type: Option<String>,
    /// For example ORD-001
    #[arg(long, value_name = "TEXT", requires = "payload")]
    pub entity_id: Option<String>,
    /// For example order.created
    #[arg(long = "type", value_name = "TEXT", requires = "payload")]
    pub event_type: Option<String>,
    /// JSON text
    #[arg(long, value_name = "JSON", requires_all = ["entity_type", "entity_id", "event_type"])]
    pub payload: Option<String>,
    /// Id of the event, so that the same append again changes nothing
    #[arg(long, value_name = "UUID", requires = "payload")]
    pub event_id: Option<EventId>,
    /// Version that the entity has to be at
    #[arg(long, value_name = "NUMBER", requires = "payload")]
    pub base_version: Option<u64>,
    /// Seal the payloads for this agent or group, and for the agent itself; may be repeated for agents
    #[arg(long, value_name = "RECIPIENT")]
    pub seal_to: Vec<String>,
}

#[derive(Debug, Args)]
pub struct PushArgs {
    /// What to do about conflicts, this once
    #[arg(long, value_name = "STRATEGY", value_parser = strategy)]
    pub strategy: Option<Strategy>,
}

#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Keep the newest so many entries all the same; the newest of all stays always
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub keep: u64,
}

#[derive(Debug, Args)]
pub struct TrustArgs {
    /// The new public key as hex, as the operator of the sequencer gave it by another way
    #[arg(value_name = "HEX")]
    pub key: String,
}

#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Pause between two rounds; over gRPC a new event ends it
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub interval: u64,
    /// End after so many rounds [default: never]
    #[arg(long, value_name = "COUNT")]
    pub rounds: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Side {
    /// Send the event on the version that the entity has
    Local,
    /// Give the event up, and what builds on it
    Remote,
}

#[derive(Debug, Args)]
pub struct ConflictsArgs {
    /// Decide this conflict
    #[arg(long, value_name = "EVENT", requires = "take")]
    pub resolve: Option<EventId>,
    /// For whom
    #[arg(long, value_enum, requires = "resolve")]
    pub take: Option<Side>,
}

#[derive(Debug, Args)]
pub struct LogArgs {
    /// The outbox, rather than the replica
    #[arg(long, conflicts_with = "entity")]
    pub outbox: bool,
    /// First sequence number, or place in the outbox
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub from: u64,
    /// At most this many
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub limit: u16,
    /// One entity, as TYPE/ID
    #[arg(long, value_name = "ENTITY")]
    pub entity: Option<String>,
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Id of the event, or its number in the stream
    pub event: Which,
}

/// An event, as a person names it.
#[derive(Debug, Clone, Copy)]
pub enum Which {
    Id(EventId),
    Number(u64),
}

impl FromStr for Which {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = || text.parse().map(Self::Number);
        text.parse()
            .map(Self::Id)
            .or_else(|_| number())
            .map_err(|_| "expected the id of an event, or its number")
    }
}

#[derive(Debug, Args)]
pub struct EventArgs {
    /// Id of the event
    pub event: EventId,
}

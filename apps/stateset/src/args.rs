//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use ves::{StoreId, TenantId};

use crate::commands::{
    anchor, bank, commerce, commit, completions, compliance, db, dev, event, import, invoice, key, ledger,
    listen, log, org, pay, proof, trigger, up, webhooks,
};

/// Signed events in, receipts and proofs out.
#[derive(Debug, Parser)]
#[command(
    name = "stateset",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Write one JSON document to stdout, and errors as JSON to stderr
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub json: bool,
    /// No progress, no remarks
    #[arg(long, short, global = true, help_heading = "Everywhere")]
    pub quiet: bool,
    /// Where store, keys and profile lie
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "STATESET_DATA",
        hide_env_values = true,
        default_value = "./stateset-data",
        help_heading = "Everywhere"
    )]
    pub data: PathBuf,
    /// The server to talk to [default: the one started on the data directory]
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "STATESET_URL",
        hide_env_values = true,
        help_heading = "Everywhere"
    )]
    pub server: Option<String>,
    /// API key for the server [default: the data directory's]
    #[arg(
        long,
        global = true,
        value_name = "KEY",
        env = "STATESET_API_KEY",
        hide_env_values = true,
        help_heading = "Everywhere"
    )]
    pub api_key: Option<String>,
    /// Tenant of the stream [default: the data directory's]
    #[arg(
        long,
        global = true,
        value_name = "UUID",
        env = "STATESET_TENANT",
        hide_env_values = true,
        help_heading = "Everywhere"
    )]
    pub tenant: Option<TenantId>,
    /// Store of the stream [default: the data directory's]
    #[arg(
        long,
        global = true,
        value_name = "UUID",
        env = "STATESET_STORE",
        hide_env_values = true,
        help_heading = "Everywhere"
    )]
    pub store: Option<StoreId>,
    /// File whose first line opens the keys; STATESET_PASSPHRASE and a prompt come after it
    #[arg(long, global = true, value_name = "FILE", help_heading = "Everywhere")]
    pub passphrase_file: Option<PathBuf>,
    /// Where the keys live, `file` or `pkcs11`; for a token, PKCS11_MODULE, PKCS11_TOKEN_LABEL and PKCS11_PIN_FILE say which [default: file]
    #[arg(
        long,
        global = true,
        value_name = "KIND",
        value_enum,
        env = "KEYSTORE",
        hide_env_values = true,
        hide_possible_values = true,
        help_heading = "Everywhere"
    )]
    pub keystore: Option<KeystoreName>,
}

/// What keeps keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum KeystoreName {
    File,
    Pkcs11,
}

impl KeystoreName {
    /// As KEYSTORE spells it.
    pub fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Pkcs11 => "pkcs11",
        }
    }
}

/// What is handed on to a program of its own; `--help` too.
#[derive(Debug, Args)]
pub struct Rest {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub args: Vec<OsString>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the event service on an embedded store
    Up(up::UpArgs),
    /// `up` with sample events, and what a developer needs to know on one page
    Dev(dev::DevArgs),
    /// Tell and check the whole story on a temporary store
    Demo,
    /// Turn foreign data into signed events
    #[command(subcommand)]
    Import(import::ImportCommand),
    /// Make, list, show, register, rotate, back up and destroy keys
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Sign, push, pull, show, follow and resend events
    #[command(subcommand, visible_alias = "events")]
    Event(event::EventCommand),
    /// Sign and push one sample event of a type
    Trigger(trigger::TriggerArgs),
    /// Post events to a program on this machine as they come, signed as webhooks are
    Listen(listen::ListenArgs),
    /// Register receivers of webhooks, and see what became of deliveries
    #[command(subcommand)]
    Webhooks(webhooks::WebhooksCommand),
    /// Commit the events after the last commitment
    Commit(commit::CommitArgs),
    /// Fetch the proof of an event, and check proofs offline
    #[command(subcommand)]
    Proof(proof::ProofCommand),
    /// Prove that an event's amount obeys a policy, without showing it, and submit the proof
    Prove(Box<compliance::ProveArgs>),
    /// Check the compliance proofs about an event, here and not at the server
    Verify(compliance::VerifyArgs),
    /// Ask a chain what is anchored on it
    #[command(subcommand)]
    Anchor(anchor::AnchorCommand),
    /// Ask the shared ledger what it holds, with proofs, and check proofs offline
    #[command(subcommand)]
    Ledger(ledger::LedgerCommand),
    /// Companies on the shared ledger of this machine, or on one that others run
    #[command(subcommand)]
    Org(org::OrgCommand),
    /// Money in the bank of the shared ledger: balances, transfers, escrows, channels, mandates, supply
    #[command(subcommand)]
    Bank(bank::BankCommandLine),
    /// Invoices between companies on the shared ledger: issue, accept, sell to a factor, pay
    #[command(subcommand)]
    Invoice(invoice::InvoiceCommand),
    /// Check whole streams again
    #[command(subcommand)]
    Log(log::LogCommand),
    /// Look after the database: schema, contents, backup, restore, check
    Db(db::DbArgs),
    /// Buy what a URL sells by the x402 protocol
    Pay(pay::PayArgs),
    /// Find a business by A2A and UCP, and buy from it with AP2 mandates
    #[command(subcommand)]
    Commerce(commerce::CommerceCommand),
    /// The service as `stateset-sequencer` runs it: configured by file and environment
    #[command(disable_help_flag = true)]
    Sequencer(Rest),
    /// Tools for the operator of a service, as `stateset-sequencer-admin`
    #[command(disable_help_flag = true)]
    SequencerAdmin(Rest),
    /// An agent's outbox and replica: capture offline, push, pull, as `stateset-sync`
    #[command(disable_help_flag = true)]
    Sync(Rest),
    /// Tools for language models over the Model Context Protocol, as `stateset-mcp`
    #[command(disable_help_flag = true)]
    Mcp(Rest),
    /// Make and check compliance proofs with files, as `ves-stark`
    #[command(disable_help_flag = true)]
    Stark(Rest),
    /// A node of the shared ledger, as `statesetd`
    #[command(disable_help_flag = true)]
    Node(Rest),
    /// Look at this installation and say what is wrong
    Doctor,
    /// Print the completions of a shell
    Completions(completions::CompletionsArgs),
}

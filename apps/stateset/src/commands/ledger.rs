//! `stateset ledger`: where the shared ledger stands, what it proves, and proofs checked without it.

mod about;
mod proposals;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use stateset_ledger_types::ids::{EntityId, SpentKey, TxId};
use stateset_ledger_types::query::key_of;
use stateset_light::Certificate;
use statesetd_app::{Held, Rpc, TrustArgs, shown};
use ves::Digest;
use ves::commitment::stream_id;

use self::about::meaning;
use crate::context::Context;
use crate::error::CliError;
use crate::{files, ledger};

#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// Say where the ledger stands
    Status(NodeArgs),
    /// Say whether a transaction is final; what the node says is verified
    Tx(TxArgs),
    /// Ask for a proof, verify it, and write it as a certificate that others verify offline
    Prove(ProveArgs),
    /// Verify a certificate; nobody is asked
    Verify(VerifyArgs),
    /// Follow the chain to its newest block, and write that as a trusted block for others
    Trust(TrustCommandArgs),
    /// Propose what the members decide on: parameters, members, validators, upgrades and more
    Propose(proposals::ProposeCommand),
    /// List the proposals, or show one
    Proposals(proposals::ProposalsArgs),
    /// Sponsor or vote on a proposal
    Vote(proposals::VoteArgs),
}

#[derive(Debug, Args)]
pub struct NodeArgs {
    /// RPC of a node [default: that of the ledger of the data directory]
    #[arg(long, value_name = "URL", env = "STATESET_LEDGER_NODE", hide_env_values = true)]
    pub node: Option<String>,
}

#[derive(Debug, Args)]
pub struct TxArgs {
    /// Id of the transaction
    #[arg(value_parser = id::<TxId>)]
    pub id: TxId,
    #[command(flatten)]
    pub node: NodeArgs,
    #[command(flatten)]
    pub trust: TrustArgs,
}

/// What is proven.
#[derive(Debug, Clone, Subcommand)]
pub enum What {
    /// That a transaction was notarised, or that it was not
    Tx {
        #[arg(value_parser = id::<TxId>)]
        id: TxId,
    },
    /// Which transaction consumed a state, or that none did
    Spent {
        /// The state's spent key
        #[arg(value_parser = id::<SpentKey>)]
        key: SpentKey,
    },
    /// The record of a member
    Entity {
        #[arg(value_parser = id::<EntityId>)]
        id: EntityId,
    },
    /// A batch of an event stream
    Anchor {
        /// The batch's number on the ledger, from 1
        #[arg(required_unless_present = "sequence")]
        batch: Option<u64>,
        /// The batch that holds the event with this number
        #[arg(long, value_name = "NUMBER", conflicts_with = "batch")]
        sequence: Option<u64>,
        /// The stream's id on the ledger [default: that of the tenant and store]
        #[arg(long, value_name = "HASH", value_parser = id::<Digest>)]
        stream: Option<Digest>,
    },
    /// Whatever a path of the state names, such as /ssn/params
    Path { path: String },
}

#[derive(Debug, Args)]
pub struct ProveArgs {
    #[command(subcommand)]
    pub what: What,
    /// Where the certificate goes
    #[arg(long, short, value_name = "FILE", global = true)]
    pub output: Option<PathBuf>,
    /// State after this block [default: the newest that a header proves]
    #[arg(long, value_name = "HEIGHT", global = true, value_parser = clap::value_parser!(u64).range(1..))]
    pub height: Option<u64>,
    #[command(flatten)]
    pub asked: Asked,
}

/// Node and trust, after the words of what is proven too.
#[derive(Debug, Args)]
pub struct Asked {
    /// RPC of a node [default: that of the ledger of the data directory]
    #[arg(long, value_name = "URL", env = "STATESET_LEDGER_NODE", hide_env_values = true, global = true)]
    pub node: Option<String>,
    /// A trusted block, as `stateset ledger trust` writes it
    #[arg(long, value_name = "FILE", global = true)]
    pub trust: Option<PathBuf>,
    /// Genesis of the chain
    #[arg(long, value_name = "FILE", global = true, conflicts_with = "trust")]
    pub genesis: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The certificate; `-` is stdin
    pub certificate: PathBuf,
    /// It has to prove that this transaction was notarised
    #[arg(long, value_name = "ID", value_parser = id::<TxId>)]
    pub tx: Option<TxId>,
    /// It has to prove that the state with this spent key was not consumed
    #[arg(long, value_name = "KEY", value_parser = id::<SpentKey>, conflicts_with = "tx")]
    pub unspent: Option<SpentKey>,
    /// It has to be about this path, such as /ssn/params
    #[arg(long, value_name = "PATH", conflicts_with_all = ["tx", "unspent"])]
    pub path: Option<String>,
    #[command(flatten)]
    pub trust: TrustArgs,
}

#[derive(Debug, Args)]
pub struct TrustCommandArgs {
    /// Where the trusted block goes; without it, to stdout
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub node: NodeArgs,
    #[command(flatten)]
    pub trust: TrustArgs,
}

fn id<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "expected hexadecimal digits, as the ledger writes its ids".to_owned())
}

pub fn run(context: &Context, command: &LedgerCommand) -> Result<(), CliError> {
    match command {
        LedgerCommand::Status(args) => status(context, args),
        LedgerCommand::Tx(args) => tx(context, args),
        LedgerCommand::Prove(args) => prove(context, args),
        LedgerCommand::Verify(args) => verify(context, args),
        LedgerCommand::Trust(args) => trust(context, args),
        LedgerCommand::Propose(args) => proposals::propose(context, args),
        LedgerCommand::Proposals(args) => proposals::list(context, args),
        LedgerCommand::Vote(args) => proposals::vote(context, args),
    }
}

/// The node that is meant.
fn node(context: &Context, named: Option<&str>) -> Result<Rpc, CliError> {
    if let Some(url) = named {
        return Ok(Rpc::new(url));
    }
    ledger::rpc(&context.data)
}

/// What is trusted: as named, else the ledger of the data directory.
fn held(context: &Context, args: &TrustArgs) -> Result<Held, CliError> {
    if let Some(held) = Held::of(args)? {
        return Ok(held);
    }
    ledger::held(&context.data)?.ok_or_else(|| {
        CliError::input("NO_TRUST", "nothing is trusted, so nothing can be verified")
            .hint("name a trusted block with --trust FILE, or the chain's genesis with --genesis FILE")
    })
}

fn status(context: &Context, args: &NodeArgs) -> Result<(), CliError> {
    let rpc = node(context, args.node.as_deref())?;
    let status = statesetd_app::status_of(&rpc)?;
    let text = format!(
        "ledger    {} at {}\nheight    {}{}\napp hash  {}\ntime      {}\nengine    {}",
        status.chain_id,
        rpc.url(),
        status.height,
        if status.catching_up { ", catching up" } else { "" },
        status.of_block(&status.app_hash),
        status.of_block(&status.time),
        status.engine,
    );
    context.out.result(&status, &crate::error::printable_lines(&text));
    Ok(())
}

fn tx(context: &Context, args: &TxArgs) -> Result<(), CliError> {
    let rpc = node(context, args.node.node.as_deref())?;
    let held = held(context, &args.trust)?;
    let answer = held.ask(&rpc, &format!("/ssn/notary/tx/{}", args.id), None)?;
    if answer.proven.value.is_none() {
        let said = format!("transaction {} is not notarised at height {}", args.id, answer.proven.height);
        return Err(CliError::failure("NOT_FOUND", said));
    }
    tell(context, &answer.certificate, &answer.proven, &held, None)
}

/// The batch that holds an event, by the node's word: the proof says whether it does.
fn batch_of(rpc: &Rpc, stream: &Digest, sequence: u64) -> Result<u64, CliError> {
    use stateset_ledger_types::anchor::{AnchorBatch, AnchorHead};
    let missing = || {
        CliError::input(
            "NOT_FOUND",
            format!("no batch on the ledger holds event {sequence} of stream {stream}"),
        )
        .hint("batches are anchored as they close, with `stateset up --anchor ledger`")
    };
    let head: Option<AnchorHead> = statesetd_app::read(rpc, &format!("/ssn/anchor/{stream}/head"))?;
    let head = head.filter(|head| sequence < head.next_sequence).ok_or_else(missing)?;
    let (mut from, mut to) = (1, head.last_batch_no);
    while from <= to {
        let middle = from + (to - from) / 2;
        let batch: Option<AnchorBatch> = statesetd_app::read(rpc, &format!("/ssn/anchor/{stream}/{middle}"))?;
        let batch = batch.ok_or_else(missing)?;
        match () {
            () if sequence < batch.sequence_start => to = middle - 1,
            () if sequence > batch.sequence_end => from = middle + 1,
            () => return Ok(middle),
        }
    }
    Err(missing())
}

fn path_of(context: &Context, rpc: &Rpc, what: &What) -> Result<String, CliError> {
    Ok(match what {
        What::Tx { id } => format!("/ssn/notary/tx/{id}"),
        What::Spent { key } => format!("/ssn/notary/spent/{key}"),
        What::Entity { id } => format!("/ssn/entities/{id}"),
        What::Path { path } => path.clone(),
        What::Anchor { batch, sequence, stream } => {
            let stream = match stream {
                Some(stream) => *stream,
                None => stream_id(&context.stream()?),
            };
            let batch = match (batch, sequence) {
                (Some(batch), _) => *batch,
                (None, Some(sequence)) => batch_of(rpc, &stream, *sequence)?,
                (None, None) => {
                    return Err(CliError::input("USAGE", "name a batch, or an event with --sequence"));
                }
            };
            format!("/ssn/anchor/{stream}/{batch}")
        }
    })
}

fn prove(context: &Context, args: &ProveArgs) -> Result<(), CliError> {
    let asked = &args.asked;
    let rpc = node(context, asked.node.as_deref())?;
    let trust =
        TrustArgs { trust: asked.trust.clone(), genesis: asked.genesis.clone(), ..TrustArgs::default() };
    let held = held(context, &trust)?;
    let answer = held.ask(&rpc, &path_of(context, &rpc, &args.what)?, args.height)?;
    if let Some(file) = &args.output {
        let written = files::replace(file, answer.certificate.to_json().as_bytes());
        written.map_err(|error| CliError::io("write", file, &error))?;
    }
    tell(context, &answer.certificate, &answer.proven, &held, args.output.as_deref())
}

fn verify(context: &Context, args: &VerifyArgs) -> Result<(), CliError> {
    let held = held(context, &args.trust)?;
    let text = files::read_text(&args.certificate)?;
    let certificate = Certificate::from_json(text.as_bytes()).map_err(|problem| {
        CliError::input("BAD_CERTIFICATE", format!("{}: {problem}", args.certificate.display()))
    })?;
    let key = match (&args.tx, &args.unspent, &args.path) {
        (Some(id), ..) => stateset_ledger_types::StateKey::tx(id),
        (_, Some(spent), _) => stateset_ledger_types::StateKey::spent(spent),
        (.., Some(path)) => key_of(path)
            .ok_or_else(|| CliError::input("USAGE", format!("{path} names no single key of the state")))?,
        _ => certificate.key.clone(),
    };
    let proven = held.verify(&certificate, &key)?;
    match (&args.tx, &args.unspent, &proven.value) {
        (Some(id), _, None) => {
            let said =
                format!("it proves that transaction {id} was not notarised at height {}", proven.height);
            Err(CliError::failure("ABSENT", said))
        }
        (_, Some(spent), Some(_)) => {
            let said = format!("it proves that the state with spent key {spent} was consumed");
            Err(CliError::failure("PRESENT", said))
        }
        _ => tell(context, &certificate, &proven, &held, None),
    }
}

/// Says what was proven, by which header, and to whom.
fn tell(
    context: &Context,
    certificate: &Certificate,
    proven: &stateset_light::Proven,
    held: &Held,
    file: Option<&Path>,
) -> Result<(), CliError> {
    let (mut value, text) = shown(proven, held);
    let (meaning, said) = meaning(proven);
    value["chain_id"] = json!(certificate.chain_id);
    value["meaning"] = meaning;
    let mut text = format!("{said}\n{text}");
    if let Some(file) = file {
        value["file"] = Value::from(file.display().to_string());
        text += &format!("\nwritten to {}", file.display());
    }
    context.out.result(&value, &text);
    Ok(())
}

fn trust(context: &Context, args: &TrustCommandArgs) -> Result<(), CliError> {
    let rpc = node(context, args.node.node.as_deref())?;
    let held = held(context, &args.trust)?;
    let trusted = held.follow(&rpc, None)?;
    let json = trusted.to_json();
    let Some(file) = &args.output else {
        context.out.result(&serde_json::from_str::<Value>(&json).unwrap_or_default(), json.trim_end());
        return Ok(());
    };
    files::replace(file, json.as_bytes()).map_err(|error| CliError::io("write", file, &error))?;
    let said = json!({"file": file, "chain_id": trusted.chain_id, "height": trusted.height,
        "header_hash": trusted.header_hash, "time": trusted.time.to_rfc3339(), "trust": held.to_json()});
    let text = format!(
        "block {} of {} is trusted, followed from {held}\nwritten to {}",
        trusted.height,
        trusted.chain_id,
        file.display()
    );
    context.out.result(&said, &text);
    Ok(())
}

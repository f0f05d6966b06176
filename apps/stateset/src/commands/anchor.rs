//! `stateset anchor`: what a chain says of batches, asked from the chain alone.

mod aggregated;
mod outcome;

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;
use set_registry::{
    Address, B256, Block, BlockAt, Committed, Node, Registry, RpcError, RpcSettings, ViewError, words,
};
use stateset_client::{ClaimedPlace, EventProof, FindingState, Trusted};
use ves::{BatchId, Digest, StreamKey};

use self::aggregated::Aggregated;
use self::outcome::Outcome;
use crate::context::Context;
use crate::error::CliError;
use crate::files;
use crate::local_chain::ChainRecord;

#[derive(Debug, Subcommand)]
pub enum AnchorCommand {
    /// Say what the registry on a chain holds: its owner, and how far a stream is anchored
    Status(StatusArgs),
    /// Check a batch against the chain, and with --proof an event of it; no sequencer is asked
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
pub struct ChainArgs {
    /// JSON-RPC endpoint of the chain, http or https [default: that of `up --anchor anvil`]
    #[arg(long, value_name = "URL", env = "L2_RPC_URL", hide_env_values = true)]
    pub rpc_url: Option<String>,
    /// Address of SetRegistry [default: that of `up --anchor anvil`]
    #[arg(long, value_name = "ADDRESS", env = "SET_REGISTRY_ADDRESS", hide_env_values = true, value_parser = words::address)]
    pub registry: Option<Address>,
    /// Address of StateSetAnchor: ask for aggregated roots there, and not for the registry
    #[arg(long, value_name = "ADDRESS", env = "STATESET_ANCHOR_ADDRESS", hide_env_values = true, value_parser = words::address)]
    pub anchor: Option<Address>,
    /// Account whose roots count [default: all that the owner of StateSetAnchor let anchor]
    #[arg(long, value_name = "ADDRESS", requires = "anchor", value_parser = words::address)]
    pub anchorer: Option<Address>,
}

#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    pub chain: ChainArgs,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Id of the batch
    pub batch: BatchId,
    /// Proof file of an event, as `stateset proof get` writes it; `-` is stdin
    #[arg(long, value_name = "FILE")]
    pub proof: Option<PathBuf>,
    /// Transaction that anchored the batch below a root; without it all roots are looked through
    #[arg(long, value_name = "HASH", requires = "anchor")]
    pub transaction: Option<B256>,
    #[command(flatten)]
    pub chain: ChainArgs,
}

pub fn run(context: &Context, command: &AnchorCommand) -> Result<(), CliError> {
    match command {
        AnchorCommand::Status(args) => status(context, args),
        AnchorCommand::Verify(args) => verify(context, args),
    }
}

fn missing(what: &str, option: &str) -> CliError {
    CliError::input("NO_CHAIN", format!("no {what} is named"))
        .hint(format!("give {option}, or start a local chain with `stateset up --anchor anvil`"))
}

/// The endpoint that is meant.
fn node(context: &Context, args: &ChainArgs) -> Result<Node, CliError> {
    let local = ChainRecord::read(&context.data)?;
    let url = args.rpc_url.clone().or_else(|| local.as_ref().map(|record| record.rpc_url.clone()));
    let url = url.ok_or_else(|| missing("endpoint", "--rpc-url URL"))?;
    Node::new(&url, RpcSettings::default()).map_err(|error| CliError::input("BAD_ADDRESS", error.to_string()))
}

/// Aggregated roots, where they are meant.
fn aggregated(context: &Context, args: &ChainArgs) -> Result<Option<Aggregated>, CliError> {
    let Some(address) = args.anchor else { return Ok(None) };
    Aggregated::at(node(context, args)?, address, args.anchorer).map(Some)
}

/// The registry that is meant, found to be one.
fn registry(context: &Context, args: &ChainArgs) -> Result<Registry, CliError> {
    let node = node(context, args)?;
    let local = ChainRecord::read(&context.data)?;
    let address = args.registry.or_else(|| local.as_ref().and_then(|record| record.registry));
    let address = address.ok_or_else(|| missing("registry", "--registry ADDRESS"))?;
    let registry = Registry::new(node, address);
    registry.check_interface().map_err(failure)?;
    Ok(registry)
}

pub fn failure(error: ViewError) -> CliError {
    match error {
        ViewError::Rpc(error) => CliError::failure("CHAIN_UNAVAILABLE", error.to_string())
            .hint("check --rpc-url, and that the node runs"),
        ViewError::Interface { .. } => CliError::failure("NO_REGISTRY", error.to_string())
            .hint("check --registry, and that --rpc-url is of the same chain"),
        ViewError::Refused(_) => CliError::failure("CHAIN_REFUSED", error.to_string()),
    }
}

#[derive(Serialize)]
struct Status {
    endpoint: String,
    chain_id: u64,
    registry: Address,
    newest_block: u64,
    owner: Address,
    paused: bool,
    streams: u32,
    /// Where a stream is known: from the data directory, or by --tenant and --store.
    stream: Option<StreamStatus>,
}

#[derive(Serialize)]
struct StreamStatus {
    stream: StreamKey,
    open: bool,
    next_sequence: u64,
    batches: u32,
    state_root: Digest,
    anchored_at: u64,
    from_checkpoint: bool,
}

fn status(context: &Context, args: &StatusArgs) -> Result<(), CliError> {
    if let Some(aggregated) = aggregated(context, &args.chain)? {
        return aggregated.status(context);
    }
    let registry = registry(context, &args.chain)?;
    let (node, newest) = (registry.node(), newest(&registry)?);
    let stream = match context.stream().ok() {
        Some(stream) => {
            let head = registry.head(&stream, BlockAt::Latest).map_err(failure)?;
            Some(StreamStatus {
                stream,
                open: head.is_open,
                next_sequence: head.next_sequence,
                batches: head.batch_count,
                state_root: head.state_root,
                anchored_at: head.anchored_at,
                from_checkpoint: head.from_checkpoint,
            })
        }
        None => None,
    };
    let status = Status {
        endpoint: node.endpoint().to_owned(),
        chain_id: node.chain_id().map_err(|error| failure(error.into()))?,
        registry: registry.address(),
        newest_block: newest.number,
        owner: registry.owner().map_err(failure)?,
        paused: registry.is_paused().map_err(failure)?,
        streams: registry.stream_count().map_err(failure)?,
        stream,
    };
    context.out.result(&status, &status_text(&status));
    Ok(())
}

fn status_text(status: &Status) -> String {
    let mut text = format!(
        "SetRegistry {} on chain {} ({}), block {}\n  owner    {}\n  writing  {}\n  streams  {}\n",
        status.registry,
        status.chain_id,
        status.endpoint,
        status.newest_block,
        status.owner,
        if status.paused { "paused" } else { "open" },
        status.streams,
    );
    if let Some(stream) = &status.stream {
        let _ = match (stream.open, stream.batches) {
            (false, _) => write!(text, "  stream {} is not open", stream.stream),
            (true, 0) => write!(text, "  stream {}: nothing is anchored", stream.stream),
            (true, batches) => write!(
                text,
                "  stream {}: {batches} batches, up to event {}\n  state root {}",
                stream.stream,
                stream.next_sequence - 1,
                stream.state_root
            ),
        };
    }
    text
}

/// What a chain says of a batch, and of an event of it.
#[derive(Serialize)]
pub struct Verdict {
    pub valid: bool,
    batch_id: BatchId,
    /// Where its ids are known: of a proof, or of who asked.
    stream: Option<StreamKey>,
    /// The stream's name in the contract.
    stream_key: String,
    events_root: Digest,
    new_state_root: Digest,
    pub sequence_start: u64,
    pub sequence_end: u64,
    transaction: String,
    pub block_number: u64,
    confirmations: u64,
    /// Whether the chain says that the block is never undone.
    #[serde(rename = "final")]
    is_final: bool,
    /// Whether the registry keeps the batch as the event of its transaction says, whatever a proof says.
    on_chain: bool,
    pub event: Option<EventVerdict>,
}

impl Verdict {
    fn outcome(&self) -> Outcome {
        Outcome::of(self.on_chain, self.event.as_ref())
    }
}

#[derive(Serialize)]
pub struct EventVerdict {
    sequence_number: u64,
    leaf_hash: Digest,
    /// By the contract's own check.
    pub on_chain: bool,
    /// By ours, from the root in the chain's event.
    pub here: bool,
    /// Whether the rest of the proof holds too: payload, signatures, and the way to the state root on the chain. Keys are
    /// those in the file.
    pub file: bool,
    /// Checks of the proof that fail.
    problems: Vec<String>,
}

impl EventVerdict {
    /// Lines for people, each after a break.
    fn text(&self) -> String {
        let word = |holds| if holds { "in the batch" } else { "NOT in the batch" };
        let judged = format!(
            "\n  event {}: {} by the contract, {} by this program",
            self.sequence_number,
            word(self.on_chain),
            word(self.here)
        );
        match self.problems.is_empty() {
            true => judged + "\n  payload, signatures and state root hold, under the keys in the file",
            false => judged + "\n  WRONG  " + &self.problems.join("\n  WRONG  "),
        }
    }
}

fn verify(context: &Context, args: &VerifyArgs) -> Result<(), CliError> {
    let proof = args.proof.as_deref().map(proof_in).transpose()?;
    if let Some(aggregated) = aggregated(context, &args.chain)? {
        return aggregated.verify(context, &args.batch, proof.as_ref(), args.transaction.as_ref());
    }
    let registry = registry(context, &args.chain)?;
    let verdict = judge(&registry, &args.batch, proof.as_ref(), context.stream().ok().as_ref())?;
    context.out.result(&verdict, &verdict_text(&verdict));
    verdict.outcome().result(verdict.event.as_ref().map_or(&[], |event| &event.problems))
}

/// Judges a batch, and with `proof` an event of it, by the chain alone. `of` is whose batch is meant where no proof says.
///
/// # Errors
/// Where the chain can't be asked or holds no such batch, or the proof is of another.
pub fn judge(
    registry: &Registry,
    batch_id: &BatchId,
    proof: Option<&EventProof>,
    of: Option<&StreamKey>,
) -> Result<Verdict, CliError> {
    let claimed = proof.map(|proof| proof.claimed_place().map(|place| (proof, place))).transpose();
    let claimed = claimed.map_err(|problem| CliError::input("BAD_PROOF_FILE", problem.to_string()))?;
    if let Some((_, place)) = &claimed
        && place.batch_id != *batch_id
    {
        let message = format!("the proof is of batch {}, not of {batch_id}", place.batch_id);
        return Err(CliError::input("OTHER_BATCH", message));
    }
    let newest = newest(registry)?;
    // Batch ids are a stream's own: where one is known, no other stream's batch is taken for it.
    let stream = claimed.as_ref().map(|(_, place)| &place.stream).or(of);
    let found = match stream {
        Some(_) => registry.find_committed(batch_id, stream, newest.number),
        None => {
            only(registry.find_in_streams(batch_id, newest.number), |found| found.stream_key.to_string())?
        }
    };
    let found = found.map_err(|error| failure(error.into()))?;
    let batch = found.ok_or_else(|| {
        let of_stream = stream.map_or_else(String::new, |stream| format!(" of stream {stream}"));
        let message = format!("the chain holds no batch {batch_id}{of_stream}");
        CliError::failure("NOT_ANCHORED", message)
            .hint("`stateset anchor status` says how far a stream is anchored")
    })?;
    let stream = stream.copied();
    let event = claimed.map(|(proof, place)| event_verdict(registry, &batch, proof, &place)).transpose()?;
    let is_held = registry.holds(&batch, BlockAt::Latest).map_err(failure)?.is_some();
    verdict(registry, &batch, stream, &newest, is_held, event)
}

/// The one batch of an id whose stream nobody named.
///
/// # Errors
/// Where several streams have one.
fn only<T>(
    found: Result<Vec<T>, RpcError>,
    name: impl Fn(&T) -> String,
) -> Result<Result<Option<T>, RpcError>, CliError> {
    let mut found = match found {
        Ok(found) => found,
        Err(error) => return Ok(Err(error)),
    };
    if found.len() > 1 {
        let names: Vec<String> = found.iter().map(name).collect();
        let message = format!(
            "{} streams have a batch of that id, by their names on the chain:\n  {}",
            names.len(),
            names.join("\n  ")
        );
        return Err(CliError::input("WHICH_STREAM", message)
            .hint("say which one by --tenant and --store, or give --proof"));
    }
    Ok(Ok(found.pop()))
}

fn proof_in(file: &std::path::Path) -> Result<EventProof, CliError> {
    EventProof::parse(&files::read_text(file)?)
        .map_err(|problem| CliError::input("BAD_PROOF_FILE", format!("{}: {problem}", file.display())))
}

fn event_verdict(
    registry: &Registry,
    batch: &Committed,
    proof: &EventProof,
    place: &ClaimedPlace,
) -> Result<EventVerdict, CliError> {
    let (start, end) = (batch.sequence_start.get(), batch.sequence_end.get());
    let number = place.sequence_number.get();
    // The contract does not know which number a leaf has: its index has to be that of the event.
    let is_its_index = number.checked_sub(start) == Some(place.leaf_index) && number <= end;
    let path = ves::InclusionProof { leaf_index: place.leaf_index, path: place.path.clone() };
    let count = (end - start).checked_add(1);
    let here = ves::merkle::verify_inclusion(&place.leaf, &batch.events_root, count, &path).is_ok();
    let on_chain = registry.holds_leaf(batch, &place.leaf, &place.path, place.leaf_index).map_err(failure)?;
    let problems = problems_of(proof, batch)?;
    Ok(EventVerdict {
        sequence_number: number,
        leaf_hash: place.leaf,
        on_chain: on_chain && is_its_index && batch.stream_key == words::stream_key(&place.stream),
        here: here && is_its_index,
        file: problems.is_empty(),
        problems,
    })
}

/// The leaf says nothing of the payload itself, only of its hash: everything else in the file is checked too.
fn problems_of(proof: &EventProof, batch: &Committed) -> Result<Vec<String>, CliError> {
    let trusted = Trusted { state_root: Some(batch.new_state_root), file_keys: true, ..Trusted::default() };
    let verdict =
        proof.verify(&trusted).map_err(|problem| CliError::input("BAD_PROOF_FILE", problem.to_string()))?;
    let failing = verdict.findings.iter().filter(|finding| finding.state == FindingState::Fails);
    Ok(failing.map(|finding| format!("{}: {}", finding.check, finding.detail)).collect())
}

fn verdict(
    registry: &Registry,
    batch: &Committed,
    stream: Option<StreamKey>,
    newest: &Block,
    is_held: bool,
    event: Option<EventVerdict>,
) -> Result<Verdict, CliError> {
    // A chain without such a block has not finalised this one.
    let finalized = registry.node().block(BlockAt::Finalized).ok().flatten().map_or(0, |block| block.number);
    let place = &batch.place;
    Ok(Verdict {
        valid: Outcome::of(is_held, event.as_ref()) == Outcome::Anchored,
        batch_id: batch.batch_id,
        stream,
        stream_key: batch.stream_key.to_string(),
        events_root: batch.events_root,
        new_state_root: batch.new_state_root,
        sequence_start: batch.sequence_start.get(),
        sequence_end: batch.sequence_end.get(),
        transaction: place.transaction.to_string(),
        block_number: place.block_number,
        confirmations: (newest.number + 1).saturating_sub(place.block_number),
        is_final: place.block_number <= finalized,
        on_chain: is_held,
        event,
    })
}

fn verdict_text(verdict: &Verdict) -> String {
    let mut text = format!(
        "{}: batch {} holds events {} to {}\n  stream      {}\n  events root {}\n  state root  {}\n  transaction {}\n  block {}, {} confirmations{}",
        verdict.outcome().heading(),
        verdict.batch_id,
        verdict.sequence_start,
        verdict.sequence_end,
        stream_text(verdict.stream.as_ref(), &verdict.stream_key),
        verdict.events_root,
        verdict.new_state_root,
        verdict.transaction,
        verdict.block_number,
        verdict.confirmations,
        if verdict.is_final { ", final" } else { "" },
    );
    if let Some(event) = &verdict.event {
        text.push_str(&event.text());
    }
    text
}

/// By its ids where they are known, and by its name on the chain.
fn stream_text(stream: Option<&StreamKey>, name: &dyn std::fmt::Display) -> String {
    stream.map_or_else(
        || format!("{name} (its name on the chain)"),
        |stream| format!("{stream}, on the chain {name}"),
    )
}

fn newest(registry: &Registry) -> Result<Block, CliError> {
    let found = registry.node().block(BlockAt::Latest).map_err(|error| failure(error.into()))?;
    found.ok_or_else(|| CliError::failure("CHAIN_UNAVAILABLE", "the chain has no block"))
}

//! Batches below aggregated roots, asked from the chain alone: the headers are published in the transactions themselves.

use std::fmt::Write as _;

use serde::Serialize;
use set_registry::{Address, B256, BlockAt, FoundHeader, Node, Roots};
use stateset_client::{ClaimedPlace, EventProof, FindingState, Trusted};
use ves::commitment::stream_id;
use ves::{BatchId, Digest, InclusionProof, StreamKey};

use super::outcome::Outcome;
use super::{EventVerdict, failure, only, stream_text};
use crate::context::Context;
use crate::error::CliError;

/// `StateSetAnchor` at an address, and whose roots count.
pub struct Aggregated {
    roots: Roots,
    anchorer: Option<Address>,
}

#[derive(Serialize)]
struct Status {
    endpoint: String,
    chain_id: u64,
    anchor: Address,
    newest_block: u64,
    owner: Address,
    paused: bool,
    anchorer: Option<Address>,
    /// Where a stream is known: from the data directory, or by --tenant and --store.
    stream: Option<StreamStatus>,
}

#[derive(Serialize)]
struct StreamStatus {
    stream: StreamKey,
    stream_id: Digest,
    batches: u32,
    next_sequence: Option<u64>,
    state_root: Option<Digest>,
    /// Whether what came before the first header is not among these roots.
    from_checkpoint: bool,
    last_transaction: Option<B256>,
    /// Whether every header continues the one before it.
    continuous: bool,
    /// Transactions with headers that do not.
    wrong: Vec<B256>,
    /// Roots of all streams that were walked over.
    roots: u64,
    /// Transactions whose roots publish no headers.
    unread: Vec<B256>,
}

#[derive(Serialize)]
struct Verdict {
    valid: bool,
    batch_id: BatchId,
    /// Where its ids are known: of a proof, or of who asked.
    stream: Option<StreamKey>,
    stream_id: Digest,
    events_root: Digest,
    prev_state_root: Digest,
    new_state_root: Digest,
    sequence_start: u64,
    sequence_end: u64,
    root: Digest,
    header_count: u32,
    header_index: u64,
    /// Siblings of the header below the root, from the bottom up.
    header_path: Vec<Digest>,
    anchorer: Address,
    transaction: B256,
    block_number: u64,
    confirmations: u64,
    /// Whether the chain says that the block is never undone.
    #[serde(rename = "final")]
    is_final: bool,
    /// Whether the header stands below the root, by the contract's own check.
    on_chain: bool,
    event: Option<EventVerdict>,
}

impl Verdict {
    fn outcome(&self) -> Outcome {
        Outcome::of(self.on_chain, self.event.as_ref())
    }
}

impl Aggregated {
    /// # Errors
    /// Where there is no such contract.
    pub fn at(node: Node, address: Address, anchorer: Option<Address>) -> Result<Self, CliError> {
        let roots = Roots::new(node, address);
        roots.check_interface().map_err(|error| failure(error).hint("check --anchor and --rpc-url"))?;
        Ok(Self { roots, anchorer })
    }

    /// Says who owns the contract, and walks the history of the stream where one is known.
    pub fn status(&self, context: &Context) -> Result<(), CliError> {
        let (node, newest) = (self.roots.node(), self.newest()?);
        let stream = context.stream().ok().map(|stream| self.stream_status(stream, newest)).transpose()?;
        let status = Status {
            endpoint: node.endpoint().to_owned(),
            chain_id: node.chain_id().map_err(|error| failure(error.into()))?,
            anchor: self.roots.address(),
            newest_block: newest,
            owner: self.roots.owner().map_err(failure)?,
            paused: self.roots.is_paused().map_err(failure)?,
            anchorer: self.anchorer,
            stream,
        };
        context.out.result(&status, &status_text(&status));
        match status.stream.as_ref().is_none_or(|stream| stream.continuous) {
            true => Ok(()),
            false => Err(CliError::failure(
                "NOT_CONTINUOUS",
                "the stream's headers on the chain do not continue one another",
            )
            .hint(
                "whoever anchored them has two histories, or left a gap: compare them with the sequencer's",
            )),
        }
    }

    fn stream_status(&self, stream: StreamKey, newest: u64) -> Result<StreamStatus, CliError> {
        let id = stream_id(&stream);
        let history = self.roots.stream_history(&id, self.anchorer, newest);
        let history = history.map_err(|error| failure(error.into()))?;
        Ok(StreamStatus {
            stream,
            stream_id: id,
            batches: history.head.map_or(0, |head| head.batch_count),
            next_sequence: history.head.map(|head| head.next_sequence),
            state_root: history.head.map(|head| head.state_root),
            from_checkpoint: history.head.is_some_and(|head| head.from_checkpoint),
            last_transaction: history.last.map(|place| place.transaction),
            continuous: history.wrong.is_empty(),
            wrong: history.wrong.iter().map(|(_, place)| place.transaction).collect(),
            roots: history.roots,
            unread: history.unread,
        })
    }

    /// Judges a batch, and with `proof` an event of it. With `transaction` no root is looked for.
    pub fn verify(
        &self,
        context: &Context,
        batch: &BatchId,
        proof: Option<&EventProof>,
        transaction: Option<&B256>,
    ) -> Result<(), CliError> {
        let claimed = proof.map(|proof| proof.claimed_place().map(|place| (proof, place))).transpose();
        let claimed = claimed.map_err(|problem| CliError::input("BAD_PROOF_FILE", problem.to_string()))?;
        if let Some((_, place)) = &claimed
            && place.batch_id != *batch
        {
            let message = format!("the proof is of batch {}, not of {batch}", place.batch_id);
            return Err(CliError::input("OTHER_BATCH", message));
        }
        let stream = claimed.as_ref().map(|(_, place)| place.stream).or_else(|| context.stream().ok());
        let (id, newest) = (stream.as_ref().map(stream_id), self.newest()?);
        let found = match transaction {
            Some(transaction) => self.roots.find_in(transaction, batch, id.as_ref()),
            None if id.is_some() => self.roots.find(batch, id.as_ref(), self.anchorer, newest),
            None => only(self.roots.find_in_streams(batch, self.anchorer, newest), |found| {
                found.header().stream_id.to_string()
            })?,
        };
        let is_counted = |found: &FoundHeader| self.anchorer.is_none_or(|own| own == found.log.anchorer);
        let found = found.map_err(|error| failure(error.into()))?.filter(is_counted).ok_or_else(|| {
            let of_stream = stream.map_or_else(String::new, |stream| format!(" of stream {stream}"));
            CliError::failure("NOT_ANCHORED", format!("no root on the chain holds batch {batch}{of_stream}"))
                .hint("`stateset anchor status --anchor ADDRESS` says how far a stream is anchored")
        })?;
        let event = claimed.map(|(proof, place)| self.event(&found, proof, &place)).transpose()?;
        let verdict = self.verdict(batch, stream, &found, newest, event)?;
        context.out.result(&verdict, &verdict_text(&verdict));
        verdict.outcome().result(verdict.event.as_ref().map_or(&[], |event| &event.problems))
    }

    fn event(
        &self,
        found: &FoundHeader,
        proof: &EventProof,
        place: &ClaimedPlace,
    ) -> Result<EventVerdict, CliError> {
        let (header, number) = (found.header(), place.sequence_number.get());
        let (start, end) = (header.sequence_start.get(), header.sequence_end.get());
        let is_its_place = header.stream_id == stream_id(&place.stream)
            && number.checked_sub(start) == Some(place.leaf_index)
            && number <= end;
        let path = InclusionProof { leaf_index: place.leaf_index, path: place.path.clone() };
        let count = (end - start).checked_add(1);
        let here = ves::merkle::verify_inclusion(&place.leaf, &header.events_root, count, &path).is_ok();
        let on_chain = self.roots.holds_leaf(found, &place.leaf, &place.path, number).map_err(failure)?;
        let trusted =
            Trusted { state_root: Some(header.new_state_root), file_keys: true, ..Trusted::default() };
        let checked = proof.verify(&trusted);
        let checked = checked.map_err(|problem| CliError::input("BAD_PROOF_FILE", problem.to_string()))?;
        let failing = checked.findings.iter().filter(|finding| finding.state == FindingState::Fails);
        let problems: Vec<String> =
            failing.map(|finding| format!("{}: {}", finding.check, finding.detail)).collect();
        Ok(EventVerdict {
            sequence_number: number,
            leaf_hash: place.leaf,
            on_chain: on_chain && is_its_place,
            here: here && is_its_place,
            file: problems.is_empty(),
            problems,
        })
    }

    fn verdict(
        &self,
        batch: &BatchId,
        stream: Option<StreamKey>,
        found: &FoundHeader,
        newest: u64,
        event: Option<EventVerdict>,
    ) -> Result<Verdict, CliError> {
        let on_chain = self.roots.holds(found).map_err(failure)?;
        // A chain without such a block has not finalised this one.
        let finalized =
            self.roots.node().block(BlockAt::Finalized).ok().flatten().map_or(0, |block| block.number);
        let (header, place) = (found.header(), &found.log.place);
        let path = found.published.proof(found.index);
        Ok(Verdict {
            valid: Outcome::of(on_chain, event.as_ref()) == Outcome::Anchored,
            batch_id: *batch,
            stream,
            stream_id: header.stream_id,
            events_root: header.events_root,
            prev_state_root: header.prev_state_root,
            new_state_root: header.new_state_root,
            sequence_start: header.sequence_start.get(),
            sequence_end: header.sequence_end.get(),
            root: found.log.root,
            header_count: found.log.header_count,
            header_index: found.index as u64,
            header_path: path.map_or_else(Vec::new, |proof| proof.path),
            anchorer: found.log.anchorer,
            transaction: place.transaction,
            block_number: place.block_number,
            confirmations: (newest + 1).saturating_sub(place.block_number),
            is_final: place.block_number <= finalized,
            on_chain,
            event,
        })
    }

    fn newest(&self) -> Result<u64, CliError> {
        let found = self.roots.node().block(BlockAt::Latest).map_err(|error| failure(error.into()))?;
        let none = || CliError::failure("CHAIN_UNAVAILABLE", "the chain has no block");
        found.map(|block| block.number).ok_or_else(none)
    }
}

fn status_text(status: &Status) -> String {
    let mut text = format!(
        "StateSetAnchor {} on chain {} ({}), block {}\n  owner    {}\n  writing  {}\n",
        status.anchor,
        status.chain_id,
        status.endpoint,
        status.newest_block,
        status.owner,
        if status.paused { "paused" } else { "open" },
    );
    let Some(stream) = &status.stream else { return text };
    let _ = match (stream.next_sequence, stream.state_root) {
        (Some(next), Some(root)) => write!(
            text,
            "  stream {}: {} batches, up to event {}{}\n  state root {root}\n  history  {}, from {} roots",
            stream.stream,
            stream.batches,
            next - 1,
            if stream.from_checkpoint { ", not from its first event on" } else { "" },
            if stream.continuous { "without gap or fork" } else { "BROKEN" },
            stream.roots,
        ),
        _ => write!(text, "  stream {}: nothing is anchored", stream.stream),
    };
    for transaction in &stream.wrong {
        let _ =
            write!(text, "\n  WRONG    a header in transaction {transaction} does not continue the history");
    }
    if !stream.unread.is_empty() {
        let _ = write!(text, "\n  {} roots publish no headers", stream.unread.len());
    }
    text
}

fn verdict_text(verdict: &Verdict) -> String {
    let mut text = format!(
        "{}: batch {} holds events {} to {}\n  stream      {}\n  events root {}\n  state root  {}\n  below root  {}, header {} of {}, by {}\n  transaction {}\n  block {}, {} confirmations{}",
        verdict.outcome().heading(),
        verdict.batch_id,
        verdict.sequence_start,
        verdict.sequence_end,
        stream_text(verdict.stream.as_ref(), &verdict.stream_id),
        verdict.events_root,
        verdict.new_state_root,
        verdict.root,
        verdict.header_index + 1,
        verdict.header_count,
        verdict.anchorer,
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

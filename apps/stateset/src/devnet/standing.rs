//! Whether the local chain holds what the log says it holds. A chain can be deleted, and one that was ended without
//! warning has lost its last second; the log keeps what was recorded of it.

use set_registry::devnet::DEVNET_CHAIN_ID;
use set_registry::{BlockAt, Registry};
use stateset_sequencer::{BatchForm, ForgetError, Sequencer};
use tokio::runtime::Handle;
use ves::{SequenceNumber, StreamKey};

use crate::commands::anchor::failure;
use crate::error::CliError;
use crate::local_chain::LocalChain;

/// Batches of a stream that are recorded as anchored after this number, and are not on the chain.
type Lost = (BatchForm, StreamKey, SequenceNumber);

enum Found {
    /// The chain holds a beginning of each stream of the log.
    Beginning(Vec<Lost>),
    /// It holds batches of this stream that the log does not have.
    Foreign(StreamKey),
}

/// Makes log and chain agree: a registry that holds batches of another log is left for a new one, and what the chain has
/// lost is pending again. Tells `chain` what a person has to know. Returns whether anything was lost.
///
/// # Errors
/// Where the log's batches stand on another chain, or either can't be asked.
pub fn agree(chain: &mut LocalChain, sequencer: &Sequencer, runtime: &Handle) -> Result<bool, CliError> {
    let address = chain.registry()?;
    let found = compare(&Registry::new(chain.node(), address), sequencer, runtime)?;
    let (lost, foreign) = match found {
        Found::Beginning(lost) => (lost, None),
        Found::Foreign(stream) => {
            chain.new_registry()?;
            let all = runtime.block_on(sequencer.anchored_streams()).map_err(|error| unreadable(&error))?;
            let all = all.into_iter().map(|(form, stream, _)| (form, stream, SequenceNumber::ZERO));
            (all.collect(), Some(stream))
        }
    };
    let mut forgotten = 0;
    let chain_id = u32::try_from(DEVNET_CHAIN_ID).unwrap_or(u32::MAX);
    for (form, stream, through) in &lost {
        let forgetting = sequencer.forget_anchors(*form, *stream, *through, chain_id);
        forgotten += runtime.block_on(forgetting).map_err(not_forgotten)?;
    }
    chain.said.extend(foreign.map(|stream| {
        format!(
            "The local chain holds batches of stream {stream} that are not in the log; a new registry takes the log's."
        )
    }));
    if forgotten > 0 {
        let batches = match forgotten {
            1 => "1 batch that was anchored is".to_owned(),
            count => format!("{count} batches that were anchored are"),
        };
        chain.said.push(format!(
            "{batches} not on the local chain, which is a new one or has lost its last blocks: anchored again."
        ));
    }
    Ok(!lost.is_empty() || foreign.is_some())
}

fn compare(registry: &Registry, sequencer: &Sequencer, runtime: &Handle) -> Result<Found, CliError> {
    let recorded = runtime.block_on(sequencer.anchored_streams()).map_err(|error| unreadable(&error))?;
    let mut lost = Vec::new();
    for (form, stream, through) in &recorded {
        let held = SequenceNumber(held(registry, stream)?);
        if *through > held {
            lost.push((*form, *stream, held));
        }
    }
    let mut streams: Vec<StreamKey> = recorded.into_iter().map(|(_, stream, _)| stream).collect();
    streams.extend(sequencer.streams());
    streams.sort_unstable();
    streams.dedup();
    for stream in streams {
        if !is_beginning(registry, sequencer, runtime, &stream)? {
            return Ok(Found::Foreign(stream));
        }
    }
    Ok(Found::Beginning(lost))
}

/// Up to which number the chain holds a stream.
fn held(registry: &Registry, stream: &StreamKey) -> Result<u64, CliError> {
    Ok(registry.head(stream, BlockAt::Latest).map_err(failure)?.next_sequence.saturating_sub(1))
}

/// Whether what the chain holds of a stream ends with a batch of the log, and with its state root.
fn is_beginning(
    registry: &Registry,
    sequencer: &Sequencer,
    runtime: &Handle,
    stream: &StreamKey,
) -> Result<bool, CliError> {
    let head = registry.head(stream, BlockAt::Latest).map_err(failure)?;
    if head.batch_count == 0 {
        return Ok(true);
    }
    let end = SequenceNumber(head.next_sequence.saturating_sub(1));
    for form in [BatchForm::Ves, BatchForm::Legacy] {
        let found = runtime.block_on(sequencer.batch_ending_at(form, *stream, end));
        let found = found.map_err(|error| unreadable(&error))?;
        if found.is_some_and(|batch| batch.new_state_root == head.state_root) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn unreadable(error: &dyn std::fmt::Display) -> CliError {
    CliError::failure("STORE", error.to_string())
}

fn not_forgotten(error: ForgetError) -> CliError {
    match error {
        ForgetError::OtherChain { .. } => CliError::failure("ANCHORED_ELSEWHERE", error.to_string())
            .hint("a local chain takes no log that another chain has: start without --anchor, or on another data directory"),
        ForgetError::Service(error) => unreadable(&error),
    }
}

//! Anchors of event streams (section 10.4): each batch follows the one before, or is refused.

use stateset_ledger_types::anchor::{ANCHOR, AnchorBatch, AnchorCommand, AnchorHead, AnchorOpen};
use stateset_ledger_types::entity::Role;
use stateset_ledger_types::{Code, Decode, Refusal, StateKey};
use ves::Digest;

use crate::context::Context;
use crate::members::{self, Signers, Use};
use crate::overlay::{Overlay, Stop};

/// Executes one command.
///
/// # Errors
/// INVARIANT for a batch that does not follow, NOT_AUTHORISED for a writer that is none, NOT_FOUND for a stream that was
/// not opened.
pub fn execute(
    overlay: &mut Overlay<'_>,
    context: &Context,
    signers: Signers<'_>,
    tag: u16,
    args: &[u8],
) -> Result<Vec<u8>, Stop> {
    let encoded = [&tag.to_be_bytes(), args].concat();
    match AnchorCommand::from_sce(&encoded).map_err(Refusal::from)? {
        AnchorCommand::Open(command) => {
            open(overlay, context, signers, tag, &command)?;
            Ok(command.stream.0.to_vec())
        }
        AnchorCommand::Batch(batch) => {
            append(overlay, signers, &batch)?;
            Ok(batch.stream.0.to_vec())
        }
    }
}

fn open(
    overlay: &mut Overlay<'_>,
    context: &Context,
    signers: Signers<'_>,
    tag: u16,
    command: &AnchorOpen,
) -> Result<(), Stop> {
    let owner = members::active(overlay, context, &command.owner)?;
    members::require(&owner, Role::Member)?;
    signers.speak_for(overlay, context, &owner, Use { contract: ANCHOR, command: tag, amount: None })?;
    if command.writers.is_empty() {
        return Err(Refusal::new(Code::Invariant, "a stream has at least one writer").into());
    }
    let key = StateKey::anchor_head(&command.stream);
    if overlay.get_raw(&key)?.is_some() {
        let said = format!("stream {} is open already", command.stream);
        return Err(Refusal::new(Code::Invariant, said).into());
    }
    let head = AnchorHead {
        owner: command.owner,
        writers: command.writers.clone(),
        last_batch_no: 0,
        last_state_root: Digest::ZERO,
        next_sequence: command.first_sequence,
    };
    overlay.put(key, &head);
    Ok(())
}

fn append(overlay: &mut Overlay<'_>, signers: Signers<'_>, batch: &AnchorBatch) -> Result<(), Stop> {
    let key = StateKey::anchor_head(&batch.stream);
    let head: Option<AnchorHead> = overlay.get(&key)?;
    let head =
        head.ok_or_else(|| Refusal::new(Code::NotFound, format!("stream {} is not open", batch.stream)))?;
    if !signers.keys.iter().any(|(key, _)| head.writers.contains(key)) {
        let said = format!("no writer of stream {} signed", batch.stream);
        return Err(Refusal::new(Code::NotAuthorised, said).into());
    }
    let place = StateKey::anchor_batch(&batch.stream, batch.batch_no);
    if overlay.get::<AnchorBatch>(&place)?.as_ref() == Some(batch) {
        return Ok(());
    }
    let broken = |said: String| Stop::from(Refusal::new(Code::Invariant, said));
    if Some(batch.batch_no) != head.last_batch_no.checked_add(1) {
        return Err(broken(format!("batch {} does not follow {}", batch.batch_no, head.last_batch_no)));
    }
    if batch.prev_state_root != head.last_state_root {
        return Err(broken(format!("the state root before is {}", head.last_state_root)));
    }
    if batch.sequence_start != head.next_sequence || batch.sequence_end < batch.sequence_start {
        return Err(broken(format!("the batch has to begin at sequence {}", head.next_sequence)));
    }
    let next_sequence = batch.sequence_end.checked_add(1);
    let next_sequence = next_sequence.ok_or_else(|| broken("the stream is full".to_owned()))?;
    overlay.put(place, batch);
    let (last_batch_no, last_state_root) = (batch.batch_no, batch.new_state_root);
    overlay.put(key, &AnchorHead { last_batch_no, last_state_root, next_sequence, ..head });
    Ok(())
}

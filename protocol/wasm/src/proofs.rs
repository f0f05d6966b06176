//! What a sequencer claims, checked: receipts, batches, and the log of the whole stream.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use ves::checkpoint::{self, CheckpointError, SignedCheckpoint};
use ves::merkle::{self, InclusionProof};
use ves::receipt::{Receipt, ReceiptError};
use ves::{
    BatchId, Commitment, Digest, EventId, SequenceNumber, SequencerId, StoreId, StreamKey, TenantId,
    TimestampMs, log,
};

use crate::calls::{Outcome, bytes, holds, output, public_key, read};
use crate::events::decoded;
use crate::refusal::Refusal;

/// The members of a receipt that are checked; it has more.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReceiptInput<'a> {
    event_id: EventId,
    sequence_number: SequenceNumber,
    receipt_hash: Digest,
    #[serde(borrow)]
    signature_alg: Cow<'a, str>,
    #[serde(borrow, default)]
    sequencer_signature: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerifyReceipt<'a> {
    #[serde(borrow)]
    event: &'a RawValue,
    #[serde(borrow)]
    receipt: ReceiptInput<'a>,
    #[serde(borrow)]
    sequencer_public_key: Cow<'a, str>,
}

/// Section 12, for an event that the caller holds.
pub fn verify_receipt(input: &str) -> Outcome {
    let VerifyReceipt { event, receipt: claimed, sequencer_public_key } = read(input)?;
    let (envelope, key) = (decoded(event)?, public_key("sequencer_public_key", &sequencer_public_key)?);
    if claimed.event_id != envelope.event_id {
        return Err(ReceiptError::OtherEvent.into());
    }
    let signature = match claimed.signature_alg.as_ref() {
        "none" => None,
        "ed25519" => Some(bytes("receipt.sequencerSignature", &claimed.sequencer_signature)?),
        other => return Err(Refusal::input("receipt.signatureAlg", format!("{other:?} is not ed25519"))),
    };
    let receipt = Receipt {
        sequencer_id: SequencerId::from_bytes([0; 16]),
        stream: envelope.stream,
        event_id: claimed.event_id,
        sequence_number: claimed.sequence_number,
        sequenced_at: TimestampMs(0),
        receipt_hash: claimed.receipt_hash,
        signature,
        key_version: 0,
    };
    receipt.verify(&envelope.signing_hash(), &key)?;
    holds()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LeafInput<'a> {
    #[serde(borrow)]
    event: &'a RawValue,
    sequence_number: SequenceNumber,
}

#[derive(Serialize)]
struct Leaf {
    leaf_hash: Digest,
}

/// Section 13.1.
pub fn leaf_hash(input: &str) -> Outcome {
    let LeafInput { event, sequence_number } = read(input)?;
    let event = decoded(event)?;
    let signing_hash = event.signing_hash();
    let leaf_hash = merkle::leaf_hash(&event.stream, sequence_number, &signing_hash, &event.agent_signature);
    output(&Leaf { leaf_hash })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InclusionInput {
    leaf_hash: Digest,
    leaf_index: u64,
    leaf_count: u64,
    proof_path: Vec<Digest>,
    merkle_root: Digest,
}

/// Section 13.3.
pub fn verify_inclusion(input: &str) -> Outcome {
    let claimed: InclusionInput = read(input)?;
    let proof = InclusionProof { leaf_index: claimed.leaf_index, path: claimed.proof_path };
    merkle::verify_inclusion(&claimed.leaf_hash, &claimed.merkle_root, Some(claimed.leaf_count), &proof)?;
    holds()
}

/// The members of a commitment that are checked; it has more.
#[derive(Deserialize)]
struct CommitmentInput {
    tenant_id: TenantId,
    store_id: StoreId,
    ves_version: u32,
    tree_depth: u32,
    leaf_count: u32,
    padded_leaf_count: u32,
    merkle_root: Digest,
    prev_state_root: Digest,
    new_state_root: Digest,
    sequence_start: SequenceNumber,
    sequence_end: SequenceNumber,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckCommitment {
    commitment: CommitmentInput,
}

/// Section 14: whether range, shape of the tree and state root agree.
pub fn check_commitment(input: &str) -> Outcome {
    let CheckCommitment { commitment: claimed } = read(input)?;
    let commitment = Commitment {
        batch_id: BatchId::from_bytes([0; 16]),
        stream: StreamKey { tenant_id: claimed.tenant_id, store_id: claimed.store_id },
        ves_version: claimed.ves_version,
        tree_depth: claimed.tree_depth,
        leaf_count: claimed.leaf_count,
        padded_leaf_count: claimed.padded_leaf_count,
        merkle_root: claimed.merkle_root,
        prev_state_root: claimed.prev_state_root,
        new_state_root: claimed.new_state_root,
        sequence_start: claimed.sequence_start,
        sequence_end: claimed.sequence_end,
        committed_at: TimestampMs(0),
    };
    commitment.check()?;
    holds()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckpointInput<'a> {
    #[serde(borrow)]
    text: Cow<'a, str>,
    tenant_id: TenantId,
    store_id: StoreId,
    sequencer_id: SequencerId,
    #[serde(borrow)]
    sequencer_public_key: Cow<'a, str>,
}

#[derive(Serialize)]
struct CheckpointOutput {
    size: u64,
    root: Digest,
}

/// Section 13.4: a signed note about the log of one stream.
pub fn verify_checkpoint(input: &str) -> Outcome {
    let claimed: CheckpointInput<'_> = read(input)?;
    let key = public_key("sequencer_public_key", &claimed.sequencer_public_key)?;
    let stream = StreamKey { tenant_id: claimed.tenant_id, store_id: claimed.store_id };
    let note = SignedCheckpoint::parse(&claimed.text).map_err(unreadable)?;
    let says = note.verify(&claimed.sequencer_id, &key).map_err(unreadable)?;
    if says.origin != checkpoint::origin(&stream) {
        return Err(Refusal::new("checkpoint_of_other_stream", "the checkpoint is of another stream"));
    }
    output(&CheckpointOutput { size: says.size, root: says.root })
}

fn unreadable(error: CheckpointError) -> Refusal {
    let code = match error {
        CheckpointError::OtherKey => "checkpoint_by_other_key",
        CheckpointError::InvalidSignature => "checkpoint_invalid_signature",
        _ => "checkpoint_malformed",
    };
    Refusal::new(code, error.to_string())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogInclusionInput {
    leaf_hash: Digest,
    sequence_number: SequenceNumber,
    size: u64,
    root: Digest,
    hashes: Vec<Digest>,
}

/// Section 13.4, RFC 9162: the event is entry `sequence_number - 1` of a log of `size` entries.
pub fn verify_log_inclusion(input: &str) -> Outcome {
    let claimed: LogInclusionInput = read(input)?;
    let index = claimed.sequence_number.get().checked_sub(1);
    let index = index.ok_or_else(|| Refusal::input("sequence_number", "the first is 1"))?;
    log::verify_log_inclusion(&claimed.leaf_hash, index, claimed.size, &claimed.root, &claimed.hashes)?;
    holds()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsistencyInput {
    from: u64,
    to: u64,
    from_root: Digest,
    to_root: Digest,
    hashes: Vec<Digest>,
}

/// Section 13.4, RFC 9162: the later log begins with the earlier one.
pub fn verify_consistency(input: &str) -> Outcome {
    let claimed: ConsistencyInput = read(input)?;
    log::verify_consistency(claimed.from, claimed.to, &claimed.from_root, &claimed.to_root, &claimed.hashes)?;
    holds()
}

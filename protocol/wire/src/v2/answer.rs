//! Values of the protocol as messages.

use prost_types::Timestamp;
use ves::commitment::Commitment;
use ves::receipt::Receipt;
use ves::time::instant;
use ves::{Digest, EncryptedPayload, Envelope, InclusionProof, Payload, Rejection, TimestampMs};

use crate::proto::v2;

/// An instant as a message.
pub fn timestamp(at: TimestampMs) -> Timestamp {
    let (seconds, ms) = (at.0.div_euclid(1000), at.0.rem_euclid(1000));
    Timestamp { seconds, nanos: ms as i32 * 1_000_000 }
}

/// The instant that a message names, cut to milliseconds; `None` when it is none of the years 0 to 9999.
pub fn timestamp_of(at: &Timestamp) -> Option<TimestampMs> {
    let nanos = u32::try_from(at.nanos).ok()?;
    TimestampMs::parse_rfc3339(&ves::time::grpc_created_at(at.seconds, nanos)?)
}

/// A stored event with its receipt.
pub fn sequenced(envelope: &Envelope<'_>, receipt: &Receipt) -> v2::SequencedEvent {
    let (scheme, bundle) = receipt_signature(receipt);
    v2::SequencedEvent {
        envelope: Some(event(envelope)),
        sequence_number: receipt.sequence_number.get(),
        sequenced_at: Some(timestamp(receipt.sequenced_at)),
        receipt_hash: receipt.receipt_hash.0.to_vec(),
        receipt_signature_scheme: scheme,
        receipt_signature_bundle: bundle,
        sequencer_id: receipt.sequencer_id.to_string(),
        sequencer_key_version: receipt.key_version,
    }
}

/// The receipt alone. `replayed`: the event was accepted by an earlier push.
pub fn event_receipt(receipt: &Receipt, replayed: bool) -> v2::EventReceipt {
    let (scheme, bundle) = receipt_signature(receipt);
    v2::EventReceipt {
        event_id: receipt.event_id.to_string(),
        sequence_number: receipt.sequence_number.get(),
        sequenced_at: Some(timestamp(receipt.sequenced_at)),
        receipt_hash: receipt.receipt_hash.0.to_vec(),
        signature_scheme: scheme,
        signature_bundle: bundle,
        sequencer_id: receipt.sequencer_id.to_string(),
        sequencer_key_version: receipt.key_version,
        replayed,
    }
}

fn receipt_signature(receipt: &Receipt) -> (i32, Option<v2::SignatureBundle>) {
    match &receipt.signature {
        Some(signature) => (
            v2::SignatureScheme::Ed25519.into(),
            Some(v2::SignatureBundle {
                ed25519_signature: signature.to_vec(),
                ml_dsa_65_signature: Vec::new(),
            }),
        ),
        None => (v2::SignatureScheme::Unspecified.into(), None),
    }
}

/// An event as a message, as its agent signed it.
pub fn event(envelope: &Envelope<'_>) -> v2::EventEnvelope {
    let (kind, payload, sealed) = match &envelope.payload {
        Payload::Plain(text) => (v2::PayloadKind::Plaintext, text.as_bytes().to_vec(), None),
        Payload::Encrypted(payload) => (v2::PayloadKind::Encrypted, Vec::new(), Some(sealed(payload))),
    };
    v2::EventEnvelope {
        event_id: envelope.event_id.to_string(),
        command_id: envelope.command_id.map(|id| id.to_string()).unwrap_or_default(),
        tenant_id: envelope.stream.tenant_id.to_string(),
        store_id: envelope.stream.store_id.to_string(),
        entity_type: envelope.entity_type.to_string(),
        entity_id: envelope.entity_id.to_string(),
        event_type: envelope.event_type.to_string(),
        source_agent: envelope.source_agent_id.to_string(),
        ves_version: 1,
        payload_kind: kind.into(),
        payload,
        payload_encrypted: sealed,
        payload_plain_hash: envelope.payload_plain_hash.0.to_vec(),
        payload_cipher_hash: envelope.payload_cipher_hash.0.to_vec(),
        agent_key_id: envelope.agent_key_id.0,
        agent_signature: envelope.agent_signature.to_vec(),
        base_version: envelope.base_version,
        // A text with more digits than a timestamp holds names none; the text itself says all.
        created_at: instant(&envelope.created_at)
            .map(|(seconds, nanos)| Timestamp { seconds, nanos: nanos as i32 }),
        agent_signature_scheme: envelope.signature_scheme() as i32,
        agent_signature_bundle: signature_bundle(envelope),
        created_at_text: envelope.created_at.to_string(),
        kernel: envelope.kernel.as_ref().map(|text| text.as_bytes().to_vec()).unwrap_or_default(),
    }
}

/// Of an event with a post-quantum signature. An Ed25519 one beside it stands in its own field as well.
fn signature_bundle(envelope: &Envelope<'_>) -> Option<v2::SignatureBundle> {
    let ml_dsa_65 = envelope.ml_dsa_65_signature.as_ref()?;
    let ed25519 = Some(envelope.agent_signature).filter(|signature| *signature != [0; 64]);
    Some(v2::SignatureBundle {
        ed25519_signature: ed25519.map(|signature| signature.to_vec()).unwrap_or_default(),
        ml_dsa_65_signature: ml_dsa_65.to_vec(),
    })
}

fn sealed(payload: &EncryptedPayload) -> v2::EncryptedPayload {
    let text = str::to_owned;
    v2::EncryptedPayload {
        enc_version: 1,
        aead: text("AES-256-GCM"),
        nonce: payload.nonce.to_vec(),
        ciphertext: payload.ciphertext.clone(),
        tag: payload.tag.to_vec(),
        hpke: Some(v2::HpkeParams {
            mode: text("base"),
            kem: text("X25519-HKDF-SHA256"),
            kdf: text("HKDF-SHA256"),
            aead: text("AES-256-GCM"),
        }),
        recipients: payload
            .recipients
            .iter()
            .map(|wrap| v2::RecipientKey {
                recipient_kid: wrap.recipient_kid.0,
                ephemeral_public_key: wrap.enc.to_vec(),
                wrapped_dek: wrap.ct.to_vec(),
            })
            .collect(),
        key_wrap_params: None,
        recipient_wraps: Vec::new(),
    }
}

/// A batch. The root before the first is left empty.
pub fn commitment(commitment: &Commitment) -> v2::BatchCommitment {
    let previous = commitment.prev_state_root;
    v2::BatchCommitment {
        batch_id: commitment.batch_id.to_string(),
        merkle_root: commitment.merkle_root.0.to_vec(),
        start_sequence: commitment.sequence_start.get(),
        end_sequence: commitment.sequence_end.get(),
        event_count: commitment.leaf_count,
        committed_at: Some(timestamp(commitment.committed_at)),
        previous_root: if previous == Digest::ZERO { Vec::new() } else { previous.0.to_vec() },
        state_root: commitment.new_state_root.0.to_vec(),
    }
}

/// That `leaf` is in the tree of a batch.
pub fn inclusion_proof(batch: &Commitment, leaf: &Digest, proof: &InclusionProof) -> v2::InclusionProof {
    v2::InclusionProof {
        merkle_root: batch.merkle_root.0.to_vec(),
        leaf_index: proof.leaf_index,
        proof_hashes: proof.path.iter().map(|hash| hash.0.to_vec()).collect(),
        leaf_count: u64::from(batch.leaf_count),
        leaf_hash: leaf.0.to_vec(),
    }
}

/// One refused event; `event_id` as the caller wrote it.
pub fn rejected(event_id: &str, rejection: &Rejection) -> v2::RejectedEvent {
    v2::RejectedEvent {
        event_id: event_id.to_owned(),
        reason: rejection.grpc_code(),
        message: rejection.to_string(),
        reason_text: rejection.reason(),
        retryable: rejection.retryable(),
    }
}

/// A refused event of a push that was refused whole, where no status can be sent (section 4.2, SyncStream).
pub fn rejected_request(
    event_id: &str,
    reason: v2::RejectionReason,
    code: &str,
    message: &str,
) -> v2::RejectedEvent {
    v2::RejectedEvent {
        event_id: event_id.to_owned(),
        reason: reason.into(),
        message: message.to_owned(),
        reason_text: code.to_ascii_lowercase(),
        retryable: reason == v2::RejectionReason::QuotaExceeded,
    }
}

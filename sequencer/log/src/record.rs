//! The stored form of one event: its agent-authored part and its signing hash, in a versioned binary record.
//!
//! Little-endian. Lengths and counts are four bytes.
//!
//! ```text
//! version 1 · flags 1 · signing hash 32 · tenant 16 · store 16 · event 16 · agent 16 · key id 4
//! plain hash 32 · [cipher hash 32] · agent signature 64 · [command 16] · [base version 8]
//! entity type, entity id, event type, created at: length, UTF-8
//! plain:     length, canonical JSON
//! encrypted: nonce 12 · tag 16 · ciphertext: length, bytes · recipients: count, (kid 4 · enc 32 · ct 48)*
//! sealed:    length, the blob of section 19 over what would stand here, of a plain payload without its length
//! [kernel: length, canonical JSON]
//! [ML-DSA-65 signature 3309]
//! ```

use ves::{
    Digest, EncryptedPayload, Envelope, Payload, RecipientKeyId, RecipientWrap, StoreId, StreamKey, TenantId,
};

use crate::codec::{Reader, RecordError, Writer};

pub use parts::{Record, is_sealed};

mod parts;

const VERSION: u8 = 1;
/// After version, flags and signing hash.
const STREAM_AT: usize = 34;
const ENCRYPTED: u8 = 1;
const COMMAND: u8 = 2;
const BASE_VERSION: u8 = 4;
const KERNEL: u8 = 8;
/// Left out when zero, as for every plaintext event (section 5).
const CIPHER_HASH: u8 = 16;
/// Signed by the schemes 2 or 3 (section 21).
const ML_DSA_65: u8 = 32;
/// The payload is sealed at rest (section 19), whatever its kind.
const SEALED: u8 = 64;
const FLAGS: u8 = ENCRYPTED | COMMAND | BASE_VERSION | KERNEL | CIPHER_HASH | ML_DSA_65 | SEALED;

const FIXED_BYTES: usize = 2 + 32 + 4 * 16 + 4 + 2 * 32 + 64 + 16 + 8 + 6 * 4;
const RECIPIENT_BYTES: usize = 4 + 32 + 48;
const SEALED_BYTES: usize = 12 + 16 + 4;

/// The record of one event, in one allocation.
///
/// `signing_hash` is kept beside the event so that leaves, receipts and proofs need not compute it again.
pub fn encode_body(envelope: &Envelope<'_>, signing_hash: &Digest) -> Vec<u8> {
    let payload_bytes = match &envelope.payload {
        Payload::Plain(text) => text.len(),
        Payload::Encrypted(sealed) => {
            SEALED_BYTES + sealed.ciphertext.len() + sealed.recipients.len() * RECIPIENT_BYTES
        }
    };
    let texts = envelope.entity_type.len()
        + envelope.entity_id.len()
        + envelope.event_type.len()
        + envelope.created_at.len();
    let kernel_bytes = envelope.kernel.as_ref().map_or(0, |kernel| kernel.len());
    let bundle_bytes = envelope.ml_dsa_65_signature.as_ref().map_or(0, |signature| signature.len());
    let mut out = Writer::with_capacity(FIXED_BYTES + texts + payload_bytes + kernel_bytes + bundle_bytes);

    out.u8(VERSION).u8(flags_of(envelope)).bytes(&signing_hash.0);
    out.uuid(&envelope.stream.tenant_id.0).uuid(&envelope.stream.store_id.0);
    out.uuid(&envelope.event_id.0).uuid(&envelope.source_agent_id.0).u32(envelope.agent_key_id.0);
    out.bytes(&envelope.payload_plain_hash.0);
    if envelope.payload_cipher_hash != Digest::ZERO {
        out.bytes(&envelope.payload_cipher_hash.0);
    }
    out.bytes(&envelope.agent_signature);
    if let Some(command) = &envelope.command_id {
        out.uuid(&command.0);
    }
    if let Some(version) = envelope.base_version {
        out.u64(version);
    }
    for text in [&envelope.entity_type, &envelope.entity_id, &envelope.event_type, &envelope.created_at] {
        out.blob(text.as_bytes());
    }
    match &envelope.payload {
        Payload::Plain(text) => {
            out.blob(text.as_bytes());
        }
        Payload::Encrypted(sealed) => encode_sealed(&mut out, sealed),
    }
    if let Some(kernel) = &envelope.kernel {
        out.blob(kernel.as_bytes());
    }
    if let Some(signature) = &envelope.ml_dsa_65_signature {
        out.bytes(signature.as_slice());
    }
    out.0
}

fn flags_of(envelope: &Envelope<'_>) -> u8 {
    let flag = |on: bool, flag: u8| if on { flag } else { 0 };
    flag(matches!(envelope.payload, Payload::Encrypted(_)), ENCRYPTED)
        | flag(envelope.command_id.is_some(), COMMAND)
        | flag(envelope.base_version.is_some(), BASE_VERSION)
        | flag(envelope.kernel.is_some(), KERNEL)
        | flag(envelope.payload_cipher_hash != Digest::ZERO, CIPHER_HASH)
        | flag(envelope.ml_dsa_65_signature.is_some(), ML_DSA_65)
}

fn encode_sealed(out: &mut Writer, sealed: &EncryptedPayload) {
    out.bytes(&sealed.nonce).bytes(&sealed.tag).blob(&sealed.ciphertext).count(sealed.recipients.len());
    for recipient in &sealed.recipients {
        out.u32(recipient.recipient_kid.0).bytes(&recipient.enc).bytes(&recipient.ct);
    }
}

/// The stream that a record names, without the rest of it.
pub(crate) fn stream_of(bytes: &[u8]) -> Option<StreamKey> {
    let mut r = Reader::new(bytes.get(STREAM_AT..)?);
    let (tenant, store) = (r.uuid("tenant").ok()?, r.uuid("store").ok()?);
    Some(StreamKey { tenant_id: TenantId(tenant), store_id: StoreId(store) })
}

/// The event of a record and its signing hash. Texts borrow from `bytes`.
///
/// # Errors
/// Anything [`encode_body`] does not write; [`RecordError::Sealed`] where the payload is sealed at rest. Never panics, and
/// allocates no more than the record's own size.
pub fn decode_body(bytes: &[u8]) -> Result<(Envelope<'_>, Digest), RecordError> {
    let record = Record::read(bytes)?;
    let payload = record.clear_payload()?;
    Ok((Envelope { payload, ..record.head }, record.signing_hash))
}

fn decode_sealed(r: &mut Reader<'_>) -> Result<EncryptedPayload, RecordError> {
    let nonce = r.array("nonce")?;
    let tag = r.array("tag")?;
    let ciphertext = r.blob("ciphertext")?.to_vec();
    let count = r.count(RECIPIENT_BYTES, "recipients")?;
    let mut recipients = Vec::with_capacity(count);
    for _ in 0..count {
        recipients.push(RecipientWrap {
            recipient_kid: RecipientKeyId(r.u32("recipient kid")?),
            enc: r.array("recipient enc")?,
            ct: r.array("recipient ct")?,
        });
    }
    Ok(EncryptedPayload { nonce, ciphertext, tag, recipients })
}

#[cfg(test)]
mod tests;

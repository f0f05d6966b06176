//! Writes an envelope as JSON, by hand: it is on the path of every read and push.

use std::fmt::Write as _;

use base64ct::{Base64UrlUnpadded, Encoding};
use uuid::Uuid;

use crate::event::{EncryptedPayload, Envelope, Payload};
use crate::hex;
use crate::ids::SequenceNumber;
use crate::json::write_string;
use crate::keys::{MlDsaSignature, SignatureScheme};
use crate::time::TimestampMs;

/// Appends the event as one JSON object with the members of section 5, snake_case, in their order there.
///
/// With `sequenced`, also `sequence_number` and `sequenced_at`. Optional members are left out when absent.
pub fn encode(envelope: &Envelope<'_>, sequenced: Option<(SequenceNumber, TimestampMs)>, out: &mut String) {
    out.reserve(encoded_len(envelope));
    out.push_str("{\"ves_version\":1");
    uuid_member(out, "event_id", &envelope.event_id.0);
    uuid_member(out, "tenant_id", &envelope.stream.tenant_id.0);
    uuid_member(out, "store_id", &envelope.stream.store_id.0);
    uuid_member(out, "source_agent_id", &envelope.source_agent_id.0);
    number_member(out, "agent_key_id", u64::from(envelope.agent_key_id.0));
    text_member(out, "entity_type", &envelope.entity_type);
    text_member(out, "entity_id", &envelope.entity_id);
    text_member(out, "event_type", &envelope.event_type);
    text_member(out, "created_at", &envelope.created_at);
    number_member(out, "payload_kind", u64::from(envelope.payload_kind()));
    match &envelope.payload {
        Payload::Plain(canonical) => {
            name(out, "payload");
            out.push_str(canonical);
        }
        Payload::Encrypted(sealed) => {
            name(out, "payload_encrypted");
            encode_encrypted(sealed, out);
        }
    }
    hex_member(out, "payload_plain_hash", &envelope.payload_plain_hash.0);
    hex_member(out, "payload_cipher_hash", &envelope.payload_cipher_hash.0);
    hex_member(out, "agent_signature", &envelope.agent_signature);
    if let Some((number, at)) = sequenced {
        number_member(out, "sequence_number", number.get());
        name(out, "sequenced_at");
        // Writing to a String cannot fail.
        let _ = write!(out, "\"{at}\"");
    }
    if let Some(command_id) = &envelope.command_id {
        uuid_member(out, "command_id", &command_id.0);
    }
    if let Some(version) = envelope.base_version {
        number_member(out, "base_version", version);
    }
    if let Some(kernel) = &envelope.kernel {
        name(out, "kernel");
        out.push_str(kernel);
    }
    if let Some(signature) = &envelope.ml_dsa_65_signature {
        encode_bundle(envelope, signature, out);
    }
    out.push('}');
}

/// Scheme and bundle of section 21; an Ed25519 signature stands in `agent_signature` alone.
fn encode_bundle(envelope: &Envelope<'_>, signature: &MlDsaSignature, out: &mut String) {
    let scheme = envelope.signature_scheme();
    number_member(out, "agent_signature_scheme", scheme.number().into());
    name(out, "agent_signature_bundle");
    out.push('{');
    if scheme == SignatureScheme::Ed25519MlDsa65 {
        let _ = write!(out, "\"ed25519_signature\":\"{}\",", hex::encode_0x(&envelope.agent_signature));
    }
    let _ = write!(out, "\"ml_dsa_65_signature\":\"{}\"}}", hex::encode_0x(signature));
}

/// The object of section 7.1.
pub(crate) fn encode_encrypted(sealed: &EncryptedPayload, out: &mut String) {
    out.push_str("{\"enc_version\":1,\"aead\":\"AES-256-GCM\"");
    base64_member(out, "nonce_b64u", &sealed.nonce);
    base64_member(out, "ciphertext_b64u", &sealed.ciphertext);
    base64_member(out, "tag_b64u", &sealed.tag);
    out.push_str(
        ",\"hpke\":{\"mode\":\"base\",\"kem\":\"X25519-HKDF-SHA256\",\"kdf\":\"HKDF-SHA256\",\"aead\":\"AES-256-GCM\"}",
    );
    out.push_str(",\"recipients\":[");
    for (index, wrap) in sealed.recipients.iter().enumerate() {
        out.push_str(if index == 0 { "{\"recipient_kid\":" } else { ",{\"recipient_kid\":" });
        let _ = write!(out, "{}", wrap.recipient_kid);
        base64_member(out, "enc_b64u", &wrap.enc);
        base64_member(out, "ct_b64u", &wrap.ct);
        out.push('}');
    }
    out.push_str("]}");
}

/// About what [`encode`] appends; 900 covers names, ids, hashes and signature.
fn encoded_len(envelope: &Envelope<'_>) -> usize {
    let payload = match &envelope.payload {
        Payload::Plain(canonical) => canonical.len(),
        Payload::Encrypted(sealed) => 300 + sealed.ciphertext.len() * 4 / 3 + sealed.recipients.len() * 170,
    };
    let texts = envelope.entity_type.len() + envelope.entity_id.len() + envelope.event_type.len();
    let bundle = envelope.ml_dsa_65_signature.as_ref().map_or(0, |signature| 300 + 2 * signature.len());
    900 + bundle + texts + payload + envelope.kernel.as_ref().map_or(0, |kernel| kernel.len())
}

fn name(out: &mut String, name: &str) {
    out.push_str(",\"");
    out.push_str(name);
    out.push_str("\":");
}

fn uuid_member(out: &mut String, member: &str, id: &Uuid) {
    let mut buffer = [0; uuid::fmt::Hyphenated::LENGTH];
    name(out, member);
    out.push('"');
    out.push_str(id.hyphenated().encode_lower(&mut buffer));
    out.push('"');
}

fn number_member(out: &mut String, member: &str, number: u64) {
    name(out, member);
    let _ = write!(out, "{number}");
}

fn text_member(out: &mut String, member: &str, text: &str) {
    name(out, member);
    write_string(out, text);
}

/// At most 64 bytes as `0x` and lowercase hex.
fn hex_member(out: &mut String, member: &str, bytes: &[u8]) {
    let mut buffer = [0; 128];
    name(out, member);
    out.push_str("\"0x");
    let digits = faster_hex::hex_encode(bytes, &mut buffer).expect("the buffer holds the digits of 64 bytes");
    out.push_str(digits);
    out.push('"');
}

fn base64_member(out: &mut String, member: &str, bytes: &[u8]) {
    name(out, member);
    out.push('"');
    out.push_str(&Base64UrlUnpadded::encode_string(bytes));
    out.push('"');
}

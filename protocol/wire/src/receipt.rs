//! A receipt as REST writes it (VES section 12; sequencer API, section 3.1): camelCase, bare hex.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use ves::hex::HexError;
use ves::receipt::Receipt;
use ves::{Digest, EventId, SequenceNumber, SequencerId, StreamKey};

use crate::text::{Rfc3339, push_hex, push_number, push_uuid};

/// `signatureAlg` of a signed receipt.
pub const SIGNATURE_ED25519: &str = "ed25519";
/// `signatureAlg` of a receipt without signature.
pub const SIGNATURE_NONE: &str = "none";

/// The receipt of one event, for readers. It names no stream: the reader knows which one it asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReceiptBody {
    pub sequencer_id: SequencerId,
    pub event_id: EventId,
    pub sequence_number: SequenceNumber,
    pub sequenced_at: Rfc3339,
    pub receipt_hash: Digest,
    pub signature_alg: String,
    /// 64 bytes in hex; empty when `signature_alg` is `none`.
    #[serde(default)]
    pub sequencer_signature: String,
    #[serde(default)]
    pub sequencer_key_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt_signature_scheme: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt_signature_bundle: Option<Value>,
}

/// Why a receipt body is not a receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptBodyError {
    #[error("sequencerSignature: {0}")]
    Signature(#[from] HexError),
    #[error("signatureAlg: {0} is not known here, expected ed25519 or none")]
    Algorithm(String),
}

impl ReceiptBody {
    /// The receipt it states for `stream`. Nothing is verified here: see [`Receipt::verify`].
    pub fn to_receipt(&self, stream: StreamKey) -> Result<Receipt, ReceiptBodyError> {
        let signature = match self.signature_alg.as_str() {
            SIGNATURE_NONE => None,
            SIGNATURE_ED25519 => Some(ves::hex::decode_lenient(&self.sequencer_signature)?),
            other => return Err(ReceiptBodyError::Algorithm(other.to_owned())),
        };
        Ok(Receipt {
            sequencer_id: self.sequencer_id,
            stream,
            event_id: self.event_id,
            sequence_number: self.sequence_number,
            sequenced_at: self.sequenced_at.0,
            receipt_hash: self.receipt_hash,
            signature,
            key_version: self.sequencer_key_version,
        })
    }
}

impl From<&Receipt> for ReceiptBody {
    fn from(r: &Receipt) -> Self {
        Self {
            sequencer_id: r.sequencer_id,
            event_id: r.event_id,
            sequence_number: r.sequence_number,
            sequenced_at: Rfc3339(r.sequenced_at),
            receipt_hash: r.receipt_hash,
            signature_alg: if r.signature.is_some() { SIGNATURE_ED25519 } else { SIGNATURE_NONE }.to_owned(),
            sequencer_signature: r.signature.as_ref().map(|s| ves::hex::encode(s)).unwrap_or_default(),
            sequencer_key_version: r.key_version,
            receipt_signature_scheme: None,
            receipt_signature_bundle: None,
        }
    }
}

/// Bytes one receipt takes at most, for reserving the answer once.
pub(crate) const RECEIPT_BYTES_MAX: usize = 480;

/// Appends the JSON of a receipt: the same bytes as serialising its [`ReceiptBody`].
/// `at` is the text of `receipt.sequenced_at`, which the receipts of one turn share.
pub(crate) fn push_receipt(out: &mut String, receipt: &Receipt, at: &str) {
    out.push_str("{\"sequencerId\":");
    push_uuid(out, &receipt.sequencer_id.0);
    out.push_str(",\"eventId\":");
    push_uuid(out, &receipt.event_id.0);
    out.push_str(",\"sequenceNumber\":");
    push_number(out, receipt.sequence_number.get());
    out.push_str(",\"sequencedAt\":\"");
    out.push_str(at);
    out.push_str("\",\"receiptHash\":");
    push_hex(out, receipt.receipt_hash.as_bytes());
    match &receipt.signature {
        Some(signature) => {
            out.push_str(",\"signatureAlg\":\"ed25519\",\"sequencerSignature\":");
            push_hex(out, signature);
        }
        None => out.push_str(",\"signatureAlg\":\"none\",\"sequencerSignature\":\"\""),
    }
    out.push_str(",\"sequencerKeyVersion\":");
    push_number(out, u64::from(receipt.key_version));
    out.push('}');
}

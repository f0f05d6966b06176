//! Receipts (section 12): the sequencer's signed word that an event has its place in its stream.

use crate::ed25519::{PublicKey, Signer, SignerError};
use crate::hash::{Digest, Domain, Hasher, hash_pieces};
use crate::ids::{EventId, SequenceNumber, SequencerId, StreamKey};
use crate::time::TimestampMs;

/// What the sequencer signs about one accepted event: the 32 bytes of section 12.
pub fn receipt_hash(
    stream: &StreamKey,
    event_id: &EventId,
    n: SequenceNumber,
    signing_hash: &Digest,
) -> Digest {
    let (tenant, store) = (stream.tenant_id.as_bytes(), stream.store_id.as_bytes());
    hash_pieces(
        Domain::Receipt,
        &[tenant, store, event_id.as_bytes(), &n.get().to_be_bytes(), &signing_hash.0],
    )
}

/// What the optional second signature covers (section 22): also time, sequencer and key version.
///
/// `sequenced_at` enters as the text of its `Display`: RFC 3339, UTC, milliseconds.
pub fn receipt_hash_extended(
    receipt_hash: &Digest,
    sequenced_at: TimestampMs,
    sequencer_id: &SequencerId,
    key_version: u32,
) -> Digest {
    Hasher::new(Domain::ReceiptV2)
        .digest(receipt_hash)
        .str(&sequenced_at.to_string())
        .uuid(&sequencer_id.0)
        .u32(key_version)
        .finish()
}

/// Proof of acceptance of one event. `sequencer_id`, `sequenced_at` and `key_version` are not signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    pub sequencer_id: SequencerId,
    pub stream: StreamKey,
    pub event_id: EventId,
    pub sequence_number: SequenceNumber,
    pub sequenced_at: TimestampMs,
    pub receipt_hash: Digest,
    /// `None` when the sequencer has no key (`signatureAlg` is `none`).
    pub signature: Option<[u8; 64]>,
    pub key_version: u32,
}

/// Why a receipt proves nothing about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    #[error("receipt_hash is not the hash of this stream, event, number and signing hash")]
    OtherEvent,
    #[error("the receipt carries no signature")]
    Unsigned,
    #[error("the receipt's signature does not verify under the sequencer's key")]
    InvalidSignature,
}

impl Receipt {
    /// Signs `receipt_hash`, replacing any signature.
    ///
    /// # Errors
    /// [`SignerError`] when the key is out of reach; the receipt is then unsigned.
    pub fn sign(&mut self, signer: &dyn Signer) -> Result<(), SignerError> {
        self.signature = None;
        self.signature = Some(signer.sign(self.receipt_hash.as_bytes())?);
        Ok(())
    }

    /// Recomputes the hash from the receipt's own members and `signing_hash`, without looking at the signature.
    ///
    /// # Errors
    /// [`ReceiptError::OtherEvent`] when `receipt_hash` is another.
    pub fn check_hash(&self, signing_hash: &Digest) -> Result<(), ReceiptError> {
        let expected = receipt_hash(&self.stream, &self.event_id, self.sequence_number, signing_hash);
        if expected == self.receipt_hash { Ok(()) } else { Err(ReceiptError::OtherEvent) }
    }

    /// Whether this receipt proves that the event with `signing_hash` has this number in this stream.
    ///
    /// `signing_hash` is recomputed by the caller from the event that it holds.
    ///
    /// # Errors
    /// Each [`ReceiptError`] names the part that does not hold.
    pub fn verify(&self, signing_hash: &Digest, sequencer_key: &PublicKey) -> Result<(), ReceiptError> {
        self.check_hash(signing_hash)?;
        let signature = self.signature.as_ref().ok_or(ReceiptError::Unsigned)?;
        if sequencer_key.verify(self.receipt_hash.as_bytes(), signature) {
            Ok(())
        } else {
            Err(ReceiptError::InvalidSignature)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ed25519::SigningKey;
    use crate::ids::{StoreId, TenantId};

    fn receipt(signing_hash: &Digest) -> Receipt {
        let stream =
            StreamKey { tenant_id: TenantId::from_bytes([1; 16]), store_id: StoreId::from_bytes([2; 16]) };
        let (event_id, sequence_number) = (EventId::from_bytes([3; 16]), SequenceNumber(9));
        Receipt {
            sequencer_id: SequencerId::from_bytes([4; 16]),
            stream,
            event_id,
            sequence_number,
            sequenced_at: TimestampMs(1),
            receipt_hash: receipt_hash(&stream, &event_id, sequence_number, signing_hash),
            signature: None,
            key_version: 1,
        }
    }

    #[test]
    fn a_receipt_proves_one_place_of_one_event() {
        let (signer, other) = (SigningKey::from_seed([7; 32]), SigningKey::from_seed([8; 32]));
        let key = PublicKey::from_bytes(&signer.public_key()).unwrap();
        let signing_hash = Digest([5; 32]);
        let mut good = receipt(&signing_hash);
        assert_eq!(good.verify(&signing_hash, &key), Err(ReceiptError::Unsigned));
        good.sign(&signer).unwrap();
        assert_eq!(good.verify(&signing_hash, &key), Ok(()));
        assert_eq!(good.verify(&Digest([6; 32]), &key), Err(ReceiptError::OtherEvent));
        let moved = Receipt { sequence_number: SequenceNumber(10), ..good.clone() };
        assert_eq!(moved.verify(&signing_hash, &key), Err(ReceiptError::OtherEvent));
        let mut forged = good.clone();
        forged.sign(&other).unwrap();
        assert_eq!(forged.verify(&signing_hash, &key), Err(ReceiptError::InvalidSignature));
    }

    #[test]
    fn the_extended_hash_covers_what_the_receipt_hash_leaves_out() {
        let hash = |at, id, version| {
            receipt_hash_extended(
                &Digest([1; 32]),
                TimestampMs(at),
                &SequencerId::from_bytes([id; 16]),
                version,
            )
        };
        assert_ne!(hash(1, 1, 1), hash(2, 1, 1));
        assert_ne!(hash(1, 1, 1), hash(1, 2, 1));
        assert_ne!(hash(1, 1, 1), hash(1, 1, 2));
    }
}

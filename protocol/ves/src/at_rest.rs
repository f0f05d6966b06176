//! Encryption at rest (section 19): `"SSE1" ‖ nonce(12) ‖ ciphertext ‖ tag(16)` under AES-256-GCM.
//!
//! The additional data names the record, so that a blob moved to another row does not open.

use std::borrow::Cow;
use std::fmt;

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit};
use uuid::Uuid;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::hash::{Digest, Domain, Hasher};
use crate::ids::{BatchId, EventId, SequenceNumber, StreamKey};

/// First bytes of every blob.
pub const MAGIC: [u8; 4] = *b"SSE1";
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// The keys of one tenant, newest first; wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Keyring(Vec<[u8; 32]>);

impl Keyring {
    /// The key to write with, then older ones to read with.
    pub fn new(newest: [u8; 32], older: &[[u8; 32]]) -> Self {
        let mut keys = Vec::with_capacity(1 + older.len());
        keys.push(newest);
        keys.extend_from_slice(older);
        Self(keys)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({} keys)", self.0.len())
    }
}

/// Whether data stored in clear may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Data without the magic is returned as it is.
    Optional,
    /// Data without the magic is refused.
    Required,
}

/// Why stored data could not be written or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AtRestError {
    #[error("the data is stored in clear although encryption at rest is required")]
    InClear,
    #[error("the blob is shorter than its frame")]
    Truncated,
    #[error("no key of the ring opens the blob in this place")]
    OpenFailed,
    #[error("the data is longer than the cipher allows")]
    TooLong,
}

/// Encrypts with the newest key; `nonce` is 12 fresh random bytes.
///
/// # Errors
/// [`AtRestError::TooLong`].
pub fn seal(
    keys: &Keyring,
    nonce: [u8; NONCE_BYTES],
    aad: &Digest,
    data: &[u8],
) -> Result<Vec<u8>, AtRestError> {
    let mut blob = Vec::with_capacity(MAGIC.len() + NONCE_BYTES + data.len() + TAG_BYTES);
    blob.extend_from_slice(&MAGIC);
    blob.extend_from_slice(&nonce);
    let body = blob.len();
    blob.extend_from_slice(data);
    let tag = Aes256Gcm::new(&keys.0[0].into())
        .encrypt_inout_detached(&nonce.into(), &aad.0, (&mut blob[body..]).into())
        .map_err(|_| AtRestError::TooLong)?;
    blob.extend_from_slice(&tag);
    Ok(blob)
}

/// Reads stored data: decrypts a blob, trying the keys from the newest on.
///
/// # Errors
/// [`AtRestError::InClear`] by `mode`, [`AtRestError::Truncated`], [`AtRestError::OpenFailed`].
pub fn open<'a>(
    keys: &Keyring,
    mode: Mode,
    aad: &Digest,
    stored: &'a [u8],
) -> Result<Cow<'a, [u8]>, AtRestError> {
    match open_blob(keys, aad, stored) {
        Err(AtRestError::InClear) if mode == Mode::Optional => Ok(Cow::Borrowed(stored)),
        opened => opened.map(|(data, _)| Cow::Owned(data)),
    }
}

/// Decrypts a blob, and says which key of the ring it was made with; 0 is the newest.
///
/// # Errors
/// [`AtRestError::InClear`] for what is no blob, [`AtRestError::Truncated`], [`AtRestError::OpenFailed`].
pub fn open_blob(keys: &Keyring, aad: &Digest, blob: &[u8]) -> Result<(Vec<u8>, usize), AtRestError> {
    let frame = blob.strip_prefix(&MAGIC).ok_or(AtRestError::InClear)?;
    let (nonce, rest) = frame.split_first_chunk::<NONCE_BYTES>().ok_or(AtRestError::Truncated)?;
    let (body, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(AtRestError::Truncated)?;
    let opened = keys.0.iter().enumerate().find_map(|(place, key)| {
        let mut data = body.to_vec();
        Aes256Gcm::new(&(*key).into())
            .decrypt_inout_detached(&(*nonce).into(), &aad.0, data.as_mut_slice().into(), &(*tag).into())
            .ok()
            .map(|()| (data, place))
    });
    opened.ok_or(AtRestError::OpenFailed)
}

/// Additional data of an event's payload.
pub fn payload_aad(
    stream: &StreamKey,
    event_id: &EventId,
    number: SequenceNumber,
    entity_type: &str,
    entity_id: &str,
    event_type: &str,
) -> Digest {
    stream_hasher(Domain::AtRestPayload, stream)
        .uuid(&event_id.0)
        .u64(number.get())
        .str(entity_type)
        .str(entity_id)
        .str(event_type)
        .finish()
}

/// What names a stored proof.
#[derive(Debug, Clone, Copy)]
pub struct ProofRecord<'a> {
    pub proof_id: Uuid,
    pub proof_type: &'a str,
    pub proof_version: u32,
    /// [`crate::compliance::proof_hash`] or [`crate::validity::proof_hash`].
    pub proof_hash: Digest,
}

/// Additional data of a validity proof.
pub fn validity_aad(stream: &StreamKey, batch_id: &BatchId, proof: &ProofRecord<'_>) -> Digest {
    stream_hasher(Domain::AtRestValidity, stream)
        .uuid(&batch_id.0)
        .uuid(&proof.proof_id)
        .u32(proof.proof_version)
        .str(proof.proof_type)
        .digest(&proof.proof_hash)
        .finish()
}

/// Additional data of a compliance proof.
pub fn compliance_aad(
    stream: &StreamKey,
    event_id: &EventId,
    policy_hash: &Digest,
    proof: &ProofRecord<'_>,
) -> Digest {
    stream_hasher(Domain::AtRestCompliance, stream)
        .uuid(&event_id.0)
        .uuid(&proof.proof_id)
        .digest(policy_hash)
        .u32(proof.proof_version)
        .str(proof.proof_type)
        .digest(&proof.proof_hash)
        .finish()
}

fn stream_hasher(domain: Domain, stream: &StreamKey) -> Hasher {
    Hasher::new(domain).uuid(&stream.tenant_id.0).uuid(&stream.store_id.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AAD: Digest = Digest([3; 32]);

    #[test]
    fn an_older_key_still_opens_and_a_foreign_place_does_not() {
        let old = Keyring::new([1; 32], &[]);
        let rotated = Keyring::new([2; 32], &[[1; 32]]);
        let blob = seal(&old, [9; 12], &AAD, b"{\"a\":1}").unwrap();
        assert_eq!(open(&rotated, Mode::Required, &AAD, &blob).unwrap().as_ref(), b"{\"a\":1}");
        assert_eq!(open_blob(&rotated, &AAD, &blob), Ok((b"{\"a\":1}".to_vec(), 1)));
        assert_eq!(open_blob(&old, &AAD, b"{}"), Err(AtRestError::InClear));
        assert_eq!(open(&rotated, Mode::Required, &Digest([4; 32]), &blob), Err(AtRestError::OpenFailed));
        assert_eq!(
            open(&Keyring::new([2; 32], &[]), Mode::Optional, &AAD, &blob),
            Err(AtRestError::OpenFailed)
        );
    }

    #[test]
    fn clear_data_is_read_only_where_that_is_optional() {
        let keys = Keyring::new([1; 32], &[]);
        assert_eq!(open(&keys, Mode::Optional, &AAD, b"{}").unwrap().as_ref(), b"{}");
        assert_eq!(open(&keys, Mode::Required, &AAD, b"{}"), Err(AtRestError::InClear));
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_noticed() {
        let keys = Keyring::new([1; 32], &[]);
        let blob = seal(&keys, [9; 12], &AAD, b"data").unwrap();
        for cut in MAGIC.len()..blob.len() {
            assert!(open(&keys, Mode::Optional, &AAD, &blob[..cut]).is_err());
        }
        for bit in 32..blob.len() * 8 {
            let mut changed = blob.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&keys, Mode::Required, &AAD, &changed).is_err());
        }
    }
}

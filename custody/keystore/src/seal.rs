//! Keys that other keys encrypt: AES-256-GCM, under a key that the store holds.
//!
//! ```text
//! version 1 (1 byte) ‖ nonce (12, random) ‖ ciphertext (32) ‖ tag (16)
//! ```
//! What a sealed key is for is authenticated with it, so that one cannot stand in another's place.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::KeystoreError;
#[cfg(feature = "pkcs11")]
use crate::{Algorithm, KeyInfo};

/// Bytes of a sealed key.
pub(crate) const SEALED_BYTES: usize = 1 + NONCE_BYTES + 32 + TAG_BYTES;
pub(crate) const NONCE_BYTES: usize = 12;
pub(crate) const TAG_BYTES: usize = 16;
const VERSION: u8 = 1;

/// What a data key of `context` is bound to.
pub(crate) fn data_key_aad(context: &[u8]) -> Vec<u8> {
    [b"stateset-data-key-v1\0", context].concat()
}

/// What the file of a wrapped key is bound to: all but its name and labels, which may change.
#[cfg(feature = "pkcs11")]
pub(crate) fn wrapped_key_aad(info: &KeyInfo) -> Vec<u8> {
    let algorithm: &[u8] = match info.algorithm {
        Algorithm::Ed25519 => b"Ed25519\0",
        Algorithm::X25519 => b"X25519\0",
    };
    [b"stateset-wrapped-key-v1\0", algorithm, &info.public_key].concat()
}

/// A nonce of its own for every sealing.
pub(crate) fn nonce() -> Result<[u8; NONCE_BYTES], KeystoreError> {
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce).map_err(|_| KeystoreError::NoRandomness)?;
    Ok(nonce)
}

/// The whole form; `None` when the ciphertext is not that of a key.
pub(crate) fn join(nonce: &[u8; NONCE_BYTES], ciphertext_and_tag: &[u8]) -> Option<Vec<u8>> {
    (ciphertext_and_tag.len() == 32 + TAG_BYTES)
        .then(|| [&[VERSION], &nonce[..], ciphertext_and_tag].concat())
}

/// Nonce, and ciphertext with tag.
pub(crate) fn split(sealed: &[u8]) -> Option<([u8; NONCE_BYTES], &[u8])> {
    let rest = sealed.strip_prefix(&[VERSION]).filter(|_| sealed.len() == SEALED_BYTES)?;
    let (nonce, ciphertext) = rest.split_first_chunk()?;
    Some((*nonce, ciphertext))
}

/// Seals in memory.
pub(crate) fn seal(key: &[u8; 32], secret: &[u8; 32], aad: &[u8]) -> Result<Vec<u8>, KeystoreError> {
    let nonce = nonce()?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(32 + TAG_BYTES));
    bytes.extend_from_slice(secret);
    cipher(key)
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut *bytes)
        .expect("48 bytes are within the bounds of AES-GCM");
    Ok(join(&nonce, &bytes).expect("a key and its tag"))
}

/// Opens in memory.
pub(crate) fn open(key: &[u8; 32], sealed: &[u8], aad: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let (nonce, ciphertext) = split(sealed)?;
    let mut bytes = Zeroizing::new(ciphertext.to_vec());
    let nonce = Nonce::assume_unique_for_key(nonce);
    let opened = cipher(key).open_in_place(nonce, Aad::from(aad), &mut bytes).ok()?;
    Some(Zeroizing::new((&*opened).try_into().ok()?))
}

fn cipher(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("the key has 32 bytes"))
}

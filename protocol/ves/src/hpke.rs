//! HPKE (RFC 9180), the one suite and mode that VES-ENC-1 uses (sections 7 and 7.7): mode base, DHKEM(X25519,
//! HKDF-SHA256) 0x0020, HKDF-SHA256 0x0001, AES-256-GCM 0x0002, one message per context, empty AAD.

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit};
use hkdf::{Hkdf, HkdfExtract};
use sha2::Sha256;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, Zeroizing};

/// Bytes of an AES-GCM tag.
pub const TAG_BYTES: usize = 16;

const SUITE_KEM: [u8; 5] = *b"KEM\x00\x20";
const SUITE_HPKE: [u8; 10] = *b"HPKE\x00\x20\x00\x01\x00\x02";
const MODE_BASE: u8 = 0;

/// Why a message could not be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HpkeError {
    /// The X25519 result is all zero: the public key is a point of small order (RFC 7748 section 6.1).
    #[error("the public key gives an all-zero shared secret")]
    WeakPublicKey,
    #[error("the ciphertext does not open under this key and info")]
    OpenFailed,
    #[error("the message is longer than the cipher allows")]
    TooLong,
}

/// Seals `plaintext` to `recipient`: single-shot `SealBase` with empty AAD.
///
/// - `ephemeral_secret`: 32 fresh random bytes, used for this message alone.
/// - Returns the encapsulated key (the ephemeral public key) and the ciphertext with its tag at the end.
///
/// # Errors
/// [`HpkeError::WeakPublicKey`]; [`HpkeError::TooLong`] beyond the 2^36 bytes of AES-GCM.
///
/// # Source
/// RFC 9180 sections 4.1, 5.1.1, 6.1.
pub fn seal(
    recipient: &[u8; 32],
    ephemeral_secret: &[u8; 32],
    info: &[u8],
    plaintext: &[u8],
) -> Result<([u8; 32], Vec<u8>), HpkeError> {
    let secret = StaticSecret::from(*ephemeral_secret);
    let enc = PublicKey::from(&secret).to_bytes();
    let schedule = KeySchedule::new(&secret, recipient, &enc, recipient, info)?;
    let mut sealed = plaintext.to_vec();
    let tag = schedule
        .cipher()
        .encrypt_inout_detached(&schedule.nonce.into(), &[], sealed.as_mut_slice().into())
        .map_err(|_| HpkeError::TooLong)?;
    sealed.extend_from_slice(&tag);
    Ok((enc, sealed))
}

/// Opens what [`seal`] made: single-shot `OpenBase` with empty AAD.
///
/// # Errors
/// [`HpkeError::WeakPublicKey`] and [`HpkeError::OpenFailed`]; the latter says nothing about the cause.
pub fn open(
    enc: &[u8; 32],
    recipient_secret: &[u8; 32],
    info: &[u8],
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, HpkeError> {
    let secret = StaticSecret::from(*recipient_secret);
    let recipient = PublicKey::from(&secret).to_bytes();
    let schedule = KeySchedule::new(&secret, enc, enc, &recipient, info)?;
    let (body, tag) = ciphertext.split_last_chunk::<TAG_BYTES>().ok_or(HpkeError::OpenFailed)?;
    let mut opened = Zeroizing::new(body.to_vec());
    schedule
        .cipher()
        .decrypt_inout_detached(&schedule.nonce.into(), &[], opened.as_mut_slice().into(), &(*tag).into())
        .map_err(|_| HpkeError::OpenFailed)?;
    Ok(opened)
}

/// Key and nonce of the first and only message.
#[derive(zeroize::ZeroizeOnDrop)]
struct KeySchedule {
    key: [u8; 32],
    nonce: [u8; 12],
}

impl KeySchedule {
    /// `ours` with `theirs` gives the Diffie-Hellman value; `enc ‖ recipient` is the KEM context.
    fn new(
        ours: &StaticSecret,
        theirs: &[u8; 32],
        enc: &[u8; 32],
        recipient: &[u8; 32],
        info: &[u8],
    ) -> Result<Self, HpkeError> {
        let shared = ours.diffie_hellman(&PublicKey::from(*theirs));
        if !shared.was_contributory() {
            return Err(HpkeError::WeakPublicKey);
        }
        let shared_secret = extract_and_expand(shared.as_bytes(), enc, recipient);
        let mut context = [0; 65];
        context[0] = MODE_BASE;
        context[1..33].copy_from_slice(&labeled_extract(&SUITE_HPKE, &[], b"psk_id_hash", &[]).0);
        context[33..].copy_from_slice(&labeled_extract(&SUITE_HPKE, &[], b"info_hash", info).0);
        let (_, secret) = labeled_extract(&SUITE_HPKE, shared_secret.as_slice(), b"secret", &[]);
        let mut schedule = Self { key: [0; 32], nonce: [0; 12] };
        labeled_expand(&secret, &SUITE_HPKE, b"key", &[&context], &mut schedule.key);
        labeled_expand(&secret, &SUITE_HPKE, b"base_nonce", &[&context], &mut schedule.nonce);
        Ok(schedule)
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(&self.key.into())
    }
}

/// RFC 9180 section 4.1.
fn extract_and_expand(dh: &[u8; 32], enc: &[u8; 32], recipient: &[u8; 32]) -> Zeroizing<[u8; 32]> {
    let (_, eae_prk) = labeled_extract(&SUITE_KEM, &[], b"eae_prk", dh);
    let mut shared_secret = Zeroizing::new([0; 32]);
    labeled_expand(&eae_prk, &SUITE_KEM, b"shared_secret", &[enc, recipient], shared_secret.as_mut_slice());
    shared_secret
}

/// RFC 9180 section 4, `LabeledExtract`: the pseudorandom key, as bytes and ready to expand.
fn labeled_extract(suite: &[u8], salt: &[u8], label: &[u8], ikm: &[u8]) -> ([u8; 32], Hkdf<Sha256>) {
    let mut extract = HkdfExtract::<Sha256>::new(Some(salt));
    for part in [b"HPKE-v1", suite, label, ikm] {
        extract.input_ikm(part);
    }
    let (mut prk, hkdf) = extract.finalize();
    let bytes = prk.into();
    prk.zeroize();
    (bytes, hkdf)
}

/// RFC 9180 section 4, `LabeledExpand`; `context` is given in pieces.
fn labeled_expand(prk: &Hkdf<Sha256>, suite: &[u8], label: &[u8], context: &[&[u8]], out: &mut [u8]) {
    let length = (out.len() as u16).to_be_bytes();
    let mut info: Vec<&[u8]> = vec![&length, b"HPKE-v1", suite, label];
    info.extend(context);
    prk.expand_multi_info(&info, out).expect("at most 255 hash lengths are asked for");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_opens_under_its_own_key_and_info_only() {
        let secret = [7; 32];
        let recipient = PublicKey::from(&StaticSecret::from(secret)).to_bytes();
        let (enc, sealed) = seal(&recipient, &[9; 32], b"info", b"message").unwrap();
        assert_eq!(open(&enc, &secret, b"info", &sealed).unwrap().as_slice(), b"message");
        assert_eq!(open(&enc, &secret, b"other", &sealed), Err(HpkeError::OpenFailed));
        assert_eq!(open(&enc, &[8; 32], b"info", &sealed), Err(HpkeError::OpenFailed));
        for short in 0..sealed.len() {
            assert_eq!(open(&enc, &secret, b"info", &sealed[..short]), Err(HpkeError::OpenFailed));
        }
    }

    /// RFC 7748 section 6.1: the eight points of small order give an all-zero result; two of their encodings.
    #[test]
    fn a_public_key_of_small_order_is_refused() {
        let mut one = [0; 32];
        one[0] = 1;
        for weak in [[0; 32], one] {
            assert_eq!(seal(&weak, &[9; 32], b"", b"x").unwrap_err(), HpkeError::WeakPublicKey);
            assert_eq!(open(&weak, &[9; 32], b"", &[0; 48]).unwrap_err(), HpkeError::WeakPublicKey);
        }
    }

    /// RFC 9180 appendix A.1.1 (base mode of the same KEM): the shared secret of its key pair.
    #[test]
    fn the_kem_agrees_with_rfc_9180() {
        let bytes = |hex: &str| crate::hex::decode_lenient::<32>(hex).unwrap();
        let ephemeral = bytes("52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736");
        let recipient = bytes("3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d");
        let secret = StaticSecret::from(ephemeral);
        let enc = PublicKey::from(&secret).to_bytes();
        assert_eq!(enc, bytes("37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431"));
        let shared = secret.diffie_hellman(&PublicKey::from(recipient));
        assert_eq!(
            *extract_and_expand(shared.as_bytes(), &enc, &recipient),
            bytes("fe0e18c9f024ce43799ae393c7e8fe8fce9d218875e8227b0187c04e7d2ea1fc")
        );
    }
}

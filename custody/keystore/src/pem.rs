//! The text of a key file: a few clear lines, then a PKCS#8 `ENCRYPTED PRIVATE KEY` block (RFC 5958, RFC 8018).
//!
//! ```text
//! Name: sequencer
//! Algorithm: Ed25519
//! Public-Key: 64 hex digits
//! Agent: any further label
//! -----BEGIN ENCRYPTED PRIVATE KEY-----
//! ```
//! The clear lines are "explanatory text" of RFC 7468, which other readers of PEM skip. They are not trusted:
//! the public key is computed again when the key is opened and must be the same.

use std::collections::BTreeMap;

use pkcs8::pkcs5::pbes2::{EncryptionScheme, Kdf, Parameters};
use pkcs8::pkcs5::scrypt;
use pkcs8::{EncryptedPrivateKeyInfoRef, LineEnding, PrivateKeyInfoRef, SecretDocument};
use zeroize::Zeroizing;

use crate::key::public_key_of;
use crate::{Algorithm, KeyInfo, KeyPlace, KeystoreError, Passphrase};

/// scrypt costs, fixed and written into every file: N = 2^15, r = 8, p = 3 takes 32 MiB and a tenth of a second or two.
const LOG_N: u8 = 15;
const R: u32 = 8;
const P: u32 = 3;

pub(crate) const BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
pub(crate) const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";
const LABEL: &str = "ENCRYPTED PRIVATE KEY";

/// DER of a version 1 PrivateKeyInfo up to its 32 secret bytes (RFC 8410, section 7): only the last byte of the
/// algorithm's identifier differs, 1.3.101.112 for Ed25519 and 1.3.101.110 for X25519.
const fn der_prefix(algorithm: Algorithm) -> [u8; 16] {
    let oid_end = match algorithm {
        Algorithm::Ed25519 => 112,
        Algorithm::X25519 => 110,
    };
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, oid_end, 0x04, 0x22, 0x04, 0x20]
}

/// The whole text of a key file.
pub(crate) fn encrypt(
    info: &KeyInfo,
    secret: &[u8; 32],
    passphrase: &Passphrase,
) -> Result<Zeroizing<String>, KeystoreError> {
    let sealed = seal_block(&der_prefix(info.algorithm), secret, passphrase)?;
    let mut text = write_clear(info)?;
    text.push_str(&sealed);
    Ok(text)
}

/// The lines before a block.
pub(crate) fn write_clear(info: &KeyInfo) -> Result<Zeroizing<String>, KeystoreError> {
    let mut text = Zeroizing::new(format!(
        "Name: {}\nAlgorithm: {}\nPublic-Key: {}\n",
        info.name,
        info.algorithm,
        ves::hex::encode(&info.public_key)
    ));
    text.push_str(&write_labels(&info.labels)?);
    Ok(text)
}

/// A line for each label.
pub(crate) fn write_labels(labels: &BTreeMap<String, String>) -> Result<String, KeystoreError> {
    let mut text = String::new();
    for (label, value) in labels {
        if !label_is_well_formed(label, value) {
            return Err(KeystoreError::BadLabel { label: label.clone() });
        }
        text.push_str(&format!("{label}: {value}\n"));
    }
    Ok(text)
}

/// The labels in these lines; what is none is passed over.
pub(crate) fn read_labels(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter_map(|line| line.split_once(": "));
    lines.map(|(label, value)| (label.to_owned(), value.to_owned())).collect()
}

/// A block of 32 secret bytes behind the DER that says what they are.
pub(crate) fn seal_block(
    prefix: &[u8],
    secret: &[u8; 32],
    passphrase: &Passphrase,
) -> Result<Zeroizing<String>, KeystoreError> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|_| KeystoreError::NoRandomness)?;
    let (salt, iv) = random.split_at(16);
    let iv: [u8; 16] = iv.try_into().expect("16 of 32 bytes");
    let der = Zeroizing::new([prefix, secret].concat());
    Ok(scrypt::Params::new(LOG_N, R, P)
        .ok()
        .and_then(|costs| Parameters::generate_scrypt_aes256cbc(costs, salt, iv).ok())
        .and_then(|parameters| {
            PrivateKeyInfoRef::try_from(der.as_slice())
                .ok()?
                .encrypt_with_params(parameters, passphrase.as_bytes())
                .ok()
        })
        .and_then(|document| document.to_pem(LABEL, LineEnding::LF).ok())
        .expect("a few bytes under fixed parameters always encrypt"))
}

/// The clear part. `Err` says what is missing.
pub(crate) fn read_info(text: &str) -> Result<KeyInfo, &'static str> {
    let (clear, _) = text.split_once(BEGIN).ok_or("no ENCRYPTED PRIVATE KEY block")?;
    read_clear(clear, KeyPlace::File)
}

/// The lines before a block.
pub(crate) fn read_clear(clear: &str, place: KeyPlace) -> Result<KeyInfo, &'static str> {
    let mut labels = read_labels(clear);
    let mut take = |label: &str| labels.remove(label);
    let name = take("Name").and_then(|text| text.parse().ok()).ok_or("no Name line")?;
    let algorithm = take("Algorithm").and_then(|text| text.parse().ok()).ok_or("no known Algorithm line")?;
    let public_key = take("Public-Key")
        .and_then(|text| ves::hex::decode_lenient(&text).ok())
        .ok_or("no Public-Key line of 64 hex digits")?;
    Ok(KeyInfo { name, algorithm, public_key, place, labels })
}

/// The 32 secret bytes. Every failure is the same [`KeystoreError::CannotOpen`].
pub(crate) fn decrypt(
    text: &str,
    info: &KeyInfo,
    passphrase: &Passphrase,
) -> Result<Zeroizing<[u8; 32]>, KeystoreError> {
    let cannot_open = || KeystoreError::CannotOpen { name: info.name.clone() };
    let secret = open_block(text, &der_prefix(info.algorithm), passphrase).ok_or_else(cannot_open)?;
    if public_key_of(info.algorithm, &secret, &info.name)? != info.public_key {
        return Err(cannot_open());
    }
    Ok(secret)
}

/// What [`seal_block`] sealed behind the same prefix.
pub(crate) fn open_block(text: &str, prefix: &[u8], passphrase: &Passphrase) -> Option<Zeroizing<[u8; 32]>> {
    let block = &text[text.find(BEGIN)?..];
    let (label, document) = SecretDocument::from_pem(block).ok()?;
    if label != LABEL {
        return None;
    }
    let sealed = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).ok()?;
    // Other costs than ours are refused before any work is done: a planted file cannot ask for a gigabyte.
    let parameters = sealed.encryption_algorithm.pbes2()?;
    let Kdf::Scrypt(costs) = &parameters.kdf else { return None };
    let costs_are_ours = costs.cost_parameter == 1 << LOG_N
        && u32::from(costs.block_size) == R
        && u32::from(costs.parallelization) == P
        && matches!(parameters.encryption, EncryptionScheme::Aes256Cbc { .. });
    if !costs_are_ours {
        return None;
    }
    let der = sealed.decrypt(passphrase.as_bytes()).ok()?;
    let secret = der.as_bytes().strip_prefix(prefix)?;
    Some(Zeroizing::new(secret.try_into().ok()?))
}

fn label_is_well_formed(label: &str, value: &str) -> bool {
    let reserved = matches!(label, "Name" | "Algorithm" | "Public-Key");
    let name_ok = !label.is_empty()
        && label.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-')
        && !label.starts_with('-');
    let value_ok =
        value.len() <= 256 && value.bytes().all(|b| (0x20..0x7f).contains(&b)) && !value.contains("-----");
    !reserved && name_ok && value_ok
}

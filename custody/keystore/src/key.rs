//! Keys in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use ves::ed25519::{Signer, SignerError};
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use crate::{KeyName, KeystoreError};

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// Signs events, receipts, possession proofs.
    Ed25519,
    /// Opens payloads sealed to it.
    X25519,
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ed25519 => "Ed25519",
            Self::X25519 => "X25519",
        })
    }
}

impl FromStr for Algorithm {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text.to_ascii_lowercase().as_str() {
            "ed25519" => Ok(Self::Ed25519),
            "x25519" => Ok(Self::X25519),
            _ => Err(()),
        }
    }
}

/// Where a private key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyPlace {
    /// In a file, encrypted under a passphrase; in memory while it is used.
    File,
    /// In a token, which it never leaves.
    InHsm,
    /// In a file, encrypted by a key in a token; in memory while it is used.
    Wrapped,
}

impl fmt::Display for KeyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::InHsm => "in-hsm",
            Self::Wrapped => "wrapped",
        })
    }
}

/// What may be shown of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    pub name: KeyName,
    pub algorithm: Algorithm,
    pub public_key: [u8; 32],
    pub place: KeyPlace,
    /// Notes kept in clear beside the key, such as the agent it belongs to. Not protected by the passphrase.
    pub labels: BTreeMap<String, String>,
}

/// The public key of a 32-byte secret.
pub(crate) fn public_key_of(
    algorithm: Algorithm,
    secret: &[u8; 32],
    name: &KeyName,
) -> Result<[u8; 32], KeystoreError> {
    match algorithm {
        Algorithm::Ed25519 => Ok(Ed25519Signer::from_seed(secret, name)?.public_key),
        Algorithm::X25519 => Ok(AgreementKey::new(*secret).public_key()),
    }
}

/// An unlocked Ed25519 key. Signatures are deterministic (RFC 8032).
pub struct Ed25519Signer {
    pair: Ed25519KeyPair,
    public_key: [u8; 32],
}

impl Ed25519Signer {
    /// The key of a 32-byte seed; `name` only names it in errors.
    pub fn from_seed(seed: &[u8; 32], name: &KeyName) -> Result<Self, KeystoreError> {
        let cannot_open = || KeystoreError::CannotOpen { name: name.clone() };
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| cannot_open())?;
        let public_key = pair.public_key().as_ref().try_into().map_err(|_| cannot_open())?;
        Ok(Self { pair, public_key })
    }
}

impl Signer for Ed25519Signer {
    fn public_key(&self) -> [u8; 32] {
        self.public_key
    }
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignerError> {
        let signature = self.pair.sign(message);
        Ok(signature.as_ref().try_into().expect("an Ed25519 signature has 64 bytes"))
    }
}

impl fmt::Debug for Ed25519Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ed25519Signer({})", ves::hex::encode(&self.public_key))
    }
}

/// An unlocked X25519 key, for `ves::seal::open`.
pub struct AgreementKey(Zeroizing<[u8; 32]>);

impl AgreementKey {
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        Self(Zeroizing::new(secret))
    }
    pub fn public_key(&self) -> [u8; 32] {
        x25519_dalek::PublicKey::from(&StaticSecret::from(*self.0)).to_bytes()
    }
    /// The raw secret: lend it to the opening function and nothing else.
    pub fn secret(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for AgreementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgreementKey({})", ves::hex::encode(&self.public_key()))
    }
}

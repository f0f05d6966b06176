//! Where private keys live: one trait, [`Keystore`], and encrypted files behind it, [`FileKeystore`].
//!
//! Invariants: a secret is never printed, logged or serialised in clear, and is zeroised when dropped;
//! a key file is readable by its owner only, or the store refuses to work; a wrong passphrase and a damaged
//! file give the same error; signatures are those of RFC 8032, byte for byte, whichever library makes them.
//! This crate reads no clock and never prompts: passphrases come in as values.

mod file;
mod key;
mod name;
mod passphrase;
mod pem;

pub use file::FileKeystore;
pub use key::{AgreementKey, Algorithm, Ed25519Signer, KeyInfo};
pub use name::KeyName;
pub use passphrase::Passphrase;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use ves::ed25519::Signer;

/// Holds keys by name. All keys of one process live in one back end.
pub trait Keystore: Send + Sync {
    /// What really holds the keys, for a person: for example `encrypted files in /var/lib/stateset/keys`.
    fn backing(&self) -> String;

    /// Makes a key from the system's random source and keeps it. `labels` are kept in clear beside it.
    ///
    /// # Errors
    /// [`KeystoreError::Exists`] when the name is taken; nothing is overwritten, ever.
    /// [`KeystoreError::CannotOpen`] when the passphrase opens none of the keys that are there.
    fn generate(
        &self,
        name: &KeyName,
        algorithm: Algorithm,
        labels: &BTreeMap<String, String>,
    ) -> Result<KeyInfo, KeystoreError>;

    /// Every key, ordered by name. Needs no passphrase.
    fn list(&self) -> Result<Vec<KeyInfo>, KeystoreError>;

    /// One key's public part and labels. Needs no passphrase.
    fn info(&self, name: &KeyName) -> Result<KeyInfo, KeystoreError>;

    /// A signer that keeps the key unlocked until it is dropped.
    ///
    /// # Errors
    /// [`KeystoreError::WrongAlgorithm`] for a key that cannot sign.
    fn signer(&self, name: &KeyName) -> Result<Arc<dyn Signer>, KeystoreError>;

    /// The X25519 key that opens payloads sealed to it.
    fn agreement_key(&self, name: &KeyName) -> Result<AgreementKey, KeystoreError>;

    /// Signs once and locks the key again.
    fn sign(&self, name: &KeyName, message: &[u8]) -> Result<[u8; 64], KeystoreError> {
        self.signer(name)?.sign(message).map_err(|_| KeystoreError::SigningFailed { name: name.clone() })
    }

    /// Forgets the key for good.
    fn destroy(&self, name: &KeyName) -> Result<(), KeystoreError>;
}

/// Why a keystore refused.
#[derive(Debug, thiserror::Error)]
pub enum KeystoreError {
    /// The one answer to a wrong passphrase and to a damaged file: it never tells which byte failed.
    #[error("the key {name} cannot be opened: the passphrase is wrong or the file is damaged")]
    CannotOpen { name: KeyName },
    #[error("there is no key named {name}")]
    NotFound { name: KeyName },
    #[error("a key named {name} already exists")]
    Exists { name: KeyName },
    #[error("the key {name} is {found}, {wanted} is needed here")]
    WrongAlgorithm { name: KeyName, found: Algorithm, wanted: Algorithm },
    #[error("{path} can be read by others (mode {mode:04o}); allow its owner only: chmod {allowed:o} {path}", path = path.display())]
    ModeTooWide { path: PathBuf, mode: u32, allowed: u32 },
    #[error("{path} is not a key file: {problem}", path = path.display())]
    NotAKeyFile { path: PathBuf, problem: &'static str },
    #[error("{text:?} is not a key name: 1 to 64 of a-z, 0-9, '-', '_', '.', first a letter or digit")]
    BadName { text: String },
    #[error("the label {label:?} cannot be kept: names are letters and '-', values are printable ASCII")]
    BadLabel { label: String },
    #[error("a passphrase has 1 to 1024 bytes on one line")]
    BadPassphrase,
    #[error("the key {name} could not sign")]
    SigningFailed { name: KeyName },
    #[error("the system's random source failed")]
    NoRandomness,
    #[error("{action} {path}: {source}", path = path.display())]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
}

impl KeystoreError {
    pub(crate) fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

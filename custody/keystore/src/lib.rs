//! Where private keys live: one trait, [`Keystore`], and behind it encrypted files, [`FileKeystore`], or a hardware token,
//! `Pkcs11Keystore` (feature `pkcs11`).
//!
//! Invariants: a secret is never printed, logged or serialised in clear, and is zeroised when dropped;
//! a key file is readable by its owner only, or the store refuses to work; a wrong passphrase and a damaged
//! file give the same error; signatures are those of RFC 8032, byte for byte, whichever library makes them.
//! A key in a token never leaves it; when the token can't sign, nothing else does. This crate reads no calendar, only the
//! time that passed since a token failed, and never prompts: passphrases and PINs come in as values.

mod backup;
mod error;
mod file;
mod key;
mod name;
mod one_place;
mod passphrase;
mod pem;
#[cfg(feature = "pkcs11")]
mod pkcs11;
mod seal;
mod settings;
mod wrapped;

pub use backup::Backup;
pub use error::{KeystoreError, TokenProblem};
pub use file::FileKeystore;
pub use key::{AgreementKey, Algorithm, Ed25519Signer, KeyInfo, KeyPlace};
pub use name::KeyName;
pub use one_place::{BackEnd, refuse_split};
pub use passphrase::Passphrase;
#[cfg(feature = "pkcs11")]
pub use pkcs11::{Pkcs11Config, Pkcs11Keystore};
pub use settings::{KeysIn, Pin, SettingProblem, TokenSettings};
pub use wrapped::read_wrapped_file;

use std::collections::BTreeMap;
use std::sync::Arc;

use ves::ed25519::Signer;
use zeroize::Zeroizing;

/// Holds keys by name. All keys of one node live in one back end: [`refuse_split`].
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

    /// Gives the key another name. The key itself stays where it is.
    ///
    /// # Errors
    /// [`KeystoreError::Exists`] when the new name is taken.
    fn rename(&self, from: &KeyName, to: &KeyName) -> Result<(), KeystoreError>;

    /// Encrypts a data key of 32 bytes under this store's wrapping key, which is made at the first use and never leaves the
    /// store. `context` says what the data key is for; the same is needed to unwrap. The answer has 61 bytes.
    fn wrap(&self, data_key: &[u8; 32], context: &[u8]) -> Result<Vec<u8>, KeystoreError>;

    /// The data key that [`Keystore::wrap`] encrypted.
    ///
    /// # Errors
    /// [`KeystoreError::CannotUnwrap`] for other bytes, another context and another store alike.
    fn unwrap(&self, wrapped: &[u8], context: &[u8]) -> Result<Zeroizing<[u8; 32]>, KeystoreError>;

    /// Everything that may leave the store, still encrypted as it is kept, and the names of what may not.
    fn backup(&self) -> Result<Backup, KeystoreError>;

    /// Puts back what a backup holds: all of it, or nothing. Keys that are there already stay.
    ///
    /// # Errors
    /// [`KeystoreError::Exists`] when another key has one of the names; [`KeystoreError::CannotOpen`] when this store could
    /// not open what it would put back.
    fn restore(&self, backup: &str) -> Result<Vec<KeyInfo>, KeystoreError>;
}

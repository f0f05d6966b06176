//! Why a keystore refused: facts that an operator can act on.

use std::path::PathBuf;

use crate::{Algorithm, BackEnd, KeyName};

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
    /// A key that is there in a file, and words for the other one, which would be kept in `chosen`.
    #[error("{}", crate::one_place::split(held, other, *chosen))]
    Split { held: PathBuf, other: String, chosen: BackEnd },
    #[error("this is not a backup of keys: {problem}")]
    NotABackup { problem: &'static str },
    #[error("this was not wrapped by this keystore for this use, or it is damaged")]
    CannotUnwrap,
    #[error(
        "there is no folder for the key {name}: decryption keys are files, wrapped by a key in the token"
    )]
    NoFolder { name: KeyName },
    #[error("the token {token}: {problem}")]
    Token { token: String, problem: TokenProblem },
    #[error("{action} {path}: {source}", path = path.display())]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
}

impl KeystoreError {
    pub(crate) fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// What is wrong with a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenProblem {
    #[error("the module {path} cannot be used: {problem}", path = path.display())]
    Module { path: PathBuf, problem: String },
    #[error("it is not there: no slot holds a token with this label")]
    NotFound,
    #[error("several tokens have this label; give each its own")]
    Ambiguous,
    #[error("no PIN was given")]
    NoPin,
    /// It is not tried again until the process starts anew: tokens lock after a few.
    #[error("the PIN is wrong; it is not tried again, since tokens lock after a few wrong ones")]
    PinIncorrect,
    #[error(
        "the PIN has one try left before the token locks; enter it once by hand with the token's own tool"
    )]
    PinFinalTry,
    #[error("the PIN is locked; its security officer has to set a new one")]
    PinLocked,
    #[error("its PIN was never set, or has expired")]
    PinNotUsable,
    #[error("it has no {0}")]
    Lacks(&'static str),
    #[error("what it holds under this name is not an Ed25519 key as this program makes them: {0}")]
    BadKey(&'static str),
    #[error("all its sessions are busy")]
    Busy,
    /// The module's own word.
    #[error("it failed: {0}")]
    Failed(String),
    #[error("it failed and is tried again in {0} ms: {1}")]
    Waiting(u64, String),
}

#[cfg(feature = "pkcs11")]
impl TokenProblem {
    /// Whether trying again by itself could harm, or can't help: the PIN would be shown a second time. A locked one is not
    /// shown at all.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::NoPin | Self::PinIncorrect)
    }
}

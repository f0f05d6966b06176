//! Failures as a person and a program see them: exit status, code, message, hint.

use stateset_event_log::{LogError, LogErrorKind};
use stateset_keystore::KeystoreError;

/// Why a program ends with something else than 0.
#[derive(Debug)]
pub struct Failure {
    pub exit: u8,
    /// Stable, in capitals.
    pub code: String,
    pub message: String,
    pub hint: Option<String>,
}

impl Failure {
    /// Exit 1: it could not be done.
    pub fn failed(code: &str, message: impl Into<String>) -> Self {
        Self { exit: 1, code: code.to_owned(), message: message.into(), hint: None }
    }
    /// Exit 2: wrong usage, configuration or input.
    pub fn input(code: &str, message: impl Into<String>) -> Self {
        Self { exit: 2, ..Self::failed(code, message) }
    }
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
    /// A file or folder that could not be used.
    pub fn io(doing: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::failed("IO", format!("cannot {doing} {}: {error}", path.display()))
    }
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        let code = match error.kind() {
            LogErrorKind::Full => "DISK_FULL",
            LogErrorKind::Locked => "DATABASE_IN_USE",
            LogErrorKind::Unavailable => "DATABASE_UNAVAILABLE",
            LogErrorKind::Fenced => "DATABASE_IN_USE",
            LogErrorKind::NewerSchema => "NEWER_SCHEMA",
            LogErrorKind::Corrupt => "DATABASE_DAMAGED",
            LogErrorKind::Keys => "WRONG_KEYS",
            LogErrorKind::Sealed => "SEALED",
            LogErrorKind::Io | LogErrorKind::NotNext | LogErrorKind::Changed => "DATABASE",
        };
        Self::failed(code, error.to_string())
    }
}

impl From<KeystoreError> for Failure {
    fn from(error: KeystoreError) -> Self {
        let failure = Self::failed("KEYSTORE", error.to_string());
        match error {
            KeystoreError::Split { .. } => Self { exit: 2, code: "SPLIT_KEYS".to_owned(), ..failure },
            KeystoreError::Token { .. } => Self { code: "TOKEN".to_owned(), ..failure }
                .hint("the token is named by PKCS11_MODULE, PKCS11_TOKEN_LABEL and PKCS11_PIN_FILE or PKCS11_PIN"),
            KeystoreError::CannotOpen { .. } => {
                failure.hint("the passphrase comes from STATESET_PASSPHRASE, else from the file `passphrase` beside the keys")
            }
            _ => failure,
        }
    }
}

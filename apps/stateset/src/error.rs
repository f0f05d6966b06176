//! Failures as a person and a program see them: exit status, code, message, hint.

use stateset_client::ClientError;
use stateset_client::northwind::NorthwindError;
use stateset_keystore::KeystoreError;

/// Bad usage or bad input.
pub const USAGE: u8 = 2;
/// Any other failure.
pub const FAILURE: u8 = 1;

/// Why a command failed.
#[derive(Debug)]
pub struct CliError {
    pub exit: u8,
    /// Stable, in capitals.
    pub code: String,
    pub message: String,
    pub hint: Option<String>,
}

impl CliError {
    /// Exit 1.
    pub fn failure(code: &str, message: impl Into<String>) -> Self {
        Self { exit: FAILURE, code: code.to_owned(), message: message.into(), hint: None }
    }
    /// Exit 2.
    pub fn input(code: &str, message: impl Into<String>) -> Self {
        Self { exit: USAGE, code: code.to_owned(), message: message.into(), hint: None }
    }
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
    /// A file or folder that could not be used.
    pub fn io(doing: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        let exit = if missing { USAGE } else { FAILURE };
        Self { exit, ..Self::failure("IO", format!("cannot {doing} {}: {error}", path.display())) }
    }
}

impl From<clap::Error> for CliError {
    fn from(error: clap::Error) -> Self {
        let text = error.render().to_string();
        Self::input("USAGE", text.trim().trim_start_matches("error: "))
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        let message = error.to_string();
        match error {
            ClientError::Address { .. } => Self::input("BAD_ADDRESS", message),
            ClientError::TlsNotBuilt { .. } => Self::input("TLS_NOT_BUILT", message),
            ClientError::Unreachable { .. } => Self::failure("SERVER_UNREACHABLE", message)
                .hint("start one with `stateset up`, or name one with --server"),
            ClientError::Refused { status, code, message, .. } => {
                let exit = if matches!(status, 400 | 404 | 409 | 413) { USAGE } else { FAILURE };
                let refused = Self { exit, ..Self::failure(&code, message) };
                match status {
                    401 => {
                        refused.hint("give a key with --api-key, or --data with the directory of the server")
                    }
                    403 => refused.hint("the API key does not reach that far"),
                    _ => refused,
                }
            }
            ClientError::Untrue(_) => {
                Self::failure("NOT_VERIFIED", message).hint("do not use this answer; keep it as evidence")
            }
            ClientError::Unreadable { .. } => Self::failure("UNREADABLE_ANSWER", message),
            ClientError::Signing(_) => Self::failure("SIGNING_FAILED", message),
            ClientError::MixedEvents => Self::input("MIXED_EVENTS", message),
        }
    }
}

impl From<KeystoreError> for CliError {
    fn from(error: KeystoreError) -> Self {
        let message = error.to_string();
        match error {
            KeystoreError::CannotOpen { .. } => Self::failure("CANNOT_OPEN_KEY", message)
                .hint("the passphrase comes from --passphrase-file, STATESET_PASSPHRASE, keys/passphrase or a prompt"),
            KeystoreError::NotFound { .. } => Self::input("NO_SUCH_KEY", message).hint("see `stateset key list`"),
            KeystoreError::Exists { .. } => Self::input("KEY_EXISTS", message),
            KeystoreError::ModeTooWide { .. } => Self::failure("MODE_TOO_WIDE", message),
            KeystoreError::WrongAlgorithm { .. } => Self::input("WRONG_ALGORITHM", message),
            KeystoreError::BadName { .. } | KeystoreError::BadLabel { .. } => Self::input("BAD_NAME", message),
            KeystoreError::BadPassphrase => Self::input("BAD_PASSPHRASE", message),
            _ => Self::failure("KEYSTORE", message),
        }
    }
}

impl From<NorthwindError> for CliError {
    fn from(error: NorthwindError) -> Self {
        Self::input("BAD_DATA", error.to_string())
    }
}

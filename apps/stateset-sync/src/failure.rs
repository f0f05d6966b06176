//! Failures as a person and a program see them: exit status, code, message, hint.

use std::path::Path;

use stateset_client::ClientError;
use stateset_keystore::KeystoreError;
use stateset_sync::{Fault, SyncError};

/// Why a command failed.
#[derive(Debug)]
pub struct Failure {
    /// 2 for bad usage or input, 1 for anything else.
    pub exit: u8,
    /// Stable, in capitals.
    pub code: String,
    pub message: String,
    pub hint: Option<String>,
}

impl Failure {
    pub fn failed(code: &str, message: impl AsRef<str>) -> Self {
        Self { exit: 1, code: printable(code), message: printable(message.as_ref()), hint: None }
    }
    pub fn input(code: &str, message: impl AsRef<str>) -> Self {
        Self { exit: 2, ..Self::failed(code, message) }
    }
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
    pub fn io(doing: &str, path: &Path, error: &std::io::Error) -> Self {
        let exit = if error.kind() == std::io::ErrorKind::NotFound { 2 } else { 1 };
        Self { exit, ..Self::failed("IO", format!("cannot {doing} {}: {error}", path.display())) }
    }
}

/// The text with everything escaped that moves a terminal's cursor or changes the order of what is read; line feeds stay.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let is_invisible = matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}');
        match c {
            '\n' => out.push(c),
            c if c.is_control() || is_invisible => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// The text as part of one line: what others wrote must not begin another.
pub fn in_line(text: &str) -> String {
    printable(text).replace('\n', "\\n")
}

impl From<SyncError> for Failure {
    fn from(error: SyncError) -> Self {
        let code = error.code();
        let failure = match error.is_input() {
            true => Self::input(&code, error.to_string()),
            false => Self::failed(&code, error.to_string()),
        };
        match error {
            SyncError::Fault(Fault::SequencerKeyUnknown { .. }) => failure.hint(
                "where the operator says so by another way, `stateset-sync trust HEX` believes the new key; else do not use this server",
            ),
            SyncError::Behind { .. } => failure.hint(
                "a replica that lags catches up: pull again; what stays so for ten minutes counts as cut off",
            ),
            SyncError::Fault(Fault::DirectoryStale { .. }) => failure.hint(
                "nothing of this answer was taken over; where this machine's clock is right, compare with another agent",
            ),
            SyncError::Damaged { path, .. } => failure.hint(format!(
                "put {0} back from a backup; without one, push what waits if that goes, move {0} and {0}.lock away and pull: what was sent comes again, what waited is lost",
                path.display()
            )),
            SyncError::DiskFull { .. } => failure.hint(
                "nothing that was kept is lost; `stateset-sync prune` takes acknowledged events out and has a reserve to work in, or free room elsewhere on that disk",
            ),
            SyncError::NoReserve { .. } => {
                failure.hint("it was given up for a prune: free some room on that disk, and prune again")
            }
            SyncError::ReadOnly { path } => {
                let folder = path.parent().unwrap_or(&path);
                failure.hint(format!(
                    "let this user write in {}, or name another folder with --dir; `ls -ld` says whose it is",
                    folder.display()
                ))
            }
            SyncError::Fault(_) => failure.hint(
                "nothing of this answer was taken over; `stateset-sync status` keeps it, compare with another agent",
            ),
            SyncError::Client(ClientError::Unreachable { problem, .. }) if problem.contains("certificate") => failure
                .hint("certificates are believed as this machine does; SSL_CERT_FILE names a file of others instead"),
            SyncError::Client(ClientError::Unreachable { .. }) => {
                failure.hint("nothing is lost: the next push or pull goes on")
            }
            SyncError::Client(ClientError::Refused { status: 401 | 403, .. }) => {
                failure.hint("put an API key that reaches the stream into the file api-key")
            }
            SyncError::NoKeyOpens { .. } => failure.hint("`stateset-sync keys:list` shows the keys that are here"),
            SyncError::NotAllowed { .. } => failure.hint("`stateset-sync log --outbox` shows where each event stands"),
            _ => failure,
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        SyncError::from(error).into()
    }
}

impl From<KeystoreError> for Failure {
    fn from(error: KeystoreError) -> Self {
        let message = error.to_string();
        match error {
            KeystoreError::CannotOpen { .. } => Self::failed("CANNOT_OPEN_KEY", message)
                .hint("the passphrase comes from --passphrase-file, STATESET_PASSPHRASE or keys/passphrase"),
            KeystoreError::NotFound { .. } => {
                Self::input("NO_SUCH_KEY", message).hint("make one with `stateset-sync keys:generate`")
            }
            KeystoreError::ModeTooWide { .. } => Self::failed("MODE_TOO_WIDE", message),
            KeystoreError::Split { .. } => Self::input("SPLIT_KEYS", message),
            KeystoreError::Token { .. } => Self::failed("TOKEN", message).hint(
                "the token is named by PKCS11_MODULE, PKCS11_TOKEN_LABEL and PKCS11_PIN_FILE or PKCS11_PIN",
            ),
            KeystoreError::BadName { .. } | KeystoreError::BadPassphrase => Self::input("BAD_NAME", message),
            _ => Self::failed("KEYSTORE", message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_others_cannot_steer_a_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\r\nc\u{202e}"), "a\\u{1b}[2Jb\\r\nc\\u{202e}");
        assert_eq!(in_line("a\n 7 b"), "a\\n 7 b", "no second line of a list");
        assert_eq!(Failure::failed("X\u{1b}", "no\u{7}").message, "no\\u{7}");
    }
}

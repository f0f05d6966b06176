//! Failures as a person and a program see them: exit status, code, message, hint.

use stateset_client::ClientError;
use stateset_client::northwind::NorthwindError;
use stateset_keystore::KeystoreError;
use stateset_sequencer_app::failure::Failure;

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

/// The text with everything escaped that moves a terminal's cursor, changes its state or the order of what is read:
/// control characters (C0, C1, DEL), line separators, and the marks of bidirectional and invisible text.
pub fn printable(text: &str) -> String {
    escaped(text, false)
}

/// The text as a shell takes it for one word, in commands that are told to a person.
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    match !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", printable(text).replace('\'', "'\\''")),
    }
}

/// The same for a text of several lines: line feeds stay.
pub fn printable_lines(text: &str) -> String {
    escaped(text, true)
}

fn escaped(text: &str, lines: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' if lines => out.push(c),
            c if c.is_control() || is_invisible(c) => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{e0000}'..='\u{e007f}')
}

impl CliError {
    /// Exit 1.
    pub fn failure(code: &str, message: impl Into<String>) -> Self {
        Self { exit: FAILURE, code: printable(code), message: printable_lines(&message.into()), hint: None }
    }
    /// Exit 2.
    pub fn input(code: &str, message: impl Into<String>) -> Self {
        Self { exit: USAGE, ..Self::failure(code, message) }
    }
    /// What a contract or the ledger would refuse, by its name: exit 1, as where they notice it.
    pub fn against_rules(name: &str, message: impl Into<String>) -> Self {
        Self::failure(name, message)
    }
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(printable_lines(&hint.into()));
        self
    }
    /// A file or folder that could not be used.
    pub fn io(doing: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        let exit = if missing { USAGE } else { FAILURE };
        Self { exit, ..Self::failure("IO", format!("cannot {doing} {}: {error}", path.display())) }
    }
}

impl From<Failure> for CliError {
    fn from(failure: Failure) -> Self {
        let Failure { exit, code, message, hint } = failure;
        let error = Self { exit, ..Self::failure(&code, message) };
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

impl From<statesetd_app::Failure> for CliError {
    fn from(failure: statesetd_app::Failure) -> Self {
        let error = Self { exit: failure.exit, ..Self::failure(&failure.code, failure.message) };
        match failure.code.as_str() {
            "NODE_UNREACHABLE" => error.hint(
                "start one with `stateset up`, or name one with --node, or another of a joined ledger with `stateset org nodes`",
            ),
            "TRUST_EXPIRED" | "BEFORE_TRUST" | "TRUSTED_TOO_FEW" => {
                error.hint("see `stateset ledger trust --help`")
            }
            _ => error,
        }
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
        // One line: the server's words must not look like ours.
        let message = printable(&error.to_string());
        match error {
            ClientError::Address { .. } => Self::input("BAD_ADDRESS", message),
            ClientError::Unreachable { .. } => Self::failure("SERVER_UNREACHABLE", message)
                .hint("start one with `stateset up`, or name one with --server"),
            ClientError::Refused { status, code, message, .. } => {
                let exit = if matches!(status, 400 | 404 | 409 | 413) { USAGE } else { FAILURE };
                let refused = Self { exit, ..Self::failure(&code, printable(&message)) };
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
            KeystoreError::Split { .. } => Self::input("SPLIT_KEYS", message),
            KeystoreError::NotABackup { .. } => Self::input("NOT_A_BACKUP", message),
            KeystoreError::Token { .. } => Self::failure("TOKEN", message).hint(
                "the token is named by PKCS11_MODULE, PKCS11_TOKEN_LABEL and PKCS11_PIN_FILE or PKCS11_PIN",
            ),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_hint_stay_one_word_each() {
        assert_eq!(quoted("globex"), "globex");
        assert_eq!(quoted("globex Inc"), "'globex Inc'");
        assert_eq!(quoted("O'Neil; rm"), r"'O'\''Neil; rm'");
        assert_eq!((quoted(""), quoted("--yes")), ("''".to_owned(), "'--yes'".to_owned()));
    }

    #[test]
    fn texts_of_others_cannot_steer_a_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\r\n\u{9b}\u{7f}"), r"a\u{1b}[2Jb\r\n\u{9b}\u{7f}");
        assert_eq!(printable("\u{202e}abc\u{2066}\u{200f}\u{2028}"), r"\u{202e}abc\u{2066}\u{200f}\u{2028}");
        assert_eq!(printable("Käse, 東京 'x' \"y\" \\"), "Käse, 東京 'x' \"y\" \\");
        assert_eq!(printable_lines("a\nb\u{1b}"), "a\nb\\u{1b}");
        let refused = ClientError::Refused {
            status: 500,
            code: "X\u{1b}c".to_owned(),
            message: "no\nerror: \u{1b}]0;t\u{7}".to_owned(),
            request_id: None,
        };
        let error = CliError::from(refused);
        assert_eq!(
            (error.code.as_str(), error.message.as_str()),
            (r"X\u{1b}c", r"no\nerror: \u{1b}]0;t\u{7}")
        );
    }
}

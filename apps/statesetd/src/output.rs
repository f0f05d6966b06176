//! Where the program writes: results to stdout, failures to stderr.

use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use stateset_node_client::FileError;

/// Why the program ends with something else than 0.
#[derive(Debug, Clone)]
pub struct Failure {
    pub exit: u8,
    /// Stable, in capitals.
    pub code: String,
    pub message: String,
}

impl Failure {
    /// Exit 1: it could not be done.
    pub fn failed(code: &str, message: impl ToString) -> Self {
        Self { exit: 1, code: code.to_owned(), message: message.to_string() }
    }
    /// Exit 2: wrong usage or input.
    pub fn input(code: &str, message: impl ToString) -> Self {
        Self { exit: 2, ..Self::failed(code, message) }
    }
    pub fn io(doing: &str, path: &Path, error: &std::io::Error) -> Self {
        Self::failed("IO", format!("cannot {doing} {}: {error}", path.display()))
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        match &error {
            FileError::Io { .. } => Self::failed(error.code(), error),
            FileError::Bad { .. } => Self::input(error.code(), error),
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Output {
    pub json: bool,
}

/// A line to stderr. Whoever stopped reading there has the exit code.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

impl Output {
    /// `value` with `--json`, else `text`. A reader that went away is no failure of ours.
    pub fn result(self, value: &Value, text: &str) {
        let line = if self.json { value.to_string() } else { text.trim_end().to_owned() };
        let mut stdout = std::io::stdout().lock();
        let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    }

    pub fn failure(self, failure: &Failure) {
        if self.json {
            say(&format!("{}", json!({"error": {"code": failure.code, "message": failure.message}})));
        } else {
            say(&format!("error: {}", failure.message));
            if failure.code != "USAGE" {
                say(&format!("  code: {}", failure.code));
            }
        }
    }
}

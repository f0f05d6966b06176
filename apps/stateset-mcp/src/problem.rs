//! Failures as a person and a program see them.

use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;

use serde_json::json;
use stateset_keystore::KeystoreError;
use stateset_mcp::CallError;

/// Why the program ends.
#[derive(Debug)]
pub struct Problem {
    /// 2 for bad usage or bad input, 1 for any other failure.
    pub exit: u8,
    /// Stable, in capitals.
    pub code: String,
    pub message: String,
    pub hint: Option<String>,
}

impl Problem {
    pub fn failure(code: &str, message: impl fmt::Display) -> Self {
        Self { exit: 1, code: code.to_owned(), message: message.to_string(), hint: None }
    }
    pub fn input(code: &str, message: impl fmt::Display) -> Self {
        Self { exit: 2, ..Self::failure(code, message) }
    }
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Tells it on stderr.
    pub fn tell(&self, as_json: bool) -> ExitCode {
        if as_json {
            let error = json!({"error": {"code": self.code, "message": self.message, "hint": self.hint}});
            say(&format!("{error}"));
        } else {
            say(&format!("error: {}", self.message));
            if let Some(hint) = &self.hint {
                say(&format!("  hint: {hint}"));
            }
        }
        ExitCode::from(self.exit)
    }
}

impl From<KeystoreError> for Problem {
    fn from(error: KeystoreError) -> Self {
        match error {
            KeystoreError::Token { .. } => Self::failure("TOKEN", error).hint(
                "the token is named by PKCS11_MODULE, PKCS11_TOKEN_LABEL and PKCS11_PIN_FILE or PKCS11_PIN",
            ),
            KeystoreError::Split { .. } => Self::input("SPLIT_KEYS", error),
            KeystoreError::NotFound { .. } => Self::input("NO_KEY", error),
            error => Self::failure("KEYS", error),
        }
    }
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused(refusal) => {
                let problem = Self::failure(&refusal.code.to_ascii_uppercase(), &refusal.message);
                Self { hint: refusal.hint, ..problem }
            }
            error => Self::input("BAD_ARGUMENT", error),
        }
    }
}

/// A line to stderr. Whoever stopped reading there has the exit code.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

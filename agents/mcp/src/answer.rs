//! What a call that did not act answers.

use serde_json::{Value, json};

use crate::journal::JournalError;
use crate::port::PortError;

/// A refusal for a reason of business: the tool ran, and says no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Stable and in lower case, such as `invalid_state_transition`.
    pub code: String,
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Whether the same call may succeed later, unchanged.
    pub is_passing: bool,
}

impl Refusal {
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), hint: None, is_passing: false }
    }

    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// `{"error":{"code","message","retryable","hint"}}`, the structured result of the call.
    pub fn body(&self) -> Value {
        let mut error = json!({"code": self.code, "message": self.message, "retryable": self.is_passing});
        if let Some(hint) = &self.hint {
            error["hint"] = hint.clone().into();
        }
        json!({ "error": error })
    }
}

/// Why a call has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// JSON-RPC -32602.
    #[error("there is no tool {name:?}")]
    UnknownTool { name: String },
    /// JSON-RPC -32602; `field` is a path such as `line_items[0].quantity`.
    #[error("{field}: {problem}")]
    Argument { field: String, problem: String },
    /// A result with `isError`.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl CallError {
    pub fn argument(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Argument { field: field.into(), problem: problem.into() }
    }
}

impl From<PortError> for Refusal {
    fn from(error: PortError) -> Self {
        Self { is_passing: error.is_passing, ..Self::new(error.code, error.message) }
    }
}

impl From<PortError> for CallError {
    fn from(error: PortError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<JournalError> for CallError {
    fn from(error: JournalError) -> Self {
        Self::Refused(Refusal::new(error.code(), error.to_string()))
    }
}

//! Why an event was not applied.

/// What sort of failure it is (section 8.1). The names are those of dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The payload is not what the event type needs.
    SchemaValidation,
    /// The event would break a rule of the entity: stock below zero, a number too large.
    InvariantViolation,
    /// The entity is not in a state that the event may follow.
    InvalidStateTransition,
    /// The agent wrote the event for another version of the entity.
    VersionConflict,
    /// The entity does not exist, or the event can't be read.
    HandlerError,
    /// The rule itself failed.
    Unknown,
}

impl Reason {
    pub const fn name(self) -> &'static str {
        match self {
            Self::SchemaValidation => "schema_validation",
            Self::InvariantViolation => "invariant_violation",
            Self::InvalidStateTransition => "invalid_state_transition",
            Self::VersionConflict => "version_conflict",
            Self::HandlerError => "handler_error",
            Self::Unknown => "unknown",
        }
    }
}

/// A reason with the words and numbers that explain it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    pub reason: Reason,
    /// Names the member of the payload by its JSON path where the payload is at fault.
    pub message: String,
    /// Of a version conflict: what the event was written for, and what the entity had.
    pub expected_version: Option<u64>,
    pub actual_version: Option<u64>,
}

impl Refusal {
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), expected_version: None, actual_version: None }
    }

    /// The member at `path` is not as needed.
    pub fn payload(path: &str, problem: impl std::fmt::Display) -> Self {
        Self::new(Reason::SchemaValidation, format!("{path}: {problem}"))
    }

    pub fn invariant(message: impl Into<String>) -> Self {
        Self::new(Reason::InvariantViolation, message)
    }

    pub fn version(expected: u64, actual: u64) -> Self {
        Self {
            expected_version: Some(expected),
            actual_version: Some(actual),
            ..Self::new(
                Reason::VersionConflict,
                format!("written for version {expected} of the entity, which has version {actual}"),
            )
        }
    }
}

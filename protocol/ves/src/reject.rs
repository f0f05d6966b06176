//! Why one event was refused (section 10). Rejecting an event never touches its neighbours.

use crate::time::TimestampMs;

/// Why the registry, or the key's rotation policy, refuses a key at the sequencer's time (section 9.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyProblem {
    #[error("not found")]
    NotFound,
    #[error("has been revoked")]
    Revoked,
    #[error("is not yet valid (from {from})")]
    NotYetValid { from: TimestampMs },
    #[error("has expired (at {at})")]
    Expired { at: TimestampMs },
    #[error("is older than its rotation policy allows (it was accepted until {at})")]
    Outdated { at: TimestampMs },
    #[error("has signed the {max} events that its rotation policy allows")]
    UsedUp { max: u64 },
}

/// Why one event was refused. `Display` is the sentence for people; [`Rejection::reason`] is the wire's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("event_id is repeated in this request, or taken in this stream by an event with other content")]
    DuplicateEventId,
    #[error("command_id is repeated in this request, or was already used in this stream")]
    DuplicateCommandId,
    #[error("ves_version {found} is not supported, this sequencer speaks 1")]
    UnsupportedVersion { found: u64 },
    /// `field` is a path such as `payload_encrypted.recipients[1].enc_b64u`.
    #[error("{field}: {problem}")]
    SchemaValidation { field: String, problem: String },
    #[error("payload_plain_hash is not the hash of the canonical payload")]
    InvalidPayloadHash,
    #[error("payload_cipher_hash is not the hash of payload_encrypted")]
    InvalidCipherHash,
    #[error("agent_key_id: the key {0}")]
    AgentKeyInvalid(KeyProblem),
    #[error("agent_signature does not verify over the event signing hash")]
    InvalidSignature,
    /// The key is of another algorithm, or the security profile asks for more (section 21).
    #[error(
        "agent_signature_scheme {scheme} is not accepted for this key here: sign as its algorithm and the sequencer's security profile ask"
    )]
    UnsupportedSignatureScheme { scheme: u64 },
    #[error("base_version {expected} was expected, the entity is at version {actual}")]
    VersionConflict { expected: u64, actual: u64 },
}

impl Rejection {
    /// A `schema_validation` of one field.
    pub fn schema(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::SchemaValidation { field: field.into(), problem: problem.into() }
    }

    /// The stable code, without details.
    pub fn code(&self) -> &'static str {
        match self {
            Self::DuplicateEventId => "duplicate_event_id",
            Self::DuplicateCommandId => "duplicate_command_id",
            Self::UnsupportedVersion { .. } => "unsupported_version",
            Self::SchemaValidation { .. } => "schema_validation",
            Self::InvalidPayloadHash => "invalid_payload_hash",
            Self::InvalidCipherHash => "invalid_cipher_hash",
            Self::AgentKeyInvalid(_) => "agent_key_invalid",
            Self::InvalidSignature => "invalid_signature",
            Self::UnsupportedSignatureScheme { .. } => "unsupported_signature_scheme",
            Self::VersionConflict { .. } => "version_conflict",
        }
    }

    /// The REST reason of section 10: the code and, where the specification has one, its detail.
    pub fn reason(&self) -> String {
        match self {
            Self::SchemaValidation { field, .. } if !field.is_empty() => {
                format!("schema_validation: {field}")
            }
            Self::AgentKeyInvalid(problem) => {
                let why = match problem {
                    KeyProblem::NotFound => "not found",
                    KeyProblem::Revoked => "has been revoked",
                    KeyProblem::NotYetValid { .. } => "is not yet valid",
                    KeyProblem::Expired { .. } => "has expired",
                    KeyProblem::Outdated { .. } => "is older than its rotation policy allows",
                    KeyProblem::UsedUp { .. } => "has been used as often as its rotation policy allows",
                };
                format!("agent_key_invalid: {why}")
            }
            Self::VersionConflict { expected, actual } => {
                format!("version_conflict: expected {expected}, actual {actual}")
            }
            other => other.code().to_owned(),
        }
    }

    /// Whether the same event may be accepted later without being changed.
    pub fn retryable(&self) -> bool {
        matches!(self, Self::AgentKeyInvalid(KeyProblem::NotFound | KeyProblem::NotYetValid { .. }))
    }

    /// The rejection code of gRPC v2 (section 10).
    pub fn grpc_code(&self) -> i32 {
        match self {
            Self::InvalidSignature => 1,
            Self::AgentKeyInvalid(KeyProblem::Revoked) => 3,
            Self::AgentKeyInvalid(_) => 2,
            Self::DuplicateEventId => 4,
            Self::DuplicateCommandId => 5,
            Self::InvalidPayloadHash | Self::InvalidCipherHash => 6,
            Self::VersionConflict { .. } => 7,
            Self::SchemaValidation { .. }
            | Self::UnsupportedVersion { .. }
            | Self::UnsupportedSignatureScheme { .. } => 8,
        }
    }
}

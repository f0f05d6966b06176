//! Why a call has no output: a code that a program can act on, and a sentence for people.

use ves::commitment::CommitmentError;
use ves::draft::DraftError;
use ves::json::JsonError;
use ves::log::LogProofError;
use ves::merkle::ProofError;
use ves::receipt::ReceiptError;
use ves::{OpenError, Rejection, SealError};

/// The codes are the same in every library; `testing/vectors/libraries.json` shows each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub code: &'static str,
    pub message: String,
}

impl Refusal {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The request itself cannot be read.
    pub fn input(field: &str, problem: impl std::fmt::Display) -> Self {
        Self::new("invalid_input", format!("{field}: {problem}"))
    }
}

impl From<JsonError> for Refusal {
    fn from(error: JsonError) -> Self {
        let code = match error {
            JsonError::TooDeep => "too_deep",
            JsonError::Duplicate { .. } => "duplicate_member",
            JsonError::Number { .. } => "number_out_of_range",
            JsonError::Inexact { .. } => "inexact_number",
            JsonError::Syntax { .. } | JsonError::Unserializable(_) => "invalid_json",
        };
        Self::new(code, error.to_string())
    }
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        Self::new(rejection.code(), rejection.to_string())
    }
}

impl From<SealError> for Refusal {
    fn from(error: SealError) -> Self {
        let code = match error {
            SealError::NoRecipients => "no_recipients",
            SealError::RepeatedRecipient { .. } => "repeated_recipient",
            SealError::WeakRecipientKey { .. } => "weak_recipient_key",
            SealError::EphemeralSecrets { .. } => "invalid_input",
            SealError::TooLong => "payload_too_long",
        };
        Self::new(code, error.to_string())
    }
}

impl From<DraftError> for Refusal {
    fn from(error: DraftError) -> Self {
        match error {
            DraftError::Refused(rejection) => rejection.into(),
            DraftError::Payload(error) => {
                let code = Self::from(error.clone()).code;
                Self::new(code, error.path_under("payload") + ": " + &error.problem())
            }
            DraftError::NullPayload => Self::new("null_payload", error.to_string()),
            DraftError::Seal(error) => error.into(),
            DraftError::Signer(error) => Self::new("signer_failed", error.to_string()),
        }
    }
}

impl From<OpenError> for Refusal {
    fn from(error: OpenError) -> Self {
        let code = match error {
            OpenError::NotEncrypted => "not_encrypted",
            OpenError::RecipientNotFound(_) => "recipient_not_found",
            OpenError::DecryptionFailed => "decryption_failed",
            OpenError::InvalidPayloadFormat => "invalid_payload_format",
            OpenError::PayloadHashMismatch => "payload_hash_mismatch",
        };
        Self::new(code, error.to_string())
    }
}

impl From<ReceiptError> for Refusal {
    fn from(error: ReceiptError) -> Self {
        let code = match error {
            ReceiptError::OtherEvent => "receipt_of_other_event",
            ReceiptError::Unsigned => "receipt_unsigned",
            ReceiptError::InvalidSignature => "receipt_invalid_signature",
        };
        Self::new(code, error.to_string())
    }
}

impl From<ProofError> for Refusal {
    fn from(error: ProofError) -> Self {
        let code = match error {
            ProofError::IndexOutOfRange { .. } | ProofError::IndexBeyondPath { .. } => {
                "proof_index_out_of_range"
            }
            ProofError::PathLength { .. } => "proof_wrong_length",
            ProofError::RootMismatch => "proof_root_mismatch",
        };
        Self::new(code, error.to_string())
    }
}

impl From<CommitmentError> for Refusal {
    fn from(error: CommitmentError) -> Self {
        let code = match error {
            CommitmentError::Version { .. } => "unsupported_version",
            CommitmentError::Range { .. } => "commitment_wrong_range",
            CommitmentError::Shape { .. } => "commitment_wrong_shape",
            CommitmentError::StateRoot => "commitment_wrong_state_root",
        };
        Self::new(code, error.to_string())
    }
}

impl From<LogProofError> for Refusal {
    fn from(error: LogProofError) -> Self {
        let code = match error {
            LogProofError::OutOfRange { .. } => "proof_index_out_of_range",
            LogProofError::Length { .. } => "proof_wrong_length",
            LogProofError::OldRoot | LogProofError::Root => "proof_root_mismatch",
        };
        Self::new(code, error.to_string())
    }
}

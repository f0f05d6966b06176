//! What the routes of validity and compliance proofs share.

use base64ct::{Base64, Base64Unpadded, Encoding as _};
use serde_json::value::RawValue;
use stateset_sequencer::{ProofReport, SubmitProofError, Verdict, Verification};
use uuid::Uuid;
use ves::compliance::{PROOF_BYTES_MAX, Policy};
use ves_wire::error::ErrorCode;
use ves_wire::validity::VerificationOutcome;

use crate::error::ApiError;
use crate::params::Segments;

/// What an answer that shows a proof holds at once: its bytes, their base64, and that again in the body.
pub(crate) const PROOF_ANSWER_BYTES: usize = PROOF_BYTES_MAX * 4;

/// Seconds after which a proof may find a free slot.
const BUSY_RETRY_S: u32 = 5;

impl From<SubmitProofError> for ApiError {
    fn from(error: SubmitProofError) -> Self {
        let code = match &error {
            SubmitProofError::Service(error) => return error.clone().into(),
            SubmitProofError::VerifierFailed(problem) => {
                tracing::warn!(%problem, "the proof verifier failed");
                let message = "the verifier could not tell whether the proof is valid, so it was not stored";
                return Self::new(ErrorCode::ServiceUnavailable, message).retry_after(BUSY_RETRY_S);
            }
            SubmitProofError::NoVerifier | SubmitProofError::Busy => {
                return Self::new(ErrorCode::ServiceUnavailable, error.to_string()).retry_after(BUSY_RETRY_S);
            }
            SubmitProofError::Invalid { .. } | SubmitProofError::Late => ErrorCode::InvalidFieldValue,
            SubmitProofError::Conflict => ErrorCode::AlreadyExists,
            SubmitProofError::TotalContinued { by } => {
                return Self::new(ErrorCode::AlreadyExists, error.to_string()).about(by);
            }
            SubmitProofError::TooMany
            | SubmitProofError::TooManyUnverified
            | SubmitProofError::TooManySuperseded => ErrorCode::QuotaExceeded,
        };
        Self::new(code, error.to_string())
    }
}

/// The id of a proof in the path.
pub(crate) fn proof_id(segments: &Segments) -> Result<Uuid, ApiError> {
    segments.get("proof_id", "a UUID")
}

pub(crate) fn unknown_proof(id: Uuid) -> ApiError {
    ApiError::new(ErrorCode::ResourceNotFound, "the proof is unknown").about(id)
}

/// The bytes of `proofB64`: standard or url-safe alphabet, padded or not (section 3.4).
pub(crate) fn proof_bytes(text: &str) -> Result<Vec<u8>, ApiError> {
    let is_url_safe = |byte: u8| matches!(byte, b'-' | b'_');
    let standard: String = match text.bytes().any(is_url_safe) {
        true => text
            .chars()
            .map(|c| {
                if c == '-' {
                    '+'
                } else if c == '_' {
                    '/'
                } else {
                    c
                }
            })
            .collect(),
        false => text.to_owned(),
    };
    let unpadded = standard.trim_end_matches('=');
    let padding = standard.len() - unpadded.len();
    let is_padded_right = padding == 0 || (padding <= 2 && standard.len().is_multiple_of(4));
    match Base64Unpadded::decode_vec(unpadded) {
        Ok(bytes) if is_padded_right => Ok(bytes),
        _ => Err(ApiError::invalid("proofB64", "expected base64, standard or url-safe, padded or not")),
    }
}

pub(crate) fn proof_base64(bytes: &[u8]) -> String {
    Base64::encode_string(bytes)
}

/// The problem names `policyId`, or `policyParams` and the member.
pub(crate) fn policy(id: &str, params: Option<&str>) -> Result<Policy, ApiError> {
    Policy::for_statement(id, params)
        .map_err(|problem| ApiError::new(ErrorCode::InvalidFieldValue, problem.to_string()))
}

/// Canonical JSON that the sequencer made, as it stands.
pub(crate) fn raw(canonical: &str) -> Result<Box<RawValue>, ApiError> {
    RawValue::from_string(canonical.to_owned()).map_err(ApiError::internal)
}

/// A report as the verify routes show it.
pub(crate) fn outcome(report: &ProofReport) -> VerificationOutcome {
    let (stark_valid, stark_error, stark_verification_time_ms) = match &report.verification {
        Verification::Done { verdict: Verdict::Valid(_), time_ms } => (Some(true), None, Some(*time_ms)),
        Verification::Done { verdict: Verdict::Invalid(why), time_ms } => {
            (Some(false), Some(why.clone()), Some(*time_ms))
        }
        Verification::Failed(problem) => {
            tracing::warn!(%problem, "the proof verifier failed");
            (None, Some("the verifier could not tell".to_owned()), None)
        }
        Verification::NotAsked | Verification::NoVerifier | Verification::UnknownType => (None, None, None),
    };
    VerificationOutcome {
        proof_hash_match: report.proof_hash_match,
        public_inputs_hash: report.public_inputs_hash,
        canonical_public_inputs_hash: report.canonical_public_inputs_hash,
        public_inputs_match: report.public_inputs_match,
        stark_valid,
        stark_error,
        stark_verification_time_ms,
        valid: report.is_valid(),
        reason: report.reason().map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_in_every_spelling_and_nothing_else_is() {
        let bytes = [0xfb, 0xff, 0xfe, 1];
        for text in ["+//+AQ==", "+//+AQ", "-__-AQ==", "-__-AQ"] {
            assert_eq!(proof_bytes(text).unwrap(), bytes, "{text}");
        }
        assert!(proof_bytes("").unwrap().is_empty());
        for bad in ["+//+AQ=", "+//+AQ===", "+//+A", "====", "a b=", "%%%%", "+//+AR=="] {
            let error = proof_bytes(bad).expect_err(bad);
            assert_eq!(error.code(), ErrorCode::InvalidFieldValue);
        }
    }
}

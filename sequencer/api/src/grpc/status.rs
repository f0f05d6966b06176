//! Refusals as gRPC statuses: the code by what a caller can do, the code of REST beside it as `x-error-code`.

use axum::body::Body;
use axum::http::header;
use axum::response::Response;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};
use ves_wire::error::ErrorCode;

use crate::error::ApiError;

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Self {
        let mut metadata = MetadataMap::new();
        metadata.insert("x-error-code", MetadataValue::from_static(error.code().text()));
        if let Some(seconds) = error.retry_after_s() {
            metadata.insert(header::RETRY_AFTER.as_str(), MetadataValue::from(seconds));
        }
        Self::with_metadata(code(error.code()), error.message(), metadata)
    }
}

fn code(code: ErrorCode) -> Code {
    match code {
        ErrorCode::AlreadyExists | ErrorCode::DuplicateEvent | ErrorCode::DuplicateCommand => {
            Code::AlreadyExists
        }
        ErrorCode::VersionConflict
        | ErrorCode::SequenceGap
        | ErrorCode::InvalidStateTransition
        | ErrorCode::InvariantViolation
        | ErrorCode::AnchorNotConfigured
        | ErrorCode::NotAnchored => Code::FailedPrecondition,
        ErrorCode::MethodNotAllowed => Code::Unimplemented,
        other => match other.status() {
            401 => Code::Unauthenticated,
            403 => Code::PermissionDenied,
            404 => Code::NotFound,
            409 => Code::FailedPrecondition,
            413 | 429 => Code::ResourceExhausted,
            400..=499 => Code::InvalidArgument,
            503 => Code::Unavailable,
            504 => Code::DeadlineExceeded,
            _ => Code::Internal,
        },
    }
}

/// What a live reader gets when this process stops writing or serving.
pub(super) fn over() -> ApiError {
    let message = "the service is stopping; connect again and go on from the last number you have";
    ApiError::new(ErrorCode::ServiceUnavailable, message).retry_after(1)
}

/// A message that is not what the call takes.
pub(super) fn undecodable() -> ApiError {
    ApiError::new(
        ErrorCode::InvalidRequestBody,
        "the message can't be decoded as the one that this call takes",
    )
}

/// An answer that is nothing but a status.
pub(super) fn response(status: &Status) -> Response {
    status.clone().into_http().map(Body::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_rest_has_a_status_that_says_what_to_do() {
        for error in ErrorCode::ALL {
            let expected = match error.status() {
                401 => Code::Unauthenticated,
                403 => Code::PermissionDenied,
                404 => Code::NotFound,
                413 | 429 => Code::ResourceExhausted,
                504 => Code::DeadlineExceeded,
                500 => Code::Internal,
                _ => continue,
            };
            assert_eq!(code(*error), expected, "{}", error.text());
        }
        assert_eq!(code(ErrorCode::ServiceUnavailable), Code::Unavailable);
        assert_eq!(code(ErrorCode::AlreadyExists), Code::AlreadyExists);
        assert_eq!(code(ErrorCode::VersionConflict), Code::FailedPrecondition);
        let limited = ApiError::new(ErrorCode::RateLimitExceeded, "slower").retry_after(7);
        let status = Status::from(limited);
        assert_eq!(status.metadata().get("retry-after").unwrap(), "7");
        assert_eq!(status.metadata().get("x-error-code").unwrap(), "RATE_LIMIT_EXCEEDED");
    }
}

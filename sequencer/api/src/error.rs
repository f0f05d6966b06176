//! The one error form (section 1.4). A handler returns [`ApiError`]; the outermost layer writes it, since only that
//! layer knows the request id.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use stateset_sequencer::{
    CommitFailure, ErrorKind, GroupError, ProofFailure, RecordError, RegisterError, ServiceError,
};
use ves_wire::error::{ErrorBody, ErrorCode, ErrorDetail};
use ves_wire::ingest::RequestError;

use crate::observe::request_id;

/// Seconds after which a caller may try again when the service could not take its request.
pub(crate) const UNAVAILABLE_RETRY_S: u32 = 1;

/// Nothing here says that nothing was changed.
pub(crate) const UNCLEAR: &str =
    "the outcome of the write is unknown; send the same again, it is answered or carried out";

/// A refusal on its way to the caller.
#[derive(Debug, Clone)]
pub(crate) struct ApiError(Box<Refusal>);

#[derive(Debug, Clone)]
struct Refusal {
    code: ErrorCode,
    message: String,
    resource_id: Option<String>,
    retry_after: Option<u32>,
    details: Option<serde_json::Value>,
}

impl ApiError {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let message = message.into();
        Self(Box::new(Refusal { code, message, resource_id: None, retry_after: None, details: None }))
    }
    pub fn invalid(field: &str, problem: impl std::fmt::Display) -> Self {
        Self::new(ErrorCode::InvalidFieldValue, format!("{field}: {problem}"))
    }
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InsufficientPermissions, message)
    }
    /// Names the object that was asked for.
    pub fn about(mut self, id: impl std::fmt::Display) -> Self {
        self.0.resource_id = Some(id.to_string());
        self
    }
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }
    /// What a program can read of the refusal, beside its message.
    #[cfg(feature = "schema-validation")]
    pub fn with_details(mut self, details: serde_json::Value) -> Self {
        self.0.details = Some(details);
        self
    }
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }
    pub fn message(&self) -> &str {
        &self.0.message
    }
    /// As it is told where the answer has long begun.
    pub fn detail(&self) -> ErrorDetail {
        let mut detail = ErrorDetail::new(self.0.code, &self.0.message);
        detail.retry_after = self.0.retry_after;
        detail
    }
    /// Seconds after which the caller may try again, where that is known.
    #[cfg(feature = "grpc")]
    pub fn retry_after_s(&self) -> Option<u32> {
        self.0.retry_after
    }

    /// Logs what happened and tells the caller only that something did.
    pub fn internal(problem: impl std::fmt::Display) -> Self {
        tracing::error!(request_id = request_id(), %problem, "request failed inside");
        Self::new(ErrorCode::InternalError, "the request failed inside the service; its log says why")
    }

    /// Of a stored event that cannot be read back.
    pub fn record(error: RecordError) -> Self {
        match error {
            RecordError::Sealed => sealed(&error),
            error => Self::internal(error),
        }
    }

    /// The response, with everything but the general headers.
    pub fn render(self, request_id: &str) -> Response {
        let Refusal { code, message, resource_id, retry_after, details } = *self.0;
        let mut detail = ErrorDetail::new(code, message);
        detail.request_id = Some(request_id.to_owned());
        detail.resource_id = resource_id;
        detail.retry_after = retry_after;
        detail.details = details;
        let text = serde_json::to_string(&ErrorBody { error: detail }).unwrap_or_default();
        let mut response = Response::new(Body::from(text));
        *response.status_mut() =
            StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("x-error-code", HeaderValue::from_static(code.text()));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if code.status() == 401 {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("ApiKey"));
        }
        response
    }
}

impl IntoResponse for ApiError {
    /// An empty response that carries the error to the outermost layer.
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() =
            StatusCode::from_u16(self.0.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.extensions_mut().insert(self);
        response
    }
}

/// The code of a kind, where a route has none of its own. Internal errors say nothing of the store.
pub(crate) fn of_kind(kind: ErrorKind, problem: &dyn std::fmt::Display) -> ApiError {
    let code = match kind {
        ErrorKind::NotFound => ErrorCode::ResourceNotFound,
        ErrorKind::Conflict => ErrorCode::AlreadyExists,
        ErrorKind::Invalid => ErrorCode::InvalidFieldValue,
        ErrorKind::Unauthenticated => ErrorCode::AuthRequired,
        ErrorKind::Forbidden => ErrorCode::InsufficientPermissions,
        ErrorKind::Unavailable => {
            tracing::warn!(request_id = request_id(), %problem, "request refused, service unavailable");
            return unavailable(problem.to_string());
        }
        ErrorKind::Internal => return ApiError::internal(problem),
    };
    ApiError::new(code, problem.to_string())
}

/// What was asked for is there, and nobody here can open it: an operator's affair, not the caller's.
fn sealed(problem: &dyn std::fmt::Display) -> ApiError {
    tracing::error!(%problem, "sealed at rest, and no key opens it");
    let message = "what was asked for is sealed at rest, and the sequencer has no key that opens it: its operator has to \
                   give it the key again";
    ApiError::new(ErrorCode::EncryptionError, message)
}

/// 503 with the time after which it is worth another try.
pub(crate) fn unavailable(message: String) -> ApiError {
    ApiError::new(ErrorCode::ServiceUnavailable, message).retry_after(UNAVAILABLE_RETRY_S)
}

impl From<ServiceError> for ApiError {
    fn from(error: ServiceError) -> Self {
        match error {
            // What the store said stays in the log.
            ServiceError::StoreRefused(problem) => {
                tracing::warn!(request_id = request_id(), %problem, "request refused by the store");
                unavailable("the event store takes no writes now; nothing was changed".to_owned())
            }
            ServiceError::NotReady(problem) => {
                tracing::warn!(request_id = request_id(), %problem, "not ready");
                unavailable("the service is not ready, and its log says why; nothing was changed".to_owned())
            }
            ServiceError::Unclear(problem) => {
                tracing::error!(request_id = request_id(), %problem, "the outcome of a write is unknown");
                unavailable(UNCLEAR.to_owned())
            }
            ServiceError::Unreachable(problem) => {
                tracing::warn!(request_id = request_id(), %problem, "the store can't be reached");
                unavailable("the event store can't be reached now; nothing was changed".to_owned())
            }
            ServiceError::Sealed(problem) => sealed(&problem),
            error => of_kind(error.kind(), &error),
        }
    }
}
impl From<CommitFailure> for ApiError {
    fn from(error: CommitFailure) -> Self {
        match error {
            CommitFailure::Service(error) => error.into(),
            error => of_kind(error.kind(), &error),
        }
    }
}
impl From<ProofFailure> for ApiError {
    fn from(error: ProofFailure) -> Self {
        match error {
            ProofFailure::Service(error) => error.into(),
            error if error.kind() == ErrorKind::NotFound => {
                Self::new(ErrorCode::BatchNotFound, error.to_string())
            }
            error => of_kind(error.kind(), &error),
        }
    }
}
impl From<RegisterError> for ApiError {
    fn from(error: RegisterError) -> Self {
        if let RegisterError::Service(error) = error {
            return error.into();
        }
        match (&error, error.kind()) {
            (RegisterError::PublicKey(_), _) => Self::new(ErrorCode::InvalidPublicKey, error.to_string()),
            (_, ErrorKind::NotFound) => Self::new(ErrorCode::AgentKeyNotFound, error.to_string()),
            (_, kind) => of_kind(kind, &error),
        }
    }
}
impl From<GroupError> for ApiError {
    fn from(error: GroupError) -> Self {
        match error {
            GroupError::Service(error) => error.into(),
            error => of_kind(error.kind(), &error),
        }
    }
}
impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_key_opens_is_said_to_be_sealed_and_never_to_be_missing() {
        for error in [
            ApiError::record(RecordError::Sealed),
            ServiceError::Sealed("event 1".to_owned()).into(),
            ProofFailure::Service(ServiceError::Sealed("event 1".to_owned())).into(),
        ] {
            assert_eq!((error.code(), error.code().status()), (ErrorCode::EncryptionError, 500));
            assert!(error.message().contains("key"), "{}", error.message());
        }
    }

    /// Nobody may retry in the belief that nothing happened when the outcome of a write is unknown.
    #[test]
    fn an_unavailable_service_says_why_but_not_what_the_store_said() {
        let refusal = |error: ApiError| (error.0.code, error.0.message.clone());
        for wrapped in [
            ApiError::from(ServiceError::Poisoned),
            CommitFailure::Service(ServiceError::Poisoned).into(),
            ProofFailure::Service(ServiceError::Poisoned).into(),
            RegisterError::Service(ServiceError::Poisoned).into(),
        ] {
            assert_eq!(refusal(wrapped), (ErrorCode::ServiceUnavailable, ServiceError::Poisoned.to_string()));
        }
        let unclear = ServiceError::Unclear("table events: SQL".to_owned());
        assert!(unclear.to_string().starts_with(UNCLEAR));
        assert_eq!(refusal(unclear.into()), (ErrorCode::ServiceUnavailable, UNCLEAR.to_owned()));
        let (code, message) = refusal(ServiceError::StoreRefused("table events: SQL".to_owned()).into());
        assert_eq!(code, ErrorCode::ServiceUnavailable);
        assert!(message.contains("nothing was changed") && !message.contains("SQL"), "{message}");
    }
}

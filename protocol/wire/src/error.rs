//! The one error body of every route (sequencer API, section 1.4), with its codes.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `{"error": {…}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ErrorBody {
    pub error: ErrorDetail,
}

/// What went wrong. `code` is the text of an [`ErrorCode`]; a client may meet codes it does not know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ErrorDetail {
    pub code: String,
    pub numeric_code: u16,
    /// A sentence for people, naming the field at fault.
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
    /// Seconds; the `Retry-After` header carries the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doc_url: Option<String>,
}

impl ErrorDetail {
    /// A body with `code` and `message` only.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code: code.text().to_owned(),
            numeric_code: code.number(),
            message: message.into(),
            request_id: None,
            details: None,
            retry_after: None,
            resource_id: None,
            doc_url: None,
        }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $number:literal, $status:literal;)+) => {
        /// The codes of section 1.4: text, number, HTTP status.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode { $($(#[$doc])* $name),+ }

        impl ErrorCode {
            /// Every code, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];
            /// The text of `error.code` and of the `x-error-code` header.
            pub const fn text(self) -> &'static str { match self { $(Self::$name => $text),+ } }
            /// `error.numeric_code`.
            pub const fn number(self) -> u16 { match self { $(Self::$name => $number),+ } }
            /// The HTTP status it is sent with.
            pub const fn status(self) -> u16 { match self { $(Self::$name => $status),+ } }
            /// The code of this text, if it is one of ours.
            pub fn parse(text: &str) -> Option<Self> { match text { $($text => Some(Self::$name),)+ _ => None } }
        }
    };
}

codes! {
    AuthRequired = "AUTH_REQUIRED", 1001, 401;
    InvalidApiKey = "INVALID_API_KEY", 1002, 401;
    InvalidToken = "INVALID_TOKEN", 1003, 401;
    TokenExpired = "TOKEN_EXPIRED", 1004, 401;
    InsufficientPermissions = "INSUFFICIENT_PERMISSIONS", 1005, 403;
    /// The address may not use the admin routes (section 3.11).
    AdminIpDenied = "ADMIN_IP_DENIED", 1006, 403;
    /// Self-service registration, section 3.10, as the codes of this name below.
    RegistrationDisabled = "REGISTRATION_DISABLED", 1007, 403;
    AdminNotAllowed = "ADMIN_NOT_ALLOWED", 1008, 403;
    RateLimitExceeded = "RATE_LIMIT_EXCEEDED", 2001, 429;
    QuotaExceeded = "QUOTA_EXCEEDED", 2002, 429;
    /// Ours: a reader of a live feed fell so far behind that it has to begin anew from its last number.
    SlowConsumer = "SLOW_CONSUMER", 2003, 429;
    InvalidRequestBody = "INVALID_REQUEST_BODY", 3001, 400;
    MissingRequiredField = "MISSING_REQUIRED_FIELD", 3002, 400;
    InvalidFieldValue = "INVALID_FIELD_VALUE", 3003, 400;
    PayloadTooLarge = "PAYLOAD_TOO_LARGE", 3004, 413;
    BatchTooLarge = "BATCH_TOO_LARGE", 3005, 413;
    SchemaValidationFailed = "SCHEMA_VALIDATION_FAILED", 3006, 400;
    SchemaNotFound = "SCHEMA_NOT_FOUND", 3007, 400;
    /// Ours: the route exists, with other methods.
    MethodNotAllowed = "METHOD_NOT_ALLOWED", 3008, 405;
    /// Ours: the body is announced as something other than JSON.
    UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE", 3009, 415;
    InvalidName = "INVALID_NAME", 3020, 400;
    NameTooLong = "NAME_TOO_LONG", 3021, 400;
    DescriptionTooLong = "DESCRIPTION_TOO_LONG", 3022, 400;
    StoreIdsTooMany = "STORE_IDS_TOO_MANY", 3023, 400;
    RateLimitInvalid = "RATE_LIMIT_INVALID", 3024, 400;
    TenantIdNotAllowed = "TENANT_ID_NOT_ALLOWED", 3025, 400;
    ResourceNotFound = "RESOURCE_NOT_FOUND", 4001, 404;
    EventNotFound = "EVENT_NOT_FOUND", 4002, 404;
    BatchNotFound = "BATCH_NOT_FOUND", 4003, 404;
    EntityNotFound = "ENTITY_NOT_FOUND", 4004, 404;
    AgentKeyNotFound = "AGENT_KEY_NOT_FOUND", 4005, 404;
    DuplicateEvent = "DUPLICATE_EVENT", 5001, 409;
    DuplicateCommand = "DUPLICATE_COMMAND", 5002, 409;
    VersionConflict = "VERSION_CONFLICT", 5003, 409;
    AlreadyExists = "ALREADY_EXISTS", 5004, 409;
    /// Ours: a schema is not compatible with the version before it (section 3.9).
    SchemaIncompatible = "SCHEMA_INCOMPATIBLE", 5005, 409;
    InvalidSignature = "INVALID_SIGNATURE", 6001, 400;
    SignatureVerificationFailed = "SIGNATURE_VERIFICATION_FAILED", 6002, 400;
    InvalidPublicKey = "INVALID_PUBLIC_KEY", 6003, 400;
    InvalidPayloadHash = "INVALID_PAYLOAD_HASH", 6004, 400;
    EncryptionError = "ENCRYPTION_ERROR", 6005, 500;
    InvalidStateTransition = "INVALID_STATE_TRANSITION", 7001, 400;
    InvariantViolation = "INVARIANT_VIOLATION", 7002, 400;
    SequenceGap = "SEQUENCE_GAP", 7003, 409;
    DatabaseError = "DATABASE_ERROR", 8001, 500;
    ServiceUnavailable = "SERVICE_UNAVAILABLE", 8002, 503;
    Timeout = "TIMEOUT", 8003, 504;
    InternalError = "INTERNAL_ERROR", 8999, 500;
    AnchorNotConfigured = "ANCHOR_NOT_CONFIGURED", 9001, 503;
    AnchorFailed = "ANCHOR_FAILED", 9002, 500;
    NotAnchored = "NOT_ANCHORED", 9003, 400;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_distinct_texts_and_rising_numbers() {
        for pair in ErrorCode::ALL.windows(2) {
            assert!(pair[0].number() < pair[1].number(), "{pair:?}");
        }
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::parse(code.text()), Some(*code));
        }
    }
}

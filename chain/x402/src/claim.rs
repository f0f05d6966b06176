//! A payment as its sender claims it, read from either version.

use alloy_primitives::Bytes;

use crate::authorization::Authorization;
use crate::forms::{
    AuthorizationForm, ExactPayload, PAYMENT_IDENTIFIER, PaymentPayload, PaymentPayloadV1,
    PaymentRequirements, VersionOnly,
};
use crate::header::{self, HeaderError, JsonError};

/// Version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    One,
    Two,
}

impl Version {
    pub const fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }
}

/// What a claim says of the offer that it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// Version 1: no more than this.
    Named { scheme: String, network: String },
    /// Version 2: an echo of the offer, which is compared and never believed.
    Echo(Box<PaymentRequirements>),
}

/// A payment, not yet believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub answered: Answered,
    pub authorization: Authorization,
    pub signature: Bytes,
    /// The client's own name for the payment.
    pub identifier: Option<String>,
}

/// Why a payment can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error("{0}")]
    Json(#[from] JsonError),
    #[error("x402Version is {found}; this form is of version {expected}")]
    Version { found: u64, expected: &'static str },
    #[error("extensions.payment-identifier.info.id: expected 16 to 128 letters, digits, - or _")]
    Identifier,
}

/// Shortest and longest name of a payment.
const IDENTIFIER_CHARS: std::ops::RangeInclusive<usize> = 16..=128;

impl Claim {
    /// Reads the header of a version.
    ///
    /// # Errors
    /// [`ClaimError`].
    pub fn read(version: Version, value: &[u8]) -> Result<Self, ClaimError> {
        Self::parse(version, &header::bytes(value)?)
    }

    /// Reads JSON of a version.
    ///
    /// # Errors
    /// [`ClaimError`].
    pub fn parse(version: Version, json: &[u8]) -> Result<Self, ClaimError> {
        let found = header::json::<VersionOnly>(json)?.x402_version;
        match (version, found) {
            (Version::One, 1) => Ok(Self::of_v1(header::json(json)?)),
            (Version::Two, 2) => Self::of_v2(header::json(json)?),
            (Version::One, found) => Err(ClaimError::Version { found, expected: "1" }),
            (Version::Two, found) => Err(ClaimError::Version { found, expected: "2" }),
        }
    }

    pub fn of_v1(form: PaymentPayloadV1) -> Self {
        let PaymentPayloadV1 { scheme, network, payload, .. } = form;
        Self::new(Answered::Named { scheme, network }, payload, None)
    }

    /// # Errors
    /// [`ClaimError::Identifier`].
    pub fn of_v2(form: PaymentPayload) -> Result<Self, ClaimError> {
        let identifier = match form.extensions.get(PAYMENT_IDENTIFIER) {
            // An echo of the offer's own entry names nothing.
            Some(entry) => match entry.get("info").and_then(|info| info.get("id")) {
                Some(id) => Some(identifier(id.as_str()).ok_or(ClaimError::Identifier)?),
                None => None,
            },
            None => None,
        };
        Ok(Self::new(Answered::Echo(Box::new(form.accepted)), form.payload, identifier))
    }

    fn new(answered: Answered, payload: ExactPayload, identifier: Option<String>) -> Self {
        let ExactPayload { signature, authorization } = payload;
        let AuthorizationForm { from, to, value, valid_after, valid_before, nonce } = authorization;
        let authorization = Authorization { from, to, value, valid_after, valid_before, nonce };
        Self { answered, authorization, signature, identifier }
    }

    pub fn version(&self) -> Version {
        match self.answered {
            Answered::Named { .. } => Version::One,
            Answered::Echo(_) => Version::Two,
        }
    }
}

fn identifier(text: Option<&str>) -> Option<String> {
    let text = text?;
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    (is_plain && IDENTIFIER_CHARS.contains(&text.len())).then(|| text.to_owned())
}

impl From<Authorization> for AuthorizationForm {
    fn from(authorization: Authorization) -> Self {
        let Authorization { from, to, value, valid_after, valid_before, nonce } = authorization;
        Self { from, to, value, valid_after, valid_before, nonce }
    }
}

//! Signatures of deliveries (Standard Webhooks 1.0): who holds the secret knows that a delivery is ours and fresh.

use std::fmt;

use aws_lc_rs::hmac;
use base64ct::{Base64, Encoding as _};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// What the text of a secret begins with.
const PREFIX: &str = "whsec_";
/// Lengths that the standard allows.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Of a new secret.
pub const NEW_SECRET_BYTES: usize = 32;
/// The version of signatures with a shared secret.
const VERSION: &str = "v1,";
/// Most signatures of one header that are looked at.
const SIGNATURES_MAX: usize = 16;
/// How far the time of a delivery may be from the receiver's own, in seconds.
pub const TOLERANCE_S: i64 = 300;

/// A shared secret. Never shown by [`fmt::Debug`].
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

/// Why a delivery, or a secret, is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    #[error("a webhook secret is whsec_ and 24 to 64 bytes in base64")]
    Secret,
    #[error("webhook-timestamp: expected Unix seconds")]
    Timestamp,
    #[error("webhook-timestamp is more than 5 minutes from now")]
    NotFresh,
    #[error("webhook-signature holds no signature of this delivery by this secret")]
    Signature,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// From random bytes.
    pub fn new(random: [u8; NEW_SECRET_BYTES]) -> Self {
        Self(Zeroizing::new(random.to_vec()))
    }

    /// Reads `whsec_…`.
    pub fn parse(text: &str) -> Result<Self, SignError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(SignError::Secret)?;
        let bytes = Zeroizing::new(Base64::decode_vec(encoded).map_err(|_| SignError::Secret)?);
        SECRET_BYTES.contains(&bytes.len()).then_some(Self(bytes)).ok_or(SignError::Secret)
    }

    /// The text that the receiver configures. It is shown once.
    pub fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{PREFIX}{}", *Zeroizing::new(Base64::encode_string(&self.0))))
    }

    /// The value of `webhook-signature`.
    pub fn sign(&self, id: &str, timestamp_s: i64, body: &[u8]) -> String {
        format!("{VERSION}{}", Base64::encode_string(self.tag(id, timestamp_s, body).as_ref()))
    }

    /// The value of `webhook-signature` by several secrets, of which the receiver believes any: while one takes the
    /// place of another, both sign.
    pub fn sign_all(secrets: &[Self], id: &str, timestamp_s: i64, body: &[u8]) -> String {
        let signatures: Vec<_> = secrets.iter().map(|secret| secret.sign(id, timestamp_s, body)).collect();
        signatures.join(" ")
    }

    fn tag(&self, id: &str, timestamp_s: i64, body: &[u8]) -> hmac::Tag {
        let mut signing = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.0));
        signing.update(format!("{id}.{timestamp_s}.").as_bytes());
        signing.update(body);
        signing.sign()
    }

    /// Checks a delivery by its three headers, as a receiver does. `now_s` is the receiver's time.
    ///
    /// # Errors
    /// Which part is not believed.
    pub fn verify(
        &self,
        id: &str,
        timestamp: &str,
        signatures: &str,
        body: &[u8],
        now_s: i64,
    ) -> Result<(), SignError> {
        let timestamp_s: i64 = timestamp.parse().map_err(|_| SignError::Timestamp)?;
        if now_s.abs_diff(timestamp_s) > TOLERANCE_S.unsigned_abs() {
            return Err(SignError::NotFresh);
        }
        let expected = self.tag(id, timestamp_s, body);
        let is_ours = |signature: &str| {
            let encoded = signature.strip_prefix(VERSION)?;
            let tag = Base64::decode_vec(encoded).ok()?;
            Some(bool::from(tag.as_slice().ct_eq(expected.as_ref())))
        };
        match signatures.split(' ').take(SIGNATURES_MAX).any(|signature| is_ours(signature) == Some(true)) {
            true => Ok(()),
            false => Err(SignError::Signature),
        }
    }
}

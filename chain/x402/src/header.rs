//! Headers: base64 (standard alphabet, padded) of UTF-8 JSON. Sizes are bounded before anything is allocated.

use base64ct::{Base64, Encoding as _};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The offer of version 2.
pub const PAYMENT_REQUIRED: &str = "payment-required";
/// The payment of version 2.
pub const PAYMENT_SIGNATURE: &str = "payment-signature";
/// The settlement of version 2.
pub const PAYMENT_RESPONSE: &str = "payment-response";
/// The payment of version 1.
pub const X_PAYMENT: &str = "x-payment";
/// The settlement of version 1.
pub const X_PAYMENT_RESPONSE: &str = "x-payment-response";

/// Longest header taken, as base64.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;

/// Why a header is unreadable.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    #[error("{0} bytes, at most {HEADER_BYTES_MAX} are taken")]
    TooLong(usize),
    #[error("it is not base64 of the standard alphabet with padding")]
    Base64,
    #[error("inside the base64: {0}")]
    Json(#[from] JsonError),
}

/// JSON that is not what was expected: the member that it is about, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(String);

/// What JSON says.
///
/// # Errors
/// [`JsonError`].
pub fn json<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, JsonError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let said = serde_path_to_error::deserialize(&mut reader).map_err(|error| JsonError(error.to_string()))?;
    reader.end().map_err(|error| JsonError(error.to_string()))?;
    Ok(said)
}

/// The bytes inside a header.
///
/// # Errors
/// [`HeaderError::TooLong`], [`HeaderError::Base64`].
pub fn bytes(value: &[u8]) -> Result<Vec<u8>, HeaderError> {
    if value.len() > HEADER_BYTES_MAX {
        return Err(HeaderError::TooLong(value.len()));
    }
    let text = std::str::from_utf8(value).map_err(|_| HeaderError::Base64)?;
    Base64::decode_vec(text).map_err(|_| HeaderError::Base64)
}

/// What JSON says that was read as such before.
///
/// # Errors
/// [`JsonError`].
pub fn of_value<T: DeserializeOwned>(value: &Value) -> Result<T, JsonError> {
    serde_path_to_error::deserialize(value).map_err(|error| JsonError(error.to_string()))
}

/// What a header says.
///
/// # Errors
/// [`HeaderError`].
pub fn read<T: DeserializeOwned>(value: &[u8]) -> Result<T, HeaderError> {
    Ok(json(&bytes(value)?)?)
}

/// The text of a header; always ASCII.
pub fn write(value: &impl Serialize) -> String {
    let json = serde_json::to_vec(value).expect("a form of this crate is JSON");
    Base64::encode_string(&json)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_reads_back(text in ".{0,200}") {
            prop_assert_eq!(read::<String>(write(&text).as_bytes()).unwrap(), text);
        }

        /// Whatever bytes come, a header is read or refused; nothing else happens.
        #[test]
        fn no_bytes_upset_the_reader(value in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read::<serde_json::Value>(&value);
        }
    }

    #[test]
    fn a_header_beyond_the_bound_is_refused_unread() {
        let long = write(&"x".repeat(HEADER_BYTES_MAX));
        assert!(matches!(read::<String>(long.as_bytes()), Err(HeaderError::TooLong(_))));
        assert!(matches!(read::<String>(b"e30"), Err(HeaderError::Base64)), "unpadded");
        assert!(matches!(read::<String>(b"_-8="), Err(HeaderError::Base64)), "another alphabet");
        assert!(matches!(read::<String>(b"e30="), Err(HeaderError::Json(_))));
    }

    #[test]
    fn what_is_wrong_in_json_is_named() {
        use crate::forms::ExactPayload;
        let mut payload = serde_json::json!({"signature": "0x", "authorization": {
            "from": "0x00000000000000000000000000000000000c0ffe", "to": "0x00000000000000000000000000000000000c0ffe", "value": 5,
        }});
        let refused = |payload: &serde_json::Value| {
            json::<ExactPayload>(payload.to_string().as_bytes()).unwrap_err().to_string()
        };
        assert!(refused(&payload).starts_with("authorization.value: invalid type: integer `5`"));
        payload["authorization"]["value"] = "1e4".into();
        assert!(refused(&payload).starts_with("authorization.value: expected a whole number"));
        payload["authorization"]["value"] = "1".into();
        assert!(refused(&payload).starts_with("authorization: missing field `validAfter`"));
        assert!(json::<u8>(b"1 2").is_err(), "something after the end");
    }
}

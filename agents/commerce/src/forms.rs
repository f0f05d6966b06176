//! Bodies of requests. Members that UCP does not define are refused by name; those it defines and this business does not use
//! are taken and left alone.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

/// Longest body, in bytes.
pub const BODY_BYTES_MAX: usize = 512 << 10;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemBody {
    pub id: String,
    // The business's word counts for these.
    #[serde(default)]
    pub title: IgnoredAny,
    #[serde(default)]
    pub price: IgnoredAny,
    #[serde(default)]
    pub image_url: IgnoredAny,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineBody {
    #[serde(default)]
    pub id: Option<String>,
    pub item: ItemBody,
    pub quantity: u64,
    #[serde(default)]
    pub totals: IgnoredAny,
}

/// Of create and update.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckoutBody {
    /// The path names the session; an update may repeat it.
    #[serde(default)]
    pub id: Option<String>,
    pub line_items: Vec<LineBody>,
    #[serde(default)]
    pub buyer: Option<Value>,
    #[serde(default)]
    pub context: IgnoredAny,
    #[serde(default)]
    pub signals: IgnoredAny,
    #[serde(default)]
    pub attribution: IgnoredAny,
    #[serde(default)]
    pub payment: IgnoredAny,
}

/// `credential` of an instrument of the handler `com.stateset.x402`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// `x402`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The AP2 payment mandate.
    pub token: String,
    /// `PaymentPayload` of x402 version 2.
    pub payment: Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instrument {
    pub id: String,
    pub handler_id: String,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub selected: IgnoredAny,
    #[serde(default)]
    pub display: IgnoredAny,
    #[serde(default)]
    pub billing_address: IgnoredAny,
    pub credential: Credential,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payment {
    pub instruments: Vec<Instrument>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ap2 {
    pub checkout_mandate: String,
}

/// Of complete.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompleteBody {
    pub payment: Payment,
    #[serde(default)]
    pub ap2: Option<Ap2>,
    #[serde(default)]
    pub signals: IgnoredAny,
    #[serde(default)]
    pub risk_signals: IgnoredAny,
}

/// Of cancel: nothing, or an empty object.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelBody {}

/// Reads a body: JSON whose members stand once each.
///
/// # Errors
/// What does not fit, naming the member where there is one.
pub fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    if body.len() > BODY_BYTES_MAX {
        return Err(format!("the body is longer than {BODY_BYTES_MAX} bytes"));
    }
    let text = std::str::from_utf8(body).map_err(|_| "the body is not UTF-8".to_owned())?;
    let text = ves::json::canonicalize_strict(text).map_err(|error| format!("the body: {error}"))?;
    let mut reader = serde_json::Deserializer::from_str(&text);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        // Places are of the canonical text, which the sender never saw; members are the sender's own.
        let (path, text) = (error.path().to_string(), error.inner().to_string());
        let text = text.split(" at line ").next().unwrap_or_default();
        match path.as_str() {
            "." => text.to_owned(),
            path => format!("{path}: {text}"),
        }
    })
}

//! Which versions are spoken here, and what platform and business agree on (UCP overview, Negotiation Protocol).

use serde_json::{Map, Value, json};

use crate::jose::{PublicKey, read_json};

/// UCP releases that requests may use, newest first.
pub const UCP_VERSIONS: &[&str] = &["2026-08-25"];
/// The release of the profile at `/.well-known/ucp`.
pub const UCP_VERSION: &str = UCP_VERSIONS[0];
/// A2A versions, as `A2A-Version` names them.
pub const A2A_VERSIONS: &[&str] = &["1.0"];
/// The AP2 release whose mandate types are taken.
pub const AP2_VERSION: &str = "0.2";

pub const CHECKOUT_CAPABILITY: &str = "dev.ucp.shopping.checkout";
pub const MANDATE_CAPABILITY: &str = "dev.ucp.common.payment.ap2_mandate";

/// Longest profile of a platform, in bytes: UCP asks for no lower bound than this.
pub const PROFILE_BYTES_MAX: usize = 128 << 10;
const KEYS_MAX: usize = 32;
const URL_BYTES_MAX: usize = 2048;

/// Why a request does not get to an operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 400 `invalid_profile_url`.
    #[error("{0}")]
    ProfileUrl(String),
    /// 424 `profile_unreachable`.
    #[error("the platform's profile can't be fetched: {0}")]
    Unreachable(String),
    /// 422 `profile_malformed`.
    #[error("the platform's profile: {0}")]
    Malformed(String),
    /// 422 `version_unsupported`.
    #[error(
        "UCP version {found} is not supported here; this business supports {}",
        UCP_VERSIONS.join(", ")
    )]
    Version { found: String },
    /// 200 `capabilities_incompatible`.
    #[error(
        "both {CHECKOUT_CAPABILITY} and {MANDATE_CAPABILITY} at version {UCP_VERSION} are needed: this business sells to \
         agents against AP2 mandates alone"
    )]
    Capabilities,
    /// 403.
    #[error("the platform {0} is not one whose mandates this business trusts")]
    NotTrusted(String),
}

/// A platform, as its profile describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// URL of its profile: its name here.
    pub profile: String,
    pub keys: Vec<PublicKey>,
}

/// The profile's URL of a `UCP-Agent` header: `profile="https://…"`, a Dictionary Structured Field (RFC 8941).
///
/// # Errors
/// [`Refusal::ProfileUrl`].
pub fn profile_url(header: Option<&str>) -> Result<&str, Refusal> {
    let bad = |problem: &str| {
        Refusal::ProfileUrl(format!(
            "UCP-Agent: {problem}; expected profile=\"https://platform.example/profile\""
        ))
    };
    let header = header.ok_or_else(|| bad("the header is missing"))?;
    for member in members(header) {
        let Some(quoted) = member.trim_matches([' ', '\t']).strip_prefix("profile=") else { continue };
        // Parameters of the member follow after the text.
        let (url, _) = quoted
            .strip_prefix('"')
            .and_then(|rest| rest.split_once('"'))
            .ok_or_else(|| bad("profile is not text in quotes"))?;
        let is_plain = url.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
        if !is_plain
            || url.len() > URL_BYTES_MAX
            || !(url.starts_with("https://") || url.starts_with("http://"))
        {
            return Err(bad("profile is not a URL"));
        }
        return Ok(url);
    }
    Err(bad("there is no profile"))
}

/// Members of a dictionary: a comma inside quotes ends none.
fn members(header: &str) -> Vec<&str> {
    let (mut found, mut from, mut is_quoted) = (Vec::new(), 0, false);
    for (at, byte) in header.bytes().enumerate() {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b',' if !is_quoted => {
                found.push(&header[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    found.push(&header[from..]);
    found
}

/// What the platform at `url` and this business agree on: its version is ours, and it has the capabilities that every sale
/// needs.
///
/// # Errors
/// [`Refusal`]: malformed, another version, no common capability. The version is looked at before all else, so that a
/// platform of another release hears of ours.
pub fn negotiate(url: &str, document: &[u8]) -> Result<Platform, Refusal> {
    let malformed = |problem: String| Refusal::Malformed(problem);
    if document.len() > PROFILE_BYTES_MAX {
        return Err(malformed(format!("longer than {PROFILE_BYTES_MAX} bytes")));
    }
    let profile = read_json(document, "profile").map_err(|error| malformed(error.to_string()))?;
    let ucp = profile.get("ucp").ok_or_else(|| malformed("ucp is missing".to_owned()))?;
    let version = ucp.get("version").and_then(Value::as_str);
    let version = version.ok_or_else(|| malformed("ucp.version is missing or not text".to_owned()))?;
    if !UCP_VERSIONS.contains(&version) {
        return Err(Refusal::Version { found: version.chars().take(32).collect() });
    }
    for name in ["services", "payment_handlers"] {
        if !ucp.get(name).is_some_and(Value::is_object) {
            return Err(malformed(format!("ucp.{name} is missing or not an object")));
        }
    }
    let has = |name: &str| {
        let entries = ucp.get("capabilities").and_then(|all| all.get(name)).and_then(Value::as_array);
        entries.is_some_and(|entries| {
            entries.iter().any(|entry| entry.get("version").and_then(Value::as_str) == Some(UCP_VERSION))
        })
    };
    if !has(CHECKOUT_CAPABILITY) || !has(MANDATE_CAPABILITY) {
        return Err(Refusal::Capabilities);
    }
    Ok(Platform { profile: url.to_owned(), keys: keys(&profile)? })
}

/// Keys of a kind that is not known are skipped, as UCP asks.
fn keys(profile: &Value) -> Result<Vec<PublicKey>, Refusal> {
    match profile.get("keys") {
        None => Ok(Vec::new()),
        Some(Value::Array(keys)) if keys.len() <= KEYS_MAX => {
            Ok(keys.iter().filter_map(|key| PublicKey::from_jwk(key).ok()).collect())
        }
        Some(_) => Err(Refusal::Malformed(format!("keys: expected an array of at most {KEYS_MAX}"))),
    }
}

/// Whether an `A2A-Version` is spoken here: patch numbers play no part. A missing one is 0.3, which is not.
///
/// # Errors
/// The version that was asked for.
pub fn check_a2a(header: Option<&str>) -> Result<(), String> {
    let asked = header.map(str::trim).filter(|text| !text.is_empty()).unwrap_or("0.3");
    let mut parts = asked.split('.');
    let major_minor = [parts.next().unwrap_or_default(), parts.next().unwrap_or("0")].join(".");
    match A2A_VERSIONS.contains(&major_minor.as_str()) {
        true => Ok(()),
        false => Err(asked.chars().take(32).collect()),
    }
}

/// `capabilities` of a profile or an answer: every sale has both.
pub fn capabilities(is_profile: bool) -> Map<String, Value> {
    let spec = |path: &str| format!("https://ucp.dev/{UCP_VERSION}/{path}");
    let entry = |specification: &str, schema: &str, extends: Option<&str>| {
        let mut entry = json!({"version": UCP_VERSION});
        if is_profile {
            entry["spec"] = Value::from(spec(&format!("specification/{specification}")));
            entry["schema"] = Value::from(spec(&format!("schemas/{schema}.json")));
        }
        if let Some(parent) = extends {
            entry["extends"] = Value::from(parent);
            if is_profile {
                entry["config"] = json!({"vp_formats_supported": {"dc+sd-jwt": {}}});
            }
        }
        Value::Array(vec![entry])
    };
    let mut all = Map::new();
    all.insert(CHECKOUT_CAPABILITY.to_owned(), entry("shopping/checkout", "shopping/checkout", None));
    let mandate =
        entry("payment/extensions/ap2-mandates", "common/payment_ap2_mandate", Some(CHECKOUT_CAPABILITY));
    all.insert(MANDATE_CAPABILITY.to_owned(), mandate);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_of_a_header_is_found_or_named_as_missing() {
        let url = "https://p.example/a,b";
        assert_eq!(profile_url(Some(&format!("profile=\"{url}\""))), Ok(url));
        assert_eq!(profile_url(Some(&format!("a=1, profile=\"{url}\";q=1, b"))), Ok(url));
        assert_eq!(profile_url(Some(&format!("a=\",profile=\", profile=\"{url}\""))), Ok(url));
        for bad in [
            None,
            Some(""),
            Some("profile"),
            Some("profile=https://p"),
            Some("profile=\"ftp://p\""),
            Some("profile=\"https://p"),
        ] {
            assert!(matches!(profile_url(bad), Err(Refusal::ProfileUrl(_))), "{bad:?}");
        }
    }

    fn profile(version: &str, capabilities: Value) -> Vec<u8> {
        let ucp =
            json!({"version": version, "services": {}, "payment_handlers": {}, "capabilities": capabilities});
        json!({"ucp": ucp, "keys": [{"kty": "OKP"}]}).to_string().into_bytes()
    }

    #[test]
    fn another_version_hears_of_ours() {
        let error = negotiate("u", &profile("2026-01-11", json!({}))).unwrap_err();
        assert_eq!(error, Refusal::Version { found: "2026-01-11".to_owned() });
        assert!(error.to_string().contains("2026-08-25"), "{error}");
        assert!(negotiate("u", &profile("draft", json!({}))).unwrap_err().to_string().contains("2026-08-25"));
    }

    #[test]
    fn both_capabilities_are_needed_at_our_version() {
        let ours = Value::Object(capabilities(true));
        let platform = negotiate("u", &profile(UCP_VERSION, ours.clone())).unwrap();
        assert_eq!(
            (platform.profile.as_str(), platform.keys.len()),
            ("u", 0),
            "a key of another kind is skipped"
        );
        for lacking in [CHECKOUT_CAPABILITY, MANDATE_CAPABILITY] {
            let mut theirs = ours.clone();
            theirs[lacking][0]["version"] = Value::from("2026-04-08");
            assert_eq!(negotiate("u", &profile(UCP_VERSION, theirs)), Err(Refusal::Capabilities));
        }
        for malformed in [&b"{"[..], b"[]", br#"{"ucp":{}}"#, br#"{"ucp":{"version":"2026-08-25"}}"#] {
            assert!(matches!(negotiate("u", malformed), Err(Refusal::Malformed(_))));
        }
    }

    #[test]
    fn a2a_versions_go_by_major_and_minor() {
        for ours in ["1.0", "1.0.7", " 1.0 ", "1"] {
            assert_eq!(check_a2a(Some(ours)), Ok(()), "{ours}");
        }
        for other in ["0.3", "1.1", "2.0", "x", "1.00"] {
            assert_eq!(check_a2a(Some(other)), Err(other.to_owned()));
        }
        assert_eq!(check_a2a(None), Err("0.3".to_owned()));
    }
}

//! Cases of webhooks (Standard Webhooks): no part of VES, but every library verifies them. The first is the example that
//! the standard publishes; the others are signed here by the same rule.

use base64ct::{Base64, Encoding as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::cases::with;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const AT: i64 = 1_614_265_330;
const BODY: &str = "{\"test\": 2432232314}";
const PUBLISHED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

fn sign(secret: &str, id: &str, at: i64, body: &str) -> String {
    let key = Base64::decode_vec(secret.strip_prefix("whsec_").unwrap_or(secret)).expect("base64");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any length");
    mac.update(format!("{id}.{at}.{body}").as_bytes());
    format!("v1,{}", Base64::encode_string(&mac.finalize().into_bytes()))
}

pub fn all() -> Vec<Value> {
    assert_eq!(sign(SECRET, ID, AT, BODY), PUBLISHED, "the example of the standard");
    let base = json!({
        "secret": SECRET, "id": ID, "timestamp": AT.to_string(), "signature": PUBLISHED, "body": BODY, "now": AT,
    });
    let other = sign("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX", ID, AT, BODY);
    let unicode = "{\"name\":\"café 🎉\"}";
    let good = [
        ("example_of_the_standard", json!({})),
        ("five_minutes_late", json!({ "now": AT + 300 })),
        ("five_minutes_early", json!({ "now": AT - 300 })),
        ("secret_without_prefix", json!({ "secret": SECRET.trim_start_matches("whsec_") })),
        ("one_of_two_signatures", json!({ "signature": format!("{other} {PUBLISHED}") })),
        ("beside_an_unknown_version", json!({ "signature": format!("v1a,AAAA {PUBLISHED}") })),
        ("empty_body", json!({ "body": "", "signature": sign(SECRET, ID, AT, "") })),
        ("body_beyond_ascii", json!({ "body": unicode, "signature": sign(SECRET, ID, AT, unicode) })),
    ];
    let bad = [
        ("too_late", json!({ "now": AT + 301 }), "webhook_too_old"),
        ("too_early", json!({ "now": AT - 301 }), "webhook_too_new"),
        ("another_body", json!({ "body": "{\"test\":2432232314}" }), "webhook_invalid_signature"),
        ("another_id", json!({ "id": "msg_other" }), "webhook_invalid_signature"),
        ("another_time", json!({ "timestamp": (AT + 1).to_string() }), "webhook_invalid_signature"),
        ("another_secret", json!({ "signature": other }), "webhook_invalid_signature"),
        (
            "unknown_version_alone",
            json!({ "signature": PUBLISHED.replace("v1,", "v2,") }),
            "webhook_invalid_signature",
        ),
        ("signature_is_no_base64", json!({ "signature": "v1,***" }), "webhook_invalid_signature"),
        ("no_id", json!({ "id": "" }), "webhook_headers"),
        ("no_signature", json!({ "signature": "" }), "webhook_headers"),
        ("time_is_no_number", json!({ "timestamp": "soon" }), "webhook_headers"),
        ("time_with_a_sign", json!({ "timestamp": format!("+{AT}") }), "webhook_headers"),
        ("time_is_a_fraction", json!({ "timestamp": format!("{AT}.5") }), "webhook_headers"),
        ("secret_is_no_base64", json!({ "secret": "whsec_***" }), "webhook_secret"),
        ("secret_is_empty", json!({ "secret": "whsec_" }), "webhook_secret"),
    ];
    let good = good.into_iter().map(|(name, changes)| {
        json!({ "call": "verify_webhook", "name": name, "input": with(&base, changes), "output": {} })
    });
    let bad = bad.into_iter().map(|(name, changes, code)| {
        json!({ "call": "verify_webhook", "name": name, "input": with(&base, changes), "error": code })
    });
    good.chain(bad).collect()
}

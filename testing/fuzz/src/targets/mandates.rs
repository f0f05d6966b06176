//! Chains of AP2 mandates (`agents/commerce`).

use serde_json::Value;
use stateset_commerce::forms::{CheckoutBody, CompleteBody, read};
use stateset_commerce::jose::PublicKey;
use stateset_commerce::sd_jwt::{Expected, Hop, SdJwtError, verify_chain};
use stateset_commerce::versions::{check_a2a, negotiate, profile_url};

const VECTORS: &str = include_str!("../../../vectors/ap2/delegate_sd_jwt.json");
/// After the tokens of the vectors were made.
const NOW_S: u64 = 1_785_268_700;

fn vectors() -> Vec<Value> {
    let file: Value = serde_json::from_str(VECTORS).expect("the vectors are JSON");
    file["vectors"].as_array().expect("the vectors are a list").clone()
}

fn verify(vector: &Value, text: &str) -> Result<Vec<Hop>, SdJwtError> {
    let keys = [PublicKey::from_jwk(&vector["root_public_jwk"]).expect("a vector has its key")];
    verify_chain(text, &Expected { keys: &keys, audiences: &["merchant"], now_s: NOW_S })
}

/// The input is a chain: one that verifies was signed, token by token. A disclosure at its end may be left out.
pub fn mandate(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    for vector in vectors() {
        let Ok(hops) = verify(&vector, text) else { continue };
        let signed = vector["token"].as_str().expect("a vector has its token");
        let whole = verify(&vector, signed).expect("the vector verifies");
        let of = |hops: &[Hop]| hops.iter().map(|hop| hop.identity.clone()).collect::<Vec<_>>();
        assert!(of(&whole).starts_with(&of(&hops)), "only these tokens were signed");
        return true;
    }
    // Whatever else a platform sends is read or refused.
    let _ = (read::<CheckoutBody>(data).is_ok(), read::<CompleteBody>(data).is_ok());
    let _ = (profile_url(Some(text)).is_ok(), check_a2a(Some(text)).is_ok(), negotiate("u", data).is_ok());
    false
}

pub fn seeds() -> Vec<Vec<u8>> {
    let tokens =
        vectors().into_iter().filter_map(|vector| Some(vector["token"].as_str()?.as_bytes().to_vec()));
    let bodies: [&[u8]; 3] = [
        br#"{"line_items":[{"item":{"id":"mug"},"quantity":1}]}"#,
        br#"profile="https://platform.example/profile""#,
        br#"{"ucp":{"version":"2026-08-25","services":{},"payment_handlers":{},"capabilities":{}},"keys":[]}"#,
    ];
    tokens.chain(bodies.map(<[u8]>::to_vec)).collect()
}

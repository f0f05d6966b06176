//! Certificates that other implementations can read, each with what it proves or why it does not.

use std::path::Path;

use serde_json::{Value, json};
use stateset_ledger_types::StateKey;
use stateset_ledger_types::ids::SpentKey;
use stateset_light::{Certificate, TrustedState};

use crate::made::{NOW, block, by_block, certificate, chain, key, trusted};

/// `ACCEPTED`, or the name of the refusal.
fn verdict(certificate: &Certificate, key: &StateKey, trusted: &TrustedState) -> &'static str {
    match certificate.verify_at(key, &by_block(trusted), NOW) {
        Ok(_) => "ACCEPTED",
        Err(error) => error.name(),
    }
}

fn case(name: &str, certificate: &Certificate, asked: &StateKey, trusted: &TrustedState) -> Value {
    let json: Value = serde_json::from_str(&certificate.to_json()).expect("JSON");
    json!({
        "name": name,
        "asked": asked.to_string(),
        "verdict": verdict(certificate, asked, trusted),
        "certificate": json,
        "bytes": ves::hex::encode(&certificate.to_bytes().expect("small")),
    })
}

fn made() -> Value {
    let (chain, other) = (chain("notes-1"), chain("notes-2"));
    let trusted = trusted(&chain, 5);
    let present = certificate(&chain, 6, &key(1));
    let spent = StateKey::spent(&SpentKey([4; 32]));
    let changed = |change: &dyn Fn(&mut Certificate)| {
        let mut certificate = present.clone();
        change(&mut certificate);
        certificate
    };
    let cases = [
        case("a notarised transaction", &present, &key(1), &trusted),
        case("the same at a later height", &certificate(&chain, 10, &key(1)), &key(1), &trusted),
        case("an unknown spent key", &certificate(&chain, 8, &spent), &spent, &trusted),
        case("another transaction is asked for", &present, &key(2), &trusted),
        case("another value", &changed(&|c| c.value.as_mut().expect("one")[7] ^= 1), &key(1), &trusted),
        case("no value", &changed(&|c| c.value = None), &key(1), &trusted),
        case("another height", &changed(&|c| c.height = 7), &key(1), &trusted),
        case(
            "the header of the height itself",
            &changed(&|c| {
                (c.height, c.block) = (5, block(&chain, 6));
            }),
            &key(1),
            &trusted,
        ),
        case("another chain", &certificate(&other, 6, &key(1)), &key(1), &trusted),
        case(
            "a header before the trusted block",
            &certificate(&chain, 5, &key(1)),
            &key(1),
            &crate::made::trusted(&chain, 8),
        ),
    ];
    json!({
        "generator": "network/light/tests/it/vectors.rs",
        "source": "network.md 5.2, 6.1, 7.1",
        "trusted_block": serde_json::from_str::<Value>(&trusted.to_json()).expect("JSON"),
        "trusted_block_of_the_last_case":
            serde_json::from_str::<Value>(&crate::made::trusted(&chain, 8).to_json()).expect("JSON"),
        "trusting_period_seconds": 14 * 86_400,
        "clock_drift_seconds": 10,
        "now_ms": NOW,
        "cases": cases,
    })
}

#[test]
fn the_vectors_are_what_this_program_makes_and_says() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testing/vectors/light/certificates.json");
    let text = serde_json::to_string_pretty(&made()).expect("JSON") + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        std::fs::write(&file, &text).expect("written");
    }
    let held = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        held == text,
        "the vectors changed: UPDATE_GOLDEN=1 cargo test -p stateset-light, then read the diff"
    );
    // Both forms of each case read back to one certificate.
    let vectors: Value = serde_json::from_str(&held).expect("JSON");
    for case in vectors["cases"].as_array().expect("cases") {
        let bytes = ves::hex::decode_vec(case["bytes"].as_str().expect("hex")).expect("hex");
        let from_bytes = Certificate::from_bytes(&bytes).expect("bytes");
        assert_eq!(
            Certificate::from_json(case["certificate"].to_string().as_bytes()).expect("JSON"),
            from_bytes
        );
    }
}

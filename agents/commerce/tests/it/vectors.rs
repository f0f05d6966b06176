//! Chains that another implementation made, and every way to damage one.

use proptest::prelude::*;
use serde_json::Value;
use stateset_commerce::jose::PublicKey;
use stateset_commerce::sd_jwt::{Expected, verify_chain};

const VECTORS: &str = include_str!("../../../../testing/vectors/ap2/delegate_sd_jwt.json");
/// After the tokens were made.
const NOW_S: u64 = 1_785_268_700;

fn vectors() -> Vec<Value> {
    let file: Value = serde_json::from_str(VECTORS).unwrap();
    file["vectors"].as_array().unwrap().clone()
}

fn check(vector: &Value, text: &str) -> Result<Vec<stateset_commerce::sd_jwt::Hop>, String> {
    let keys = [PublicKey::from_jwk(&vector["root_public_jwk"]).unwrap()];
    let audience = vector["aud"].as_str().unwrap();
    let expected = Expected { keys: &keys, audiences: &[audience], now_s: NOW_S };
    verify_chain(text, &expected).map_err(|error| error.to_string())
}

#[test]
fn chains_of_the_public_vectors_verify() {
    for vector in vectors() {
        let hops = check(&vector, vector["token"].as_str().unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", vector["id"]));
        assert_eq!(hops.len() as u64, vector["hops"].as_u64().unwrap());
        for claim in vector["claims"].as_array().unwrap() {
            let hop = usize::try_from(claim["hop"].as_u64().unwrap()).unwrap();
            let mut found = &Value::Object(hops[hop].contents[0].clone());
            for name in claim["path"].as_array().unwrap() {
                found = &found[name.as_str().unwrap()];
            }
            assert_eq!(*found, claim["is"], "{}", vector["id"]);
        }
    }
}

#[test]
fn another_audience_key_or_time_is_refused() {
    let vector = &vectors()[0];
    let token = vector["token"].as_str().unwrap();
    let keys = [PublicKey::from_jwk(&vector["root_public_jwk"]).unwrap()];
    let other = [PublicKey::from_jwk(&vectors()[1]["root_public_jwk"]).unwrap()];
    let with = |keys, audience, now_s| verify_chain(token, &Expected { keys, audiences: &[audience], now_s });
    assert!(with(&keys, "merchant", NOW_S).is_ok());
    assert!(with(&keys, "merchant2", NOW_S).unwrap_err().to_string().contains("aud is \"merchant\""));
    assert!(with(&other, "merchant", NOW_S).unwrap_err().to_string().contains("not trusted"));
    assert!(with(&keys, "merchant", 1_000_000_000).unwrap_err().to_string().contains("not valid before"));
}

proptest! {
    /// No byte of a chain can be another: signatures, hashes and disclosures cover all of it.
    #[test]
    fn no_changed_byte_verifies(which in 0usize..2, at in any::<prop::sample::Index>(), byte in "[A-Za-z0-9_~.-]") {
        let vector = &vectors()[which];
        let token = vector["token"].as_str().unwrap();
        let at = at.index(token.len());
        prop_assume!(token.as_bytes()[at] != byte.as_bytes()[0]);
        let changed = format!("{}{byte}{}", &token[..at], &token[at + 1..]);
        prop_assert!(check(vector, &changed).is_err(), "byte {at} as {byte}");
    }

    /// Any text is refused or verifies, and never more than that.
    #[test]
    fn any_text_is_read_or_refused(text in "[A-Za-z0-9_~.={}\":,-]{0,400}") {
        prop_assert!(check(&vectors()[0], &text).is_err());
    }

    /// A piece of a chain, or one with a piece twice, is none.
    #[test]
    fn pieces_are_none(from in any::<prop::sample::Index>(), len in 1usize..3) {
        let vector = &vectors()[0];
        let token = vector["token"].as_str().unwrap();
        let pieces: Vec<&str> = token.split('~').collect();
        let from = from.index(pieces.len() - 1);
        let until = (from + len).min(pieces.len() - 1);
        let cut = [&pieces[..from], &pieces[until..]].concat().join("~");
        prop_assert!(check(vector, &cut).is_err(), "without {from}..{until}");
        let twice = [&pieces[..until], &pieces[from..]].concat().join("~");
        prop_assert!(check(vector, &twice).is_err(), "with {from}..{until} twice");
    }
}

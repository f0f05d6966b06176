use serde_json::json;

use super::*;
use crate::jose::{SigningKey, encode};

const NOW_S: u64 = 1_000_000;

fn disclosed(value: &Value) -> (String, String) {
    let text = encode(value.to_string().as_bytes());
    (hash_text(&text), text)
}

/// Verifies one token of this payload and these disclosures.
fn one(payload: &Value, disclosures: &[&str]) -> Result<Vec<Hop>, SdJwtError> {
    let key = SigningKey::generate().unwrap().0;
    let jws = key.sign(&[("typ", "dc+sd-jwt")], payload.to_string().as_bytes()).unwrap();
    let token = [&[jws.as_str()], disclosures].concat().join("~") + "~";
    verify_chain(&token, &Expected { keys: &[key.public().clone()], audiences: &[], now_s: NOW_S })
}

fn problem(payload: &Value, disclosures: &[&str]) -> String {
    one(payload, disclosures).unwrap_err().to_string()
}

#[test]
fn disclosures_come_back_where_their_digests_stand() {
    let (inner, inner_text) = disclosed(&json!(["s", "red"]));
    let (outer, outer_text) =
        disclosed(&json!(["s", "colours", [{"...": inner}, {"...": "hidden"}, "plain"]]));
    let payload = json!({"_sd": [outer, "another that stays hidden"], "_sd_alg": "sha-256", "a": 1});
    let hops = one(&payload, &[&outer_text, &inner_text]).unwrap();
    assert_eq!(Value::Object(hops[0].contents[0].clone()), json!({"a": 1, "colours": ["red", "plain"]}));
    let hops = one(&payload, &[]).unwrap();
    assert_eq!(Value::Object(hops[0].contents[0].clone()), json!({"a": 1}));
}

#[test]
fn disclosures_that_are_not_one_thing_are_refused() {
    let (digest, text) = disclosed(&json!(["s", "a", 1]));
    assert!(problem(&json!({}), &[&text]).contains("belongs to no digest"));
    assert!(problem(&json!({"_sd": [digest]}), &[&text, &text]).contains("repeated"));
    assert!(problem(&json!({"_sd": [digest, digest]}), &[&text]).contains("repeated"));
    assert!(problem(&json!({"_sd": [digest], "a": 2}), &[&text]).contains("twice"));
    assert!(problem(&json!({"list": [{"...": digest}]}), &[&text]).contains("as an element"));
    let (element, element_text) = disclosed(&json!(["s", 1]));
    assert!(problem(&json!({"_sd": [element]}), &[&element_text]).contains("as a member"));
    for name in ["_sd", "..."] {
        let (digest, text) = disclosed(&json!(["s", name, 1]));
        assert!(problem(&json!({"_sd": [digest]}), &[&text]).contains("named as a digest"));
    }
    for bad in
        [json!({}), json!([]), json!(["s"]), json!([1, 2]), json!(["s", 1, 2]), json!(["s", "a", 1, 2])]
    {
        let (digest, text) = disclosed(&bad);
        assert!(one(&json!({"_sd": [digest]}), &[&text]).is_err(), "{bad}");
    }
    assert!(problem(&json!({"_sd_alg": "sha-512"}), &[]).contains("_sd_alg"));
    assert!(problem(&json!({"list": [{"...": element, "more": 1}]}), &[]).contains("other members"));
}

#[test]
fn disclosures_in_disclosures_end() {
    let (mut digest, text) = disclosed(&json!(["s", "end"]));
    let mut texts = vec![text];
    for _ in 0..80 {
        let (next, text) = disclosed(&json!(["s", [{"...": digest}]]));
        texts.push(text);
        digest = next;
    }
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    assert!(problem(&json!({"list": [{"...": digest}]}), &texts).contains("deeper"));
}

#[test]
fn times_are_looked_at_in_the_token_and_in_what_it_discloses() {
    assert_eq!(one(&json!({"exp": NOW_S}), &[]), Err(SdJwtError::Expired { hop: 0, at: NOW_S }));
    assert!(one(&json!({"exp": NOW_S + 1, "iat": NOW_S + SKEW_S}), &[]).is_ok());
    let late = NOW_S + SKEW_S + 1;
    assert_eq!(one(&json!({"nbf": late}), &[]), Err(SdJwtError::NotYet { hop: 0, at: late }));
    assert!(problem(&json!({"exp": "soon"}), &[]).contains("exp is not a number"));
    let (digest, text) = disclosed(&json!(["s", {"vct": "v", "exp": 5}]));
    let payload = json!({"delegate_payload": [{"...": digest}]});
    assert_eq!(one(&payload, &[&text]), Err(SdJwtError::Expired { hop: 0, at: 5 }));
    assert!(problem(&payload, &[]).contains("discloses nothing"));
}

#[test]
fn what_a_signature_covers_is_the_same_for_its_other_form() {
    let key = SigningKey::generate().unwrap().0;
    let sign = || key.sign(&[("typ", "dc+sd-jwt")], b"{\"a\":1}").unwrap() + "~";
    let expected = Expected { keys: &[key.public().clone()], audiences: &[], now_s: NOW_S };
    let (one, two) = (verify_chain(&sign(), &expected).unwrap(), verify_chain(&sign(), &expected).unwrap());
    assert_ne!(one[0].hash, two[0].hash);
    assert_eq!(
        one[0].identity, two[0].identity,
        "so that a mandate is used once, however it is signed again"
    );
}

//! Each refusal beside the accepted twin.

use serde_json::{Value, json};
use ves_stark_wasm::answer;

use crate::golden::request;

fn answered(request: &Value) -> Value {
    serde_json::from_str(&answer(request.to_string().as_bytes())).unwrap()
}

fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut request = request();
    change(&mut request);
    answered(&request)
}

/// Changes one member of the text that another member holds.
fn inner(request: &mut Value, member: &str, change: impl FnOnce(&mut Value)) {
    let mut object: Value = serde_json::from_str(request[member].as_str().unwrap()).unwrap();
    change(&mut object);
    request[member] = json!(object.to_string());
}

#[test]
fn a_good_bundle_is_accepted_with_what_it_is_worth() {
    let verdict = with(|_| ());
    assert_eq!(
        (&verdict["valid"], &verdict["agentSignature"]),
        (&json!(true), &json!("verified")),
        "{verdict}"
    );
    assert!(verdict["security"]["conjecturedBits"].as_u64().unwrap() >= 100);
    assert_eq!(verdict["policyId"], "aml.threshold");
    let unchecked = with(|request| drop(request.as_object_mut().unwrap().remove("agentKey")));
    assert_eq!((&unchecked["valid"], &unchecked["agentSignature"]), (&json!(true), &json!("not_checked")));
    let unsigned = with(|request| {
        request["agentKey"] = Value::Null;
        inner(request, "bundle", |bundle| {
            drop(bundle.as_object_mut().unwrap().remove("commitmentBinding"));
        });
    });
    assert_eq!((&unsigned["valid"], &unsigned["agentSignature"]), (&json!(true), &json!("absent")));
}

#[test]
fn whatever_is_not_as_asked_is_refused_with_a_reason() {
    assert_eq!(with(|_| ())["valid"], true);
    let policy = ves::compliance::Policy::new("order_total.cap", Some(r#"{"cap":9999}"#)).unwrap();
    let cases = [
        (
            "policyId differs",
            with(|request| {
                inner(request, "inputs", |inputs| {
                    inputs["policyId"] = json!(policy.id());
                    inputs["policyParams"] = json!({"cap": 9999});
                    inputs["policyHash"] = json!(policy.hash());
                });
            }),
        ),
        (
            "sequenceNumber differs",
            with(|request| {
                inner(request, "inputs", |inputs| inputs["sequenceNumber"] = json!(8));
            }),
        ),
        ("validUntil has passed", with(|request| request["now"] = json!(1_800_000_001_000_i64))),
        ("another deployment", with(|request| request["chainContext"] = json!("production"))),
        (
            "agent's signature",
            with(|request| {
                let other = ves::ed25519::SigningKey::from_seed([8; 32]).public_key();
                request["agentKey"] = json!(ves::hex::encode(&other));
            }),
        ),
        (
            "no agent has signed",
            with(|request| {
                inner(request, "bundle", |bundle| {
                    drop(bundle.as_object_mut().unwrap().remove("commitmentBinding"));
                });
            }),
        ),
        (
            "its own security",
            with(|request| {
                inner(request, "bundle", |bundle| bundle["security"]["provenBits"] = json!(128));
            }),
        ),
        ("the bundle is not JSON", with(|request| request["bundle"] = json!("{"))),
        (
            "proofHash",
            with(|request| {
                let text =
                    request["bundle"].as_str().unwrap().replace("\"proof\":\"VlNUSwE", "\"proof\":\"VlNUSwI");
                request["bundle"] = json!(text);
            }),
        ),
    ];
    for (reason, verdict) in cases {
        assert_eq!(verdict["valid"], false, "{reason}: {verdict}");
        let told = verdict["reason"].as_str().unwrap();
        assert!(told.contains(reason), "{reason}: {told}");
    }
}

/// Inputs of version 2 are a whole statement, so another end or deployment in them is another statement.
#[test]
fn a_complete_statement_must_be_the_same_one() {
    let complete = |change: fn(&mut Value)| {
        with(|request| {
            let bundle: Value = serde_json::from_str(request["bundle"].as_str().unwrap()).unwrap();
            let mut inputs = bundle["publicInputs"].clone();
            change(&mut inputs);
            request["inputs"] = json!(inputs.to_string());
        })
    };
    assert_eq!(complete(|_| ())["valid"], true);
    let other = complete(|inputs| inputs["validUntil"] = json!(1_800_000_001));
    assert_eq!(other["reason"], "it is of another statement than the inputs");
}

#[test]
fn a_request_that_cannot_be_read_is_an_error_and_no_verdict() {
    for (member, answer) in [
        ("unknown field", with(|request| request["deadline"] = json!(1))),
        ("now", with(|request| drop(request.as_object_mut().unwrap().remove("now")))),
        ("inputs", with(|request| request["inputs"] = json!("{}"))),
        ("agentKey", with(|request| request["agentKey"] = json!("00"))),
        ("EOF", serde_json::from_str(&answer(b"")).unwrap()),
    ] {
        assert!(answer["error"].as_str().is_some_and(|error| error.contains(member)), "{member}: {answer}");
        assert!(answer.get("valid").is_none());
    }
}

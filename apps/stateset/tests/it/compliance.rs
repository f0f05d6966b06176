//! Compliance proofs about a sealed event of a running service.

use std::fs;
use std::path::Path;

use serde_json::Value;
use ves::draft::Draft;
use ves::seal::{Recipient, SealingRandomness};
use ves::{AgentId, EventId, KeyId, RecipientKeyId, SigningKey, StreamKey};

use crate::service::Up;
use crate::{json, run};

/// A sealed order in a running service; its sequence number is 1.
fn sealed(at: &Path) -> Up {
    let up = Up::start(at);
    let agent = json(at, &["key", "show", "agent"]).1;
    let generate = ["key", "generate", "inbox", "--algorithm", "x25519"];
    let (status, _, error) = run(at, &generate);
    assert_eq!(status, 0, "{error}\n{agent}");
    let payload = r#"{"total":59.98,"currency":"USD"}"#;
    let sign = [
        "event",
        "sign",
        "--entity-type",
        "order",
        "--entity-id",
        "ORD-1",
        "--type",
        "order.created",
        "--payload",
        payload,
        "--seal-to",
        "inbox",
        "-o",
        "event.json",
    ];
    let (status, _, error) = run(at, &sign);
    assert_eq!(status, 0, "{error}");
    let event = fs::read_to_string(at.join("event.json")).unwrap();
    assert!(!event.contains("59.98"), "the payload is sealed");
    assert_eq!(json(at, &["event", "push", "event.json"]).1["accepted"], 1);
    up
}

const AMOUNT: [&str; 9] =
    ["--field", "total", "--decimal", "--unit", "USD", "--exponent", "2", "--open", "inbox"];

fn prove(at: &Path, more: &[&str]) -> (i32, String, String) {
    run(at, &[&["--json", "prove", "1"], &AMOUNT[..], more].concat())
}

#[test]
fn a_sealed_amount_is_proved_verified_on_submission_and_checked_again() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let up = sealed(at);
    let (status, record, error) = prove(at, &["--limit", "10000"]);
    assert_eq!(status, 0, "{error}");
    let record: Value = serde_json::from_str(&record).unwrap();
    assert_eq!(
        (record["verified"].as_bool(), record["policy_id"].as_str()),
        (Some(true), Some("aml.threshold"))
    );

    let (status, verdicts) = json(at, &["verify", "1"]);
    assert_eq!((status, verdicts[0]["valid"].as_bool()), (0, Some(true)), "{verdicts}");
    assert!(verdicts[0]["security"]["conjecturedBits"].as_u64().unwrap() >= 100);

    // The amount is 5998: a threshold of 5998 is reached, one of 5999 is not.
    let (status, _, error) = prove(at, &["--limit", "5998"]);
    assert!(status == 1 && error.contains("does not satisfy the policy"), "{error}");
    assert_eq!(prove(at, &["--limit", "5999"]).0, 0);
    assert_eq!(prove(at, &["--limit", "5998", "--policy", "order_total.cap", "--suite", "proven"]).0, 0);
    // One proof for each event, type, version and policy: another commitment is another proof.
    let (status, _, error) = prove(at, &["--limit", "10000"]);
    assert!(status == 2 && error.contains("ALREADY_EXISTS"), "{error}");
    assert_eq!(json(at, &["verify", "1"]).1.as_array().unwrap().len(), 3);
    drop(up);
}

/// Section 11, items 13 and 14: what another key signed is refused by the service.
#[test]
fn the_service_refuses_proofs_that_another_key_signed() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let up = sealed(at);
    let (status, bundle, error) = prove(at, &["--limit", "10000", "--out", "-"]);
    assert_eq!(status, 0, "{error}");
    let bundle: Value = serde_json::from_str(&bundle).unwrap();
    let event = bundle["publicInputs"]["eventId"].as_str().unwrap().to_owned();

    // The standalone program, with a key that is not the agent's.
    let (status, _, error) = prove_submit(at, &up, &event, "5998", &"07".repeat(32));
    assert!(status == 1 && error.contains("signature"), "{error}");
    let (status, _, error) = run(at, &["verify", "1"]);
    assert!(status == 1 && error.contains("no proof"), "{error}");
    drop(up);
}

/// `stateset stark prove-submit`, which is `ves-stark prove-submit`, with the key and the amount apart from the arguments.
fn prove_submit(at: &Path, up: &Up, event: &str, amount: &str, seed: &str) -> (i32, String, String) {
    fs::write(at.join("amount"), amount).unwrap();
    let told = |name: &str| up.started["profile"][name].as_str().unwrap();
    let output = crate::stateset(at)
        .args(["stark", "prove-submit", "--sequencer-url", told("url"), "--event-id", event])
        .args(["--tenant", told("tenant_id"), "--store", told("store_id")])
        .args(["--amount-file", "amount", "--limit", "10000", "--verify"])
        .env("VES_AGENT_KEY", seed)
        .env("STATESET_API_KEY", api_key(at, up))
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

fn api_key(at: &Path, up: &Up) -> String {
    let file = up.started["admin_api_key_file"].as_str().unwrap();
    fs::read_to_string(at.join(file)).unwrap().trim().to_owned()
}

#[test]
fn the_standalone_program_proves_about_a_sealed_event_of_its_agent() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let up = Up::start(at);
    let key = SigningKey::from_seed([7; 32]);
    let event = sealed_by(&key, &up, &api_key(at, &up)).to_string();
    let (status, told, error) = prove_submit(at, &up, &event, "5998", &"07".repeat(32));
    assert!(status == 0 && told.contains("Proof VALID (verified by the service in "), "{told}{error}");
    assert!(!told.contains("5998") && !error.contains("5998"));
    let (status, _, error) = prove_submit(at, &up, &event, "10000", &"07".repeat(32));
    assert!(status == 1 && error.contains("does not satisfy the policy"), "{error}");
    assert_eq!(json(at, &["verify", &event]).1[0]["valid"], true);
    drop(up);
}

/// An event whose agent registers `key` and seals the payload to somebody.
fn sealed_by(key: &SigningKey, up: &Up, api_key: &str) -> EventId {
    let profile = &up.started["profile"];
    let id = |name: &str| profile[name].as_str().unwrap();
    let stream =
        StreamKey { tenant_id: id("tenant_id").parse().unwrap(), store_id: id("store_id").parse().unwrap() };
    let client =
        stateset_client::Client::new(up.started["url"].as_str().unwrap(), Some(api_key.to_owned())).unwrap();
    let agent = AgentId::from_bytes([5; 16]);
    let registration =
        stateset_client::KeyRegistration { tenant_id: stream.tenant_id, agent_id: agent, key_id: KeyId(1) };
    client.register_signing_key(&registration, key).unwrap();
    let draft = Draft {
        stream,
        event_id: EventId::random([6; 16]),
        source_agent_id: agent,
        agent_key_id: KeyId(1),
        entity_type: "order".into(),
        entity_id: "ORD-1".into(),
        event_type: "order.created".into(),
        created_at: "2026-01-01T00:00:00Z".into(),
        command_id: None,
        base_version: None,
    };
    // The base point of X25519: a key like any other to seal to.
    let mut public_key = [0; 32];
    public_key[0] = 9;
    let to = [Recipient { kid: RecipientKeyId(1), public_key }];
    let drawn = SealingRandomness::draw(1, getrandom::fill).unwrap();
    let event = draft.seal_and_sign(r#"{"total":5998}"#, &to, drawn, key).unwrap();
    assert_eq!(client.push(std::slice::from_ref(&event), |_| ()).unwrap().accepted, 1);
    event.event_id
}

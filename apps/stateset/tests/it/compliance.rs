//! Compliance proofs about a sealed event of a running service.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;

use serde_json::Value;
use ves::draft::Draft;
use ves::seal::{Recipient, SealingRandomness};
use ves::{AgentId, EventId, KeyId, RecipientKeyId, SigningKey, StreamKey};
use ves_stark_client::ComplianceClient;
use ves_stark_primitives::{BindingLevel, Bundle};

use crate::service::Up;
use crate::{json, run};

/// A sealed order in a running service; its sequence number is 1.
fn sealed(at: &Path) -> Up {
    let up = Up::start(at);
    let agent = json(at, &["key", "show", "agent"]).1;
    let generate = ["key", "generate", "inbox", "--algorithm", "x25519"];
    let (status, _, error) = run(at, &generate);
    assert_eq!(status, 0, "{error}\n{agent}");
    push(at, r#"{"total":59.98,"currency":"USD"}"#, &["--seal-to", "inbox"]);
    let event = fs::read_to_string(at.join("event.json")).unwrap();
    // Its time may have the digits of the amount.
    assert!(!event.contains("\"total\""), "the payload is sealed");
    up
}

/// Signs an order of the service's own agent, and pushes it.
fn push(at: &Path, payload: &str, more: &[&str]) {
    let sign = ["event", "sign", "--entity-type", "order", "--entity-id", "ORD-1"];
    let rest = ["--type", "order.created", "--payload", payload, "-o", "event.json"];
    let (status, _, error) = run(at, &[&sign[..], &rest, more].concat());
    assert_eq!(status, 0, "{error}");
    assert_eq!(json(at, &["event", "push", "event.json"]).1["accepted"], 1);
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
    // One proof for each event, type, version and policy: another commitment is another statement.
    let (status, _, error) = prove(at, &["--limit", "10000"]);
    assert!(status == 1 && error.contains("ALREADY_EXISTS"), "{error}");
    let verdicts = json(at, &["verify", "1"]).1;
    let ids: Vec<&str> =
        verdicts.as_array().unwrap().iter().map(|proof| proof["proof_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 3);
    assert_eq!(Some(ids[0]), record["proof_id"].as_str(), "the oldest first");
    // What is told can be asked about.
    let (_, told, _) = run(at, &["verify", "1"]);
    assert!(ids.iter().all(|id| told.contains(&format!("  proof {id}: "))), "{told}");
    let (status, told, error) = run(at, &["verify", "1", "--proof", ids[1]]);
    assert!(status == 0 && told.contains(ids[1]) && !told.contains(ids[0]), "{told}{error}");
    drop(up);
}

/// One ended proof made the exit status of a verdict 1, beside a valid one.
#[test]
fn an_ended_proof_is_told_apart_and_does_not_spoil_the_one_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let up = Up::start(at);
    push(at, r#"{"subtotal":5998}"#, &[]);
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let until = (since.as_secs() + 5).to_string();
    let prove = ["prove", "1", "--field", "subtotal", "--limit"];
    let (status, _, error) = run(at, &[&prove[..], &["9000", "--valid-until", &until]].concat());
    assert_eq!(status, 0, "{error}");
    let verdicts = loop {
        let (status, verdicts) = json(at, &["verify", "1"]);
        match (status, &verdicts[0]["valid"]) {
            (0, Value::Bool(true)) => std::thread::sleep(std::time::Duration::from_millis(500)),
            (status, _) => break (status, verdicts),
        }
    };
    let (status, verdicts) = verdicts;
    assert_eq!((status, verdicts[0]["ended"].as_bool()), (1, Some(true)), "{verdicts}");
    let (_, _, error) = run(at, &["verify", "1"]);
    assert!(error.contains("validUntil"), "{error}");
    let (status, _, error) = run(at, &[&prove[..], &["8000"]].concat());
    assert_eq!(status, 0, "{error}");
    let (status, told, error) = run(at, &["verify", "1"]);
    assert!(status == 0 && told.contains("Proof ENDED: ") && told.contains("Proof VALID "), "{told}{error}");
    // And which number was proved is told, by its place in the payload.
    assert!(told.contains("    number: amount at subtotal, no unit, 0 digits after the point"), "{told}");
    let (_, verdicts) = json(at, &["verify", "1"]);
    let valid: Vec<&Value> =
        verdicts.as_array().unwrap().iter().filter(|verdict| verdict["valid"] == true).collect();
    assert_eq!(valid.len(), 1, "{verdicts}");
    assert_eq!(valid[0]["numbers"][0]["path"], "subtotal", "{verdicts}");
    drop(up);
}

/// Whoever may write can store a record of a kind of their own, which nothing verifies.
#[test]
fn records_of_other_kinds_are_shown_and_decide_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let up = Up::start(at);
    push(at, r#"{"total":5998}"#, &[]);
    let event = fs::read_to_string(at.join("event.json")).unwrap();
    let event: Value = serde_json::from_str(&event).unwrap();
    let id = |name: &str| up.started["profile"][name].as_str().unwrap();
    let path = format!(
        "/api/v1/ves/compliance/{}/proofs?tenant_id={}&store_id={}",
        event["event_id"].as_str().unwrap(),
        id("tenant_id"),
        id("store_id"),
    );
    let body = r#"{"proofType":"other","proofVersion":1,"policyId":"p","proofB64":"eA=="}"#;
    let host = id("url").strip_prefix("http://").unwrap().trim_end_matches('/');
    let mut server = std::net::TcpStream::connect(host).unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nhost: {host}\r\nx-api-key: {}\r\n", api_key(at, &up));
    let rest =
        format!("content-type: application/json\r\nconnection: close\r\ncontent-length: {}", body.len());
    write!(server, "{head}{rest}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    server.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");

    let (status, told, error) = run(at, &["verify", "1"]);
    assert!(status == 1 && error.contains("can be verified here"), "{told}{error}");
    assert!(told.contains("not verifiable here: type other, version 1"), "{told}");
    let (status, _, error) = run(at, &["prove", "1", "--field", "total", "--limit", "5999"]);
    assert_eq!(status, 0, "{error}");
    let (status, verdicts) = json(at, &["verify", "1"]);
    let mut valid: Vec<String> =
        verdicts.as_array().unwrap().iter().map(|verdict| verdict["valid"].to_string()).collect();
    valid.sort();
    assert_eq!((status, &valid[..]), (0, &["null".to_owned(), "true".to_owned()][..]), "{verdicts}");
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

const CIRCUIT: [&str; 4] = ["--binding", "circuit", "--field", "total"];

/// Section 4.2, level `circuit`: from the event to the verdict, for a payload in clear, one that is opened, and one whose
/// salt was kept by the agent that sealed it.
#[test]
fn an_amount_is_proved_inside_the_payload_of_a_clear_and_of_a_sealed_event() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let up = sealed(at);
    let payload = r#"{ "total": 5998, "currency": "USD", "lines": [{"total": 1}] }"#;
    push(at, payload, &[]);
    push(at, payload, &["--seal-to", "inbox", "--keep-salt", "salt"]);
    fs::write(at.join("payload.json"), payload).unwrap();
    let prove = |event: &str, more: &[&str]| {
        let (status, told, error) = run(at, &[&["prove", event], &CIRCUIT[..], more].concat());
        assert!(!error.contains("5998") && told.split_whitespace().all(|word| word != "5998"));
        (status, told, error)
    };
    for (event, more) in [
        ("2", &["--limit", "5999"][..]),
        ("3", &["--limit", "5999", "--open", "inbox", "--unit", "USD", "--exponent", "2"]),
        ("3", &["--limit", "7000", "--payload", "payload.json", "--payload-salt", "salt"]),
    ] {
        let (status, told, error) = prove(event, more);
        assert!(status == 0 && told.contains("binding circuit; stored as"), "{told}{error}");
        assert!(told.contains("verified by the server"), "{told}");
    }
    let (status, verdicts) = json(at, &["verify", "3"]);
    assert_eq!((status, verdicts.as_array().unwrap().len()), (0, 2), "{verdicts}");
    for verdict in verdicts.as_array().unwrap() {
        let found = (&verdict["valid"], &verdict["binding_level"], &verdict["agent_signed"]);
        assert_eq!(found, (&true.into(), &"circuit".into(), &true.into()), "{verdict}");
    }
    let (_, told, _) = run(at, &["verify", "2"]);
    assert!(told.contains("Proof VALID (verified in ") && told.contains("binding circuit"), "{told}");

    // The reader's copy of the salt is the agent's.
    let shown = run(at, &["event", "show", "3", "--open", "inbox", "--keep-salt", "salt.again"]);
    assert_eq!(shown.0, 0, "{}", shown.2);
    let read = |file: &str| fs::read_to_string(at.join(file)).unwrap();
    assert_eq!(read("salt"), read("salt.again"));
    assert!(!shown.1.contains(read("salt").trim()), "a salt is never printed");

    let refused = |event: &str, more: &[&str], named: &str| {
        let (status, _, error) = prove(event, more);
        assert!(status != 0 && error.contains(named), "{event} {more:?}: {error}");
    };
    refused("2", &["--limit", "5998"], "does not satisfy the policy");
    refused("3", &["--limit", "8000"], "sealed");
    refused("3", &["--limit", "8000", "--payload", "payload.json"], "--payload-salt");
    fs::write(at.join("other.json"), r#"{"total":5997,"currency":"USD"}"#).unwrap();
    refused("2", &["--limit", "8000", "--payload", "other.json"], "not the payload of this event");
    let salted = ["--limit", "8000", "--payload", "other.json", "--payload-salt", "salt"];
    refused("3", &salted, "not the payload of this event");
    refused("2", &["--limit", "8000", "--decimal"], "--decimal");
    // Decimals are no minor units: the first event holds 59.98.
    refused("1", &["--limit", "8000", "--open", "inbox"], "digits after the point");
    drop(up);
}

/// The salt is kept nowhere else by an agent that cannot open what it sealed.
#[test]
fn a_kept_salt_is_never_replaced_and_its_owner_alone_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let up = sealed(at);
    let payload = r#"{"total":5998}"#;
    push(at, payload, &["--seal-to", "inbox", "--keep-salt", "salt"]);
    let kept = fs::read_to_string(at.join("salt")).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(at.join("salt")).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let sign = ["event", "sign", "--entity-type", "order", "--entity-id", "ORD-2", "--type", "order.created"];
    let sealing = ["--seal-to", "inbox", "--keep-salt", "salt", "-o", "second.json"];
    let signing = [&sign[..], &["--payload", payload], &sealing].concat();
    for again in [&signing[..], &["event", "show", "2", "--open", "inbox", "--keep-salt", "salt"]] {
        let (status, told, error) = run(at, again);
        assert!(status == 2 && told.is_empty(), "{again:?}: {told}{error}");
        assert!(error.contains("salt is there already") && error.contains("move this one away"), "{error}");
        assert_eq!(fs::read_to_string(at.join("salt")).unwrap(), kept);
    }
    assert!(!at.join("second.json").exists(), "nothing was sealed");

    // A draft that cannot be signed leaves no salt behind, so that its name is free for the next attempt.
    let wrong = ["--payload", "{", "--seal-to", "inbox", "--keep-salt", "free", "-o", "second.json"];
    assert_ne!(run(at, &[&sign[..], &wrong].concat()).0, 0);
    assert!(!at.join("free").exists());
    drop(up);
}

/// Section 4.2: a signature that is there is checked at either level, and only one can vouch for a unit.
#[test]
fn the_service_refuses_circuit_bundles_whose_words_nobody_gave() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let up = Up::start(at);
    push(at, r#"{"total":5998}"#, &[]);
    let unit = ["--limit", "9000", "--unit", "USD", "--exponent", "2", "--out", "-"];
    let (status, text, error) = run(at, &[&["prove", "1"], &CIRCUIT[..], &unit].concat());
    assert_eq!(status, 0, "{error}");
    let bundle = Bundle::parse(text.trim_end()).unwrap();
    let id = |name: &str| up.started["profile"][name].as_str().unwrap();
    let stream =
        StreamKey { tenant_id: id("tenant_id").parse().unwrap(), store_id: id("store_id").parse().unwrap() };
    let server = ComplianceClient::new(id("url"), Some(api_key(at, &up)), Some(stream)).unwrap();
    let refusal = |change: fn(&mut Bundle)| {
        let mut other = bundle.clone();
        change(&mut other);
        server.submit(&other).map(|_| ()).unwrap_err().to_string()
    };
    let unsigned = refusal(|bundle| bundle.binding = None);
    assert!(unsigned.contains("unit"), "{unsigned}");
    let forged = refusal(|bundle| bundle.binding.as_mut().unwrap().signature[3] ^= 1);
    assert!(forged.contains("signature"), "{forged}");
    let other_key = refusal(|bundle| bundle.binding.as_mut().unwrap().agent_key_id = KeyId(7));
    assert!(other_key.contains("signature"), "{other_key}");
    let damaged = refusal(|bundle| *bundle.proof.last_mut().unwrap() ^= 1);
    assert!(damaged.contains("proof"), "{damaged}");
    // The weaker level must not borrow the proof of the stronger one: digests made to fit, and only they.
    let weaker = refusal(|bundle| bundle.inputs.binding_level = BindingLevel::Signed);
    assert!(weaker.contains("proof"), "{weaker}");
    assert!(server.submit(&bundle).unwrap().record.verified);
    assert!(!server.submit(&bundle).unwrap().is_earlier_proof, "the same bytes are ours");
    drop(up);
}

/// At level `circuit` whoever knows payload and salt can prove, and takes nobody's word: but then nothing names a unit.
#[test]
fn a_recipient_proves_inside_the_payload_without_the_agents_key() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let up = Up::start(at);
    let key = SigningKey::from_seed([7; 32]);
    let event = sealed_with(&key, &up, &api_key(at, &up), [4; 16]).to_string();
    fs::write(at.join("payload.json"), r#"{"total":5998}"#).unwrap();
    fs::write(at.join("salt"), "04".repeat(16)).unwrap();
    let evidence = ["--payload", "payload.json", "--payload-salt", "salt", "--limit", "10000"];
    let (status, _, error) =
        run(at, &[&["prove", &event], &CIRCUIT[..], &evidence, &["--unit", "USD"]].concat());
    assert!(status != 0 && error.contains("unit"), "{error}");
    let (status, told, error) = run(at, &[&["prove", &event], &CIRCUIT[..], &evidence].concat());
    assert!(status == 0 && told.contains("verified by the server"), "{told}{error}");
    let verdict = json(at, &["verify", &event]).1[0].clone();
    let found = (&verdict["valid"], &verdict["binding_level"], &verdict["agent_signed"]);
    assert_eq!(found, (&true.into(), &"circuit".into(), &false.into()), "{verdict}");

    // The same by the standalone program, about another policy.
    let submit = |more: &[&str]| {
        let told = |name: &str| up.started["profile"][name].as_str().unwrap();
        let output = crate::stateset(at)
            .args(["stark", "prove-submit", "--sequencer-url", told("url"), "--event-id", &event])
            .args(["--tenant", told("tenant_id"), "--store", told("store_id"), "--verify"])
            .args(["--policy", "order_total.cap", "--limit", "5998"])
            .args(CIRCUIT)
            .args(["--payload", "payload.json"])
            .args(more)
            .env_remove("VES_AGENT_KEY")
            .env("STATESET_API_KEY", api_key(at, &up))
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
    };
    let (status, _, error) = submit(&[]);
    assert!(status == 1 && error.contains("--payload-salt"), "{error}");
    let (status, told, error) = submit(&["--payload-salt", "salt", "--keep-opening", "opening.json"]);
    assert!(status == 0 && told.contains("binding circuit"), "{told}{error}");
    assert!(told.contains("Proof VALID (verified by the service in "), "{told}");
    // The same statement again is another proof, and the service keeps the first.
    let (status, told, error) = submit(&["--payload-salt", "salt", "--opening", "opening.json"]);
    assert!(status == 0 && told.contains("already holds another proof of this statement"), "{told}{error}");
    assert!(told.contains("Proof VALID (verified by the service in "), "{told}");
    assert_eq!(json(at, &["verify", &event]).1.as_array().unwrap().len(), 2);
    drop(up);
}

/// A bare name has the empty path as its folder, which cannot be opened: the file was written, and called a failure.
#[test]
fn a_kept_opening_may_have_a_bare_file_name() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let up = sealed(at);
    let (status, _, error) =
        prove(at, &["--limit", "10000", "--keep-opening", "kept.json", "-o", "proof.json"]);
    assert_eq!(status, 0, "{error}");
    let kept = fs::read_to_string(at.join("kept.json")).unwrap();
    assert!(kept.contains(r#""value":"5998""#), "{kept}");
    drop(up);
}

/// Section 11, item 14: proofs are randomised, so the same statement again is another proof and no second record.
#[test]
fn another_proof_of_a_stored_statement_is_answered_with_the_stored_one() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let up = sealed(at);
    let (status, first, error) = prove(at, &["--limit", "10000", "--keep-opening", "opening.json"]);
    assert_eq!(status, 0, "{error}");
    let first: Value = serde_json::from_str(&first).unwrap();
    let again = ["prove", "1", "--limit", "10000", "--opening", "opening.json"];
    let (status, told, error) = run(at, &again);
    assert!(status == 0 && told.contains("already holds another proof of this statement"), "{told}{error}");
    assert!(told.contains(first["proof_id"].as_str().unwrap()), "{told}");
    assert_eq!(json(at, &["verify", "1"]).1.as_array().unwrap().len(), 1);
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
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).unwrap();
    sealed_with(key, up, api_key, salt)
}

/// The same with a salt that the test knows.
fn sealed_with(key: &SigningKey, up: &Up, api_key: &str, salt: [u8; 16]) -> EventId {
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
    let mut drawn = SealingRandomness::draw(1, getrandom::fill).unwrap();
    drawn.salt = salt;
    let event = draft.seal_and_sign(r#"{"total":5998}"#, &to, drawn, key).unwrap();
    assert_eq!(client.push(std::slice::from_ref(&event), |_| ()).unwrap().accepted, 1);
    event.event_id
}

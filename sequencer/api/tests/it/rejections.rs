//! Every rejection code of section 10 through REST: status, code, reason and a text that names the field; the
//! neighbour of the refused event goes in.

use serde_json::{Value, json};
use stateset_fixtures::{Agent, NOW, Recipient, plain_event, resign, sealed_event, sign_payload};
use ves::{CommandId, Digest, KeyId, TimestampMs};

use crate::world::{World, body, event_json, registration};

/// Sends `[bad, good]` and checks that `bad` alone is refused, in the members that section 3.12 asks for.
#[track_caller]
fn check(answer: &Value, reason: &str, code: &str, in_detail: &str) {
    assert_eq!((&answer["eventsRejected"], &answer["eventsAccepted"]), (&json!(1), &json!(1)), "{answer}");
    assert_eq!(answer["receipts"].as_array().map(Vec::len), Some(1));
    let rejection = answer["rejections"][0].as_object().expect("a rejection");
    assert_eq!((rejection["reason"].as_str(), rejection["code"].as_str()), (Some(reason), Some(code)));
    assert_eq!(rejection["index"], 0);
    let detail = rejection["detail"].as_str().expect("a detail");
    assert!(detail.contains(in_detail), "{detail:?} does not name {in_detail:?}");
    assert!(rejection["retryable"].is_boolean() && rejection.contains_key("event_id"));
    assert!(!rejection.contains_key("message"), "clients fail on a message beside the reason");
}

#[tokio::test]
async fn malformed_members_are_schema_validation_of_their_field() {
    let (world, agent, stream) = World::with_agent().await;
    let long = |n: usize| format!("\"{}\"", "x".repeat(n));
    let zero = format!("\"0x{}\"", "0".repeat(64));
    let cases: Vec<(&str, String, &str)> = vec![
        ("entity_type", "\"\"".into(), "entity_type"),
        ("entity_type", long(129), "entity_type"),
        ("entity_type", "\"a\\u0000b\"".into(), "entity_type"),
        ("entity_id", long(513), "entity_id"),
        ("entity_id", "7".into(), "entity_id"),
        ("event_type", long(257), "event_type"),
        ("created_at", "\"2025-12-20 \"".into(), "created_at"),
        ("created_at", "\"2025-12-20T17:51:10\"".into(), "created_at"),
        ("payload", "null".into(), "payload"),
        ("payload", "{\"a\":1,\"b\":{\"c\":1,\"c\":2}}".into(), "payload.b.c"),
        ("payload", "{\"a\":[0,1e999]}".into(), "payload.a[1]"),
        ("payload", "{\"a\":\"\\ud800\"}".into(), "payload"),
        ("payload_kind", "2".into(), "payload_kind"),
        ("payload_kind", "1".into(), "payload"),
        ("payload_plain_hash", "\"0x12\"".into(), "payload_plain_hash"),
        ("payload_cipher_hash", zero.replacen("00", "01", 1), "payload_cipher_hash"),
        ("agent_signature", "\"zz\"".into(), "agent_signature"),
        ("agent_key_id", "-1".into(), "agent_key_id"),
        ("agent_key_id", "4294967296".into(), "agent_key_id"),
        ("store_id", "\"shop\"".into(), "store_id"),
        ("event_id", "1e999".into(), "event_id"),
        ("agent_signature_scheme", "9".into(), "agent_signature_scheme"),
        ("base_version", "\"1\"".into(), "base_version"),
        ("command_id", "5".into(), "command_id"),
        ("kernel", "[]".into(), "kernel"),
    ];
    for (n, (member, value, field)) in cases.into_iter().enumerate() {
        let text = event_json(&plain_event(&agent, &stream, 1000 + n as u64));
        let mut object: serde_json::Map<String, Value> = serde_json::from_str(&text).expect("an event");
        object.insert(member.to_owned(), json!("HERE"));
        let bad = serde_json::to_string(&object).expect("JSON").replace("\"HERE\"", &value);
        let good = event_json(&plain_event(&agent, &stream, n as u64));
        let answer = world.ingest_text(&body(&agent, &[bad, good])).await.ok();
        check(&answer, &format!("schema_validation: {field}"), "schema_validation", field);
    }
}

#[tokio::test]
async fn a_missing_or_repeated_member_is_named() {
    let (world, agent, stream) = World::with_agent().await;
    let text = event_json(&plain_event(&agent, &stream, 1));
    let object: serde_json::Map<String, Value> = serde_json::from_str(&text).expect("an event");
    for (n, member) in object.keys().enumerate() {
        let mut object = object.clone();
        object.remove(member);
        let missing = serde_json::to_string(&object).expect("JSON");
        let good = event_json(&plain_event(&agent, &stream, 10 + n as u64));
        let answer = world.ingest_text(&body(&agent, &[missing, good])).await.ok();
        check(&answer, &format!("schema_validation: {member}"), "schema_validation", member);
    }
    let repeated = text.replacen('{', "{\"entityId\":\"other\",", 1);
    let good = event_json(&plain_event(&agent, &stream, 2));
    let answer = world.ingest_text(&body(&agent, &[repeated, good])).await.ok();
    check(&answer, "schema_validation: entity_id", "schema_validation", "repeated");
}

#[tokio::test]
async fn the_shape_of_a_sealed_payload_is_checked_by_path() {
    let (world, agent, stream) = World::with_agent().await;
    let recipients = [Recipient::new(1), Recipient::new(2)];
    type Bend = fn(&mut Value);
    let cases: [(&str, Bend); 6] = [
        ("payload_encrypted.enc_version", |p| p["enc_version"] = json!(2)),
        ("payload_encrypted.aead", |p| p["aead"] = json!("none")),
        ("payload_encrypted.nonce_b64u", |p| p["nonce_b64u"] = json!("AAAA")),
        ("payload_encrypted.hpke.kem", |p| p["hpke"]["kem"] = json!("mlkem768")),
        ("payload_encrypted.recipients", |p| p["recipients"] = json!([])),
        ("payload_encrypted.recipients[1].recipient_kid", |p| p["recipients"][1]["recipient_kid"] = json!(1)),
    ];
    for (n, (field, bend)) in cases.into_iter().enumerate() {
        let mut event: Value =
            serde_json::from_str(&event_json(&sealed_event(&agent, &stream, 100 + n as u64, &recipients)))
                .expect("JSON");
        bend(&mut event["payload_encrypted"]);
        let good = event_json(&sealed_event(&agent, &stream, n as u64, &recipients));
        let answer = world.ingest_text(&body(&agent, &[event.to_string(), good])).await.ok();
        check(&answer, &format!("schema_validation: {field}"), "schema_validation", field);
    }
}

#[tokio::test]
async fn versions_schemes_hashes_and_signatures_have_their_codes() {
    let (world, agent, stream) = World::with_agent().await;
    let text = |n| event_json(&plain_event(&agent, &stream, n));
    let mut other_hash = plain_event(&agent, &stream, 3);
    other_hash.payload_plain_hash = Digest([1; 32]);
    let mut other_cipher = sealed_event(&agent, &stream, 4, &[Recipient::new(1)]);
    other_cipher.payload_cipher_hash = Digest([1; 32]);
    let mut other_signature = plain_event(&agent, &stream, 5);
    other_signature.agent_signature[40] ^= 1;
    let mut moved = plain_event(&agent, &stream, 6);
    moved.entity_id = "ORD-99999999".into();
    let cases = [
        (
            text(1).replacen("\"ves_version\":1", "\"ves_version\":2", 1),
            "unsupported_version",
            "ves_version 2",
        ),
        (
            text(2).replacen('{', "{\"agent_signature_scheme\":2,", 1),
            "schema_validation: agent_signature_bundle",
            "agent_signature_bundle",
        ),
        (
            text(2).replacen('{', "{\"agent_signature_scheme\":3,", 1),
            "schema_validation: agent_signature_bundle",
            "agent_signature_bundle",
        ),
        (event_json(&resign(other_hash, &agent)), "invalid_payload_hash", "payload_plain_hash"),
        (event_json(&resign(other_cipher, &agent)), "invalid_cipher_hash", "payload_cipher_hash"),
        (event_json(&other_signature), "invalid_signature", "agent_signature"),
        (event_json(&moved), "invalid_signature", "agent_signature"),
    ];
    for (n, (bad, reason, detail)) in cases.into_iter().enumerate() {
        let answer = world.ingest_text(&body(&agent, &[bad, text(100 + n as u64)])).await.ok();
        check(&answer, reason, reason.split(": ").next().expect("a code"), detail);
    }
}

#[tokio::test]
async fn a_key_is_judged_at_the_sequencers_time() {
    let (world, agent, stream) = World::with_agent().await;
    let (early, late, revoked) =
        (agent.with_key(KeyId(2)), agent.with_key(KeyId(3)), agent.with_key(KeyId(4)));
    for (key, member, at) in [(&early, "validFrom", NOW.0 + 1), (&late, "validTo", NOW.0 - 1)] {
        let mut request = registration(key);
        request[member] = json!(TimestampMs(at).to_string());
        world.post("/api/v1/agents/keys", request).await.ok();
    }
    world.register(&revoked).await;
    let revocation = json!({"tenantId": agent.tenant_id, "agentId": agent.agent_id, "keyId": 4});
    assert_eq!(world.post("/api/v1/agents/keys/revoke", revocation).await.ok()["status"], "revoked");
    let cases = [
        (agent.with_key(KeyId(9)), "agent_key_invalid: not found"),
        (revoked, "agent_key_invalid: has been revoked"),
        (late, "agent_key_invalid: has expired"),
        (early.clone(), "agent_key_invalid: is not yet valid"),
    ];
    for (n, (signer, reason)) in cases.into_iter().enumerate() {
        let bad = event_json(&plain_event(&signer, &stream, 100 + n as u64));
        let good = event_json(&plain_event(&agent, &stream, n as u64));
        let answer = world.ingest_text(&body(&agent, &[bad, good])).await.ok();
        check(&answer, reason, "agent_key_invalid", "agent_key_id: the key");
    }
    world.clock.set(TimestampMs(NOW.0 + 1));
    let answer = world.ingest(&agent, &[plain_event(&early, &stream, 500)]).await;
    assert_eq!(answer["eventsAccepted"], 1, "valid from then on: {answer}");
}

#[tokio::test]
async fn ids_commands_and_versions_are_taken_once() {
    let (world, agent, stream) = World::with_agent().await;
    let mut first = plain_event(&agent, &stream, 1);
    first.command_id = Some(CommandId::from_bytes([7; 16]));
    first.base_version = Some(0);
    assert_eq!(world.ingest(&agent, std::slice::from_ref(&first)).await["eventsAccepted"], 1);

    let mut other_content = sign_payload(&agent, &stream, 1, "order.created", "{\"a\":1}".to_owned());
    other_content.command_id = first.command_id;
    let mut same_command = plain_event(&agent, &stream, 2);
    same_command.command_id = first.command_id;
    let mut stale = plain_event(&agent, &stream, 3);
    stale.entity_id = first.entity_id.clone();
    stale.base_version = Some(0);
    let stale = resign(stale, &agent);
    let cases = [
        (other_content, "duplicate_event_id", "duplicate_event_id", "event_id"),
        (same_command, "duplicate_command_id", "duplicate_command_id", "command_id"),
        (stale, "version_conflict: expected 0, actual 1", "version_conflict", "base_version"),
    ];
    for (n, (bad, reason, code, detail)) in cases.into_iter().enumerate() {
        let answer = world.ingest(&agent, &[bad, plain_event(&agent, &stream, 100 + n as u64)]).await;
        check(&answer, reason, code, detail);
    }
    // Repeated inside one request: the later one is refused.
    let (a, b) = (plain_event(&agent, &stream, 200), plain_event(&agent, &stream, 200));
    let answer = world.ingest(&agent, &[a, b]).await;
    assert_eq!(answer["rejections"][0]["index"], 1);
    assert_eq!(answer["rejections"][0]["reason"], "duplicate_event_id");
    assert_eq!(answer["receipts"][0]["eventId"], answer["rejections"][0]["event_id"]);
}

#[tokio::test]
async fn a_replay_gets_the_first_answer_also_after_the_key_was_revoked() {
    let (world, agent, stream) = World::with_agent().await;
    let events = [plain_event(&agent, &stream, 1), sealed_event(&agent, &stream, 2, &[Recipient::new(1)])];
    let first = world.ingest(&agent, &events).await;
    assert_eq!(
        (&first["sequenceStart"], &first["sequenceEnd"], &first["headSequence"]),
        (&json!(1), &json!(2), &json!(2))
    );
    let revocation = json!({"tenantId": agent.tenant_id, "agentId": agent.agent_id, "keyId": 1});
    world.clock.set(TimestampMs(NOW.0 + 60_000));
    for revoked in [false, true] {
        if revoked {
            world.post("/api/v1/agents/keys/revoke", &revocation).await.ok();
        }
        let again = world.ingest(&agent, &events).await;
        assert_eq!((&again["eventsAccepted"], &again["eventsRejected"]), (&json!(0), &json!(0)));
        assert_eq!((&again["sequenceStart"], &again["headSequence"]), (&Value::Null, &json!(2)));
        assert_eq!(again["receipts"], first["receipts"]);
    }
    let fresh = world.ingest(&agent, &[plain_event(&agent, &stream, 3)]).await;
    assert_eq!(fresh["rejections"][0]["reason"], "agent_key_invalid: has been revoked");
    let stripped = resign(Clone::clone(&events[0]), &Agent::new(&stream, 2));
    assert_eq!(world.ingest(&agent, &[stripped]).await["rejections"][0]["reason"], "duplicate_event_id");
}

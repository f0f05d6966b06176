mod signatures;

use std::borrow::Cow;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::event::{EncryptedPayload, RecipientWrap};
use crate::hex::Format;
use crate::ids::*;
use crate::json;
use crate::time::TimestampMs;

/// A plaintext event, valid in shape.
fn plain() -> Value {
    json!({
        "ves_version": 1,
        "event_id": "a8e2a381-484f-44c1-a049-33affebb9140",
        "tenant_id": "84e2cc39-cbc6-4fb9-92bb-9a8d8577cfcd",
        "store_id": "dd196123-623a-432e-b45f-48f563663ca4",
        "source_agent_id": "7f1208e0-725d-4a2f-8255-0626d5b969f3",
        "agent_key_id": 3,
        "entity_type": "order",
        "entity_id": "o-1",
        "event_type": "order.created",
        "created_at": "2026-01-02T03:04:05.678901+00:00",
        "payload_kind": 0,
        "payload": {"b": [1, {"sku": "x"}], "a": "\u{0}"},
        "payload_plain_hash": format!("0x{}", "a".repeat(64)),
        "payload_cipher_hash": format!("0x{}", "0".repeat(64)),
        "agent_signature": format!("0x{}", "b".repeat(128)),
    })
}

/// A sealed event, valid in shape.
fn sealed() -> Value {
    let mut event = plain();
    event["payload_kind"] = json!(1);
    event["payload_cipher_hash"] = json!(format!("0x{}", "c".repeat(64)));
    event["payload_encrypted"] = json!({
        "enc_version": 1, "aead": "AES-256-GCM",
        "nonce_b64u": "AAAAAAAAAAAAAAAA", "ciphertext_b64u": "_-8", "tag_b64u": "AAAAAAAAAAAAAAAAAAAAAA",
        "hpke": {"mode": "base", "kem": "X25519-HKDF-SHA256", "kdf": "HKDF-SHA256", "aead": "AES-256-GCM"},
        "recipients": [
            {"recipient_kid": 1, "enc_b64u": "A".repeat(43), "ct_b64u": "A".repeat(64)},
            {"recipient_kid": 10, "enc_b64u": "A".repeat(43), "ct_b64u": "A".repeat(64)},
        ],
    });
    event.as_object_mut().unwrap().remove("payload");
    event
}

fn rejection_in(text: &str, format: Format) -> Rejection {
    match decode_text(text, format) {
        Err(DecodeError::Event(undecodable)) => undecodable.rejection,
        other => panic!("{text}: {other:?}"),
    }
}

/// The reason given for `event` after `change`.
fn reason(mut event: Value, change: impl FnOnce(&mut Value)) -> String {
    change(&mut event);
    rejection_in(&event.to_string(), Format::Lenient).reason()
}

fn without(name: &str) -> impl FnOnce(&mut Value) {
    move |event| drop(event.as_object_mut().unwrap().remove(name))
}

fn with(path: &str, value: Value) -> impl FnOnce(&mut Value) + use<> {
    let path = path.to_owned();
    move |event| {
        let (parent, name) = path.rsplit_once('/').unwrap();
        let parent = event.pointer_mut(parent).unwrap();
        match parent {
            Value::Array(items) => items[name.parse::<usize>().unwrap()] = value,
            parent => parent[name] = value,
        }
    }
}

#[test]
fn both_spellings_of_the_members_are_read() {
    let text = plain().to_string();
    let snake = decode_text(&text, Format::Strict).unwrap();
    let mut camel = text.clone();
    for name in [
        "ves_version",
        "event_id",
        "tenant_id",
        "store_id",
        "source_agent_id",
        "agent_key_id",
        "entity_type",
        "entity_id",
        "event_type",
        "created_at",
        "payload_kind",
        "payload_plain_hash",
        "payload_cipher_hash",
        "agent_signature",
    ] {
        let mut capital = false;
        let spelt: String = name
            .chars()
            .filter_map(|c| {
                let shown = if capital { c.to_ascii_uppercase() } else { c };
                capital = c == '_';
                (!capital).then_some(shown)
            })
            .collect();
        camel = camel.replace(&format!("\"{name}\""), &format!("\"{spelt}\""));
    }
    assert_ne!(camel, text);
    assert_eq!(decode_text(&camel, Format::Strict).unwrap(), snake);
    assert_eq!(snake.payload, Payload::Plain(Cow::Borrowed(r#"{"a":"\u0000","b":[1,{"sku":"x"}]}"#)));
}

#[test]
fn each_missing_member_is_named() {
    for name in plain().as_object().unwrap().keys() {
        assert_eq!(reason(plain(), without(name)), format!("schema_validation: {name}"));
        assert_eq!(
            reason(plain(), with(&format!("/{name}"), Value::Null)),
            format!("schema_validation: {name}")
        );
    }
    for name in ["payload_encrypted", "payload_cipher_hash"] {
        assert_eq!(reason(sealed(), without(name)), format!("schema_validation: {name}"));
    }
    for name in [
        "enc_version",
        "aead",
        "nonce_b64u",
        "ciphertext_b64u",
        "tag_b64u",
        "hpke",
        "recipients",
        "hpke/mode",
        "hpke/kem",
        "hpke/kdf",
        "hpke/aead",
        "recipients/1/recipient_kid",
        "recipients/1/enc_b64u",
        "recipients/0/ct_b64u",
    ] {
        let path = format!("payload_encrypted/{name}")
            .replace("/0/", "[0].")
            .replace("/1/", "[1].")
            .replace('/', ".");
        let change = with(&format!("/payload_encrypted/{name}"), Value::Null);
        assert_eq!(reason(sealed(), change), format!("schema_validation: {path}"));
    }
}

#[test]
fn each_malformed_member_is_named() {
    let long = |bytes: usize| Value::String("é".repeat(bytes / 2 + 1));
    for (path, value) in [
        ("ves_version", json!("1")),
        ("ves_version", json!(1.5)),
        ("ves_version", json!(-1)),
        ("event_id", json!(7)),
        ("event_id", json!("a8e2a381484f44c1a04933affebb9140")),
        ("tenant_id", json!("x")),
        ("store_id", json!("{84e2cc39-cbc6-4fb9-92bb-9a8d8577cfc}")),
        ("source_agent_id", json!([])),
        ("agent_key_id", json!(4_294_967_296_u64)),
        ("agent_key_id", json!(-1)),
        ("agent_key_id", json!("3")),
        ("entity_type", json!("")),
        ("entity_type", long(128)),
        ("entity_type", json!("a\u{0}")),
        ("entity_type", json!(1)),
        ("entity_id", json!("")),
        ("entity_id", long(512)),
        ("entity_id", json!("\u{0}")),
        ("event_type", json!("")),
        ("event_type", long(256)),
        ("event_type", json!("a\u{0}b")),
        ("created_at", json!("2026-01-02")),
        ("created_at", json!("2026-01-02T03:04:05\u{0}Z")),
        ("created_at", json!(0)),
        ("payload_kind", json!(2)),
        ("payload_kind", json!("0")),
        ("payload_encrypted", json!({})),
        ("payload_plain_hash", json!("0xaa")),
        ("payload_plain_hash", json!("g".repeat(64))),
        ("payload_cipher_hash", json!("1".repeat(64))),
        ("agent_signature", json!("b".repeat(126))),
        ("command_id", json!("x")),
        ("base_version", json!("1")),
        ("base_version", json!(-1)),
        ("kernel", json!([])),
        ("agent_signature_scheme", json!(4)),
        ("agent_signature_scheme", json!("1")),
        ("agent_signature_bundle", json!(1)),
    ] {
        let change = with(&format!("/{path}"), value.clone());
        assert_eq!(reason(plain(), change), format!("schema_validation: {path}"), "{value}");
    }
    for (path, value) in [
        ("enc_version", json!(2)),
        ("aead", json!("AES-128-GCM")),
        ("nonce_b64u", json!("AAAA")),
        ("nonce_b64u", json!("AAAAAAAAAAAAAAA!")),
        ("tag_b64u", json!("AAAA")),
        ("ciphertext_b64u", json!("A")),
        ("ciphertext_b64u", json!("_-9")),
        ("hpke", json!([])),
        ("hpke.mode", json!("psk")),
        ("recipients", json!([])),
        ("recipients", json!({})),
        ("recipients[0]", json!(1)),
        ("recipients[1].recipient_kid", json!(1)),
        ("recipients[1].recipient_kid", json!(0)),
        ("recipients[0].recipient_kid", json!(4_294_967_296_u64)),
        ("recipients[0].enc_b64u", json!("AAAA")),
        ("recipients[1].ct_b64u", json!("A".repeat(43))),
    ] {
        let pointer = path.replace("[0]", "/0").replace("[1]", "/1").replace('.', "/");
        let change = with(&format!("/payload_encrypted/{pointer}"), value.clone());
        assert_eq!(
            reason(sealed(), change),
            format!("schema_validation: payload_encrypted.{path}"),
            "{value}"
        );
    }
    assert_eq!(reason(sealed(), with("/payload", json!({}))), "schema_validation: payload");
}

#[test]
fn a_repeated_member_is_refused_wherever_it_stands() {
    let event = plain().to_string();
    let repeat = |found: &str, replacement: &str| {
        assert!(event.contains(found), "{found}");
        rejection_in(&event.replacen(found, replacement, 1), Format::Lenient).reason()
    };
    assert_eq!(
        repeat("\"entity_id\":", "\"entity_id\":\"x\",\"entity_id\":"),
        "schema_validation: entity_id"
    );
    assert_eq!(repeat("\"entity_id\":", "\"entityId\":\"x\",\"entity_id\":"), "schema_validation: entity_id");
    assert_eq!(
        repeat("\"entity_id\":", "\"entity\\u005fid\":\"x\",\"entity_id\":"),
        "schema_validation: entity_id"
    );
    assert_eq!(
        repeat("\"ves_version\":", "\"ves_version\":2,\"ves_version\":"),
        "schema_validation: ves_version"
    );
    assert_eq!(repeat("\"sku\":", "\"sku\":1,\"sku\":"), "schema_validation: payload.b[1].sku");
    assert_eq!(repeat("{", "{\"note\":1,\"note\":2,"), "schema_validation: note");
    assert_eq!(repeat("{", "{\"note\":[{\"a\":1,\"a\":2}],"), "schema_validation: note[0].a");
    assert_eq!(repeat("{", "{\"kernel\":{\"a\":1,\"a\":2},"), "schema_validation: kernel.a");
    let event = sealed().to_string();
    for (found, path) in [
        ("\"aead\":", "aead"),
        ("\"tag_b64u\":", "tag_b64u"),
        ("\"mode\":", "hpke.mode"),
        ("\"enc_b64u\":", "recipients[0].enc_b64u"),
    ] {
        let doubled = event.replacen(found, &format!("{found}\"AES-256-GCM\",{found}"), 1);
        let reason = rejection_in(&doubled, Format::Lenient).reason();
        let expected = if path == "aead" { ["aead", "hpke.aead"].as_slice() } else { &[path] };
        assert!(
            expected.iter().any(|path| reason == format!("schema_validation: payload_encrypted.{path}")),
            "{reason}"
        );
    }
}

#[test]
fn another_version_is_told_before_anything_else() {
    let rejection = rejection_in(r#"{"ves_version":2,"event_id":7}"#, Format::Lenient);
    assert_eq!(rejection, Rejection::UnsupportedVersion { found: 2 });
}

#[test]
fn what_json_cannot_hold_rejects_the_event_and_names_its_id() {
    for (payload, reason) in [
        ("{\"a\":[1,1e400]}", "schema_validation: payload.a[1]"),
        ("\"\\ud800\"", "schema_validation: payload"),
    ] {
        let text = plain().to_string().replace(r#"{"a":"\u0000","b":[1,{"sku":"x"}]}"#, payload);
        let Err(DecodeError::Event(undecodable)) = decode_text(&text, Format::Lenient) else {
            panic!("{payload}")
        };
        assert_eq!(undecodable.rejection.reason(), reason);
        assert_eq!(undecodable.event_id.unwrap().to_string(), "a8e2a381-484f-44c1-a049-33affebb9140");
        assert!(undecodable.stream.is_some());
    }
    for text in ["1", "null", "[]", "\"x\"", "{", "", "{\"a\":1,}"] {
        assert_eq!(rejection_in(text, Format::Lenient).reason(), "schema_validation: event", "{text}");
    }
}

/// A request holds events beside other members and borrows all of them from its text.
#[test]
fn a_request_is_read_at_once_whatever_its_events_are() {
    #[derive(serde::Deserialize)]
    struct Request<'a> {
        #[serde(borrow)]
        events: Vec<RawEnvelope<'a>>,
    }
    let good = plain().to_string();
    let text = format!(r#"{{"events":[{good},{{}},{{"event_id":1,"event_id":2}},{good}]}}"#);
    let request: Request<'_> = serde_json::from_str(&text).unwrap();
    let read: Vec<bool> = request.events.into_iter().map(|raw| decode(raw, Format::Strict).is_ok()).collect();
    assert_eq!(read, [true, false, false, true]);
}

#[test]
fn deep_nesting_refuses_the_request() {
    let deep = format!("{}{}", "[".repeat(json::DEPTH_MAX + 1), "]".repeat(json::DEPTH_MAX + 1));
    for member in ["payload", "note", "kernel", "sequenced_at", "payload_encrypted"] {
        let mut event = if member == "payload_encrypted" { sealed() } else { plain() };
        event.as_object_mut().unwrap().remove(member);
        let value = if matches!(member, "kernel" | "payload_encrypted") {
            format!("{{\"x\":{deep}}}")
        } else {
            deep.clone()
        };
        let text = event.to_string().replacen('{', &format!("{{\"{member}\":{value},"), 1);
        assert_eq!(decode_text(&text, Format::Lenient), Err(DecodeError::TooDeep), "{member}");
    }
    // Also behind a failure of an earlier step, and where no event stands at all.
    let text = format!(r#"{{"ves_version":2,"payload":{deep}}}"#);
    assert_eq!(decode_text(&text, Format::Lenient), Err(DecodeError::TooDeep));
    assert_eq!(decode_text(&deep, Format::Lenient), Err(DecodeError::TooDeep));
}

#[test]
fn the_strict_format_asks_for_prefix_case_and_bare_base64() {
    for (member, value) in [
        ("payload_plain_hash", "a".repeat(64)),
        ("payload_plain_hash", format!("0x{}", "A".repeat(64))),
        ("agent_signature", "b".repeat(128)),
    ] {
        let mut event = plain();
        event[member] = json!(value);
        assert!(decode_text(&event.to_string(), Format::Lenient).is_ok());
        assert_eq!(
            rejection_in(&event.to_string(), Format::Strict).reason(),
            format!("schema_validation: {member}")
        );
    }
    let mut event = sealed();
    event["payload_encrypted"]["ciphertext_b64u"] = json!("_-8=");
    assert!(decode_text(&event.to_string(), Format::Lenient).is_ok());
    let reason = rejection_in(&event.to_string(), Format::Strict).reason();
    assert_eq!(reason, "schema_validation: payload_encrypted.ciphertext_b64u");
}

#[test]
fn a_canonical_plaintext_event_is_decoded_without_copying() {
    let text = plain().to_string();
    let envelope = decode_text(&text, Format::Strict).unwrap();
    for text in [&envelope.entity_type, &envelope.entity_id, &envelope.event_type, &envelope.created_at] {
        assert!(matches!(text, Cow::Borrowed(_)));
    }
    let text = text.replace("\\u0000", "x");
    let envelope = decode_text(&text, Format::Strict).unwrap();
    assert!(matches!(envelope.payload, Payload::Plain(Cow::Borrowed(_))));
}

#[test]
fn a_sequenced_event_carries_its_place_and_still_decodes() {
    let text = plain().to_string();
    let envelope = decode_text(&text, Format::Strict).unwrap();
    let mut out = String::new();
    encode(&envelope, Some((SequenceNumber(7), TimestampMs(1_766_253_070_243))), &mut out);
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value["sequence_number"], 7);
    assert_eq!(value["sequenced_at"], "2025-12-20T17:51:10.243Z");
    assert_eq!(decode_text(&out, Format::Strict).unwrap(), envelope);
}

fn any_envelope() -> impl Strategy<Value = Envelope<'static>> {
    let text = |chars: &'static str| chars.prop_map(Cow::Owned);
    let payload = prop_oneof![
        "[a-zé🎉\"\\\\\u{0}\u{1f}/]{0,20}".prop_map(|text| {
            Payload::Plain(Cow::Owned(json::to_canonical(&json!({"b": text, "a": [1, 2.5, null]})).unwrap()))
        }),
        (
            any::<[u8; 12]>(),
            any::<Vec<u8>>(),
            any::<[u8; 16]>(),
            prop::collection::btree_map(any::<u32>(), any::<([u8; 32], [u8; 16])>(), 1..4)
        )
            .prop_map(|(nonce, ciphertext, tag, wraps)| {
                let wrap = |(kid, (enc, half)): (u32, ([u8; 32], [u8; 16]))| RecipientWrap {
                    recipient_kid: RecipientKeyId(kid),
                    enc,
                    ct: std::array::from_fn(|n| half[n % 16] ^ n as u8),
                };
                Payload::Encrypted(EncryptedPayload {
                    nonce,
                    ciphertext,
                    tag,
                    recipients: wraps.into_iter().map(wrap).collect(),
                })
            }),
    ];
    let ids = any::<([u8; 16], [u8; 16], [u8; 16], [u8; 16], u32)>();
    let texts = (text("[a-z\"\\\\é]{1,20}"), text("[^\u{0}]{1,40}"), text("[a-z.]{1,20}"));
    let unsigned = (any::<Option<[u8; 16]>>(), any::<Option<u64>>(), any::<Option<u16>>());
    (ids, texts, payload, any::<([u8; 32], [u8; 32], [u8; 32])>(), unsigned).prop_map(
        |(ids, texts, payload, hashes, unsigned)| {
            let is_plain = matches!(payload, Payload::Plain(_));
            Envelope {
                event_id: EventId::from_bytes(ids.0),
                stream: StreamKey {
                    tenant_id: TenantId::from_bytes(ids.1),
                    store_id: StoreId::from_bytes(ids.2),
                },
                source_agent_id: AgentId::from_bytes(ids.3),
                agent_key_id: KeyId(ids.4),
                entity_type: texts.0,
                entity_id: texts.1,
                event_type: texts.2,
                created_at: Cow::Borrowed("2026-01-02T03:04:05.1234567Z"),
                payload,
                payload_plain_hash: Digest(hashes.0),
                payload_cipher_hash: if is_plain { Digest::ZERO } else { Digest(hashes.1) },
                agent_signature: std::array::from_fn(|n| hashes.2[n % 32] ^ n as u8),
                command_id: unsigned.0.map(CommandId::from_bytes),
                base_version: unsigned.1,
                kernel: unsigned.2.map(|n| Cow::Owned(format!("{{\"n\":{n}}}"))),
                ml_dsa_65_signature: hashes.2[0].is_multiple_of(2).then(|| Box::new([hashes.2[1]; 3309])),
            }
        },
    )
}

proptest! {
    #[test]
    fn a_written_envelope_reads_back(envelope in any_envelope()) {
        let mut text = String::new();
        encode(&envelope, None, &mut text);
        prop_assert!(serde_json::from_str::<Value>(&text).is_ok());
        prop_assert_eq!(decode_text(&text, Format::Strict).unwrap(), envelope);
    }

    #[test]
    fn hostile_events_never_panic(envelope in any_envelope(), cut in any::<prop::sample::Index>(), junk in "[\\[\\]{}\",:\\\\0-9a-z\\PC]{0,8}") {
        let mut text = String::new();
        encode(&envelope, None, &mut text);
        let mut at = cut.index(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let _ = decode_text(&format!("{}{junk}{}", &text[..at], &text[at..]), Format::Lenient);
        let _ = decode_text(&text[..at], Format::Strict);
        let _ = decode_text(&format!("{}{junk}", &text[..at]), Format::Lenient);
    }
}

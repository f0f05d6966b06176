//! Cases about one event: canonical JSON, keys, signing, sealing, opening, checking.

use serde_json::{Value, json};
use ves::ids::{AgentId, EventId, KeyId, StoreId, StreamKey, TenantId};
use ves::seal::{Context, Recipient, SealingRandomness};
use ves::{RecipientKeyId, SigningKey};

/// One case: what the code answers. The message of an error is for people, so it is left out.
pub fn case(call: &str, name: &str, input: Value) -> Value {
    let request = json!({ "call": call, "input": input }).to_string();
    let answer: Value =
        serde_json::from_str(&ves_wasm::answer(request.as_bytes())).expect("an answer is JSON");
    match answer.get("error") {
        Some(error) => json!({ "call": call, "name": name, "input": input, "error": error["code"] }),
        None => json!({ "call": call, "name": name, "input": input, "output": answer["output"] }),
    }
}

/// A case whose output is known from elsewhere.
pub fn good(call: &str, name: &str, input: Value, expected: Value) -> Value {
    let case = case(call, name, input);
    assert_eq!(case.get("output"), Some(&expected), "{call}/{name}: {case}");
    case
}

/// A case whose refusal is known from elsewhere.
pub fn bad(call: &str, name: &str, input: Value, code: &str) -> Value {
    let case = case(call, name, input);
    assert_eq!(case["error"], code, "{call}/{name}: {case}");
    case
}

/// `value` with other members.
pub fn with(value: &Value, changes: Value) -> Value {
    let mut value = value.clone();
    for (name, change) in changes.as_object().expect("changes are an object") {
        value[name] = change.clone();
    }
    value
}

fn entries<'a>(core: &'a Value, section: &str) -> impl Iterator<Item = (&'a Value, &'a str)> {
    core[section]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| (entry, entry["name"].as_str().unwrap_or("")))
}

pub fn all(core: &Value) -> Vec<Value> {
    [canonical(core), keys(core), signed(core), sealed(core), opened(core), checked(core), odd(core)].concat()
}

fn canonical(core: &Value) -> Vec<Value> {
    let text = |text: &Value| json!({ "text": text });
    let mut cases: Vec<Value> = entries(core, "canonicalisation")
        .map(|(entry, name)| {
            good("canonicalize", name, text(&entry["input_text"]), json!({ "canonical": entry["canonical"] }))
        })
        .collect();
    for (entry, name) in entries(core, "canonicalisation_rejects") {
        let code = if name == "overflow" { "number_out_of_range" } else { "invalid_json" };
        cases.push(bad("canonicalize", name, text(&entry["input_text"]), code));
    }
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    for (name, input, code) in [
        ("repeated_member", r#"{"a":1,"b":2,"a":1}"#.to_owned(), "duplicate_member"),
        ("repeated_member_by_escape", r#"{"a":{"x":1,"\u0078":2}}"#.to_owned(), "duplicate_member"),
        ("one_level_too_deep", deep(129), "too_deep"),
        ("much_too_deep", deep(20_000), "too_deep"),
        ("empty", String::new(), "invalid_json"),
        ("minus_alone", "-".to_owned(), "invalid_json"),
        ("plus_sign", "+1".to_owned(), "invalid_json"),
        ("bare_fraction", ".5".to_owned(), "invalid_json"),
        ("bare_point", "1.".to_owned(), "invalid_json"),
        ("hexadecimal_number", "0x10".to_owned(), "invalid_json"),
        ("infinity", "-Infinity".to_owned(), "invalid_json"),
        ("trailing_comma", "[1,]".to_owned(), "invalid_json"),
        ("single_quotes", "{'a':1}".to_owned(), "invalid_json"),
        ("unknown_escape", r#""\x41""#.to_owned(), "invalid_json"),
        ("lone_low_surrogate", r#""\udc00x""#.to_owned(), "invalid_json"),
        ("byte_order_mark", "\u{feff}{}".to_owned(), "invalid_json"),
        ("no_break_space", "\u{a0}{}".to_owned(), "invalid_json"),
        ("unclosed", r#"{"a":[1"#.to_owned(), "invalid_json"),
    ] {
        cases.push(bad("canonicalize", name, json!({ "text": input }), code));
    }
    let at_the_bound = deep(128);
    cases.push(good(
        "canonicalize",
        "as_deep_as_may_be",
        json!({ "text": at_the_bound }),
        json!({ "canonical": at_the_bound }),
    ));
    let strict = |text: &str| json!({ "text": text, "strict": true });
    for text in ["9007199254740991", "9007199254740992", "18014398509481984", "1e21", "0.1", "-0"] {
        cases.push(case("canonicalize", &format!("strict_{text}"), strict(text)));
    }
    for text in ["9007199254740993", "[18446744073709551615]", "{\"a\":{\"b\":-9007199254740995}}"] {
        cases.push(bad("canonicalize", &format!("strict_{text}"), strict(text), "inexact_number"));
    }
    cases
}

fn keys(core: &Value) -> Vec<Value> {
    let (signing, sealed) = (&core["plain_events"][0], &core["encrypted_events"][0]["recipients"][0]);
    let seed = json!({ "seed": signing["secret_seed"] });
    let mut cases = vec![case("public_keys", "of_a_signing_key", seed)];
    assert_eq!(cases[0]["output"]["ed25519"], signing["public_key"]);
    cases.push(case("public_keys", "of_an_opening_key", json!({ "seed": sealed["secret_key"] })));
    assert_eq!(cases[1]["output"]["x25519"], sealed["public_key"]);
    let message = json!({ "seed": signing["secret_seed"], "message": signing["event_signing_hash"] });
    cases.push(good("sign", "signing_hash", message, json!({ "signature": signing["agent_signature"] })));
    let event = &signing["event"];
    let possession = json!({
        "tenant_id": event["tenant_id"], "agent_id": event["source_agent_id"], "key_id": event["agent_key_id"],
        "public_key": signing["public_key"],
    });
    cases.push(case("possession_challenge", "bound", possession));
    cases
}

/// What an event says, before it is signed.
fn draft(event: &Value, payload: &Value) -> Value {
    let mut draft = json!({ "payload_json": payload.to_string() });
    for member in [
        "tenant_id",
        "store_id",
        "event_id",
        "source_agent_id",
        "agent_key_id",
        "entity_type",
        "entity_id",
        "event_type",
        "created_at",
    ] {
        draft[member] = event[member].clone();
    }
    draft
}

/// An event as this crate writes it: members of the core file in our spelling.
fn written(event: &Value, payload_canonical: Option<&Value>) -> Value {
    match payload_canonical.and_then(Value::as_str) {
        Some(text) => with(event, json!({ "payload": serde_json::from_str::<Value>(text).unwrap() })),
        None => event.clone(),
    }
}

fn signed(core: &Value) -> Vec<Value> {
    let mut cases: Vec<Value> = entries(core, "plain_events")
        .map(|(entry, name)| {
            let draft = draft(&entry["event"], &entry["event"]["payload"]);
            let event = written(&entry["event"], Some(&entry["payload_canonical"]));
            let output = json!({ "event": event, "event_signing_hash": entry["event_signing_hash"] });
            good("sign_event", name, json!({ "draft": draft, "seed": entry["secret_seed"] }), output)
        })
        .collect();
    let entry = &core["plain_events"][1];
    let base = draft(&entry["event"], &entry["event"]["payload"]);
    let unsigned = json!({ "command_id": "00000000-0000-4000-8000-000000000001", "base_version": 7 });
    for (name, changes, code) in [
        ("with_unsigned_members", unsigned, None),
        (
            "longest_texts",
            json!({ "entity_type": "e".repeat(128), "entity_id": "é".repeat(256), "event_type": "t".repeat(256) }),
            None,
        ),
        ("leap_second", json!({ "created_at": "2016-12-31T23:59:60Z" }), None),
        ("empty_entity_type", json!({ "entity_type": "" }), Some("schema_validation")),
        ("long_entity_type", json!({ "entity_type": "e".repeat(129) }), Some("schema_validation")),
        ("long_entity_id_in_bytes", json!({ "entity_id": "é".repeat(257) }), Some("schema_validation")),
        ("long_event_type", json!({ "event_type": "t".repeat(257) }), Some("schema_validation")),
        ("created_at_is_no_time", json!({ "created_at": "yesterday" }), Some("schema_validation")),
        (
            "created_at_without_offset",
            json!({ "created_at": "2026-01-02T03:04:05" }),
            Some("schema_validation"),
        ),
        ("created_at_of_no_day", json!({ "created_at": "2026-02-30T03:04:05Z" }), Some("schema_validation")),
        ("tenant_is_no_id", json!({ "tenant_id": "tenant" }), Some("invalid_input")),
        ("event_is_no_id", json!({ "event_id": "0" }), Some("invalid_input")),
        ("command_is_no_id", json!({ "command_id": "x" }), Some("invalid_input")),
        ("null_payload", json!({ "payload_json": " null " }), Some("null_payload")),
        (
            "inexact_payload",
            json!({ "payload_json": "{\"cents\":9007199254740993}" }),
            Some("inexact_number"),
        ),
        ("repeated_payload_member", json!({ "payload_json": "{\"a\":1,\"a\":2}" }), Some("duplicate_member")),
        ("payload_is_no_json", json!({ "payload_json": "{" }), Some("invalid_json")),
    ] {
        let input = json!({ "draft": with(&base, changes), "seed": entry["secret_seed"] });
        cases.push(match code {
            Some(code) => bad("sign_event", name, input, code),
            None => case("sign_event", name, input),
        });
        assert_eq!(cases.last().unwrap().get("error").is_some(), code.is_some(), "{name}");
    }
    cases
}

fn sealed(core: &Value) -> Vec<Value> {
    // All events of the core file that agents sign are signed by this one's key.
    let seed = &core["plain_events"][0]["secret_seed"];
    let input = |entry: &Value| {
        let given = entry["recipients"].as_array().unwrap();
        let recipient =
            |r: &Value| json!({ "recipient_kid": r["recipient_kid"], "public_key": r["public_key"] });
        // From the last to the first: whoever seals puts them in order.
        json!({
            "draft": draft(&entry["event"], &entry["payload"]),
            "recipients": given.iter().rev().map(recipient).collect::<Vec<_>>(),
            "randomness": {
                "salt": entry["salt"], "dek": entry["dek"], "nonce": entry["nonce"],
                "ephemeral_secrets": given.iter().rev().map(|r| r["ephemeral_secret"].clone()).collect::<Vec<_>>(),
            },
            "seed": seed,
        })
    };
    let mut cases: Vec<Value> = entries(core, "encrypted_events")
        .map(|(entry, name)| {
            let output =
                json!({ "event": entry["event"], "event_signing_hash": entry["event_signing_hash"] });
            good("seal_event", name, input(entry), output)
        })
        .collect();
    let base = input(&core["encrypted_events"][0]);
    let (recipient, secret) = (&base["recipients"][0], &base["randomness"]["ephemeral_secrets"][0]);
    let twice = with(&base["randomness"], json!({ "ephemeral_secrets": [secret, secret] }));
    let none = with(&base["randomness"], json!({ "ephemeral_secrets": [] }));
    let weak = with(recipient, json!({ "public_key": "00".repeat(32) }));
    let nothing = with(&base["draft"], json!({ "payload_json": "null" }));
    for (name, changes, code) in [
        ("nobody", json!({ "recipients": [], "randomness": none }), "no_recipients"),
        (
            "one_recipient_twice",
            json!({ "recipients": [recipient, recipient], "randomness": twice }),
            "repeated_recipient",
        ),
        ("key_of_small_order", json!({ "recipients": [weak] }), "weak_recipient_key"),
        ("null_payload", json!({ "draft": nothing }), "null_payload"),
    ] {
        cases.push(bad("seal_event", name, with(&base, changes), code));
    }
    cases
}

fn opened(core: &Value) -> Vec<Value> {
    let mut cases = Vec::new();
    let input = |event: &Value, kid: &Value, key: &Value| json!({ "event": event, "recipient_kid": kid, "secret_key": key });
    for (entry, name) in entries(core, "encrypted_events") {
        for recipient in entry["recipients"].as_array().unwrap() {
            let kid = &recipient["recipient_kid"];
            let output = json!({ "payload_json": entry["payload_canonical"] });
            cases.push(good(
                "open_event",
                &format!("{name}_kid_{kid}"),
                input(&entry["event"], kid, &recipient["secret_key"]),
                output,
            ));
        }
    }
    for (entry, name) in entries(core, "decryption_failures") {
        assert_eq!(
            entry["expected_plain_hash"],
            entry["event"]["payload_plain_hash"].as_str().unwrap()[2..],
            "{name}"
        );
        let code = match entry["expected_error"].as_str().unwrap() {
            "RecipientNotFound" => "recipient_not_found",
            _ => "decryption_failed",
        };
        cases.push(bad(
            "open_event",
            name,
            input(&entry["event"], &entry["use_kid"], &entry["use_secret"]),
            code,
        ));
    }
    let secret = &core["encrypted_events"][0]["recipients"][0]["secret_key"];
    cases.push(bad(
        "open_event",
        "plain_event",
        input(&core["plain_events"][0]["event"], &json!(1), secret),
        "not_encrypted",
    ));
    for (name, inner, code) in [
        ("sealed_json_not_canonical", "{\"b\":1, \"a\":2}", "payload_hash_mismatch"),
        ("sealed_text_is_no_json", "not JSON", "invalid_payload_format"),
    ] {
        let (event, key) = carelessly_sealed(inner);
        cases.push(bad("open_event", name, input(&event, &json!(5), &json!(key)), code));
    }
    cases
}

/// A signed event whose sealed text nobody made canonical, and the secret that opens it.
fn carelessly_sealed(inner: &str) -> (Value, String) {
    let key = ves::DecryptionKey::from_bytes([0x55; 32]);
    let stream =
        StreamKey { tenant_id: TenantId::from_bytes([1; 16]), store_id: StoreId::from_bytes([2; 16]) };
    let context = Context {
        stream,
        event_id: EventId::from_bytes([3; 16]),
        source_agent_id: AgentId::from_bytes([4; 16]),
        agent_key_id: KeyId(1),
        entity_type: "order",
        entity_id: "ORD-1",
        event_type: "order.created",
        created_at: "2026-01-02T03:04:05Z",
    };
    let recipient = Recipient { kid: RecipientKeyId(5), public_key: key.public_key() };
    let randomness =
        SealingRandomness { salt: [6; 16], dek: [7; 32], nonce: [8; 12], ephemeral_secrets: vec![[9; 32]] };
    let sealed = ves::seal::seal(&context, inner, &[recipient], &randomness).unwrap();
    let mut envelope = ves::Envelope {
        event_id: context.event_id,
        stream,
        source_agent_id: context.source_agent_id,
        agent_key_id: context.agent_key_id,
        entity_type: context.entity_type.into(),
        entity_id: context.entity_id.into(),
        event_type: context.event_type.into(),
        created_at: context.created_at.into(),
        payload: ves::Payload::Encrypted(sealed.encrypted),
        payload_plain_hash: sealed.payload_plain_hash,
        payload_cipher_hash: sealed.payload_cipher_hash,
        agent_signature: [0; 64],
        command_id: None,
        base_version: None,
        kernel: None,
        ml_dsa_65_signature: None,
    };
    envelope.agent_signature = SigningKey::from_seed([10; 32]).sign(&envelope.signing_hash().0);
    let mut text = String::new();
    ves::envelope::encode(&envelope, None, &mut text);
    (serde_json::from_str(&text).unwrap(), "55".repeat(32))
}

fn checked(core: &Value) -> Vec<Value> {
    let mut cases = Vec::new();
    for section in ["plain_events", "encrypted_events"] {
        for (entry, name) in entries(core, section) {
            let input = json!({ "event": entry["event"], "public_key": entry["public_key"] });
            cases.push(good(
                "check_event",
                name,
                input,
                json!({ "event_signing_hash": entry["event_signing_hash"] }),
            ));
        }
    }
    for (entry, name) in entries(core, "rejected_events") {
        let input = json!({ "event": entry["event"], "public_key": entry["public_key"] });
        cases.push(bad("check_event", name, input, entry["expected_rejection"].as_str().unwrap()));
    }
    let (plain, sealed) = (&core["plain_events"][0], &core["encrypted_events"][0]);
    let input = |entry: &Value, changes: Value| json!({ "event": with(&entry["event"], changes), "public_key": entry["public_key"] });
    cases.push(case("check_event", "without_key", json!({ "event": plain["event"] })));
    let sequenced =
        json!({ "sequence_number": 5, "sequenced_at": "2026-01-02T03:04:05Z", "kernel": {"b": 1} });
    cases.push(case("check_event", "with_members_of_the_sequencer", input(plain, sequenced)));
    let upper = plain["event"]["payload_plain_hash"].as_str().unwrap()[2..].to_uppercase();
    cases.push(case(
        "check_event",
        "hash_in_upper_case_without_prefix",
        input(plain, json!({ "payload_plain_hash": upper })),
    ));
    cases.iter().rev().take(3).for_each(|case| assert!(case.get("output").is_some(), "{case}"));
    let nonce = with(&sealed["event"]["payload_encrypted"], json!({ "nonce_b64u": "AAAAAAAAAAAAAAAA" }));
    let no_recipients = with(&sealed["event"]["payload_encrypted"], json!({ "recipients": [] }));
    for (name, event, code) in [
        ("sealed_bytes_changed", input(sealed, json!({ "payload_encrypted": nonce })), "invalid_cipher_hash"),
        (
            "sealed_for_nobody",
            input(sealed, json!({ "payload_encrypted": no_recipients })),
            "schema_validation",
        ),
        ("hash_too_short", input(plain, json!({ "payload_plain_hash": "0x12" })), "schema_validation"),
        ("kind_is_unknown", input(plain, json!({ "payload_kind": 2 })), "schema_validation"),
        ("payload_is_missing", input(plain, json!({ "payload": null })), "schema_validation"),
        ("id_is_none", input(plain, json!({ "event_id": "order" })), "schema_validation"),
        (
            "key_of_small_order",
            json!({ "event": plain["event"], "public_key": "01".to_owned() + &"00".repeat(31) }),
            "unusable_key",
        ),
        (
            "key_is_no_point",
            json!({ "event": plain["event"], "public_key": "02".to_owned() + &"00".repeat(31) }),
            "unusable_key",
        ),
    ] {
        cases.push(bad("check_event", name, event, code));
    }
    cases
}

/// Every member of an event in turn missing, or of another type: nobody may fall over it, or read it otherwise.
fn odd(core: &Value) -> Vec<Value> {
    let (plain, sealed) = (&core["plain_events"][4], &core["encrypted_events"][0]);
    let mut cases = Vec::new();
    for (kind, entry) in [("plain", plain), ("sealed", sealed)] {
        let event = entry["event"].as_object().expect("an event is an object");
        for member in event.keys().filter(|name| kind == "plain" || name.contains("payload")) {
            for (what, value) in [
                ("missing", None),
                ("null", Some(Value::Null)),
                ("negative", Some(json!(-1))),
                ("fraction", Some(json!(1.5))),
                ("beyond_32_bits", Some(json!(4_294_967_296_u64))),
                ("true", Some(json!(true))),
                ("empty_text", Some(json!(""))),
                ("text", Some(json!("0x"))),
                ("array", Some(json!([]))),
                ("object", Some(json!({}))),
            ] {
                let mut changed = event.clone();
                match value {
                    Some(value) => drop(changed.insert(member.clone(), value)),
                    None => drop(changed.remove(member)),
                }
                let input = json!({ "event": changed, "public_key": entry["public_key"] });
                cases.push(case("check_event", &format!("{kind}_{member}_{what}"), input));
            }
        }
    }
    cases
}

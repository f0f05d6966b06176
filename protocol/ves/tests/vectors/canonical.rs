//! Encodings and canonical JSON.

use base64ct::{Base64UrlUnpadded, Encoding};
use ves::hash::{Domain, Hasher};
use ves::{json, time};

use super::support::Entry;

/// Section 2: that a preimage holds exactly these bytes is seen in its hash.
pub fn encodings(entry: &Entry<'_>) {
    let holds = |hasher: Hasher, item: &Entry<'_>| {
        let expected = Hasher::bare().bytes(&item.hex("hex")).finish();
        assert_eq!(hasher.finish(), expected, "{item}");
    };
    for item in entry.list("u32_be") {
        holds(Hasher::bare().u32(item.get("value")), &item);
    }
    for item in entry.list("u64_be") {
        holds(Hasher::bare().u64(item.u64("value")), &item);
    }
    for item in entry.list("enc_str") {
        holds(Hasher::bare().str(&item.text("value")), &item);
    }
    for item in entry.list("uuid") {
        holds(Hasher::bare().uuid(&item.get("value")), &item);
    }
    for item in entry.list("base64url") {
        assert_eq!(Base64UrlUnpadded::encode_string(&item.hex("hex")), item.text("text"));
        assert_eq!(Base64UrlUnpadded::decode_vec(&item.text("text")).unwrap(), item.hex("hex"));
    }
    for item in entry.list("uuid_bytes32") {
        let id: uuid::Uuid = item.get("value");
        let expected: [u8; 32] = item.bytes("hex");
        assert_eq!(
            (id.as_bytes(), &[0; 16]),
            (expected[..16].try_into().unwrap(), &expected[16..].try_into().unwrap())
        );
    }
    domains(entry);
}

fn domains(entry: &Entry<'_>) {
    let domains = &entry.list("domains")[0];
    for domain in Domain::ALL {
        // Later additions of this project are not in the published list.
        if domains.has(domain.text()) {
            let listed = &domains.list(domain.text())[0];
            assert_eq!(listed.hex("hex"), domain.text().as_bytes());
            assert_eq!(listed.get::<usize>("length"), domain.text().len());
        }
    }
    let published: std::collections::BTreeMap<String, serde_json::Value> = entry.get("domains");
    for name in published.keys() {
        assert!(Domain::ALL.iter().any(|domain| domain.text() == name), "domain {name} is unknown");
    }
}

/// Section 3.
pub fn accepted(entry: &Entry<'_>) {
    let canonical = json::canonicalize(&entry.text("input_text")).unwrap().into_owned();
    assert_eq!(canonical, entry.text("canonical"));
    assert_eq!(canonical.as_bytes(), entry.hex("canonical_utf8_hex"));
    assert_eq!(json::canonicalize(&canonical).unwrap(), canonical, "a second pass changes it");
    assert_eq!(ves::event::plain_hash(&canonical), entry.digest("payload_plain_hash"));
}

/// Section 3.
pub fn rejected(entry: &Entry<'_>) {
    let text = entry.text("input_text");
    assert!(json::canonicalize(&text).is_err(), "accepted");
    assert!(json::canonicalize_strict(&text).is_err(), "accepted by the strict reading");
}

/// Section 2.1.
pub fn grpc_created_at(entry: &Entry<'_>) {
    let text = time::grpc_created_at(entry.get("seconds"), entry.get("nanos"));
    assert_eq!(text, Some(entry.text("text")));
    assert!(time::is_rfc3339(&entry.text("text")));
}

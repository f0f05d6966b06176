//! Events: plain, refused, sealed; and proofs of possession.

use ves::ed25519::SigningKey;
use ves::envelope::{DecodeError, decode_text, encode};
use ves::event::{Envelope, Payload};
use ves::hash::{Domain, Hasher};
use ves::hex::Format;
use ves::keys::{self, AgentKey, KeyAlgorithm, KeyRing, KeyStatus};
use ves::seal::{self, Context, Recipient, SealingRandomness};
use ves::{Digest, KeyId, PublicKey, Rejection, TimestampMs, verify_one};

use super::support::Entry;

const NOW: TimestampMs = TimestampMs(1_767_000_000_000);

/// A ring that knows one key under the name the event uses.
fn ring(envelope: &Envelope<'_>, public_key: [u8; 32]) -> KeyRing {
    let key = AgentKey {
        tenant_id: envelope.stream.tenant_id,
        agent_id: envelope.source_agent_id,
        key_id: envelope.agent_key_id,
        public_key,
        algorithm: KeyAlgorithm::Ed25519,
        ml_dsa_65: None,
        status: KeyStatus::Active,
        valid_from: None,
        valid_to: None,
        revoked_at: None,
        created_at: NOW,
        metadata: None,
    };
    KeyRing::new([key])
}

fn decoded<'a>(entry: &Entry<'a>) -> Envelope<'a> {
    decode_text(entry.json("event"), Format::Lenient).expect("event")
}

/// Hash, key and signature, steps 8 to 10 of section 10.
fn verdict(envelope: Envelope<'_>, public_key: [u8; 32]) -> Result<Digest, Rejection> {
    let keys = ring(&envelope, public_key);
    verify_one(envelope, &keys, NOW).map(|verified| *verified.signing_hash())
}

/// The event is accepted, hashes and signs as the entry says, and survives being written and read.
fn check_signed(entry: &Entry<'_>) {
    let envelope = decoded(entry);
    assert_eq!(envelope.payload_plain_hash, entry.digest("payload_plain_hash"), "payload_plain_hash");
    assert_eq!(envelope.signing_hash(), entry.digest("event_signing_hash"), "event_signing_hash");
    assert_eq!(envelope.agent_signature, entry.bytes("agent_signature"), "agent_signature");
    assert_eq!(envelope.check_payload_hash(), Ok(()));
    assert!(
        PublicKey::from_bytes(&entry.bytes("public_key"))
            .unwrap()
            .verify(&envelope.signing_hash().0, &envelope.agent_signature)
    );
    assert_eq!(verdict(envelope.clone(), entry.bytes("public_key")), Ok(entry.digest("event_signing_hash")));
    let mut text = String::new();
    encode(&envelope, None, &mut text);
    assert_eq!(decode_text(&text, Format::Strict).unwrap(), envelope, "written and read");
}

/// Sections 6 and 8.
pub fn plain(entry: &Entry<'_>) {
    check_signed(entry);
    let envelope = decoded(entry);
    assert_eq!(envelope.payload, Payload::Plain(entry.text("payload_canonical").into()));
    let preimage = entry.hex("signing_preimage");
    let body = preimage.strip_prefix(Domain::EventSignature.text().as_bytes()).expect("domain first");
    assert_eq!(
        Hasher::new(Domain::EventSignature).bytes(body).finish(),
        envelope.signing_hash(),
        "signing_preimage"
    );
    let signer = SigningKey::from_seed(entry.bytes("secret_seed"));
    assert_eq!(signer.public_key(), entry.bytes("public_key"));
    assert_eq!(signer.sign(&envelope.signing_hash().0), entry.bytes("agent_signature"), "signing again");
}

/// Section 10: the first failure among decoding, hash, key and signature.
pub fn rejected(entry: &Entry<'_>) {
    let rejection = match decode_text(entry.json("event"), Format::Lenient) {
        Ok(envelope) => verdict(envelope, entry.bytes("public_key")).expect_err("accepted"),
        Err(DecodeError::Event(undecodable)) => undecodable.rejection,
        Err(DecodeError::TooDeep) => panic!("too deep"),
    };
    assert_eq!(rejection.code(), entry.text("expected_rejection"), "{rejection}");
}

/// Section 7: sealing with the given randomness makes this event; every recipient opens it.
pub fn encrypted(entry: &Entry<'_>) {
    check_signed(entry);
    let envelope = decoded(entry);
    let Payload::Encrypted(sealed) = &envelope.payload else { panic!("not encrypted") };
    let aad = envelope.payload_aad();
    assert_eq!(aad, entry.digest("payload_aad"), "payload_aad");
    assert_eq!(aad, entry.digest("hpke_info"), "hpke_info");
    assert_eq!(entry.text("hpke_aad"), "");
    assert_eq!(seal::recipients_hash(&sealed.recipients), entry.digest("recipients_hash"), "recipients_hash");
    assert_eq!(seal::cipher_hash(&aad, sealed), entry.digest("payload_cipher_hash"), "payload_cipher_hash");
    let canonical = ves::json::canonicalize(entry.json("payload")).unwrap();
    assert_eq!(canonical, entry.text("payload_canonical"));
    seals_again(entry, &envelope, &canonical);
    for recipient in entry.list("recipients") {
        let opened = seal::open(&envelope, recipient.get("recipient_kid"), &recipient.bytes("secret_key"));
        assert_eq!(opened.as_deref(), Ok(canonical.as_ref()), "{recipient}");
    }
}

fn seals_again(entry: &Entry<'_>, envelope: &Envelope<'_>, canonical: &str) {
    let given = entry.list("recipients");
    let recipients: Vec<_> = given
        .iter()
        .map(|recipient| Recipient {
            kid: recipient.get("recipient_kid"),
            public_key: recipient.bytes("public_key"),
        })
        .collect();
    let randomness = SealingRandomness {
        salt: entry.bytes("salt"),
        dek: entry.bytes("dek"),
        nonce: entry.bytes("nonce"),
        ephemeral_secrets: given.iter().map(|recipient| recipient.bytes("ephemeral_secret")).collect(),
    };
    let context = Context {
        stream: envelope.stream,
        event_id: envelope.event_id,
        source_agent_id: envelope.source_agent_id,
        agent_key_id: envelope.agent_key_id,
        entity_type: &envelope.entity_type,
        entity_id: &envelope.entity_id,
        event_type: &envelope.event_type,
        created_at: &envelope.created_at,
    };
    let sealed = seal::seal(&context, canonical, &recipients, &randomness).unwrap();
    assert_eq!(Payload::Encrypted(sealed.encrypted), envelope.payload, "sealing again");
    assert_eq!(sealed.payload_plain_hash, envelope.payload_plain_hash);
    assert_eq!(sealed.payload_cipher_hash, envelope.payload_cipher_hash);
}

/// Section 7.6.
pub fn decryption_failure(entry: &Entry<'_>) {
    let envelope = decoded(entry);
    let (kid, secret, signed) =
        (entry.get("use_kid"), entry.bytes("use_secret"), entry.digest("expected_plain_hash"));
    let error = seal::open_signed(&envelope, kid, &secret, &signed).expect_err("opened");
    assert_eq!(error.name(), entry.text("expected_error"));
}

/// Section 9.3. An entry whose key is partly ML-DSA shows its challenge only.
pub fn proof_of_possession(entry: &Entry<'_>) {
    let mut key_bytes = if entry.has("public_key") { entry.hex("public_key") } else { Vec::new() };
    if entry.has("ml_dsa_65_public_key_bytes") {
        key_bytes.extend(entry.hex("ml_dsa_65_public_key_bytes"));
    }
    let challenge = keys::possession_challenge(&key_bytes);
    assert_eq!(challenge, entry.digest("challenge"));
    if !entry.has("signature") {
        assert!(entry.name().ends_with("_challenge_only"), "no signature to check");
        return;
    }
    let public_key = PublicKey::from_bytes(&entry.bytes("public_key")).unwrap();
    let (tenant, agent) = (ves::TenantId::from_bytes([1; 16]), ves::AgentId::from_bytes([2; 16]));
    let check = |proof: [u8; 64]| keys::check_possession(&public_key, &tenant, &agent, KeyId(1), &proof);
    let mut proof: [u8; 64] = entry.bytes("signature");
    assert!(check(proof).is_ok());
    if entry.has("secret_seed") {
        let signer = SigningKey::from_seed(entry.bytes("secret_seed"));
        assert_eq!(signer.sign(&challenge.0), proof);
        assert!(
            check(signer.sign(&keys::possession_challenge_bound(&tenant, &agent, KeyId(1), &key_bytes).0))
                .is_ok()
        );
        assert!(
            check(signer.sign(&keys::possession_challenge_bound(&tenant, &agent, KeyId(2), &key_bytes).0))
                .is_err()
        );
    }
    proof[0] ^= 1;
    assert!(check(proof).is_err(), "a changed proof is accepted");
}

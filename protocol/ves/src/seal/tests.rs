use std::borrow::Cow;

use proptest::prelude::*;

use super::*;
use crate::draft::{Draft, DraftError};
use crate::ed25519::SigningKey;
use crate::ids::{StoreId, TenantId};
use crate::reject::Rejection;

fn draft() -> Draft<'static> {
    Draft {
        stream: StreamKey {
            tenant_id: TenantId::from_bytes([1; 16]),
            store_id: StoreId::from_bytes([2; 16]),
        },
        event_id: EventId::from_bytes([3; 16]),
        source_agent_id: AgentId::from_bytes([4; 16]),
        agent_key_id: KeyId(1),
        entity_type: Cow::Borrowed("order"),
        entity_id: Cow::Borrowed("o-1"),
        event_type: Cow::Borrowed("order.created"),
        created_at: Cow::Borrowed("2026-01-02T03:04:05Z"),
        command_id: None,
        base_version: Some(0),
    }
}

fn signer() -> SigningKey {
    SigningKey::from_seed([5; 32])
}

/// Counting bytes stand for a generator.
fn randomness(recipients: usize, mut next: u8) -> SealingRandomness {
    let fill = |buffer: &mut [u8]| {
        buffer.fill_with(|| {
            next = next.wrapping_add(1);
            next
        });
        Ok::<(), std::convert::Infallible>(())
    };
    SealingRandomness::draw(recipients, fill).unwrap()
}

fn key(kid: u32) -> (Recipient, DecryptionKey) {
    let key = DecryptionKey::from_bytes([kid as u8 + 100; 32]);
    (Recipient { kid: RecipientKeyId(kid), public_key: key.public_key() }, key)
}

#[test]
fn a_draft_becomes_an_event_that_checks_out() {
    let envelope = draft().sign(r#"{ "b": 1.0, "a": "é" }"#, &signer()).unwrap();
    assert_eq!(envelope.payload, Payload::Plain(Cow::Borrowed(r#"{"a":"é","b":1}"#)));
    assert_eq!(envelope.check_payload_hash(), Ok(()));
    assert_eq!(envelope.agent_signature, signer().sign(&envelope.signing_hash().0));
}

#[test]
fn a_draft_that_a_sequencer_would_refuse_is_not_signed() {
    let refused = |change: fn(&mut Draft<'static>)| {
        let mut draft = draft();
        change(&mut draft);
        match draft.sign("{}", &signer()) {
            Err(DraftError::Refused(Rejection::SchemaValidation { field, .. })) => field,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(|d| d.entity_type = "".into()), "entity_type");
    assert_eq!(refused(|d| d.entity_id = "x".repeat(513).into()), "entity_id");
    assert_eq!(refused(|d| d.event_type = "a\0".into()), "event_type");
    assert_eq!(refused(|d| d.created_at = "today".into()), "created_at");
    assert!(matches!(draft().sign("null", &signer()), Err(DraftError::NullPayload)));
    assert!(matches!(draft().sign(r#"{"a":1,"a":1}"#, &signer()), Err(DraftError::Payload(_))));
    assert!(matches!(draft().sign("9007199254740993", &signer()), Err(DraftError::Payload(_))));
}

#[test]
fn recipients_are_sorted_and_each_opens() {
    let keys = [key(9), key(2), key(5)];
    let recipients: Vec<_> = keys.iter().map(|(recipient, _)| *recipient).collect();
    let envelope = draft().seal_and_sign(r#"{"a":1}"#, &recipients, randomness(3, 0), &signer()).unwrap();
    let Payload::Encrypted(sealed) = &envelope.payload else { panic!() };
    let kids: Vec<_> = sealed.recipients.iter().map(|wrap| wrap.recipient_kid.0).collect();
    assert_eq!(kids, [2, 5, 9]);
    assert_eq!(envelope.check_payload_hash(), Ok(()));
    for (recipient, key) in &keys {
        assert_eq!(key.open(&envelope, recipient.kid).as_deref(), Ok(r#"{"a":1}"#));
    }
    assert_eq!(keys[0].1.open(&envelope, RecipientKeyId(2)), Err(OpenError::DecryptionFailed));
    assert_eq!(
        keys[0].1.open(&envelope, RecipientKeyId(3)),
        Err(OpenError::RecipientNotFound(RecipientKeyId(3)))
    );
    let plain = draft().sign("{}", &signer()).unwrap();
    assert_eq!(keys[0].1.open(&plain, RecipientKeyId(2)), Err(OpenError::NotEncrypted));
}

/// Proofs about a payload are about what was hashed, salt and all, so both sides of a sealed event can have it.
#[test]
fn whoever_seals_or_opens_has_the_salt_and_nothing_prints_it() {
    let (recipient, key) = key(2);
    let drawn = randomness(1, 0);
    let kept = drawn.payload_salt();
    let envelope = draft().seal_and_sign(r#"{ "a": 1 }"#, &[recipient], drawn, &signer()).unwrap();
    let opened = key.open_with_salt(&envelope, recipient.kid).unwrap();
    assert_eq!((opened.canonical.as_str(), &opened.salt), (r#"{"a":1}"#, &kept));
    assert_eq!(kept.plain_hash(&opened.canonical), envelope.payload_plain_hash);
    assert_ne!(PayloadSalt::from_bytes([0; 16]).plain_hash(&opened.canonical), envelope.payload_plain_hash);
    assert_eq!(PayloadSalt::from_hex(&kept.to_hex()), Ok(kept.clone()));
    assert!(PayloadSalt::from_hex("00").is_err());
    let printed = format!("{kept:?} {opened:?}");
    assert_eq!(printed, "PayloadSalt(secret) OpenedPayload(secret)");
}

#[test]
fn unusable_recipients_are_refused() {
    let seal = |recipients: &[Recipient], drawn| match draft().seal_and_sign(
        "{}",
        recipients,
        randomness(drawn, 0),
        &signer(),
    ) {
        Err(DraftError::Seal(error)) => error,
        other => panic!("{other:?}"),
    };
    let (one, _) = key(1);
    let weak = Recipient { kid: RecipientKeyId(7), public_key: [0; 32] };
    assert_eq!(seal(&[], 0), SealError::NoRecipients);
    assert_eq!(seal(&[one, one], 2), SealError::RepeatedRecipient { kid: RecipientKeyId(1) });
    assert_eq!(seal(&[one], 2), SealError::EphemeralSecrets { expected: 1, found: 2 });
    assert_eq!(seal(&[one, weak], 2), SealError::WeakRecipientKey { kid: RecipientKeyId(7) });
}

/// Section 7.6: readers that hash the raw plaintext and readers that canonicalise first must agree.
#[test]
fn a_plaintext_that_two_readings_hash_differently_is_refused() {
    let salt = [8; SALT_BYTES];
    let plaintext = |json: &str| [&salt, json.as_bytes()].concat();
    let check = |json: &str| check_opened(&plaintext(json), &salted_hash(&plaintext(json)));
    assert_eq!(check(r#"{"a":1}"#).unwrap().canonical.as_str(), r#"{"a":1}"#);
    assert_eq!(check(r#"{"a": 1}"#), Err(OpenError::PayloadHashMismatch));
    let canonical_hash = salted_hash(&plaintext(r#"{"a":1}"#));
    assert_eq!(check_opened(&plaintext(r#"{"a": 1}"#), &canonical_hash), Err(OpenError::PayloadHashMismatch));
    assert_eq!(check("{"), Err(OpenError::InvalidPayloadFormat));
    assert_eq!(check(r#"{"a":1,"a":1}"#), Err(OpenError::InvalidPayloadFormat));
    assert_eq!(check_opened(&[0; 15], &Digest::ZERO), Err(OpenError::InvalidPayloadFormat));
    assert_eq!(check_opened(&[0xff; 17], &Digest::ZERO), Err(OpenError::InvalidPayloadFormat));
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let (_, key) = key(1);
    let secret = crate::hex::encode(key.secret_bytes());
    assert!(!format!("{key:?}").contains(&secret));
    assert_eq!(format!("{:?}", randomness(1, 0)), "SealingRandomness(secret)");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_sealed_opens_for_its_recipients_only(
        payload in "[a-zé🎉\\PC]{0,60}", kids in prop::collection::btree_set(0u32..100, 1..4), start in any::<u8>(),
    ) {
        let keys: Vec<_> = kids.iter().map(|kid| key(*kid)).collect();
        let recipients: Vec<_> = keys.iter().map(|(recipient, _)| *recipient).collect();
        let payload = json::to_canonical(&payload).unwrap();
        let envelope = draft().seal_and_sign(&payload, &recipients, randomness(recipients.len(), start), &signer()).unwrap();
        for (recipient, key) in &keys {
            let opened = key.open(&envelope, recipient.kid);
            prop_assert_eq!(opened.as_deref(), Ok(payload.as_str()));
        }
        let (_, stranger) = key(101);
        prop_assert_eq!(stranger.open(&envelope, recipients[0].kid), Err(OpenError::DecryptionFailed));
    }

    #[test]
    fn any_change_to_a_sealed_event_is_noticed(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let (recipient, key) = key(1);
        let mut envelope = draft().seal_and_sign(r#"{"a":1}"#, &[recipient], randomness(1, 0), &signer()).unwrap();
        let Payload::Encrypted(sealed) = &mut envelope.payload else { unreachable!() };
        let mut parts: Vec<&mut [u8]> = vec![&mut sealed.nonce, &mut sealed.ciphertext, &mut sealed.tag];
        for wrap in &mut sealed.recipients {
            parts.push(&mut wrap.enc);
            parts.push(&mut wrap.ct);
        }
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let mut place = at.index(length);
        for part in parts {
            if place < part.len() {
                part[place] ^= 1 << bit;
                break;
            }
            place -= part.len();
        }
        prop_assert_eq!(envelope.check_payload_hash(), Err(Rejection::InvalidCipherHash));
        // The top bit of an X25519 public key is ignored (RFC 7748 section 5), yet HPKE binds its bytes.
        prop_assert_eq!(key.open(&envelope, recipient.kid), Err(OpenError::DecryptionFailed));
    }
}

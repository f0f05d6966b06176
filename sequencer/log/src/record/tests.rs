use std::borrow::Cow;

use proptest::prelude::*;
use ves::{AgentId, CommandId, EventId, KeyId, RecipientKeyId};

use super::*;

fn any_text(max: usize) -> impl Strategy<Value = Cow<'static, str>> {
    proptest::collection::vec(any::<char>(), 0..max).prop_map(|chars| Cow::Owned(chars.into_iter().collect()))
}

fn any_digest() -> impl Strategy<Value = Digest> {
    prop_oneof![Just(Digest::ZERO), any::<[u8; 32]>().prop_map(Digest)]
}

fn any_recipient() -> impl Strategy<Value = RecipientWrap> {
    (any::<u32>(), any::<[u8; 32]>(), any::<u8>()).prop_map(|(kid, enc, ct)| RecipientWrap {
        recipient_kid: RecipientKeyId(kid),
        enc,
        ct: [ct; 48],
    })
}

fn any_payload() -> impl Strategy<Value = Payload<'static>> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..200);
    let recipients = proptest::collection::vec(any_recipient(), 0..4);
    let sealed = (any::<[u8; 12]>(), bytes, any::<[u8; 16]>(), recipients);
    prop_oneof![
        any_text(200).prop_map(Payload::Plain),
        sealed.prop_map(|(nonce, ciphertext, tag, recipients)| {
            Payload::Encrypted(EncryptedPayload { nonce, ciphertext, tag, recipients })
        }),
    ]
}

fn any_envelope() -> impl Strategy<Value = Envelope<'static>> {
    let ids = any::<[[u8; 16]; 4]>();
    let texts = (any_text(20), any_text(40), any_text(20), any_text(30));
    let hashes = (any_digest(), any_digest(), any::<u8>(), any::<Option<u8>>());
    let options = (any::<Option<[u8; 16]>>(), any::<Option<u64>>(), proptest::option::of(any_text(30)));
    (ids, any::<u32>(), texts, any_payload(), hashes, options).prop_map(
        |(ids, key_id, texts, payload, hashes, options)| Envelope {
            event_id: EventId::from_bytes(ids[0]),
            stream: StreamKey {
                tenant_id: TenantId::from_bytes(ids[1]),
                store_id: StoreId::from_bytes(ids[2]),
            },
            source_agent_id: AgentId::from_bytes(ids[3]),
            agent_key_id: KeyId(key_id),
            entity_type: texts.0,
            entity_id: texts.1,
            event_type: texts.2,
            created_at: texts.3,
            payload,
            payload_plain_hash: hashes.0,
            payload_cipher_hash: hashes.1,
            agent_signature: [hashes.2; 64],
            command_id: options.0.map(CommandId::from_bytes),
            base_version: options.1,
            kernel: options.2,
            ml_dsa_65_signature: hashes.3.map(|byte| Box::new([byte; 3309])),
        },
    )
}

proptest! {
    #[test]
    fn a_record_is_read_as_it_was_written(envelope in any_envelope(), hash in any_digest()) {
        let bytes = encode_body(&envelope, &hash);
        prop_assert_eq!(decode_body(&bytes), Ok((envelope, hash)));
    }

    /// One event has one record: what decodes was made by the encoder.
    #[test]
    fn what_decodes_encodes_to_the_same_bytes(envelope in any_envelope(), at in any::<prop::sample::Index>(), bit in 0..8) {
        let mut bytes = encode_body(&envelope, &Digest([1; 32]));
        let at = at.index(bytes.len());
        bytes[at] ^= 1u8 << bit;
        if let Ok((envelope, hash)) = decode_body(&bytes) {
            prop_assert_eq!(encode_body(&envelope, &hash), bytes);
        }
    }

    #[test]
    fn a_sealed_record_keeps_all_but_its_payload_and_opens_to_the_same_bytes(
        envelope in any_envelope(), hash in any_digest(), blob in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let clear = encode_body(&envelope, &hash);
        let record = Record::read(&clear).unwrap();
        let sealed = record.sealed(&blob);
        prop_assert_eq!(decode_body(&sealed), Err(RecordError::Sealed));
        let again = Record::read(&sealed).unwrap();
        prop_assert!(again.is_sealed() && !record.is_sealed());
        prop_assert_eq!(&again.head, &record.head);
        prop_assert_eq!(again.signing_hash, hash);
        prop_assert_eq!(again.head.signing_hash(), envelope.signing_hash());
        prop_assert_eq!(again.payload(), &blob[..]);
        prop_assert!(again.is_same_event(&record));
        prop_assert_eq!(again.opened(record.payload()), clear);
    }

    #[test]
    fn a_record_of_another_event_is_told_apart(envelope in any_envelope(), hash in any_digest(), at in any::<prop::sample::Index>()) {
        let clear = encode_body(&envelope, &hash);
        let record = Record::read(&clear).unwrap();
        let sealed = record.sealed(b"blob");
        let mut other = sealed.clone();
        // The signing hash: any byte of it makes another event.
        other[2 + at.index(32)] ^= 1;
        prop_assert!(!Record::read(&other).unwrap().is_same_event(&record));
    }

    #[test]
    fn a_cut_record_is_refused(envelope in any_envelope(), at in any::<prop::sample::Index>()) {
        let bytes = encode_body(&envelope, &Digest([1; 32]));
        prop_assert!(decode_body(&bytes[..at.index(bytes.len())]).is_err());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = decode_body(&bytes);
        let mut with_version = vec![1, bytes.first().copied().unwrap_or(0) & FLAGS];
        with_version.extend(&bytes);
        let _ = decode_body(&with_version);
    }
}

#[test]
fn a_false_length_allocates_nothing() {
    let mut bytes = vec![VERSION, ENCRYPTED];
    bytes.extend([0; 32 + 4 * 16 + 4 + 32 + 64 + 4 * 4 + 12 + 16 + 4]);
    bytes.extend(u32::MAX.to_le_bytes());
    assert_eq!(decode_body(&bytes), Err(RecordError::Short("recipients")));
}

#[test]
fn a_record_takes_one_allocation() {
    let text = "x".repeat(300);
    let envelope = crate::testing::envelope(1, 1, &text);
    let bytes = encode_body(&envelope, &Digest::ZERO);
    assert!(bytes.capacity() >= bytes.len() && bytes.capacity() <= bytes.len() + 32 + 16 + 8 + 4);
}

//! Bytes and JSON: read back what was written, and nothing else.

use proptest::prelude::*;
use stateset_ledger_types::StateKey;
use stateset_ledger_types::ids::SpentKey;
use stateset_light::{CERTIFICATE_BYTES_MAX, Certificate, FormError, TrustedState};

use crate::made::{NOW, by_block, certificate, chain, key, trusted, tx_id};

fn two() -> (Certificate, Certificate, TrustedState) {
    let chain = chain("notes-1");
    let absent = certificate(&chain, 8, &StateKey::spent(&SpentKey([4; 32])));
    (certificate(&chain, 6, &key(1)), absent, trusted(&chain, 5))
}

#[test]
fn both_forms_read_back_what_was_written() {
    let (present, absent, trusted) = two();
    for certificate in [&present, &absent] {
        let (bytes, json) = (certificate.to_bytes().expect("small"), certificate.to_json());
        assert_eq!(&Certificate::from_bytes(&bytes).expect("bytes"), certificate);
        let read = Certificate::from_json(json.as_bytes()).expect("JSON");
        assert_eq!(&read, certificate);
        assert_eq!((read.to_json(), read.to_bytes().expect("small")), (json, bytes));
    }
    let json = trusted.to_json();
    assert_eq!(TrustedState::from_json(json.as_bytes()).expect("JSON"), trusted);
    // After a form it proves what it proved.
    let read = Certificate::from_json(present.to_json().as_bytes()).expect("JSON");
    assert!(read.verify(&tx_id(1), &by_block(&trusted), NOW).is_ok());
}

#[test]
fn what_is_not_in_the_one_form_is_refused_by_name() {
    let (certificate, _, trusted) = two();
    let bytes = certificate.to_bytes().expect("small");
    let mut trailing = bytes.clone();
    trailing.push(0);
    assert!(matches!(Certificate::from_bytes(&trailing), Err(FormError::Encoding(_))));
    let mut version = bytes.clone();
    version[1] = 2;
    assert_eq!(Certificate::from_bytes(&version), Err(FormError::Version(2)));
    let large = vec![0; CERTIFICATE_BYTES_MAX + 1];
    assert!(matches!(Certificate::from_bytes(&large), Err(FormError::TooLarge { .. })));
    assert!(matches!(Certificate::from_json(&large), Err(FormError::TooLarge { .. })));
    let json = certificate.to_json();
    let replaced = |from: &str, to: &str| {
        assert!(json.contains(from), "{from}");
        Certificate::from_json(json.replacen(from, to, 1).as_bytes()).expect_err("refused").to_string()
    };
    assert!(replaced("stateset-certificate-1", "stateset-certificate-2").starts_with("format: "));
    assert!(replaced("\"notary\"", "\"notaries\"").starts_with("substore: "));
    assert!(replaced("\"key\": \"tx/", "\"key\": \"tx /").starts_with("key: "));
    assert!(replaced("\"height\": 6", "\"height\": 18446744073709551615").starts_with("height: "));
    assert!(replaced("\"height\": 6", "\"heights\": 6").contains("heights"));
    assert!(replaced("\"public_key\": \"", "\"public_key\": \"00").starts_with("validators: "));
    assert!(
        replaced("\"voting_power\": \"", "\"voting_power\": \"9223372036854775807")
            .starts_with("validators: ")
    );
    // Found by fuzzing: the decoder of base 64 below panicked.
    let signature =
        json.split("\"signature\": \"").nth(1).and_then(|rest| rest.split('"').next()).expect("one");
    for text in ["=", "A", "====", &signature[..signature.len() - 1], &format!("{signature}\\u0000")] {
        assert!(replaced(signature, text).contains("base 64"), "{text}");
    }
    let trusted = trusted.to_json().replacen("stateset-trusted-block-1", "block", 1);
    assert!(TrustedState::from_json(trusted.as_bytes()).is_err());
}

/// Protobuf has many encodings of one message; a certificate has one.
#[test]
fn another_encoding_of_the_same_parts_is_refused() {
    let (certificate, ..) = two();
    let bytes = certificate.to_bytes().expect("small");
    // The light block is the last part: a field that the message does not know is skipped by every reader of protobuf.
    let block = certificate.block.signed_header.header.hash();
    assert!(!block.is_empty());
    let length = {
        use prost::Message as _;
        tendermint_proto::v0_38::types::LightBlock {
            signed_header: Some(certificate.block.signed_header.clone().into()),
            validator_set: Some(certificate.block.validators.clone().into()),
        }
        .encoded_len()
    };
    let at = bytes.len() - length - 4;
    assert_eq!(bytes[at..at + 4], u32::try_from(length).expect("small").to_be_bytes());
    let mut other = bytes.clone();
    other[at..at + 4].copy_from_slice(&u32::try_from(length + 2).expect("small").to_be_bytes());
    // Field 15, a varint of 0.
    other.extend([0x78, 0]);
    assert_eq!(Certificate::from_bytes(&other), Err(FormError::NotCanonical));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// No byte of a certificate can be changed unseen.
    #[test]
    fn every_changed_byte_is_refused(at in any::<prop::sample::Index>(), by in 1..=255u8, which in any::<bool>()) {
        let (present, absent, trusted) = two();
        let bytes = if which { &present } else { &absent }.to_bytes().expect("small");
        let mut changed = bytes.clone();
        changed[at.index(bytes.len())] ^= by;
        if let Ok(certificate) = Certificate::from_bytes(&changed) {
            let key = if which { key(1) } else { StateKey::spent(&SpentKey([4; 32])) };
            let verdict = certificate.verify_at(&key, &by_block(&trusted), NOW);
            prop_assert!(verdict.is_err(), "byte {} of {}", at.index(bytes.len()), bytes.len());
        }
    }
}

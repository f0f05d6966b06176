//! Payment intents (section 16) and what a compliance proof is about (section 17).

use stateset_fixtures::sequencer_key;
use ves::compliance::{Policy, WitnessCommitment, check_public_inputs, public_inputs_hash};
use ves::ed25519::PublicKey;
use ves::hex::Format;
use ves::x402::{AMOUNT_MAX, Asset, Network, Terms, VALIDITY_S_MAX};

use crate::Input;

/// Consent to some terms is consent to no others.
pub fn payment(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let address = |bytes: [u8; 20]| ves::hex::encode_0x(&bytes);
    let now_s = input.u64() % (1 << 40);
    let terms = Terms {
        payer: address(input.bytes()),
        payee: address(input.bytes()),
        amount: input.u64(),
        asset: Asset::ALL[input.below(Asset::ALL.len())],
        network: Network::ALL[input.below(Network::ALL.len())],
        valid_until_s: now_s.wrapping_add(input.u64() % (2 * VALIDITY_S_MAX)),
        nonce: input.u64(),
    };
    assert_eq!(Asset::from_text(terms.asset.text()), Some(terms.asset));
    assert_eq!(Network::from_text(terms.network.text()), Some(terms.network));
    let lasts = (now_s..=now_s + VALIDITY_S_MAX).contains(&terms.valid_until_s);
    let fair = (1..=AMOUNT_MAX).contains(&terms.amount) && terms.payer != terms.payee && lasts;
    for format in [Format::Lenient, Format::Strict] {
        assert_eq!(terms.check(now_s, format).is_ok(), fair, "{terms:?} at {now_s}");
    }

    let signer = sequencer_key(2);
    let key = PublicKey::from_bytes(&signer.public_key()).expect("a generated key");
    let hash = terms.signing_hash();
    let mut signature = signer.sign(&hash.0);
    assert_eq!(terms.check_consent(&hash, &key, &signature), Ok(()));
    let other = Terms { amount: terms.amount ^ 1, ..terms.clone() };
    let later = Terms { nonce: terms.nonce ^ 1, ..terms.clone() };
    for other in [other, later] {
        assert!(other.check_consent(&hash, &key, &signature).is_err());
        assert!(other.check_consent(&other.signing_hash(), &key, &signature).is_err());
    }
    signature[input.below(64)] ^= input.byte() | 1;
    assert!(terms.check_consent(&hash, &key, &signature).is_err());
    fair
}

/// The input is a policy's name, a line end, and JSON: parameters, and submitted public inputs.
pub fn compliance(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    if let Some(commitment) = WitnessCommitment::from_hex(text) {
        assert_eq!(commitment.to_hex(), text);
        return true;
    }
    let (id, json) = text.split_once('\n').unwrap_or(("aml.threshold", text));
    let policy = Policy::new(id, Some(json));
    if let Ok(policy) = &policy {
        assert_eq!(ves::json::canonicalize(&policy.canonical()).expect("JSON"), policy.canonical());
        assert_eq!(
            Policy::new(policy.id(), Some(policy.params())).as_ref().map(Policy::hash),
            Ok(policy.hash())
        );
    }
    if let Ok(hash) = public_inputs_hash(json) {
        let canonical = ves::json::canonicalize(json).expect("hashed before");
        assert_eq!(public_inputs_hash(&canonical), Ok(hash));
        assert_eq!(check_public_inputs(json, &canonical), Ok(()));
        // A witness commitment may come on top, anything else may not.
        let with = |member: &str| match canonical.as_ref() {
            "{}" => format!("{{{member}}}"),
            more => format!("{{{member},{}", &more[1..]),
        };
        if !json.contains("witness") && !json.contains('\\') {
            assert_eq!(check_public_inputs(&with(r#""witnessCommitment":[1]"#), &canonical), Ok(()));
        }
        assert!(check_public_inputs(&with(r#""one more":1"#), &canonical).is_err());
    }
    policy.is_ok()
}

pub fn payment_seeds() -> Vec<Vec<u8>> {
    let fair = |n: u8| {
        let (now, party, amount) = (1_766_253_070_u64.to_be_bytes(), [n; 20], 2500_u64.to_be_bytes());
        [&now[..], &party, &[n + 1; 20], &amount, &[0, n, 0, n], &600_u64.to_be_bytes(), &[n; 8], &[0, n, 1]]
            .concat()
    };
    (1..5).map(fair).collect()
}

pub fn compliance_seeds() -> Vec<Vec<u8>> {
    [
        "aml.threshold\n{\"threshold\":10000}",
        " order_total.cap \n{ \"cap\" : 5e3, \"a\":{} }",
        "x\n{\"eventId\":\"861910c9-7a1d-4b6f-83d6-51bbf4ae2849\",\"policyParams\":{},\"witnessCommitment\":[1,2,3,4]}",
        "0000000000000001000000000000000200000000000000030000000000000004",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

//! Signatures: one rule, however it is computed (section 8.2); receipts and proofs of possession stand on it.

use curve25519_dalek::constants::{ED25519_BASEPOINT_TABLE, EIGHT_TORSION};
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use ed25519_dalek::Verifier as _;
use sha2::{Digest as _, Sha512};
use stateset_fixtures::{Agent, plain_event, sequencer_key, stream};
use ves::ed25519::{Check, CheckKey, KeyTable, PublicKey, SigningKey, verify_many};
use ves::ids::{AgentId, KeyId, SequenceNumber, SequencerId, TenantId};
use ves::keys::{check_possession, possession_challenge, possession_challenge_bound};
use ves::receipt::{Receipt, receipt_hash};
use ves::time::TimestampMs;

use crate::Input;

/// Key, message and signature are made from the input, then possibly bent: bits flipped, torsion added, S raised.
pub fn agreement(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let seed = input.bytes();
    let signer = SigningKey::from_seed(seed);
    let (how, small_order) = (input.byte(), EIGHT_TORSION[input.below(8)]);
    let (at, mask) = (input.below(64), input.byte());
    let key_bytes = if how & 8 != 0 { input.bytes() } else { signer.public_key() };
    let message = input.rest();
    let mut signature = match how & 3 {
        0 => signer.sign(message),
        1 => signature_with_torsion(&seed, message, &small_order),
        2 => {
            // The same residue with S + L, which a careless verifier takes for the same signature.
            let mut raised = signer.sign(message);
            add_group_order(&mut raised);
            raised
        }
        _ => {
            // R of small order, S = 0.
            let mut bent = [0; 64];
            bent[..32].copy_from_slice(small_order.compress().as_bytes());
            bent
        }
    };
    if how & 4 != 0 {
        signature[at] ^= mask;
    }

    let other_library = ed25519_dalek::VerifyingKey::from_bytes(&key_bytes);
    let Ok(key) = PublicKey::from_bytes(&key_bytes) else {
        assert!(how & 8 != 0, "a generated key is registrable");
        return false;
    };
    assert_eq!(key.as_bytes(), &key_bytes);
    let expected = other_library
        .expect("a registrable key decodes")
        .verify(message, &ed25519_dalek::Signature::from_bytes(&signature))
        .is_ok();
    let table = KeyTable::new(&key);
    let by = |key| Check { key, message, signature: &signature };
    let verdicts =
        verify_many(&[by(CheckKey::Table(&table)), by(CheckKey::Plain(&key)), by(CheckKey::Table(&table))]);
    assert_eq!(key.verify(message, &signature), expected, "single check against another library");
    assert_eq!(verdicts, [expected; 3], "many at once against another library");
    match how & 15 {
        0 => assert!(expected, "an honest signature verifies"),
        1 => assert_eq!(expected, small_order == EdwardsPoint::default(), "torsion in R"),
        2 => assert!(!expected, "S is not below the group order"),
        _ => {}
    }
    expected
}

/// An owner's signature whose R carries a small-order part: batch equations may take it, the single check must not,
/// unless the part is the identity.
fn signature_with_torsion(seed: &[u8; 32], message: &[u8], small_order: &EdwardsPoint) -> [u8; 64] {
    let secret: [u8; 64] = Sha512::digest(seed).into();
    let (low, prefix) = secret.split_at(32);
    let a = Scalar::from_bytes_mod_order(clamp_integer(low.try_into().expect("32 of 64 bytes")));
    let public_key = (&a * ED25519_BASEPOINT_TABLE).compress();
    let wide = |hash: Sha512| Scalar::from_bytes_mod_order_wide(&hash.finalize().into());
    let nonce = wide(Sha512::new().chain_update(prefix).chain_update(message));
    let r = (&nonce * ED25519_BASEPOINT_TABLE + small_order).compress();
    let k = wide(
        Sha512::new().chain_update(r.as_bytes()).chain_update(public_key.as_bytes()).chain_update(message),
    );
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(r.as_bytes());
    signature[32..].copy_from_slice((nonce + k * a).as_bytes());
    signature
}

/// Adds the group order to S, little-endian.
fn add_group_order(signature: &mut [u8; 64]) {
    // L - 1 is the largest canonical scalar; one more makes L.
    let largest = (Scalar::ZERO - Scalar::ONE).to_bytes();
    let mut carry = 1;
    for (s, l) in signature[32..].iter_mut().zip(largest) {
        let sum = u16::from(*s) + u16::from(l) + carry;
        *s = sum as u8;
        carry = sum >> 8;
    }
}

/// The input says which part of a genuine receipt to change.
pub fn receipt(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let stream = stream(1);
    let event = plain_event(&Agent::new(&stream, 1), &stream, 1);
    let mut signing_hash = event.signing_hash();
    let signer = sequencer_key(1);
    let n = SequenceNumber(1 + input.u64() % SequenceNumber::MAX.0);
    let hash = receipt_hash(&stream, &event.event_id, n, &signing_hash);
    let mut receipt = Receipt {
        sequencer_id: SequencerId::random([1; 16]),
        stream,
        event_id: event.event_id,
        sequence_number: n,
        sequenced_at: TimestampMs(0),
        receipt_hash: hash,
        signature: Some(signer.sign(&hash.0)),
        key_version: 1,
    };
    let key = PublicKey::from_bytes(&signer.public_key()).expect("a generated key");
    assert_eq!(receipt.verify(&signing_hash, &key), Ok(()));

    let (what, at, mask) = (input.below(6), input.below(64), input.byte());
    match what {
        0 => signing_hash.0[at % 32] ^= mask,
        1 => receipt.receipt_hash.0[at % 32] ^= mask,
        2 => receipt.signature.as_mut().expect("signed")[at] ^= mask,
        3 => receipt.sequence_number.0 ^= u64::from(mask),
        4 => {
            let mut bytes = *receipt.event_id.as_bytes();
            bytes[at % 16] ^= mask;
            receipt.event_id = ves::ids::EventId::from_bytes(bytes);
        }
        _ => {
            let mut bytes = *receipt.stream.store_id.as_bytes();
            bytes[at % 16] ^= mask;
            receipt.stream.store_id = ves::ids::StoreId::from_bytes(bytes);
        }
    }
    let verdict = receipt.verify(&signing_hash, &key);
    assert_eq!(verdict.is_ok(), mask == 0, "changed part {what} by {mask}: {verdict:?}");
    verdict.is_ok()
}

/// Proofs of one key, tried on others and elsewhere.
pub fn possession(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let signer = SigningKey::from_seed(input.bytes());
    let public_key = signer.public_key();
    let key = PublicKey::from_bytes(&public_key).expect("a generated key");
    let (tenant, agent) = (TenantId::random(input.bytes()), AgentId::random(input.bytes()));
    let key_id = KeyId(u32::from_be_bytes(input.bytes()));
    let bound = signer.sign(&possession_challenge_bound(&tenant, &agent, key_id, &public_key).0);
    let free = signer.sign(&possession_challenge(&public_key).0);
    for proof in [&bound, &free] {
        assert!(check_possession(&key, &tenant, &agent, key_id, proof).is_ok());
    }

    // Elsewhere only the older form holds.
    assert!(check_possession(&key, &tenant, &agent, KeyId(key_id.0 ^ 1), &bound).is_err());
    assert!(check_possession(&key, &tenant, &agent, KeyId(key_id.0 ^ 1), &free).is_ok());
    // Another key is proved by neither, and no changed proof is one.
    let other = PublicKey::from_bytes(&sequencer_key(input.u64()).public_key()).expect("a generated key");
    let (at, mask) = (input.below(64), input.byte() | 1);
    for mut proof in [bound, free] {
        assert!(other == key || check_possession(&other, &tenant, &agent, key_id, &proof).is_err());
        proof[at] ^= mask;
        assert!(check_possession(&key, &tenant, &agent, key_id, &proof).is_err());
    }
    true
}

pub fn seeds() -> Vec<Vec<u8>> {
    (0..16_u8)
        .map(|how| [[how; 32].as_slice(), &[how, 0, how, 0, 3, 1], b"a message, then another"].concat())
        .collect()
}

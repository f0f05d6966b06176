use ves::ed25519::SigningKey;
use ves::{AgentId, KeyAlgorithm, TenantId};

use super::*;
use crate::commitment::{FieldDescription, Opening};

const TIMES: BindingTimes = BindingTimes { event: TimestampMs(1_000), first_seen: TimestampMs(2_000) };

fn commitments() -> Vec<CommittedField> {
    ["amount", "tax"]
        .iter()
        .map(|name| {
            let field = FieldDescription::new(name, "", "amount", "USD", 2).unwrap();
            let commitment = Opening::new(5, [1, 2, 3, 4]).unwrap().commit(&field);
            CommittedField { field, commitment }
        })
        .collect()
}

fn signer() -> SigningKey {
    SigningKey::from_seed([7; 32])
}

fn key() -> AgentKey {
    AgentKey {
        tenant_id: TenantId::from_bytes([1; 16]),
        agent_id: AgentId::from_bytes([2; 16]),
        key_id: KeyId(3),
        public_key: signer().public_key(),
        algorithm: KeyAlgorithm::Ed25519,
        ml_dsa_65: None,
        status: KeyStatus::Active,
        valid_from: Some(TimestampMs(500)),
        valid_to: Some(TimestampMs(1_500)),
        revoked_at: None,
        created_at: TimestampMs(0),
        metadata: None,
    }
}

const EVENT: Digest = Digest([9; 32]);

fn binding() -> CommitmentBinding {
    CommitmentBinding::sign(&EVENT, KeyId(3), &commitments(), &signer()).unwrap()
}

fn refusal(binding: &CommitmentBinding, key: &AgentKey, times: BindingTimes) -> Option<BindingError> {
    binding.verify_registered(&EVENT, &commitments(), key, times).err()
}

/// Section 11, item 13.
#[test]
fn only_the_agents_own_valid_key_binds() {
    assert_eq!(refusal(&binding(), &key(), TIMES), None);
    let other = AgentKey { public_key: SigningKey::from_seed([8; 32]).public_key(), ..key() };
    assert_eq!(refusal(&binding(), &other, TIMES), Some(BindingError::Signature));
    let renumbered = AgentKey { key_id: KeyId(4), ..key() };
    let expected = BindingError::OtherKey { bound: KeyId(3), shown: KeyId(4) };
    assert_eq!(refusal(&binding(), &renumbered, TIMES), Some(expected));
    let encrypting = AgentKey { algorithm: KeyAlgorithm::MlDsa65, ..key() };
    assert_eq!(refusal(&binding(), &encrypting, TIMES), Some(BindingError::NoEd25519Key));
    // Small order: the identity verifies everything under a careless rule.
    let mut identity = [0; 32];
    identity[0] = 1;
    let small = AgentKey { public_key: identity, ..key() };
    assert_eq!(refusal(&binding(), &small, TIMES), Some(BindingError::NoEd25519Key));
}

/// Section 11, item 13.
#[test]
fn a_key_binds_only_inside_its_window_and_before_its_revocation() {
    use KeyProblem::{Expired, NotYetValid, Revoked};
    let at = |event| BindingTimes { event: TimestampMs(event), ..TIMES };
    let not_valid = |problem| Some(BindingError::KeyNotValid(problem));
    assert_eq!(refusal(&binding(), &key(), at(499)), not_valid(NotYetValid { from: TimestampMs(500) }));
    assert_eq!(refusal(&binding(), &key(), at(1_501)), not_valid(Expired { at: TimestampMs(1_500) }));
    // A revocation between the event and the binding: the thief of a key binds nothing, not even older events.
    for (revoked_at, expected) in [(900, not_valid(Revoked)), (1_700, not_valid(Revoked)), (2_001, None)] {
        let revoked = key().revoked(TimestampMs(revoked_at));
        assert_eq!(refusal(&binding(), &revoked, TIMES), expected, "revoked at {revoked_at}");
    }
    let without_moment = AgentKey { status: KeyStatus::Revoked, ..key() };
    assert_eq!(refusal(&binding(), &without_moment, TIMES), not_valid(Revoked));
}

/// Section 11, items 7 and 13.
#[test]
fn the_signature_covers_event_key_order_names_paths_and_values() {
    let public = ves::ed25519::PublicKey::from_bytes(&signer().public_key()).unwrap();
    let check = |binding: &CommitmentBinding, event: &Digest, list: &[CommittedField]| {
        binding.verify(event, list, &public)
    };
    assert_eq!(check(&binding(), &EVENT, &commitments()), Ok(()));
    assert_eq!(check(&binding(), &Digest([8; 32]), &commitments()), Err(BindingError::Signature));
    let rekeyed = CommitmentBinding { agent_key_id: KeyId(4), ..binding() };
    assert_eq!(check(&rekeyed, &EVENT, &commitments()), Err(BindingError::Signature));
    let mut lists = vec![commitments(); 4];
    lists[0].swap(0, 1);
    lists[1].pop();
    lists[2][0].field = FieldDescription::new("amount", "elsewhere", "amount", "USD", 2).unwrap();
    lists[3][0].commitment = lists[3][1].commitment;
    for list in lists {
        assert_eq!(check(&binding(), &EVENT, &list), Err(BindingError::Signature));
    }
}

/// Section 11, item 13: S and S + L are the same scalar, and only one of them is a signature.
#[test]
fn a_malleated_signature_is_refused() {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut malleated = binding();
    let mut carry = 0u16;
    for (byte, order) in malleated.signature[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
    assert_eq!(carry, 0);
    assert_eq!(refusal(&malleated, &key(), TIMES), Some(BindingError::Signature));
}

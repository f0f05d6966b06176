//! Steps 8 to 10 of section 10 and the key ring under them: one event's fault is its own, keys get hot and cold.

use proptest::collection::vec;
use proptest::prelude::*;
use ves::ed25519::KeyTable;
use ves::event::plain_hash;
use ves::keys::{KEY_TABLES_MAX, TABLE_AFTER_USES};
use ves::{
    AgentId, AgentKey, Digest, Envelope, EventId, KeyAlgorithm, KeyId, KeyProblem, KeyRing, KeyStatus,
    Payload, Rejection, SigningKey, StoreId, StreamKey, TenantId, TimestampMs, verify_batch, verify_one,
};

const NOW: TimestampMs = TimestampMs(1_000);

fn tenant() -> TenantId {
    TenantId::from_bytes([1; 16])
}

fn agent(n: u16) -> AgentId {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&n.to_be_bytes());
    AgentId::from_bytes(bytes)
}

fn owner(n: u16) -> SigningKey {
    let mut seed = [5; 32];
    seed[..2].copy_from_slice(&n.to_be_bytes());
    SigningKey::from_seed(seed)
}

fn key(n: u16) -> AgentKey {
    AgentKey {
        tenant_id: tenant(),
        agent_id: agent(n),
        key_id: KeyId(1),
        public_key: owner(n).public_key(),
        algorithm: KeyAlgorithm::Ed25519,
        ml_dsa_65: None,
        status: KeyStatus::Active,
        valid_from: None,
        valid_to: None,
        revoked_at: None,
        created_at: TimestampMs(0),
        metadata: None,
    }
}

fn event(n: u16, id: u8) -> Envelope<'static> {
    let mut event = Envelope {
        event_id: EventId::from_bytes([id; 16]),
        stream: StreamKey { tenant_id: tenant(), store_id: StoreId::from_bytes([2; 16]) },
        source_agent_id: agent(n),
        agent_key_id: KeyId(1),
        entity_type: "order".into(),
        entity_id: format!("ORD-{id}").into(),
        event_type: "order.created".into(),
        created_at: "2025-12-20T17:51:10.243Z".into(),
        payload: Payload::Plain("{\"a\":1}".into()),
        payload_plain_hash: plain_hash("{\"a\":1}"),
        payload_cipher_hash: Digest::ZERO,
        agent_signature: [0; 64],
        command_id: None,
        base_version: None,
        kernel: None,
        ml_dsa_65_signature: None,
    };
    event.agent_signature = owner(n).sign(event.signing_hash().as_bytes());
    event
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    Payload,
    PayloadAndKey,
    UnknownKey,
    RevokedKey,
    RevokedAndSignature,
    Signature,
    Field,
}

fn spoil(mut event: Envelope<'static>, fault: Fault) -> (Envelope<'static>, Option<Rejection>) {
    let not_found = Rejection::AgentKeyInvalid(KeyProblem::NotFound);
    let revoked = Rejection::AgentKeyInvalid(KeyProblem::Revoked);
    let expected = match fault {
        Fault::None => None,
        Fault::Payload => {
            event.payload = Payload::Plain("{\"a\":2}".into());
            Some(Rejection::InvalidPayloadHash)
        }
        Fault::PayloadAndKey => {
            event.payload = Payload::Plain("{\"a\":2}".into());
            event.agent_key_id = KeyId(9);
            Some(Rejection::InvalidPayloadHash)
        }
        Fault::UnknownKey => {
            event.agent_key_id = KeyId(9);
            Some(not_found)
        }
        Fault::RevokedKey => {
            event.agent_key_id = KeyId(2);
            event.agent_signature = owner(1000).sign(event.signing_hash().as_bytes());
            Some(revoked)
        }
        Fault::RevokedAndSignature => {
            event.agent_key_id = KeyId(2);
            Some(revoked)
        }
        Fault::Signature => {
            event.agent_signature[40] ^= 4;
            Some(Rejection::InvalidSignature)
        }
        Fault::Field => {
            event.entity_id = "ORD-other".into();
            Some(Rejection::InvalidSignature)
        }
    };
    (event, expected)
}

fn ring() -> KeyRing {
    let revoked =
        |n| AgentKey { key_id: KeyId(2), public_key: owner(1000).public_key(), ..key(n) }.revoked(NOW);
    KeyRing::new((0..4).map(key).chain((0..4).map(revoked)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever stands beside it, and whether its key is hot or cold, an event gets its own first fault.
    #[test]
    fn each_event_gets_the_verdict_it_gets_alone(
        batches in vec(vec((0..4u16, any::<u8>(), prop_oneof![
            5 => Just(Fault::None), 1 => Just(Fault::Payload), 1 => Just(Fault::PayloadAndKey), 1 => Just(Fault::UnknownKey),
            1 => Just(Fault::RevokedKey), 1 => Just(Fault::RevokedAndSignature), 2 => Just(Fault::Signature), 1 => Just(Fault::Field),
        ]), 0..20), 1..8)
    ) {
        let ring = ring();
        for batch in batches {
            let made: Vec<_> = batch.iter().map(|(n, id, fault)| spoil(event(*n, *id), *fault)).collect();
            let outcomes = verify_batch(made.iter().map(|(event, _)| event.clone()).collect(), &ring, NOW);
            prop_assert_eq!(outcomes.len(), made.len());
            for (outcome, (event, expected)) in outcomes.into_iter().zip(made) {
                match outcome {
                    Ok(verified) => {
                        prop_assert_eq!(expected, None);
                        prop_assert_eq!(verified.signing_hash(), &event.signing_hash());
                        prop_assert_eq!(verified.into_parts().0, event);
                    }
                    Err((refused, rejection)) => {
                        prop_assert_eq!(refused, event);
                        prop_assert_eq!(Some(rejection), expected);
                    }
                }
            }
        }
    }
}

#[test]
fn a_key_gets_its_table_after_enough_uses_and_the_verdicts_stay() {
    let ring = ring();
    for round in 0..2 * TABLE_AFTER_USES {
        assert_eq!(ring.tables(), usize::from(round >= TABLE_AFTER_USES), "{round}");
        assert!(verify_one(event(0, 1), &ring, NOW).is_ok());
        let (bad, expected) = spoil(event(0, 1), Fault::Signature);
        if round >= TABLE_AFTER_USES {
            assert_eq!(verify_one(bad, &ring, NOW).err(), expected);
        }
    }
}

#[test]
fn a_revoked_key_signs_nothing_more_and_gives_up_its_table() {
    let ring = ring();
    let batch = || vec![event(0, 1); TABLE_AFTER_USES as usize];
    assert!(verify_batch(batch(), &ring, NOW).iter().all(Result::is_ok));
    assert_eq!(ring.tables(), 1);
    let revoked = ring.revoke(&tenant(), &agent(0), KeyId(1), NOW).unwrap();
    assert_eq!((revoked.status, revoked.revoked_at), (KeyStatus::Revoked, Some(NOW)));
    assert_eq!(ring.tables(), 0);
    assert_eq!(verify_one(event(0, 1), &ring, NOW), Err(Rejection::AgentKeyInvalid(KeyProblem::Revoked)));
    assert!(verify_one(event(1, 1), &ring, NOW).is_ok());
    assert_eq!(ring.revoke(&tenant(), &agent(77), KeyId(1), NOW), None);
}

#[test]
fn keys_that_could_not_be_registered_verify_nothing() {
    let mut small = key(0);
    small.public_key = [0; 32];
    let mut foreign = key(1);
    foreign.algorithm = KeyAlgorithm::X25519;
    let ring = KeyRing::new([small, foreign]);
    for _ in 0..2 * TABLE_AFTER_USES {
        assert_eq!(verify_one(event(0, 1), &ring, NOW), Err(Rejection::InvalidSignature));
        let foreign = Rejection::UnsupportedSignatureScheme { scheme: 1 };
        assert_eq!(verify_one(event(1, 1), &ring, NOW), Err(foreign));
    }
    assert_eq!(ring.tables(), 0);
}

#[test]
fn listings_are_of_one_tenant_or_agent_in_order() {
    let other = AgentKey { tenant_id: TenantId::from_bytes([9; 16]), ..key(3) };
    let second = AgentKey { key_id: KeyId(2), ..key(1) };
    let ring = KeyRing::new([key(2), second.clone(), key(1), other.clone()]);
    assert_eq!(ring.keys(&tenant(), None), [key(1), second.clone(), key(2)]);
    assert_eq!(ring.keys(&tenant(), Some(&agent(1))), [key(1), second]);
    assert_eq!(ring.agents(&tenant()), [agent(1), agent(2)]);
    assert_eq!(ring.keys(&other.tenant_id, None), [other]);
    assert_eq!((ring.len(), ring.is_empty()), (4, false));
}

#[test]
fn readers_and_writers_share_the_ring() {
    let ring = ring();
    std::thread::scope(|scope| {
        for n in 0..3u16 {
            let ring = &ring;
            scope.spawn(move || {
                for _ in 0..20 {
                    assert!(verify_batch(vec![event(n, 1); 5], ring, NOW).iter().all(Result::is_ok));
                }
            });
        }
        scope.spawn(|| {
            for n in 100..200 {
                ring.insert(key(n));
                ring.revoke(&tenant(), &agent(n), KeyId(1), NOW).unwrap();
            }
        });
    });
    assert_eq!((ring.len(), ring.tables()), (108, 3));
}

/// More keys than tables, used alike: the first to become hot keep their tables; a much hotter one takes a place.
#[test]
fn tables_are_bounded_and_keys_used_alike_do_not_drive_each_other_out() {
    const { assert!(KEY_TABLES_MAX * KeyTable::BYTES <= 60 << 20) };
    let keys = KEY_TABLES_MAX as u16 + 4;
    let ring = KeyRing::new((0..keys).map(key));
    for n in 0..keys {
        let batch = vec![event(n, 1); TABLE_AFTER_USES as usize];
        assert!(verify_batch(batch, &ring, NOW).iter().all(Result::is_ok));
    }
    let has_table = |n| ring.get(&tenant(), &agent(n), KeyId(1)).unwrap().table().is_some();
    assert_eq!(ring.tables(), KEY_TABLES_MAX);
    assert!(has_table(0) && !has_table(keys - 1));
    let batch = vec![event(keys - 1, 1); 2 * TABLE_AFTER_USES as usize];
    assert!(verify_batch(batch, &ring, NOW).iter().all(Result::is_ok));
    assert_eq!((ring.tables(), has_table(keys - 1)), (KEY_TABLES_MAX, true));
}

mod post_quantum {
    use ves::keys::{MlDsaSigningKey, SecurityProfile};
    use ves::verify_batch_under;

    use super::*;

    fn quantum() -> MlDsaSigningKey {
        MlDsaSigningKey::from_seed([6; 32])
    }

    fn hybrid_key() -> AgentKey {
        AgentKey {
            algorithm: KeyAlgorithm::Ed25519MlDsa65,
            ml_dsa_65: Some(quantum().public_key()),
            ..key(1)
        }
    }

    fn strict_key() -> AgentKey {
        AgentKey { public_key: [0; 32], algorithm: KeyAlgorithm::MlDsa65, ..hybrid_key() }
    }

    fn hybrid_event() -> Envelope<'static> {
        let mut event = event(1, 1);
        event.countersign(&quantum()).unwrap();
        event
    }

    fn strict_event() -> Envelope<'static> {
        let mut event = event(1, 2);
        event.sign_ml_dsa_65(&quantum()).unwrap();
        event
    }

    fn verdict(key: AgentKey, event: Envelope<'static>) -> Result<(), Rejection> {
        verify_one(event, &KeyRing::new([key]), NOW).map(drop)
    }

    fn unsupported(scheme: u64) -> Result<(), Rejection> {
        Err(Rejection::UnsupportedSignatureScheme { scheme })
    }

    #[test]
    fn a_key_verifies_its_own_scheme_and_no_other() {
        for (key, own) in [(key(1), 1), (strict_key(), 2), (hybrid_key(), 3)] {
            for event in [event(1, 3), strict_event(), hybrid_event()] {
                let scheme = u64::from(event.signature_scheme().number());
                let expected = if scheme == own { Ok(()) } else { unsupported(scheme) };
                assert_eq!(verdict(key.clone(), event), expected, "{own} and {scheme}");
            }
        }
    }

    #[test]
    fn both_halves_of_a_hybrid_signature_must_hold() {
        let bent = |bend: fn(&mut Envelope<'_>)| {
            let mut event = hybrid_event();
            bend(&mut event);
            verdict(hybrid_key(), event)
        };
        assert_eq!(bent(|_| ()), Ok(()));
        assert_eq!(bent(|event| event.agent_signature[40] ^= 1), Err(Rejection::InvalidSignature));
        let quantum = |event: &mut Envelope<'_>| event.ml_dsa_65_signature.as_mut().unwrap()[9] ^= 1;
        assert_eq!(bent(quantum), Err(Rejection::InvalidSignature));
        assert_eq!(bent(|event| event.entity_id = "ORD-2".into()), Err(Rejection::InvalidSignature));
        // One half made by a stranger.
        assert_eq!(
            bent(|event| event.agent_signature = super::event(2, 1).agent_signature),
            Err(Rejection::InvalidSignature)
        );
        let other = MlDsaSigningKey::from_seed([7; 32]);
        let mut event = hybrid_event();
        event.countersign(&other).unwrap();
        assert_eq!(verdict(hybrid_key(), event), Err(Rejection::InvalidSignature));
        let mut event = strict_event();
        event.sign_ml_dsa_65(&other).unwrap();
        assert_eq!(verdict(strict_key(), event), Err(Rejection::InvalidSignature));
    }

    #[test]
    fn a_profile_refuses_what_is_too_weak_for_it_and_neighbours_stay() {
        let second = |key: AgentKey, n| AgentKey { key_id: KeyId(n), ..key };
        let ring = KeyRing::new([key(1), second(hybrid_key(), 2), second(strict_key(), 3)]);
        let signed = |key_id, id, sign: fn(&mut Envelope<'_>)| {
            let mut event = event(1, id);
            event.agent_key_id = KeyId(key_id);
            event.agent_signature = owner(1).sign(event.signing_hash().as_bytes());
            sign(&mut event);
            event
        };
        let events = || {
            vec![
                signed(1, 1, |_| ()),
                signed(2, 2, |event| event.countersign(&quantum()).unwrap()),
                signed(3, 3, |event| event.sign_ml_dsa_65(&quantum()).unwrap()),
                signed(1, 4, |_| ()),
            ]
        };
        let passed = |profile| {
            let outcomes = verify_batch_under(profile, events(), &ring, NOW);
            outcomes
                .into_iter()
                .map(|outcome| outcome.map(drop).map_err(|(_, rejection)| rejection))
                .collect::<Vec<_>>()
        };
        assert_eq!(passed(SecurityProfile::Legacy), [Ok(()), Ok(()), Ok(()), Ok(())]);
        assert_eq!(passed(SecurityProfile::Hybrid), [unsupported(1), Ok(()), Ok(()), unsupported(1)]);
        assert_eq!(
            passed(SecurityProfile::PqcStrict),
            [unsupported(1), unsupported(3), Ok(()), unsupported(1)]
        );
    }
}

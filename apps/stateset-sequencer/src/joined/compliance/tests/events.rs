//! Proofs about events.

use ves::ed25519::SigningKey;
use ves::{KeyId, KeyStatus};

use super::*;

/// The order of the group, little-endian: S and S + L are one scalar.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// Item 14: proofs are randomised; the statement is what is stored once.
#[tokio::test]
async fn a_second_proof_of_the_same_statement_is_the_stored_one() {
    let world = World::new(1).await;
    let statement = world.statement(&world.stream, 1, &cap()).await;
    let [first, second] =
        [(); 2].map(|()| world.bundle(&statement, &opening(5_998, 1), &world.agent, |_| ()));
    assert_ne!(first.proof, second.proof);
    assert_eq!(first.inputs, second.inputs);
    let stored = world.submit(&statement, &first).await.unwrap();
    assert!(stored.verified);
    assert_eq!(stored.statement_digest, Some(first.inputs.statement_digest()));
    assert_eq!(world.submit(&statement, &second).await.unwrap(), stored);
    let subject = stored.subject;
    assert_eq!(world.sequencer.proofs_about(&subject, &world.stream).await.unwrap().len(), 1);
    assert_eq!(world.is_valid(&stored).await, Ok(()));
    // A new commitment to the same amount, or an end of validity, makes it another statement.
    let fresh = world.bundle(&statement, &opening(5_998, 2), &world.agent, |_| ());
    let ending = world.bundle(&statement, &opening(5_998, 1), &world.agent, |inputs| {
        inputs.valid_until = Some(1 << 40);
    });
    for other in [fresh, ending] {
        assert!(matches!(world.submit(&statement, &other).await, Err(SubmitProofError::Conflict)));
    }
    // What proves nothing is refused also where the statement is the stored one.
    let mut broken = second;
    broken.proof[100] ^= 1;
    refused(world.submit(&statement, &broken).await);
}

/// Item 13: whose signature over the commitments counts, and when.
#[tokio::test]
async fn only_a_key_that_the_author_had_at_the_event_binds_a_commitment() {
    let world = World::new(1).await;
    let statement = world.statement(&world.stream, 1, &cap()).await;
    let good = world.bundle(&statement, &opening(5, 1), &world.agent, |_| ());
    let stranger = Agent::new(&world.stream, 2);
    world.sequencer.register_agent_key(stranger.registered_key()).await.unwrap();
    let signed_by = |agent: &Agent| world.bundle(&statement, &opening(5, 1), agent, |_| ());
    // Another agent of the tenant, under its own number and under one that the author does not have.
    assert!(refused(world.submit(&statement, &signed_by(&stranger)).await).contains("signature"));
    let unknown = world.agent.with_key(KeyId(9));
    assert!(refused(world.submit(&statement, &signed_by(&unknown)).await).contains("signature"));
    // A key that the author registered after the event was taken in, for a time after it.
    let later = world.agent.with_key(KeyId(2));
    let from = TimestampMs(NOW.0 + 1);
    let key = AgentKey { valid_from: Some(from), ..later.registered_key() };
    world.sequencer.register_agent_key(key).await.unwrap();
    assert!(refused(world.submit(&statement, &signed_by(&later)).await).contains("could not sign"));
    // Signed again by S + L, which verifies under a careless rule.
    let mut malleated = good.clone();
    let signature = &mut malleated.binding.as_mut().unwrap().signature;
    let mut carry = 0u16;
    for (byte, order) in signature[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
    assert_eq!(carry, 0, "it is another text of the same scalar");
    assert!(refused(world.submit(&statement, &malleated).await).contains("signature"));
    let unsigned = Bundle { binding: None, ..good.clone() };
    assert!(refused(world.submit(&statement, &unsigned).await).contains("signed"));
    assert!(world.submit(&statement, &good).await.unwrap().verified);
}

/// Item 13: a revoked key binds nothing from then on, and what it bound before stays bound.
#[tokio::test]
async fn a_revoked_key_binds_no_further_commitment() {
    let world = World::new(2).await;
    let [one, two] =
        [world.statement(&world.stream, 1, &cap()).await, world.statement(&world.stream, 2, &cap()).await];
    let stored = world.submit(&one, &world.bundle(&one, &opening(5, 1), &world.agent, |_| ())).await.unwrap();
    world.clock.advance_ms(1_000);
    world.revoke().await;
    world.clock.advance_ms(1_000);
    let late = world.bundle(&two, &opening(5, 2), &world.agent, |_| ());
    assert!(refused(world.submit(&two, &late).await).contains("revoked"));
    assert_eq!(world.is_valid(&stored).await, Ok(()), "it came in before the key was revoked");
}

/// Item 13: a key whose time is over binds what it signed in its time, and nothing that came after.
#[tokio::test]
async fn a_key_binds_events_of_its_own_time() {
    let until = TimestampMs(NOW.0 + 1_000);
    let world = World::with_key(1, |key| AgentKey { valid_to: Some(until), ..key }).await;
    world.clock.advance_ms(5_000);
    // The second event is signed with the next key, and its commitments with the old one.
    let next = world.agent.with_key(KeyId(2));
    world.sequencer.register_agent_key(next.registered_key()).await.unwrap();
    world.ingest(&world.stream, &next, 2..=2).await;
    let [one, two] =
        [world.statement(&world.stream, 1, &cap()).await, world.statement(&world.stream, 2, &cap()).await];
    let old = world.bundle(&two, &opening(5, 2), &world.agent, |_| ());
    assert!(refused(world.submit(&two, &old).await).contains("could not sign"));
    assert!(world.submit(&two, &world.bundle(&two, &opening(5, 2), &next, |_| ())).await.unwrap().verified);
    let within = world.bundle(&one, &opening(5, 1), &world.agent, |_| ());
    assert!(world.submit(&one, &within).await.unwrap().verified);
}

/// Item 13: the registry takes no key of small order; a verifier that is shown one refuses it as well.
#[tokio::test]
async fn a_small_order_key_is_neither_registered_nor_believed() {
    let world = World::new(1).await;
    // The identity verifies everything under a careless rule.
    let mut identity = [0; 32];
    identity[0] = 1;
    let small = AgentKey { key_id: KeyId(3), public_key: identity, ..world.agent.registered_key() };
    assert!(world.sequencer.register_agent_key(small.clone()).await.is_err());

    let statement = world.statement(&world.stream, 1, &cap()).await;
    let bundle = world.bundle(&statement, &opening(5, 1), &world.agent, |_| ());
    let proof = bundle.to_json();
    let setting = |key: AgentKey| stateset_sequencer::Setting {
        sequencer_id: world.sequencer.sequencer_id(),
        author_keys: vec![key],
        batch_events: Vec::new(),
        submitted_at: NOW,
        now: NOW,
    };
    let judge = |setting: &stateset_sequencer::Setting| {
        super::super::judge(&stateset_sequencer::ProofClaim {
            proof_type: "stark",
            proof_version: 2,
            proof: proof.as_bytes(),
            statement: &statement,
            witness_commitment: None,
            setting,
        })
    };
    let key = world.agent.registered_key();
    assert!(judge(&setting(key.clone())).is_ok());
    let refused = judge(&setting(AgentKey { key_id: key.key_id, ..small })).unwrap_err();
    assert!(refused.contains("Ed25519"), "{refused}");
    let expired = AgentKey { status: KeyStatus::Expired, ..key.clone() };
    assert!(judge(&setting(expired)).is_err());
    let other = AgentKey { public_key: SigningKey::from_seed([9; 32]).public_key(), ..key };
    assert!(judge(&setting(other)).is_err());
}

/// Item 14: a proof is of one event, at its number, in its store, its tenant and its deployment.
#[tokio::test]
async fn a_proof_is_not_replayed_elsewhere() {
    let world = World::new(2).await;
    let own = world.statement(&world.stream, 1, &cap()).await;
    let bundle = world.bundle(&own, &opening(5, 1), &world.agent, |_| ());

    // Another event.
    let neighbour = world.statement(&world.stream, 2, &cap()).await;
    assert!(refused(world.submit(&neighbour, &bundle).await).contains("eventId differs"));
    // The same event id at another number of another store of the tenant.
    let store = StreamKey { store_id: stream(2).store_id, ..world.stream };
    world.ingest(&store, &world.agent, 5..=5).await;
    let mut twin = plain_event(&world.agent, &store, 1);
    twin.event_id = plain_event(&world.agent, &world.stream, 1).event_id;
    let twin = stateset_fixtures::resign(twin, &world.agent);
    world.sequencer.ingest(store, vec![Ok(twin)]).await.unwrap();
    let elsewhere = world.statement(&store, 2, &cap()).await;
    assert_eq!(elsewhere.subject, own.subject, "the same id");
    assert!(refused(world.submit(&elsewhere, &bundle).await).contains("storeId differs"));
    // The service's own statement with another number or tenant in it.
    for (member, from, to) in [
        ("sequenceNumber", r#""sequenceNumber":1"#.to_owned(), r#""sequenceNumber":2"#.to_owned()),
        ("tenantId", world.stream.tenant_id.to_string(), stream(9).tenant_id.to_string()),
    ] {
        let public_inputs = own.public_inputs.replace(&from, &to);
        assert_ne!(public_inputs, own.public_inputs);
        let changed = Statement { public_inputs, ..own.clone() };
        assert!(refused(world.submit(&changed, &bundle).await).contains(&format!("{member} differs")));
    }
    // Another deployment, which holds the same log.
    let other = World::deployed([8; 16], 2, |key| key).await;
    let there = other.statement(&other.stream, 1, &cap()).await;
    assert_eq!(there.public_inputs, own.public_inputs);
    assert!(refused(other.submit(&there, &bundle).await).contains("chainContext"));
    // A statement whose time is over.
    let ended = world.bundle(&own, &opening(5, 1), &world.agent, |inputs| {
        inputs.valid_until = Some(NOW.0 as u64 / 1000 - 1);
    });
    assert!(refused(world.submit(&own, &ended).await).contains("validUntil"));
    assert!(world.submit(&own, &bundle).await.unwrap().verified);
}

/// Item 14: what was accepted ends with its time, also when it is asked about later.
#[tokio::test]
async fn a_stored_proof_ends_with_the_second_it_names() {
    let world = World::new(1).await;
    let statement = world.statement(&world.stream, 1, &cap()).await;
    let ending = world.bundle(&statement, &opening(5, 1), &world.agent, |inputs| {
        inputs.valid_until = Some(NOW.0 as u64 / 1000 + 10);
    });
    let stored = world.submit(&statement, &ending).await.unwrap();
    assert_eq!(world.is_valid(&stored).await, Ok(()));
    world.clock.advance_ms(12_000);
    assert!(world.is_valid(&stored).await.unwrap_err().contains("validUntil"));
    // What has ended leaves its place to a proof of the same opening that has not.
    let fresh = world.bundle(&statement, &opening(5, 1), &world.agent, |_| ());
    let next = world.submit(&statement, &fresh).await.unwrap();
    assert_eq!((stored.valid_until, next.valid_until), (Some(NOW.0 as u64 / 1000 + 10), None));
    let standing = world.sequencer.proofs_about(&next.subject, &world.stream).await.unwrap();
    assert_eq!(standing, std::slice::from_ref(&next));
    assert_eq!(world.is_valid(&next).await, Ok(()));
    let (old, bytes) = world.sequencer.proof(None, &stored.proof_id).await.unwrap().unwrap();
    assert_eq!(old.superseded.map(|superseded| superseded.by), Some(next.proof_id));
    assert_eq!(bytes, ending.to_json().into_bytes());
    assert!(world.is_valid(&stored).await.unwrap_err().contains("validUntil"));
    // One without an end keeps its place.
    assert!(matches!(world.submit(&statement, &ending).await, Err(SubmitProofError::Invalid { .. })));
    let other = world.bundle(&statement, &opening(5, 2), &world.agent, |_| ());
    assert!(matches!(world.submit(&statement, &other).await, Err(SubmitProofError::Conflict)));
}

/// Records did not always name the end; the stored bundle does.
#[tokio::test]
async fn a_proof_recorded_without_its_end_gives_way_when_its_bundle_has_ended() {
    let world = World::new(1).await;
    let statement = world.statement(&world.stream, 1, &cap()).await;
    let until = NOW.0 as u64 / 1000 + 10;
    let ending = world.bundle(&statement, &opening(5, 1), &world.agent, |inputs| {
        inputs.valid_until = Some(until);
    });
    let fresh = world.bundle(&statement, &opening(5, 1), &world.agent, |_| ());
    let stored = world.submit(&statement, &ending).await.unwrap();
    world.forget_end(Table::ComplianceProofs, until).await;
    assert!(matches!(world.submit(&statement, &fresh).await, Err(SubmitProofError::Conflict)));
    world.clock.advance_ms(12_000);
    let next = world.submit(&statement, &fresh).await.unwrap();
    assert_ne!(next.proof_id, stored.proof_id);
    let (old, bytes) = world.sequencer.proof(None, &stored.proof_id).await.unwrap().unwrap();
    assert_eq!(old.superseded.map(|superseded| superseded.by), Some(next.proof_id));
    assert_eq!(bytes, ending.to_json().into_bytes());
    // Without an end in either, the place stays taken.
    let other = world.bundle(&statement, &opening(5, 2), &world.agent, |_| ());
    assert!(matches!(world.submit(&statement, &other).await, Err(SubmitProofError::Conflict)));
}

/// Item 15: the bundle is read in one way.
#[tokio::test]
async fn a_bundle_of_another_spelling_is_refused() {
    let world = World::new(1).await;
    let statement = world.statement(&world.stream, 1, &cap()).await;
    let bundle = world.bundle(&statement, &opening(5, 1), &world.agent, |_| ());
    let (text, witness) = (bundle.to_json(), bundle.witness_commitment());
    let proof = text.split(r#""proof":""#).nth(1).unwrap().split('"').next().unwrap();
    let older = format!(r#""proof":"{proof}","proof_b64":"{proof}""#);
    let both = format!(r#""proof_b64":"{proof}","proofB64":"{proof}""#);
    let own = format!(r#""proof":"{proof}""#);
    for (from, to) in [
        (r#""bundleVersion":2"#, r#""bundleVersion":2,"bundleVersion":2"#),
        (r#""bundleVersion":2"#, r#""bundleVersion":2,"note":"more""#),
        (r#""chainContext":"#, r#""chaincontext":"#),
        (r#""agentKeyId":1"#, r#""agentKeyId":1,"agentKeyId":1"#),
        (r#""zk":true"#, r#""zk":true,"zk":true"#),
        (&own, &older),
        (&own, &both),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        refused(world.submit_bytes(&statement, changed.into_bytes(), Some(witness)).await);
    }
    // The commitment beside the bundle is the one in it, as numbers and as hex.
    let mut other = witness;
    other.0[3] ^= 1;
    let said = refused(world.submit_bytes(&statement, text.clone().into_bytes(), Some(other)).await);
    assert!(said.contains("witnessCommitment"), "{said}");
    refused(world.submit_bytes(&statement, [text.as_bytes(), b"\xff"].concat(), Some(witness)).await);
    assert!(world.submit_bytes(&statement, text.into_bytes(), Some(witness)).await.unwrap().verified);
}

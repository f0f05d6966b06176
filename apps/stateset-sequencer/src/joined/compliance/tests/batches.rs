//! Proofs about committed batches.

use ves::compliance::PROOF_BYTES_MAX;
use ves::{Commitment, KeyId};
use ves_stark_batch::{BatchBundle, BatchFacts, BatchInputs, BatchTerms, prove, verify};
use ves_stark_primitives::FieldCommitment;

use super::*;

impl World {
    async fn commit(&self, from: u64, to: u64) -> Commitment {
        self.sequencer.commit(&self.stream, SequenceNumber(from), SequenceNumber(to)).await.unwrap()
    }

    /// A signed bundle about the service's own statement. `amounts` are of its events in order; those that the policy does
    /// not allow are left out. `change` is made before it is proved.
    async fn batch_bundle(
        &self,
        statement: &Statement,
        amounts: &[u64],
        change: impl FnOnce(&mut BatchInputs),
    ) -> BatchBundle {
        let facts = BatchFacts::parse(&statement.public_inputs).unwrap();
        let policy = facts.policy.clone().unwrap();
        let numbers = (facts.sequence_start.get()..).map(SequenceNumber);
        let (kept, excluded): (Vec<_>, Vec<_>) =
            numbers.zip(amounts).partition(|(_, amount)| policy.allows(**amount));
        let openings: Vec<Opening> =
            kept.iter().map(|(number, amount)| opening(**amount, number.get() as u32)).collect();
        let commitments: Vec<FieldCommitment> =
            openings.iter().map(|opening| opening.commit(&field())).collect();
        let terms = BatchTerms {
            suite: SuiteId::Standard,
            field: field(),
            excluded: excluded.into_iter().map(|(number, _)| number).collect(),
            chain_context: self.chain_context(),
            valid_until: None,
        };
        let mut inputs = facts.statement(terms, &commitments).unwrap();
        change(&mut inputs);
        let random = &mut system_random().unwrap();
        let proofs = prove(&inputs, &commitments, &openings, random, &mut |_| ()).unwrap();
        let security = verify(&inputs, &commitments, &proofs).unwrap();
        let mut bundle = BatchBundle { inputs, commitments, bindings: None, proofs, security };
        self.sign(&mut bundle, &self.agent).await;
        bundle
    }

    /// Has `agent` sign every commitment of the bundle.
    async fn sign(&self, bundle: &mut BatchBundle, agent: &Agent) {
        let key = agent.signing_key();
        let mut bindings = Vec::new();
        for (number, commitment) in bundle.inputs.proved_events().zip(&bundle.commitments) {
            let found = self.sequencer.events(&self.stream, number, 1).await.unwrap();
            let hash = found[0].record().unwrap().head.signing_hash();
            let list = [CommittedField { field: field(), commitment: *commitment }];
            bindings.push(CommitmentBinding::sign(&hash, agent.key_id, &list, &key).unwrap());
        }
        bundle.bindings = Some(bindings);
    }

    async fn submit_batch(
        &self,
        statement: &Statement,
        bundle: &BatchBundle,
    ) -> Result<ProofRecord, SubmitProofError> {
        self.submit_bytes(statement, bundle.to_json().into_bytes(), None).await
    }
}

fn statement(batch: &Commitment, policy: Option<Policy>) -> Statement {
    Statement::of_batch(batch, policy).unwrap()
}

#[tokio::test]
async fn a_batch_is_proved_stored_once_and_found_valid() {
    let world = World::new(4).await;
    let statement = statement(&world.commit(1, 4).await, Some(cap()));
    let amounts = [5, 2_000_000, 7, 1_000_000];
    let bundle = world.batch_bundle(&statement, &amounts, |_| ()).await;
    assert_eq!(bundle.inputs.excluded, [SequenceNumber(2)], "2,000,000 is above the cap");
    let stored = world.submit_batch(&statement, &bundle).await.unwrap();
    assert!(stored.verified);
    assert_eq!((stored.events_left_out, stored.policy_hash), (Some(1), Some(cap().hash())));
    assert_eq!(world.is_valid(&stored).await, Ok(()));
    // Item 14: another proof of the same statement is the stored one.
    let again = world.batch_bundle(&statement, &amounts, |_| ()).await;
    assert_ne!(again.proofs, bundle.proofs);
    assert_eq!(world.submit_batch(&statement, &again).await.unwrap(), stored);
    // What leaves out another event says something else.
    let other = world.batch_bundle(&statement, &[5, 6, 7, 2_000_000], |_| ()).await;
    assert!(matches!(world.submit_batch(&statement, &other).await, Err(SubmitProofError::Conflict)));
}

/// Also of batches: an end leaves the place to a proof that stands.
#[tokio::test]
async fn a_proof_about_a_batch_takes_the_place_of_one_that_has_ended() {
    let world = World::new(2).await;
    let own = statement(&world.commit(1, 2).await, Some(cap()));
    let ending = world.batch_bundle(&own, &[5, 6], |inputs| {
        inputs.valid_until = Some(NOW.0 as u64 / 1000);
    });
    let stored = world.submit_batch(&own, &ending.await).await.unwrap();
    let fresh = world.batch_bundle(&own, &[5, 6], |_| ()).await;
    assert!(matches!(world.submit_batch(&own, &fresh).await, Err(SubmitProofError::Conflict)));
    world.clock.advance_ms(1_000);
    let next = world.submit_batch(&own, &fresh).await.unwrap();
    assert_eq!((stored.valid_until, next.valid_until), (Some(NOW.0 as u64 / 1000), None));
    let standing = world.sequencer.proofs_about(&next.subject, &world.stream).await.unwrap();
    assert_eq!(standing, std::slice::from_ref(&next));
    let (old, _) = world.sequencer.proof(None, &stored.proof_id).await.unwrap().unwrap();
    assert_eq!(old.superseded.map(|superseded| superseded.by), Some(next.proof_id));
}

/// As of events.
#[tokio::test]
async fn a_proof_about_a_batch_recorded_without_its_end_gives_way_when_its_bundle_has_ended() {
    let world = World::new(2).await;
    let own = statement(&world.commit(1, 2).await, Some(cap()));
    let until = NOW.0 as u64 / 1000;
    let ending = world.batch_bundle(&own, &[5, 6], |inputs| inputs.valid_until = Some(until)).await;
    let fresh = world.batch_bundle(&own, &[5, 6], |_| ()).await;
    let stored = world.submit_batch(&own, &ending).await.unwrap();
    world.forget_end(Table::ValidityProofs, until).await;
    assert!(matches!(world.submit_batch(&own, &fresh).await, Err(SubmitProofError::Conflict)));
    world.clock.advance_ms(1_000);
    let next = world.submit_batch(&own, &fresh).await.unwrap();
    let (old, _) = world.sequencer.proof(None, &stored.proof_id).await.unwrap().unwrap();
    assert_eq!(old.superseded.map(|superseded| superseded.by), Some(next.proof_id));
}

/// Section 11, items 10 and 14: the statement is the service's own.
#[tokio::test]
async fn a_proof_about_another_batch_policy_or_deployment_is_refused() {
    let world = World::new(4).await;
    let batch = world.commit(1, 2).await;
    let own = statement(&batch, Some(cap()));
    type Change = fn(&mut BatchInputs);
    let changes: [(&str, Change); 8] = [
        ("tenantId", |inputs| inputs.stream.tenant_id = stream(9).tenant_id),
        ("storeId", |inputs| inputs.stream.store_id = stream(9).store_id),
        ("batchRoot", |inputs| inputs.batch_root.0[0] ^= 1),
        ("prevStateRoot", |inputs| inputs.prev_state_root.0[0] ^= 1),
        ("newStateRoot", |inputs| inputs.new_state_root.0[0] ^= 1),
        ("sequenceStart", |inputs| {
            inputs.sequence_start.0 += 2;
            inputs.sequence_end.0 += 2;
        }),
        ("chainContext", |inputs| inputs.chain_context.push('x')),
        ("validUntil", |inputs| inputs.valid_until = Some(NOW.0 as u64 / 1000 - 1)),
    ];
    for (member, change) in changes {
        let other = world.batch_bundle(&own, &[5, 6], change).await;
        let said = refused(world.submit_batch(&own, &other).await);
        assert!(said.contains(member), "{member}: {said}");
    }
    let good = world.batch_bundle(&own, &[5, 6], |_| ()).await;
    // The same effective limit under another policy, and no policy at all.
    let threshold = Policy::new("aml.threshold", Some(r#"{"threshold":1000001}"#)).unwrap();
    let said = refused(world.submit_batch(&statement(&batch, Some(threshold)), &good).await);
    assert!(said.contains("policyId differs"), "{said}");
    let said = refused(world.submit_batch(&statement(&batch, None), &good).await);
    assert!(said.contains("policyId and policyParams"), "{said}");
    let next = statement(&world.commit(3, 4).await, Some(cap()));
    assert!(refused(world.submit_batch(&next, &good).await).contains("sequenceStart differs"));
    let there = World::deployed([8; 16], 4, |key| key).await;
    assert!(refused(there.submit_batch(&own_of(&there).await, &good).await).contains("chainContext"));
    assert!(world.submit_batch(&own, &good).await.unwrap().verified);
}

async fn own_of(world: &World) -> Statement {
    statement(&world.commit(1, 2).await, Some(cap()))
}

/// Section 11, items 7, 9 and 13: every commitment is signed for its own event by that event's author.
#[tokio::test]
async fn every_commitment_is_tied_to_its_event() {
    let world = World::new(2).await;
    // The third event is another agent's.
    let second = Agent::new(&world.stream, 2);
    world.sequencer.register_agent_key(second.registered_key()).await.unwrap();
    world.ingest(&world.stream, &second, 3..=3).await;
    let own = statement(&world.commit(1, 3).await, Some(cap()));
    let mut good = world.batch_bundle(&own, &[5, 6, 7], |_| ()).await;
    let by_first = good.bindings.clone().unwrap();
    let said = refused(world.submit_batch(&own, &good).await);
    assert!(said.contains("event 3") && said.contains("signature"), "not the author's: {said}");
    world.sign(&mut good, &second).await;
    let by_second = good.bindings.clone().unwrap();
    let with = |bindings: Option<Vec<CommitmentBinding>>| BatchBundle { bindings, ..good.clone() };
    let right = vec![by_first[0], by_first[1], by_second[2]];
    let bad = [
        ("no agent has signed", None),
        ("event 1", Some(vec![by_first[1], by_first[0], by_second[2]])),
        ("expected 3", Some(right[..2].to_vec())),
        ("event 2", Some(vec![right[0], CommitmentBinding { agent_key_id: KeyId(7), ..right[1] }, right[2]])),
    ];
    for (reason, bindings) in bad {
        let said = refused(world.submit_batch(&own, &with(bindings)).await);
        assert!(said.contains(reason), "{reason}: {said}");
    }
    // A revoked key binds nothing from then on; what it bound before stays bound.
    let stored = world.submit_batch(&own, &with(Some(right.clone()))).await.unwrap();
    world.clock.advance_ms(1_000);
    world.revoke().await;
    world.clock.advance_ms(1_000);
    assert_eq!(world.is_valid(&stored).await, Ok(()));
    let again = BatchBundle { bindings: Some(right), ..good.clone() };
    assert_eq!(world.submit_batch(&own, &again).await.unwrap(), stored, "the same bytes need no key");
    let another = world.batch_bundle(&own, &[5, 6, 7], |_| ()).await;
    let another = BatchBundle { bindings: again.bindings, ..another };
    assert!(refused(world.submit_batch(&own, &another).await).contains("revoked"));
}

/// A batch of 4,096 events, which one proof covers, is taken whole: proof, commitments and signatures.
#[tokio::test]
async fn a_batch_of_4096_events_fits_a_submission() {
    let world = World::new(4_096).await;
    let own = statement(&world.commit(1, 4_096).await, Some(cap()));
    let amounts: Vec<u64> = (0..4_096).collect();
    let bundle = world.batch_bundle(&own, &amounts, |_| ()).await;
    let bytes = bundle.to_json().len();
    assert!(bytes < 700_000, "{bytes}");
    let stored = world.submit_batch(&own, &bundle).await.unwrap();
    assert_eq!((stored.verified, stored.events_left_out), (true, Some(0)));
    // What is larger is refused before it is read, with the limit.
    match world.submit_bytes(&own, vec![b' '; PROOF_BYTES_MAX + 1], None).await {
        Err(SubmitProofError::Invalid { field: "proofB64", problem }) => {
            assert!(problem.contains(&PROOF_BYTES_MAX.to_string()), "{problem}");
        }
        other => panic!("{other:?}"),
    }
}

use stateset_fixtures::resign;
use stateset_sequencer::EventResult;
use ves::{AgentKey, KeyAlgorithm, KeyId, KeyProblem, Rejection, SecurityProfile, SequenceNumber};

use crate::world::{World, accepted};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_are_contiguous_over_concurrent_requests() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    let mut tasks = Vec::new();
    for request in 0..40_u64 {
        let (sequencer, stream) = (world.sequencer.clone(), world.stream);
        let events: Vec<_> = (0..5).map(|i| Ok(world.event(request * 5 + i))).collect();
        tasks.push(tokio::spawn(async move { sequencer.ingest(stream, events).await.unwrap() }));
    }
    let mut numbers = Vec::new();
    for task in tasks {
        let receipts: Vec<_> = task.await.unwrap().results.into_iter().map(accepted).collect();
        assert!(receipts.windows(2).all(|pair| pair[0].sequence_number.0 + 1 == pair[1].sequence_number.0));
        numbers.extend(receipts.iter().map(|receipt| receipt.sequence_number.0));
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=200).collect::<Vec<_>>());
    world.close().await;
}

#[tokio::test]
async fn a_replay_gets_the_first_receipt_also_after_restart_and_revocation() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    let first = world.ingest_range(0, 30).await;
    world.close().await;

    let world = World::open(dir.path()).await;
    let (tenant, agent) = (world.stream.tenant_id, world.event(0).source_agent_id);
    let key_id = world.event(0).agent_key_id;
    world.sequencer.revoke_agent_key(&tenant, &agent, key_id).await.unwrap();
    let again = world.ingest((0..31).map(|n| world.event(n)).collect()).await;
    for (result, receipt) in again.results.iter().zip(&first) {
        assert!(matches!(result, EventResult::Replayed(replayed) if replayed == receipt));
    }
    let fresh = &again.results[30];
    assert!(matches!(
        fresh,
        EventResult::Rejected { rejection: Rejection::AgentKeyInvalid(KeyProblem::Revoked), .. }
    ));
    assert_eq!(again.head_sequence, SequenceNumber(30));
    world.close().await;
}

#[tokio::test]
async fn an_id_with_other_content_is_refused_and_leaves_its_neighbours() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    world.ingest_range(0, 1).await;
    let mut other = world.event(1);
    other.event_id = world.event(0).event_id;
    let other = resign(other, &world.agent);
    let mut unsigned_change = world.event(0);
    unsigned_change.base_version = Some(9);
    let outcome = world.ingest(vec![other, world.event(2), unsigned_change]).await;
    assert!(matches!(
        outcome.results[0],
        EventResult::Rejected { rejection: Rejection::DuplicateEventId, .. }
    ));
    assert_eq!(accepted(outcome.results[1].clone()).sequence_number, SequenceNumber(2));
    assert!(matches!(
        outcome.results[2],
        EventResult::Rejected { rejection: Rejection::DuplicateEventId, .. }
    ));
    world.close().await;
}

#[tokio::test]
async fn an_event_is_found_by_its_id_while_recent_and_after_restart() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    world.ingest_range(0, 12).await;
    let id = world.event(7).event_id;
    let recent = world.sequencer.event(&world.stream, &id).await.unwrap().expect("the event was accepted");
    world.close().await;
    let world = World::open(dir.path()).await;
    let stored = world.sequencer.event(&world.stream, &id).await.unwrap().expect("the event was stored");
    assert_eq!(stored, recent);
    assert_eq!(stored.sequence_number, SequenceNumber(8));
    let unknown = world.event(99).event_id;
    assert!(world.sequencer.event(&world.stream, &unknown).await.unwrap().is_none());
    world.close().await;
}

#[tokio::test]
async fn after_shutdown_calls_are_refused_and_nothing_hangs() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    let (sequencer, stream, event) = (world.sequencer.clone(), world.stream, world.event(0));
    world.close().await;
    let refused = sequencer.ingest(stream, vec![Ok(event)]).await;
    assert!(matches!(refused, Err(stateset_sequencer::ServiceError::Stopping)));
}

#[tokio::test]
async fn a_revocation_holds_also_when_its_caller_went_away() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    let event = world.event(0);
    let (tenant, agent, key_id) = (world.stream.tenant_id, event.source_agent_id, event.agent_key_id);
    tokio::select! {
        biased;
        _ = world.sequencer.revoke_agent_key(&tenant, &agent, key_id) => {}
        () = std::future::ready(()) => {} // The caller is gone after the first step.
    }
    let mut rejected = false;
    for n in 0..500 {
        let outcome = world.ingest(vec![world.event(n)]).await;
        rejected = matches!(
            outcome.results[0],
            EventResult::Rejected { rejection: Rejection::AgentKeyInvalid(KeyProblem::Revoked), .. }
        );
        if rejected {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    assert!(rejected, "the revocation never took effect");
    world.close().await;
}

#[tokio::test]
async fn a_security_profile_refuses_events_without_a_post_quantum_part() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open_configured(dir.path(), |config| {
        config.security_profile = SecurityProfile::Hybrid;
    })
    .await;
    let agent = world.agent.with_key(KeyId(2));
    let hybrid = AgentKey {
        algorithm: KeyAlgorithm::Ed25519MlDsa65,
        ml_dsa_65: Some(agent.quantum_key().public_key()),
        ..agent.registered_key()
    };
    world.sequencer.register_agent_key(hybrid).await.unwrap();
    let mut event = stateset_fixtures::plain_event(&agent, &world.stream, 1);
    event.countersign(&agent.quantum_key()).unwrap();
    let outcome = world.ingest(vec![world.event(0), event]).await;
    assert!(matches!(
        outcome.results[0],
        EventResult::Rejected { rejection: Rejection::UnsupportedSignatureScheme { scheme: 1 }, .. }
    ));
    assert_eq!(accepted(outcome.results[1].clone()).sequence_number, SequenceNumber(1));
    world.close().await;
}

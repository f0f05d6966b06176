use std::path::Path;

use stateset_fixtures::Agent;
use stateset_sequencer::{EventResult, PolicyScope, RotationPolicy};
use ves::keys::KeyType;
use ves::keys::rotation::RotationRule;
use ves::{KeyProblem, Rejection, TimestampMs};

use crate::world::World;

fn policy(world: &World, uses_max: u64) -> RotationPolicy {
    RotationPolicy {
        scope: PolicyScope {
            tenant_id: world.stream.tenant_id,
            agent_id: None,
            key_type: Some(KeyType::Signing),
        },
        rule: RotationRule {
            age_hours_max: None,
            uses_max: Some(uses_max),
            warning_hours: 24,
            grace_hours: 72,
            enforce: true,
        },
        auto_rotate: false,
        updated_at: TimestampMs(0),
    }
}

fn uses(world: &World) -> Option<u64> {
    let key = world.sequencer.agent_keys(&world.stream.tenant_id, None).remove(0);
    world.sequencer.signing_key_standing(&key).and_then(|standing| standing.uses)
}

/// The folder as a crash would leave it: what was synced, without anything that a clean stop writes.
fn crashed(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    copy
}

#[tokio::test]
async fn a_restart_without_a_clean_stop_neither_loses_nor_doubles_uses() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    world.ingest_range(0, 10).await;
    world.sequencer.put_rotation_policy(policy(&world, 1_000)).await.unwrap();
    world.ingest_range(10, 17).await;
    assert_eq!(uses(&world), Some(7));

    let copy = crashed(dir.path());
    let after_crash = World::open(copy.path()).await;
    assert_eq!(uses(&after_crash), Some(7));
    after_crash.ingest_range(17, 20).await;
    // A changed policy writes the counts in between.
    after_crash.sequencer.put_rotation_policy(policy(&after_crash, 500)).await.unwrap();
    after_crash.ingest_range(20, 22).await;
    let second = crashed(copy.path());
    let after_second = World::open(second.path()).await;
    assert_eq!(uses(&after_second), Some(12));
    // A clean stop moves the events into the index.
    after_second.ingest_range(22, 30).await;
    after_second.close().await;
    let reopened = World::open(second.path()).await;
    assert_eq!(uses(&reopened), Some(20));
    reopened.ingest_range(30, 31).await;
    let third = crashed(second.path());
    assert_eq!(uses(&World::open(third.path()).await), Some(21));
    world.close().await;
}

#[tokio::test]
async fn the_last_uses_go_to_the_first_events_and_a_dropped_policy_forgets_them() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    let policy = policy(&world, 5);
    world.sequencer.put_rotation_policy(policy).await.unwrap();
    let outcome = world.ingest((0..8).map(|n| world.event(n)).collect()).await;
    let accepted = outcome.results.iter().filter(|r| matches!(r, EventResult::Accepted(_))).count();
    assert_eq!((accepted, outcome.head_sequence.0), (5, 5));
    for result in &outcome.results[5..] {
        let EventResult::Rejected { rejection, .. } = result else { panic!("{result:?}") };
        assert_eq!(*rejection, Rejection::AgentKeyInvalid(KeyProblem::UsedUp { max: 5 }));
    }
    assert_eq!(outcome.key_warnings.len(), 1);
    // Another agent is not bound by the first one's uses.
    let other = Agent::new(&world.stream, 2);
    world.sequencer.register_agent_key(other.registered_key()).await.unwrap();
    let event = stateset_fixtures::plain_event(&other, &world.stream, 100);
    assert!(matches!(world.ingest(vec![event]).await.results[0], EventResult::Accepted(_)));

    assert!(world.sequencer.remove_rotation_policy(policy.scope).await.unwrap());
    assert!(!world.sequencer.remove_rotation_policy(policy.scope).await.unwrap());
    assert_eq!(uses(&world), None);
    world.ingest_range(5, 8).await;
    world.sequencer.put_rotation_policy(policy).await.unwrap();
    assert_eq!(uses(&world), Some(0));
    world.close().await;
}

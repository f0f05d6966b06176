//! New keys: what was sealed before is sealed again, beside a running service or without one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use stateset_at_rest::{AtRest, KeyName, Keys, Kind, Mode, Plan, Reencryption, Run, run_on};
use stateset_event_log::EventStore;
use stateset_sequencer::{EventResult, Workers};

use crate::world::{MemoryStore, World, key, open, ring, rotate, stored, stores};

#[tokio::test(flavor = "multi_thread")]
async fn after_a_rotation_the_old_key_may_go_and_a_replay_still_gets_its_first_answer() {
    let stores = stores();
    for store in &stores.all {
        let world = World::start(store, &ring(Mode::Optional, &[1])).await;
        let first = world.ingest(0, 300).await;
        world.stop().await;
        let both = ring(Mode::Required, &[2, 1]);
        let tally = rotate(store, &both);
        assert_eq!((tally.seen, tally.rewritten, tally.unopened), (300, 300, 0), "{}", store.name());
        assert!(!both.status().is_rotating);
        assert_eq!(rotate(store, &both), Default::default(), "nothing is left to look at");

        let world = World::start(store, &ring(Mode::Required, &[2])).await;
        assert_eq!(world.envelopes().await.len(), 300);
        for (again, first) in world.ingest(0, 300).await.into_iter().zip(first) {
            match (again, first) {
                (EventResult::Replayed(again), EventResult::Accepted(first)) => assert_eq!(again, first),
                other => panic!("{other:?}"),
            }
        }
        world.stop().await;
    }
}

/// These keys, where the first one of all is given up as lost.
fn without_first(keys: &[u8]) -> AtRest {
    let keys: Vec<_> = keys.iter().map(|n| key(*n)).collect();
    let lost = BTreeSet::from([KeyName::of(&[1; 32])]);
    AtRest::new(Keys::new(Mode::Optional, &keys, &BTreeMap::new(), lost).expect("sound keys"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_key_sealed_is_looked_at_again_when_the_key_is_given_back() {
    let stores = stores();
    for store in &stores.all {
        let world = World::start(store, &ring(Mode::Optional, &[1])).await;
        world.ingest(0, 20).await;
        world.stop().await;
        let lost = without_first(&[2]);
        assert_eq!(rotate(store, &lost).unopened, 20);
        assert_eq!((lost.status().is_rotating, lost.unopened()), (false, 20), "{}", store.name());
        let again = without_first(&[2]);
        assert_eq!(rotate(store, &again).seen, 0, "no other key: nothing else to find");
        assert_eq!(again.unopened(), 20, "and still not whole");

        let found = ring(Mode::Optional, &[2, 1]);
        let tally = rotate(store, &found);
        assert_eq!((tally.seen, tally.rewritten, tally.unopened), (20, 20, 0), "{}", store.name());
        assert_eq!((found.status().is_rotating, found.unopened()), (false, 0));
        let world = World::start(store, &ring(Mode::Required, &[2])).await;
        assert_eq!(world.envelopes().await.len(), 20, "the first key is needed no more");
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_away_for_a_part_of_a_rotation_makes_it_begin_again() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::default());
    let world = World::start(&store, &ring(Mode::Optional, &[1])).await;
    world.ingest(0, 20).await;
    world.stop().await;
    let part = |at_rest: &AtRest, plan: Plan| {
        let mut log = open(&store, at_rest).expect("the keys are those of the log");
        let raw = at_rest.raw().expect("a sealed log");
        let mut run = Run::new(at_rest.clone(), raw.as_ref(), plan).expect("a run");
        let tally = run_on(&mut run, log.as_mut(), raw.as_ref(), &mut |_| ()).expect("it ends");
        log.close().expect("close");
        (tally.rewritten, tally.unopened)
    };
    let some = Plan { kinds: vec![Kind::Events], batch: 4, limit: Some(8), ..Plan::everything() };
    assert_eq!(part(&ring(Mode::Optional, &[2, 1]), some), (8, 0));
    let events = Plan { kinds: vec![Kind::Events], ..Plan::everything() };
    assert_eq!(part(&without_first(&[2]), events), (0, 12));
    let both = ring(Mode::Optional, &[2, 1]);
    assert_eq!(part(&both, Plan::everything()), (12, 0));
    assert_eq!((both.status().is_rotating, both.unopened()), (false, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_service_rotates_by_itself_while_it_takes_events() {
    let stores = stores();
    for store in &stores.all {
        let world = World::start(store, &ring(Mode::Optional, &[1])).await;
        world.ingest(0, 1000).await;
        world.stop().await;
        let both = ring(Mode::Required, &[2, 1]);
        let world = World::start(store, &both).await;
        assert!(both.status().is_rotating);
        let workers = Workers::start(&[Arc::new(Reencryption::new(both.clone())) as _], &world.service);
        let mut at = 1000;
        while both.status().is_rotating {
            world.ingest(at, at + 5).await;
            at += 5;
            tokio::time::sleep(Duration::from_millis(5)).await;
            assert!(at < 100_000, "it does not come to its end");
        }
        workers.stop(Duration::from_secs(5)).await;
        assert_eq!(world.envelopes().await.len() as u64, at);
        assert_eq!(both.status().rewritten, 1000, "only what the older key had sealed");
        world.stop().await;
        let world = World::start(store, &ring(Mode::Required, &[2])).await;
        assert_eq!(world.envelopes().await.len() as u64, at, "the old key is needed no more");
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_keeps_to_its_limit_its_tenant_and_its_kinds_and_says_done_only_of_everything() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::default());
    let world = World::start(&store, &ring(Mode::Optional, &[1])).await;
    world.ingest(0, 20).await;
    world.stop().await;
    let both = ring(Mode::Optional, &[2, 1]);
    let mut log = open(&store, &both).expect("the keys are right");
    let raw = both.raw().expect("a sealed log");
    let mut run = |plan: Plan| {
        let mut run = Run::new(both.clone(), raw.as_ref(), plan).expect("a run");
        run_on(&mut run, log.as_mut(), raw.as_ref(), &mut |_| ()).expect("it ends")
    };
    let events = || Plan { kinds: vec![Kind::Events, Kind::LegacyEvents], batch: 4, ..Plan::everything() };
    let elsewhere = Some(ves::TenantId::from_bytes([9; 16]));
    assert_eq!(run(Plan { tenant: elsewhere, ..events() }).seen, 0);
    assert_eq!(run(Plan { limit: Some(6), ..events() }).rewritten, 6);
    assert_eq!(run(Plan { limit: Some(1), ..events() }).seen, 1, "it goes on where the last one ended");
    assert_eq!(run(events()).rewritten, 13);
    assert!(both.status().is_rotating, "proofs were not looked at");
    let proofs = Plan { kinds: vec![Kind::ValidityProofs, Kind::ComplianceProofs], ..Plan::everything() };
    assert_eq!(run(proofs).seen, 0);
    assert!(both.status().is_rotating, "what is derived was not looked at");
    let derived = Plan { kinds: Kind::DERIVED.to_vec(), ..Plan::everything() };
    assert_eq!(run(derived).seen, 0);
    assert!(!both.status().is_rotating);
    assert_eq!(run(events()).seen, 0);
    assert_eq!(run(Plan { force: true, ..events() }).rewritten, 20, "once more, with fresh nonces");
    assert_eq!(stored(log.reader().as_ref()).len(), 20);
    assert!(raw.streams().expect("streams").len() == 1);
}

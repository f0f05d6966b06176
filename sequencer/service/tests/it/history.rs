//! Histories of entities: what a scan of the stream finds, from memory, from the index, and across both.

use stateset_fixtures::resign;
use ves::{Envelope, SequenceNumber};

use crate::world::World;

/// Event `n`, about one of three orders.
fn about(world: &World, n: u64) -> Envelope<'static> {
    let mut event = world.event(n);
    event.entity_id = format!("order-{}", n * n % 3).into();
    resign(event, &world.agent)
}

async fn ingest(world: &World, from: u64, to: u64) {
    for first in (from..to).step_by(40) {
        let events: Vec<_> = (first..to.min(first + 40)).map(|n| about(world, n)).collect();
        assert!(
            world
                .ingest(events)
                .await
                .results
                .iter()
                .all(|result| { matches!(result, stateset_sequencer::EventResult::Accepted(_)) })
        );
    }
}

/// Every page of every history is what a scan of the whole stream finds.
async fn check_all(world: &World) {
    let all = world.sequencer.events(&world.stream, SequenceNumber(1), 100_000).await.unwrap();
    let entity_type = world.event(0).entity_type.into_owned();
    for entity_id in ["order-0", "order-1", "order-2"] {
        let of: Vec<_> =
            all.iter().filter(|event| event.envelope().unwrap().0.entity_id == entity_id).cloned().collect();
        for (from, limit) in
            [(0, 7), (1, 1000), (2, 1), (40, 50), (of.len() as u64, 3), (of.len() as u64 + 1, 3)]
        {
            let history = world
                .sequencer
                .entity_history(&world.stream, &entity_type, entity_id, from, limit)
                .await
                .unwrap();
            let skip = (from.max(1) - 1) as usize;
            let expected: Vec<_> = of.iter().skip(skip).take(limit).cloned().collect();
            assert_eq!(history.current_version, of.len() as u64);
            assert_eq!(history.events, expected, "{entity_id} from {from}, at most {limit}");
        }
    }
    let none = world.sequencer.entity_history(&world.stream, &entity_type, "order-9", 1, 10).await.unwrap();
    assert_eq!((none.current_version, none.events), (0, vec![]));
}

#[tokio::test]
async fn a_history_equals_a_scan_in_memory_in_the_index_and_across_both() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    ingest(&world, 0, 300).await;
    check_all(&world).await;
    // Closing writes the index; what comes after stays in memory.
    world.close().await;
    for round in 1..10 {
        let world = World::open(dir.path()).await;
        check_all(&world).await;
        ingest(&world, round * 300, round * 300 + 100).await;
        check_all(&world).await;
        world.close().await;
    }
}

/// More events than memory keeps: histories are asked for while runs are written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_is_whole_while_its_events_leave_the_memory() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    ingest(&world, 0, 100).await;
    let asking = {
        let (sequencer, stream) = (world.sequencer.clone(), world.stream);
        let entity_type = world.event(0).entity_type.into_owned();
        tokio::spawn(async move {
            let mut seen = 0;
            while seen < 23_000 {
                let history =
                    sequencer.entity_history(&stream, &entity_type, "order-0", 1, 40).await.unwrap();
                assert!(history.current_version >= seen, "versions only rise");
                assert_eq!(history.events.len() as u64, history.current_version.min(40));
                seen = history.current_version;
            }
        })
    };
    // Two of three squares leave 1 when divided by 3, so a third of the events is about order 0.
    let mut next = 100;
    while next < 70_000 {
        let events: Vec<_> = (next..next + 1000).map(|n| about(&world, n)).collect();
        world.ingest(events).await;
        next += 1000;
    }
    asking.await.unwrap();
    check_tail(&world, next).await;
    world.close().await;
}

async fn check_tail(world: &World, events: u64) {
    let entity_type = world.event(0).entity_type.into_owned();
    let expected: Vec<u64> = (0..events).filter(|n| n % 3 == 0).map(|n| n + 1).collect();
    let from = expected.len() as u64 - 9;
    let history =
        world.sequencer.entity_history(&world.stream, &entity_type, "order-0", from, 100).await.unwrap();
    let found: Vec<u64> = history.events.iter().map(|event| event.sequence_number.0).collect();
    assert_eq!(found, expected[expected.len() - 10..]);
}

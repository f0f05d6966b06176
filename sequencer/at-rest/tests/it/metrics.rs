//! What a monitor sees of encryption at rest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use stateset_at_rest::{AtRest, KeyName, Keys, Mode, Reencryption};
use stateset_event_log::EventStore;
use stateset_sequencer::{Samples, Workers};
use ves::SequenceNumber;

use crate::world::{MemoryStore, STREAM, World, key, ring};

/// The value of a metric of the service.
fn value(world: &World, name: &str) -> f64 {
    let mut samples = Samples::default();
    world.service.collect_metrics(&mut samples, |_| true);
    let text = samples.write();
    let found = text.lines().find_map(|line| line.strip_prefix(&format!("sequencer_{name} ")));
    found.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn seals_failures_and_a_rotation_are_counted() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::default());
    let world = World::start(&store, &ring(Mode::Optional, &[1])).await;
    world.ingest(0, 3).await;
    assert_eq!(value(&world, "at_rest_seals_total"), 3.0);
    assert_eq!(value(&world, "at_rest_rotating"), 0.0);
    world.stop().await;

    let lost = BTreeSet::from([KeyName::of(&[1; 32])]);
    let without = AtRest::new(Keys::new(Mode::Optional, &[key(2)], &BTreeMap::new(), lost).expect("keys"));
    let world = World::start(&store, &without).await;
    world.service.events(&STREAM(), SequenceNumber(1), 10).await.expect("read");
    assert!(value(&world, "at_rest_failures_total") >= 3.0);
    world.stop().await;

    let both = ring(Mode::Optional, &[2, 1]);
    let world = World::start(&store, &both).await;
    assert_eq!(value(&world, "at_rest_rotating"), 1.0);
    let workers = Workers::start(&[Arc::new(Reencryption::new(both.clone())) as _], &world.service);
    let since = Instant::now();
    while value(&world, "at_rest_rotating") > 0.0 {
        assert!(since.elapsed() < Duration::from_secs(20), "it does not come to its end");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(value(&world, "at_rest_rewritten_total"), 3.0);
    workers.stop(Duration::from_secs(5)).await;
    world.stop().await;
}

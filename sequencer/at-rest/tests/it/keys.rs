//! Keys that are right, wrong, missing, lost, and modes that change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stateset_at_rest::{AtRest, KeyName, Keys, Mode};
use stateset_event_log::{EventStore, LogErrorKind, is_sealed};
use stateset_fixtures::stream;
use stateset_sequencer::{EventResult, ServiceError, check_legacy};
use ves::legacy::{LegacyEvent, payload_hash};
use ves::{AgentId, EventId, SequenceNumber};

use crate::world::{MemoryStore, STREAM, World, key, open, raw, ring, rotate, stored, stores};

fn refused(store: &Arc<dyn EventStore>, at_rest: &AtRest, says: &[&str]) {
    let Err(error) = open(store, at_rest) else { panic!("it opens, though {says:?}") };
    assert_eq!(error.kind(), LogErrorKind::Keys, "{error}");
    for what in says {
        assert!(error.to_string().contains(what), "{error}");
    }
}

async fn with_events(store: &Arc<dyn EventStore>, at_rest: &AtRest, from: u64, to: u64) {
    let world = World::start(store, at_rest).await;
    world.ingest(from, to).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_or_missing_key_is_noticed_at_the_start_and_named() {
    let stores = stores();
    for store in &stores.all {
        with_events(store, &ring(Mode::Optional, &[1]), 0, 3).await;
        let name = KeyName::of(&[1; 32]).to_string();
        refused(store, &ring(Mode::Optional, &[2]), &[&name, "PAYLOAD_ENCRYPTION_KEYS"]);
        refused(store, &ring(Mode::Required, &[2]), &[&name]);
        refused(store, &AtRest::default(), &[&name, "PAYLOAD_ENCRYPTION_LOST_KEYS"]);
        with_events(store, &ring(Mode::Optional, &[2, 1]), 3, 5).await;
        // Both are needed now.
        refused(store, &ring(Mode::Optional, &[1]), &[&KeyName::of(&[2; 32]).to_string()]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_key_an_event_is_an_error_and_never_other_data_and_a_replay_needs_none() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::default());
    with_events(&store, &ring(Mode::Optional, &[1]), 0, 3).await;
    let lost = BTreeSet::from([KeyName::of(&[1; 32])]);
    let keys = Keys::new(Mode::Optional, &[key(2)], &BTreeMap::new(), lost).expect("sound keys");
    let at_rest = AtRest::new(keys);
    let world = World::start(&store, &at_rest).await;
    let again = world.ingest(0, 3).await;
    assert!(again.iter().all(|result| matches!(result, EventResult::Replayed(_))), "{again:?}");
    world.ingest(3, 4).await;
    let events = world.service.events(&STREAM(), SequenceNumber(1), 10).await.expect("read");
    let readable: Vec<bool> = events.iter().map(|event| event.envelope().is_ok()).collect();
    assert_eq!(readable, [false, false, false, true]);
    assert!(at_rest.status().failures >= 3);
    // What needs no payload works.
    world.service.commit(&STREAM(), SequenceNumber(1), SequenceNumber(4)).await.expect("a batch");
    world.service.log_proof(&STREAM(), SequenceNumber(2), 4).await.expect("a proof");
    world.stop().await;
    // A run looks at them, leaves them, and keeps the key on record.
    let tally = rotate(&store, &at_rest);
    assert_eq!((tally.unopened, tally.rewritten), (3, 0));
    refused(&store, &ring(Mode::Optional, &[2]), &[&KeyName::of(&[1; 32]).to_string()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn modes_change_in_both_directions_and_each_says_what_it_needs() {
    let stores = stores();
    for store in &stores.all {
        // In clear, as before there was any of this.
        with_events(store, &AtRest::default(), 0, 3).await;
        refused(store, &ring(Mode::Required, &[1]), &["required", "optional", "reencrypt"]);
        let optional = ring(Mode::Optional, &[1]);
        with_events(store, &optional, 3, 5).await;
        let sealed = |store| {
            let log = raw(store);
            stored(log.reader().as_ref()).iter().map(|event| is_sealed(&event.body)).collect::<Vec<_>>()
        };
        assert_eq!(sealed(store), [false, false, false, true, true], "both are read, new ones are sealed");
        refused(store, &ring(Mode::Required, &[1]), &["required"]);
        assert_eq!(rotate(store, &optional).rewritten, 3);
        assert_eq!(sealed(store), [true; 5]);
        let required = ring(Mode::Required, &[1]);
        with_events(store, &required, 5, 6).await;

        // And back: keys open what was sealed until nothing is.
        refused(store, &AtRest::default(), &["PAYLOAD_ENCRYPTION_KEYS"]);
        let back = ring(Mode::Disabled, &[1]);
        with_events(store, &back, 6, 7).await;
        let world = World::start(store, &back).await;
        assert_eq!(world.envelopes().await.len(), 7);
        world.stop().await;
        assert_eq!(rotate(store, &back).rewritten, 6);
        assert_eq!(sealed(store), [false; 7]);
        let world = World::start(store, &AtRest::default()).await;
        assert_eq!(world.envelopes().await.len(), 7, "without any key, on {}", store.name());
        world.stop().await;
        refused(store, &ring(Mode::Required, &[1]), &["required"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_in_clear_where_that_is_refused_is_damage() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::default());
    let at_rest = ring(Mode::Required, &[1]);
    with_events(&store, &at_rest, 0, 2).await;
    // Whoever can write the database puts a payload of his own in the place of one.
    let mut log = raw(&store);
    let lies = stored(log.reader().as_ref());
    let opened = stored(at_rest.opening(log.reader()).as_ref());
    let change = stateset_event_log::BodyChange {
        sequence_number: SequenceNumber(2),
        old: lies[1].body.clone().into(),
        new: opened[1].body.clone().into(),
    };
    log.replace_bodies(&STREAM(), &[change]).expect("the same event");
    let reader = at_rest.opening(log.reader());
    let error = reader.read(&STREAM(), SequenceNumber(2), 1, usize::MAX).expect_err("refused");
    assert!(error.kind() == LogErrorKind::Corrupt && error.to_string().contains("clear"), "{error}");
    let optional = ring(Mode::Optional, &[1]).opening(log.reader());
    assert!(optional.read(&STREAM(), SequenceNumber(2), 1, usize::MAX).expect("read")[0].envelope().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_with_keys_of_its_own_is_sealed_with_them() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::default());
    with_events(&store, &ring(Mode::Optional, &[1]), 0, 2).await;
    let own = |mode, common: &[u8], own: &[u8]| {
        let keys = |list: &[u8]| list.iter().map(|n| key(*n)).collect::<Vec<_>>();
        let by_tenant = BTreeMap::from([(stream(1).tenant_id, keys(own))]);
        AtRest::new(Keys::new(mode, &keys(common), &by_tenant, BTreeSet::new()).expect("sound keys"))
    };
    let at_rest = own(Mode::Required, &[1], &[5]);
    let world = World::start(&store, &at_rest).await;
    world.ingest(2, 4).await;
    assert_eq!(world.envelopes().await.len(), 4, "the common key still opens what it sealed");
    world.stop().await;
    assert_eq!(rotate(&store, &at_rest).rewritten, 2);
    // The common key has sealed nothing of this tenant any more: another one opens nothing and is not asked.
    let log = raw(&store);
    let reader = own(Mode::Required, &[9], &[5]).opening(log.reader());
    assert!(stored(reader.as_ref()).iter().all(|event| event.envelope().is_ok()));
    let reader = ring(Mode::Optional, &[1]).opening(log.reader());
    assert!(stored(reader.as_ref()).iter().all(|event| event.envelope().is_err()));
}

#[tokio::test(flavor = "multi_thread")]
async fn seals_are_counted_over_restarts() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::default());
    with_events(&store, &ring(Mode::Optional, &[1]), 0, 7).await;
    let at_rest = ring(Mode::Optional, &[1]);
    with_events(&store, &at_rest, 7, 9).await;
    assert_eq!(at_rest.status().seals, 9);
}

fn older(n: u8) -> LegacyEvent {
    let payload = format!("{{\"n\":{n}}}");
    LegacyEvent {
        event_id: EventId::from_bytes([n; 16]),
        command_id: None,
        stream: STREAM(),
        entity_type: "order".to_owned(),
        entity_id: format!("ORD-{n}"),
        event_type: "order.changed".to_owned(),
        payload_hash: payload_hash(&payload),
        payload,
        base_version: None,
        created_at: "2026-01-02T03:04:05.123456+00:00".to_owned(),
        source_agent: AgentId::from_bytes([9; 16]),
        signature: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn older_events_that_no_key_opens_stay_as_they_are_and_no_check_calls_them_damaged() {
    let stores = stores();
    for store in &stores.all {
        let world = World::start(store, &ring(Mode::Optional, &[1])).await;
        let events = (1..=3).map(|n| Ok(older(n).check().expect("a sound event"))).collect();
        world.service.legacy().ingest(STREAM(), events).await.expect("numbered");
        world.stop().await;
        let checked = |at_rest: &AtRest| {
            let log = open(store, at_rest).expect("the keys are those of the log");
            let mut problems = Vec::new();
            let tell = &mut |place, problem| problems.push(format!("{place}: {problem}"));
            let checked = check_legacy(log.reader().as_ref(), tell);
            assert_eq!(problems, [""; 0], "{}", store.name());
            checked.map(|checked| checked.events)
        };
        let lost = BTreeSet::from([KeyName::of(&[1; 32])]);
        let other = AtRest::new(Keys::new(Mode::Optional, &[key(2)], &BTreeMap::new(), lost).expect("keys"));
        let tally = rotate(store, &other);
        assert_eq!((tally.unopened, tally.rewritten), (3, 0));
        assert!(matches!(checked(&other), Err(ServiceError::Sealed(_))));
        let found = ring(Mode::Optional, &[3, 2, 1]);
        assert_eq!(rotate(store, &found).rewritten, 3, "the key was found again");
        assert!(matches!(checked(&ring(Mode::Optional, &[3])), Ok(3)));
    }
}

//! States and letters: sealed as they are written, bound to their places, and never put back by a re-encryption.

use std::sync::Arc;
use std::time::Duration;

use stateset_at_rest::{Kind, Mode, Reencryption};
use stateset_event_log::{Document, DocumentChange, EventStore, LogErrorKind, LogReader, Table};
use stateset_sequencer::{DeadLetterFilter, DeadLetterReason, RefusedEvent, Workers};
use ves::{EventId, SequenceNumber};

use crate::world::{MemoryStore, STREAM, World, open, raw, ring, rotate, stores};

const SECRET: &str = "a secret of a payload that is long enough to be looked for";

fn key(n: u64) -> Vec<u8> {
    let stream = STREAM();
    [stream.tenant_id.as_bytes(), stream.store_id.as_bytes(), &n.to_be_bytes()[..]].concat()
}

fn state(n: u64, version: u64) -> DocumentChange {
    let text = format!(r#"{{"version":{version},"state":{{"name":"{SECRET}"}}}}"#);
    DocumentChange::Put(Table::ProjectionStates, Document { key: key(n), text, content: Vec::new() })
}

fn refused(n: u64) -> RefusedEvent {
    RefusedEvent {
        stream: STREAM(),
        sequence_number: SequenceNumber(n),
        event_id: EventId::from_bytes([n as u8; 16]),
        entity_type: "order".to_owned(),
        entity_id: "o".to_owned(),
        event_type: "order.created".to_owned(),
        reason: DeadLetterReason::SchemaValidation,
        message: format!("{n}: {SECRET}"),
        expected_version: None,
        actual_version: None,
    }
}

async fn fill(world: &World, from: u64, to: u64) {
    let service = &world.service;
    let letters: Vec<_> = (from..to).map(refused).collect();
    let mut changes = service.dead_letters_refused(&letters).await.expect("changes");
    changes.extend((from..to).map(|n| state(n, 1)));
    service.put_documents(changes).await.expect("written");
}

async fn messages(world: &World) -> Vec<String> {
    let filter = DeadLetterFilter::all_of(STREAM().tenant_id);
    let page = world.service.dead_letters(filter, None, 1_000).await.expect("letters");
    page.letters.into_iter().map(|letter| letter.message).collect()
}

/// How many documents of a table hold the secret as they lie.
fn in_clear(reader: &dyn LogReader) -> usize {
    let holds = |bytes: &[u8]| bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
    let of = |table| reader.documents(table, b"", None, 10_000).expect("documents");
    let all = Table::ALL.into_iter().flat_map(of);
    all.filter(|document| holds(document.text.as_bytes()) || holds(&document.content)).count()
}

fn lies(store: &Arc<dyn EventStore>, table: Table, key: &[u8]) -> Document {
    raw(store).reader().document(table, key).expect("read").expect("there is one")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_derived_from_payloads_lies_sealed_on_every_log_and_is_read_in_clear() {
    let stores = stores();
    for store in &stores.all {
        let world = World::start(store, &ring(Mode::Required, &[1])).await;
        fill(&world, 1, 4).await;
        assert_eq!(messages(&world).await, [1, 2, 3].map(|n| format!("{n}: {SECRET}")));
        let read = world.service.document(Table::ProjectionStates, &key(2)).await.expect("read");
        let DocumentChange::Put(_, written) = state(2, 1) else { unreachable!("it is one") };
        assert_eq!(read, Some(written));
        let rejected = world.service.rejected_events(&STREAM().tenant_id, 0, 10).await.expect("read");
        assert!(rejected.iter().all(|rejected| rejected.refused.message.contains(SECRET)));
        world.stop().await;
        assert_eq!(in_clear(raw(store).reader().as_ref()), 0, "{}", store.name());
        // What a letter is listed and tried again by needs no key.
        assert!(lies(store, Table::DeadLetters, &key(2)).text.contains("schema_validation"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_was_moved_to_another_key_or_table_does_not_open() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::default());
    let at_rest = ring(Mode::Required, &[1]);
    let world = World::start(&store, &at_rest).await;
    fill(&world, 1, 3).await;
    world.stop().await;
    let moved = Document { key: key(2), ..lies(&store, Table::ProjectionStates, &key(1)) };
    let mut log = raw(&store);
    let puts = [Table::ProjectionStates, Table::ProjectionSnapshots];
    log.put_documents(&puts.map(|table| DocumentChange::Put(table, moved.clone()))).expect("written");
    let reader = at_rest.opening(log.reader());
    for table in puts {
        let read = reader.document(table, &key(2)).expect("read").expect("there is one");
        assert_eq!(read, moved, "it stays sealed");
    }
    assert_eq!(at_rest.status().failures, 2);
    // And in clear it is damage, as everything is.
    let clear = DocumentChange::Put(
        Table::ProjectionStates,
        Document { key: key(1), text: "{}".to_owned(), content: Vec::new() },
    );
    log.put_documents(&[clear]).expect("written");
    let error = reader.document(Table::ProjectionStates, &key(1)).expect_err("refused");
    assert_eq!(error.kind(), LogErrorKind::Corrupt);
}

#[tokio::test(flavor = "multi_thread")]
async fn required_does_not_start_over_what_was_derived_in_clear() {
    let stores = stores();
    for store in &stores.all {
        let world = World::on(raw(store)).await;
        fill(&world, 1, 30).await;
        world.stop().await;
        assert!(in_clear(raw(store).reader().as_ref()) > 0);
        assert!(open(store, &ring(Mode::Required, &[1])).is_err(), "{}", store.name());
        let optional = ring(Mode::Optional, &[1]);
        let tally = rotate(store, &optional);
        assert_eq!((tally.rewritten, tally.unopened), (3 * 29, 0));
        assert_eq!(in_clear(raw(store).reader().as_ref()), 0);
        let world = World::start(store, &ring(Mode::Required, &[1])).await;
        assert_eq!(messages(&world).await.len(), 29);
        world.stop().await;
        // And back to clear.
        let back = ring(Mode::Disabled, &[1]);
        assert_eq!(rotate(store, &back).rewritten, 3 * 29);
        let world = World::on(raw(store)).await;
        assert!(messages(&world).await.iter().all(|message| message.contains(SECRET)));
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_whose_states_an_older_release_left_in_clear_is_not_taken_for_sealed() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::default());
    let optional = ring(Mode::Optional, &[1]);
    let world = World::start(&store, &optional).await;
    world.ingest(0, 3).await;
    world.stop().await;
    // As that release left it: all that it knew of is sealed and done, the states are in clear.
    let mut log = raw(&store);
    let state_at = |reader: &dyn LogReader| reader.document(Table::Reencryption, b"state").unwrap().unwrap();
    let mut known = state_at(log.reader().as_ref());
    let mut members: serde_json::Value = serde_json::from_str(&known.text).unwrap();
    members.as_object_mut().unwrap().remove("derived");
    members["done"] = serde_json::json!(["events", "legacy_events", "validity_proofs", "compliance_proofs"]);
    members["sealed_only"] = true.into();
    known.text = members.to_string();
    let known = DocumentChange::Put(Table::Reencryption, known);
    log.put_documents(std::slice::from_ref(&known)).unwrap();
    drop(log);
    assert!(open(&store, &ring(Mode::Required, &[1])).is_ok(), "there is nothing derived");
    let mut log = raw(&store);
    log.put_documents(&[known, state(1, 1)]).unwrap();
    drop(log);
    assert!(open(&store, &ring(Mode::Required, &[1])).is_err());
    let world = World::start(&store, &optional).await;
    assert!(optional.status().is_rotating, "they are to be sealed");
    world.stop().await;
    assert_eq!(rotate(&store, &ring(Mode::Optional, &[1])).rewritten, 1);
    assert!(open(&store, &ring(Mode::Required, &[1])).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_re_encryption_never_puts_an_older_state_over_a_newer_one() {
    let stores = stores();
    for store in &stores.all {
        let world = World::start(store, &ring(Mode::Optional, &[1])).await;
        let states: Vec<_> = (0..300).map(|n| state(n, 1)).collect();
        world.service.put_documents(states).await.expect("written");
        world.stop().await;
        let both = ring(Mode::Optional, &[2, 1]);
        let world = World::start(store, &both).await;
        let workers = Workers::start(&[Arc::new(Reencryption::new(both.clone())) as _], &world.service);
        let mut version = 1;
        while both.status().is_rotating {
            version += 1;
            for some in (0..300).collect::<Vec<u64>>().chunks(50) {
                let newer = some.iter().map(|n| state(*n, version)).collect();
                world.service.put_documents(newer).await.expect("written");
            }
            assert!(version < 10_000, "it does not come to its end");
        }
        workers.stop(Duration::from_secs(5)).await;
        let read = world.service.documents(Table::ProjectionStates, b"", None, 1_000).await.expect("read");
        let newest = format!("\"version\":{version},");
        assert!(read.len() == 300 && read.iter().all(|document| document.text.contains(&newest)));
        world.stop().await;
        let log = open(store, &ring(Mode::Optional, &[2])).expect("the old key is needed no more");
        assert!(
            log.reader().documents(Table::ProjectionStates, b"", None, 1).expect("read")[0]
                .content
                .is_empty()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_go_on_without_the_key_that_sealed_their_messages() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::default());
    let world = World::start(&store, &ring(Mode::Optional, &[1])).await;
    fill(&world, 1, 3).await;
    world.stop().await;
    let lost = [stateset_at_rest::KeyName::of(&[1; 32])].into();
    let keys =
        stateset_at_rest::Keys::new(Mode::Optional, &[crate::world::key(2)], &Default::default(), lost);
    let at_rest = stateset_at_rest::AtRest::new(keys.expect("sound keys"));
    let world = World::start(&store, &at_rest).await;
    fill(&world, 3, 4).await;
    let said = messages(&world).await;
    assert!(said[0].contains("no key") && said[2].contains(SECRET), "{said:?}");
    let filter = DeadLetterFilter::all_of(STREAM().tenant_id);
    let order = stateset_sequencer::DeadLetterOrder {
        act: stateset_sequencer::DeadLetterAct::Retry,
        filter,
        place: None,
    };
    assert_eq!(world.service.order_dead_letters(order).await.expect("carried out"), 3);
    assert_eq!(world.service.dead_letters_due(10).await.expect("due").len(), 3);
    world.stop().await;
    assert_eq!(Kind::ALL.len(), 4 + Kind::DERIVED.len());
}

//! Where the bytes of a payload are found, and where they are not.

use std::sync::Arc;

use stateset_at_rest::Mode;
use stateset_event_log::{BodyChange, EventStore, LogErrorKind, is_sealed};
use stateset_fixtures::{Recipient, sealed_event};
use stateset_sequencer::EventResult;
use ves::{Payload, SequenceNumber};

use crate::world::{MemoryStore, STREAM, World, open, raw, ring, stored, stores};

fn occurs(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// A part of a payload that is long enough to be there by no accident.
fn payload_of(event: &ves::Envelope<'_>) -> Vec<u8> {
    match &event.payload {
        Payload::Plain(text) => text.as_bytes().to_vec(),
        Payload::Encrypted(sealed) => sealed.ciphertext.clone(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_back_as_they_were_sent_and_lie_sealed_on_every_log() {
    let stores = stores();
    for store in &stores.all {
        let at_rest = ring(Mode::Required, &[1]);
        let world = World::start(store, &at_rest).await;
        let recipient = Recipient::new(1);
        let secret = sealed_event(&world.agent, &STREAM(), 400, &[recipient]);
        // More than one turn's worth for other cores, then one with a payload sealed by its agent.
        world.ingest(0, 300).await;
        let outcome = world.service.ingest(STREAM(), vec![Ok(secret.clone())]).await.expect("taken");
        assert!(matches!(outcome.results[..], [EventResult::Accepted(_)]));
        let read = world.service.events(&STREAM(), SequenceNumber(301), 1).await.expect("read");
        assert_eq!(read[0].envelope().expect("in clear").0, secret);
        let history = world
            .service
            .entity_history(&STREAM(), &secret.entity_type, &secret.entity_id, 1, 1)
            .await
            .expect("read");
        assert!(history.events[0].envelope().is_ok(), "a history is read in clear");
        world.stop().await;

        let log = raw(store);
        let lies = stored(log.reader().as_ref());
        assert!(lies.iter().all(|event| is_sealed(&event.body)), "{}", store.name());
        assert!(!occurs(&lies[300].body, &payload_of(&secret)));
        let report = stateset_event_log::check(log.reader().as_ref(), &mut |_| ()).expect("a check");
        assert!(report.is_sound() && report.events_sealed == 301, "{report:?}");
        drop(log);
        // And again, by a service that starts on it.
        let world = World::start(store, &ring(Mode::Required, &[1])).await;
        let events = world.service.events(&STREAM(), SequenceNumber(1), 300).await.expect("read");
        for (event, n) in events.iter().zip(0..) {
            assert_eq!(event.envelope().expect("in clear").0, world.event(n));
        }
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_byte_of_a_payload_is_in_the_file_of_a_sealed_database() {
    let folder = tempfile::tempdir().expect("a folder");
    let found = |mode: Option<Mode>, name: &str| {
        let path = folder.path().join(name);
        async move {
            let store: Arc<dyn EventStore> =
                Arc::new(stateset_event_log::SqliteStore::new(path.join("log.db")));
            std::fs::create_dir_all(&path).expect("a folder");
            let world = match mode {
                Some(mode) => World::start(&store, &ring(mode, &[1])).await,
                None => World::on(raw(&store)).await,
            };
            world.ingest(0, 200).await;
            let payloads: Vec<Vec<u8>> = (0..200).map(|n| payload_of(&world.event(n))).collect();
            // The log beside the file is looked at too, while it is open and after it is closed.
            let look = || {
                std::fs::read_dir(&path).expect("the folder").any(|file| {
                    let bytes = std::fs::read(file.expect("a file").path()).expect("its bytes");
                    payloads.iter().any(|payload| occurs(&bytes, payload))
                })
            };
            let open = look();
            world.stop().await;
            (open, look())
        }
    };
    assert_eq!(found(None, "clear").await, (true, true), "the search finds what lies in clear");
    assert_eq!(found(Some(Mode::Required), "sealed").await, (false, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seal_that_was_moved_to_another_event_does_not_open() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::default());
    let at_rest = ring(Mode::Optional, &[1]);
    let world = World::start(&store, &at_rest).await;
    world.ingest(0, 2).await;
    world.stop().await;
    let mut log = raw(&store);
    let lies = stored(log.reader().as_ref());
    let (one, two) = (lies[0].record().expect("a record"), lies[1].record().expect("a record"));
    // The record itself says which event it is, so only its blob can be swapped.
    let moved = BodyChange {
        sequence_number: SequenceNumber(1),
        old: lies[0].body.clone().into(),
        new: one.sealed(two.payload()).into(),
    };
    log.replace_bodies(&STREAM(), &[moved]).expect("the same event, with another blob");
    let whole = BodyChange {
        sequence_number: SequenceNumber(1),
        old: stored(log.reader().as_ref())[0].body.clone().into(),
        new: lies[1].body.clone().into(),
    };
    let error = log.replace_bodies(&STREAM(), &[whole]).expect_err("another event");
    assert_eq!(error.kind(), LogErrorKind::Changed);
    drop(log);

    let log = open(&store, &at_rest).expect("the keys are right");
    let read = stored(log.reader().as_ref());
    assert!(read[0].envelope().is_err() && read[1].envelope().is_ok());
    assert_eq!(at_rest.status().failures, 1);
    assert_eq!(read[0].leaf_hash(), lies[0].leaf_hash(), "its leaf needs no key");
}

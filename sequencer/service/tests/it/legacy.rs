//! The older stream on a real file: numbers, duplicates, entities, batches, proofs, restarts.

use std::collections::BTreeMap;
use std::path::Path;

use stateset_fixtures::stream;
use stateset_sequencer::{
    CommitFailure, Document, DocumentChange, ErrorKind, LegacyCommits, LegacyOutcome, LegacyResult,
    ProofFailure, Sequencer, Table, Unchanged, Worker, Workers,
};
use ves::legacy::{CheckedLegacyEvent, LegacyEvent, payload_hash, root, state_root, verify_inclusion};
use ves::{AgentId, BatchId, CommandId, Digest, EventId, Rejection, SequenceNumber, StreamKey};

use crate::world::World;

fn raw(stream: &StreamKey, n: u16) -> LegacyEvent {
    let mut id = [7; 16];
    id[..2].copy_from_slice(&n.to_be_bytes());
    let payload = format!("{{\"n\":{n}}}");
    LegacyEvent {
        event_id: EventId::from_bytes(id),
        command_id: None,
        stream: *stream,
        entity_type: "order".to_owned(),
        entity_id: format!("ORD-{}", n % 3),
        event_type: "order.changed".to_owned(),
        payload_hash: payload_hash(&payload),
        payload,
        base_version: None,
        created_at: "2026-01-02T03:04:05.123456+00:00".to_owned(),
        source_agent: AgentId::from_bytes([9; 16]),
        signature: Some(vec![1, 2]),
    }
}
fn event(stream: &StreamKey, n: u16) -> CheckedLegacyEvent {
    raw(stream, n).check().expect("a sound event")
}

async fn ingest(service: &Sequencer, stream: &StreamKey, events: Vec<CheckedLegacyEvent>) -> LegacyOutcome {
    let events = events.into_iter().map(Ok).collect();
    service.legacy().ingest(*stream, events).await.expect("the store takes the events")
}
async fn fill(service: &Sequencer, stream: &StreamKey, from: u16, to: u16) {
    let outcome = ingest(service, stream, (from..to).map(|n| event(stream, n)).collect()).await;
    assert_eq!(outcome.accepted(), usize::from(to - from));
}
fn rejection(result: &LegacyResult) -> &Rejection {
    match result {
        LegacyResult::Rejected { rejection, .. } => rejection,
        accepted => panic!("{accepted:?}"),
    }
}
fn seq(n: u64) -> SequenceNumber {
    SequenceNumber(n)
}
async fn open(dir: &Path) -> (World, StreamKey) {
    (World::open(dir).await, stream(1))
}

#[tokio::test]
async fn what_was_numbered_is_read_back_the_same_after_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let (world, stream) = open(dir.path()).await;
    fill(&world.sequencer, &stream, 0, 40).await;
    let before = world.sequencer.legacy().events(&stream, seq(0), 1000).await.expect("reads");
    let batch = world.sequencer.legacy().commit(&stream, seq(1), seq(40)).await.expect("commits");
    world.close().await;

    let (world, stream) = open(dir.path()).await;
    let legacy = world.sequencer.legacy();
    assert_eq!(legacy.events(&stream, seq(1), 1000).await.expect("reads"), before);
    for (stored, n) in before.iter().zip(0u16..) {
        assert_eq!((&stored.event, stored.sequence_number.0), (&raw(&stream, n), u64::from(n) + 1));
    }
    let head = legacy.head(&stream).await.expect("reads");
    assert_eq!((head.head_sequence, head.state_root), (seq(40), batch.new_state_root));
    assert_eq!(head.latest_commitment, Some(batch));
    // Memory of ids, commands and versions lies in the store as well.
    let outcome = ingest(&world.sequencer, &stream, vec![event(&stream, 7), event(&stream, 40)]).await;
    assert_eq!(rejection(&outcome.results[0]), &Rejection::DuplicateEventId);
    assert_eq!((outcome.numbers(), outcome.head_sequence), (Some((seq(41), seq(41))), seq(41)));
    world.close().await;
}

#[tokio::test]
async fn concurrent_requests_share_no_number_and_leave_no_gap() {
    let dir = tempfile::tempdir().expect("a folder");
    let (world, stream) = open(dir.path()).await;
    let requests = (0..12u16).map(|request| {
        let (service, stream) = (world.sequencer.clone(), stream);
        // Every request tries event 1000 as well: one of them gets it.
        let events = vec![event(&stream, request * 2), event(&stream, 1000), event(&stream, request * 2 + 1)];
        tokio::spawn(async move { ingest(&service, &stream, events).await })
    });
    let requests: Vec<_> = requests.collect();
    let mut numbers = Vec::new();
    for request in requests {
        for result in request.await.expect("no panic").results {
            match result {
                LegacyResult::Accepted(number) => numbers.push(number.0),
                LegacyResult::Rejected { rejection, .. } => {
                    assert_eq!(rejection, Rejection::DuplicateEventId)
                }
            }
        }
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=25).collect::<Vec<_>>());
    let stored = world.sequencer.legacy().events(&stream, seq(0), 100).await.expect("reads");
    assert_eq!(stored.len(), 25);
    world.close().await;
}

#[tokio::test]
async fn the_signed_stream_of_the_same_name_has_its_own_numbers_and_ids() {
    let dir = tempfile::tempdir().expect("a folder");
    let (world, stream) = open(dir.path()).await;
    world.ingest_range(0, 3).await;
    let mut twin = raw(&stream, 1);
    twin.event_id = world.event(1).event_id;
    let twin = twin.check().expect("sound");
    let outcome = ingest(&world.sequencer, &stream, vec![twin]).await;
    assert_eq!(outcome.numbers(), Some((seq(1), seq(1))));
    assert_eq!(world.sequencer.head(&stream).head_sequence, seq(3));
    let other = StreamKey { store_id: stateset_fixtures::stream(2).store_id, ..stream };
    assert_eq!(world.sequencer.legacy().head(&other).await.expect("reads"), Default::default());
    // An event that names another stream is not written into this one.
    let outcome = ingest(&world.sequencer, &stream, vec![event(&other, 5)]).await;
    assert!(
        matches!(rejection(&outcome.results[0]), Rejection::SchemaValidation { field, .. } if field == "tenant_id")
    );
    world.close().await;
}

#[tokio::test]
async fn an_entity_is_read_by_versions_and_guards_its_base_version() {
    let dir = tempfile::tempdir().expect("a folder");
    let (world, stream) = open(dir.path()).await;
    fill(&world.sequencer, &stream, 0, 10).await;
    let legacy = world.sequencer.legacy();
    let found = legacy.entity(&stream, "order", "ORD-0", 2, 2).await.expect("reads");
    let numbers: Vec<u64> = found.events.iter().map(|stored| stored.sequence_number.0).collect();
    assert_eq!((found.current_version, numbers), (4, vec![4, 7]));
    for (entity_type, entity_id) in
        [("order", "ORD-"), ("orde", "rORD-0"), ("order\0ORD-0", "x"), ("order", "")]
    {
        let none = legacy.entity(&stream, entity_type, entity_id, 0, 10).await.expect("reads");
        assert_eq!((none.current_version, none.events.len()), (0, 0), "{entity_type:?} {entity_id:?}");
    }
    let expecting = |n: u16, base_version| {
        let command_id = Some(CommandId::from_bytes([n as u8; 16]));
        LegacyEvent {
            base_version: Some(base_version),
            command_id,
            entity_id: "ORD-0".to_owned(),
            ..raw(&stream, n)
        }
        .check()
        .expect("sound")
    };
    let request = vec![expecting(50, 3), expecting(51, 4), expecting(52, 4)];
    let outcome = ingest(&world.sequencer, &stream, request).await;
    assert_eq!(rejection(&outcome.results[0]), &Rejection::VersionConflict { expected: 3, actual: 4 });
    assert_eq!(outcome.results[1], LegacyResult::Accepted(seq(11)));
    assert_eq!(rejection(&outcome.results[2]), &Rejection::VersionConflict { expected: 4, actual: 5 });
    // The command of the accepted event is used, those of the refused ones are free.
    let mut again = expecting(53, 5);
    let outcome = ingest(&world.sequencer, &stream, vec![again.clone()]).await;
    assert_eq!(outcome.accepted(), 1);
    again = LegacyEvent {
        command_id: Some(CommandId::from_bytes([51; 16])),
        base_version: None,
        ..raw(&stream, 54)
    }
    .check()
    .expect("sound");
    let outcome = ingest(&world.sequencer, &stream, vec![again]).await;
    assert_eq!(rejection(&outcome.results[0]), &Rejection::DuplicateCommandId);
    world.close().await;
}

/// State root as section 15 defines it, from the events alone.
fn root_of(stream: &StreamKey, events: u16) -> Digest {
    let mut versions: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for n in 0..events {
        *versions.entry(("order", ["ORD-0", "ORD-1", "ORD-2"][usize::from(n % 3)])).or_default() += 1;
    }
    state_root(stream, &versions)
}

#[tokio::test]
async fn a_batch_commits_to_its_events_and_to_the_entities_as_they_were() {
    let dir = tempfile::tempdir().expect("a folder");
    let (world, stream) = open(dir.path()).await;
    fill(&world.sequencer, &stream, 0, 700).await;
    let legacy = world.sequencer.legacy();
    let commit = async |start, end| legacy.commit(&stream, seq(start), seq(end)).await;
    let first = commit(1, 2).await.expect("commits");
    let second = commit(3, 602).await.expect("commits");
    let leaves: Vec<Digest> = (2..602u16).map(|n| raw(&stream, n).leaf_hash(seq(u64::from(n) + 1))).collect();
    assert_eq!(second.events_root, root(&leaves));
    assert_eq!((first.prev_state_root, first.new_state_root), (Digest::ZERO, root_of(&stream, 2)));
    assert_eq!(
        (second.prev_state_root, second.new_state_root),
        (first.new_state_root, root_of(&stream, 602))
    );

    assert_eq!(commit(3, 602).await.expect("the same again"), second);
    for (start, end, kind) in [
        (3, 601, ErrorKind::Conflict),
        (4, 602, ErrorKind::Invalid),
        (604, 605, ErrorKind::Invalid),
        (603, 701, ErrorKind::Invalid),
        (603, 602, ErrorKind::Invalid),
    ] {
        let error = commit(start, end).await.expect_err("refused");
        assert!(
            matches!(&error, CommitFailure::Refused(_)) && error.kind() == kind,
            "{start}..={end}: {error}"
        );
    }
    assert_eq!(
        legacy.commitments(&stream, seq(2), 10).await.expect("reads"),
        [first.clone(), second.clone()]
    );
    let from_three = legacy.commitments(&stream, seq(3), 10).await.expect("reads");
    assert_eq!(from_three, std::slice::from_ref(&second));
    assert_eq!(legacy.commitments(&stream, seq(603), 10).await.expect("reads"), []);
    assert_eq!(
        legacy.commitment(Some(&second.stream.tenant_id), &second.batch_id).await.expect("reads"),
        Some(second.clone())
    );

    for number in [3, 258, 259, 514, 515, 602] {
        let proof = legacy.proof(&stream, &second.batch_id, seq(number)).await.expect("a proof");
        let leaf = &leaves[(number - 3) as usize];
        assert_eq!((&proof.leaf_hash, proof.leaf_index), (leaf, number - 3));
        verify_inclusion(leaf, &second.events_root, 600, proof.leaf_index, &proof.path).expect("verifies");
    }
    let outside = legacy.proof(&stream, &second.batch_id, seq(2)).await.expect_err("outside");
    assert!(matches!(outside, ProofFailure::OutsideBatch { .. }));
    let other = stateset_fixtures::stream(2);
    let foreign = legacy.proof(&other, &second.batch_id, seq(3)).await.expect_err("another tenant's stream");
    assert!(matches!(foreign, ProofFailure::UnknownBatch(_)), "to another tenant the batch does not exist");
    let elsewhere = ves::StreamKey { tenant_id: stream.tenant_id, store_id: other.store_id };
    let elsewhere = legacy.proof(&elsewhere, &second.batch_id, seq(3)).await.expect_err("another store");
    assert!(matches!(elsewhere, ProofFailure::OtherStream { .. }));
    let unknown = legacy.proof(&stream, &BatchId::from_bytes([1; 16]), seq(3)).await.expect_err("unknown");
    assert!(matches!(unknown, ProofFailure::UnknownBatch(_)));
    world.close().await;
}

#[tokio::test]
async fn a_request_whose_caller_goes_away_is_finished_before_the_next_one_looks() {
    let dir = tempfile::tempdir().expect("a folder");
    let (world, stream) = open(dir.path()).await;
    for n in 0..20u16 {
        let (legacy, given_up) = (world.sequencer.legacy(), event(&stream, n));
        // Polled once, then dropped: the write may have been begun.
        let begun = legacy.ingest(stream, vec![Ok(given_up)]);
        let _ = tokio::time::timeout(std::time::Duration::from_micros(u64::from(n) * 50), begun).await;
        let outcome = ingest(&world.sequencer, &stream, vec![event(&stream, 100 + n)]).await;
        assert_eq!(outcome.accepted(), 1);
    }
    let stored = world.sequencer.legacy().events(&stream, seq(0), 100).await.expect("reads");
    let numbers: Vec<u64> = stored.iter().map(|stored| stored.sequence_number.0).collect();
    assert_eq!(numbers, (1..=stored.len() as u64).collect::<Vec<_>>());
    let kept = stored.iter().filter(|stored| stored.event.event_id.as_bytes()[0] == 0).count();
    assert!(kept >= 20, "every answered event is stored once, found {kept}");
    world.close().await;
}

#[tokio::test]
async fn live_readers_are_woken_by_an_older_event() {
    let dir = tempfile::tempdir().expect("a folder");
    let (world, stream) = open(dir.path()).await;
    let mut live = world.sequencer.subscribe();
    live.mark_unchanged();
    fill(&world.sequencer, &stream, 0, 1).await;
    assert!(live.has_changed().expect("the service runs"));
    // It can be read by its id.
    let id = event(&stream, 0).event_id;
    let found = world.sequencer.legacy().event(&stream, &id).await.expect("reads").expect("is there");
    assert_eq!((found.event, found.sequence_number), (raw(&stream, 0), seq(1)));
    assert_eq!(
        world.sequencer.legacy().event(&stateset_fixtures::stream(2), &id).await.expect("reads"),
        None
    );
    world.close().await;
}

/// A write that its caller gave up on may come late; one that was decided before it must not overwrite what it wrote.
#[tokio::test]
async fn a_write_decided_on_what_has_changed_since_is_not_made() {
    let dir = tempfile::tempdir().expect("a folder");
    let (world, _) = open(dir.path()).await;
    let service = &world.sequencer;
    let (table, key) = (Table::AgentSyncState, b"place".to_vec());
    let put = |text: &str| {
        let document = Document { key: b"place".to_vec(), text: text.to_owned(), content: Vec::new() };
        vec![DocumentChange::Put(Table::AgentSyncState, document)]
    };
    let seen = |found: Option<Document>| Unchanged { table, key: key.clone(), found };
    assert!(service.put_documents_if(seen(None), put("1")).await.expect("writes"));
    let first = service.document(table, &key).await.expect("reads");
    assert_eq!(first.as_ref().map(|document| document.text.as_str()), Some("1"));
    assert!(!service.put_documents_if(seen(None), put("2")).await.expect("asks"), "there is one by now");
    assert!(service.put_documents_if(seen(first.clone()), put("3")).await.expect("writes"));
    assert!(!service.put_documents_if(seen(first), put("4")).await.expect("asks"), "it is another by now");
    let last = service.document(table, &key).await.expect("reads").expect("is there");
    assert_eq!(last.text, "3");
    world.close().await;
}

/// Waits until the worker has committed the stream through `end`.
async fn committed(service: &Sequencer, stream: &StreamKey, end: u64) {
    for _ in 0..500 {
        let head = service.legacy().head(stream).await.expect("reads");
        if head.latest_commitment.is_some_and(|batch| batch.sequence_end == seq(end)) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the stream was not committed through {end} in time");
}

#[tokio::test]
async fn the_worker_commits_older_streams_by_size_by_age_and_what_an_earlier_term_left() {
    let workers: [std::sync::Arc<dyn Worker>; 1] = [std::sync::Arc::new(LegacyCommits)];
    let dir = tempfile::tempdir().expect("a folder");
    let (world, first) = open(dir.path()).await;
    let second = stream(2);
    // Without a worker nothing is committed: this is what the next term finds.
    fill(&world.sequencer, &first, 0, 20).await;
    fill(&world.sequencer, &second, 0, 3).await;
    world.close().await;

    let (world, _) = open(dir.path()).await;
    let running = Workers::start(&workers, &world.sequencer);
    committed(&world.sequencer, &first, 20).await;
    let sizes: Vec<u64> = world
        .sequencer
        .legacy()
        .commitments(&first, seq(1), 10)
        .await
        .expect("reads")
        .iter()
        .map(|batch| batch.event_count())
        .collect();
    assert_eq!(sizes, [8, 8, 4], "batches of the policy's size");
    let waits = world.sequencer.legacy().head(&second).await.expect("reads");
    assert!(waits.latest_commitment.is_none(), "three events are not old enough");
    // An idle stream, and a clock that was set back meanwhile.
    world.clock.advance_ms(-86_400_000);
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    world.clock.advance_ms(60_001);
    committed(&world.sequencer, &second, 3).await;
    fill(&world.sequencer, &second, 3, 11).await;
    committed(&world.sequencer, &second, 11).await;
    running.stop(std::time::Duration::from_secs(5)).await;
    world.close().await;
}

#[tokio::test]
async fn an_older_event_says_nothing_of_payments_either() {
    let dir = tempfile::tempdir().expect("a folder");
    let (world, stream) = open(dir.path()).await;
    let mut said = raw(&stream, 1);
    said.event_type = "x402_payment.settled".to_owned();
    let outcome =
        ingest(&world.sequencer, &stream, vec![said.check().expect("sound"), event(&stream, 2)]).await;
    assert_eq!(rejection(&outcome.results[0]).reason(), "schema_validation: event_type");
    assert_eq!(outcome.accepted(), 1);
    world.close().await;
}

//! A check of the older streams: what was written holds, and each thing that is changed is found.

use std::path::Path;

use stateset_event_log::{LogReader, SqliteReader};
use stateset_fixtures::stream;
use stateset_sequencer::{Document, DocumentChange, LegacyChecked, Table, check_legacy};
use ves::legacy::{LegacyEvent, payload_hash};
use ves::{AgentId, CommandId, EventId, SequenceNumber, StreamKey};

use crate::world::World;

fn event(stream: &StreamKey, n: u16) -> LegacyEvent {
    let mut id = [7; 16];
    id[..2].copy_from_slice(&n.to_be_bytes());
    let payload = format!("{{\"n\":{n}}}");
    LegacyEvent {
        event_id: EventId::from_bytes(id),
        command_id: n.is_multiple_of(2).then(|| CommandId::from_bytes(id)),
        stream: *stream,
        entity_type: "order".to_owned(),
        entity_id: format!("ORD-{}", n % 7),
        event_type: "order.changed".to_owned(),
        payload_hash: payload_hash(&payload),
        payload,
        base_version: None,
        created_at: "2026-01-02T03:04:05.123456+00:00".to_owned(),
        source_agent: AgentId::from_bytes([9; 16]),
        signature: None,
    }
}

/// Two streams, one with three batches and events after them, one with events alone.
async fn fill(dir: &Path) -> World {
    let world = World::open(dir).await;
    for (n, events) in [(1, 400), (2, 5)] {
        let stream = stream(n);
        let events =
            (0..events).map(|n| Ok(event(&stream, n).check().expect("a sound event"))).collect::<Vec<_>>();
        world.sequencer.legacy().ingest(stream, events).await.expect("numbered");
    }
    for (start, end) in [(1, 1), (2, 301), (302, 390)] {
        let range = (SequenceNumber(start), SequenceNumber(end));
        world.sequencer.legacy().commit(&stream(1), range.0, range.1).await.expect("committed");
    }
    world
}

fn checked(reader: &dyn LogReader) -> (LegacyChecked, Vec<String>) {
    let mut problems = Vec::new();
    let tell = &mut |place: String, problem: String| problems.push(format!("{place}: {problem}"));
    (check_legacy(reader, tell).expect("it can be read"), problems)
}

fn snapshot(dir: &Path) -> SqliteReader {
    SqliteReader::snapshot(dir.join("log.db")).expect("a database")
}

/// The document of that place among those of the first stream.
fn found(reader: &dyn LogReader, table: Table, at: usize) -> Document {
    let of = stream(1);
    let prefix = [&of.tenant_id.as_bytes()[..], &of.store_id.as_bytes()[..]].concat();
    reader.documents(table, &prefix, None, 1000).expect("documents").swap_remove(at)
}

#[tokio::test]
async fn what_was_written_holds() {
    let dir = tempfile::tempdir().expect("a folder");
    let world = fill(dir.path()).await;
    let (checked, problems) = checked(&snapshot(dir.path()));
    assert_eq!(problems, [""; 0]);
    assert_eq!(checked, LegacyChecked { streams: 2, events: 405, commitments: 3 });
    world.close().await;
}

#[tokio::test]
async fn each_thing_that_is_changed_is_found() {
    type Damage = fn(&dyn LogReader) -> Vec<DocumentChange>;
    fn other(reader: &dyn LogReader, table: Table, at: usize, from: &str, to: &str) -> Vec<DocumentChange> {
        let mut document = found(reader, table, at);
        assert!(document.text.contains(from), "{}", document.text);
        document.text = document.text.replace(from, to);
        vec![DocumentChange::Put(table, document)]
    }
    fn gone(reader: &dyn LogReader, table: Table, at: usize) -> Vec<DocumentChange> {
        vec![DocumentChange::Remove(table, found(reader, table, at).key)]
    }
    let damages: [(&str, Damage, &str); 15] = [
        ("an event is gone", |r| gone(r, Table::LegacyEvents, 7), "event 7 should come here"),
        ("the last event is gone", |r| gone(r, Table::LegacyEvents, 400), "its last event is 399"),
        (
            "an event is of another entity",
            |r| other(r, Table::LegacyEvents, 3, "ORD-2", "ORD-X"),
            "its root is not that of the events",
        ),
        (
            "a payload is another one",
            |r| other(r, Table::LegacyEvents, 3, "\"payload\":{\"n\":2}", "\"payload\":{\"n\":3}"),
            "its payload is not that of its hash",
        ),
        ("a head is gone", |r| gone(r, Table::LegacyEvents, 0), "its head is missing"),
        (
            "a head is behind",
            |r| other(r, Table::LegacyEvents, 0, "\"head_sequence\":400", "\"head_sequence\":399"),
            "its head is 399, its last event is 400",
        ),
        ("an id is gone", |r| gone(r, Table::LegacyEventIds, 9), "its id does not lead to it: there is none"),
        (
            "an id leads elsewhere",
            |r| other(r, Table::LegacyEventIds, 9, "10", "11"),
            "its id does not lead to it",
        ),
        ("a command is gone", |r| gone(r, Table::LegacyCommands, 4), "its command does not lead to it"),
        (
            "an entity has more events than there are",
            |r| other(r, Table::LegacyEntities, 0, "\"version\":58", "\"version\":59"),
            "does not have 58 events",
        ),
        (
            "an entity's event is gone",
            |r| gone(r, Table::LegacyEntityEvents, 5),
            "its entity does not lead to it",
        ),
        (
            "the newest batch is gone",
            |r| gone(r, Table::LegacyCommitments, 2),
            "does not name the newest batch",
        ),
        (
            "a batch in the middle is gone",
            |r| gone(r, Table::LegacyCommitments, 1),
            "it should begin with event 2",
        ),
        (
            "a batch is not found by its id",
            |r| {
                let batches = r.documents(Table::LegacyCommitmentIds, b"", None, 1000).expect("documents");
                let batch = batches.into_iter().find(|document| document.key.len() == 16);
                vec![DocumentChange::Remove(Table::LegacyCommitmentIds, batch.expect("a batch").key)]
            },
            "its id does not lead to it",
        ),
        (
            "an id leads to an event that never was",
            |r| {
                let mut id = found(r, Table::LegacyEventIds, 0);
                id.key[40] ^= 0xff;
                vec![DocumentChange::Put(Table::LegacyEventIds, id)]
            },
            "there are 406 ids, and 405 follow from the events",
        ),
    ];
    for (what, damage, expected) in damages {
        let dir = tempfile::tempdir().expect("a folder");
        let world = fill(dir.path()).await;
        let changes = damage(&snapshot(dir.path()));
        world.sequencer.put_documents(changes).await.expect("written");
        let (_, problems) = checked(&snapshot(dir.path()));
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{what}: {problems:?}");
        // Later events of an entity move with one that is gone.
        assert!(problems.len() < 150, "{what}: {problems:?}");
        world.close().await;
    }
}

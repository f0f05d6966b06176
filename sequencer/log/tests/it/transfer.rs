//! A log copied from one store to another is the same log, and a check finds what is not.

use std::path::Path;
use std::sync::Arc;

use stateset_event_log::{
    ApiKeyRecord, CheckReport, Document, DocumentChange, EventLog, LogReader, SequencerKeyRecord, SqliteLog,
    SqliteReader, Table, TransferError, check, copy_log,
};
use stateset_postgres::shared;
use ves::checkpoint::Checkpoint;
use ves::commitment::Commitment;
use ves::ed25519::SigningKey;
use ves::keys::{AgentKey, EncryptionKey, KeyAlgorithm, KeyStatus};
use ves::log::LogTree;
use ves::tiles::{TileId, batch_tiles};
use ves::{
    AgentId, BatchId, Digest, KeyId, RecipientKeyId, SequenceNumber, SequencerId, StoreId, TenantId,
    TimestampMs,
};

use crate::events::{part, stream};
use crate::postgres::{fresh, writer};

/// A log with something of everything: 2100 events and three batches in one stream, few events in another.
fn fill(log: &mut dyn EventLog) {
    let signer = SigningKey::from_seed([9; 32]);
    let sequencer_id = SequencerId::from_bytes([8; 16]);
    let (mut tree, mut leaves) = (LogTree::new(), Vec::new());
    let (mut roots, mut first) = (Vec::new(), 1);
    while first <= 2_100 {
        let count = 175;
        let mut append = part(1, first, count);
        for event in &append.events {
            let stored = stateset_event_log::StoredEvent {
                sequence_number: event.sequence_number,
                sequenced_at: event.sequenced_at,
                receipt_signature: event.receipt_signature,
                key_version: event.key_version,
                body: event.body.to_vec(),
            };
            let leaf = stored.leaf_hash().expect("leaf");
            append.log_tiles.extend(tree.push(&leaf));
            leaves.push(leaf);
            roots.push(tree.root());
        }
        log.append(&[append]).expect("append");
        first += count;
    }
    log.append(&[part(2, 1, 3)]).expect("append");
    let mut state_root = Digest::ZERO;
    for (n, range) in [0..1usize, 1..1_500, 1_500..2_000].into_iter().enumerate() {
        let (root, tiles) = batch_tiles(&leaves[range.clone()]);
        let start = SequenceNumber(range.start as u64 + 1);
        let id = BatchId::from_bytes([n as u8 + 1; 16]);
        let batch =
            Commitment::new(id, stream(1), state_root, start, root, range.len() as u32, TimestampMs(5));
        let note = Checkpoint::for_stream(&stream(1), range.end as u64, roots[range.end - 1]);
        let note = note.sign(&sequencer_id, &signer).expect("signature");
        log.put_commitment(&batch, &tiles, &note).expect("commitment");
        state_root = batch.new_state_root;
    }
    fill_registry(log, sequencer_id);
    let documents: Vec<_> = (0..600u32)
        .map(|n| {
            let text = format!("{{\"n\":{n}}}");
            let document = Document { key: n.to_be_bytes().to_vec(), text, content: vec![n as u8; 3] };
            DocumentChange::Put(if n % 2 == 0 { Table::LegacyEvents } else { Table::Anchors }, document)
        })
        .collect();
    log.put_documents(&documents).expect("documents");
    log.set_meta("name", b"value").expect("setting");
}

fn fill_registry(log: &mut dyn EventLog, sequencer_id: SequencerId) {
    let (tenant_id, agent_id) = (TenantId::from_bytes([1; 16]), AgentId::from_bytes([2; 16]));
    let created_at = TimestampMs(5);
    log.put_sequencer_key(&SequencerKeyRecord {
        key_version: 1,
        sequencer_id,
        public_key: [9; 32],
        created_at,
    })
    .expect("key");
    log.put_agent_key(&AgentKey {
        tenant_id,
        agent_id,
        key_id: KeyId(1),
        public_key: [3; 32],
        algorithm: KeyAlgorithm::Ed25519,
        status: KeyStatus::Revoked,
        valid_from: Some(TimestampMs(-5)),
        valid_to: None,
        revoked_at: Some(TimestampMs(9)),
        created_at,
        metadata: Some("{}".to_owned()),
        ml_dsa_65: None,
    })
    .expect("key");
    log.put_encryption_key(&EncryptionKey {
        tenant_id,
        agent_id,
        kid: RecipientKeyId(u32::MAX),
        algorithm: KeyAlgorithm::X25519MlKem768,
        public_key: [5; 32],
        ml_kem_768: Some(Box::new([6; 1184])),
        status: KeyStatus::Active,
        valid_from: None,
        valid_to: Some(TimestampMs(7)),
        revoked_at: None,
        created_at,
    })
    .expect("key");
    log.put_api_key(&ApiKeyRecord {
        key_hash: Digest([6; 32]),
        tenant_id,
        store_ids: vec![StoreId::from_bytes([1; 16])],
        agent_id: None,
        can_read: true,
        can_write: true,
        can_admin: false,
        active: true,
        rate_limit: Some(60),
        created_at,
        updated_at: created_at,
    })
    .expect("key");
}

/// Everything a reader tells of what is not derived.
fn contents(reader: &dyn LogReader) -> Vec<String> {
    let mut all = Vec::new();
    for summary in reader.streams().expect("streams") {
        let stream = summary.stream;
        let events = reader.read(&stream, SequenceNumber(1), usize::MAX, usize::MAX).expect("read");
        all.push(format!("{summary:?} {events:?}"));
        for index in 0..65 {
            all.push(format!("{:?}", reader.log_tile(&stream, TileId { level: 0, index })));
            all.push(format!("{:?}", reader.log_tile(&stream, TileId { level: 1, index })));
        }
        for batch in reader.commitments(&stream, SequenceNumber(0), usize::MAX).expect("commitments") {
            all.push(format!("{batch:?} {:?}", reader.checkpoint(&stream, Some(batch.sequence_end.0))));
            for index in 0..50 {
                all.push(format!("{:?}", reader.batch_tile(&batch.batch_id, TileId { level: 0, index })));
            }
        }
    }
    all.push(format!("{:?} {:?}", reader.agent_keys(), reader.encryption_keys()));
    all.push(format!("{:?} {:?} {:?}", reader.api_keys(), reader.sequencer_keys(), reader.settings()));
    for table in Table::ALL {
        all.push(format!("{:?}", reader.documents(table, b"", None, 10_000)));
    }
    all
}

fn sqlite(folder: &Path, name: &str) -> SqliteLog {
    SqliteLog::open(folder.join(name)).expect("open")
}

fn checked(reader: &dyn LogReader) -> CheckReport {
    check(reader, &mut |_| {}).expect("the log is readable")
}

#[test]
fn a_log_is_the_same_after_a_way_through_both_databases() {
    let folder = tempfile::tempdir().expect("folder");
    let mut first = sqlite(folder.path(), "first.db");
    fill(&mut first);
    let (_, store) = fresh("a");
    let mut second = writer(&store);
    let mut last = None;
    let done =
        copy_log(&*first.reader(), &mut second, &mut |progress| last = Some(progress)).expect("copied");
    let counts = (done.streams, done.events, done.commitments, done.keys, done.documents, done.settings);
    assert_eq!(counts, (2, 2_103, 3, 4, 600, 1));
    assert_eq!(last.map(|p| (p.events_done, p.events_total)), Some((2_103, 2_103)));
    let mut third = sqlite(folder.path(), "third.db");
    copy_log(&*store.reader().expect("reader"), &mut third, &mut |_| {}).expect("copied");
    let expected = contents(&*first.reader());
    assert!(contents(&*second.reader()) == expected, "in PostgreSQL");
    assert!(contents(&*third.reader()) == expected, "and in SQLite again");
    for reader in [first.reader(), second.reader(), third.reader()] {
        let report = checked(&*reader);
        assert!(report.is_sound(), "{report:?}");
        assert_eq!((report.events, report.commitments, report.keys), (2_103, 3, 4));
        assert!(report.tiles > 67 + 60, "{report:?}");
    }
    second.append(&[part(2, 4, 1)]).expect("a restored log goes on");
}

/// A source that is written between any two reads of a copy.
#[test]
fn a_copy_is_the_log_at_one_moment() {
    let folder = tempfile::tempdir().expect("folder");
    let (_, store) = fresh("a");
    let mut log = writer(&store);
    fill(&mut log);
    let expected = contents(&*log.reader());
    let snapshot = store.snapshot().expect("snapshot");
    let mut to = sqlite(folder.path(), "to.db");
    let mut is_written = false;
    let copied = copy_log(&*snapshot, &mut to, &mut |_| {
        if std::mem::replace(&mut is_written, true) {
            return;
        }
        // After the keys were copied, and before the documents and settings are.
        log.append(&[part(2, 4, 2), part(3, 1, 1)]).expect("append");
        let key = SequencerKeyRecord {
            key_version: 2,
            sequencer_id: SequencerId::from_bytes([8; 16]),
            public_key: [4; 32],
            created_at: TimestampMs(6),
        };
        log.put_sequencer_key(&key).expect("key");
        let late = Document { key: vec![9; 9], text: "{}".to_owned(), content: Vec::new() };
        log.put_documents(&[DocumentChange::Put(Table::Anchors, late)]).expect("document");
        log.set_meta("late", b"").expect("setting");
    });
    copied.expect("copied");
    assert!(is_written);
    assert!(contents(&*to.reader()) == expected, "nothing of what was written meanwhile, or all of it");
    assert!(checked(&*to.reader()).is_sound());
}

#[test]
fn a_check_of_a_file_sees_one_moment_of_it() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("log.db");
    let mut log = SqliteLog::open(&path).expect("open");
    fill(&mut log);
    let expected = contents(&*log.reader());
    let snapshot = SqliteReader::snapshot(&path).expect("snapshot");
    log.append(&[part(2, 4, 20), part(3, 1, 1)]).expect("append");
    let late = Document { key: vec![1], text: "{}".to_owned(), content: Vec::new() };
    log.put_documents(&[DocumentChange::Put(Table::Anchors, late)]).expect("document");
    log.set_meta("late", b"").expect("setting");
    log.maintenance().expect("maintenance");
    assert!(contents(&snapshot) == expected, "nothing of what was written since");
    assert!(checked(&snapshot).is_sound());
    assert!(contents(&SqliteReader::snapshot(&path).expect("a later one")) == contents(&*log.reader()));
}

#[test]
fn events_of_a_stream_without_a_name_are_found_in_a_file_too() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("log.db");
    let mut log = SqliteLog::open(&path).expect("open");
    log.append(&[part(1, 1, 3), part(2, 1, 3)]).expect("append");
    let file = rusqlite::Connection::open(&path).expect("open");
    let damage = "PRAGMA foreign_keys = OFF; DELETE FROM ves_streams WHERE stream = 2";
    file.execute_batch(damage).expect("damage");
    drop(file);
    // Beside the writer, which still knows the name, and as the file stands.
    let (beside, now) = (SqliteReader::open(&path), SqliteReader::snapshot(&path));
    for reader in [log.reader(), Arc::new(beside.expect("open")), Arc::new(now.expect("open"))] {
        let report = checked(&*reader);
        assert_eq!(report.problems.first().map(|found| found.place.as_str()), Some("stream number 2"));
    }
}

/// Copies a log whose second stream is damaged, so that the copy breaks off after the first.
fn broken_off(folder: &Path, to: &mut dyn EventLog) {
    let (database, store) = fresh("a");
    let mut from = writer(&store);
    from.append(&[part(1, 1, 3), part(2, 1, 3)]).expect("append");
    shared().sql(&database, "DELETE FROM ves_events WHERE stream = 2 AND sequence_number = 2");
    let copied = copy_log(&*from.reader(), to, &mut |_| {});
    assert!(matches!(copied, Err(TransferError::Source(_))), "{copied:?}");
    let report = check(&*to.reader(), &mut |_| {}).expect_err("no log");
    assert!(report.to_string().contains("restore again"), "{report}");
    let again = copy_log(&*to.reader(), &mut sqlite(folder, "again.db"), &mut |_| {});
    assert!(again.is_err_and(|error| error.to_string().contains("restore again")));
}

#[test]
fn a_restoration_that_was_broken_off_is_no_log() {
    let folder = tempfile::tempdir().expect("folder");
    let (_, target) = fresh("b");
    broken_off(folder.path(), &mut writer(&target));
    for error in [target.open_log().err(), target.status().err()] {
        let error = error.expect("refused").to_string();
        assert!(error.contains("restore again, into an empty store"), "{error}");
    }
    let path = folder.path().join("to.db");
    broken_off(folder.path(), &mut SqliteLog::open(&path).expect("open"));
    for error in [SqliteLog::open(&path).err(), stateset_event_log::sqlite_status(&path).err()] {
        let error = error.expect("refused").to_string();
        assert!(error.contains("restore again, into an empty store"), "{error}");
    }
}

#[test]
fn a_target_that_is_not_empty_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let mut from = sqlite(folder.path(), "from.db");
    from.append(&[part(1, 1, 3)]).expect("append");
    type Fill = fn(&mut dyn EventLog);
    let fillings: [(&str, Fill); 4] = [
        ("streams", |log| log.append(&[part(9, 1, 1)]).expect("append")),
        ("keys", |log| fill_registry(log, SequencerId::from_bytes([8; 16]))),
        ("documents", |log| {
            let document = Document { key: vec![1], text: "{}".to_owned(), content: Vec::new() };
            log.put_documents(&[DocumentChange::Put(Table::Anchors, document)]).expect("document");
        }),
        ("settings", |log| log.set_meta("name", b"value").expect("setting")),
    ];
    for (what, fill) in fillings {
        let mut to = sqlite(folder.path(), what);
        fill(&mut to);
        let before = contents(&*to.reader());
        let error = copy_log(&*from.reader(), &mut to, &mut |_| {}).expect_err("refused");
        assert_eq!(error, TransferError::NotEmpty { what });
        assert_eq!(contents(&*to.reader()), before);
    }
}

#[test]
fn a_check_names_each_thing_that_was_changed() {
    let server = shared();
    let damages = [
        ("DELETE FROM ves_events WHERE stream = 1 AND sequence_number = 2050", "stream 01010101"),
        ("DELETE FROM ves_events WHERE stream = 1 AND sequence_number = 2100", "stream 01010101"),
        ("UPDATE ves_events SET body = set_byte(body, 0, 9) WHERE stream = 2", "event 1 of stream"),
        (
            "UPDATE ves_events SET body = (SELECT body FROM ves_events WHERE stream = 2 AND sequence_number = 1) \
          WHERE stream = 1 AND sequence_number = 7",
            "event 7 of stream",
        ),
        ("UPDATE ves_events SET tiles = NULL WHERE stream = 1 AND sequence_number = 64", "tile 1 of level 0"),
        (
            "UPDATE ves_batch_tiles SET nodes = set_byte(nodes, 3, (get_byte(nodes, 3) + 1) % 256) WHERE tile = 0",
            "tile 0 of level 0 of batch",
        ),
        ("DELETE FROM ves_batch_tiles", "tile 0 of level 0 of batch"),
        (
            "UPDATE ves_commitments SET merkle_root = prev_state_root WHERE sequence_end = 1500",
            "batch 02020202",
        ),
        (
            "UPDATE ves_commitments SET checkpoint = (SELECT checkpoint FROM ves_commitments WHERE sequence_end = 1) \
          WHERE sequence_end = 1500",
            "the checkpoint of size 1500",
        ),
        ("DELETE FROM ves_commitments WHERE sequence_end = 1", "batch 02020202"),
        ("DELETE FROM ves_streams WHERE stream = 2", "stream number 2"),
        ("DELETE FROM sequencer_keys", "event 2100 of stream"),
        ("UPDATE agent_signing_keys SET key_algorithm = 77", "a row of the database"),
    ];
    for (damage, expected) in damages {
        let (database, store) = fresh("a");
        let mut log = writer(&store);
        fill(&mut log);
        server.sql(&database, damage);
        let report = checked(&*log.reader());
        assert!(!report.is_sound(), "{damage}");
        let found = report.problems.iter().any(|problem| problem.place.starts_with(expected));
        assert!(found, "{damage}: {:?}", report.problems);
        assert!(report.problems_total < 200, "{damage}: {}", report.problems_total);
        let mut to =
            SqliteLog::open(tempfile::tempdir().expect("folder").keep().join("to.db")).expect("open");
        let copied = copy_log(&*log.reader(), &mut to, &mut |_| {});
        // What a copy does not compute again it takes from the source, so it must refuse what it finds wrong there.
        let computes_again =
            damage.contains("tiles") || damage.contains("checkpoint") || damage.contains("sequencer_keys");
        // A reader that was opened before the damage still knows the name.
        let computes_again = computes_again || damage.contains("FROM ves_streams");
        assert_eq!(copied.is_ok(), computes_again, "{damage}: {copied:?}");
    }
}

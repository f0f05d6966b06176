//! What "an event log" means. Every back end runs [`check_event_log`].

mod bodies;

use std::borrow::Cow;

use ves::commitment::Commitment;
use ves::keys::{AgentKey, EncryptionKey, KeyAlgorithm, KeyStatus};
use ves::log::LogTree;
use ves::tiles::{TileId, batch_tiles};
use ves::{
    AgentId, BatchId, Digest, Envelope, EventId, KeyId, Payload, RecipientKeyId, SequenceNumber, SequencerId,
    StoreId, StreamKey, TenantId, TimestampMs,
};

use crate::document::{Document, DocumentChange, Table};
use crate::error::LogErrorKind;
use crate::event_log::{
    ApiKeyRecord, EventLog, KeyChange, LogReader, NewEvent, RunInfo, SequencerKeyRecord, StoredEvent,
    StreamAppend,
};
use crate::record::encode_body;

/// Checks a back end. Panics with what it found wrong.
///
/// - `open`: opens the same store each time, which is empty at first. Only one log is open at a time.
pub fn check_event_log(open: impl Fn() -> Box<dyn EventLog>) {
    let checks: [fn(&mut dyn EventLog); 11] = [
        an_empty_log_has_nothing,
        a_stream_grows_from_one_without_gaps,
        a_turn_is_all_or_nothing,
        reads_keep_to_limit_and_bytes,
        streams_appended_in_turn_stay_apart,
        tiles_of_the_log_rebuild_its_tree,
        commitments_follow_one_another,
        keys_and_settings_are_replaced_by_id,
        documents_are_changed_together_and_listed_in_order,
        runs_appear_when_published,
        bodies::a_body_is_replaced_at_its_place_and_by_the_same_event_alone,
    ];
    for check in checks {
        let mut log = open();
        check(&mut *log);
        log.maintenance().expect("maintenance");
        let before = contents(&*log.reader());
        log.close().expect("close");
        assert_eq!(contents(&*open().reader()), before, "a closed log holds the same when opened again");
    }
    // Also where it is dropped without being closed.
    let mut log = open();
    let stream = stream(99);
    log.append(&[part(stream, 1, 3)]).expect("append");
    let before = contents(&*log.reader());
    drop(log);
    let mut log = open();
    assert_eq!(contents(&*log.reader()), before, "a dropped log holds the same when opened again");
    log.append(&[part(stream, 4, 1)]).expect("a stream goes on after a new start");
    assert_eq!(numbers(&*log.reader(), stream), [1, 2, 3, 4]);
}

fn stream(n: u8) -> StreamKey {
    StreamKey { tenant_id: TenantId::from_bytes([n; 16]), store_id: StoreId::from_bytes([n ^ 0xff; 16]) }
}

fn event(stream: StreamKey, n: u64) -> NewEvent {
    let mut event_id = *stream.tenant_id.as_bytes();
    event_id[8..].copy_from_slice(&n.to_be_bytes());
    let text = format!("{{\"n\":{n}}}");
    let envelope = Envelope {
        event_id: EventId::from_bytes(event_id),
        stream,
        source_agent_id: AgentId::from_bytes([7; 16]),
        agent_key_id: KeyId(1),
        entity_type: Cow::Borrowed("order"),
        entity_id: Cow::Owned(format!("order-{n}")),
        event_type: Cow::Borrowed("order.created"),
        created_at: Cow::Borrowed("2025-12-20T17:51:10.243Z"),
        payload_plain_hash: ves::event::plain_hash(&text),
        payload: Payload::Plain(Cow::Owned(text)),
        payload_cipher_hash: Digest::ZERO,
        agent_signature: [n as u8; 64],
        command_id: None,
        base_version: None,
        kernel: None,
        ml_dsa_65_signature: None,
    };
    NewEvent {
        sequence_number: SequenceNumber(n),
        sequenced_at: TimestampMs(1_766_253_070_243 + n as i64),
        receipt_signature: (!n.is_multiple_of(3)).then_some([n as u8; 64]),
        key_version: 1,
        body: encode_body(&envelope, &envelope.signing_hash()).into(),
    }
}

fn part(stream: StreamKey, first: u64, count: u64) -> StreamAppend {
    let events = (first..first + count).map(|n| event(stream, n)).collect();
    StreamAppend { stream, events, log_tiles: Vec::new() }
}

fn stored(event: &NewEvent) -> StoredEvent {
    StoredEvent {
        sequence_number: event.sequence_number,
        sequenced_at: event.sequenced_at,
        receipt_signature: event.receipt_signature,
        key_version: event.key_version,
        body: event.body.to_vec(),
    }
}

fn numbers(reader: &dyn LogReader, stream: StreamKey) -> Vec<u64> {
    let events = reader.read(&stream, SequenceNumber(1), usize::MAX, usize::MAX).expect("read");
    events.iter().map(|event| event.sequence_number.0).collect()
}

/// Everything a reader tells, to compare.
fn contents(reader: &dyn LogReader) -> Vec<String> {
    let mut all = Vec::new();
    for summary in reader.streams().expect("streams") {
        let stream = summary.stream;
        all.push(format!("{summary:?} {:?}", reader.head(&stream)));
        all.push(format!(
            "{:?}",
            reader.read(&stream, SequenceNumber(0), usize::MAX, usize::MAX).expect("read")
        ));
        for batch in reader.commitments(&stream, SequenceNumber(0), usize::MAX).expect("commitments") {
            all.push(format!("{batch:?} {:?}", reader.checkpoint(&stream, Some(batch.sequence_end.0))));
        }
        for level in 0..2 {
            all.push(format!(
                "{:?}",
                reader.log_tile(&stream, TileId { level, index: 0 }).expect("log tile")
            ));
        }
    }
    all.push(format!("{:?} {:?}", reader.agent_keys(), reader.encryption_keys()));
    all.push(format!("{:?} {:?} {:?}", reader.api_keys(), reader.sequencer_keys(), reader.meta("name")));
    all.push(format!("{:?} {:?} {:?}", reader.runs(), reader.covered(), reader.run_page(2, 0)));
    all
}

fn an_empty_log_has_nothing(log: &mut dyn EventLog) {
    let reader = log.reader();
    let nobody = stream(1);
    assert_eq!(reader.streams().expect("streams"), []);
    assert_eq!(reader.head(&nobody).expect("head"), SequenceNumber::ZERO);
    assert_eq!(numbers(&*reader, nobody), [0; 0]);
    assert_eq!(reader.last_commitment(&nobody).expect("commitment"), None);
    assert_eq!(reader.checkpoint(&nobody, None).expect("checkpoint"), None);
    assert_eq!(reader.log_tile(&nobody, TileId { level: 0, index: 0 }).expect("tile"), None);
    assert_eq!(
        reader.batch_tile(&BatchId::from_bytes([1; 16]), TileId { level: 0, index: 0 }).expect("tile"),
        None
    );
    assert_eq!(reader.next_run().expect("next run"), 1);
    log.append(&[]).expect("an empty turn");
    log.append(&[StreamAppend { stream: nobody, events: Vec::new(), log_tiles: Vec::new() }])
        .expect("an empty part");
    assert_eq!(reader.streams().expect("streams"), [], "no event, no stream");
}

fn a_stream_grows_from_one_without_gaps(log: &mut dyn EventLog) {
    let (reader, stream) = (log.reader(), stream(2));
    for (first, count, expected) in [(2, 1, 1), (0, 1, 1), (u64::MAX, 1, 1)] {
        let mut bad = part(stream, 1, count);
        bad.events[0].sequence_number = SequenceNumber(first);
        let error = log.append(&[bad]).expect_err("not the first number");
        assert_eq!(error.kind(), LogErrorKind::NotNext, "{error}, expected {expected}");
    }
    log.append(&[part(stream, 1, 3)]).expect("append");
    for first in [3, 5, 1] {
        let error = log.append(&[part(stream, first, 1)]).expect_err("a gap or a number used before");
        assert_eq!(error.kind(), LogErrorKind::NotNext);
    }
    let mut gap = part(stream, 4, 3);
    gap.events.remove(1);
    assert_eq!(log.append(&[gap]).expect_err("a gap inside").kind(), LogErrorKind::NotNext);
    log.append(&[part(stream, 4, 2)]).expect("append");
    log.append(&[part(stream, 6, 1), part(stream, 7, 2)]).expect("a stream twice in a turn");
    assert_eq!(numbers(&*reader, stream), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(reader.head(&stream).expect("head"), SequenceNumber(8));
    let all = reader.read(&stream, SequenceNumber(1), 100, usize::MAX).expect("read");
    for found in &all {
        let written = stored(&event(stream, found.sequence_number.0));
        assert_eq!(*found, written, "an event is read as it was written");
        let (envelope, signing_hash) = found.envelope().expect("record");
        assert_eq!(envelope.signing_hash(), signing_hash);
        found.leaf_hash().expect("leaf");
    }
}

fn a_turn_is_all_or_nothing(log: &mut dyn EventLog) {
    let (reader, good, bad) = (log.reader(), stream(3), stream(4));
    let error = log.append(&[part(good, 1, 5), part(bad, 2, 1)]).expect_err("the second part has a gap");
    assert_eq!(error.kind(), LogErrorKind::NotNext);
    assert_eq!(numbers(&*reader, good), [0; 0], "nothing of a failed turn remains");
    assert!(reader.streams().expect("streams").iter().all(|s| s.stream != good && s.stream != bad));
    log.append(&[part(good, 1, 2), part(bad, 1, 1)]).expect("the log goes on");
    assert_eq!(numbers(&*reader, good), [1, 2]);
    let numbers: Vec<u32> = reader.streams().expect("streams").iter().map(|summary| summary.number).collect();
    assert_eq!(numbers, (1..=numbers.len() as u32).collect::<Vec<_>>(), "streams are numbered from 1");
}

fn reads_keep_to_limit_and_bytes(log: &mut dyn EventLog) {
    let (reader, stream) = (log.reader(), stream(5));
    log.append(&[part(stream, 1, 10)]).expect("append");
    log.append(&[part(stream, 11, 10)]).expect("append");
    let read = |from, limit, bytes| -> Vec<u64> {
        let events = reader.read(&stream, SequenceNumber(from), limit, bytes).expect("read");
        events.iter().map(|event| event.sequence_number.0).collect()
    };
    assert_eq!(read(0, 2, usize::MAX), [1, 2], "0 means 1");
    assert_eq!(read(9, 4, usize::MAX), [9, 10, 11, 12]);
    assert_eq!(read(19, 100, usize::MAX), [19, 20]);
    assert_eq!(read(21, 100, usize::MAX), [0; 0]);
    assert_eq!(read(u64::MAX, 100, usize::MAX), [0; 0]);
    assert_eq!(read(1, 0, usize::MAX), [0; 0]);
    assert_eq!(read(5, 100, 0), [5], "at least one event");
    let length = |n| event(stream, n).body.len();
    assert_eq!(read(5, 100, length(5) + length(6)), [5, 6]);
    assert_eq!(read(5, 100, length(5) + length(6) + length(7) - 1), [5, 6]);
}

fn streams_appended_in_turn_stay_apart(log: &mut dyn EventLog) {
    let reader = log.reader();
    let streams = [stream(6), stream(7), stream(8)];
    let mut heads = [0; 3];
    for turn in 0..30u64 {
        let mut parts = Vec::new();
        for (i, stream) in streams.into_iter().enumerate() {
            let count = (turn + i as u64) % 4;
            parts.push(part(stream, heads[i] + 1, count));
            heads[i] += count;
        }
        log.append(&parts).expect("append");
    }
    for (stream, head) in streams.into_iter().zip(heads) {
        assert_eq!(numbers(&*reader, stream), (1..=head).collect::<Vec<_>>());
        for from in [2, 7, head] {
            let events = reader.read(&stream, SequenceNumber(from), 3, usize::MAX).expect("read");
            let expected: Vec<_> = (from..=head).take(3).map(|n| stored(&event(stream, n))).collect();
            assert_eq!(events, expected);
        }
    }
}

fn tiles_of_the_log_rebuild_its_tree(log: &mut dyn EventLog) {
    const EVENTS: u64 = 1100;
    let (reader, stream) = (log.reader(), stream(9));
    let mut tree = LogTree::new();
    let mut tiles = Vec::new();
    for first in (1..=EVENTS).step_by(50) {
        let mut append = part(stream, first, 50);
        for event in &append.events {
            append.log_tiles.extend(tree.push(&stored(event).leaf_hash().expect("leaf")));
        }
        tiles.extend(append.log_tiles.iter().cloned());
        log.append(&[append]).expect("append");
    }
    assert_eq!(tiles.len(), 34 + 1);
    for tile in &tiles {
        let found = reader.log_tile(&stream, tile.id).expect("tile");
        assert_eq!(found.as_ref(), Some(&tile.nodes), "{:?}", tile.id);
    }
    for (level, index) in [(0, 34), (1, 1), (2, 0), (12, 0), (255, u64::MAX)] {
        assert_eq!(reader.log_tile(&stream, TileId { level, index }).expect("tile"), None);
    }
}

fn commitments_follow_one_another(log: &mut dyn EventLog) {
    let (reader, stream) = (log.reader(), stream(10));
    log.append(&[part(stream, 1, 200)]).expect("append");
    let leaves: Vec<Digest> =
        (1..=200).map(|n| stored(&event(stream, n)).leaf_hash().expect("leaf")).collect();
    let mut state_root = Digest::ZERO;
    let mut batches = Vec::new();
    for (n, range) in [0..100usize, 100..101, 101..140].into_iter().enumerate() {
        let (root, tiles) = batch_tiles(&leaves[range.clone()]);
        let start = SequenceNumber(range.start as u64 + 1);
        let (batch_id, count) = (BatchId::from_bytes([n as u8 + 1; 16]), range.len() as u32);
        let batch = Commitment::new(batch_id, stream, state_root, start, root, count, TimestampMs(n as i64));
        let checkpoint = format!("checkpoint {}", range.end);
        log.put_commitment(&batch, &tiles, &checkpoint).expect("commitment");
        state_root = batch.new_state_root;
        for tile in &tiles {
            assert_eq!(reader.batch_tile(&batch_id, tile.id).expect("tile").as_ref(), Some(&tile.nodes));
        }
        assert_eq!(reader.batch_tile(&batch_id, TileId { level: 5, index: 9 }).expect("tile"), None);
        assert_eq!(
            reader.checkpoint(&stream, Some(range.end as u64)).expect("checkpoint"),
            Some(checkpoint.clone())
        );
        assert_eq!(reader.checkpoint(&stream, None).expect("checkpoint"), Some(checkpoint));
        batches.push(batch);
    }
    let wrong = |start: u64, count: u32| {
        let batch_id = BatchId::from_bytes([9; 16]);
        Commitment::new(
            batch_id,
            stream,
            state_root,
            SequenceNumber(start),
            Digest::ZERO,
            count,
            TimestampMs(0),
        )
    };
    for (start, count) in [(142, 1), (140, 1), (1, 1), (141, 61)] {
        let error =
            log.put_commitment(&wrong(start, count), &[], "").expect_err("a gap, an overlap, or no events");
        assert_eq!(error.kind(), LogErrorKind::NotNext);
    }
    let list =
        |from: u64, limit| reader.commitments(&stream, SequenceNumber(from), limit).expect("commitments");
    assert_eq!(list(0, 9), batches);
    assert_eq!(list(100, 9), batches);
    assert_eq!(list(101, 1), batches[1..2]);
    assert_eq!(list(141, 9), []);
    assert_eq!(reader.last_commitment(&stream).expect("last"), Some(batches[2].clone()));
    assert_eq!(reader.commitment(&batches[1].batch_id).expect("commitment"), Some(batches[1].clone()));
    assert_eq!(reader.checkpoint(&stream, Some(99)).expect("checkpoint"), None);
    for (number, batch) in
        [(0, None), (1, Some(0)), (100, Some(0)), (101, Some(1)), (140, Some(2)), (141, None)]
    {
        let found = reader.commitment_of(&stream, SequenceNumber(number)).expect("commitment");
        assert_eq!(found, batch.map(|batch: usize| batches[batch].clone()), "{number}");
    }
}

fn keys_and_settings_are_replaced_by_id(log: &mut dyn EventLog) {
    let reader = log.reader();
    let mut agent = AgentKey {
        tenant_id: TenantId::from_bytes([1; 16]),
        agent_id: AgentId::from_bytes([2; 16]),
        key_id: KeyId(1),
        public_key: [3; 32],
        algorithm: KeyAlgorithm::Ed25519,
        ml_dsa_65: None,
        status: KeyStatus::Active,
        valid_from: Some(TimestampMs(-5)),
        valid_to: None,
        revoked_at: None,
        created_at: TimestampMs(5),
        metadata: Some("{}".to_owned()),
    };
    log.put_agent_key(&agent).expect("key");
    let hybrid = AgentKey {
        key_id: KeyId(2),
        algorithm: KeyAlgorithm::Ed25519MlDsa65,
        ml_dsa_65: Some(Box::new(std::array::from_fn(|n| n as u8))),
        ..agent.clone()
    };
    log.put_agent_key(&hybrid).expect("key");
    (agent.status, agent.revoked_at) = (KeyStatus::Revoked, Some(TimestampMs(9)));
    log.put_agent_key(&agent).expect("key");
    let keys = reader.agent_keys().expect("keys");
    assert_eq!(keys.len(), 2);
    assert!(keys.contains(&agent) && keys.contains(&hybrid));

    let mut encryption = EncryptionKey {
        tenant_id: agent.tenant_id,
        agent_id: agent.agent_id,
        kid: RecipientKeyId(4),
        public_key: [5; 32],
        algorithm: KeyAlgorithm::X25519,
        ml_kem_768: None,
        status: KeyStatus::Active,
        valid_from: None,
        valid_to: Some(TimestampMs(7)),
        revoked_at: None,
        created_at: TimestampMs(5),
    };
    log.put_encryption_key(&encryption).expect("key");
    encryption.status = KeyStatus::Expired;
    log.put_encryption_key(&encryption).expect("key");
    let strict = EncryptionKey {
        kid: RecipientKeyId(5),
        public_key: [0; 32],
        algorithm: KeyAlgorithm::MlKem768,
        ml_kem_768: Some(Box::new(std::array::from_fn(|n| n as u8))),
        ..encryption.clone()
    };
    log.put_encryption_key(&strict).expect("key");
    assert_eq!(reader.encryption_keys().expect("keys"), [encryption, strict]);

    let mut api = ApiKeyRecord {
        key_hash: Digest([6; 32]),
        tenant_id: agent.tenant_id,
        store_ids: vec![StoreId::from_bytes([1; 16]), StoreId::from_bytes([2; 16])],
        agent_id: Some(agent.agent_id),
        can_read: true,
        can_write: false,
        can_admin: true,
        active: true,
        rate_limit: Some(60),
        created_at: TimestampMs(1),
        updated_at: TimestampMs(2),
    };
    log.put_api_key(&api).expect("key");
    (api.active, api.rate_limit, api.agent_id) = (false, None, None);
    api.store_ids.clear();
    // With what is said of it.
    let said = Document { key: b"said".to_vec(), text: "{}".to_owned(), content: Vec::new() };
    let beside = [DocumentChange::Put(Table::AuditLog, said.clone())];
    log.put_key(&KeyChange::Api(api.clone()), &beside).expect("key");
    assert_eq!(log.reader().document(Table::AuditLog, b"said").expect("read"), Some(said));
    log.put_key(&KeyChange::Agent(agent.clone()), &[]).expect("key");
    assert_eq!(reader.api_keys().expect("keys"), [api]);

    let sequencer_id = SequencerId::from_bytes([8; 16]);
    let key =
        SequencerKeyRecord { key_version: 1, sequencer_id, public_key: [9; 32], created_at: TimestampMs(3) };
    log.put_sequencer_key(&key).expect("key");
    assert_eq!(reader.sequencer_keys().expect("keys"), [key]);

    assert_eq!(reader.meta("name").expect("meta"), None);
    log.set_meta("name", b"one").expect("meta");
    log.set_meta("name", b"two").expect("meta");
    assert_eq!(reader.meta("name").expect("meta").as_deref(), Some(b"two".as_slice()));
    log.set_meta("a name", b"").expect("meta");
    let settings = [("a name".to_owned(), Vec::new()), ("name".to_owned(), b"two".to_vec())];
    assert_eq!(reader.settings().expect("settings"), settings);
    log.remove_meta("a name").expect("meta");
    log.remove_meta("never there").expect("meta");
    assert_eq!(reader.settings().expect("settings"), settings[1..]);
}

fn documents_are_changed_together_and_listed_in_order(log: &mut dyn EventLog) {
    let reader = log.reader();
    let document = |key: &[u8], text: &str| Document {
        key: key.to_vec(),
        text: text.to_owned(),
        content: vec![0, 255, key.len() as u8],
    };
    let put = |key: &[u8], text: &str| DocumentChange::Put(Table::ValidityProofs, document(key, text));
    for table in Table::ALL {
        assert_eq!(reader.document(table, b"a").expect("read"), None);
    }
    let first = [put(b"a", "{}"), put(b"ab", "1"), put(&[0xff, 0xff, 1], "2"), put(&[0xff, 0xff], "3")];
    log.put_documents(&first).expect("documents");
    let other = DocumentChange::Put(Table::Anchors, document(b"a", "null"));
    let changes = [
        put(b"b", "[]"),
        put(b"a", "{\"n\":1}"),
        DocumentChange::Remove(Table::ValidityProofs, b"ab".to_vec()),
        other,
    ];
    log.put_documents(&changes).expect("documents");
    log.put_documents(&[DocumentChange::Remove(Table::ValidityProofs, b"absent".to_vec())])
        .expect("nothing to do");
    log.put_documents(&[put(b"ac", "4"), put(b"", "5")]).expect("documents");

    assert_eq!(
        reader.document(Table::ValidityProofs, b"a").expect("read"),
        Some(document(b"a", "{\"n\":1}"))
    );
    assert_eq!(reader.document(Table::ValidityProofs, b"ab").expect("read"), None);
    let keys = |prefix: &[u8], after: Option<&[u8]>, limit| {
        let found = reader.documents(Table::ValidityProofs, prefix, after, limit).expect("list");
        found.into_iter().map(|document| document.key).collect::<Vec<_>>()
    };
    let all: [&[u8]; 6] = [b"", b"a", b"ac", b"b", &[0xff, 0xff], &[0xff, 0xff, 1]];
    assert_eq!(keys(b"", None, 100), all);
    assert_eq!(keys(b"", Some(b"a"), 2), all[2..4]);
    assert_eq!(keys(b"a", None, 100), all[1..3]);
    assert_eq!(keys(b"a", Some(b"a"), 100), all[2..3]);
    assert_eq!(keys(b"a", Some(b"ac"), 100), all[..0]);
    assert_eq!(keys(b"b", Some(b"a"), 100), all[3..4]);
    assert_eq!(keys(&[0xff], None, 100), all[4..]);
    assert_eq!(reader.documents(Table::Anchors, b"", None, 9).expect("list"), [document(b"a", "null")]);
}

fn runs_appear_when_published(log: &mut dyn EventLog) {
    let (reader, stream) = (log.reader(), stream(11));
    log.append(&[part(stream, 1, 3)]).expect("append");
    let info = |run| RunInfo { run, tier: 0, entries: 1, data_pages: 1, fence_pages: 1, filter_pages: 1 };
    let pages: Vec<Vec<u8>> = (0..3).map(|n| vec![n; 8100]).collect();
    log.put_run_pages(1, 0, &pages[..2]).expect("pages");
    log.put_run_pages(1, 2, &pages[2..]).expect("pages");
    assert_eq!(reader.runs().expect("runs"), [], "a run is invisible until it is published");
    log.publish_run(&info(1), &[], &[(stream, SequenceNumber(2))]).expect("publish");
    assert_eq!(reader.runs().expect("runs"), [info(1)]);
    assert_eq!(reader.run_page(1, 2).expect("page").as_ref(), Some(&pages[2]));
    assert_eq!(reader.run_page(1, 3).expect("page"), None);
    assert_eq!(reader.covered().expect("covered"), [(stream, SequenceNumber(2))]);
    assert_eq!(reader.next_run().expect("next"), 2);

    log.put_run_pages(2, 0, &pages).expect("pages");
    log.publish_run(&info(2), &[1], &[(stream, SequenceNumber(3))]).expect("publish");
    assert_eq!(reader.runs().expect("runs"), [info(2)]);
    assert_eq!(reader.covered().expect("covered"), [(stream, SequenceNumber(3))]);
    for _ in 0..4 {
        log.maintenance().expect("maintenance");
    }
    assert_eq!(reader.run_page(1, 0).expect("page"), None, "pages of replaced runs are removed");

    log.put_run_pages(3, 0, &pages).expect("pages");
    log.drop_run(3).expect("drop");
    assert_eq!(reader.runs().expect("runs"), [info(2)]);
    assert!(reader.next_run().expect("next") > 2);
}

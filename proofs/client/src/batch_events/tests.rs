use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread::JoinHandle;

use ves::ed25519::SigningKey;
use ves::{BatchId, Draft, Envelope, KeyId, StoreId, TenantId};

use super::*;

/// The first number of the batch.
const START: u64 = 3;

fn stream(n: u8) -> StreamKey {
    StreamKey { tenant_id: TenantId::from_bytes([n; 16]), store_id: StoreId::from_bytes([9; 16]) }
}

fn event(stream: StreamKey, n: u8) -> Envelope<'static> {
    let draft = Draft {
        stream,
        event_id: EventId::from_bytes([n; 16]),
        source_agent_id: AgentId::from_bytes([7; 16]),
        agent_key_id: KeyId(1),
        entity_type: "order".into(),
        entity_id: "ORD-1".into(),
        event_type: "order.created".into(),
        created_at: "2026-01-01T00:00:00Z".into(),
        command_id: None,
        base_version: None,
    };
    draft.sign(&format!(r#"{{"total":{n}}}"#), &SigningKey::from_seed([7; 32])).unwrap()
}

fn batch() -> Vec<Envelope<'static>> {
    (1..=5).map(|n| event(stream(1), n)).collect()
}

fn facts(events: &[Envelope<'_>]) -> BatchFacts {
    let leaf = |(number, event): (u64, &Envelope<'_>)| {
        let number = SequenceNumber(number);
        merkle::leaf_hash(&event.stream, number, &event.signing_hash(), &event.agent_signature)
    };
    let leaves: Vec<Digest> = (START..).zip(events).map(leaf).collect();
    BatchFacts {
        batch_id: BatchId::from_bytes([5; 16]),
        stream: stream(1),
        batch_root: merkle::root(&leaves),
        sequence_start: SequenceNumber(START),
        sequence_end: SequenceNumber(START + events.len() as u64 - 1),
        prev_state_root: Digest::ZERO,
        new_state_root: Digest::ZERO,
        policy: None,
    }
}

fn page(events: &[Envelope<'_>]) -> String {
    let entry = |event: &Envelope<'_>| {
        let mut text = String::from(r#"{"sequenced_at":"2026-01-01T00:00:00Z","envelope":"#);
        ves::envelope::encode(event, None, &mut text);
        text + "}"
    };
    let entries: Vec<String> = events.iter().map(entry).collect();
    let (entries, count) = (entries.join(","), events.len());
    format!(
        r#"{{"events":[{entries}],"count":{count},"head_sequence":99,"has_more":true,"next_sequence":1}}"#
    )
}

/// Answers one request after another with these pages; its thread gives the paths that were asked for.
fn service(pages: Vec<String>) -> (ValidityClient, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = ValidityClient::new(&format!("http://{}", listener.local_addr().unwrap()), None).unwrap();
    let serve = move |page: String| {
        let (mut connection, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            connection.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let length = page.len();
        write!(connection, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{page}")
            .unwrap();
        String::from_utf8(head).unwrap().lines().next().unwrap_or_default().to_owned()
    };
    (client, std::thread::spawn(move || pages.into_iter().map(serve).collect()))
}

fn read(facts: &BatchFacts, pages: Vec<String>) -> Result<Vec<BatchEvent>, ClientError> {
    let (client, served) = service(pages);
    let events = client.events(facts, &mut |_| ());
    served.join().unwrap();
    events
}

#[test]
fn the_events_of_a_batch_are_read_page_by_page() {
    let batch = batch();
    let (client, served) = service(vec![page(&batch[..3]), page(&batch[3..])]);
    let mut told = Vec::new();
    let events = client.events(&facts(&batch), &mut |done| told.push(done)).unwrap();
    assert_eq!(told, [3, 5]);
    let asked = served.join().unwrap();
    assert!(asked[0].contains("&from=3&limit=5") && asked[1].contains("&from=6&limit=2"), "{asked:?}");
    for ((number, read), event) in (START..).zip(&events).zip(&batch) {
        assert_eq!((read.number.get(), read.event_id), (number, event.event_id));
        assert_eq!((read.author, read.signing_hash), (event.source_agent_id, event.signing_hash()));
    }
}

/// An agent would sign its commitments for events in other places than they have, or for events of others.
#[test]
fn events_that_do_not_have_the_root_of_their_batch_are_not_believed() {
    let batch = batch();
    let facts = facts(&batch);
    let untrue = |pages: Vec<String>, what: &str| match read(&facts, pages) {
        Err(ClientError::Untrue(said)) => assert!(said.contains(what), "{said}"),
        other => panic!("{what}: {other:?}"),
    };
    let changed = |change: fn(&mut Vec<Envelope<'static>>)| {
        let mut other = batch.clone();
        change(&mut other);
        vec![page(&other)]
    };
    untrue(changed(|events| events.swap(1, 2)), "root");
    untrue(changed(|events| events[4] = event(stream(1), 6)), "root");
    untrue(changed(|events| events[4].agent_signature[0] ^= 1), "root");
    untrue(changed(|events| events[4] = event(stream(2), 5)), "another stream");
    untrue(changed(|events| events.push(event(stream(1), 6))), "longer than was asked for");
    untrue(changed(Vec::clear), "empty");
    assert_eq!(read(&facts, vec![page(&batch)]).unwrap().len(), 5);
}

#[test]
fn a_batch_with_numbers_of_no_stream_is_not_asked_for() {
    for (start, end) in [(0, 5), (1, i64::MAX as u64), (1, u64::MAX)] {
        let facts = BatchFacts {
            sequence_start: SequenceNumber(start),
            sequence_end: SequenceNumber(end),
            ..facts(&batch())
        };
        assert!(matches!(read(&facts, Vec::new()), Err(ClientError::Untrue(_))), "{start} to {end}");
    }
}

//! What is kept before anything is sent.

use proptest::prelude::*;
use stateset_fixtures::{NOW, Seed};
use stateset_sync::conflict::Strategy as Wins;
use stateset_sync::entry::State;
use stateset_sync::{Audience, SignedAnew, Store, SyncError};
use ves::{EventId, KeyId, Payload};

use crate::world::{Client, Server, event, order};

#[test]
fn an_append_is_there_after_a_crash_signed_and_in_order() {
    let mut client = Client::new(1);
    client.append(1..6);
    client.reopen();
    let entries = client.store.entries(0, 100, None).unwrap();
    let ids: Vec<&str> = entries.iter().map(|entry| entry.envelope.entity_id.as_ref()).collect();
    assert_eq!(ids, ["ORD-000001", "ORD-000002", "ORD-000003", "ORD-000004", "ORD-000005"]);
    let key = ves::PublicKey::from_bytes(&client.agent.public_key()).unwrap();
    for entry in &entries {
        assert_eq!(entry.state, State::Pending);
        assert!(key.verify(entry.envelope.signing_hash().as_bytes(), &entry.envelope.agent_signature));
    }
    assert_eq!(client.store.counts().unwrap().pending, 5);
}

/// A tool read the replica, the worker moved an event from the outbox into it, the tool read the outbox: the event was in
/// neither.
#[test]
fn what_is_read_at_once_is_of_one_moment() {
    let mut client = Client::new(1);
    client.append(1..3);
    let reader = client.another();
    let counted = |store: &Store| store.counts().map(|counts| counts.pending);
    let seen = reader.at_once(|store| {
        let before = counted(store)?;
        client.append(3..5);
        Ok::<_, SyncError>((before, counted(store)?))
    });
    assert_eq!(seen.unwrap(), (2, 2));
    assert_eq!(counted(&reader).unwrap(), 4);
}

#[test]
fn a_batch_with_one_bad_event_leaves_nothing() {
    let mut client = Client::new(1);
    let author = client.author();
    let mut bad = order(2);
    bad.entity_id = String::new();
    let error = client.store.append_many(&author, &[order(1), bad], &Audience::default(), NOW).unwrap_err();
    assert!(matches!(error, SyncError::Draft { index: 1, .. }), "{error}");
    assert_eq!(client.store.counts().unwrap().open(), 0);
}

#[test]
fn the_same_id_again_is_the_same_event_or_refused() {
    let mut client = Client::new(1);
    let author = client.author();
    let id = EventId::from_bytes([9; 16]);
    let named = |n| stateset_sync::NewEvent { event_id: Some(id), ..order(n) };
    let mut append = |n| client.store.append(&author, &named(n), &Audience::default(), NOW);
    let first = append(1).unwrap();
    let again = append(1).unwrap();
    assert!(!first.existed && again.existed && first.position == again.position);
    assert!(matches!(append(2), Err(SyncError::EventIdTaken { .. })));
    assert_eq!(client.store.counts().unwrap().pending, 1);
}

#[test]
fn an_append_of_a_refused_event_says_where_it_stands() {
    let mut client = Client::new(1);
    let author = client.author();
    let named = |id, n| stateset_sync::NewEvent { event_id: Some(EventId::from_bytes([id; 16])), ..order(n) };
    let both = [named(1, 1), named(2, 2)];
    let first = client.store.append_many(&author, &both, &Audience::default(), NOW).unwrap();
    assert!(first.iter().all(|one| !one.existed && one.state == State::Pending));
    client.store.discard(&first[0].event_id).unwrap();
    let again = client.store.append_many(&author, &both, &Audience::default(), NOW).unwrap();
    let said: Vec<(bool, State)> = again.iter().map(|one| (one.existed, one.state)).collect();
    assert_eq!(said, [(true, State::Refused), (true, State::Pending)]);
}

#[test]
fn an_event_is_taken_back_only_while_it_is_certainly_not_in_the_stream() {
    let mut client = Client::new(1);
    let mut server = Server::new(std::slice::from_ref(&client.agent));
    client.append(1..3);
    let ids: Vec<EventId> =
        client.store.entries(0, 9, None).unwrap().iter().map(|entry| entry.envelope.event_id).collect();
    client.store.discard(&ids[0]).unwrap();
    server.lose_answers = 1;
    client.store.push(&mut server, &Server::identity(), Wins::Ask, NOW, |_| {}).unwrap_err();
    assert!(matches!(client.store.discard(&ids[1]), Err(SyncError::NotAllowed { .. })));
    let done = client.store.push(&mut server, &Server::identity(), Wins::Ask, NOW, |_| {}).unwrap();
    assert_eq!((done.receipted, done.waiting, server.events.len()), (1, 0, 1));
    assert_eq!(client.store.entry(&ids[0]).unwrap().state, State::Refused);
}

#[test]
fn a_key_that_is_not_registered_holds_everything_back_and_loses_nothing() {
    let mut client = Client::new(1);
    let mut server = Server::new(&[]);
    client.append(1..4);
    let push = |client: &mut Client, server: &mut Server| {
        client.store.push(server, &Server::identity(), Wins::Ask, NOW, |_| {}).unwrap()
    };
    let done = push(&mut client, &mut server);
    assert_eq!((done.waiting, done.waiting_for.as_deref()), (3, Some("agent_key_invalid: not found")));

    // Rotated before it was ever registered: what waits is signed anew.
    let rotated = client.agent.with_key(KeyId(2));
    server.keys.push(rotated.clone());
    client.agent = rotated;
    let author = client.author();
    assert_eq!(client.store.sign_anew(&author, &[]).unwrap(), SignedAnew { signed: 3, left: 0 });
    let done = push(&mut client, &mut server);
    assert_eq!((done.receipted, done.waiting, done.refused), (3, 0, 0));
    assert!(server.events.iter().all(|(event, _)| event.agent_key_id == KeyId(2)));
}

#[test]
fn a_sealed_event_is_opened_by_its_recipient_alone() {
    let mut client = Client::new(1);
    let (author, reader) = (client.author(), stateset_fixtures::Recipient::new(5));
    let audience = Audience { recipients: vec![reader.to_seal_for()], group: None };
    let kept = client.store.append(&author, &order(1), &audience, NOW).unwrap();
    let entry = client.store.entry(&kept.event_id).unwrap();
    assert!(matches!(entry.envelope.payload, Payload::Encrypted(_)));
    assert_eq!(ves::seal::open(&entry.envelope, reader.kid, reader.secret()).unwrap(), "{\"total\":1}");
}

#[test]
fn what_is_acknowledged_and_pulled_is_pruned_and_nothing_else() {
    let mut client = Client::new(1);
    let mut server = Server::new(std::slice::from_ref(&client.agent));
    let given = EventId::from_bytes([7; 16]);
    let author = client.author();
    let append = |store: &mut stateset_sync::Store, payload: &str| {
        let new = stateset_sync::NewEvent { event_id: Some(given), ..event("ORD-7", None, payload) };
        store.append(&author, &new, &Audience::default(), NOW)
    };
    append(&mut client.store, "{\"total\":7}").unwrap();
    client.append(0..9);
    client.store.push(&mut server, &Server::identity(), Wins::Ask, NOW, |_| {}).unwrap();
    assert_eq!(client.store.prune(0).unwrap(), 0, "the replica has none of them yet");
    assert_eq!(client.store.pull(&mut server, &Server::identity(), NOW, |_, _| {}).unwrap().events, 10);
    client.append(10..13);
    assert_eq!(client.store.prune(9).unwrap(), 4, "thirteen, of which the newest nine are kept");
    assert_eq!(client.store.prune(0).unwrap(), 6);
    let counts = client.store.counts().unwrap();
    assert_eq!((counts.receipted, counts.pending), (0, 3), "what waits stays, whatever is pruned");
    client.store.compact().unwrap();
    client.reopen();

    // The same event again is answered, another one of its id is not taken, and positions go on.
    let again = append(&mut client.store, "{\"total\":7}").unwrap();
    assert!(again.existed && again.position == 0, "{again:?}");
    assert_eq!(again.state, State::Receipted { at: ves::SequenceNumber(1) });
    assert!(matches!(append(&mut client.store, "{\"total\":8}"), Err(SyncError::EventIdTaken { .. })));
    client.append(20..21);
    let last = client.store.entries(0, 100, None).unwrap().pop().unwrap();
    assert_eq!(last.position, 14);
    let done = client.store.push(&mut server, &Server::identity(), Wins::Ask, NOW, |_| {}).unwrap();
    assert_eq!((done.receipted, server.events.len()), (4, 14));
    assert_eq!(client.store.head_seen().unwrap().head.get(), 14);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However connections are cut, each event gets one place, in the order of appends.
    #[test]
    fn nothing_is_lost_doubled_or_reordered(seed: u64, counts in proptest::collection::vec(1_u64..40, 1..6)) {
        let mut client = Client::new(1);
        let mut server = Server::new(std::slice::from_ref(&client.agent));
        server.lose = Some(Seed::new("cut", seed));
        let mut next = 0;
        for count in counts {
            client.append(next..next + count);
            next += count;
            let _ = client.store.push(&mut server, &Server::identity(), Wins::Ask, NOW, |_| {});
            client.reopen();
        }
        for _ in 0..1000 {
            if client.store.counts().unwrap().open() == 0 {
                break;
            }
            let _ = client.store.push(&mut server, &Server::identity(), Wins::Ask, NOW, |_| {});
        }
        let stored: Vec<String> = server.events.iter().map(|(event, _)| event.entity_id.to_string()).collect();
        let expected: Vec<String> = (0..next).map(|n| format!("ORD-{n:06}")).collect();
        prop_assert_eq!(stored, expected);
        let places: Vec<u64> = client.store.entries(0, 1000, None).unwrap().iter()
            .map(|entry| entry.receipt.as_ref().expect("a receipt").sequence_number.get()).collect();
        prop_assert_eq!(places, (1..=next).collect::<Vec<u64>>());
    }
}

#[test]
fn what_waits_is_read_in_batches_of_a_bound() {
    let mut client = Client::new(1);
    let mut server = Server::new(std::slice::from_ref(&client.agent));
    client.append(0..1201);
    // 5 events of a megabyte do not fit one request.
    let big = event("BIG", None, &format!("{{\"text\":\"{}\"}}", "x".repeat(1_000_000)));
    let author = client.author();
    client.store.append_many(&author, &vec![big; 5], &Audience::default(), NOW).unwrap();
    let done = client.store.push(&mut server, &Server::identity(), Wins::Ask, NOW, |_| {}).unwrap();
    assert_eq!((done.receipted, done.waiting), (1206, 0));
    assert_eq!(done.requests, 4, "500, 500, 201 with four of the large ones, one");
}

/// Every push sent 500 at once, and none of them ever arrived.
#[test]
fn a_link_that_carries_little_gets_less_at_a_time() {
    let mut client = Client::new(1);
    let mut server = Server::new(std::slice::from_ref(&client.agent));
    server.carried_max = 40;
    client.append(0..1000);
    let done = client.store.push(&mut server, &Server::identity(), Wins::Ask, NOW, |_| {}).unwrap();
    assert_eq!((done.receipted, done.waiting), (1000, 0));
    assert!(done.requests < 60, "{} requests", done.requests);
    let stored: Vec<&str> = server.events.iter().map(|(event, _)| event.entity_id.as_ref()).collect();
    assert!(stored.is_sorted(), "the order is kept");
    let mut reader = Client::new(2);
    let pulled = reader.store.pull(&mut server, &Server::identity(), || NOW, |_, _| {}).unwrap();
    assert_eq!((pulled.events, pulled.head.get()), (1000, 1000));

    server.carried_max = 0;
    client.append(1000..1010);
    let lost = client.store.push(&mut server, &Server::identity(), Wins::Ask, NOW, |_| {}).unwrap_err();
    assert_eq!((lost.code(), client.store.counts().unwrap().open()), ("SERVER_UNREACHABLE".to_owned(), 10));
}

/// Something between answered 400 with a page to everything, and every event of the outbox was given up for it.
#[test]
fn what_refuses_everything_takes_no_event_away() {
    let mut client = Client::new(1);
    let mut server = Server::new(std::slice::from_ref(&client.agent));
    client.append(0..300);
    let mut push = |server: &mut Server| {
        let pushed = client.store.push(server, &Server::identity(), Wins::Ask, NOW, |_| {});
        let counts = client.store.counts().unwrap();
        (pushed.map(|done| done.receipted).map_err(|error| error.code()), counts.open(), counts.refused)
    };
    for (status, code) in [(400, "HTTP_400"), (422, "HTTP_422"), (413, "HTTP_413"), (400, "NEW_CODE")] {
        server.refuses = Some((status, code));
        let (pushed, open, refused) = push(&mut server);
        assert_eq!((pushed.is_err(), open, refused), (true, 300, 0), "{code}");
    }
    // In the protocol's own words, and of each one: some are believed, and no more.
    server.refuses = Some((400, "INVALID_REQUEST_BODY"));
    let (pushed, open, refused) = push(&mut server);
    assert_eq!((pushed.is_err(), open, refused), (true, 292, 8));
    server.refuses = None;
    assert_eq!(push(&mut server), (Ok(292), 0, 8));
}

#[test]
fn an_event_that_no_request_can_carry_does_not_hold_up_the_others() {
    let mut client = Client::new(1);
    let mut server = Server::new(std::slice::from_ref(&client.agent));
    server.events_max = 100;
    client.append(0..300);
    let author = client.author();
    let huge = client.store.append(&author, &event("HUGE", None, "{}"), &Audience::default(), NOW).unwrap();
    client.append(300..700);
    let done = client.store.push(&mut server, &Server::identity(), Wins::Ask, NOW, |_| {}).unwrap();
    assert_eq!((done.receipted, done.refused, done.waiting), (700, 1, 0));
    let entry = client.store.entry(&huge.event_id).unwrap();
    assert_eq!((entry.state, entry.reason.as_deref()), (State::Refused, Some("PAYLOAD_TOO_LARGE")));
    let stored: Vec<&str> = server.events.iter().map(|(event, _)| event.entity_id.as_ref()).collect();
    assert!(stored.is_sorted(), "the order is kept");

    let too_large = event("BIG", None, &format!("\"{}\"", "x".repeat(1 << 20)));
    let refused = client.store.append(&author, &too_large, &Audience::default(), NOW);
    assert!(matches!(refused, Err(SyncError::PayloadTooLarge { index: 0 })));
}

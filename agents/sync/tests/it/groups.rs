//! Sealing for groups, and keys that change.

use stateset_fixtures::{NOW, Recipient};
use stateset_sync::conflict::Strategy;
use stateset_sync::{Audience, Held, SignedAnew, SyncError, open_with_any};
use ves::seal::DecryptionKey;
use ves::{EventId, KeyId, SequenceNumber};

use crate::world::{Client, GROUP, Lie, Server, order};

fn held(reader: &Recipient) -> Vec<Held> {
    vec![Held { kid: reader.kid, key: DecryptionKey::from_bytes(*reader.secret()) }]
}

/// A writer that has its own reading key, and a group of two readers.
fn world() -> (Client, Server, Recipient, [Recipient; 3]) {
    let client = Client::new(1);
    let mut server = Server::new(std::slice::from_ref(&client.agent));
    let (own, readers) = (Recipient::new(1), [2, 3, 4].map(Recipient::new));
    server.readers = readers.to_vec();
    server.group = vec![2, 3];
    (client, server, own, readers)
}

fn append(client: &mut Client, server: &mut Server, own: &Recipient) -> EventId {
    let group = client.store.refresh_group(server, &Server::identity(), "buyers", NOW).unwrap();
    let mut recipients = group.recipients;
    recipients.push(own.to_seal_for());
    let author = client.author();
    let audience = Audience { recipients, group: Some(group.id) };
    client.store.append(&author, &order(1), &audience, NOW).unwrap().event_id
}

#[test]
fn who_joined_reads_what_waits_and_who_left_does_not() {
    let (mut client, mut server, own, [two, three, four]) = world();
    let id = append(&mut client, &mut server, &own);
    let reads = |client: &Client, reader: &Recipient| {
        open_with_any(&client.store.entry(&id).unwrap().envelope, &held(reader)).is_ok()
    };
    assert_eq!([&two, &three, &four, &own].map(|reader| reads(&client, reader)), [true, true, false, true]);
    assert_eq!(client.store.groups_that_wait().unwrap(), [GROUP]);

    // Three leaves, four joins, before the event was sent.
    server.group = vec![2, 4];
    let group =
        client.store.refresh_group(&mut server, &Server::identity(), &GROUP.to_string(), NOW).unwrap();
    let mut recipients = group.recipients;
    recipients.push(own.to_seal_for());
    let author = client.author();
    let mut anew = || client.store.seal_anew(GROUP, &recipients, &author, &held(&own)).unwrap();
    assert_eq!((anew(), anew()), (1, 0), "once");
    assert_eq!([&two, &three, &four, &own].map(|reader| reads(&client, reader)), [true, false, true, true]);

    let done = client.store.push(&mut server, &Server::identity(), Strategy::Ask, NOW, |_| {}).unwrap();
    assert_eq!((done.receipted, done.refused), (1, 0), "the event sealed anew is signed");
    assert_eq!(server.events[0].0.event_id, id);
    let known = client.store.known_group("buyers").unwrap().unwrap();
    assert_eq!(known.recipients.iter().map(|one| one.kid.0).collect::<Vec<_>>(), [2, 4]);
}

#[test]
fn a_group_with_a_key_that_no_directory_has_is_refused() {
    let (mut client, mut server, ..) = world();
    server.lie = Lie::GroupKey;
    let result = client.store.refresh_group(&mut server, &Server::identity(), "buyers", NOW);
    let Err(SyncError::Fault(fault)) = result else { panic!("{result:?}") };
    assert_eq!(fault.code(), "directory_forged");
    assert_eq!(client.store.known_group("buyers").unwrap(), None);
    server.lie = Lie::None;
    let unknown = client.store.refresh_group(&mut server, &Server::identity(), "sellers", NOW);
    assert!(matches!(unknown, Err(SyncError::Recipient { .. })));
}

#[test]
fn any_held_key_opens_and_those_of_before_a_rotation_stay_good() {
    let (mut client, mut server, own, [two, three, _]) = world();
    let id = append(&mut client, &mut server, &own);
    let envelope = client.store.entry(&id).unwrap().envelope;
    // Two rotates to a key of another number; the event was sealed for the old one.
    let keys: Vec<Held> = [Recipient::new(9), two].iter().flat_map(held).collect();
    assert_eq!(open_with_any(&envelope, &keys).unwrap().canonical.as_str(), "{\"total\":1}");
    assert!(matches!(open_with_any(&envelope, &held(&Recipient::new(9))), Err(SyncError::NoKeyOpens { .. })));
    let wrong = vec![Held { kid: three.kid, key: DecryptionKey::from_bytes([1; 32]) }];
    assert!(matches!(open_with_any(&envelope, &wrong), Err(SyncError::Open(_))));
}

#[test]
fn sealed_events_that_wait_are_sealed_and_signed_by_the_new_key() {
    let (mut client, mut server, own, [two, three, four]) = world();
    let id = append(&mut client, &mut server, &own);
    // For one whose keys were never fetched, and for others alone.
    let (author, mut seal) = (client.author(), Vec::new());
    for recipients in [vec![own.to_seal_for(), four.to_seal_for()], vec![two.to_seal_for()]] {
        let audience = Audience { recipients, group: None };
        seal.push(client.store.append(&author, &order(2), &audience, NOW).unwrap().event_id);
    }
    let rotated = client.agent.with_key(KeyId(2));
    server.keys = vec![rotated.clone()];
    client.agent = rotated;
    let author = client.author();
    let held_here = held(&own);
    let done = client.store.sign_anew(&author, &held_here).unwrap();
    assert_eq!(done, SignedAnew { signed: 1, left: 2 });
    let key_of = |client: &Client, id| client.store.entry(id).unwrap().envelope.agent_key_id;
    assert_eq!([&id, &seal[0], &seal[1]].map(|id| key_of(&client, id)), [KeyId(2), KeyId(1), KeyId(1)]);
    let envelope = client.store.entry(&id).unwrap().envelope;
    for reader in [&own, &two, &three] {
        let opened = open_with_any(&envelope, &held(reader)).unwrap();
        assert_eq!(opened.canonical.as_str(), "{\"total\":1}");
    }
    let again = client.store.sign_anew(&author, &held_here).unwrap();
    assert_eq!(again, SignedAnew { signed: 0, left: 2 }, "once");
    // Now that the keys of the fourth are known, its event moves too.
    client.store.refresh_keys(&mut server, &Server::identity(), &four.agent_id, NOW).unwrap();
    assert_eq!(client.store.sign_anew(&author, &held_here).unwrap(), SignedAnew { signed: 1, left: 1 });
    client.store.discard(&seal[1]).unwrap();
    let done = client.store.push(&mut server, &Server::identity(), Strategy::Ask, NOW, |_| {}).unwrap();
    assert_eq!((done.receipted, done.waiting), (2, 0), "both are believed under the new key");
}

#[test]
fn the_whole_file_is_checked_again_without_a_server() {
    let mut client = Client::new(1);
    let mut server = Server::new(std::slice::from_ref(&client.agent));
    client.append(0..600);
    client.store.push(&mut server, &Server::identity(), Strategy::Ask, NOW, |_| {}).unwrap();
    client.store.pull(&mut server, &Server::identity(), NOW, |_, _| {}).unwrap();
    let found = client.store.audit(&Server::identity(), |_| {}).unwrap();
    assert_eq!((found.events, found.receipts, found.checkpoint), (600, 600, Some(600)));

    // Someone with the file changes one payload.
    let path = client.folder.path().join("sync.db");
    let changed = rusqlite::Connection::open(&path).unwrap().execute(
        "UPDATE events SET envelope = replace(envelope, '{\"total\":77}', '{\"total\":78}') WHERE sequence_number = 78",
        [],
    );
    assert_eq!(changed, Ok(1));
    let result = client.store.audit(&Server::identity(), |_| {});
    assert!(
        matches!(&result, Err(SyncError::Damaged { problem, .. }) if problem.contains("event 78")),
        "the file is accused, and no server: {result:?}"
    );
    assert_eq!(client.store.replica_head().unwrap(), SequenceNumber(600));
}

#[test]
fn a_replica_whose_end_was_cut_off_does_not_verify() {
    let mut client = Client::new(1);
    let mut server = Server::new(std::slice::from_ref(&client.agent));
    client.append(0..600);
    client.store.push(&mut server, &Server::identity(), Strategy::Ask, NOW, |_| {}).unwrap();
    client.store.pull(&mut server, &Server::identity(), NOW, |_, _| {}).unwrap();
    assert_eq!(client.store.audit(&Server::identity(), |_| {}).unwrap().head_seen, SequenceNumber(600));
    let path = client.folder.path().join("sync.db");
    let file = rusqlite::Connection::open(&path).unwrap();
    assert_eq!(file.execute("DELETE FROM events WHERE sequence_number > 590", []), Ok(10));

    let cut = |result: Result<(), SyncError>| {
        let Err(SyncError::Damaged { problem, .. }) = result else { panic!("not noticed: {result:?}") };
        assert!(problem.contains("600") && problem.contains("590"), "{problem}");
    };
    cut(client.store.audit(&Server::identity(), |_| {}).map(drop));
    cut(client.store.check_file());
    cut(client.store.pull(&mut server, &Server::identity(), NOW, |_, _| {}).map(drop));
    assert_eq!(client.store.faults().unwrap(), [], "no server is accused");
    // One from the middle, with all behind it in its place.
    assert_eq!(file.execute("DELETE FROM settings WHERE name = 'replica_head'", []), Ok(1));
    assert_eq!(file.execute("DELETE FROM events WHERE sequence_number = 7", []), Ok(1));
    let result = client.store.audit(&Server::identity(), |_| {});
    assert!(
        matches!(&result, Err(SyncError::Damaged { problem, .. }) if problem.contains("event 7 ")),
        "{result:?}"
    );
    // What waits is still sent.
    client.append(600..601);
    let done = client.store.push(&mut server, &Server::identity(), Strategy::Ask, NOW, |_| {}).unwrap();
    assert_eq!((done.receipted, done.waiting), (1, 0));
}

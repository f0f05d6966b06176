//! Push and pull against an honest server.

use stateset_fixtures::NOW;
use stateset_sync::conflict::Strategy;
use ves::SequenceNumber;

use crate::world::{Client, Server};

fn shop(events: u64) -> (Client, Server) {
    let mut client = Client::new(1);
    let mut server = Server::new(std::slice::from_ref(&client.agent));
    client.append(0..events);
    client.store.push(&mut server, &Server::identity(), Strategy::Ask, NOW, |_| {}).expect("pushes");
    (client, server)
}

#[test]
fn another_agent_pulls_what_one_pushed_page_by_page() {
    let (_writer, mut server) = shop(1100);
    server.batch = 300;
    let mut reader = Client::new(2);
    let mut heard = 0;
    let done = reader.store.pull(&mut server, &Server::identity(), NOW, |events, _| heard += events).unwrap();
    assert_eq!((done.events, heard, done.head), (1100, 1100, SequenceNumber(1100)));
    assert_eq!(done.checkpointed, 900);
    let events = reader.store.replicated(SequenceNumber(1), 2000).unwrap();
    let pairs = events.iter().zip(&server.events);
    assert!(
        pairs.clone().count() == 1100 && pairs.into_iter().all(|(one, (other, _))| one.envelope == *other)
    );
    let again = reader.store.pull(&mut server, &Server::identity(), NOW, |_, _| {}).unwrap();
    assert_eq!((again.events, again.head), (0, SequenceNumber(1100)));
    assert_eq!(reader.store.entity_version("order", "ORD-000007").unwrap(), 1);
    assert_eq!(reader.store.entity_version("order", "ORD-9").unwrap(), 0);
}

#[test]
fn an_answer_that_was_lost_is_found_in_the_stream() {
    let mut client = Client::new(1);
    let mut server = Server::new(std::slice::from_ref(&client.agent));
    client.append(0..10);
    server.lose_answers = 1;
    client.store.push(&mut server, &Server::identity(), Strategy::Ask, NOW, |_| {}).unwrap_err();
    assert_eq!(client.store.counts().unwrap().sent, 10);
    let done = client.store.pull(&mut server, &Server::identity(), NOW, |_, _| {}).unwrap();
    assert_eq!((done.events, done.recovered), (10, 10));
    assert_eq!(client.store.counts().unwrap().receipted, 10);
    let before = server.pushes;
    client.store.push(&mut server, &Server::identity(), Strategy::Ask, NOW, |_| {}).unwrap();
    assert_eq!(server.pushes, before, "nothing is left to be sent");
}

#[test]
fn the_replica_goes_on_after_a_crash_at_any_page() {
    let (_writer, mut server) = shop(1300);
    let mut reader = Client::new(2);
    for end in [1, 31, 32, 33, 500, 501, 1024, 1300] {
        server.lie = crate::world::Lie::Truncate(end);
        reader.store.pull(&mut server, &Server::identity(), NOW, |_, _| {}).unwrap();
        reader.reopen();
        assert_eq!(reader.store.replica_head().unwrap(), SequenceNumber(end));
    }
}

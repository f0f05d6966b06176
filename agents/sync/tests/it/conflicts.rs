//! Two agents that write to one entity.

use stateset_fixtures::{Agent, NOW, stream};
use stateset_sync::conflict::Strategy;
use stateset_sync::entry::State;
use stateset_sync::{Audience, Pushed, SignedAnew};
use ves::{EventId, KeyId, TimestampMs};

use crate::world::{Client, Server, event};

struct Duel {
    client: Client,
    server: Server,
    ids: Vec<EventId>,
}

/// The other agent has written version 1 and 2 of an order, `ahead` milliseconds after us; we wrote on version 0 and 1.
fn duel(ahead: i64) -> Duel {
    let mut client = Client::new(1);
    let other = Client::new(2);
    let mut server = Server::new(&[client.agent.clone(), other.agent.clone()]);
    let mut theirs = other;
    let at = TimestampMs(NOW.0 + ahead);
    let author = theirs.author();
    for base in 0..2 {
        let event = event("ORD-1", Some(base), "{\"by\":\"them\"}");
        theirs.store.append(&author, &event, &Audience::default(), at).unwrap();
    }
    theirs.store.push(&mut server, &Server::identity(), Strategy::Ask, NOW, |_| {}).unwrap();
    let author = client.author();
    let ours = [
        event("ORD-1", Some(0), "{\"by\":\"us\"}"),
        event("ORD-1", Some(1), "{\"by\":\"us, too\"}"),
        event("ORD-2", Some(0), "{\"by\":\"us\"}"),
    ];
    let appended = client.store.append_many(&author, &ours, &Audience::default(), NOW).unwrap();
    Duel { client, server, ids: appended.iter().map(|appended| appended.event_id).collect() }
}

impl Duel {
    fn push(&mut self, strategy: Strategy) -> Pushed {
        self.client.store.push(&mut self.server, &Server::identity(), strategy, NOW, |_| {}).unwrap()
    }

    fn states(&self) -> Vec<&'static str> {
        self.ids.iter().map(|id| self.client.store.entry(id).unwrap().state.name()).collect()
    }

    /// Who wrote the versions of ORD-1, in order.
    fn writers(&self) -> Vec<Option<u64>> {
        let agents = [1, 2].map(|n| Agent::new(&stream(1), n).agent_id);
        let of_order = self.server.events.iter().filter(|(event, _)| event.entity_id == "ORD-1");
        of_order
            .map(|(event, _)| {
                agents.iter().position(|agent| *agent == event.source_agent_id).map(|n| n as u64 + 1)
            })
            .collect()
    }
}

#[test]
fn remote_wins_gives_up_the_event_and_what_builds_on_it() {
    let mut duel = duel(0);
    let done = duel.push(Strategy::RemoteWins);
    assert_eq!(duel.states(), ["refused", "refused", "receipted"]);
    assert_eq!((done.refused, done.receipted, done.waiting), (2, 1, 0));
    assert_eq!(duel.writers(), [Some(2), Some(2)]);
    let why = duel.client.store.entry(&duel.ids[1]).unwrap().reason.unwrap();
    assert!(why.contains("builds on event"), "{why}");
}

/// A push with a strategy decided new conflicts only, and said that nothing waited.
#[test]
fn what_an_earlier_push_left_to_be_decided_is_decided_by_a_strategy() {
    let mut asked = duel(0);
    assert_eq!(asked.push(Strategy::Ask).conflicts, 1);
    let done = asked.push(Strategy::LocalWins);
    assert_eq!(asked.states(), ["receipted", "receipted", "receipted"]);
    assert_eq!((done.conflicts, done.waiting), (0, 0));
    let mut asked = duel(0);
    asked.push(Strategy::Ask);
    let done = asked.push(Strategy::RemoteWins);
    assert_eq!(asked.states(), ["refused", "refused", "receipted"]);
    assert_eq!((done.refused, done.waiting), (2, 0));
}

#[test]
fn local_wins_puts_the_events_onto_the_version_that_is_there() {
    let mut duel = duel(0);
    let done = duel.push(Strategy::LocalWins);
    assert_eq!(duel.states(), ["receipted", "receipted", "receipted"]);
    assert_eq!((done.rebased, done.receipted), (1, 3), "the second moved with the first");
    assert_eq!(duel.writers(), [Some(2), Some(2), Some(1), Some(1)]);
    let versions: Vec<Option<u64>> = duel.server.events.iter().map(|(event, _)| event.base_version).collect();
    assert_eq!(versions.iter().filter(|version| **version == Some(3)).count(), 1);
}

#[test]
fn the_last_writer_wins_by_the_time_of_the_events() {
    let mut late = duel(1000);
    late.push(Strategy::LastWriter);
    assert_eq!(late.states(), ["refused", "refused", "receipted"], "they wrote after us");
    let mut early = duel(-1000);
    early.push(Strategy::LastWriter);
    assert_eq!(early.states(), ["receipted", "receipted", "receipted"], "they wrote before us");
}

#[test]
fn a_conflict_waits_for_its_author_and_holds_back_its_entity_alone() {
    let mut duel = duel(0);
    let done = duel.push(Strategy::Ask);
    assert_eq!(duel.states(), ["conflict", "pending", "receipted"]);
    assert_eq!((done.conflicts, done.waiting), (1, 1));
    assert_eq!(duel.client.store.entry(&duel.ids[0]).unwrap().state, State::Conflict { actual: 2 });
    assert!(duel.client.store.resolve(&duel.ids[1], true).is_err(), "in no conflict");

    duel.client.store.resolve(&duel.ids[0], true).unwrap();
    duel.push(Strategy::Ask);
    assert_eq!(duel.states(), ["receipted", "receipted", "receipted"]);
    assert_eq!(duel.writers(), [Some(2), Some(2), Some(1), Some(1)]);

    let mut other = self::duel(0);
    other.push(Strategy::Ask);
    assert_eq!(other.client.store.resolve(&other.ids[0], false).unwrap(), 2);
    assert_eq!(other.push(Strategy::Ask).waiting, 0);
    assert_eq!(other.states(), ["refused", "refused", "receipted"]);
}

/// An event in conflict kept the key of before a rotation; decided for the local side, it was sent under it, and refused.
#[test]
fn an_event_in_conflict_when_keys_rotate_is_sent_under_the_new_key_once_it_is_decided() {
    let mut duel = duel(0);
    duel.push(Strategy::Ask);
    assert_eq!(duel.states(), ["conflict", "pending", "receipted"]);
    let old = duel.client.agent.clone();
    let rotated = old.with_key(KeyId(2));
    duel.server.keys.retain(|key| (key.agent_id, key.key_id) != (old.agent_id, old.key_id));
    duel.server.keys.push(rotated.clone());
    duel.client.agent = rotated;
    let author = duel.client.author();
    let anew = duel.client.store.sign_anew(&author, &[]).unwrap();
    assert_eq!(anew, SignedAnew { signed: 2, left: 0 }, "what waits, and what is in conflict");
    assert_eq!(duel.states()[0], "conflict", "it is still the author's to decide");

    duel.client.store.resolve(&duel.ids[0], true).unwrap();
    let done = duel.push(Strategy::Ask);
    assert_eq!((done.receipted, done.waiting, done.refused), (2, 0, 0), "{done:?}");
    assert_eq!(duel.states(), ["receipted", "receipted", "receipted"]);
    let entry = duel.client.store.entry(&duel.ids[0]).unwrap();
    assert_eq!((entry.envelope.agent_key_id, entry.envelope.base_version), (KeyId(2), Some(2)));
}

//! An audit passes a true stream and names what is wrong with any other.

use stateset_client::audit::{Entry, Keys, Report, Source, Verified, audit, audit_beginning, audit_since};
use ves::commitment::Commitment;
use ves::{Envelope, Payload, SequenceNumber, StreamKey};

use crate::world::{STREAM, World};

impl Source for World {
    fn read(
        &self,
        _: &StreamKey,
        from: SequenceNumber,
        limit: u64,
        each: &mut dyn FnMut(Entry<'_, '_>),
    ) -> Result<(), String> {
        let first = from.get() as usize - 1;
        for (event, receipt) in self.events.iter().zip(&self.receipts).skip(first).take(limit as usize) {
            each(Entry {
                sequence_number: receipt.sequence_number,
                envelope: event,
                is_sealed: false,
                signing_hash: None,
                receipt_signature: receipt.signature,
                key_version: receipt.key_version,
            });
        }
        Ok(())
    }
    fn head(&self, _: &StreamKey) -> Result<SequenceNumber, String> {
        Ok(self.head)
    }
    fn commitments(&self, _: &StreamKey) -> Result<Vec<Commitment>, String> {
        Ok(self.commitments.clone())
    }
    fn checkpoint(&self, _: &StreamKey, size: u64) -> Result<Option<String>, String> {
        Ok(self.checkpoints.get(&size).cloned())
    }
    fn newest_checkpoint(&self, _: &StreamKey) -> Result<Option<String>, String> {
        Ok(self.checkpoints.last_key_value().map(|(_, text)| text.clone()))
    }
}

fn report(world: &World) -> Report {
    let keys = Keys { agents: &world.signing_keys(), sequencer: &world.identity() };
    audit(world, &STREAM, &keys, &|_, _| ()).unwrap()
}

#[test]
fn a_true_stream_holds() {
    let world = World::new(&[700, 1, 900], 150);
    let report = report(&world);
    assert!(report.holds(), "{:?}", report.problems);
    assert_eq!((report.events, report.signatures), (1751, 3502));
    assert_eq!((report.commitments, report.checkpoints, report.committed_to), (3, 3, SequenceNumber(1601)));
    assert_eq!(report.state_root, world.commitments[2].new_state_root);
}

#[test]
fn an_empty_stream_holds() {
    assert!(report(&World::new(&[], 0)).holds());
}

#[test]
fn each_lie_is_named_with_its_place() {
    type Lie = fn(&mut World);
    let lies: [(&str, Lie); 9] = [
        ("event 3 ", |w| payload(&mut w.events[2])),
        ("event 3:", |w| w.events[2].agent_signature[5] ^= 1),
        ("event 3:", |w| w.receipts[2].signature.as_mut().unwrap()[40] ^= 1),
        ("event 3 ", |w| w.events[2].agent_key_id = ves::KeyId(9)),
        ("event 3 ", |w| w.receipts[2].key_version = 9),
        ("event 3:", |w| w.receipts[2].sequence_number = SequenceNumber(4)),
        ("merkle_root", |w| w.commitments[0].merkle_root.0[0] ^= 1),
        ("prev_state_root", |w| w.commitments[1].prev_state_root.0[0] ^= 1),
        ("no checkpoint", |w| drop(w.checkpoints.remove(&8))),
    ];
    for (at, (expected, lie)) in lies.into_iter().enumerate() {
        let mut world = World::new(&[5, 3], 2);
        lie(&mut world);
        let report = report(&world);
        assert!(!report.holds(), "lie {at} was believed");
        assert!(
            report.problems.iter().any(|text| text.contains(expected)),
            "lie {at}: {:?}",
            report.problems
        );
    }
}

fn payload(event: &mut Envelope<'static>) {
    event.payload = Payload::Plain("{\"total\":4}".into());
}

#[test]
fn missing_events_and_foreign_checkpoints_are_noticed() {
    let mut world = World::new(&[5, 3], 2);
    world.events.pop();
    assert!(report(&world).problems[0].contains("event 10: missing"));

    let mut world = World::new(&[5, 3], 2);
    let other = World::new(&[4, 4], 0);
    world.checkpoints.insert(8, other.checkpoints[&4].clone());
    assert!(report(&world).problems[0].contains("of size 4"));
}

#[test]
fn a_quick_look_judges_only_what_it_saw() {
    let mut world = World::new(&[5, 3], 2);
    world.commitments[1].merkle_root.0[0] ^= 1;
    let keys = Keys { agents: &world.signing_keys(), sequencer: &world.identity() };
    let looked = |events_max| audit_beginning(&world, &STREAM, events_max, &keys).unwrap();
    assert!(looked(7).holds() && looked(7).commitments == 1);
    assert!(!looked(8).holds());
    assert_eq!(looked(100).events, 10);
}

fn names(world: &World, expected: &str) {
    let report = report(world);
    assert!(!report.holds() && report.problems.iter().any(|p| p.contains(expected)), "{:?}", report.problems);
}

#[test]
fn an_erased_receipt_signature_is_a_problem() {
    let mut world = World::new(&[5, 3], 2);
    world.receipts[2].signature = None;
    names(&world, "event 3 ");
    assert_eq!(report(&world).receipts_unsigned, 1);
}

#[test]
fn the_newest_checkpoint_binds_without_its_commitment() {
    let mut world = World::new(&[5, 3], 2);
    world.commitments.pop();
    assert!(report(&world).holds(), "a commitment may come after the checkpoint was read");
    world.events[2].agent_signature[5] ^= 1;
    names(&world, "fork: the newest checkpoint");

    let mut world = World::new(&[5, 3], 0);
    world.commitments.pop();
    world.events.truncate(6);
    world.receipts.truncate(6);
    world.head = SequenceNumber(6);
    names(&world, "truncated: the newest checkpoint is of size 8, the source has 6");
}

#[test]
fn a_stream_that_is_shorter_or_other_than_verified_before_is_named() {
    let world = World::new(&[5, 3], 2);
    let keys = Keys { agents: &world.signing_keys(), sequencer: &world.identity() };
    let since = |world: &World, size, root| {
        audit_since(world, &STREAM, &keys, Some(Verified { size, root }), &|_, _| ()).unwrap()
    };
    let root = report(&world).log_root;
    assert!(since(&world, 10, root).holds());
    assert!(since(&World::new(&[5, 3], 4), 10, root).holds(), "it may grow");
    assert!(since(&World::new(&[5, 3], 1), 10, root).problems[0].starts_with("truncated"));
    assert!(since(&World::new(&[], 0), 10, root).problems[0].starts_with("truncated"));
    assert!(since(&world, 9, root).problems[0].starts_with("fork"));
}

#[test]
fn an_announced_head_that_is_not_there_ends_the_audit_at_once() {
    let mut world = World::new(&[5, 3], 2);
    world.head = SequenceNumber::MAX;
    names(&world, "event 11: missing");
    names(&world, "and gave 10");
}

#[test]
fn repeated_event_and_command_ids_are_named() {
    let mut world = World::new(&[5, 3], 2);
    world.events[6].event_id = world.events[1].event_id;
    names(&world, "event 7: its event id is that of event 2 too");

    let mut world = World::new(&[5, 3], 2);
    for n in [3, 8] {
        world.events[n].command_id = Some(ves::CommandId::from_bytes([7; 16]));
    }
    names(&world, "event 9: its command id is that of event 4 too");
}

//! Section 10.4: batches follow one another, by their writers, once.

use stateset_ledger_types::anchor::{ANCHOR, AnchorBatch, AnchorCommand, AnchorOpen};
use stateset_ledger_types::codec::Set;
use stateset_ledger_types::{Code, Encode, StateKey};
use ves::Digest;

use crate::world::{World, code, id, public_key};

fn stream() -> Digest {
    Digest([77; 32])
}

fn open(owner: u8, writer: u8) -> AnchorCommand {
    AnchorCommand::Open(AnchorOpen {
        owner: id(owner),
        stream: stream(),
        first_sequence: 1,
        writers: Set::new([public_key(writer)]).unwrap(),
    })
}

fn batch(no: u64, roots: (u8, u8), sequences: (u64, u64)) -> AnchorBatch {
    AnchorBatch {
        stream: stream(),
        batch_no: no,
        events_root: Digest([no as u8; 32]),
        prev_state_root: Digest([roots.0; 32]),
        new_state_root: Digest([roots.1; 32]),
        sequence_start: sequences.0,
        sequence_end: sequences.1,
    }
}

fn run(world: &mut World, by: u8, salt: u8, command: AnchorCommand) -> Option<Code> {
    let tx = world.commands(by, salt, ANCHOR, &[command.to_sce()]);
    code(&world.run(tx))
}

#[test]
fn batches_follow_one_another() {
    let mut world = World::new();
    let first = batch(1, (0, 1), (1, 10));
    assert_eq!(run(&mut world, 2, 1, AnchorCommand::Batch(first.clone())), Some(Code::NotFound));
    assert_eq!(run(&mut world, 1, 2, open(1, 2)), None);
    assert_eq!(run(&mut world, 1, 3, open(1, 2)), Some(Code::Invariant), "once");
    assert_eq!(run(&mut world, 1, 4, AnchorCommand::Batch(first.clone())), Some(Code::NotAuthorised));
    for (salt, wrong) in (10..).zip([
        batch(2, (0, 1), (1, 10)),
        batch(0, (0, 1), (1, 10)),
        batch(1, (9, 1), (1, 10)),
        batch(1, (0, 1), (2, 10)),
        batch(1, (0, 1), (1, 0)),
        batch(1, (0, 1), (1, u64::MAX)),
    ]) {
        assert_eq!(run(&mut world, 2, salt, AnchorCommand::Batch(wrong)), Some(Code::Invariant));
    }
    assert_eq!(run(&mut world, 2, 20, AnchorCommand::Batch(first.clone())), None);
    assert_eq!(world.get::<AnchorBatch>(&StateKey::anchor_batch(&stream(), 1)), Some(first.clone()));
    // The same again is accepted and writes nothing; the same number with another content is not.
    let head = StateKey::anchor_head(&stream());
    let before = world.get::<stateset_ledger_types::anchor::AnchorHead>(&head);
    assert_eq!(run(&mut world, 2, 21, AnchorCommand::Batch(first.clone())), None);
    assert_eq!(world.get(&head), before);
    let other = AnchorBatch { events_root: Digest([9; 32]), ..first };
    assert_eq!(run(&mut world, 2, 22, AnchorCommand::Batch(other)), Some(Code::Invariant));
    assert_eq!(run(&mut world, 2, 23, AnchorCommand::Batch(batch(2, (1, 2), (11, 11)))), None);
    assert_eq!(
        run(&mut world, 2, 24, AnchorCommand::Batch(batch(3, (2, 3), (11, 12)))),
        Some(Code::Invariant)
    );
}

#[test]
fn a_stream_is_opened_by_its_owner() {
    let mut world = World::new();
    assert_eq!(run(&mut world, 2, 1, open(1, 2)), Some(Code::NotAuthorised));
    assert_eq!(run(&mut world, 1, 2, open(9, 2)), Some(Code::UnknownEntity));
    let nobody = AnchorCommand::Open(AnchorOpen {
        owner: id(1),
        stream: stream(),
        first_sequence: 1,
        writers: Set::default(),
    });
    assert_eq!(run(&mut world, 1, 3, nobody), Some(Code::Invariant));
}
